/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-range - where ranges lie, and every way to move, grow, shrink and replace them
 *
 * Each worker has N_SLOTS windows of address space far below where the kernel places mappings by
 * itself, so that no other thread's mmap can take a hole that an operation makes for a moment.
 * Windows touch each other: ranges may merge into one VMA or be several. A range that the kernel
 * moved (mremap MAYMOVE) lies elsewhere until range_home().
 *
 * mremap takes only one VMA (more, without a resize, since 6.17, unless a VMA is registered with
 * userfaultfd); span_move() therefore goes VMA by VMA, as the kernel's list shows them.
 */
#include "torture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define ARENA_BASE 0x200000000000ull
#define ARENA_STRIDE (64ull << 30)
#define HUGE_BYTES (2ull << 20)

static uint64_t slot_bytes(const struct worker *w)
{
	return ((uint64_t)w->ranges[0].n_max * PAGE + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
}

static uint8_t *slot_addr(const struct worker *w, uint32_t slot)
{
	return (uint8_t *)(ARENA_BASE + w->idx * ARENA_STRIDE + slot * slot_bytes(w));
}

static uint32_t slot_pick_free(struct worker *w)
{
	uint32_t used = 0, pick = rnd_below(w, N_SLOTS);

	for (uint32_t i = 0; i < N_RANGES; i++) {
		if (w->ranges[i].slot != NO_SLOT)
			used |= 1u << w->ranges[i].slot;
	}
	while (used & (1u << pick))
		pick = (pick + 1) % N_SLOTS;
	return pick;
}

static void map_at(uint8_t *addr, size_t bytes, int prot)
{
	uint8_t *p = mmap(addr, bytes, prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != addr)
		fatal("mmap of %zu bytes at %p: %s", bytes, (void *)addr,
		      p == MAP_FAILED ? strerror(errno) : "placed elsewhere");
}

static void unmap(uint8_t *addr, size_t bytes)
{
	if (munmap(addr, bytes))
		fatal("munmap of %zu bytes at %p: %s", bytes, (void *)addr, strerror(errno));
}

void range_init(struct worker *w, uint32_t range_idx, uint32_t n_max, struct shadow *sh)
{
	struct range *r = &w->ranges[range_idx];

	r->n_max = n_max;
	r->n_pages = n_max / 4 * 3;
	r->sh = sh;
	r->slot = range_idx;
	for (uint32_t i = 0; i < n_max; i++) {
		sh[i].id = w->idx << 24 | range_idx << 20 | i;
		sh[i].next_version = 1;
	}
	r->base = slot_addr(w, range_idx);
	map_at(r->base, (size_t)r->n_pages * PAGE, PROT_READ | PROT_WRITE);
	shadow_set_zero(w, r, 0, r->n_max);
	for (uint32_t i = 0; i < r->n_pages; i++)
		page_write(w, r, i, kind_pick(rnd(w)));
}

/* ---- spans ---------------------------------------------------------------------------------- */

static struct span span_pick_from(struct worker *w, uint32_t n_max, uint32_t n_ranges)
{
	struct span s = { .r = &w->ranges[rnd_below(w, n_ranges)] };

	while (s.r == w->busy || s.r->n_pages == 0)
		s.r = &w->ranges[((uint32_t)(s.r - w->ranges) + 1) % n_ranges];
	s.n = 1 + rnd_below(w, n_max);
	if (s.n > s.r->n_pages)
		s.n = s.r->n_pages;
	s.at = rnd_below(w, s.r->n_pages - s.n + 1);
	return s;
}

struct span span_pick(struct worker *w, uint32_t n_max)
{
	return span_pick_from(w, n_max, w->n_ranges);
}

struct span span_pick_layout(struct worker *w, uint32_t n_max)
{
	return span_pick_from(w, n_max, N_RANGES);
}

void span_settle(struct worker *w, const struct span *s)
{
	for (uint32_t i = s->at; i < s->at + s->n; i++) {
		if (shadow_get(w, s->r, i)->state == STATE_FREED)
			page_write(w, s->r, i, kind_pick(mix64(w->n_ops + i)));
	}
}

void span_fill(struct worker *w, const struct span *s)
{
	for (uint32_t i = s->at; i < s->at + s->n; i++)
		page_write(w, s->r, i, kind_pick(rnd(w)));
}

void span_verify(struct worker *w, const struct span *s)
{
	for (uint32_t i = s->at; i < s->at + s->n; i++)
		page_verify(w, s->r, i);
}

void worker_verify_all(struct worker *w)
{
	for (uint32_t i = 0; i < w->n_ranges; i++) {
		struct span all = { .r = &w->ranges[i], .n = w->ranges[i].n_pages };

		span_verify(w, &all);
	}
}

/* ---- moving --------------------------------------------------------------------------------- */

/* End of the mapping that covers @addr, by the kernel's list; 0: nothing is mapped there and
 * *ret_next is where the next mapping begins. */
static uintptr_t mapping_end(uintptr_t addr, uintptr_t *ret_next)
{
	char line[512];
	uintptr_t start, end, found = 0;
	FILE *f = fopen("/proc/self/maps", "re");

	if (!f)
		fatal("/proc/self/maps: %s", strerror(errno));
	*ret_next = UINTPTR_MAX;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || end <= addr)
			continue;
		if (start <= addr)
			found = end;
		else
			*ret_next = start;
		break;
	}
	fclose(f);
	return found;
}

