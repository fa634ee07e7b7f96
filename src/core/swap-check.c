/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-check - walk everything, compare every figure with what it counts
 *
 * From the trees, which say what exists: each entry's slot, bytes, back-reference, list; then from
 * the other ends: lists, pool, buffers and slabs must have nothing that no tree has.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "core/swap-impl.h"

/* What a walk over all trees found. */
struct tally {
	uint64_t n_entries;
	uint64_t n_pool;
	uint64_t pool_bytes;
	uint32_t *buf_refs; /* staged entries per buffer */
	struct file_tally {
		uint32_t n_live;
		uint32_t live_bytes;
	} * segments; /* by number */
};

struct app_tally {
	uint64_t n_entries;
	uint64_t n_pages, n_staged, n_filled, n_raw, n_zstd, n_file, n_kept, n_file_kept;
	uint64_t stored_bytes, kept_bytes, file_bytes;
};

static void tally_app(struct app_tally *t, struct entry_where where)
{
	t->n_entries++;
	if (where.on_file)
		t->file_bytes += where.len;
	if (where.kept) {
		t->n_kept++;
		t->n_file_kept += where.on_file;
		t->kept_bytes += where.on_file ? 0 : where.len;
		return;
	}
	t->n_pages++;
	t->n_file += where.on_file;
	t->stored_bytes += where.on_file ? 0 : where.len;
	t->n_staged += where.form == ENTRY_STAGED;
	t->n_filled += where.form == ENTRY_FILLED;
	t->n_raw += where.form == ENTRY_RAW;
	t->n_zstd += where.form == ENTRY_ZSTD;
}

static void check_file(struct swap *s, struct entry_where where, struct tally *t)
{
	uint32_t idx = segment_of(&s->segs, where_file_loc(where));

	ASSERT(where.len > 0);
	ASSERT(where.form == ENTRY_RAW || where.form == ENTRY_LZ4 || where.form == ENTRY_ZSTD);
	ASSERT(idx > 0 && idx <= s->segs.n_high);
	t->segments[idx].n_live++;
	t->segments[idx].live_bytes += record_bytes(&s->segs.seal, where.len);
}

/* The list an entry belongs on follows from where it is, but for FRESH and AGED. */
static void check_list(const struct entry *e, struct entry_where where)
{
	ASSERT(e->list != LRU_NONE);
	ASSERT((e->list == LRU_KEPT) == (where.kept && !where.on_file));
	ASSERT((e->list == LRU_FILE_KEPT) == (where.kept && where.on_file));
	ASSERT((e->list == LRU_FILE) == (!where.kept && where.on_file));
	ASSERT((e->list == LRU_FILLED) == (where.form == ENTRY_FILLED));
}

static void check_entry(struct swap *s, struct slot_id id, uint32_t idx, struct tally *t)
{
	struct entry *e = entry_at(&s->entries, idx);
	struct entry_where where = entry_where(e);

	ASSERT(e->slot == id.v);
	ASSERT(slot_count(&s->slots, id) > 0 || slot_is_pinned(&s->slots, id));
	ASSERT(where.kept == slot_is_kept(&s->slots, id));
	ASSERT(!where.kept || slot_count(&s->slots, id) <= 1);
	check_list(e, where);
	t->n_entries++;
	if (where.on_file) {
		check_file(s, where, t);
	} else if (where_in_pool(where)) {
		ASSERT(where.len > 0);
		ASSERT(pool_owner(&s->pool, where.loc) == idx);
		t->n_pool++;
		t->pool_bytes += where.len;
	} else if (where.form == ENTRY_STAGED) {
		ASSERT(where.len == 0);
		t->buf_refs[where.loc / STAGE_BUF_PAGES]++;
	} else {
		ASSERT(where.form == ENTRY_FILLED);
		ASSERT(hash_word(&s->hash, e->hash[0]) == e->hash[1]);
	}
}

static void check_area(struct swap *s, struct area *area, struct tally *t, struct app_tally *at)
{
	uint32_t i, idx, n_used = 0, n_entries = 0;
	struct slot_id id;

	lock_acquire(&area->lock);
	for (i = 0; i < AREA_SLOTS; i++) {
		id.v = (area->idx << AREA_BITS) + i;
		idx = tree_lookup_locked(area, id);
		if (!area_slot_is_used(area, id)) {
			ASSERT(idx == 0);
			ASSERT(slot_count(&s->slots, id) == 0);
			continue;
		}
		n_used++;
		if (!idx)
			continue;
		n_entries++;
		check_entry(s, id, idx, t);
		tally_app(at, entry_where(entry_at(&s->entries, idx)));
	}
	ASSERT(n_used == area->n_slots);
	ASSERT(n_entries == area->n_entries);
	lock_release(&area->lock);
}

