/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-load - pages go back
 *
 * A load changes nothing until its page is in the program (I5): swap_load() only reads, and remembers if it
 * could not; the erase is the last part of swap_load_end(), after which nothing can fail. Bytes are
 * decompressed straight from their block, outside of every lock: the pin keeps compaction away from them.
 *
 * On file it is the same: the pin keeps the record where it is, so a load may wait for the disk as
 * long as it takes, and who drops the slot meanwhile does not wait for the load.
 */
#include <string.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/codec.h"
#include "core/swap-file.h"
#include "core/swap-impl.h"

static void page_fill(void *dst, uint64_t word)
{
	uint64_t *w = dst;
	uint32_t i;

	for (i = 0; i < PAGE_BYTES / 8; i++)
		w[i] = word;
}

/* Cold bytes: fetched all at once rather than as the decoder comes to them. */
static void prefetch(const void *bytes, uint32_t len)
{
	const char *at = bytes;
	uint32_t i;

	for (i = 0; i < len; i += 64)
		__builtin_prefetch(at + i);
}

/* The page that @src, the bytes of entry @e, stands for. Return: 0; SWAP_E_LOST. */
static int bytes_read(struct swap *s, const struct entry *e, struct entry_where where,
		      const void *src, void *dst, struct codec_ctx *ctx)
{
	struct page_hash hash;

	prefetch(src, where.len);
	if (where.form == ENTRY_STAGED || where.form == ENTRY_RAW)
		memcpy(dst, src, PAGE_BYTES);
	else if (!codec_decompress(ctx, where.form, src, where.len, dst))
		return SWAP_E_LOST;
	hash = hash_page(&s->hash, dst);
	return hash.v[0] == e->hash[0] && hash.v[1] == e->hash[1] ? 0 : SWAP_E_LOST;
}

/* The same from a record, whose seal is checked first. */
static int record_read(struct swap *s, const struct entry *e, struct seal_place place,
		       const void *record, void *dst, struct codec_ctx *ctx)
{
	struct entry_where where = entry_where(e);
	const void *src = seal_open(&s->segs.seal, place, record, where.len, codec_scratch(ctx));

	return src ? bytes_read(s, e, where, src, dst, ctx) : SWAP_E_LOST;
}

static int file_read(struct swap *s, const struct entry *e, struct segment_loc loc, void *dst,
		     struct codec_ctx *ctx)
{
	struct segment_view view;
	int r = SWAP_E_ON_FILE;

	segment_view_begin(&s->segs, loc, &view);
	inject_race();
	if (view.record)
		r = record_read(s, e, view.seal, view.record, dst, ctx);
	segment_view_end(&s->segs, loc, &view);
	return r;
}

int entry_read(struct swap *s, const struct entry *e, void *dst, struct codec_ctx *ctx)
{
	struct entry_where where = entry_where(e);

	if (where.on_file)
		return file_read(s, e, where_file_loc(where), dst, ctx);
	if (where.form == ENTRY_FILLED) {
		page_fill(dst, e->hash[0]);
		return hash_word(&s->hash, e->hash[0]) == e->hash[1] ? 0 : SWAP_E_LOST;
	}
	if (where.form == ENTRY_STAGED)
		return bytes_read(s, e, where, buf_page(&s->bufs, where.loc), dst, ctx);
	return bytes_read(s, e, where, pool_at(&s->pool, where.loc), dst, ctx);
}

/* The entry that a load may use. A kept copy is not one: the program has the page and may write. */
static struct entry *load_entry(struct swap *s, struct area *area, struct slot_id id)
{
	uint32_t idx = tree_lookup(area, id);
	struct entry *e;

	ASSERT_SLOW(slot_is_pinned(&s->slots, id));
	if (!idx)
		return NULL;
	e = entry_at(&s->entries, idx);
	return entry_where(e).kept ? NULL : e;
}

/* What is known of a page whose read ended with @r. */
static void use_get(const struct entry *e, int r, struct swap_use *ret_use)
{
	if (r || !ret_use)
		return;
	ret_use->evict_seq = e->evict_seq;
	ret_use->level = entry_where(e).level;
}

int swap_load(struct swap *s, struct slot_id id, void *dst, struct codec_ctx *ctx,
	      struct swap_use *ret_use)
{
	struct area *area = area_of(&s->areas, id);
	struct entry *e = load_entry(s, area, id);
	int r;

	if (!e)
		return SWAP_E_EMPTY;
	inject_race();
	r = entry_read(s, e, dst, ctx);
	if (r == SWAP_E_LOST) {
		fetch_add_relaxed(&area->app->figures.n_lost, 1);
		entry_set_lost(e);
	}
	use_get(e, r, ret_use);
	return r;
}

