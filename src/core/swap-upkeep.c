/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-upkeep - what background threads do to entries they do not own
 *
 * All three start from the wrong end, as zswap's writeback does: from a list or a block, with an
 * entry they have no right to. So each runs the same steps (I1): copy the slot's identity under the
 * list's lock and drop the lock; pin the slot, with its generation; look the tree up; compare the
 * entry; only then look into it. Who finds the slot pinned skips it; a pin held by a load is a sign
 * that this end of the list is warm, and ends the sweep (I13).
 */
#include <string.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/codec.h"
#include "core/swap-file.h"
#include "core/swap-impl.h"

enum {
	RECOMPRESS_GAIN_PART = 16, /* what saves less than this part is not worth a new place */
};

int pick_pin(struct swap *s, struct slot_ref slot, uint32_t entry_idx, struct area **ret_area)
{
	struct area *area;
	int r;

	inject_race();
	r = slot_try_pin_ref(&s->slots, slot, SWAP_PIN_MOVE);
	if (r)
		return r;
	inject_race();
	area = area_of(&s->areas, slot.id);
	if (tree_lookup(area, slot.id) != entry_idx) {
		slot_done(s, slot.id);
		return SWAP_E_GONE;
	}
	*ret_area = area;
	return 0;
}

void kept_erase(struct swap *s, struct area *area, uint32_t idx)
{
	struct slot_id id = { entry_at(&s->entries, idx)->slot };

	entry_erase(s, area, idx);
	slot_set_kept(&s->slots, id, false);
}

/* Return: bytes freed. */
static uint64_t kept_drop(struct swap *s, const struct lru_pick *pick)
{
	struct entry_where where;
	struct area *area;
	uint64_t bytes = 0;

	if (pick_pin(s, pick->slot, pick->entry_idx, &area))
		return 0;
	where = entry_where(entry_at(&s->entries, pick->entry_idx));
	if (where.kept) {
		bytes = where.len;
		kept_erase(s, area, pick->entry_idx);
	}
	slot_done(s, pick->slot.id);
	return bytes;
}

static uint64_t kept_drop_list(struct swap_app *app, enum lru_list list, uint64_t n_bytes)
{
	uint32_t n_left = lru_n(&app->lru, list); /* one round at most: some may be pinned */
	uint64_t bytes = 0;
	struct lru_pick pick;

	while (bytes < n_bytes && n_left-- > 0 && lru_pick(&app->lru, list, &pick) == 0)
		bytes += kept_drop(app->swap, &pick);
	return bytes;
}

uint64_t swap_drop_kept(struct swap_app *app, uint64_t n_bytes)
{
	return kept_drop_list(app, LRU_KEPT, n_bytes);
}

uint64_t swap_file_drop_kept(struct swap_app *app, uint64_t n_bytes)
{
	return kept_drop_list(app, LRU_FILE_KEPT, n_bytes);
}

/*
 * pre: pinned. Return: 0; SWAP_E_BETTER: there is nothing to gain; SWAP_E_FULL; SWAP_E_LOST.
 */
static int recompress_pinned(struct swap *s, struct area *area, uint32_t idx, struct codec_ctx *ctx)
{
	struct entry *e = entry_at(&s->entries, idx);
	struct entry_where where = entry_where(e);
	uint32_t max_bytes = where.len;
	const void *out;

	if (where.form != ENTRY_LZ4 && where.form != ENTRY_RAW)
		return SWAP_E_BETTER;
	if (entry_read(s, e, codec_page(ctx), ctx)) {
		entry_set_lost(e);
		return SWAP_E_LOST; /* found again, and said, by who loads it */
	}
	max_bytes -= max_bytes / RECOMPRESS_GAIN_PART;
	if (max_bytes > CODEC_STORE_MAX)
		max_bytes = CODEC_STORE_MAX;
	where.form = ENTRY_ZSTD;
	where.len = (uint16_t)codec_compress(ctx, ENTRY_ZSTD, s->options.zstd_level,
					     codec_page(ctx), max_bytes, &out);
	if (!where.len)
		return SWAP_E_BETTER;
	if (pool_alloc(&s->pool, where.len, idx, &where.loc))
		return SWAP_E_FULL;
	memcpy(pool_at(&s->pool, where.loc), out, where.len);
	entry_rehome(s, area->app, e, where);
	return 0;
}

