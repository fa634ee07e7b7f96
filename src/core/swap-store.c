/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-store - pages come in: as raw bytes of a buffer first, compressed when there is time
 *
 * What zswap_store() does in one go is two steps here. swap_put() happens on the thread that took
 * the page out of the program and cannot fail; swap_compress() happens on any thread, owns no count,
 * and so begins by proving that the slot still has what it was given.
 *
 * Order of a store (I9): fields, tree, accounting, LRU last with the second chance set. Order of a
 * free (I10): tree, LRU, bytes, accounting, entry: the LRU and the pool's back-reference need what
 * the entry says, so they let go of it first.
 */
#include <string.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/codec.h"
#include "core/swap-impl.h"

static void figure_add(_Atomic uint64_t *figure, uint64_t n, int sign)
{
	fetch_add_relaxed(figure, sign > 0 ? n : -n);
}

void figures_count(struct swap_app *app, struct entry_where where, int sign)
{
	struct app_figures *f = &app->figures;

	if (where.on_file)
		figure_add(&f->file_bytes, where.len, sign);
	else if (where.len)
		figure_add(where.kept ? &f->kept_bytes : &f->stored_bytes, where.len, sign);
	if (where.kept) {
		figure_add(&f->n_kept, 1, sign);
		if (where.on_file)
			figure_add(&f->n_file_kept, 1, sign);
		return;
	}
	figure_add(&f->n_pages, 1, sign);
	if (where.on_file)
		figure_add(&f->n_file, 1, sign);
	switch (where.form) {
	case ENTRY_STAGED:
		figure_add(&f->n_staged, 1, sign);
		break;
	case ENTRY_FILLED:
		figure_add(&f->n_filled, 1, sign);
		break;
	case ENTRY_RAW:
		figure_add(&f->n_raw, 1, sign);
		break;
	case ENTRY_ZSTD:
		figure_add(&f->n_zstd, 1, sign);
		break;
	case ENTRY_LZ4:
		break;
	}
}

void entry_release_bytes(struct swap *s, struct entry_where where)
{
	if (where.on_file)
		segment_drop(&s->segs, where_file_loc(where), where.len);
	else if (where_in_pool(where))
		pool_free(&s->pool, where.loc, where.len);
	else if (where.form == ENTRY_STAGED)
		swap_buf_put(s, &buf_of_loc(&s->bufs, where.loc)->pub);
}

void entry_publish(struct swap *s, struct area *area, uint32_t idx, enum lru_list list)
{
	struct entry *e = entry_at(&s->entries, idx);

	tree_insert(area, (struct slot_id){ e->slot }, idx);
	inject_race();
	figures_count(area->app, entry_where(e), 1);
	lru_insert(&area->app->lru, idx, list);
}

void entry_erase(struct swap *s, struct area *area, uint32_t idx)
{
	struct entry *e = entry_at(&s->entries, idx);
	struct entry_where where = entry_where(e);

	tree_erase(area, (struct slot_id){ e->slot }, idx);
	inject_race();
	lru_remove(&area->app->lru, idx);
	inject_race();
	entry_release_bytes(s, where);
	inject_race();
	figures_count(area->app, where, -1);
	slab_free_reserved(&s->entries, idx);
}

void entry_rehome(struct swap *s, struct swap_app *app, struct entry *e, struct entry_where where)
{
	struct entry_where old = entry_where(e);

	entry_set_where(e, where);
	inject_race();
	figures_count(app, where, 1);
	figures_count(app, old, -1);
	entry_release_bytes(s, old);
}

/* True if a page is one word repeated. */
static bool page_is_filled(const void *page, uint64_t *ret_word)
{
	const uint64_t *w = page;
	uint32_t i;

	/* Most pages differ at one of these places already. */
	if (w[0] != w[1] || w[0] != w[PAGE_BYTES / 16] || w[0] != w[PAGE_BYTES / 8 - 1])
		return false;
	for (i = 1; i < PAGE_BYTES / 8; i++)
		if (w[i] != w[0])
			return false;
	*ret_word = w[0];
	return true;
}

static bool entry_has_hash(const struct entry *e, const uint64_t hash[2])
{
	return e->hash[0] == hash[0] && e->hash[1] == hash[1];
}