/* mremap with MREMAP_FIXED, without resize, in as many pieces as there are VMAs. */
static void span_move(uint8_t *src, size_t bytes, uint8_t *dst, int flags)
{
	size_t done = 0;

	for (uint32_t n_tries = 0; done < bytes; n_tries++) {
		uintptr_t at = (uintptr_t)src + done, next;
		uintptr_t end = mapping_end(at, &next);
		size_t n = bytes - done;

		if (n_tries > 100000)
			fatal("mremap of %p makes no progress", (void *)src);
		if (!end) { /* a call that failed later moved this piece already */
			done = next > (uintptr_t)src + bytes ? bytes : next - (uintptr_t)src;
			continue;
		}
		if (end - at < n)
			n = end - at;
		if (mremap(src + done, n, n, MREMAP_MAYMOVE | MREMAP_FIXED | flags, dst + done) ==
		    MAP_FAILED) {
			if (errno == EFAULT)
				continue; /* the mapping was split meanwhile */
			fatal("mremap of %zu bytes at %p to %p: %s", n, (void *)(src + done),
			      (void *)(dst + done), strerror(errno));
		}
		done += n;
	}
}

void range_home(struct worker *w, struct range *r)
{
	uint32_t slot;

	if (r->brk || r->slot != NO_SLOT)
		return;
	slot = slot_pick_free(w);
	span_move(r->base, (size_t)r->n_pages * PAGE, slot_addr(w, slot), 0);
	r->base = slot_addr(w, slot);
	r->slot = slot;
}

/* As a program without mremap would: into new memory by reading and writing. */
static void range_move_by_copy(struct worker *w, struct range *r)
{
	const struct span all = { .r = r, .n = r->n_pages };
	const uint32_t slot = slot_pick_free(w);
	uint8_t *to = slot_addr(w, slot);

	span_settle(w, &all);
	map_at(to, (size_t)r->n_pages * PAGE, PROT_READ | PROT_WRITE);
	memcpy(to, r->base, (size_t)r->n_pages * PAGE);
	unmap(r->base, (size_t)r->n_pages * PAGE);
	r->base = to;
	r->slot = slot;
}

