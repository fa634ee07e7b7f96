/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-store - the store on a disk that does what it is told
 *
 * Whatever the disk does with a write, no page is lost; whatever it does with a read, no wrong byte
 * comes out.
 */
#include "test-common.h"

#include <errno.h>

#include "base/clock.h"
#include "base/inject.h"
#include "fake-disk.h"
#include "rig.h"

enum { N_SEGMENTS = 60, FILE_BYTES = RIG_SEGMENT * N_SEGMENTS, N_PAGES = 300 };

static struct fake_disk disk;
static struct rig rig;
static uint64_t now_ns = 1000;

static uint64_t fake_now(void *user)
{
	(void)user;
	return now_ns;
}

static void begin(bool encrypt)
{
	fake_disk_init(&disk, FILE_BYTES, 4711);
	assert_int_equal(rig_begin(&rig, &disk.disk, FILE_BYTES, encrypt), 0);
}

static void end(void)
{
	rig_end(&rig);
	fake_disk_deinit(&disk);
}

static void store_pages(uint32_t n)
{
	uint32_t k;

	for (k = 0; k < n; k++)
		rig_store(&rig, k, 1006 + 16 * k);
}

static uint32_t load_pages(uint32_t n)
{
	uint32_t k, n_lost = 0;

	for (k = 0; k < n; k += 50)
		n_lost += rig_load(&rig, k, n - k < 50 ? n - k : 50);
	return n_lost;
}

static struct swap_file_stats file_stats(void)
{
	struct swap_file_stats st;

	swap_file_stats_get(rig.swap, &st);
	return st;
}

static struct store_stats store_stats(void)
{
	struct store_stats st;

	store_stats_get(rig.store, &st);
	return st;
}

static struct swap_app_stats app_stats(void)
{
	struct swap_app_stats st;

	swap_app_stats_get(rig.app, &st);
	return st;
}

static void run_clean(bool encrypt)
{
	struct reader_stats rst;

	begin(encrypt);
	disk.latency = 5;
	store_pages(N_PAGES);
	assert_int_equal(rig_writeback(&rig, N_PAGES), N_PAGES);
	assert_int_equal(app_stats().stored_bytes, 0);
	assert_true(store_stats().n_written > 10);
	assert_int_equal(store_stats().written_bytes, store_stats().n_written * RIG_SEGMENT);
	assert_true(rig.n_room > 0);
	swap_check(rig.swap);
	assert_int_equal(load_pages(N_PAGES), 0);
	reader_stats_get(rig.reader, &rst);
	assert_true(rst.n_ios * 4 < rst.n_reads); /* neighbours are read together */
	assert_int_equal(rig.n_stopped, 0);
	end();
}

static void test_plain(void **state)
{
	(void)state;
	run_clean(false);
	run_clean(true);
}

/* Write number n fails, in every way, for every n until there is none. */
static void test_each_write_fails(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG, EINVAL };
	uint64_t n, n_runs = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		for (n = 1; n < 100; n++, n_runs++) {
			begin(n % 2);
			disk.latency = 1 + (uint32_t)(n % 4);
			disk.fail_write_at = n;
			disk.error = errors[i];
			store_pages(N_PAGES);
			rig_writeback(&rig, N_PAGES);
			swap_check(rig.swap);
			if (disk.n_writes < n) {
				end();
				break;
			}
			assert_int_equal(store_stats().n_write_errors, 1);
			assert_int_equal(rig.n_stopped, 0); /* one bad place stops nothing */
			assert_int_equal(load_pages(N_PAGES), 0);
			assert_int_equal(app_stats().n_lost, 0);
			end();
		}
	}
	assert_true(n_runs > 40);
}

/* The file system has no larger files: what is there goes on being used. */
static void test_file_is_too_large(void **state)
{
	(void)state;
	begin(false);
	disk.fail_writes_from = 5;
	disk.error = EFBIG;
	store_pages(N_PAGES);
	rig_writeback(&rig, N_PAGES);
	assert_true(store_stats().n_disk_full > 0);
	assert_int_equal(rig.n_stopped, 0);
	assert_int_equal(load_pages(N_PAGES), 0);
	end();
}

/* From write n on nothing works any more: all goes back, the writer stops and says so, once. */
static void test_disk_dies(void **state)
{
	uint64_t n;

	(void)state;
	for (n = 1; n < 30; n += 3) {
		begin(n % 2);
		disk.latency = 3;
		disk.fail_writes_from = n;
		store_pages(N_PAGES);
		rig_writeback(&rig, N_PAGES);
		swap_check(rig.swap);
		if (disk.n_writes >= n + 3) {
			assert_int_equal(rig.n_stopped, 1);
			assert_int_equal(rig.stop_error, -EIO);
			assert_int_equal(store_stats().stopped_errno, EIO);
			assert_int_equal(rig_writeback(&rig, N_PAGES), 0);
			assert_int_equal(file_stats().n_failed, 0);
		}
		assert_int_equal(load_pages(N_PAGES), 0);
		end();
	}
}

