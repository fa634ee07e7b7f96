/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slab - fixed-size objects with a last-in first-out free list
 *
 * Last in, first out: the object freed last is still in a cache. Objects never used come after all
 * freed ones, so memory grows only when there is need. Growing asks the arena a step ahead, under
 * this lock: a step is a megabyte and takes microseconds, once in tens of thousands of objects.
 */
#include "base/slab.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"

/* A free object begins with this. */
struct slab_link {
	uint32_t next;
};

int slab_init_residency(struct slab *s, const char *name, uint32_t obj_bytes, uint32_t n_max,
			enum arena_residency residency)
{
	struct arena_options options = { .name = name, .residency = residency };
	int r;

	*s = (struct slab)SLAB_INIT;
	ASSERT(obj_bytes > 0 && n_max > 0);
	s->obj_bytes = (obj_bytes + 7u) & ~7u;
	s->n_max = n_max;
	options.reserve_bytes = (size_t)s->obj_bytes * n_max;
	r = arena_init(&s->arena, &options);
	if (r)
		return err_trace(r);
	lock_init(&s->lock, LOCK_RANK_SLAB, name);
	return 0;
}

int slab_init(struct slab *s, const char *name, uint32_t obj_bytes, uint32_t n_max)
{
	return slab_init_residency(s, name, obj_bytes, n_max, ARENA_LOCK_TRY);
}

void slab_deinit(struct slab *s)
{
	if (s->arena.base)
		lock_deinit(&s->lock);
	arena_deinit(&s->arena);
	*s = (struct slab)SLAB_INIT;
}

static bool slab_try_reserve_locked(struct slab *s, uint32_t n) REQUIRES(s->lock)
{
	if (n > s->n_max - s->n_reserved || inject_fail())
		return false;
	if (arena_grow(&s->arena, (size_t)(s->n_reserved + n) * s->obj_bytes))
		return false;
	s->n_reserved += n;
	return true;
}

static uint32_t slab_take_locked(struct slab *s) REQUIRES(s->lock)
{
	uint32_t idx = s->free_head;

	ASSERT(s->n_used < s->n_reserved);
	if (idx) {
		s->free_head = ((struct slab_link *)slab_at(s, idx))->next;
	} else {
		idx = load_relaxed(&s->n_high) + 1; /* only written under this lock */
		store_relaxed(&s->n_high, idx);
	}
	s->n_used++;
	return idx;
}

static void slab_give_locked(struct slab *s, uint32_t idx) REQUIRES(s->lock)
{
	struct slab_link *link = slab_at(s, idx);

	ASSERT(idx > 0 && idx <= load_relaxed(&s->n_high));
	ASSERT(s->n_used > 0);
	link->next = s->free_head;
	s->free_head = idx;
	s->n_used--;
}

bool slab_try_reserve(struct slab *s, uint32_t n)
{
	bool ok;

	lock_acquire(&s->lock);
	ok = slab_try_reserve_locked(s, n);
	lock_release(&s->lock);
	return ok;
}

void slab_unreserve(struct slab *s, uint32_t n)
{
	lock_acquire(&s->lock);
	ASSERT(s->n_reserved - s->n_used >= n);
	s->n_reserved -= n;
	lock_release(&s->lock);
}

uint32_t slab_alloc_reserved(struct slab *s)
{
	uint32_t idx;

	lock_acquire(&s->lock);
	idx = slab_take_locked(s);
	lock_release(&s->lock);
	memset(slab_at(s, idx), 0, s->obj_bytes);
	return idx;
}

void slab_free_reserved(struct slab *s, uint32_t idx)
{
	lock_acquire(&s->lock);
	slab_give_locked(s, idx);
	lock_release(&s->lock);
}

uint32_t slab_alloc(struct slab *s)
{
	uint32_t idx = 0;

	lock_acquire(&s->lock);
	if (slab_try_reserve_locked(s, 1))
		idx = slab_take_locked(s);
	lock_release(&s->lock);
	if (idx)
		memset(slab_at(s, idx), 0, s->obj_bytes);
	return idx;
}

void slab_free(struct slab *s, uint32_t idx)
{
	lock_acquire(&s->lock);
	slab_give_locked(s, idx);
	s->n_reserved--;
	lock_release(&s->lock);
}

uint64_t slab_committed_bytes(struct slab *s)
{
	uint64_t bytes = (uint64_t)load_relaxed(&s->n_high) * s->obj_bytes; /* a figure */

	return (bytes + 4095) & ~UINT64_C(4095);
}

uint32_t slab_n_used(struct slab *s)
{
	uint32_t n;

	lock_acquire(&s->lock);
	n = s->n_used;
	lock_release(&s->lock);
	return n;
}
