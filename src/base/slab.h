/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slab - objects of one size in an arena, by index
 *
 * Indexes are 1..n_max; 0 is "none". Objects are zero when they are handed out. The free list runs
 * through the free objects and is derived: who knows which objects are in use can rebuild it.
 *
 * A reservation is the right to one slab_alloc_reserved(), which then cannot fail: work that must
 * not fail half-way takes its reservations first.
 *
 * Ownership: the slab owns the memory, the caller the objects.
 * Threads:   any; a lock of its own. slab_at() is free.
 * Invariant: n_used <= n_reserved <= what the arena has room for <= n_max.
 */
#ifndef USWAP_BASE_SLAB_H
#define USWAP_BASE_SLAB_H

#include "base/arena.h"
#include "base/lock.h"

struct slab {
	struct arena arena;	 /* [own lock] */
	struct lock lock;	 /* LOCK_RANK_SLAB */
	uint32_t obj_bytes;	 /* [const] multiple of 8 */
	uint32_t n_max;		 /* [const] */
	uint32_t free_head;	 /* [lock] 0: none */
	uint32_t n_used;	 /* [lock] */
	uint32_t n_reserved;	 /* [lock] used ones included */
	_Atomic uint32_t n_high; /* [lock] to write; indexes above were never used */
};
#define SLAB_INIT                   \
	{                           \
		.arena = ARENA_INIT \
	}

/* @obj_bytes is rounded up to 8. Return: 0, or a negative errno. */
int slab_init(struct slab *s, const char *name, uint32_t obj_bytes, uint32_t n_max);
int slab_init_residency(struct slab *s, const char *name, uint32_t obj_bytes, uint32_t n_max,
			enum arena_residency residency);
void slab_deinit(struct slab *s); /* takes SLAB_INIT and half-built ones */

uint32_t slab_alloc(struct slab *s);	      /* 0: exhausted */
void slab_free(struct slab *s, uint32_t idx); /* pre: from slab_alloc() */

bool slab_try_reserve(struct slab *s, uint32_t n);
void slab_unreserve(struct slab *s, uint32_t n);
uint32_t slab_alloc_reserved(struct slab *s); /* pre: a reservation that is not used; never 0 */
void slab_free_reserved(struct slab *s, uint32_t idx); /* post: the reservation is free again */

uint64_t slab_committed_bytes(struct slab *s); /* memory taken, by the highest index ever used */
uint32_t slab_n_used(struct slab *s);

static inline void *slab_at(const struct slab *s, uint32_t idx)
{
	return s->arena.base + (size_t)(idx - 1) * s->obj_bytes;
}

#endif
