/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-slot - giving out slots, and their end
 *
 * A slot carries the right to one entry from the moment it exists, so that swap_put() has nothing
 * left that can fail. An app takes these rights from the slab in small batches: the slab's lock is
 * shared by all apps.
 *
 * The end of a slot is one function, slot_settle(): whoever gave up the last count, or unpinned a
 * slot that had none left, owns it alone and frees entry, word and id in this order.
 */
#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"
#include "core/swap-impl.h"

enum {
	RESERVE_BATCH = 64, /* entries an app reserves at a time */
};

static bool app_reserve_locked(struct swap_app *app) REQUIRES(app->slots_lock)
{
	uint32_t n = RESERVE_BATCH;

	if (app->n_reserved > 0)
		return true;
	if (!slab_try_reserve(&app->swap->entries, n)) {
		n = 1; /* the last ones go one by one */
		if (!slab_try_reserve(&app->swap->entries, n))
			return false;
	}
	app->n_reserved = n;
	return true;
}

static struct area *app_area_locked(struct swap_app *app) REQUIRES(app->slots_lock)
{
	struct area *area = list_first(&app->areas, struct area, node);

	if (area)
		return area;
	if (area_new(&app->swap->areas, app->nr, &area))
		return NULL;
	if (arena_grow(&app->swap->slots.arena,
		       ((size_t)area->idx + 1) * AREA_SLOTS * sizeof(uint64_t))) {
		area_retire(&app->swap->areas, area);
		return NULL;
	}
	area->app = app;
	list_append(&app->areas, &area->node);
	return area;
}

int swap_slot_new(struct swap_app *app, struct slot_id *ret_id)
{
	struct slot_id id = { 0 };
	struct area *area = NULL;

	lock_acquire(&app->slots_lock);
	if (app_reserve_locked(app))
		area = app_area_locked(app);
	if (area) {
		id = area_slot_take(area);
		app->n_reserved--;
		app->n_slots++;
		if (area->n_slots == AREA_SLOTS) {
			list_unlink(&area->node);
			list_append(&app->areas_full, &area->node);
		}
	}
	lock_release(&app->slots_lock);
	if (!area)
		return SWAP_E_FULL;
	slot_open(&app->swap->slots, id);
	*ret_id = id;
	return 0;
}

/* The id of a closed slot goes back; the area with it, if it is empty and not the only one. */
static void app_slot_give(struct swap_app *app, struct area *area, struct slot_id id)
{
	struct area *retired = NULL;
	uint32_t n_unreserve = 0;

	lock_acquire(&app->slots_lock);
	if (area->n_slots == AREA_SLOTS) {
		list_unlink(&area->node);
		list_append(&app->areas, &area->node);
	}
	area_slot_give(area, id);
	if (area->n_slots == 0 && app->areas.next != app->areas.prev) {
		list_unlink(&area->node);
		retired = area;
	}
	app->n_slots--;
	if (++app->n_reserved > 2 * RESERVE_BATCH) {
		n_unreserve = RESERVE_BATCH;
		app->n_reserved -= n_unreserve;
	}
	lock_release(&app->slots_lock);
	inject_race();
	if (retired)
		area_retire(&app->swap->areas, retired);
	if (n_unreserve)
		slab_unreserve(&app->swap->entries, n_unreserve);
}

void slot_settle(struct swap *s, struct slot_id id, uint32_t owed)
{
	struct area *area;
	uint32_t idx;

	if (owed & SLOT_LAST) {
		inject_race();
		area = area_of(&s->areas, id);
		/* CLOSING is a pin: entry and area stay until we end them. */
		idx = tree_lookup(area, id);
		if (idx)
			entry_erase(s, area, idx);
		inject_race();
		slot_close(&s->slots, id);
		inject_race();
		app_slot_give(area->app, area, id);
	}
	if ((owed & SLOT_WAITER) && s->options.on_unpinned)
		s->options.on_unpinned(s->options.user, id);
}

void swap_slot_ref(struct swap *s, struct slot_id id)
{
	slot_hold(&s->slots, id);
}

void swap_slot_unref(struct swap *s, struct slot_id id)
{
	slot_settle(s, id, slot_drop(&s->slots, id));
}

int swap_try_pin(struct swap *s, struct slot_id id, enum swap_pin kind)
{
	int r = slot_try_pin(&s->slots, id, kind);

	ASSERT(r != SWAP_E_GONE); /* the caller owns a count */
	return r;
}

int swap_pin_or_park(struct swap *s, struct slot_id id, enum swap_pin kind)
{
	return slot_pin_or_park(&s->slots, id, kind);
}

void swap_unpin(struct swap *s, struct slot_id id)
{
	slot_done(s, id);
}
