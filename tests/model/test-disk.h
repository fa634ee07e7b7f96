/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-disk - the part of the disk, played by a test: memory, and a say in what goes wrong
 *
 * Threads: writes by one at a time; reads by any.
 */
#ifndef USWAP_TEST_DISK_H
#define USWAP_TEST_DISK_H

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/swap-file.h"
#include "test-pages.h"

struct test_disk {
	uint8_t *bytes;
	uint64_t n_bytes;
	uint64_t n_written; /* segments */
	uint64_t n_failed;
};

static inline void test_disk_init(struct test_disk *d, uint64_t n_bytes)
{
	*d = (struct test_disk){ .bytes = malloc(n_bytes), .n_bytes = n_bytes };
	ASSERT(d->bytes);
	memset(d->bytes, 0xee, n_bytes);
}

static inline void test_disk_deinit(struct test_disk *d)
{
	free(d->bytes);
	d->bytes = NULL;
}

/* What the disk does with a job that was begun. A failed write may have written a part. */
static inline bool test_disk_end(struct test_disk *d, struct swap *s,
				 const struct swap_file_job *job, enum swap_file_result result)
{
	uint32_t n = result == SWAP_FILE_OK ? job->n_bytes : job->n_bytes / 2;

	ASSERT(job->offset + job->n_bytes <= d->n_bytes);
	memcpy(d->bytes + job->offset, job->bytes, n);
	d->n_written += result == SWAP_FILE_OK;
	d->n_failed += result != SWAP_FILE_OK;
	return swap_file_write_end(s, job->segment, result);
}

/* Write all that waits. Return: segments. */
static inline uint32_t test_disk_pump(struct test_disk *d, struct swap *s)
{
	struct swap_file_job job;
	uint32_t n = 0;

	while (swap_file_write_begin(s, &job) == 0) {
		ASSERT(test_disk_end(d, s, &job, SWAP_FILE_OK));
		n++;
	}
	return n;
}

/* Clean one segment. Return: false: there was none. */
static inline bool test_disk_clean(struct test_disk *d, struct swap *s, uint32_t max_live_pct,
				   struct codec_ctx *ctx, uint32_t *ret_n)
{
	struct swap_file_job job;
	uint8_t *bytes;

	if (swap_file_clean_begin(s, max_live_pct, &job))
		return false;
	bytes = malloc(job.n_bytes);
	ASSERT(bytes);
	memcpy(bytes, d->bytes + job.offset, job.n_bytes);
	*ret_n = swap_file_clean(s, &job, bytes, ctx);
	free(bytes);
	return true;
}

/* Give back the room of one segment. What is read there later is not what was written. */
static inline bool test_disk_punch(struct test_disk *d, struct swap *s, bool works)
{
	struct swap_file_job job;

	if (swap_file_punch_begin(s, 0, &job))
		return false;
	if (works)
		memset(d->bytes + job.offset, 0, job.n_bytes);
	swap_file_punch_end(s, job.segment, works);
	return true;
}

/* swap_load(), by way of the disk if need be. */
static inline int test_disk_load(struct test_disk *d, struct swap *s, struct slot_id id, void *dst,
				 struct codec_ctx *ctx, struct swap_use *ret_use)
{
	int r = swap_load(s, id, dst, ctx, ret_use);
	struct swap_extent ext;

	if (r != SWAP_E_ON_FILE)
		return r;
	swap_file_extent(s, id, &ext);
	ASSERT(ext.offset % 16 == 0 && ext.n_bytes % 16 == 0);
	ASSERT(ext.offset + ext.n_bytes <= d->n_bytes);
	return swap_load_bytes(s, id, d->bytes + ext.offset, dst, ctx, ret_use);
}

#endif
