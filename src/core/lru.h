/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lru - the order in which one app's entries went cold
 *
 * FRESH: stored, and not looked at since. AGED: recompressed, or found not to gain by it; colder than
 * FRESH, in the same order. FILLED: has no bytes, nobody looks. KEPT: clean copies of pages that are
 * present. FILE, FILE_KEPT: the bytes are on file. Entries join at the young end and are looked at
 * from the cold one.
 *
 * A pick never unlinks (I8): it turns the entry to the young end of its list and copies its
 * identity. After the lock is dropped that is a value to compare, not a thing to look into (I2).
 *
 * Ownership: borrows entries; never allocates, never frees.
 * Threads:   any; every function takes the list's own lock.
 * Invariant: an entry is on one list exactly as long as it is in a tree, but for the steps of its
 *            store (linked last, I9) and its free (unlinked first, I10).
 */
#ifndef USWAP_CORE_LRU_H
#define USWAP_CORE_LRU_H

#include "base/lock.h"
#include "base/slab.h"
#include "core/entry.h"
#include "core/slot.h"

enum lru_list {
	LRU_NONE,
	LRU_FRESH,
	LRU_AGED,
	LRU_FILLED,
	LRU_KEPT,
	LRU_FILE,
	LRU_FILE_KEPT,
	LRU_N_LISTS,
};
_Static_assert(LRU_N_LISTS <= 8, "three bits of an entry");

struct lru_ends {
	uint32_t cold; /* 0: empty */
	uint32_t young;
	uint32_t n;
};

struct lru {
	struct lock lock;		   /* LOCK_RANK_LRU */
	struct lru_ends ends[LRU_N_LISTS]; /* [lock] */
	struct slab *entries;		   /* [const] */
	struct slot_table *slots;	   /* [const] */
};

enum {
	LRU_E_EMPTY = 1, /* nothing on the list */
	LRU_E_YOUNG,	 /* the coldest one got its second chance */
	LRU_E_NONE,	 /* none of those looked at will do */
};

/* Who was picked. */
struct lru_pick {
	uint32_t entry_idx; /* to compare only */
	struct slot_ref slot;
};

void lru_init(struct lru *l, struct slab *entries, struct slot_table *slots);
void lru_deinit(struct lru *l); /* pre: empty */

void lru_insert(struct lru *l, uint32_t idx, enum lru_list list); /* pre: unlinked; post: young */
void lru_remove(struct lru *l, uint32_t idx);			  /* pre: linked */
/* To the young end of @list. @young: give it a second chance. pre: linked; its slot is pinned. */
void lru_move(struct lru *l, uint32_t idx, enum lru_list list, bool young);
/* Return: 0 with *ret_pick; LRU_E_EMPTY; LRU_E_YOUNG (not on KEPT and FILE_KEPT). */
int lru_pick(struct lru *l, enum lru_list list, struct lru_pick *ret_pick);
/* The coldest one, with or without a second chance. Return: 0; LRU_E_EMPTY. */
int lru_pick_coldest(struct lru *l, enum lru_list list, struct lru_pick *ret_pick);
/*
 * Of the @n_look coldest ones the first with at least @min_len bytes; the others stay where they are.
 * Return: 0; LRU_E_NONE.
 */
int lru_pick_large(struct lru *l, enum lru_list list, uint32_t min_len, uint32_t n_look,
		   struct lru_pick *ret_pick);
uint32_t lru_n(struct lru *l, enum lru_list list);

uint32_t lru_check(struct lru *l); /* O(n): asserts the links. Return: entries on all lists */

#endif