static void run_move(struct worker *w)
{
	struct span s = span_pick_layout(w, 32);
	const uint32_t how = rnd_below(w, 8);

	note(w, "move", &s, how);
	range_home(w, s.r);
	if (how == 0) {
		range_move_by_copy(w, s.r);
	} else {
		const uint32_t slot = slot_pick_free(w);
		const size_t bytes = (size_t)s.r->n_pages * PAGE;

		span_move(s.r->base, bytes, slot_addr(w, slot), how < 3 ? MREMAP_DONTUNMAP : 0);
		if (how < 3) { /* the old place stays mapped and is empty */
			uint8_t *old = page_at(s.r, s.at);

			for (uint32_t i = 0; i < s.n; i++) {
				if (*(volatile uint64_t *)(void *)(old + (size_t)i * PAGE))
					fatal("%p: left behind by DONTUNMAP, not zero",
					      (void *)(old + (size_t)i * PAGE));
			}
			unmap(s.r->base, bytes);
		} else if (how < 5 && !touch_faults(w, page_at(s.r, s.at), how == 3)) {
			fatal("%p can be touched after mremap", (void *)page_at(s.r, s.at));
		}
		s.r->base = slot_addr(w, slot);
		s.r->slot = slot;
	}
	span_verify(w, &s);
}

/* A piece of one range replaces a piece of another (or of the same one). */
static void run_move_part(struct worker *w)
{
	struct span src = span_pick_layout(w, 64), dst = span_pick_layout(w, 64);
	const bool keep = rnd_below(w, 2), touch_hole = rnd_below(w, 4) == 0;
	const uint32_t n = src.n < dst.n ? src.n : dst.n;

	src.n = dst.n = n;
	note(w, "move-from", &src, keep);
	note(w, "move-to", &dst, keep);
	if (src.r == dst.r && src.at < dst.at + n && dst.at < src.at + n)
		return;
	range_home(w, src.r);
	range_home(w, dst.r);
	span_move(page_at(src.r, src.at), (size_t)n * PAGE, page_at(dst.r, dst.at),
		  keep ? MREMAP_DONTUNMAP : 0);
	for (uint32_t i = 0; i < n; i++)
		shadow_copy(w, &dst.r->sh[dst.at + i], &src.r->sh[src.at + i]);
	if (!keep) {
		shadow_set_state(w, src.r, src.at, n, STATE_HOLE);
		if (touch_hole && !touch_faults(w, page_at(src.r, src.at + n / 2), false))
			fatal("%p can be read after mremap",
			      (void *)page_at(src.r, src.at + n / 2));
		map_at(page_at(src.r, src.at), (size_t)n * PAGE, PROT_READ | PROT_WRITE);
	}
	shadow_set_zero(w, src.r, src.at, n);
	span_verify(w, &dst);
	span_verify(w, &src);
}

/* ---- growing and shrinking ------------------------------------------------------------------ */

static void range_grown(struct worker *w, struct range *r, uint32_t n, uint32_t how)
{
	struct span s = { .r = r, .at = r->n_pages, .n = n };

	shadow_set_zero(w, r, s.at, s.n);
	r->n_pages += n;
	if (how & 1)
		span_verify(w, &s);
	if (how & 2)
		span_fill(w, &s);
}

static void run_grow(struct worker *w)
{
	struct span s = span_pick_layout(w, 256);
	const uint32_t how = rnd_below(w, 4);
	uint8_t *last;

	note(w, "grow", &s, how);
	range_home(w, s.r);
	if (s.n > s.r->n_max - s.r->n_pages)
		s.n = s.r->n_max - s.r->n_pages;
	if (!s.n)
		return;
	last = page_at(s.r, s.r->n_pages - 1);
	if (mremap(last, PAGE, PAGE + (size_t)s.n * PAGE, 0) == MAP_FAILED)
		fatal("mremap grows in place by %u pages at %p: %s", s.n, (void *)last,
		      strerror(errno));
	range_grown(w, s.r, s.n, how);
}

/*
 * What mremap refuses with EFAULT because the range is several mappings (under uswap it may be, at any
 * time). Neither draws a number nor writes a page: the closing line must not depend on it.
 */