/* Short and interrupted requests are nothing special. */
static void test_short(void **state)
{
	(void)state;
	begin(false);
	disk.latency = 3;
	disk.short_one_in = 4;
	disk.again_one_in = 6;
	store_pages(N_PAGES);
	assert_int_equal(rig_writeback(&rig, N_PAGES), N_PAGES);
	assert_int_equal(load_pages(N_PAGES), 0);
	assert_int_equal(store_stats().n_write_errors, 0);
	end();
}

/* A full disk: what does not fit stays in the pool; with room again it goes on. */
static void test_disk_full(void **state)
{
	uint32_t n, k;

	(void)state;
	begin(false);
	disk.room_bytes = 10 * RIG_SEGMENT;
	store_pages(N_PAGES);
	n = rig_writeback(&rig, N_PAGES);
	swap_check(rig.swap);
	assert_int_equal(rig.n_stopped, 0);
	assert_true(store_stats().n_disk_full > 0);
	assert_int_equal(file_stats().n_bad, 0);
	assert_int_equal(file_stats().n_failed, 0);
	assert_true(app_stats().n_file > 0);
	assert_true(app_stats().n_file < N_PAGES / 2);
	assert_true(n >= app_stats().n_file);
	/* Dead segments have room: they are used without a try to grow. */
	for (k = 0; k < 60; k++)
		rig_drop(&rig, k);
	n = (uint32_t)store_stats().n_disk_full;
	rig_writeback(&rig, 20);
	assert_int_equal(store_stats().n_disk_full, n);
	/* Time passes, the disk has room. */
	disk.room_bytes = 0;
	now_ns += UINT64_C(20000000000);
	rig_pump(&rig);
	rig_writeback(&rig, N_PAGES);
	assert_int_equal(app_stats().n_file, N_PAGES - 60);
	assert_int_equal(load_pages(N_PAGES), 0);
	end();
}

/* What cannot be read is lost; only that, and never anything wrong. */
static void test_reads_fail(void **state)
{
	uint64_t n;
	uint32_t n_lost = 0;

	(void)state;
	for (n = 1; n < 12; n++) {
		begin(false);
		disk.fail_read_at = n;
		store_pages(100);
		rig_writeback(&rig, 100);
		assert_int_equal(load_pages(100), 0); /* read together, read again alone */
		end();
	}
	begin(true);
	store_pages(100);
	rig_writeback(&rig, 100);
	disk.bad_from = 3000;
	disk.bad_to = 3001;
	n_lost = load_pages(100);
	assert_in_range(n_lost, 1, 3); /* who has a part in that block */
	assert_int_equal(app_stats().n_lost, n_lost);
	end();
}

static void test_reads_lie(void **state)
{
	uint64_t at;
	uint32_t encrypt;

	(void)state;
	for (encrypt = 0; encrypt < 2; encrypt++) {
		begin(encrypt);
		store_pages(N_PAGES);
		rig_writeback(&rig, N_PAGES);
		for (at = 100; at < FILE_BYTES; at += 5000)
			disk.bytes[at] ^= 0x10;
		assert_in_range(load_pages(N_PAGES), 20, N_PAGES);
		end();
	}
}

/*
 * A disk says that it wrote and did not: what is there is a segment of before, with records of the
 * same pages at the same places. Their seals are another write's.
 */
static void test_write_is_lost(void **state)
{
	uint32_t k, n_lost, encrypt;

	(void)state;
	for (encrypt = 0; encrypt < 2; encrypt++) {
		begin(encrypt);
		store_pages(N_PAGES);
		rig_writeback(&rig, N_PAGES);
		swap_file_flush(rig.swap);
		rig_pump(&rig);
		for (k = 0; k < N_PAGES; k++)
			rig_drop(&rig, k);
		disk.lose_write_at = disk.n_writes + 2;
		store_pages(N_PAGES);
		rig_writeback(&rig, N_PAGES);
		n_lost = load_pages(N_PAGES);
		assert_in_range(n_lost, 5, 20); /* one segment */
		assert_int_equal(app_stats().n_lost, n_lost);
		end();
	}
}

/* Somebody cuts the file. */
static void test_file_is_cut(void **state)
{
	uint32_t n_lost;

	(void)state;
	begin(false);
	store_pages(N_PAGES);
	rig_writeback(&rig, N_PAGES);
	disk.end = 5 * RIG_SEGMENT + 700;
	n_lost = load_pages(N_PAGES);
	assert_true(n_lost > 100 && n_lost < N_PAGES - 40);
	end();
}

