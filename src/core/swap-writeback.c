/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-writeback - from the pool to the file, the way zswap's writeback goes
 *
 *   LRU lock: turn the entry to the young end, copy its slot; unlock      pick_next()
 *   pin the slot, by its generation                                       pick_pin()
 *     pinned by a load: this end of the list is warm, end the sweep
 *     pinned by anybody else, or gone: skip
 *   look the tree up, compare the entry; only now look into it
 *   room in a segment's buffer; copy, sealed                              the last step that can fail
 *   publish the new place by one store; free the pool's bytes             entry_rehome()
 *   the segment may be written; unpin                                     touch nothing after this
 *
 * Where the kernel writes the page itself and its folio holds the data meanwhile, here the segment's
 * buffer is the owner from the publishing on: it serves loads, and if the write fails it is from
 * there that the page goes back. So nothing has to be undone here, ever.
 *
 * The entry is published before the segment may be written: a segment that is written has only
 * records that somebody owns or has given up.
 */
#include "base/assert.h"
#include "base/inject.h"
#include "core/swap-file.h"
#include "core/swap-impl.h"

enum {
	LARGE_LOOK_MAX = 64, /* coldest entries that are looked at for an incompressible one */
};

/* What one sweep remembers. */
struct sweep {
	enum swap_writeback_order order;
	enum lru_list list;
	uint32_t n_left; /* looks at @list */
	bool no_large;	 /* none was found */
};

static void sweep_list(struct sweep *w, struct swap_app *app, enum lru_list list)
{
	w->list = list;
	w->n_left = lru_n(&app->lru, list);
	if (w->order != SWAP_WRITEBACK_FIFO)
		w->n_left *= 2; /* two rounds: second chance, then work */
}

/* Return: 0 with *ret_pick; LRU_E_EMPTY: all were looked at. */
static int pick_next(struct sweep *w, struct swap_app *app, struct lru_pick *ret_pick)
{
	int r;

	if (w->order == SWAP_WRITEBACK_SIZE && !w->no_large) {
		if (lru_pick_large(&app->lru, LRU_AGED, PAGE_BYTES, LARGE_LOOK_MAX, ret_pick) ==
			    0 ||
		    lru_pick_large(&app->lru, LRU_FRESH, PAGE_BYTES, LARGE_LOOK_MAX, ret_pick) == 0)
			return 0;
		w->no_large = true;
	}
	for (;;) {
		if (w->n_left == 0) {
			if (w->list == LRU_FRESH)
				return LRU_E_EMPTY;
			sweep_list(w, app, LRU_FRESH);
			continue;
		}
		w->n_left--;
		if (w->order == SWAP_WRITEBACK_FIFO)
			r = lru_pick_coldest(&app->lru, w->list, ret_pick);
		else
			r = lru_pick(&app->lru, w->list, ret_pick);
		if (r == 0)
			return 0;
		if (r == LRU_E_EMPTY)
			w->n_left = 0;
	}
}

/* pre: pinned. Return: 0; SWAP_E_BETTER: not in the pool; SWAP_E_FULL, SWAP_E_GONE: no room. */
static int writeback_pinned(struct swap *s, struct area *area, uint32_t idx)
{
	struct entry *e = entry_at(&s->entries, idx);
	struct app_figures *f = &area->app->figures;
	struct entry_where where = entry_where(e);
	struct segment_place place;
	struct slot_ref slot;
	int r;

	if (where.kept || !where_in_pool(where))
		return SWAP_E_BETTER; /* loaded meanwhile, or not compressed yet */
	slot = slot_ref_of(&s->slots, (struct slot_id){ e->slot });
	r = segment_reserve(&s->segs, SEGMENT_FROM_POOL, where.len, slot, &place);
	if (r)
		return r == SEGMENT_E_NO_BUF ? SWAP_E_FULL : SWAP_E_GONE;
	inject_race();
	seal_close(&s->segs.seal, place.seal, pool_at(&s->pool, where.loc), where.len, place.bytes);
	inject_race();
	entry_rehome(s, area->app, e, where_on_file(where, place.loc));
	lru_move(&area->app->lru, idx, LRU_FILE, false);
	inject_race();
	segment_commit(&s->segs, place.loc);
	fetch_add_relaxed(&f->n_writeback, 1);
	fetch_add_relaxed(&f->writeback_bytes, where.len);
	return 0;
}

/* Return: as writeback_pinned(), or why it could not be pinned. */
static int writeback_one(struct swap *s, const struct lru_pick *pick)
{
	struct area *area;
	int r;

	r = pick_pin(s, pick->slot, pick->entry_idx, &area);
	if (r)
		return r == SWAP_E_WARM ? SWAP_E_WARM : SWAP_E_BETTER;
	r = writeback_pinned(s, area, pick->entry_idx);
	slot_done(s, pick->slot.id);
	return r;
}

int swap_writeback(struct swap_app *app, enum swap_writeback_order order, uint32_t n_pages,
		   uint32_t *ret_n)
{
	uint32_t n_busy = 0, n_busy_max = n_pages + LARGE_LOOK_MAX;
	struct app_figures *f = &app->figures;
	struct sweep w = { .order = order };
	struct lru_pick pick;
	int r = 0;

	*ret_n = 0;
	if (!app->swap->segs.segment_bytes)
		return SWAP_E_GONE;
	sweep_list(&w, app, LRU_AGED);
	while (*ret_n < n_pages && n_busy < n_busy_max && pick_next(&w, app, &pick) == 0) {
		r = writeback_one(app->swap, &pick);
		if (r == 0)
			(*ret_n)++;
		else if (r == SWAP_E_BETTER)
			n_busy++;
		else
			break;
		r = 0;
	}
	fetch_add_relaxed(&f->n_writeback_busy, n_busy);
	if (r == SWAP_E_WARM)
		fetch_add_relaxed(&f->n_writeback_warm, 1);
	else if (r)
		fetch_add_relaxed(&f->n_writeback_full, 1);
	return r;
}
