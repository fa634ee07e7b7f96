/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * area - taking and giving slots, trees, retirement
 *
 * Slots are taken lowest first, so that pages evicted together are neighbours in the tree and in
 * the slot table, and a small app touches few pages of either. A retired area keeps its struct and
 * its number; a new owner uses both again. The memory of its tree goes back in area_table_trim(),
 * which background threads call: retirement itself may happen on the fault path.
 */
#include "core/area.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/inject.h"
#include "core/rank.h"

enum { TREE_BYTES = AREA_SLOTS * sizeof(uint32_t) };

int area_table_init(struct area_table *t, uint32_t n_max, enum arena_residency residency)
{
	int r;

	*t = (struct area_table){ .trees = ARENA_INIT, .owners = ARENA_INIT };
	t->n_max = n_max;
	list_init(&t->free);
	lock_init(&t->lock, LOCK_RANK_AREA_TABLE, "area table");
	t->areas = calloc((size_t)n_max + 1, sizeof(struct area *));
	if (!t->areas)
		return err_origin(-ENOMEM);
	r = arena_init(&t->trees, &(struct arena_options){
					  .name = "uswap-trees",
					  .reserve_bytes = ((size_t)n_max + 1) * TREE_BYTES,
					  .residency = residency,
				  });
	if (r)
		return err_trace(r);
	r = arena_init(&t->owners, &(struct arena_options){
					   .name = "uswap-areas",
					   .reserve_bytes = ((size_t)n_max + 1) * sizeof(uint32_t),
					   .step_bytes = 4096,
					   .residency = residency,
				   });
	return err_trace(r);
}

void area_table_deinit(struct area_table *t)
{
	uint32_t i;

	for (i = 1; t->areas && i <= t->n_high; i++) {
		lock_deinit(&t->areas[i]->lock);
		free(t->areas[i]);
	}
	free(t->areas);
	t->areas = NULL;
	arena_deinit(&t->trees);
	arena_deinit(&t->owners);
	lock_deinit(&t->lock);
}

static _Atomic uint32_t *area_owner_at(const struct area_table *t, uint32_t area_idx)
{
	return (_Atomic uint32_t *)arena_at(&t->owners, (size_t)area_idx * sizeof(uint32_t));
}

static int area_make_locked(struct area_table *t, struct area **ret_area) REQUIRES(t->lock)
{
	uint32_t idx = t->n_high + 1;
	struct area *area;
	int r;

	if (idx > t->n_max)
		return AREA_E_NONE;
	r = arena_grow(&t->trees, ((size_t)idx + 1) * TREE_BYTES);
	if (r)
		return r > 0 ? AREA_E_NONE : err_trace(r);
	r = arena_grow(&t->owners, ((size_t)idx + 1) * sizeof(uint32_t));
	if (r)
		return r > 0 ? AREA_E_NONE : err_trace(r);
	area = inject_fail() ? NULL : calloc(1, sizeof(*area));
	if (!area)
		return err_origin(-ENOMEM);
	lock_init(&area->lock, LOCK_RANK_AREA, "area");
	list_init(&area->node);
	area->idx = idx;
	area->tree = (_Atomic uint32_t *)arena_at(&t->trees, (size_t)idx * TREE_BYTES);
	t->areas[idx] = area;
	t->n_high = idx;
	*ret_area = area;
	return 0;
}

int area_new(struct area_table *t, uint32_t app_nr, struct area **ret_area)
{
	struct area *area;
	int r = 0;

	lock_acquire(&t->lock);
	area = list_first(&t->free, struct area, node);
	if (area) {
		list_unlink(&area->node);
		if (load_relaxed(&area->tree_dirty))
			t->n_dirty--;
	} else {
		r = area_make_locked(t, &area);
	}
	if (!r)
		/* Pairs with recovery: an area belongs to an app before a slot of it is used. */
		store_release(area_owner_at(t, area->idx), app_nr);
	lock_release(&t->lock);
	if (!r)
		*ret_area = area;
	return r;
}

