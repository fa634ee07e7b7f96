/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-mem - reading, writing, advice and protection
 */
#include "torture.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

static int advise(const struct span *s, int advice)
{
	return madvise(page_at(s->r, s->at), (size_t)s->n * PAGE, advice);
}

static void advise_or_die(const struct span *s, int advice, const char *name)
{
	if (advise(s, advice))
		fatal("madvise(%s) of %u pages at %p: %s", name, s->n, (void *)page_at(s->r, s->at),
		      strerror(errno));
}

/* ---- reading and writing -------------------------------------------------------------------- */

static void run_read(struct worker *w)
{
	struct span s = span_pick(w, 1);

	note(w, "read", &s, 0);
	span_verify(w, &s);
}

static void run_write(struct worker *w)
{
	struct span s = span_pick(w, rnd_below(w, 4) ? 1 : 16);

	note(w, "write", &s, 0);
	span_fill(w, &s);
}

static void run_word(struct worker *w)
{
	struct span s = span_pick(w, 1);
	const uint32_t word = rnd_below(w, PAGE_WORDS), salt = (uint32_t)rnd(w);

	note(w, "word", &s, word);
	page_write_word(w, s.r, s.at, word, salt);
}

/* Streams in both directions and with strides: what readahead guesses must still be right. */
static void run_read_run(struct worker *w)
{
	struct span s = span_pick(w, rnd_below(w, 8) ? 128 : 2048);
	const uint32_t how = rnd_below(w, 4);

	note(w, "read-run", &s, how);
	if (how == 0) {
		for (uint32_t i = s.n; i > 0; i--)
			page_verify(w, s.r, s.at + i - 1);
	} else if (how == 1) {
		for (uint32_t i = 0; i < s.n; i += 3)
			page_verify(w, s.r, s.at + i);
	} else {
		span_verify(w, &s);
	}
}

/* One byte in each page first, so that the faults come without the copying in between. */
static void run_touch_run(struct worker *w)
{
	struct span s = span_pick(w, 256);
	uint32_t sum = 0;

	note(w, "touch-run", &s, 0);
	for (uint32_t i = 0; i < s.n; i++)
		sum += *(volatile uint8_t *)(page_at(s.r, s.at + i) + (i * 67) % PAGE);
	(void)sum;
	span_verify(w, &s);
}

static void run_copy(struct worker *w)
{
	struct span from = span_pick(w, 32), to = span_pick(w, 32);
	const uint32_t n = from.n < to.n ? from.n : to.n;

	from.n = to.n = n;
	note(w, "copy-from", &from, 0);
	note(w, "copy-to", &to, 0);
	if (from.r == to.r && from.at < to.at + n && to.at < from.at + n)
		return;
	span_settle(w, &from);
	memcpy(page_at(to.r, to.at), page_at(from.r, from.at), (size_t)n * PAGE);
	for (uint32_t i = 0; i < n; i++)
		shadow_copy(w, &to.r->sh[to.at + i], &from.r->sh[from.at + i]);
	span_verify(w, &to);
}

/* ---- advice --------------------------------------------------------------------------------- */

static void run_dontneed(struct worker *w)
{
	struct span s = span_pick(w, rnd_below(w, 8) ? 64 : 1024);
	const uint32_t how = rnd_below(w, 4);

	note(w, "dontneed", &s, how);
	advise_or_die(&s, MADV_DONTNEED, "DONTNEED");
	shadow_set_zero(w, s.r, s.at, s.n);
	if (how & 1)
		span_verify(w, &s);
	if (how & 2)
		span_fill(w, &s);
}

static void run_free(struct worker *w)
{
	struct span s = span_pick(w, rnd_below(w, 8) ? 64 : 1024);
	const uint32_t how = rnd_below(w, 5), word = rnd_below(w, PAGE_WORDS);
	const uint32_t salt = (uint32_t)rnd(w);

	note(w, "free", &s, how);
	advise_or_die(&s, MADV_FREE, "FREE");
	shadow_set_state(w, s.r, s.at, s.n, STATE_FREED);
	if (how == 1)
		span_verify(w, &s);
	if (how == 2)
		span_fill(w, &s);
	for (uint32_t i = 0; how >= 3 && i < s.n; i += how - 2)
		page_write_word(w, s.r, s.at + i, word, salt + i);
}

