/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool - size classes in blocks
 *
 * Objects never used come after all freed ones, and memory is touched from the front of a block: a
 * young block costs only the pages it has filled. Free objects are chained through their own
 * back-references, marked by the top bit, which no entry index has.
 *
 * Road not taken: a class per eight bytes, as zsmalloc nearly has. With four hundred classes the
 * half-empty block that each of them keeps costs more than the better fit gains, until the pool is
 * many gigabytes.
 */
#include "core/pool.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "core/entry.h"
#include "core/pool-block.h"
#include "core/rank.h"

enum {
	OBJ_MIN_BYTES = 64,
	CLASS_STEP_MIN = 16,
	CLASS_STEP_PART = 32, /* classes are at least a 32nd apart */
};

static void class_init(struct pool *p, uint32_t obj_bytes, uint32_t n_objs, uint32_t head_bytes)
{
	struct pool_class *c;

	ASSERT(p->n_classes < POOL_CLASSES_MAX);
	ASSERT(head_bytes + n_objs * obj_bytes <= POOL_BLOCK_BYTES);
	c = &p->classes[p->n_classes];
	c->idx = p->n_classes++;
	c->obj_bytes = obj_bytes;
	c->n_objs = n_objs;
	c->head_bytes = head_bytes;
	lock_init(&c->lock, LOCK_RANK_POOL_CLASS, "pool class");
}

static uint32_t head_bytes_of(uint32_t n_objs)
{
	return (n_objs * (uint32_t)sizeof(uint32_t) + 7) & ~7u;
}

/* From the largest down: after a class comes the next smaller size that is worth one of its own. */
static void classes_init(struct pool *p)
{
	uint32_t n_objs, size, last = UINT32_MAX, step, len, c;

	class_init(p, PAGE_BYTES, POOL_RAW_OBJS, 0);
	for (n_objs = POOL_BLOCK_BYTES / PAGE_BYTES; n_objs < POOL_OBJS_MAX; n_objs++) {
		size = (POOL_BLOCK_BYTES - head_bytes_of(n_objs)) / n_objs & ~7u;
		step = size / CLASS_STEP_PART;
		if (step < CLASS_STEP_MIN)
			step = CLASS_STEP_MIN;
		if (size < OBJ_MIN_BYTES)
			break;
		/* The first class is the smallest size that takes the longest object. */
		if (last == UINT32_MAX &&
		    (POOL_BLOCK_BYTES - head_bytes_of(n_objs + 1)) / (n_objs + 1) >=
			    POOL_LEN_MAX + 8)
			continue;
		if (last != UINT32_MAX && last - size < step)
			continue;
		class_init(p, size, n_objs, head_bytes_of(n_objs));
		last = size;
	}
	ASSERT(p->classes[1].obj_bytes >= POOL_LEN_MAX);
	for (len = 0; len <= POOL_LEN_MAX; len += POOL_LEN_STEP) {
		for (c = p->n_classes - 1; p->classes[c].obj_bytes < len; c--)
			ASSERT(c > 1);
		p->class_of[len / POOL_LEN_STEP] = (uint8_t)c;
	}
}

int pool_init(struct pool *p, uint32_t n_blocks_max, struct slab *entries, struct slot_table *slots,
	      enum arena_residency residency)
{
	int r;

	memset(p, 0, sizeof(*p));
	p->data = p->table = (struct arena)ARENA_INIT;
	p->entries = entries;
	p->slots = slots;
	p->n_max = n_blocks_max < POOL_BLOCKS_MAX ? n_blocks_max : POOL_BLOCKS_MAX;
	lock_init(&p->blocks_lock, LOCK_RANK_POOL_BLOCKS, "pool blocks");
	classes_init(p);
	r = arena_init(&p->data, &(struct arena_options){
					 .name = "uswap-pool",
					 .reserve_bytes = (size_t)p->n_max * POOL_BLOCK_BYTES,
					 .step_bytes = 64 * POOL_BLOCK_BYTES,
					 .residency = residency,
				 });
	if (r)
		return err_trace(r);
	r = arena_init(&p->table,
		       &(struct arena_options){
			       .name = "uswap-pool-table",
			       .reserve_bytes = ((size_t)p->n_max + 1) * sizeof(struct pool_block),
			       .step_bytes = 65536,
			       .residency = residency,
		       });
	return err_trace(r);
}

void pool_deinit(struct pool *p)
{
	uint32_t i;

	for (i = 0; i < p->n_classes; i++)
		lock_deinit(&p->classes[i].lock);
	lock_deinit(&p->blocks_lock);
	arena_deinit(&p->data);
	arena_deinit(&p->table);
}

