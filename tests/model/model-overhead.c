/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * model-overhead - what the pool costs beside the bytes it stores
 *
 * Pages that lz4 makes three times smaller, stored, then churned: half of them replaced at random,
 * again and again, with compaction as a background thread does it. Fragmentation and metadata, the
 * five bytes a page that region maps take outside included, must stay under a tenth of the stored
 * bytes, after the fill and after the churn.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "core/swap.h"
#include "test-pages.h"

enum {
	REGION_MAP_BYTES = 5,
	OVERHEAD_MAX_PERMILLE = 100,
};

struct run {
	struct swap *swap;
	struct swap_app *app;
	struct codec_ctx *ctx;
	struct rng rng;
	struct slot_id *ids;
	uint32_t n_pages;
};

/* Pointers of a heap and some text: lz4 saves two thirds, give or take. */
static void page_make_heap(struct rng *r, uint8_t *page)
{
	uint64_t *w = (uint64_t *)(void *)page;
	uint32_t n_noise = 20 + rng_below(r, 80), i;

	for (i = 0; i < PAGE_BYTES / 8; i++)
		if (n_noise && i % 4 == 0) {
			w[i] = rng_next(r) & UINT64_C(0xffffffffffff);
			n_noise--;
		} else {
			w[i] = UINT64_C(0x7f0000001000) + rng_below(r, 3) * 64;
		}
}

static void store(struct run *run, struct slot_id *ret_id)
{
	struct stage_buf *buf = swap_buf_try_get(run->swap);
	struct swap_use use = { 0 };

	ASSERT(buf);
	page_make_heap(&run->rng, buf->pages);
	ASSERT(swap_slot_new(run->app, ret_id) == 0);
	ASSERT(swap_put(run->swap, *ret_id, buf, 0, &use) == SWAP_E_STAGED);
	swap_unpin(run->swap, *ret_id);
	ASSERT(swap_compress(run->swap, *ret_id, buf, 0, SWAP_CODEC_LZ4, run->ctx) == 0);
	swap_buf_put(run->swap, buf);
}

/* Return: overhead in thousandths of the stored bytes. */
static uint32_t report(struct run *run, const char *when)
{
	struct swap_app_stats st;
	struct swap_stats all;
	uint64_t cost;

	swap_app_stats_get(run->app, &st);
	swap_stats_get(run->swap, &all);
	cost = all.pool_bytes + all.meta_bytes + (uint64_t)run->n_pages * REGION_MAP_BYTES;
	printf("%u pages, %s: %.2f to 1, stored %" PRIu64 " KiB, pool %" PRIu64
	       " KiB, metadata %" PRIu64 " KiB: %.2f %% on top\n",
	       run->n_pages, when, (double)run->n_pages * PAGE_BYTES / (double)st.stored_bytes,
	       st.stored_bytes >> 10, all.pool_bytes >> 10, all.meta_bytes >> 10,
	       100.0 * (double)(cost - st.stored_bytes) / (double)st.stored_bytes);
	return (uint32_t)((cost - st.stored_bytes) * 1000 / st.stored_bytes);
}

static void run_one(uint64_t seed, uint32_t n_pages, uint32_t max_permille)
{
	struct swap_options options = { .max_pages = 1 << 22,
					.n_bufs = 2,
					.allow_unlocked_memory = true };
	struct run run = { .n_pages = n_pages, .rng = { seed } };
	uint32_t i, k, permille;

	ASSERT(swap_new(&run.swap, &options) == 0);
	ASSERT(swap_app_new(run.swap, &run.app) == 0);
	ASSERT(codec_ctx_new(&run.ctx) == 0);
	run.ids = calloc(n_pages, sizeof(*run.ids));
	ASSERT(run.ids);
	for (i = 0; i < n_pages; i++)
		store(&run, &run.ids[i]);
	permille = report(&run, "filled");
	ASSERT(permille < max_permille);
	for (i = 0; i < n_pages / 2; i++) {
		k = rng_below(&run.rng, n_pages);
		swap_slot_unref(run.swap, run.ids[k]);
		store(&run, &run.ids[k]);
		if (i % 1024 == 0)
			swap_compact(run.swap, 1 << 20);
	}
	permille = report(&run, "churned");
	ASSERT(permille < max_permille);
	for (i = 0; i < n_pages / 2; i++)
		swap_slot_unref(run.swap, run.ids[2 * i]);
	for (i = 0; i < 100; i++)
		swap_compact(run.swap, 1 << 20);
	run.n_pages -= n_pages / 2;
	report(&run, "half freed, compacted");
	run.n_pages = n_pages;
	for (i = 0; i < n_pages / 2; i++)
		swap_slot_unref(run.swap, run.ids[2 * i + 1]);
	swap_check(run.swap);
	free(run.ids);
	swap_app_free(run.app);
	codec_ctx_free(run.ctx);
	swap_free(run.swap);
}

int main(void)
{
	uint64_t seed = test_seed();

	run_one(seed, 30000, OVERHEAD_MAX_PERMILLE);
	/* A small pool: every class still has its one half-empty block. */
	run_one(seed + 1, 6000, 2 * OVERHEAD_MAX_PERMILLE);
	return 0;
}
