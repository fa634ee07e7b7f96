/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool-block - lists of blocks, isolation for compaction, giving memory back
 *
 * A block without objects loses its class at once and waits on the dirty list with its memory, where
 * any class may take it again. Background threads give what is too much there back to the system;
 * the fault path, which frees objects, never makes that system call.
 */
#include "core/pool-block.h"

#include <string.h>

#include "base/assert.h"
#include "core/entry.h"

enum {
	DIRTY_STOCK_MAX = 16,	/* free blocks whose memory is kept for the next allocation */
	DIRTY_STOCK_PART = 128, /* or this part of all, if that is less */
	ISOLATE_LOOK_MAX = 64,	/* blocks of a list that are compared */
};

static uint32_t group_of(const struct pool_class *c, const struct pool_block *b)
{
	if (b->isolated || b->n_used == c->n_objs)
		return POOL_G_NONE;
	if (b->n_used == 0)
		return POOL_G_1;
	return POOL_G_1 + (b->n_used * 4u - 1) / c->n_objs;
}

static void group_unlink_locked(struct pool *p, struct pool_class *c, uint32_t block)
	REQUIRES(c->lock)
{
	struct pool_block *b = block_at(p, block);

	if (b->group == POOL_G_NONE)
		return;
	if (b->prev)
		block_at(p, b->prev)->next = b->next;
	else
		c->groups[b->group] = b->next;
	if (b->next)
		block_at(p, b->next)->prev = b->prev;
	b->next = b->prev = 0;
	b->group = POOL_G_NONE;
}

void block_regroup_locked(struct pool *p, struct pool_class *c, uint32_t block)
{
	struct pool_block *b = block_at(p, block);
	uint32_t group = group_of(c, b);

	if (group == b->group)
		return;
	group_unlink_locked(p, c, block);
	if (group == POOL_G_NONE)
		return;
	b->group = (uint8_t)group;
	b->prev = 0;
	b->next = c->groups[group];
	if (b->next)
		block_at(p, b->next)->prev = block;
	c->groups[group] = block;
}

static uint32_t block_take_free_locked(struct pool *p) REQUIRES(p->blocks_lock)
{
	uint32_t block = p->dirty ? p->dirty : p->clean;

	if (block) {
		if (p->dirty) {
			p->dirty = block_at(p, block)->next;
			p->n_dirty--;
		} else {
			p->clean = block_at(p, block)->next;
		}
		return block;
	}
	block = p->n_high + 1;
	if (block > p->n_max)
		return 0;
	if (arena_grow(&p->table, ((size_t)block + 1) * sizeof(struct pool_block)) ||
	    arena_grow(&p->data, (size_t)block * POOL_BLOCK_BYTES))
		return 0;
	p->n_high = block;
	return block;
}

uint32_t block_get_locked(struct pool *p, struct pool_class *c)
{
	struct pool_block *b;
	uint32_t block;

	lock_acquire(&p->blocks_lock);
	block = block_take_free_locked(p);
	lock_release(&p->blocks_lock);
	if (!block)
		return 0;
	b = block_at(p, block);
	ASSERT(!b->in_use);
	*b = (struct pool_block){ .class_idx = (uint8_t)c->idx,
				  .n_pages = b->n_pages,
				  .in_use = 1 };
	c->n_blocks++;
	return block;
}

void block_put_locked(struct pool *p, struct pool_class *c, uint32_t block)
{
	struct pool_block *b = block_at(p, block);

	ASSERT(b->n_used == 0);
	group_unlink_locked(p, c, block);
	b->in_use = 0;
	b->isolated = 0;
	c->n_blocks--;
	lock_acquire(&p->blocks_lock);
	b->next = p->dirty;
	p->dirty = block;
	p->n_dirty++;
	lock_release(&p->blocks_lock);
}

/* The emptiest of the first blocks of the lowest list, if the others can take what it has. */
static uint32_t class_isolate_locked(struct pool *p, struct pool_class *c) REQUIRES(c->lock)
{
	uint32_t g, block, best = 0, n_look = ISOLATE_LOOK_MAX;

	/* One block's worth of room must be free beside the block that goes. */
	if (c->n_blocks * c->n_objs - c->n_used < c->n_objs)
		return 0;
	for (g = POOL_G_1; g < POOL_N_GROUPS && !best; g++)
		for (block = c->groups[g]; block && n_look; block = block_at(p, block)->next) {
			n_look--;
			if (!best || block_at(p, block)->n_used < block_at(p, best)->n_used)
				best = block;
		}
	if (!best)
		return 0;
	block_at(p, best)->isolated = 1;
	block_regroup_locked(p, c, best);
	return best;
}

int pool_isolate(struct pool *p, uint32_t *class_cursor, uint32_t *ret_block)
{
	struct pool_class *c;
	uint32_t block;

	for (; *class_cursor < p->n_classes; (*class_cursor)++) {
		c = &p->classes[*class_cursor];
		lock_acquire(&c->lock);
		block = class_isolate_locked(p, c);
		lock_release(&c->lock);
		if (block) {
			*ret_block = block;
			return 0;
		}
	}
	return POOL_E_NONE;
}

