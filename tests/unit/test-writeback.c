/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-writeback - pages on file, one promise at a time
 */
#include "test-common.h"

#include "core/swap-file.h"
#include "core/swap-impl.h"
#include "test-disk.h"

enum {
	SEED = 1006 /* compresses */,
	SEED_NOISE = 18,
	SEED_FILLED = 17,
	SEGMENT = 16384,
	N_SEGS = 24
};

static struct swap *s;
static struct swap_app *app;
static struct codec_ctx *ctx;
static struct stage_buf *buf;
static struct test_disk disk;
static uint32_t n_page;
static const struct swap_use use = { .evict_seq = 0xdeadbeef, .level = 2 };

static int setup_kind(bool encrypt)
{
	struct swap_options options = {
		.max_pages = 20000,
		.n_bufs = 2,
		.zstd_level = 3,
		.allow_unlocked_memory = true,
	};
	struct swap_file_options file = {
		.max_bytes = SEGMENT * N_SEGS,
		.segment_bytes = SEGMENT,
		.n_bufs = 4,
		.encrypt = encrypt,
	};

	n_page = 0;
	if (swap_new(&s, &options) || swap_file_attach(s, &file) || swap_app_new(s, &app) ||
	    codec_ctx_new(&ctx))
		return -1;
	test_disk_init(&disk, file.max_bytes);
	buf = swap_buf_try_get(s);
	return buf ? 0 : -1;
}

static int setup(void **state)
{
	(void)state;
	return setup_kind(false);
}

static int setup_encrypted(void **state)
{
	(void)state;
	return setup_kind(true);
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
	test_disk_deinit(&disk);
	return 0;
}

static struct slot_id store(uint64_t seed, enum swap_codec codec)
{
	uint32_t page_idx = n_page++ % STAGE_BUF_PAGES;
	struct slot_id id = { 0 };
	int r;

	assert_int_equal(swap_slot_new(app, &id), 0);
	page_make(seed, buf->pages + (size_t)page_idx * PAGE_BYTES);
	r = swap_put(s, id, buf, page_idx, &use);
	swap_unpin(s, id);
	if (r == SWAP_E_STAGED)
		assert_int_equal(swap_compress(s, id, buf, page_idx, codec, ctx), 0);
	return id;
}

static uint32_t writeback(enum swap_writeback_order order, uint32_t n, int want)
{
	uint32_t n_done;

	assert_int_equal(swap_writeback(app, order, n, &n_done), want);
	return n_done;
}

static void to_disk(void)
{
	swap_file_flush(s);
	test_disk_pump(&disk, s);
}

static void load(struct slot_id id, uint64_t seed, enum swap_load_end end)
{
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8)));
	struct swap_use got;

	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_int_equal(test_disk_load(&disk, s, id, page, ctx, &got), 0);
	assert_true(page_is(page, seed));
	assert_int_equal(got.evict_seq, use.evict_seq);
	assert_int_equal(got.level, use.level);
	assert_int_equal(swap_load_end(s, id, end), end != SWAP_LOAD_ERASE);
}

static struct swap_app_stats stats(void)
{
	struct swap_app_stats st;

	swap_app_stats_get(app, &st);
	return st;
}

static void test_round_trip(void **state)
{
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8)));
	static const uint64_t seeds[] = { SEED, SEED_NOISE, SEED + 16, 3, 4, SEED_FILLED };
	struct slot_id ids[6];
	uint32_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		ids[i] = store(seeds[i], i % 2 ? SWAP_CODEC_ZSTD : SWAP_CODEC_LZ4);
	/* Same-filled ones have nothing to write. */
	assert_int_equal(writeback(SWAP_WRITEBACK_LRU, 100, 0), 5);
	assert_int_equal(stats().n_file, 5);
	assert_int_equal(stats().stored_bytes, 0);
	swap_check(s);
	/* The buffer serves, whatever the disk does. */
	assert_int_equal(swap_try_pin(s, ids[0], SWAP_PIN_LOAD), 0);
	assert_int_equal(swap_load(s, ids[0], page, ctx, NULL), 0);
	assert_true(page_is(page, seeds[0]));
	to_disk();
	assert_int_equal(swap_load(s, ids[0], page, ctx, NULL), SWAP_E_ON_FILE);
	swap_unpin(s, ids[0]);
	swap_check(s);
	for (i = 0; i < 6; i++)
		load(ids[i], seeds[i], SWAP_LOAD_ERASE);
	assert_int_equal(stats().n_load_file, 5);
	assert_int_equal(stats().n_file, 0);
}