/* Return: 0: done with this one; SWAP_E_BUSY: not now; SWAP_E_WARM, SWAP_E_FULL: end the sweep. */
static int recompress_one(struct swap *s, const struct lru_pick *pick, struct codec_ctx *ctx)
{
	struct entry_where where;
	struct area *area;
	int r;

	r = pick_pin(s, pick->slot, pick->entry_idx, &area);
	if (r)
		return r == SWAP_E_WARM ? SWAP_E_WARM : SWAP_E_BUSY;
	where = entry_where(entry_at(&s->entries, pick->entry_idx));
	if (where.kept || !where_in_pool(where)) {
		r = SWAP_E_BUSY; /* loaded or written back meanwhile, or not compressed yet */
	} else {
		r = recompress_pinned(s, area, pick->entry_idx, ctx);
		if (r != SWAP_E_FULL) {
			lru_move(&area->app->lru, pick->entry_idx, LRU_AGED, false);
			r = 0;
		}
	}
	slot_done(s, pick->slot.id);
	return r;
}

uint32_t swap_recompress(struct swap_app *app, uint32_t n_pages, struct codec_ctx *ctx)
{
	uint32_t n_left =
		2 * lru_n(&app->lru, LRU_FRESH); /* two rounds: second chance, then work */
	uint32_t n_done = 0;
	struct lru_pick pick;
	int r;

	while (n_done < n_pages && n_left-- > 0) {
		r = lru_pick(&app->lru, LRU_FRESH, &pick);
		if (r == LRU_E_EMPTY)
			break;
		if (r == LRU_E_YOUNG)
			continue;
		r = recompress_one(app->swap, &pick, ctx);
		if (r == SWAP_E_WARM || r == SWAP_E_FULL)
			break;
		if (r == 0)
			n_done++;
	}
	return n_done;
}

/* Move one object of an isolated block. Return: bytes moved; 0: it stays. */
static uint64_t compact_object(struct swap *s, uint32_t handle, uint32_t entry_idx,
			       struct slot_ref slot)
{
	struct entry_where where;
	uint64_t bytes = 0;
	struct area *area;
	struct entry *e;

	if (pick_pin(s, slot, entry_idx, &area))
		return 0;
	e = entry_at(&s->entries, entry_idx);
	where = entry_where(e);
	if (where_in_pool(where) && where.loc == handle &&
	    pool_alloc(&s->pool, where.len, entry_idx, &where.loc) == 0) {
		memcpy(pool_at(&s->pool, where.loc), pool_at(&s->pool, handle), where.len);
		entry_set_where(e, where);
		inject_race();
		pool_free(&s->pool, handle, where.len);
		bytes = where.len;
	}
	slot_done(s, slot.id);
	return bytes;
}

/* Return: bytes moved; *ret_emptied: nothing had to stay. */
static uint64_t compact_block(struct swap *s, uint32_t block, bool *ret_emptied)
{
	uint32_t handle, entry_idx, cursor = 0;
	uint64_t bytes = 0, n;
	struct slot_ref slot;

	*ret_emptied = true;
	while (pool_isolated_next(&s->pool, block, &cursor, &handle, &entry_idx, &slot) == 0) {
		n = compact_object(s, handle, entry_idx, slot);
		bytes += n;
		if (n == 0)
			*ret_emptied = false;
	}
	pool_putback(&s->pool, block);
	return bytes;
}

uint64_t swap_compact(struct swap *s, uint64_t n_bytes)
{
	uint32_t class_cursor = 0, block;
	uint64_t moved_bytes = 0, freed_bytes;
	bool emptied;

	/* Two at once would take each other's room. Pairs with the store below. */
	if (exchange_acq_rel(&s->compacting, 1))
		return 0;
	while (moved_bytes < n_bytes && pool_isolate(&s->pool, &class_cursor, &block) == 0) {
		moved_bytes += compact_block(s, block, &emptied);
		if (!emptied)
			class_cursor++; /* somebody works there: the class waits for the next call */
	}
	freed_bytes = pool_trim(&s->pool) + area_table_trim(&s->areas);
	store_release(&s->compacting, 0); /* pairs with the exchange above */
	return freed_bytes;
}