int pool_isolated_next(struct pool *p, uint32_t block, uint32_t *cursor, uint32_t *ret_handle,
		       uint32_t *ret_entry_idx, struct slot_ref *ret_slot)
{
	struct pool_block *b = block_at(p, block);
	/* An isolated block keeps its class, whatever others free in it. */
	struct pool_class *c = &p->classes[b->class_idx];
	uint32_t *refs = block_refs(p, block);
	uint32_t obj;
	int r = POOL_E_NONE;

	lock_acquire(&c->lock);
	ASSERT(b->isolated);
	for (obj = *cursor; obj < b->n_init && (refs[obj] & REF_FREE); obj++)
		;
	if (obj < b->n_init) {
		*ret_handle = block << POOL_OBJ_BITS | obj;
		*ret_entry_idx = refs[obj];
		/* The entry exists while the reference is set, and this lock keeps it set. */
		*ret_slot = slot_ref_of(p->slots,
					(struct slot_id){ entry_at(p->entries, refs[obj])->slot });
		r = 0;
	}
	*cursor = obj + 1;
	lock_release(&c->lock);
	return r;
}

void pool_putback(struct pool *p, uint32_t block)
{
	struct pool_block *b = block_at(p, block);
	struct pool_class *c = &p->classes[b->class_idx];

	lock_acquire(&c->lock);
	ASSERT(b->isolated);
	b->isolated = 0;
	if (b->n_used == 0)
		block_put_locked(p, c, block);
	else
		block_regroup_locked(p, c, block);
	lock_release(&c->lock);
}

uint64_t pool_trim(struct pool *p)
{
	uint64_t bytes = 0, n;
	uint32_t block, stock;
	struct pool_block *b;

	for (;;) {
		lock_acquire(&p->blocks_lock);
		stock = p->n_high / DIRTY_STOCK_PART;
		if (stock > DIRTY_STOCK_MAX)
			stock = DIRTY_STOCK_MAX;
		block = p->n_dirty > stock ? p->dirty : 0;
		if (block) {
			p->dirty = block_at(p, block)->next;
			p->n_dirty--;
		}
		lock_release(&p->blocks_lock);
		if (!block)
			return bytes;
		/* On no list: ours alone, so the lock is not needed for the system call. */
		arena_punch(&p->data, ((size_t)block - 1) * POOL_BLOCK_BYTES, POOL_BLOCK_BYTES);
		b = block_at(p, block);
		n = (uint64_t)b->n_pages * PAGE_BYTES;
		b->n_pages = 0;
		fetch_sub_relaxed(&p->committed_bytes, n);
		bytes += n;
		lock_acquire(&p->blocks_lock);
		b->next = p->clean;
		p->clean = block;
		lock_release(&p->blocks_lock);
	}
}

uint64_t pool_table_bytes(struct pool *p)
{
	uint64_t n;

	lock_acquire(&p->blocks_lock);
	n = ((uint64_t)p->n_high + 1) * sizeof(struct pool_block);
	lock_release(&p->blocks_lock);
	return (n + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void block_check(struct pool *p, uint32_t block)
{
	struct pool_block *b = block_at(p, block);
	struct pool_class *c = &p->classes[b->class_idx];
	uint32_t *refs = block_refs(p, block);
	uint32_t obj, n_free = 0, n_used = 0;

	for (obj = 0; obj < b->n_init; obj++)
		n_used += !(refs[obj] & REF_FREE);
	for (obj = b->free_head; obj; obj = refs[obj - 1] & ~REF_FREE) {
		ASSERT(refs[obj - 1] & REF_FREE);
		ASSERT(n_free < b->n_init);
		n_free++;
	}
	ASSERT(n_used == b->n_used);
	ASSERT(n_free + n_used == b->n_init);
	ASSERT(b->group == group_of(c, b));
	ASSERT(b->n_used > 0 || b->isolated);
}

void pool_check(struct pool *p)
{
	uint32_t block, i, g, n_listed = 0, n_used = 0, n_blocks = 0;
	uint64_t committed_bytes = 0;

	for (block = 1; block <= p->n_high; block++) {
		committed_bytes += (uint64_t)block_at(p, block)->n_pages * PAGE_BYTES;
		if (!block_at(p, block)->in_use)
			continue;
		block_check(p, block);
		n_blocks++;
		n_used += block_at(p, block)->n_used;
	}
	for (i = 0; i < p->n_classes; i++) {
		n_blocks -= p->classes[i].n_blocks;
		n_used -= p->classes[i].n_used;
		for (g = POOL_G_1; g < POOL_N_GROUPS; g++)
			for (block = p->classes[i].groups[g]; block;
			     block = block_at(p, block)->next) {
				ASSERT(block_at(p, block)->group == g);
				ASSERT(block_at(p, block)->class_idx == i);
				n_listed++;
			}
	}
	ASSERT(n_blocks == 0);
	ASSERT(n_used == 0);
	ASSERT(n_listed <= p->n_high);
	ASSERT(committed_bytes == load_relaxed(&p->committed_bytes)); /* no other thread: exact */
}
