/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-swap - the contract of swap.h, one promise at a time
 */
#include "test-common.h"

#include "base/inject.h"
#include "core/pool.h"
#include "core/swap-impl.h"
#include "test-pages.h"

enum { SEED = 1006 /* compresses */, SEED_NOISE = 18, SEED_FILLED = 17 };

static struct swap *s;
static struct swap_app *app;
static struct codec_ctx *ctx;
static struct stage_buf *buf;
static uint32_t n_wakes, n_bufs_freed;
static const struct swap_use use = { .evict_seq = 0xdeadbeef, .level = 2 };

static void on_unpinned(void *user, struct slot_id id)
{
	(void)user;
	(void)id;
	n_wakes++;
}

static void on_buf_free(void *user)
{
	(void)user;
	n_bufs_freed++;
}

static int setup(void **state)
{
	struct swap_options options = {
		.max_pages = 20000,
		.n_bufs = 2,
		.zstd_level = 3,
		.allow_unlocked_memory = true,
		.on_unpinned = on_unpinned,
		.on_buf_free = on_buf_free,
	};

	(void)state;
	n_wakes = n_bufs_freed = 0;
	if (swap_new(&s, &options) || swap_app_new(s, &app) || codec_ctx_new(&ctx))
		return -1;
	buf = swap_buf_try_get(s);
	return buf ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (buf)
		swap_buf_put(s, buf);
	swap_check(s);
	app = swap_app_free(app);
	ctx = codec_ctx_free(ctx);
	s = swap_free(s);
	return 0;
}

static int put(struct slot_id id, uint32_t page_idx, uint64_t seed)
{
	page_make(seed, buf->pages + (size_t)page_idx * PAGE_BYTES);
	return swap_put(s, id, buf, page_idx, &use);
}

static struct slot_id store(uint32_t page_idx, uint64_t seed, enum swap_codec codec)
{
	struct slot_id id = { 0 };
	int r;

	assert_int_equal(swap_slot_new(app, &id), 0);
	r = put(id, page_idx, seed);
	swap_unpin(s, id);
	if (r == SWAP_E_STAGED)
		assert_int_equal(swap_compress(s, id, buf, page_idx, codec, ctx), 0);
	return id;
}

static void expect_page(struct slot_id id, uint64_t seed)
{
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8)));
	struct swap_use got;

	assert_int_equal(swap_load(s, id, page, ctx, &got), 0);
	assert_true(page_is(page, seed));
	assert_int_equal(got.evict_seq, use.evict_seq);
	assert_int_equal(got.level, use.level);
}

static void load_erase(struct slot_id id, uint64_t seed)
{
	assert_int_equal(swap_pin_or_park(s, id, SWAP_PIN_LOAD), 0);
	expect_page(id, seed);
	assert_false(swap_load_end(s, id, SWAP_LOAD_ERASE));
}

static struct swap_app_stats stats(void)
{
	struct swap_app_stats st;

	swap_app_stats_get(app, &st);
	return st;
}

static void test_forms(void **state)
{
	struct slot_id id;

	(void)state;
	id = store(0, SEED_FILLED, SWAP_CODEC_LZ4);
	assert_int_equal(stats().n_filled, 1);
	load_erase(id, SEED_FILLED);
	id = store(1, SEED_NOISE, SWAP_CODEC_LZ4);
	assert_int_equal(stats().n_raw, 1);
	assert_int_equal(stats().stored_bytes, PAGE_BYTES);
	load_erase(id, SEED_NOISE);
	id = store(2, SEED, SWAP_CODEC_NONE);
	assert_int_equal(stats().n_raw, 1);
	load_erase(id, SEED);
	id = store(3, SEED, SWAP_CODEC_LZ4);
	assert_int_equal(stats().n_raw, 0);
	load_erase(id, SEED);
	id = store(4, SEED, SWAP_CODEC_ZSTD);
	assert_int_equal(stats().n_zstd, 1);
	load_erase(id, SEED);
	assert_int_equal(stats().n_pages, 0);
	assert_int_equal(stats().stored_bytes, 0);
}

