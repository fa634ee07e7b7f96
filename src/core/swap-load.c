/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-load - pages go back
 *
 * A load changes nothing until its page is in the program (I5): swap_load() only reads, and the
 * erase is the last part of swap_load_end(), after which nothing can fail. Bytes are decompressed
 * straight from their block, outside of every lock: the pin keeps compaction away from them.
 */
#include <string.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/codec.h"
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

bool entry_read(struct swap *s, const struct entry *e, void *dst, struct codec_ctx *ctx)
{
	struct entry_where where = entry_where(e);
	struct page_hash hash;

	switch (where.form) {
	case ENTRY_FILLED:
		page_fill(dst, e->hash[0]);
		return hash_word(&s->hash, e->hash[0]) == e->hash[1];
	case ENTRY_STAGED:
		memcpy(dst, buf_page(&s->bufs, where.loc), PAGE_BYTES);
		break;
	case ENTRY_RAW:
		memcpy(dst, pool_at(&s->pool, where.loc), PAGE_BYTES);
		break;
	case ENTRY_LZ4:
	case ENTRY_ZSTD:
		prefetch(pool_at(&s->pool, where.loc), where.len);
		if (!codec_decompress(ctx, where.form, pool_at(&s->pool, where.loc), where.len,
				      dst))
			return false;
		break;
	}
	hash = hash_page(&s->hash, dst);
	return hash.v[0] == e->hash[0] && hash.v[1] == e->hash[1];
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

int swap_load(struct swap *s, struct slot_id id, void *dst, struct codec_ctx *ctx,
	      struct swap_use *ret_use)
{
	struct area *area = area_of(&s->areas, id);
	struct entry *e = load_entry(s, area, id);

	if (!e)
		return SWAP_E_EMPTY;
	inject_race();
	if (!entry_read(s, e, dst, ctx)) {
		fetch_add_relaxed(&area->app->figures.n_lost, 1);
		return SWAP_E_LOST;
	}
	if (ret_use) {
		ret_use->evict_seq = e->evict_seq;
		ret_use->level = entry_where(e).level;
	}
	return 0;
}

bool swap_is_filled(struct swap *s, struct slot_id id, uint64_t *ret_word)
{
	struct entry *e = load_entry(s, area_of(&s->areas, id), id);

	if (!e || entry_where(e).form != ENTRY_FILLED)
		return false;
	if (hash_word(&s->hash, e->hash[0]) != e->hash[1])
		return false; /* swap_load() will say that it is lost */
	*ret_word = e->hash[0];
	return true;
}

/* Make the entry of a pinned slot a clean copy, if that is worth anything. */
static bool load_keep(struct swap *s, struct area *area, struct slot_id id)
{
	uint32_t idx = tree_lookup(area, id);
	struct entry_where where;

	/* One count is the caller's own, and only who owns one can make it two. */
	if (!idx || slot_count(&s->slots, id) != 1)
		return false;
	where = entry_where(entry_at(&s->entries, idx));
	/*
	 * Staged: it would hold a buffer that eviction needs. Filled, raw: storing them again costs
	 * less than what keeping them takes.
	 */
	if (where.kept || (where.form != ENTRY_LZ4 && where.form != ENTRY_ZSTD))
		return false;
	figures_count(area->app, where, -1);
	where.kept = true;
	entry_set_where(entry_at(&s->entries, idx), where);
	figures_count(area->app, where, 1);
	slot_set_kept(&s->slots, id, true);
	lru_move(&area->app->lru, idx, LRU_KEPT, false);
	return true;
}

bool swap_load_end(struct swap *s, struct slot_id id, enum swap_load_end end)
{
	struct area *area = area_of(&s->areas, id);
	bool keeps_count = end == SWAP_LOAD_ABORT;

	if (end != SWAP_LOAD_ABORT)
		fetch_add_relaxed(&area->app->figures.n_load, 1);
	if (end == SWAP_LOAD_KEEP)
		keeps_count = load_keep(s, area, id);
	slot_settle(s, id, slot_unpin(&s->slots, id, keeps_count ? 0 : 1));
	return keeps_count;
}