/* The kept copy is what the page is: it is the entry of an evicted page again. */
static void entry_unkeep(struct swap *s, struct area *area, uint32_t idx,
			 const struct swap_use *use)
{
	struct entry *e = entry_at(&s->entries, idx);
	struct entry_where where = entry_where(e);

	figures_count(area->app, where, -1);
	where.kept = false;
	where.level = use->level;
	e->evict_seq = use->evict_seq;
	entry_set_where(e, where);
	figures_count(area->app, where, 1);
	/* What is zstd already has nothing to gain any more. */
	lru_move(&area->app->lru, idx,
		 where.on_file		    ? LRU_FILE
		 : where.form == ENTRY_ZSTD ? LRU_AGED
					    : LRU_FRESH,
		 true);
}

/* Return: the page is one word repeated. */
static bool page_hash(struct swap *s, const void *page, struct page_hash *ret)
{
	uint64_t word;

	if (page_is_filled(page, &word)) {
		*ret = (struct page_hash){ { word, hash_word(&s->hash, word) } };
		return true;
	}
	*ret = hash_page(&s->hash, page);
	return false;
}

/* What a same-filled page's hash says is not comparable with the hash of any other. */
static bool entry_is(const struct entry *e, const struct page_hash *hash, bool is_filled)
{
	return (entry_where(e).form == ENTRY_FILLED) == is_filled && entry_has_hash(e, hash->v);
}

/*
 * What the pinned slot had before. Return: true if it serves as the new entry. Else it is gone: an
 * old copy must not outlive a store (I7).
 */
static bool put_reuse(struct swap *s, struct slot_id id, struct area *area,
		      const struct page_hash *hash, bool is_filled, const struct swap_use *use)
{
	uint32_t idx = tree_lookup(area, id);
	struct entry_where where;
	bool same;

	if (!idx)
		return false;
	where = entry_where(entry_at(&s->entries, idx));
	same = where.kept && entry_is(entry_at(&s->entries, idx), hash, is_filled);
	if (same)
		entry_unkeep(s, area, idx, use);
	else
		entry_erase(s, area, idx);
	if (where.kept)
		fetch_add_relaxed(same ? &area->app->figures.n_put_unchanged
				       : &area->app->figures.n_put_changed,
				  1);
	slot_set_kept(&s->slots, id, false);
	return same;
}

int swap_put(struct swap *s, struct slot_id id, struct stage_buf *buf, uint32_t page_idx,
	     const struct swap_use *use)
{
	const uint8_t *page = buf->pages + (size_t)page_idx * PAGE_BYTES;
	struct area *area = area_of(&s->areas, id);
	struct entry_where where = { .form = ENTRY_STAGED, .level = use->level };
	struct page_hash hash;
	struct entry *e;
	uint32_t idx;

	ASSERT(page_idx < STAGE_BUF_PAGES);
	ASSERT(slot_is_pinned(&s->slots, id));
	if (page_hash(s, page, &hash))
		where.form = ENTRY_FILLED;
	fetch_add_relaxed(&area->app->figures.n_put, 1);
	if (put_reuse(s, id, area, &hash, where.form == ENTRY_FILLED, use))
		return 0;
	if (where.form == ENTRY_STAGED) {
		buf_ref(buf_of(buf));
		where.loc = buf_loc(buf, page_idx);
	}
	idx = slab_alloc_reserved(&s->entries); /* the slot has the right to it */
	e = entry_at(&s->entries, idx);
	e->hash[0] = hash.v[0];
	e->hash[1] = hash.v[1];
	e->slot = id.v;
	e->evict_seq = use->evict_seq;
	entry_set_where(e, where);
	entry_publish(s, area, idx, where.form == ENTRY_FILLED ? LRU_FILLED : LRU_FRESH);
	return where.form == ENTRY_STAGED ? SWAP_E_STAGED : 0;
}

/* May a page that is as @e says be left to it? Not to a kept copy, nor to what could not be read. */
static bool entry_may_serve(struct swap *s, const struct entry *e)
{
	struct entry_where where = entry_where(e);

	return !where.kept && !where.lost &&
	       !(where.on_file && !segment_is_sound(&s->segs, where_file_loc(where)));
}

