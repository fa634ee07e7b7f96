/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-reader - records by the dozen, with a disk that cannot read all of them
 */
#include "test-common.h"

#include "fake-disk.h"
#include "store/reader.h"

enum {
	BUF_BYTES = 2 * READER_MIN_BUF_BYTES,
	RECORD = 4096, /* as large as a page that does not compress */
	N_RECORDS = READER_BUFS * (BUF_BYTES / RECORD),
	DISK_BYTES = (N_RECORDS + 1) * RECORD,
};

static struct fake_disk disk;
static struct reader *reader;
static struct reader_read reads[N_RECORDS];

static int setup(void **state)
{
	uint32_t k;

	(void)state;
	fake_disk_init(&disk, DISK_BYTES, 1);
	for (k = 0; k < DISK_BYTES; k++)
		disk.bytes[k] = (uint8_t)(k / RECORD);
	return reader_new(&reader, &disk.disk, BUF_BYTES);
}

static int teardown(void **state)
{
	(void)state;
	reader = reader_free(reader);
	fake_disk_deinit(&disk);
	return 0;
}

/* All buffers are full of records that are lent until the last of them has come. */
static void submit_all(void)
{
	struct reader_read *ptrs[N_RECORDS];
	uint32_t k;

	for (k = 0; k < N_RECORDS; k++) {
		reads[k] = (struct reader_read){ .extent = { (uint64_t)k * RECORD, RECORD } };
		ptrs[k] = &reads[k];
	}
	assert_int_equal(reader_submit(reader, ptrs, N_RECORDS), N_RECORDS);
}

static void reap_all(void)
{
	struct reader_read *done[16];
	uint32_t n = 0;

	while (n < N_RECORDS)
		n += reader_reap_wait(reader, done, 16);
	assert_int_equal(n, N_RECORDS);
}

static void release_all(void)
{
	uint32_t k;

	for (k = 0; k < N_RECORDS; k++)
		reader_release(reader, &reads[k]);
	assert_int_equal(reader_n_held(reader), 0);
}

static bool is_right(uint32_t k)
{
	const uint8_t *record = reads[k].record;

	return record && record[0] == (uint8_t)k && record[RECORD - 1] == (uint8_t)k;
}

/* A bad sector costs one record, though nobody gives a buffer back before all have come. */
static void test_read_again_while_all_is_lent(void **state)
{
	uint32_t k;

	(void)state;
	disk.bad_from = 5 * RECORD + 512;
	disk.bad_to = disk.bad_from + 512;
	disk.latency = 3;
	submit_all();
	reap_all();
	for (k = 0; k < N_RECORDS; k++)
		assert_true(k == 5 ? !reads[k].record : is_right(k));
	release_all();
	disk.bad_to = 0; /* and all is as before */
	submit_all();
	reap_all();
	for (k = 0; k < N_RECORDS; k++)
		assert_true(is_right(k));
	release_all();
}

/* Lent, flying, or failed and not yet read again: all of it may be left behind. */
static void test_freed_at_any_moment(void **state)
{
	struct reader_read *done[1];
	uint32_t n, k;

	disk.bad_from = RECORD;
	disk.bad_to = N_RECORDS / 2 * RECORD;
	disk.latency = 2;
	for (n = 0; n < N_RECORDS; n += 7) {
		submit_all();
		for (k = 0; k < n; k++)
			(void)reader_reap(reader, done, 1);
		reader = reader_free(reader);
		assert_int_equal(reader_new(&reader, &disk.disk, BUF_BYTES), 0);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read_again_while_all_is_lent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_at_any_moment, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