static bool is_on_file(struct slot_id id)
{
	return entry_where(entry_at(&s->entries, tree_lookup(area_of(&s->areas, id), id))).on_file;
}

static void test_second_chance(void **state)
{
	struct slot_id passed, young;
	struct lru_pick pick;

	(void)state;
	passed = store(SEED, SWAP_CODEC_LZ4);
	assert_int_equal(lru_pick(&app->lru, LRU_FRESH, &pick), LRU_E_YOUNG);
	young = store(SEED_NOISE, SWAP_CODEC_LZ4);
	assert_int_equal(lru_pick(&app->lru, LRU_FRESH, &pick), 0); /* turned: now it is behind */
	assert_int_equal(writeback(SWAP_WRITEBACK_LRU, 1, 0), 1);
	assert_true(is_on_file(passed));
	assert_false(is_on_file(young));
	assert_int_equal(writeback(SWAP_WRITEBACK_LRU, 1, 0), 1);
	assert_true(is_on_file(young));
	swap_slot_unref(s, passed);
	swap_slot_unref(s, young);
}

static void test_orders(void **state)
{
	struct slot_id ids[4];
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
	ids[3] = store(SEED_NOISE, SWAP_CODEC_LZ4);
	assert_int_equal(writeback(SWAP_WRITEBACK_SIZE, 1, 0), 1);
	assert_int_equal(stats().file_bytes, PAGE_BYTES);
	assert_int_equal(writeback(SWAP_WRITEBACK_SIZE, 2, 0), 2);
	assert_int_equal(writeback(SWAP_WRITEBACK_FIFO, 2, 0), 1);
	assert_int_equal(writeback(SWAP_WRITEBACK_FIFO, 2, 0), 0);
	for (i = 0; i < 4; i++)
		swap_slot_unref(s, ids[i]);
}

/* A pin of a load ends the sweep (I13), others are passed over. */
static void test_meets_pins(void **state)
{
	struct slot_id a, b;

	(void)state;
	a = store(SEED, SWAP_CODEC_LZ4);
	b = store(SEED + 16, SWAP_CODEC_LZ4);
	assert_int_equal(swap_try_pin(s, a, SWAP_PIN_LOAD), 0);
	assert_int_equal(writeback(SWAP_WRITEBACK_FIFO, 2, SWAP_E_WARM), 0);
	assert_int_equal(stats().n_writeback_warm, 1);
	swap_unpin(s, a);
	assert_int_equal(swap_try_pin(s, a, SWAP_PIN_STORE), 0);
	assert_int_equal(writeback(SWAP_WRITEBACK_FIFO, 2, 0), 1);
	assert_true(stats().n_writeback_busy > 0);
	swap_unpin(s, a);
	swap_slot_unref(s, a);
	swap_slot_unref(s, b);
}

static void test_no_file(void **state)
{
	struct swap_options options = { .max_pages = 100,
					.n_bufs = 1,
					.allow_unlocked_memory = true };
	struct swap_app *other_app;
	struct swap *other;
	uint32_t n;

	(void)state;
	assert_int_equal(swap_new(&other, &options), 0);
	assert_int_equal(swap_app_new(other, &other_app), 0);
	assert_int_equal(swap_writeback(other_app, SWAP_WRITEBACK_LRU, 1, &n), SWAP_E_GONE);
	assert_int_equal(n, 0);
	assert_int_equal(swap_file_rehome(other, ctx), 0);
	swap_check(other);
	swap_app_free(other_app);
	swap_free(other);
}