/* Advice that changes no content. Errors are the kernel's business: the content is ours. */
static void run_advice(struct worker *w)
{
	static const int advices[] = { MADV_COLD,	    MADV_PAGEOUT, MADV_WILLNEED,
				       MADV_POPULATE_READ,  MADV_RANDOM,  MADV_SEQUENTIAL,
				       MADV_POPULATE_WRITE, MADV_NORMAL,  MADV_COLLAPSE };
	struct span s = span_pick(w, 512);
	const uint32_t i = rnd_below(w, sizeof(advices) / sizeof(advices[0]));

	note(w, "advice", &s, (uint32_t)advices[i]);
	if (advices[i] == MADV_RANDOM || advices[i] == MADV_SEQUENTIAL ||
	    advices[i] == MADV_NORMAL) { /* splits VMAs: of whole ranges only */
		s.at = 0;
		s.n = s.r->n_pages;
		(void)advise(&s, advices[i]);
		return;
	}
	if (advices[i] == MADV_POPULATE_WRITE)
		span_settle(w, &s);
	(void)advise(&s, advices[i]);
	if (s.n > 64)
		s.n = 64;
	span_verify(w, &s);
}

static void run_huge(struct worker *w)
{
	struct span s = span_pick_layout(w, 64);
	const bool on = rnd_below(w, 3) != 0, empty = rnd_below(w, 4) == 0;
	struct span all = { .r = s.r, .n = s.r->n_pages };

	note(w, "huge", &s, on);
	(void)advise(&all, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (on && empty && s.at + 512 <= s.r->n_pages) { /* huge pages come from first touches */
		s.n = 512;
		advise_or_die(&s, MADV_DONTNEED, "DONTNEED");
		shadow_set_zero(w, s.r, s.at, s.n);
		span_fill(w, &s);
	}
	span_verify(w, &s);
}

static void run_lock(struct worker *w)
{
	struct span s = span_pick(w, 32);
	const bool on_fault = rnd_below(w, 2);
	struct range *const outer = w->busy;
	uint8_t *p = page_at(s.r, s.at);
	unsigned char in_core[32];

	note(w, "mlock", &s, on_fault);
	if (mlock2(p, (size_t)s.n * PAGE, on_fault ? MLOCK_ONFAULT : 0) == 0) {
		if (!on_fault && mincore(p, (size_t)s.n * PAGE, in_core) == 0) {
			for (uint32_t i = 0; i < s.n; i++) {
				if (!(in_core[i] & 1))
					fatal("%p is not present after mlock",
					      (void *)(p + i * PAGE));
			}
		}
		span_verify(w, &s);
		span_fill(w, &s);
		if (!outer) { /* not in this range: the lock would move along */
			w->busy = s.r;
			ops_run_simple(w, 4);
			w->busy = NULL;
		}
		(void)munlock(p, (size_t)s.n * PAGE);
	}
}

/* The same through another call. Return: 0; -1. */
static int advise_by_pidfd(const struct span *s, int advice)
{
	struct iovec part = { page_at(s->r, s->at), (size_t)s->n * PAGE };
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	long r = syscall(SYS_process_madvise, pidfd, &part, 1, advice, 0);

	close(pidfd);
	return r == (long)part.iov_len ? 0 : -1;
}

/* Guards of 6.13 raise no event: under uswap the library must see the call. */
static void run_guard(struct worker *w)
{
	struct span s = span_pick_layout(w, 16);
	const bool write = rnd_below(w, 2);

	note(w, "guard", &s, write);
	if (rnd_below(w, 2) ? advise(&s, MADV_GUARD_INSTALL)
			    : advise_by_pidfd(&s, MADV_GUARD_INSTALL))
		return;
	shadow_set_state(w, s.r, s.at, s.n, STATE_HOLE);
	if (!touch_faults(w, page_at(s.r, s.at + s.n / 2), write))
		fatal("%p: no guard after MADV_GUARD_INSTALL",
		      (void *)page_at(s.r, s.at + s.n / 2));
	advise_or_die(&s, MADV_GUARD_REMOVE, "GUARD_REMOVE");
	shadow_set_zero(w, s.r, s.at, s.n);
	span_verify(w, &s);
}

/* ---- protection ----------------------------------------------------------------------------- */

static void protect(const struct span *s, int prot)
{
	if (mprotect(page_at(s->r, s->at), (size_t)s->n * PAGE, prot))
		fatal("mprotect of %u pages at %p to %d: %s", s->n, (void *)page_at(s->r, s->at),
		      prot, strerror(errno));
}

static void run_protect(struct worker *w)
{
	struct span s = span_pick(w, rnd_below(w, 8) ? 64 : 2048);
	const uint32_t inner = rnd_below(w, 6), at = rnd_below(w, s.n);
	struct range *const outer = w->busy;

	note(w, "mprotect", &s, inner);
	protect(&s, PROT_NONE);
	if (!touch_faults(w, page_at(s.r, s.at + at), false))
		fatal("%p can be read while PROT_NONE", (void *)page_at(s.r, s.at + at));
	if (!outer) {
		w->busy = s.r;
		ops_run_simple(w, inner);
		w->busy = NULL;
	}
	protect(&s, PROT_READ);
	if (s.n <= 64)
		span_verify(w, &s);
	if (!touch_faults(w, page_at(s.r, s.at + at), true))
		fatal("%p can be written while PROT_READ", (void *)page_at(s.r, s.at + at));
	protect(&s, PROT_READ | PROT_WRITE);
	page_verify(w, s.r, s.at + at);
}

/* ---- the program break ---------------------------------------------------------------------- */

/*
 * malloc must not move the break behind our back: its main arena gets all it will ever want first.
 */
void brk_init(struct worker *w, struct shadow *sh, uint32_t n_max)
{
	struct range *r = &w->ranges[N_RANGES];
	void *volatile p, *volatile q; /* or the compiler removes the allocations */

	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 64 << 20);
	p = malloc(100000); /* below the threshold of mmap; two are more than the first heap has */
	q = malloc(100000);
	free(p);
	free(q);
	p = sbrk(0);
	if (sbrk((intptr_t)(-(uintptr_t)p & (PAGE - 1))) == (void *)-1)
		fatal("sbrk: %s", strerror(errno));
	r->base = sbrk(0);
	r->sh = sh;
	r->n_max = n_max;
	r->brk = true;
	r->slot = NO_SLOT;
	for (uint32_t i = 0; i < n_max; i++) {
		sh[i].id = w->idx << 24 | N_RANGES << 20 | i;
		sh[i].next_version = 1;
	}
	shadow_set_zero(w, r, 0, n_max);
	w->n_ranges = N_RANGES + 1;
}