/* The file is nearly full, and most of it is dead: it is cleaned, with trouble on the way. */
static void run_cleaning(uint64_t fail_read_at, uint64_t bad_at)
{
	uint32_t k, round, n_lost = 0;

	begin(fail_read_at % 2);
	disk.latency = 3;
	disk.fail_read_at = fail_read_at;
	disk.bad_from = bad_at;
	disk.bad_to = bad_at ? bad_at + 1 : 0;
	for (round = 0; round < 6; round++) {
		for (k = 0; k < 500; k++) {
			if (rig.pages[k].id.v && (k + round) % 4)
				rig_drop(&rig, k);
			if (!rig.pages[k].id.v)
				rig_store(&rig, k, 1006 + 16 * (k + round * 7));
		}
		rig_writeback(&rig, 500);
		now_ns += UINT64_C(1000000000);
		rig_pump(&rig);
		swap_check(rig.swap);
	}
	assert_true(store_stats().n_cleaned_pages > 50);
	for (k = 0; k < 500; k += 50)
		n_lost += rig_load(&rig, k, 50);
	assert_true(bad_at || n_lost == 0);
	end();
}

static void test_cleaning(void **state)
{
	uint64_t n;

	(void)state;
	run_cleaning(0, 0);
	for (n = 1; n < 6; n++)
		run_cleaning(n, 0);
	run_cleaning(0, 20 * RIG_SEGMENT + 9000);
}

static void test_punch(void **state)
{
	uint32_t k;

	(void)state;
	begin(false);
	store_pages(N_PAGES);
	rig_writeback(&rig, N_PAGES);
	for (k = 0; k < N_PAGES; k++)
		rig_drop(&rig, k);
	rig_pump(&rig);
	assert_true(store_stats().punched_bytes > 0);
	assert_true(disk.n_taken <= 17 * RIG_SEGMENT / FAKE_BLOCK); /* a stock stays */
	store_pages(N_PAGES);
	rig_writeback(&rig, N_PAGES);
	disk.punch_error = EOPNOTSUPP;
	assert_int_equal(load_pages(N_PAGES), 0);
	rig_pump(&rig);
	assert_int_equal(store_stats().punch_errno, EOPNOTSUPP);
	rig_pump(&rig);
	end();
}

/* Empty the file under way; a block of it cannot be read. */
static void test_retire(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin(i);
		store_pages(N_PAGES);
		rig_writeback(&rig, N_PAGES - 40);
		disk.bad_from = i ? 7000 : 0;
		disk.bad_to = i ? 7001 : 0;
		store_retire(rig.store);
		rig_pump(&rig);
		now_ns += UINT64_C(1000000000);
		rig_pump(&rig);
		now_ns += UINT64_C(1000000000);
		rig_pump(&rig);
		assert_in_range(file_stats().n_live, i, i * 3);
		assert_int_equal(file_stats().n_stuck, file_stats().n_live);
		assert_int_equal(load_pages(N_PAGES) > 0, i);
		assert_int_equal(file_stats().n_stuck, 0);
		end();
	}
}

/* Clean copies are dropped, and each segment of them is progress. */
static void test_retire_copies(void **state)
{
	const uint64_t start_ns = now_ns;
	uint32_t k;

	(void)state;
	begin(false);
	store_pages(N_PAGES);
	rig_writeback(&rig, N_PAGES);
	rig_pump(&rig);
	for (k = 0; k < N_PAGES; k++) {
		assert_int_equal(swap_try_pin(rig.swap, rig.pages[k].id, SWAP_PIN_LOAD), 0);
		(void)swap_load_end(rig.swap, rig.pages[k].id, SWAP_LOAD_KEEP_FILE);
	}
	assert_true(file_stats().n_used > 10);
	store_retire(rig.store);
	while (file_stats().n_live && now_ns - start_ns < UINT64_C(1000000000)) {
		rig_pump(&rig);
		now_ns += UINT64_C(100000000);
	}
	assert_int_equal(file_stats().n_live, 0);
	for (k = 0; k < N_PAGES; k++)
		rig_drop(&rig, k);
	end();
}

static void test_no_memory(void **state)
{
	uint64_t n;
	bool fired = true;
	int r;

	(void)state;
	for (n = 1; fired; n++) {
		fake_disk_init(&disk, FILE_BYTES, 1);
		inject_arm(n);
		r = rig_begin(&rig, &disk.disk, FILE_BYTES, true);
		fired = inject_disarm();
		assert_int_equal(r != 0, fired);
		end();
	}
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_each_write_fails),
		cmocka_unit_test(test_disk_dies),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_reads_fail),
		cmocka_unit_test(test_reads_lie),
		cmocka_unit_test(test_file_is_cut),
		cmocka_unit_test(test_write_is_lost),
		cmocka_unit_test(test_cleaning),
		cmocka_unit_test(test_punch),
		cmocka_unit_test(test_retire),
		cmocka_unit_test(test_file_is_too_large),
		cmocka_unit_test(test_retire_copies),
		cmocka_unit_test(test_no_memory),
	};

	clock_source_set(fake_now, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