/* A clean copy in the file costs no memory: kept, used again, dropped by its own function only. */
static void test_kept_on_file(void **state)
{
	struct slot_id id = store(SEED, SWAP_CODEC_LZ4);

	(void)state;
	assert_int_equal(writeback(SWAP_WRITEBACK_FIFO, 1, 0), 1);
	to_disk();
	load(id, SEED, SWAP_LOAD_KEEP);
	assert_int_equal(stats().n_file_kept, 1);
	swap_check(s);
	assert_int_equal(swap_drop_kept(app, UINT64_MAX), 0);
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_STORE), 0);
	page_make(SEED, buf->pages);
	assert_int_equal(swap_put(s, id, buf, 0, &use), 0);
	swap_unpin(s, id);
	assert_int_equal(stats().n_put_unchanged, 1);
	assert_int_equal(stats().n_file, 1);
	load(id, SEED, SWAP_LOAD_KEEP_FILE);
	assert_int_equal(stats().n_file_kept, 1);
	assert_true(swap_file_drop_kept(app, 1) > 0);
	assert_int_equal(stats().n_kept, 0);
	swap_slot_unref(s, id);
}

/* What would take memory is not kept by who wants only what takes none. */
static void test_kept_in_the_file_only(void **state)
{
	struct slot_id id = store(SEED, SWAP_CODEC_LZ4);

	(void)state;
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_false(swap_load_end(s, id, SWAP_LOAD_KEEP_FILE));
	assert_int_equal(stats().n_kept + stats().n_pages, 0);
}

/* Whatever the disk gives back, no wrong byte comes through. */
static void test_disk_lies(void **state)
{
	uint8_t page[PAGE_BYTES], record[5000];
	struct slot_id a = store(SEED, SWAP_CODEC_LZ4), b = store(SEED_NOISE, SWAP_CODEC_LZ4);
	struct swap_extent ext, other;
	uint32_t bit;

	(void)state;
	writeback(SWAP_WRITEBACK_FIFO, 2, 0);
	to_disk();
	assert_int_equal(swap_try_pin(s, a, SWAP_PIN_LOAD), 0);
	assert_int_equal(swap_try_pin(s, b, SWAP_PIN_LOAD), 0);
	assert_int_equal(swap_load(s, a, page, ctx, NULL), SWAP_E_ON_FILE);
	swap_file_extent(s, a, &ext);
	swap_file_extent(s, b, &other);
	assert_int_equal(ext.offset + ext.n_bytes, other.offset); /* one read does for both */
	memcpy(record, disk.bytes + ext.offset, ext.n_bytes);
	for (bit = 0; bit < (ext.n_bytes - 16) * 8; bit += 37) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(swap_load_bytes(s, a, record, page, ctx, NULL), SWAP_E_LOST);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(swap_load_bytes(s, a, disk.bytes + other.offset, page, ctx, NULL),
			 SWAP_E_LOST);
	memset(record, 0, sizeof(record));
	assert_int_equal(swap_load_bytes(s, a, record, page, ctx, NULL), SWAP_E_LOST);
	assert_true(stats().n_lost > 100);
	swap_unpin(s, a);
	swap_unpin(s, b);
	load(a, SEED, SWAP_LOAD_ERASE); /* the disk itself was right all the time */
	swap_slot_unref(s, b);
}

/* The last count goes while the read is in flight: the bytes stay until the unpin. */
static void test_unref_while_reading(void **state)
{
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8)));
	struct slot_id id = store(SEED, SWAP_CODEC_LZ4);
	struct swap_file_stats fst;
	struct swap_extent ext;

	(void)state;
	writeback(SWAP_WRITEBACK_FIFO, 1, 0);
	to_disk();
	assert_int_equal(swap_try_pin(s, id, SWAP_PIN_LOAD), 0);
	assert_int_equal(swap_load(s, id, page, ctx, NULL), SWAP_E_ON_FILE);
	swap_file_extent(s, id, &ext);
	swap_slot_unref(s, id);
	assert_false(test_disk_punch(&disk, s, true));
	assert_int_equal(swap_load_bytes(s, id, disk.bytes + ext.offset, page, ctx, NULL), 0);
	assert_true(page_is(page, SEED));
	swap_unpin(s, id);
	swap_file_stats_get(s, &fst);
	assert_int_equal(fst.n_live, 0);
	assert_true(test_disk_punch(&disk, s, true));
}

