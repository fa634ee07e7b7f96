/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-segment - states, places, buffers, what a failed write does
 */
#include "test-common.h"

#include "core/entry.h"
#include "core/segment-io.h"
#include "core/segment.h"
#include "core/swap-file.h"

enum { BYTES = SEGMENT_BYTES_MIN, N_SEGMENTS = 12, N_BUFS = 4, LEN = 1000, LEN_RAW = 4096 };

static struct segs t;
static uint32_t n_told;

static void on_work(void *user)
{
	(void)user;
	n_told++;
}

static int setup(void **state)
{
	struct segs_options options = {
		.max_bytes = (uint64_t)BYTES * N_SEGMENTS,
		.segment_bytes = BYTES,
		.n_bufs = N_BUFS,
		.residency = ARENA_LOCK_NONE,
		.on_work = on_work,
	};

	(void)state;
	n_told = 0;
	return segs_init(&t, &options);
}

static int teardown(void **state)
{
	(void)state;
	segs_check(&t);
	segs_deinit(&t);
	return 0;
}

/* One record. Return: its place's number; 0: SEGMENT_E_… in *ret_r. */
static struct segment_loc add(enum segment_stream stream, uint32_t len, int *ret_r)
{
	static uint32_t nr;
	struct segment_place place = { .loc = { 0 } };
	struct slot_ref slot = { .id = { nr + 1 }, .gen = (uint16_t)nr };
	uint8_t bytes[LEN_RAW];

	nr++;
	*ret_r = segment_reserve(&t, stream, len, slot, &place);
	if (*ret_r)
		return (struct segment_loc){ 0 };
	memset(bytes, (int)(nr & 0xff), len);
	seal_close(&t.seal, place.seal, bytes, len, place.bytes);
	segment_commit(&t, place.loc);
	return place.loc;
}

/* Records until a segment is full and the next one has its first. Return: how many are in the full one. */
static uint32_t fill(struct segment_loc *locs, uint32_t n_max)
{
	uint32_t first, n = 0;
	int r;

	locs[0] = add(SEGMENT_FROM_POOL, LEN, &r);
	assert_int_equal(r, 0);
	first = segment_of(&t, locs[0]);
	do {
		assert_true(++n < n_max);
		locs[n] = add(SEGMENT_FROM_POOL, LEN, &r);
		assert_int_equal(r, 0);
	} while (segment_of(&t, locs[n]) == first);
	return n;
}

static enum segment_state state_of(uint32_t idx)
{
	return (enum segment_state)segment_at(&t, idx)->state;
}

/* All forty bits of a location go into an entry and come back, beside everything else. */
static void test_location(void **state)
{
	static const uint64_t locs[] = { 1, 0xffffffff, UINT64_C(0x100000000),
					 UINT64_C(0xa5a5a5a5a5), UINT64_C(0xffffffffff) };
	struct entry_where w = { .len = 4096, .form = ENTRY_RAW, .kept = true, .level = 3 }, got;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(locs) / sizeof(locs[0]); i++) {
		got = where_unpack(where_pack(where_on_file(w, (struct segment_loc){ locs[i] })));
		assert_true(got.on_file && !where_in_pool(got));
		assert_int_equal(where_file_loc(got).v, locs[i]);
		assert_int_equal(got.len, 4096);
		assert_int_equal(got.form, ENTRY_RAW);
		assert_int_equal(got.level, 3);
		assert_true(got.kept);
		got = where_unpack(where_pack(where_at_pool(got, 0xfffffffe)));
		assert_true(!got.on_file && where_in_pool(got));
		assert_int_equal(got.loc, 0xfffffffe);
	}
}