static struct pool_class *class_of_len(struct pool *p, uint32_t len)
{
	if (len == PAGE_BYTES)
		return &p->classes[POOL_CLASS_RAW];
	ASSERT(len > 0 && len <= POOL_LEN_MAX);
	return &p->classes[p->class_of[(len + POOL_LEN_STEP - 1) / POOL_LEN_STEP]];
}

uint32_t pool_class_bytes(const struct pool *p, uint32_t len)
{
	if (len == PAGE_BYTES)
		return PAGE_BYTES;
	return p->classes[p->class_of[(len + POOL_LEN_STEP - 1) / POOL_LEN_STEP]].obj_bytes;
}

/* Count the pages of a block up to its byte @end as touched. */
static void block_touch_locked(struct pool *p, struct pool_block *b, uint32_t end)
{
	uint32_t n_pages = (end + PAGE_BYTES - 1) / PAGE_BYTES;

	if (n_pages <= b->n_pages)
		return;
	fetch_add_relaxed(&p->committed_bytes, (uint64_t)(n_pages - b->n_pages) * PAGE_BYTES);
	b->n_pages = (uint8_t)n_pages;
}

static uint32_t obj_take_locked(struct pool *p, struct pool_class *c, uint32_t block,
				uint32_t entry_idx) REQUIRES(c->lock)
{
	struct pool_block *b = block_at(p, block);
	uint32_t *refs = block_refs(p, block);
	uint32_t obj;

	if (b->free_head) {
		obj = b->free_head - 1u;
		ASSERT(refs[obj] & REF_FREE);
		b->free_head = (uint16_t)(refs[obj] & ~REF_FREE);
	} else {
		ASSERT(b->n_init < c->n_objs);
		obj = b->n_init++;
		block_touch_locked(p, b, c->head_bytes + b->n_init * c->obj_bytes);
	}
	refs[obj] = entry_idx;
	b->n_used++;
	c->n_used++;
	block_regroup_locked(p, c, block);
	return obj;
}

int pool_alloc(struct pool *p, uint32_t len, uint32_t entry_idx, uint32_t *ret_handle)
{
	struct pool_class *c = class_of_len(p, len);
	uint32_t block = 0, g, obj = 0;

	ASSERT(entry_idx > 0 && entry_idx <= ENTRY_IDX_MAX);
	lock_acquire(&c->lock);
	for (g = POOL_G_4; g > POOL_G_NONE && !block; g--)
		block = c->groups[g];
	if (!block)
		block = block_get_locked(p, c);
	if (block)
		obj = obj_take_locked(p, c, block, entry_idx);
	lock_release(&c->lock);
	if (!block)
		return POOL_E_FULL;
	fetch_add_relaxed(&p->used_bytes, len);
	*ret_handle = block << POOL_OBJ_BITS | obj;
	return 0;
}

void pool_free(struct pool *p, uint32_t handle, uint32_t len)
{
	struct pool_class *c = class_of_len(p, len);
	uint32_t block = handle >> POOL_OBJ_BITS;
	uint32_t obj = handle % POOL_OBJS_MAX;
	struct pool_block *b = block_at(p, block);
	uint32_t *refs;

	lock_acquire(&c->lock);
	ASSERT(b->in_use && b->class_idx == c->idx);
	ASSERT(obj < b->n_init);
	refs = block_refs(p, block);
	ASSERT(!(refs[obj] & REF_FREE));
	refs[obj] = REF_FREE | b->free_head;
	b->free_head = (uint16_t)(obj + 1);
	b->n_used--;
	c->n_used--;
	if (b->n_used == 0 && !b->isolated)
		block_put_locked(p, c, block);
	else
		block_regroup_locked(p, c, block);
	lock_release(&c->lock);
	fetch_sub_relaxed(&p->used_bytes, len);
}

void *pool_at(struct pool *p, uint32_t handle)
{
	uint32_t block = handle >> POOL_OBJ_BITS;
	/* The class of a block is fixed while an object of it is allocated. */
	const struct pool_class *c = &p->classes[block_at(p, block)->class_idx];

	return block_bytes(p, block) + c->head_bytes + handle % POOL_OBJS_MAX * c->obj_bytes;
}

uint32_t pool_owner(struct pool *p, uint32_t handle)
{
	uint32_t ref = block_refs(p, handle >> POOL_OBJ_BITS)[handle % POOL_OBJS_MAX];

	return ref & REF_FREE ? 0 : ref;
}