/* The write fails everywhere: back into the pool, nothing lost; a pinned one comes later. */
static void test_rehome(void **state)
{
	struct slot_id ids[8];
	struct swap_file_job job;
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
	assert_int_equal(writeback(SWAP_WRITEBACK_FIFO, 8, 0), 8);
	swap_file_flush(s);
	assert_int_equal(swap_file_write_begin(s, &job), 0);
	assert_true(test_disk_end(&disk, s, &job, SWAP_FILE_BAD));
	assert_int_equal(swap_file_write_begin(s, &job), 0);
	assert_false(test_disk_end(&disk, s, &job, SWAP_FILE_BROKEN));
	swap_check(s);
	swap_slot_unref(s, ids[7]);
	assert_int_equal(swap_try_pin(s, ids[3], SWAP_PIN_LOAD), 0);
	assert_int_equal(swap_file_rehome(s, ctx), 1);
	swap_check(s);
	assert_int_equal(stats().n_file, 1);
	swap_unpin(s, ids[3]);
	assert_int_equal(swap_file_rehome(s, ctx), 0);
	assert_int_equal(stats().n_file, 0);
	assert_int_equal(stats().n_rehomed, 7);
	for (i = 0; i < 7; i++)
		load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
}

static void test_stop_and_retire(void **state)
{
	struct slot_id ids[40];
	struct swap_file_stats fst;
	uint32_t i, n;

	(void)state;
	for (i = 0; i < 40; i++) {
		ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
		if (i % 10 == 0)
			to_disk();
		writeback(SWAP_WRITEBACK_FIFO, 1, 0);
	}
	load(ids[5], SEED + 80, SWAP_LOAD_KEEP);
	swap_file_retire(s);
	writeback(SWAP_WRITEBACK_FIFO, 1, 0);
	assert_int_equal(swap_file_rehome(s, ctx), 0);
	while (test_disk_clean(&disk, s, 0, ctx, &n))
		assert_true(n > 0);
	swap_file_stats_get(s, &fst);
	assert_int_equal(fst.n_live, 0);
	assert_int_equal(fst.n_bufs_free, 4);
	assert_int_equal(stats().n_file, 0);
	assert_int_equal(stats().n_kept, 0); /* not worth a move */
	swap_check(s);
	for (i = 0; i < 40; i++)
		if (i != 5)
			load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
	swap_slot_unref(s, ids[5]);
}

/* Retirement does not need footers, and leaves what is really lost. */
static void test_retire_without_footer(void **state)
{
	uint8_t page[PAGE_BYTES];
	struct swap_file_stats fst;
	struct swap_extent ext;
	struct slot_id ids[6];
	uint32_t i, n;

	(void)state;
	for (i = 0; i < 6; i++)
		ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
	writeback(SWAP_WRITEBACK_FIFO, 6, 0);
	to_disk();
	disk.bytes[SEGMENT - 8] ^= 1;
	assert_true(test_disk_clean(&disk, s, 100, ctx, &n));
	assert_int_equal(n, 0);
	assert_int_equal(swap_try_pin(s, ids[2], SWAP_PIN_LOAD), 0);
	swap_file_extent(s, ids[2], &ext);
	disk.bytes[ext.offset + 9] ^= 1;
	swap_file_retire(s);
	assert_true(test_disk_clean(&disk, s, 0, ctx, &n));
	assert_int_equal(n, 5); /* the pinned one may be moved later, as far as anybody knows */
	swap_unpin(s, ids[2]);
	assert_true(test_disk_clean(&disk, s, 0, ctx, &n));
	assert_int_equal(n, 0);
	assert_false(test_disk_clean(&disk, s, 0, ctx, &n));
	swap_file_stats_get(s, &fst);
	assert_int_equal(fst.n_live, 1);
	assert_int_equal(swap_try_pin(s, ids[2], SWAP_PIN_LOAD), 0);
	assert_int_equal(test_disk_load(&disk, s, ids[2], page, ctx, NULL), SWAP_E_LOST);
	swap_unpin(s, ids[2]);
	for (i = 0; i < 6; i++)
		swap_slot_unref(s, ids[i]);
}