static void run_brk(struct worker *w)
{
	struct range *r = &w->ranges[N_RANGES];
	struct span s = { .r = r, .at = r->n_pages };
	const uint32_t n = rnd_below(w, r->n_max ? r->n_max : 1), how = rnd_below(w, 4);

	if (w->n_ranges <= N_RANGES || w->busy == r)
		return;
	note(w, "brk", &s, n);
	if (brk(r->base + (size_t)n * PAGE))
		fatal("brk to %u pages: %s", n, strerror(errno));
	r->n_pages = n;
	if (n < s.at) {
		if (how == 0 && !touch_faults(w, page_at(r, n), false))
			fatal("%p can be read after the break shrank", (void *)page_at(r, n));
		return;
	}
	s.n = n - s.at;
	shadow_set_zero(w, r, s.at, s.n);
	if (how & 1)
		span_verify(w, &s);
	if (how & 2)
		span_fill(w, &s);
}

const struct op mem_ops[] = {
	{ "read", 1200, OP_SIMPLE, run_read },
	{ "write", 500, OP_SIMPLE, run_write },
	{ "word", 500, OP_SIMPLE, run_word },
	{ "read-run", 30, OP_SIMPLE, run_read_run },
	{ "touch-run", 10, OP_SIMPLE, run_touch_run },
	{ "copy", 20, OP_SIMPLE, run_copy },
	{ "dontneed", 25, OP_SIMPLE, run_dontneed },
	{ "free", 25, OP_SIMPLE, run_free },
	{ "advice", 20, OP_SIMPLE, run_advice },
	{ "huge", 3, OP_SIMPLE, run_huge },
	{ "mlock", 4, OP_SIMPLE, run_lock },
	{ "guard", 4, OP_SIMPLE, run_guard },
	{ "mprotect", 10, OP_SIMPLE, run_protect },
	{ "brk", 6, OP_SIMPLE, run_brk },
	{ NULL, 0, 0, NULL },
};