static void test_staged_page_holds_its_buffer(void **state)
{
	struct slot_id id;

	(void)state;
	assert_int_equal(swap_slot_new(app, &id), 0);
	assert_int_equal(put(id, 9, SEED), SWAP_E_STAGED);
	swap_buf_put(s, buf);
	assert_int_equal(n_bufs_freed, 0);
	swap_unpin(s, id);
	assert_int_equal(stats().n_staged, 1);
	load_erase(id, SEED);
	assert_int_equal(n_bufs_freed, 1);
	/* Loaded and freed: who owes the compression learns that. */
	assert_int_equal(swap_compress(s, id, buf, 9, SWAP_CODEC_LZ4, ctx), SWAP_E_GONE);
	buf = NULL;
}

static void test_kept_copy_unchanged(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4);
	uint8_t page[PAGE_BYTES];

	(void)state;
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	expect_page(id, SEED);
	assert_true(swap_load_end(s, id, SWAP_LOAD_KEEP));
	assert_int_equal(stats().n_kept, 1);
	assert_int_equal(stats().n_pages, 0);
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_STORE), 0);
	assert_int_equal(swap_load(s, id, page, ctx, NULL), SWAP_E_EMPTY); /* not to be trusted */
	assert_int_equal(put(id, 1, SEED), 0);
	swap_unpin(s, id);
	assert_int_equal(stats().n_put_unchanged, 1);
	assert_int_equal(stats().n_put_changed, 0);
	assert_int_equal(stats().n_kept, 0);
	load_erase(id, SEED);
}

/* A store drops the older copy (I7): else the page of before comes back. */
static void test_kept_copy_changed(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4);
	uint64_t seeds[] = { SEED + 16, SEED_FILLED, SEED_NOISE };
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
		assert_true(swap_load_end(s, id, SWAP_LOAD_KEEP));
		assert_int_equal(swap_try_pin(s, id, SWAP_PIN_STORE), 0);
		put(id, 1 + i, seeds[i]);
		swap_unpin(s, id);
		assert_int_equal(stats().n_put_unchanged, 0);
		assert_int_equal(stats().n_put_changed, 1 + i);
		assert_int_equal(stats().n_kept, 0);
		assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
		expect_page(id, seeds[i]);
		assert_true(swap_load_end(s, id, SWAP_LOAD_ABORT));
		swap_slot_unref(s, id);
		id = store(0, SEED, SWAP_CODEC_LZ4);
	}
	swap_slot_unref(s, id);
}

static void test_kept_copy_dropped(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4);

	(void)state;
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_true(swap_load_end(s, id, SWAP_LOAD_KEEP));
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_STORE), 0);
	assert_int_equal(swap_drop_kept(app, 1), 0); /* pinned: not now */
	swap_unpin(s, id);
	assert_true(swap_drop_kept(app, 1) > 0);
	assert_int_equal(stats().n_kept, 0);
	/* The slot is still there and takes a page without any allocation. */
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_STORE), 0);
	inject_arm(1);
	assert_int_equal(put(id, 1, SEED + 16), SWAP_E_STAGED);
	assert_false(inject_disarm());
	swap_unpin(s, id);
	load_erase(id, SEED + 16);
}

static void test_kept_only_when_alone(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4);

	(void)state;
	swap_slot_ref(s, id);
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_false(swap_load_end(s, id, SWAP_LOAD_KEEP)); /* the other one still needs it */
	assert_int_equal(stats().n_pages, 1);
	load_erase(id, SEED);
	assert_int_equal(stats().n_pages, 0);
}