/* Make the footer of the only segment on the disk say @refs, with the right checksum. */
static void forge_footer(const struct segment_ref *refs, uint32_t n)
{
	struct {
		uint64_t seq;
		uint32_t n_refs;
		uint32_t magic;
	} tail;
	uint8_t *at = disk.bytes + SEGMENT - sizeof(tail);

	memcpy(&tail, at, sizeof(tail));
	tail.n_refs = n;
	memcpy(at, &tail, sizeof(tail));
	seal_close(&s->segs.seal, (struct seal_place){ .seq = tail.seq, .index = UINT32_MAX }, refs,
		   n * (uint32_t)sizeof(*refs),
		   at - record_bytes(&s->segs.seal, n * (uint32_t)sizeof(*refs)));
}

/* A ref from a disk is not believed, whatever its checksum says. */
static void test_clean_forged(void **state)
{
	struct slot_id ids[4], elsewhere, next;
	uint16_t behind =
		(uint16_t)(1u << s->segs.unit_bits); /* the first unit of the next segment */
	uint32_t i, n;

	(void)state;
	for (i = 0; i < 4; i++)
		ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
	writeback(SWAP_WRITEBACK_FIFO, 4, 0);
	to_disk();
	next = store(SEED + 16 * 8, SWAP_CODEC_LZ4);
	writeback(SWAP_WRITEBACK_FIFO, 1, 0);
	to_disk();
	elsewhere = store(SEED + 16 * 9, SWAP_CODEC_LZ4);
	forge_footer(
		(struct segment_ref[]){
			{ .slot = 0, .gen = 0, .unit = 0 },
			{ .slot = UINT32_MAX, .gen = 0, .unit = UINT16_MAX },
			{ .slot = 1u << 31, .gen = 1, .unit = 3 },
			{ .slot = (AREA_SLOTS * 2) - 1, .gen = 0, .unit = 0 },
			{ .slot = elsewhere.v, .gen = slot_ref_of(&s->slots, elsewhere).gen },
			{ .slot = ids[0].v, .gen = slot_ref_of(&s->slots, ids[0]).gen, .unit = 99 },
			{ .slot = ids[1].v, .gen = 77, .unit = 0 },
			{ .slot = next.v, .gen = slot_ref_of(&s->slots, next).gen, .unit = behind },
			{ .slot = ids[0].v, .gen = slot_ref_of(&s->slots, ids[0]).gen, .unit = 0 },
		},
		9);
	assert_true(test_disk_clean(&disk, s, 100, ctx, &n));
	assert_int_equal(n, 1); /* the last one is true */
	swap_check(s);
	for (i = 0; i < 4; i++)
		load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
	load(elsewhere, SEED + 16 * 9, SWAP_LOAD_ERASE);
	load(next, SEED + 16 * 8, SWAP_LOAD_ERASE);
}

/* Any byte of the segment but the live records': moved or not, nothing comes out wrong. */
static void test_clean_garbage(void **state)
{
	struct rng rng = { 99 };
	struct swap_extent last;
	struct slot_id ids[4];
	uint32_t round, i, n;

	(void)state;
	for (round = 0; round < 100; round++) {
		for (i = 0; i < 4; i++)
			ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
		writeback(SWAP_WRITEBACK_FIFO, 4, 0);
		to_disk();
		assert_int_equal(swap_try_pin(s, ids[3], SWAP_PIN_LOAD), 0);
		swap_file_extent(s, ids[3], &last);
		swap_unpin(s, ids[3]);
		for (i = 0; i < 3; i++)
			disk.bytes[last.offset / SEGMENT * SEGMENT + SEGMENT - 1 -
				   rng_below(&rng, round % 2 ? 100 : 16)] ^=
				(uint8_t)(1 + rng_below(&rng, 255));
		for (i = 0; i < 3 && test_disk_clean(&disk, s, 100, ctx, &n); i++)
			to_disk();
		swap_check(s);
		for (i = 0; i < 4; i++)
			load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
	}
}

