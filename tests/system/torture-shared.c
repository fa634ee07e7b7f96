/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-shared - one arena that all workers write and check, with a lock per page
 *
 * The locks and shadows lie in MAP_SHARED memory, the pages do not: several threads fault on
 * neighbouring pages at once while another takes pages away by madvise. Fork children leave it alone,
 * because the locks go on living in the parent.
 */
#include "torture.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

static struct {
	struct range range;
	uint32_t *locks; /* [atomic] 0 free, 1 held; taken in ascending order */
} shared;

void shared_init(uint32_t n_pages)
{
	struct range *r = &shared.range;
	const size_t bytes = (size_t)n_pages * (sizeof(struct shadow) + sizeof(uint32_t));

	r->base = mmap(NULL, (size_t)n_pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->sh = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->base == MAP_FAILED || r->sh == MAP_FAILED)
		fatal("mmap of the shared arena: %s", strerror(errno));
	shared.locks = (uint32_t *)(void *)(r->sh + n_pages);
	r->n_pages = r->n_max = n_pages;
	for (uint32_t i = 0; i < n_pages; i++) {
		r->sh[i].id = 0xff000000u | i;
		r->sh[i].next_version = 1;
		r->sh[i].src_id = r->sh[i].id;
		shadow_seal(&r->sh[i]);
	}
}

static void page_lock(uint32_t idx)
{
	uint32_t n = 0;

	while (__atomic_exchange_n(&shared.locks[idx], 1, __ATOMIC_ACQUIRE)) {
		if (++n > 100)
			sched_yield();
	}
}

static void page_unlock(uint32_t idx)
{
	__atomic_store_n(&shared.locks[idx], 0, __ATOMIC_RELEASE);
}

static void run_shared(struct worker *w)
{
	struct range *r = &shared.range;
	const uint32_t how = rnd_below(w, 16), salt = (uint32_t)rnd(w), n_draw = rnd_below(w, 32);
	const uint32_t n = how < 14 ? 1 : 1 + n_draw, at = rnd_below(w, r->n_pages - n + 1);
	const uint64_t n_checked = w->n_checked, kind = rnd(w);

	if (w->in_child)
		return;
	for (uint32_t i = at; i < at + n; i++)
		page_lock(i);
	if (how < 8) {
		page_verify(w, r, at);
	} else if (how < 11) {
		page_write(w, r, at, kind_pick(kind));
	} else if (how < 14) {
		page_write_word(w, r, at, salt % PAGE_WORDS, salt);
	} else {
		const bool free = how == 15;

		if (madvise(page_at(r, at), (size_t)n * PAGE, free ? MADV_FREE : MADV_DONTNEED))
			fatal("madvise of the shared arena: %s", strerror(errno));
		if (free)
			shadow_set_state(w, r, at, n, STATE_FREED);
		else
			shadow_set_zero(w, r, at, n);
	}
	for (uint32_t i = at; i < at + n; i++)
		page_unlock(i);
	w->n_checked = n_checked; /* depends on the other threads: not part of the result */
}

void shared_verify_all(struct worker *w)
{
	for (uint32_t i = 0; i < shared.range.n_pages; i++)
		page_verify(w, &shared.range, i);
}

const struct op shared_ops[] = {
	{ "shared", 400, OP_SIMPLE, run_shared },
	{ NULL, 0, 0, NULL },
};