void area_retire(struct area_table *t, struct area *area)
{
	ASSERT(area->n_slots == 0);
	/* Nobody can be inside the tree: that takes a pin on one of its slots. */
	ASSERT(area->n_entries == 0);
	lock_acquire(&t->lock);
	store_release(area_owner_at(t, area->idx), 0); /* pairs with recovery */
	area->app = NULL;
	area->first_word = 0;
	/* Those whose memory is still there come first. */
	if (load_relaxed(&area->tree_dirty)) {
		list_prepend(&t->free, &area->node);
		t->n_dirty++;
	} else {
		list_append(&t->free, &area->node);
	}
	lock_release(&t->lock);
}

uint64_t area_table_trim(struct area_table *t)
{
	uint64_t bytes = 0;
	struct area *area;

	for (;;) {
		lock_acquire(&t->lock);
		area = t->n_dirty ? list_first(&t->free, struct area, node) : NULL;
		if (area) {
			ASSERT(load_relaxed(&area->tree_dirty));
			list_unlink(&area->node);
			t->n_dirty--;
		}
		lock_release(&t->lock);
		if (!area)
			return bytes;
		/* On no list: ours alone, so the lock is not needed for the system call. */
		arena_punch(&t->trees, (size_t)area->idx * TREE_BYTES, TREE_BYTES);
		bytes += load_relaxed(&area->n_high) * sizeof(uint32_t);
		store_relaxed(&area->tree_dirty, false);
		lock_acquire(&t->lock);
		list_append(&t->free, &area->node);
		lock_release(&t->lock);
	}
}

/* Tables are touched from their beginning, a page at a time. */
static uint64_t touched_bytes(uint64_t bytes)
{
	return (bytes + 4095) & ~UINT64_C(4095);
}

uint64_t area_table_committed_bytes(struct area_table *t)
{
	uint64_t bytes = 0, n;
	uint32_t i;

	lock_acquire(&t->lock);
	for (i = 1; i <= t->n_high; i++) {
		/* These belong to the app's lock: figures, so an old value does no harm. */
		n = load_relaxed(&t->areas[i]->n_high);
		bytes += sizeof(struct area) + touched_bytes(n * sizeof(uint64_t));
		if (load_relaxed(&t->areas[i]->tree_dirty))
			bytes += touched_bytes(n * sizeof(uint32_t));
	}
	lock_release(&t->lock);
	return bytes;
}

uint32_t area_owner(const struct area_table *t, uint32_t area_idx)
{
	return load_acquire(area_owner_at(t, area_idx)); /* pairs with area_new() */
}

struct slot_id area_slot_take(struct area *area)
{
	uint32_t w = area->first_word;
	uint32_t i;

	ASSERT(area->n_slots < AREA_SLOTS);
	while (area->used[w] == UINT64_MAX)
		w++;
	i = w * 64 + (uint32_t)__builtin_ctzll(~area->used[w]);
	area->used[w] |= UINT64_C(1) << (i % 64);
	area->first_word = w;
	area->n_slots++;
	store_relaxed(&area->tree_dirty, true); /* a figure for others, as n_high */
	if (i >= load_relaxed(&area->n_high))
		store_relaxed(&area->n_high, i + 1);
	return (struct slot_id){ (area->idx << AREA_BITS) + i };
}

void area_slot_give(struct area *area, struct slot_id id)
{
	uint32_t i = id.v % AREA_SLOTS;

	ASSERT(area_slot_is_used(area, id));
	area->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
	if (i / 64 < area->first_word)
		area->first_word = i / 64;
	area->n_slots--;
}

bool area_slot_is_used(const struct area *area, struct slot_id id)
{
	uint32_t i = id.v % AREA_SLOTS;

	ASSERT(id.v >> AREA_BITS == area->idx);
	return area->used[i / 64] >> (i % 64) & 1;
}

void tree_insert(struct area *area, struct slot_id id, uint32_t entry_idx)
{
	lock_acquire(&area->lock);
	ASSERT(tree_lookup_locked(area, id) == 0);
	/* The one store that makes an entry exist; pairs with recovery. */
	store_release(&area->tree[id.v % AREA_SLOTS], entry_idx);
	area->n_entries++;
	lock_release(&area->lock);
}

void tree_erase(struct area *area, struct slot_id id, uint32_t entry_idx)
{
	lock_acquire(&area->lock);
	ASSERT(entry_idx != 0 && tree_lookup_locked(area, id) == entry_idx);
	store_release(&area->tree[id.v % AREA_SLOTS], 0); /* pairs with recovery */
	area->n_entries--;
	lock_release(&area->lock);
}
