/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap - construction, apps, figures
 *
 * How much each arena can ever hold follows from the number of pages alone. Reserves are address
 * space, not memory, so they are generous.
 */
#include "core/swap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/inject.h"
#include "core/rank.h"
#include "core/swap-impl.h"

enum {
	AREAS_EXTRA = 256,  /* areas of many apps are not full */
	BLOCKS_EXTRA = 256, /* blocks of many classes are not full */
	AREAS_MAX = (1 << (32 - AREA_BITS)) - 2,
};

_Static_assert(SWAP_MAX_PAGES <= ENTRY_IDX_MAX, "or one could not be numbered");

static int swap_init_parts(struct swap *s)
{
	enum arena_residency residency =
		s->options.allow_unlocked_memory ? ARENA_LOCK_TRY : ARENA_LOCK_MUST;
	uint64_t n_pages = s->options.max_pages;
	uint64_t n_areas = (n_pages + AREA_SLOTS - 1) / AREA_SLOTS * 2 + AREAS_EXTRA;
	uint64_t n_blocks = n_pages / POOL_RAW_OBJS + n_pages / POOL_RAW_OBJS / 4 + BLOCKS_EXTRA;
	int r;

	if (n_areas > AREAS_MAX)
		n_areas = AREAS_MAX;
	if (n_blocks > POOL_BLOCKS_MAX)
		n_blocks = POOL_BLOCKS_MAX;
	r = slab_init_residency(&s->entries, "uswap-entries", sizeof(struct entry),
				(uint32_t)n_pages, residency);
	if (!r)
		r = slot_table_init(&s->slots, ((uint32_t)n_areas + 1) * AREA_SLOTS, residency);
	if (!r)
		r = area_table_init(&s->areas, (uint32_t)n_areas, residency);
	if (!r)
		r = pool_init(&s->pool, (uint32_t)n_blocks, &s->entries, &s->slots, residency);
	if (!r)
		r = bufs_init(&s->bufs, s->options.n_bufs, residency);
	if (!r)
		r = hash_init(&s->hash, residency);
	return err_trace(r);
}

DEFINE_CLEANUP(struct swap *, swap_free)

int swap_new(struct swap **ret_swap, const struct swap_options *options)
{
	_cleanup_(swap_freep) struct swap *s = NULL;
	int r;

	ASSERT(options->n_bufs > 0);
	if (options->max_pages == 0 || options->max_pages > SWAP_MAX_PAGES)
		return err_origin(-EINVAL);
	if (inject_fail())
		return err_origin(-ENOMEM);
	s = aligned_alloc(64, (sizeof(*s) + 63) / 64 * 64);
	if (!s)
		return err_origin(-ENOMEM);
	*s = (struct swap){
		.options = *options,
		.entries = SLAB_INIT,
		.slots = { .arena = ARENA_INIT },
		.areas = { .trees = ARENA_INIT, .owners = ARENA_INIT },
		.pool = { .data = ARENA_INIT, .table = ARENA_INIT },
		.bufs = { .pages = ARENA_INIT },
		.hash = { .arena = ARENA_INIT },
		.segs = SEGS_INIT,
	};
	list_init(&s->apps);
	lock_init(&s->apps_lock, LOCK_RANK_APPS, "apps");
	r = swap_init_parts(s);
	if (r)
		return err_trace(r);
	*ret_swap = TAKE_PTR(s);
	return 0;
}

struct swap *swap_free(struct swap *s)
{
	if (!s)
		return NULL;
	ASSERT(list_is_empty(&s->apps));
	segs_deinit(&s->segs);
	hash_deinit(&s->hash);
	bufs_deinit(&s->bufs);
	pool_deinit(&s->pool);
	area_table_deinit(&s->areas);
	slot_table_deinit(&s->slots);
	slab_deinit(&s->entries);
	lock_deinit(&s->apps_lock);
	free(s);
	return NULL;
}