/* Who loads what others refer to as well may keep its count, and find out later whether it was of use. */
static void test_shared_copy(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4),
		       other = store(1, SEED + 16, SWAP_CODEC_LZ4);
	struct slot_id filled = store(2, SEED_FILLED, SWAP_CODEC_LZ4);

	(void)state;
	swap_slot_ref(s, id);
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_false(swap_same(s, id, buf, 0, &use)); /* pinned: not now */
	assert_true(swap_load_share(s, id));
	assert_false(swap_is_alone(s, id) || swap_is_own(s, id));
	assert_int_equal(stats().n_pages, 3);
	assert_true(swap_same(s, id, buf, 0, &use));
	assert_false(swap_same(s, id, buf, 1, &use));
	assert_false(swap_same(s, id, buf, 2, &use));
	assert_true(swap_same(s, filled, buf, 2, &use));
	assert_false(swap_same(s, filled, buf, 0, &use));

	load_erase(id, SEED); /* the other one; ours keeps the entry */
	assert_true(swap_is_alone(s, id));
	assert_true(swap_same(s, id, buf, 0, &use));
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_false(swap_load_share(s, id)); /* still pinned */
	assert_true(swap_load_end(s, id, SWAP_LOAD_KEEP));
	assert_true(swap_is_own(s, id));
	assert_false(
		swap_same(s, id, buf, 0, &use)); /* a kept copy is not what a map may refer to */
	swap_slot_unref(s, id);
	swap_slot_unref(s, other);
	swap_slot_unref(s, filled);
	assert_int_equal(stats().n_pages, 0);
}

static void test_park(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4);

	(void)state;
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_MOVE), 0);
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), SWAP_E_BUSY);
	assert_int_equal(swap_pin_or_park(s, id, SWAP_PIN_LOAD), SWAP_E_PARKED);
	assert_int_equal(n_wakes, 0);
	swap_slot_unref(s, id); /* an event does not wait for the pin */
	assert_int_equal(stats().n_pages, 1);
	swap_unpin(s, id);
	assert_int_equal(n_wakes, 1);
	assert_int_equal(stats().n_pages, 0);
}

/* Bytes that rot are found, and never handed out (R7). */
static void test_lost(void **state)
{
	struct slot_id id[3] = { store(0, SEED, SWAP_CODEC_LZ4), store(1, SEED, SWAP_CODEC_ZSTD),
				 store(2, SEED_NOISE, SWAP_CODEC_LZ4) };
	uint8_t page[PAGE_BYTES];
	uint8_t *at;
	uint32_t i, idx;

	(void)state;
	for (i = 0; i < 3; i++) {
		idx = tree_lookup(area_of(&s->areas, id[i]), id[i]);
		at = pool_at(&s->pool, entry_where(entry_at(&s->entries, idx)).loc);
		at[40] ^= 1;
		assert_true(swap_same(s, id[i], buf, i, &use)); /* it cannot know */
		assert_int_equal(swap_try_pin(s, id[i], SWAP_PIN_LOAD), 0);
		assert_int_equal(swap_load(s, id[i], page, ctx, NULL), SWAP_E_LOST);
		assert_true(swap_load_end(s, id[i], SWAP_LOAD_ABORT));
		assert_false(
			swap_same(s, id[i], buf, i, &use)); /* a copy of it is not left to it */
		swap_slot_unref(s, id[i]);
	}
	assert_int_equal(stats().n_lost, 3);
	assert_int_equal(stats().n_pages, 0);
}

static void test_recompress(void **state)
{
	struct slot_id id[100];
	uint64_t before;
	uint32_t i;

	(void)state;
	for (i = 0; i < 100; i++)
		id[i] = store(i, SEED + 16 * i, SWAP_CODEC_LZ4);
	before = stats().stored_bytes;
	assert_int_equal(swap_recompress(app, 30, ctx), 30);
	assert_int_equal(swap_recompress(app, 1000, ctx), 70);
	assert_int_equal(swap_recompress(app, 1000, ctx), 0);
	assert_int_equal(stats().n_zstd, 100);
	assert_true(stats().stored_bytes < before);
	for (i = 0; i < 100; i++)
		load_erase(id[i], SEED + 16 * i);
}