bool swap_same(struct swap *s, struct slot_id id, const struct stage_buf *buf, uint32_t page_idx,
	       const struct swap_use *use)
{
	const uint8_t *page = buf->pages + (size_t)page_idx * PAGE_BYTES;
	struct entry_where where;
	struct page_hash hash;
	struct entry *e;
	bool same = false;
	uint32_t idx;

	ASSERT(page_idx < STAGE_BUF_PAGES);
	if (slot_try_pin(&s->slots, id, SWAP_PIN_MOVE))
		return false;
	inject_race();
	idx = tree_lookup(area_of(&s->areas, id), id); /* only now: the pin keeps both (I1) */
	e = idx ? entry_at(&s->entries, idx) : NULL;
	if (e && entry_may_serve(s, e)) {
		bool is_filled = page_hash(s, page, &hash);

		same = entry_is(e, &hash, is_filled);
	}
	if (same) {
		where = entry_where(e);
		where.level = use->level;
		e->evict_seq = use->evict_seq;
		entry_set_where(e, where);
	}
	slot_done(s, id);
	return same;
}

void swap_lose(struct swap *s, struct slot_id id)
{
	struct area *area = area_of(&s->areas, id);
	uint32_t idx = tree_lookup(area, id);

	ASSERT(slot_is_pinned(&s->slots, id));
	if (idx)
		entry_erase(s, area, idx);
	slot_set_kept(&s->slots, id, false);
}

/* Bytes of a staged page as the pool shall have them. Post: where.form and where.len are set. */
static const void *compress_bytes(const void *page, enum swap_codec codec, struct codec_ctx *ctx,
				  struct entry_where *where)
{
	const void *out = page;

	where->len = 0;
	if (codec != SWAP_CODEC_NONE) {
		where->form = codec == SWAP_CODEC_ZSTD && !codec_repeats(ctx, page) ? ENTRY_ZSTD
										    : ENTRY_LZ4;
		where->len = (uint16_t)codec_compress(ctx, where->form, CODEC_ZSTD_FAST_LEVEL, page,
						      CODEC_STORE_MAX, &out);
	}
	if (where->len)
		return out;
	where->form = ENTRY_RAW;
	where->len = PAGE_BYTES;
	return page;
}

/* pre: the slot is pinned by the caller, and has the staged entry @idx */
static int compress_pinned(struct swap *s, struct area *area, uint32_t idx, enum swap_codec codec,
			   struct codec_ctx *ctx)
{
	struct entry *e = entry_at(&s->entries, idx);
	struct app_figures *f = &area->app->figures;
	struct entry_where where = entry_where(e);
	const void *out;

	out = compress_bytes(buf_page(&s->bufs, where.loc), codec, ctx, &where);
	if (pool_alloc(&s->pool, where.len, idx, &where.loc))
		return SWAP_E_FULL;
	memcpy(pool_at(&s->pool, where.loc), out, where.len);
	fetch_add_relaxed(&f->compressed_in_bytes, PAGE_BYTES);
	fetch_add_relaxed(&f->compressed_out_bytes, where.len);
	entry_rehome(s, area->app, e, where);
	return 0;
}

int swap_compress(struct swap *s, struct slot_id id, struct stage_buf *buf, uint32_t page_idx,
		  enum swap_codec codec, struct codec_ctx *ctx)
{
	struct entry_where where;
	struct area *area;
	uint32_t idx;
	int r;

	r = slot_try_pin(&s->slots, id, SWAP_PIN_MOVE);
	if (r)
		return r;
	inject_race();
	area = area_of(&s->areas, id); /* only now: the pin keeps it (I1) */
	idx = tree_lookup(area, id);
	r = SWAP_E_GONE;
	if (idx) {
		where = entry_where(entry_at(&s->entries, idx));
		if (where.form == ENTRY_STAGED && where.loc == buf_loc(buf, page_idx))
			r = compress_pinned(s, area, idx, codec, ctx);
	}
	slot_done(s, id);
	return r;
}

struct stage_buf *swap_buf_try_get(struct swap *s)
{
	struct buf *buf = buf_try_get(&s->bufs);

	return buf ? &buf->pub : NULL;
}

void swap_buf_put(struct swap *s, struct stage_buf *buf)
{
	if (buf_unref(&s->bufs, buf_of(buf)) && s->options.on_buf_free)
		s->options.on_buf_free(s->options.user);
}