static void check_app(struct swap *s, struct swap_app *app, struct tally *t)
{
	struct app_figures *f = &app->figures; /* no other thread: relaxed loads are exact */
	struct app_tally at = { 0 };
	struct area *area;
	uint32_t n_slots = 0;

	list_for_each(area, &app->areas, node) {
		ASSERT(area->app == app && area->n_slots < AREA_SLOTS);
		ASSERT(area_owner(&s->areas, area->idx) == app->nr);
		check_area(s, area, t, &at);
		n_slots += area->n_slots;
	}
	list_for_each(area, &app->areas_full, node) {
		ASSERT(area->app == app && area->n_slots == AREA_SLOTS);
		check_area(s, area, t, &at);
		n_slots += area->n_slots;
	}
	ASSERT(n_slots == app->n_slots);
	ASSERT(lru_check(&app->lru) == at.n_entries);
	ASSERT(lru_n(&app->lru, LRU_KEPT) == at.n_kept - at.n_file_kept);
	ASSERT(lru_n(&app->lru, LRU_FILE_KEPT) == at.n_file_kept);
	ASSERT(lru_n(&app->lru, LRU_FILE) == at.n_file);
	ASSERT(load_relaxed(&f->n_pages) == at.n_pages);
	ASSERT(load_relaxed(&f->n_staged) == at.n_staged);
	ASSERT(load_relaxed(&f->n_filled) == at.n_filled);
	ASSERT(load_relaxed(&f->n_raw) == at.n_raw);
	ASSERT(load_relaxed(&f->n_zstd) == at.n_zstd);
	ASSERT(load_relaxed(&f->n_file) == at.n_file);
	ASSERT(load_relaxed(&f->n_kept) == at.n_kept);
	ASSERT(load_relaxed(&f->n_file_kept) == at.n_file_kept);
	ASSERT(load_relaxed(&f->stored_bytes) == at.stored_bytes);
	ASSERT(load_relaxed(&f->kept_bytes) == at.kept_bytes);
	ASSERT(load_relaxed(&f->file_bytes) == at.file_bytes);
}

static void check_pool(struct swap *s, const struct tally *t)
{
	uint64_t n_used = 0;
	uint32_t i;

	pool_check(&s->pool);
	for (i = 0; i < s->pool.n_classes; i++)
		n_used += s->pool.classes[i].n_used;
	ASSERT(n_used == t->n_pool);
	ASSERT(load_relaxed(&s->pool.used_bytes) == t->pool_bytes);
}

static void check_bufs(struct swap *s, const struct tally *t)
{
	uint32_t i, n_free = 0;

	for (i = 0; i < s->bufs.n; i++) {
		/* Callers may hold references of their own. */
		ASSERT(load_relaxed(&s->bufs.bufs[i].n_refs) >= t->buf_refs[i]);
		n_free += load_relaxed(&s->bufs.bufs[i].n_refs) == 0;
	}
	ASSERT(n_free == s->bufs.n_free);
}

/* Live records and bytes of every segment are exactly what the trees say. */
static void check_segments(struct swap *s, const struct tally *t)
{
	uint32_t i;

	if (!s->segs.segment_bytes)
		return;
	segs_check(&s->segs);
	for (i = 1; i <= s->segs.n_high; i++) {
		ASSERT(segment_at(&s->segs, i)->n_live == t->segments[i].n_live);
		ASSERT(segment_at(&s->segs, i)->live_bytes == t->segments[i].live_bytes);
	}
}

void swap_check(struct swap *s)
{
	struct tally t = { 0 };
	uint32_t n_reserved = 0;
	struct swap_app *app;

	t.buf_refs = calloc(s->bufs.n, sizeof(*t.buf_refs));
	t.segments = calloc((size_t)s->segs.n_high + 1, sizeof(*t.segments));
	ASSERT(t.buf_refs);
	ASSERT(t.segments);
	lock_acquire(&s->apps_lock);
	list_for_each(app, &s->apps, node) {
		check_app(s, app, &t);
		n_reserved += app->n_slots + app->n_reserved;
	}
	lock_release(&s->apps_lock);
	ASSERT(slab_n_used(&s->entries) == t.n_entries);
	ASSERT(s->entries.n_reserved == n_reserved);
	check_pool(s, &t);
	check_bufs(s, &t);
	check_segments(s, &t);
	free(t.segments);
	free(t.buf_refs);
}
