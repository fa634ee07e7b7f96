/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lru - links by entry index, second chance
 *
 * Lists, not clocks with bits, because a load takes its entry out from the middle. The second
 * chance is given when a stored entry is first passed: what went out a moment ago is what most often
 * comes back (zswap measured 64 % fewer swap-ins with it).
 */
#include "core/lru.h"

#include "core/rank.h"

void lru_init(struct lru *l, struct slab *entries, struct slot_table *slots)
{
	*l = (struct lru){ .entries = entries, .slots = slots };
	lock_init(&l->lock, LOCK_RANK_LRU, "lru");
}

void lru_deinit(struct lru *l)
{
	uint32_t i;

	for (i = 0; i < LRU_N_LISTS; i++)
		ASSERT(l->ends[i].n == 0);
	lock_deinit(&l->lock);
}

static void lru_link_locked(struct lru *l, uint32_t idx, enum lru_list list) REQUIRES(l->lock)
{
	struct lru_ends *ends = &l->ends[list];
	struct entry *e = entry_at(l->entries, idx);

	ASSERT(e->list == LRU_NONE);
	e->list = list;
	e->next = 0;
	e->prev = ends->young & ENTRY_IDX_MAX;
	if (ends->young)
		entry_at(l->entries, ends->young)->next = idx & ENTRY_IDX_MAX;
	else
		ends->cold = idx;
	ends->young = idx;
	ends->n++;
}

static void lru_unlink_locked(struct lru *l, uint32_t idx) REQUIRES(l->lock)
{
	struct entry *e = entry_at(l->entries, idx);
	struct lru_ends *ends = &l->ends[e->list];

	ASSERT(e->list != LRU_NONE);
	if (e->prev)
		entry_at(l->entries, e->prev)->next = e->next;
	else
		ends->cold = e->next;
	if (e->next)
		entry_at(l->entries, e->next)->prev = e->prev;
	else
		ends->young = e->prev;
	ends->n--;
	e->next = 0;
	e->prev = 0;
	e->list = LRU_NONE;
}

void lru_insert(struct lru *l, uint32_t idx, enum lru_list list)
{
	lock_acquire(&l->lock);
	entry_at(l->entries, idx)->young = 1;
	lru_link_locked(l, idx, list);
	lock_release(&l->lock);
}

void lru_remove(struct lru *l, uint32_t idx)
{
	lock_acquire(&l->lock);
	lru_unlink_locked(l, idx);
	lock_release(&l->lock);
}

void lru_move(struct lru *l, uint32_t idx, enum lru_list list, bool young)
{
	lock_acquire(&l->lock);
	lru_unlink_locked(l, idx);
	entry_at(l->entries, idx)->young = young;
	lru_link_locked(l, idx, list);
	lock_release(&l->lock);
}

/* Turn @idx to the young end and copy its identity. Return: true if it was young. */
static bool lru_turn_locked(struct lru *l, uint32_t idx, struct lru_pick *ret_pick)
	REQUIRES(l->lock)
{
	struct entry *e = entry_at(l->entries, idx);
	enum lru_list list = e->list;
	bool was_young = e->young;

	e->young = 0;
	lru_unlink_locked(l, idx);
	lru_link_locked(l, idx, list);
	ret_pick->entry_idx = idx;
	/* Still linked, so not freed, so its slot is not closed: the generation is its own. */
	ret_pick->slot = slot_ref_of(l->slots, (struct slot_id){ e->slot });
	return was_young;
}

int lru_pick(struct lru *l, enum lru_list list, struct lru_pick *ret_pick)
{
	struct lru_pick pick;
	bool was_young;
	uint32_t idx;

	lock_acquire(&l->lock);
	idx = l->ends[list].cold;
	was_young = idx && lru_turn_locked(l, idx, &pick);
	lock_release(&l->lock);
	if (!idx)
		return LRU_E_EMPTY;
	if (was_young && list != LRU_KEPT && list != LRU_FILE_KEPT)
		return LRU_E_YOUNG;
	*ret_pick = pick;
	return 0;
}

int lru_pick_coldest(struct lru *l, enum lru_list list, struct lru_pick *ret_pick)
{
	uint32_t idx;

	lock_acquire(&l->lock);
	idx = l->ends[list].cold;
	if (idx)
		lru_turn_locked(l, idx, ret_pick);
	lock_release(&l->lock);
	return idx ? 0 : LRU_E_EMPTY;
}

int lru_pick_large(struct lru *l, enum lru_list list, uint32_t min_len, uint32_t n_look,
		   struct lru_pick *ret_pick)
{
	uint32_t idx;

	lock_acquire(&l->lock);
	/* Linked, so not freed; its length may change under our eyes, and is looked at again. */
	for (idx = l->ends[list].cold; idx && n_look > 0; idx = entry_at(l->entries, idx)->next) {
		if (entry_where(entry_at(l->entries, idx)).len >= min_len)
			break;
		n_look--;
	}
	if (n_look == 0)
		idx = 0;
	if (idx)
		lru_turn_locked(l, idx, ret_pick);
	lock_release(&l->lock);
	return idx ? 0 : LRU_E_NONE;
}

uint32_t lru_n(struct lru *l, enum lru_list list)
{
	uint32_t n;

	lock_acquire(&l->lock);
	n = l->ends[list].n;
	lock_release(&l->lock);
	return n;
}

static void lru_check_list_locked(struct lru *l, uint32_t list) REQUIRES(l->lock)
{
	uint32_t idx = l->ends[list].cold;
	uint32_t prev = 0, n = 0;
	const struct entry *e;

	while (idx) {
		e = entry_at(l->entries, idx);
		ASSERT(e->list == list);
		ASSERT(e->prev == prev);
		ASSERT(n < l->ends[list].n);
		n++;
		prev = idx;
		idx = e->next;
	}
	ASSERT(n == l->ends[list].n);
	ASSERT(prev == l->ends[list].young);
}

uint32_t lru_check(struct lru *l)
{
	uint32_t list, n = 0;

	lock_acquire(&l->lock);
	for (list = LRU_FRESH; list < LRU_N_LISTS; list++) {
		lru_check_list_locked(l, list);
		n += l->ends[list].n;
	}
	lock_release(&l->lock);
	return n;
}