static void test_life(void **state)
{
	struct segment_view view, late;
	struct segment_loc locs[64];
	struct segment_job job;
	uint32_t n, i, idx;

	(void)state;
	n = fill(locs, 64);
	idx = segment_of(&t, locs[0]);
	assert_int_equal(state_of(idx), SEGMENT_FULL);
	assert_int_equal(n_told, 1);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	assert_int_equal(job.segment, idx);
	assert_int_equal(job.n_bytes, BYTES);
	assert_int_equal(segs_write_begin(&t, &job), SEGMENT_E_NONE);
	/* The buffer serves until the last reader is gone, even after the disk has it. */
	segment_view_begin(&t, locs[1], &view);
	assert_non_null(view.record);
	assert_false(segs_write_end(&t, idx, SEGMENT_WRITTEN));
	assert_int_equal(state_of(idx), SEGMENT_LIVE);
	segment_view_begin(&t, locs[2], &late);
	assert_non_null(late.record);
	segment_view_end(&t, locs[1], &view);
	segment_view_end(&t, locs[2], &late);
	segment_view_begin(&t, locs[1], &view);
	assert_null(view.record);
	assert_int_equal(view.offset % BYTES, segment_unit(&t, locs[1]) * 16);
	segment_view_end(&t, locs[1], &view);
	for (i = 0; i < n; i++) {
		assert_int_equal(state_of(idx), SEGMENT_LIVE);
		segment_drop(&t, locs[i], LEN);
	}
	assert_int_equal(state_of(idx), SEGMENT_FREE);
	segment_drop(&t, locs[n], LEN);
	segs_flush(&t); /* nothing alive in the open one: free, not written */
	assert_int_equal(segs_write_begin(&t, &job), SEGMENT_E_NONE);
	assert_int_equal(t.n_in_state[SEGMENT_FREE], 2);
}

static void test_not_written_before_all_is_there(void **state)
{
	struct slot_ref slot = { .id = { 9 }, .gen = 1 };
	struct segment_place place;
	struct segment_job job;

	(void)state;
	assert_int_equal(segment_reserve(&t, SEGMENT_FROM_POOL, LEN, slot, &place), 0);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), SEGMENT_E_NONE);
	assert_int_equal(n_told, 0);
	segment_commit(&t, place.loc);
	assert_int_equal(n_told, 1);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	/* Dies while it is written: free when the disk says so, not before. */
	segment_drop(&t, place.loc, LEN);
	assert_int_equal(state_of(job.segment), SEGMENT_WRITING);
	segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
	assert_int_equal(state_of(job.segment), SEGMENT_FREE);
}

static void test_dies_in_the_queue(void **state)
{
	struct segment_loc loc;
	struct segment_job job;
	int r;

	(void)state;
	loc = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	segment_drop(&t, loc, LEN);
	assert_int_equal(state_of(segment_of(&t, loc)), SEGMENT_FREE);
	assert_int_equal(segs_write_begin(&t, &job), SEGMENT_E_NONE);
	assert_int_equal(t.n_bufs_free, N_BUFS);
}

/* A buffer is left for the cleaner, and free segments are. */
static void test_reserves(void **state)
{
	struct segment_loc loc = { 0 };
	struct segment_job job;
	uint32_t n = 0;
	int r = 0;

	(void)state;
	while (!r) {
		loc = add(SEGMENT_FROM_POOL, LEN_RAW, &r);
		n += !r;
	}
	assert_int_equal(r, SEGMENT_E_NO_BUF);
	assert_int_equal(n, (N_BUFS - 1) * 3); /* three raw pages and their footer */
	loc = add(SEGMENT_FROM_CLEANER, LEN_RAW, &r);
	assert_int_equal(r, 0);
	assert_int_equal(t.n_bufs_free, 0);
	for (r = 0; r != SEGMENT_E_NO_ROOM;) {
		while (segs_write_begin(&t, &job) == 0)
			segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
		add(SEGMENT_FROM_POOL, LEN_RAW, &r);
	}
	assert_int_equal(t.n_max - t.n_high, SEGMENT_RESERVE);
	for (n = 0, r = 0; !r; n++) {
		while (segs_write_begin(&t, &job) == 0)
			segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
		loc = add(SEGMENT_FROM_CLEANER, LEN_RAW, &r);
	}
	assert_int_equal(r, SEGMENT_E_NO_ROOM);
	assert_int_equal(n - 1, 2 + SEGMENT_RESERVE * 3);
	(void)loc;
}