/* A full file is cleaned: what is left of many segments fits into few. */
static void test_clean(void **state)
{
	struct swap_file_stats before, after;
	uint32_t i, n_ids = 0, n = 0, n_clean;
	struct slot_id ids[400];
	int r = 0;

	(void)state;
	while (!r && n_ids < 400) {
		ids[n_ids] = store(SEED + 16 * n_ids, SWAP_CODEC_LZ4);
		n_ids++;
		r = swap_writeback(app, SWAP_WRITEBACK_FIFO, 1, &n);
		test_disk_pump(&disk, s);
	}
	assert_int_equal(r, SWAP_E_GONE); /* full */
	for (i = 0; i < n_ids; i++)
		if (i % 4)
			load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
	swap_file_stats_get(s, &before);
	for (i = 0; i < 30 && test_disk_clean(&disk, s, 75, ctx, &n_clean); i++) {
		test_disk_pump(&disk, s);
		swap_check(s);
	}
	swap_file_stats_get(s, &after);
	assert_true(after.n_used < before.n_used);
	assert_int_equal(after.live_bytes, before.live_bytes);
	for (i = 0; i < n_ids; i += 4)
		load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
}

/* Damage is met by the cleaner: the rest moves, the damaged one stays and is lost when it is loaded. */
static void test_clean_damaged(void **state)
{
	uint8_t page[PAGE_BYTES];
	struct swap_extent ext;
	struct slot_id ids[5];
	uint32_t i, n;

	(void)state;
	for (i = 0; i < 5; i++)
		ids[i] = store(SEED + 16 * i, SWAP_CODEC_LZ4);
	writeback(SWAP_WRITEBACK_FIFO, 5, 0);
	to_disk();
	assert_int_equal(swap_try_pin(s, ids[2], SWAP_PIN_LOAD), 0);
	swap_file_extent(s, ids[2], &ext);
	swap_unpin(s, ids[2]);
	disk.bytes[ext.offset + 20] ^= 4;
	assert_true(test_disk_clean(&disk, s, 100, ctx, &n));
	assert_int_equal(n, 4);
	assert_false(test_disk_clean(&disk, s, 100, ctx, &n));
	to_disk();
	assert_int_equal(swap_try_pin(s, ids[2], SWAP_PIN_LOAD), 0);
	assert_int_equal(test_disk_load(&disk, s, ids[2], page, ctx, NULL), SWAP_E_LOST);
	swap_unpin(s, ids[2]);
	swap_slot_unref(s, ids[2]);
	for (i = 0; i < 5; i++)
		if (i != 2)
			load(ids[i], SEED + 16 * i, SWAP_LOAD_ERASE);
}

/* Nothing of a page can be read in the file. */
static void test_file_is_enciphered(void **state)
{
	struct slot_id id = store(SEED_NOISE, SWAP_CODEC_NONE);
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8)));

	(void)state;
	writeback(SWAP_WRITEBACK_FIFO, 1, 0);
	to_disk();
	page_make(SEED_NOISE, page);
	assert_null(memmem(disk.bytes, disk.n_bytes, page + 64, 16));
	load(id, SEED_NOISE, SWAP_LOAD_ERASE);
}

#define BOTH(test)                                              \
	cmocka_unit_test_setup_teardown(test, setup, teardown), \
		cmocka_unit_test_setup_teardown(test, setup_encrypted, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_round_trip),
		BOTH(test_disk_lies),
		BOTH(test_rehome),
		BOTH(test_stop_and_retire),
		BOTH(test_clean),
		BOTH(test_clean_damaged),
		BOTH(test_retire_without_footer),
		BOTH(test_clean_garbage),
		cmocka_unit_test_setup_teardown(test_clean_forged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_chance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_meets_pins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_on_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_in_the_file_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unref_while_reading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_is_enciphered, setup_encrypted, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
