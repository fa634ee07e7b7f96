/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * area - 16,384 slot ids of one app, with their tree (slot -> entry) and its lock
 *
 * What a tree per 64 MiB of a swap device is to zswap: short lock waits, and something that can be
 * retired on its own. The tree is a flat table of entry indexes in an arena.
 *
 * Ownership: the table owns areas; an area belongs to the app that took it until it is retired.
 *            The fields under "slots" are guarded by that app's slot lock.
 * Threads:   any.
 * Invariant: an area is retired only without a used slot, thus without entry and without pin (I12):
 *            a pinned slot is a used slot.
 */
#ifndef USWAP_CORE_AREA_H
#define USWAP_CORE_AREA_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/lock.h"
#include "core/swap.h"

#ifndef USWAP_AREA_BITS
#define USWAP_AREA_BITS 14 /* tests have small areas, to see many of them retired */
#endif

enum {
	AREA_BITS = USWAP_AREA_BITS,
	AREA_SLOTS = 1 << AREA_BITS,
	AREA_WORDS = AREA_SLOTS / 64,
};

struct area {
	struct lock lock;	/* LOCK_RANK_AREA: the tree */
	_Atomic uint32_t *tree; /* [const] -> [lock] AREA_SLOTS entry indexes, 0: none */
	uint32_t n_entries;	/* [lock] */
	uint32_t idx;		/* [const] 1.. */
	struct swap_app *app;	/* [const] while any slot is used */
	/* slots */
	struct list node;	 /* on a list of the app, or on the table's free list */
	uint32_t n_slots;	 /* used ones */
	uint32_t first_word;	 /* no free slot below this word of @used */
	_Atomic uint32_t n_high; /* slots from here on were never used */
	_Atomic bool tree_dirty; /* the tree has memory of its own */
	uint64_t used[AREA_WORDS];
};

struct area_table {
	struct lock lock;    /* LOCK_RANK_AREA_TABLE */
	struct arena trees;  /* AREA_SLOTS indexes per area */
	struct arena owners; /* [lock] to write: app number per area, 0: none */
	struct area **areas; /* [const] array; element: set once, before an id of it exists */
	uint32_t n_max;	     /* [const] */
	uint32_t n_high;     /* [lock] areas ever made */
	struct list free;    /* [lock] retired areas */
	uint32_t n_dirty;    /* [lock] retired ones whose tree memory was not given back */
};

enum {
	AREA_E_NONE = 1, /* as many areas as there can be */
};

int area_table_init(struct area_table *t, uint32_t n_max, enum arena_residency residency);
void area_table_deinit(struct area_table *t);

/* An area without slots for app number @app_nr. Return: 0; AREA_E_NONE; a negative errno. */
int area_new(struct area_table *t, uint32_t app_nr, struct area **ret_area);
void area_retire(struct area_table *t, struct area *area); /* pre: no slot used, on no list */
uint64_t area_table_trim(struct area_table *t);		   /* Return: bytes of memory given back */
uint64_t area_table_committed_bytes(struct area_table *t);
uint32_t area_owner(const struct area_table *t, uint32_t area_idx); /* app number */

/* The caller holds the app's slot lock. */
struct slot_id area_slot_take(struct area *area); /* pre: n_slots < AREA_SLOTS */
void area_slot_give(struct area *area, struct slot_id id);
bool area_slot_is_used(const struct area *area, struct slot_id id);

static inline struct area *area_of(const struct area_table *t, struct slot_id id)
{
	ASSERT(id.v >> AREA_BITS <= t->n_max);
	return t->areas[id.v >> AREA_BITS];
}

static inline uint32_t tree_lookup_locked(const struct area *area, struct slot_id id)
	REQUIRES(area->lock)
{
	return load_relaxed(&area->tree[id.v % AREA_SLOTS]); /* the lock orders */
}

/* The entry of a slot, 0: none. pre: the slot is pinned by the caller, so the answer stays true. */
static inline uint32_t tree_lookup(struct area *area, struct slot_id id)
{
	uint32_t idx;

	lock_acquire(&area->lock);
	idx = tree_lookup_locked(area, id);
	lock_release(&area->lock);
	return idx;
}

void tree_insert(struct area *area, struct slot_id id, uint32_t entry_idx); /* pre: none there */
void tree_erase(struct area *area, struct slot_id id, uint32_t entry_idx);  /* pre: it is there */

#endif