int swap_app_new(struct swap *s, struct swap_app **ret_app)
{
	struct swap_app *app = NULL;

	if (!inject_fail())
		app = aligned_alloc(64, (sizeof(*app) + 63) / 64 * 64);
	if (!app)
		return err_origin(-ENOMEM);
	*app = (struct swap_app){ .swap = s };
	list_init(&app->areas);
	list_init(&app->areas_full);
	lock_init(&app->slots_lock, LOCK_RANK_APP_SLOTS, "app slots");
	lru_init(&app->lru, &s->entries, &s->slots);
	lock_acquire(&s->apps_lock);
	app->nr = ++s->n_apps_ever;
	list_append(&s->apps, &app->node);
	lock_release(&s->apps_lock);
	*ret_app = app;
	return 0;
}

struct swap_app *swap_app_free(struct swap_app *app)
{
	struct area *area;

	if (!app)
		return NULL;
	lock_acquire(&app->swap->apps_lock);
	list_unlink(&app->node);
	lock_release(&app->swap->apps_lock);
	ASSERT(app->n_slots == 0);
	while ((area = list_first(&app->areas, struct area, node))) {
		list_unlink(&area->node);
		area_retire(&app->swap->areas, area);
	}
	if (app->n_reserved)
		slab_unreserve(&app->swap->entries, app->n_reserved);
	lru_deinit(&app->lru);
	lock_deinit(&app->slots_lock);
	free(app);
	return NULL;
}

void swap_app_stats_get(struct swap_app *app, struct swap_app_stats *ret)
{
	struct app_figures *f = &app->figures;

	/* Not one moment of all of them: figures. */
	*ret = (struct swap_app_stats){
		.n_pages = load_relaxed(&f->n_pages),
		.n_staged = load_relaxed(&f->n_staged),
		.n_filled = load_relaxed(&f->n_filled),
		.n_raw = load_relaxed(&f->n_raw),
		.n_zstd = load_relaxed(&f->n_zstd),
		.n_file = load_relaxed(&f->n_file),
		.n_kept = load_relaxed(&f->n_kept),
		.n_file_kept = load_relaxed(&f->n_file_kept),
		.stored_bytes = load_relaxed(&f->stored_bytes),
		.kept_bytes = load_relaxed(&f->kept_bytes),
		.file_bytes = load_relaxed(&f->file_bytes),
		.n_put = load_relaxed(&f->n_put),
		.n_put_unchanged = load_relaxed(&f->n_put_unchanged),
		.n_put_changed = load_relaxed(&f->n_put_changed),
		.n_load = load_relaxed(&f->n_load),
		.n_load_file = load_relaxed(&f->n_load_file),
		.n_lost = load_relaxed(&f->n_lost),
		.n_writeback = load_relaxed(&f->n_writeback),
		.writeback_bytes = load_relaxed(&f->writeback_bytes),
		.n_writeback_warm = load_relaxed(&f->n_writeback_warm),
		.n_writeback_busy = load_relaxed(&f->n_writeback_busy),
		.n_writeback_full = load_relaxed(&f->n_writeback_full),
		.n_rehomed = load_relaxed(&f->n_rehomed),
		.compressed_in_bytes = load_relaxed(&f->compressed_in_bytes),
		.compressed_out_bytes = load_relaxed(&f->compressed_out_bytes),
	};
}

void swap_stats_get(struct swap *s, struct swap_stats *ret)
{
	*ret = (struct swap_stats){
		.pool_bytes = load_relaxed(&s->pool.committed_bytes),
		.pool_used_bytes = load_relaxed(&s->pool.used_bytes),
		.meta_bytes = slab_committed_bytes(&s->entries) +
			      area_table_committed_bytes(&s->areas) + pool_table_bytes(&s->pool) +
			      arena_size(&s->hash.arena),
	};
	lock_acquire(&s->bufs.lock);
	ret->n_bufs_free = s->bufs.n_free;
	ret->buf_bytes = (uint64_t)s->bufs.n_high * STAGE_BUF_PAGES * PAGE_BYTES;
	lock_release(&s->bufs.lock);
}