/* Every way a write can fail; the record is there all the time. */
static void test_write_fails(void **state)
{
	struct segment_loc loc;
	struct segment_job job, again;
	struct segment_view view;
	const struct segment_buf *buf;
	uint32_t i;
	int r;

	(void)state;
	loc = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	for (i = 0; i < SEGMENT_TRIES - 1; i++) {
		assert_false(segs_write_end(&t, job.segment, SEGMENT_BAD_PLACE));
		assert_int_equal(segs_write_begin(&t, &again), 0);
		assert_int_equal(again.segment, job.segment);
		assert_int_not_equal(again.offset, job.offset);
		assert_ptr_equal(again.bytes, job.bytes);
		job = again;
		segs_check(&t);
	}
	assert_int_equal(t.n_in_state[SEGMENT_BAD], SEGMENT_TRIES - 1);
	assert_true(segs_write_end(&t, job.segment, SEGMENT_BAD_PLACE));
	assert_int_equal(state_of(job.segment), SEGMENT_FAILED);
	segment_view_begin(&t, loc, &view);
	assert_non_null(view.record);
	segment_view_end(&t, loc, &view);
	assert_int_equal(segs_failed(&t, 0, &buf), job.segment);
	assert_int_equal(buf->n_refs, 1);
	assert_int_equal(segs_failed_end(&t, job.segment), 1);
	segment_drop(&t, loc, LEN);
	assert_int_equal(segs_failed_end(&t, job.segment), 0);
	assert_int_equal(state_of(job.segment), SEGMENT_BAD);
	assert_int_equal(segs_failed(&t, 0, &buf), 0);
	assert_int_equal(t.n_bufs_free, N_BUFS);
}

/* The last record dies while its segment is written, and that fails: the place is not used again. */
static void test_dies_in_failed_write(void **state)
{
	struct segment_loc loc;
	struct segment_job job;
	int r;

	(void)state;
	loc = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	segment_drop(&t, loc, LEN);
	assert_false(segs_write_end(&t, job.segment, SEGMENT_BAD_PLACE));
	assert_int_equal(state_of(job.segment), SEGMENT_BAD);
	segs_check(&t);
	loc = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	segment_drop(&t, loc, LEN);
	assert_false(segs_write_end(&t, job.segment, SEGMENT_DISK_FULL));
	assert_int_equal(state_of(job.segment), SEGMENT_FREE);
	segs_check(&t);
	add(SEGMENT_FROM_POOL, LEN, &r);
	assert_int_equal(r, SEGMENT_E_NO_ROOM); /* until growth is tried again */
	assert_int_equal(t.n_bufs_free, N_BUFS);
}

/* A full disk: what has room already is used, nothing is taken out of use. */
static void test_disk_full(void **state)
{
	struct segment_loc a, b, c;
	struct segment_job job, again;
	int r;

	(void)state;
	a = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	b = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	assert_int_equal(job.segment, segment_of(&t, a));
	segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
	segment_drop(&t, a, LEN); /* free and dirty */
	assert_int_equal(segs_write_begin(&t, &job), 0);
	assert_false(segs_write_end(&t, job.segment, SEGMENT_DISK_FULL));
	assert_int_equal(segs_write_begin(&t, &again), 0);
	assert_int_equal(again.segment, job.segment);
	assert_int_equal(again.offset, 0); /* the other's place */
	assert_int_equal(t.n_in_state[SEGMENT_BAD], 0);
	segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
	/* Now there is none with room: back to the pool, and nothing opens until growth is tried again. */
	c = add(SEGMENT_FROM_POOL, LEN, &r);
	assert_int_equal(r, SEGMENT_E_NO_ROOM);
	segs_allow_growth(&t);
	c = add(SEGMENT_FROM_POOL, LEN, &r);
	assert_int_equal(r, 0);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	assert_true(segs_write_end(&t, job.segment, SEGMENT_DISK_FULL));
	segment_drop(&t, c, LEN);
	assert_int_equal(segs_failed_end(&t, job.segment), 0);
	assert_int_equal(state_of(job.segment), SEGMENT_FREE);
	segment_drop(&t, b, LEN);
}