bool swap_file_needs_read(struct swap *s, struct slot_id id, struct swap_extent *ret_extent)
{
	struct entry *e = load_entry(s, area_of(&s->areas, id), id);
	struct segment_view view;
	struct segment_loc loc;

	if (!e || !entry_where(e).on_file)
		return false;
	loc = where_file_loc(entry_where(e));
	segment_view_begin(&s->segs, loc, &view);
	ret_extent->offset = view.offset;
	ret_extent->n_bytes = record_bytes(&s->segs.seal, entry_where(e).len);
	segment_view_end(&s->segs, loc, &view);
	return !view.record;
}

void swap_file_extent(struct swap *s, struct slot_id id, struct swap_extent *ret_extent)
{
	struct entry *e = load_entry(s, area_of(&s->areas, id), id);
	struct segment_view view;
	struct segment_loc loc;

	ASSERT(e && entry_where(e).on_file);
	loc = where_file_loc(entry_where(e));
	segment_view_begin(&s->segs, loc, &view);
	ret_extent->offset = view.offset;
	ret_extent->n_bytes = record_bytes(&s->segs.seal, entry_where(e).len);
	segment_view_end(&s->segs, loc, &view);
}

int swap_load_ahead(struct swap *s, struct slot_id id, const void *record, void *dst,
		    struct codec_ctx *ctx, struct swap_use *ret_use)
{
	struct entry *e = load_entry(s, area_of(&s->areas, id), id);
	struct segment_view view;
	struct segment_loc loc;
	int r;

	ASSERT(e && entry_where(e).on_file);
	loc = where_file_loc(entry_where(e));
	segment_view_begin(&s->segs, loc, &view);
	r = record_read(s, e, view.seal, record, dst, ctx);
	segment_view_end(&s->segs, loc, &view);
	use_get(e, r, ret_use);
	return r;
}

void swap_load_count(struct swap *s, struct slot_id id, int r)
{
	struct area *area = area_of(&s->areas, id);
	struct app_figures *f = &area->app->figures;
	struct entry *e;

	fetch_add_relaxed(r == SWAP_E_LOST ? &f->n_lost : &f->n_load_file, 1);
	if (r == SWAP_E_LOST && (e = load_entry(s, area, id)))
		entry_set_lost(e);
}

int swap_load_bytes(struct swap *s, struct slot_id id, const void *record, void *dst,
		    struct codec_ctx *ctx, struct swap_use *ret_use)
{
	int r = swap_load_ahead(s, id, record, dst, ctx, ret_use);

	swap_load_count(s, id, r);
	return r;
}

/* Make the entry of a pinned slot a clean copy, if that is worth anything. */
static bool load_keep(struct swap *s, struct area *area, struct slot_id id, bool only_file)
{
	uint32_t idx = tree_lookup(area, id);
	struct entry_where where;

	/* One count is the caller's own, and only who owns one can make it two. */
	if (!idx || slot_count(&s->slots, id) != 1)
		return false;
	where = entry_where(entry_at(&s->entries, idx));
	/*
	 * Staged: it would hold a buffer that eviction needs. Filled, raw: storing them again costs
	 * less than what keeping them takes, unless that is room in the file.
	 */
	if (where.kept || (only_file && !where.on_file) ||
	    (!where.on_file && where.form != ENTRY_LZ4 && where.form != ENTRY_ZSTD))
		return false;
	figures_count(area->app, where, -1);
	where.kept = true;
	entry_set_where(entry_at(&s->entries, idx), where);
	figures_count(area->app, where, 1);
	slot_set_kept(&s->slots, id, true);
	lru_move(&area->app->lru, idx, where.on_file ? LRU_FILE_KEPT : LRU_KEPT, false);
	return true;
}

bool swap_load_end(struct swap *s, struct slot_id id, enum swap_load_end end)
{
	struct area *area = area_of(&s->areas, id);
	bool keeps_count = end == SWAP_LOAD_ABORT;

	if (end != SWAP_LOAD_ABORT)
		fetch_add_relaxed(&area->app->figures.n_load, 1);
	if (end == SWAP_LOAD_KEEP || end == SWAP_LOAD_KEEP_FILE)
		keeps_count = load_keep(s, area, id, end == SWAP_LOAD_KEEP_FILE);
	slot_settle(s, id, slot_unpin(&s->slots, id, keeps_count ? 0 : 1));
	return keeps_count;
}

bool swap_load_share(struct swap *s, struct slot_id id)
{
	struct area *area = area_of(&s->areas, id);

	if (slot_count(&s->slots, id) == 1)
		return false;
	fetch_add_relaxed(&area->app->figures.n_load, 1);
	slot_settle(s, id, slot_unpin(&s->slots, id, 0));
	return true;
}

bool swap_is_alone(struct swap *s, struct slot_id id)
{
	return slot_count(&s->slots, id) == 1;
}

bool swap_is_own(struct swap *s, struct slot_id id)
{
	return slot_is_kept(&s->slots, id); /* then no count but the caller's */
}
