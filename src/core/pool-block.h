/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool-block - the blocks of a pool: where they come from, which list they are on
 *
 * Internal to the pool.
 *
 * Threads: the caller holds the lock of the block's class, where the name says _locked.
 */
#ifndef USWAP_CORE_POOL_BLOCK_H
#define USWAP_CORE_POOL_BLOCK_H

#include "core/pool.h"

#define REF_FREE 0x80000000u /* back-reference of a free object: the next one + 1 */

static inline struct pool_block *block_at(const struct pool *p, uint32_t block)
{
	return (struct pool_block *)arena_at(&p->table, (size_t)block * sizeof(struct pool_block));
}

static inline uint8_t *block_bytes(const struct pool *p, uint32_t block)
{
	return arena_at(&p->data, ((size_t)block - 1) * POOL_BLOCK_BYTES);
}

/* Back-references of a block's objects. */
static inline uint32_t *block_refs(const struct pool *p, uint32_t block)
{
	struct pool_block *b = block_at(p, block);

	return b->class_idx == POOL_CLASS_RAW ? b->raw_refs : (uint32_t *)block_bytes(p, block);
}

/* An empty block for the class, on no list. 0: none to be had. */
uint32_t block_get_locked(struct pool *p, struct pool_class *c) REQUIRES(c->lock);
/* Take an empty block from the class; its memory stays until pool_trim(). */
void block_put_locked(struct pool *p, struct pool_class *c, uint32_t block) REQUIRES(c->lock);
/* Put a block on the list it belongs to by its use. */
void block_regroup_locked(struct pool *p, struct pool_class *c, uint32_t block) REQUIRES(c->lock);

#endif