static void test_footer(void **state)
{
	static uint8_t disk[BYTES];
	const struct segment_ref *refs;
	struct segment_loc locs[64];
	struct segment_job job, clean;
	uint32_t n, n_refs, i;

	(void)state;
	n = fill(locs, 64);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	memcpy(disk, job.bytes, BYTES);
	segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
	assert_int_equal(segs_clean_begin(&t, 100, &clean), 0);
	assert_int_equal(clean.segment, job.segment);
	assert_null(clean.bytes);
	refs = segment_footer_open(&t, clean.segment, disk, &n_refs);
	assert_non_null(refs);
	assert_int_equal(n_refs, n);
	for (i = 0; i < n; i++)
		assert_int_equal(refs[i].unit, segment_unit(&t, locs[i]));
	disk[BYTES - 40] ^= 1;
	assert_null(segment_footer_open(&t, clean.segment, disk, &n_refs));
	segs_clean_end(&t, clean.segment, SEGMENT_UNCLEANABLE);
	assert_int_equal(state_of(clean.segment), SEGMENT_LIVE);
	/* A bad footer makes it uncleanable, for this life of it. */
	assert_int_equal(segs_clean_begin(&t, 100, &clean), SEGMENT_E_NONE);
	for (i = 0; i <= n; i++)
		segment_drop(&t, locs[i], LEN);
}

/* The emptiest, but of equally empty ones the oldest. */
static void test_clean_choice(void **state)
{
	struct segment_loc loc[3][2];
	struct segment_job job;
	uint32_t i;
	int r;

	(void)state;
	for (i = 0; i < 3; i++) {
		loc[i][0] = add(SEGMENT_FROM_POOL, LEN, &r);
		loc[i][1] = add(SEGMENT_FROM_POOL, LEN_RAW, &r);
		segs_flush(&t);
		assert_int_equal(segs_write_begin(&t, &job), 0);
		segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
	}
	assert_int_equal(segs_clean_begin(&t, 5, &job), SEGMENT_E_NONE);
	segment_drop(&t, loc[1][1], LEN_RAW);
	segment_drop(&t, loc[2][1], LEN_RAW);
	assert_int_equal(segs_clean_begin(&t, 10, &job), 0);
	assert_int_equal(job.segment, segment_of(&t, loc[1][0]));
	segment_drop(&t, loc[1][0], LEN);
	assert_int_equal(state_of(job.segment), SEGMENT_CLEANING);
	segs_clean_end(&t, job.segment, SEGMENT_CLEANED);
	assert_int_equal(state_of(job.segment), SEGMENT_FREE);
}

static void test_punch(void **state)
{
	struct segment_loc loc;
	struct segment_job job;
	int r;

	(void)state;
	assert_int_equal(segs_punch_begin(&t, 0, &job), SEGMENT_E_NONE);
	loc = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	assert_int_equal(segs_write_begin(&t, &job), 0);
	segs_write_end(&t, job.segment, SEGMENT_WRITTEN);
	segment_drop(&t, loc, LEN);
	assert_int_equal(segs_punch_begin(&t, 1, &job), SEGMENT_E_NONE);
	assert_int_equal(segs_punch_begin(&t, 0, &job), 0);
	segs_punch_end(&t, job.segment, false);
	assert_int_equal(segs_punch_begin(&t, 0, &job), 0);
	segs_punch_end(&t, job.segment, true);
	assert_int_equal(segs_punch_begin(&t, 0, &job), SEGMENT_E_NONE);
}

static void test_stop(void **state)
{
	struct segment_loc a, b;
	const struct segment_buf *buf;
	struct segment_job job;
	uint32_t idx;
	int r;

	(void)state;
	a = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_flush(&t);
	b = add(SEGMENT_FROM_POOL, LEN, &r);
	segs_stop(&t);
	add(SEGMENT_FROM_POOL, LEN, &r);
	assert_int_equal(r, SEGMENT_E_NO_ROOM);
	assert_int_equal(segs_write_begin(&t, &job), SEGMENT_E_NONE);
	idx = segs_failed(&t, 0, &buf);
	assert_int_equal(idx, segment_of(&t, a));
	assert_int_equal(segs_failed(&t, idx, &buf), segment_of(&t, b));
	segment_drop(&t, a, LEN);
	segment_drop(&t, b, LEN);
	assert_int_equal(segs_failed_end(&t, segment_of(&t, a)), 0);
	assert_int_equal(segs_failed_end(&t, segment_of(&t, b)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_location),
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_written_before_all_is_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_dies_in_the_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dies_in_failed_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_footer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clean_choice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_punch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