/* A page that is being loaded is warm: the sweep ends there (I13); any other pin is stepped over. */
static void test_recompress_meets_pins(void **state)
{
	struct slot_id id[10];
	uint32_t i;

	(void)state;
	for (i = 0; i < 10; i++)
		id[i] = store(i, SEED + 16 * i, SWAP_CODEC_LZ4);
	assert_int_equal(swap_try_pin(s, id[4], SWAP_PIN_MOVE), 0);
	assert_int_equal(swap_try_pin(s, id[6], SWAP_PIN_LOAD), 0);
	assert_int_equal(swap_recompress(app, 1000, ctx), 5); /* 0, 1, 2, 3, 5 */
	swap_unpin(s, id[6]);
	swap_unpin(s, id[4]);
	assert_int_equal(swap_recompress(app, 1000, ctx), 5);
	for (i = 0; i < 10; i++)
		load_erase(id[i], SEED + 16 * i);
}

/* How a page is kept is its entry's affair: settings change only what comes later (I14, I15). */
static void test_codec_changes(void **state)
{
	struct slot_id id[3];
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		id[i] = store(i, SEED + 16 * i, (enum swap_codec)i);
	s->options.zstd_level = -3;
	for (i = 0; i < 3; i++)
		load_erase(id[i], SEED + 16 * i);
}

/* A load that could not install its page changes nothing (I5). */
static void test_load_abort(void **state)
{
	struct slot_id id = store(0, SEED, SWAP_CODEC_LZ4);
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(swap_pin_or_park(s, id, SWAP_PIN_LOAD), 0);
		expect_page(id, SEED);
		assert_true(swap_load_end(s, id, SWAP_LOAD_ABORT));
	}
	assert_int_equal(stats().n_load, 0);
	load_erase(id, SEED);
}

static void test_compact(void **state)
{
	struct slot_id id[2000];
	struct swap_stats before, after;
	uint32_t i;

	(void)state;
	for (i = 0; i < 2000; i++)
		id[i] = store(i % STAGE_BUF_PAGES, SEED + 16 * i, SWAP_CODEC_LZ4);
	swap_check(s);
	for (i = 0; i < 2000; i++)
		if (i % 3)
			swap_slot_unref(s, id[i]);
	swap_stats_get(s, &before);
	while (swap_compact(s, 1 << 20) > 0)
		;
	swap_check(s);
	swap_stats_get(s, &after);
	assert_true(after.pool_bytes < before.pool_bytes * 2 / 3);
	assert_int_equal(after.pool_used_bytes, before.pool_used_bytes);
	for (i = 0; i < 2000; i += 3)
		load_erase(id[i], SEED + 16 * i);
}

static void test_full(void **state)
{
	struct slot_id *id = calloc(20000, sizeof(*id));
	uint32_t i;

	(void)state;
	assert_non_null(id);
	for (i = 0; i < 20000; i++) {
		assert_int_equal(swap_slot_new(app, &id[i]), 0);
		swap_unpin(s, id[i]);
	}
	assert_int_equal(swap_slot_new(app, &id[0]), SWAP_E_FULL);
	swap_check(s);
	for (i = 0; i < 20000; i++)
		swap_slot_unref(s, id[i]);
	free(id);
}

static void test_no_pages(void **state)
{
	struct swap_options options = { .max_pages = 0, .n_bufs = 1 };
	struct swap *none = NULL;

	(void)state;
	assert_true(swap_new(&none, &options) < 0);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(test_staged_page_holds_its_buffer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_copy_unchanged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_copy_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_copy_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_only_when_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_park, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recompress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recompress_meets_pins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_codec_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_load_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compact, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test(test_no_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