static uint8_t *grow_in_pieces(const struct range *r, size_t bytes, size_t new_bytes)
{
	uint8_t *to = mmap(NULL, new_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (to == MAP_FAILED)
		fatal("mmap of %zu bytes: %s", new_bytes, strerror(errno));
	span_move(r->base, bytes, to, 0);
	return to;
}

static void run_grow_move(struct worker *w)
{
	struct span s = span_pick_layout(w, 256);
	const uint32_t how = rnd_below(w, 4);
	const bool home = rnd_below(w, 2);
	struct range *r = s.r;
	size_t bytes, new_bytes;
	uint8_t *p, *guard;

	note(w, "grow-move", &s, how);
	range_home(w, r);
	if (s.n > r->n_max - r->n_pages)
		s.n = r->n_max - r->n_pages;
	if (!s.n)
		return;
	bytes = (size_t)r->n_pages * PAGE;
	new_bytes = bytes + (size_t)s.n * PAGE;
	guard = r->base + bytes;
	map_at(guard, PAGE, PROT_NONE);
	p = mremap(r->base, bytes, new_bytes, MREMAP_MAYMOVE);
	if (p == MAP_FAILED && errno == EFAULT)
		p = grow_in_pieces(r, bytes, new_bytes);
	unmap(guard, PAGE);
	if (p == MAP_FAILED || p == r->base)
		fatal("mremap grows and moves %p: %s", (void *)r->base, strerror(errno));
	r->base = p;
	r->slot = NO_SLOT;
	range_grown(w, r, s.n, how);
	if (s.at + s.n > r->n_pages)
		s.at = r->n_pages - s.n;
	span_verify(w, &s);
	if (home)
		range_home(w, r);
}

static void run_shrink(struct worker *w)
{
	struct span s = span_pick_layout(w, 256);
	struct range *r = s.r;
	uint8_t *last;

	note(w, "shrink", &s, 0);
	range_home(w, r);
	if (r->n_pages < r->n_max / 2 || s.n > r->n_pages - 1)
		return;
	last = page_at(r, r->n_pages - s.n - 1);
	r->n_pages -= s.n;
	if (mremap(last, (size_t)(s.n + 1) * PAGE, PAGE, 0) == MAP_FAILED) {
		if (errno != EFAULT)
			fatal("mremap shrinks to %p: %s", (void *)last, strerror(errno));
		unmap(last + PAGE, (size_t)s.n * PAGE);
	}
}

/* ---- replacing ------------------------------------------------------------------------------ */

static void run_remap(struct worker *w)
{
	struct span s = span_pick_layout(w, rnd_below(w, 8) ? 64 : 2048);
	const uint32_t how = rnd_below(w, 8);
	uint8_t *p;

	note(w, "munmap-mmap", &s, how);
	range_home(w, s.r);
	p = page_at(s.r, s.at);
	if (how < 3) {
		if (mmap(p, (size_t)s.n * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != p)
			fatal("mmap(MAP_FIXED) at %p: %s", (void *)p, strerror(errno));
	} else {
		unmap(p, (size_t)s.n * PAGE);
		shadow_set_state(w, s.r, s.at, s.n, STATE_HOLE);
		if (how == 3 && !touch_faults(w, p, false))
			fatal("%p can be read after munmap", (void *)p);
		map_at(p, (size_t)s.n * PAGE, PROT_READ | PROT_WRITE);
	}
	shadow_set_zero(w, s.r, s.at, s.n);
	if (how & 1)
		span_verify(w, &s);
	if (how & 2)
		span_fill(w, &s);
}

const struct op range_ops[] = {
	{ "move", 4, OP_SIMPLE, run_move },
	{ "move-part", 12, OP_SIMPLE, run_move_part },
	{ "grow", 10, OP_SIMPLE, run_grow },
	{ "grow-move", 3, OP_SIMPLE, run_grow_move },
	{ "shrink", 8, OP_SIMPLE, run_shrink },
	{ "munmap-mmap", 20, OP_SIMPLE, run_remap },
	{ NULL, 0, 0, NULL },
};
