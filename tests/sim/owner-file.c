// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The swap file of a simulation: reads and writes that take as long as the walk likes, come back in any
 * order, and, for writes, sometimes fail.
 */
#include "base/assert.h"
#include "owner.h"
#include "space/space-impl.h"

#define FILE_BYTES (1u << 20)
#define WRITES_MAX_FAILED 6u /* a walk in which every write fails shows little */

static uint32_t below(struct owner *o, uint32_t n)
{
	return rng_below(&o->rng, n);
}

uint32_t owner_file_read(void *user, struct page_read **reads, uint32_t n)
{
	struct owner *o = user;
	uint32_t k;

	if (!o->quiet && !below(o, 8)) /* it may take fewer, or none */
		n = below(o, n + 1);
	if (n > o->n_reads_max - o->n_reads - o->n_lent)
		n = o->n_reads_max - o->n_reads - o->n_lent;
	for (k = 0; k < n; k++)
		o->reads[o->n_reads++] = reads[k];
	return n;
}

void owner_file_release(void *user, struct page_read *read)
{
	struct owner *o = user;

	ASSERT(read->record && o->n_lent);
	o->n_lent--;
}

/* The other thread is at most in one job, and others wait. */
bool owner_post_decode(void *user, struct decode_job *job)
{
	struct owner *o = user;

	if (!o->quiet && !below(o, 16))
		return false;
	list_append(&o->decodes, &job->link);
	return true;
}

bool owner_unpost_decode(void *user, struct decode_job *job)
{
	bool waited = list_is_linked(&job->link);

	(void)user;
	list_unlink(&job->link);
	return waited;
}

bool owner_decode(struct owner *o, uint32_t n_pages)
{
	struct decode_job *job = o->decoding;
	struct space *dead;

	if (!job) {
		job = list_first(&o->decodes, struct decode_job, link);
		if (job)
			list_unlink(&job->link);
		o->decoding = job;
	}
	if (!job)
		return false;
	while (n_pages && decode_job_step(job, o->codec))
		n_pages--;
	if (!n_pages)
		return true;
	o->decoding = NULL;
	if (!decode_job_leave(job))
		return true;
	dead = space_decoded(&o->group, job);
	if (dead)
		(void)owner_result(o, dead, SPACE_E_DEAD);
	return true;
}

void owner_file_init(struct owner *o)
{
	const struct swap_file_options options = {
		.max_bytes = FILE_BYTES,
		.segment_bytes = 16 << 10,
		.n_bufs = 3 + below(o, 4),
		.encrypt = !below(o, 3),
	};

	ASSERT(!swap_file_attach(o->swap, &options));
	test_disk_init(&o->disk, FILE_BYTES);
	o->n_reads_max = below(o, 3) ? OWNER_MAX_READS : 10;
}

void owner_file_deinit(struct owner *o)
{
	ASSERT(!o->n_reads && !o->n_lent && !o->n_writes);
	ASSERT(list_is_empty(&o->decodes) && !o->decoding);
	test_disk_deinit(&o->disk);
}

static bool read_one(struct owner *o)
{
	struct page_read *read;
	struct space *dead;
	uint32_t k;

	if (!o->n_reads)
		return false;
	k = below(o, o->n_reads);
	read = o->reads[k];
	o->reads[k] = o->reads[--o->n_reads];
	read->record = o->read_fails ? NULL : o->disk.bytes + read->extent.offset;
	o->n_lent += read->record != NULL;
	dead = space_read_done(&o->group, read);
	if (dead)
		(void)owner_result(o, dead, SPACE_E_DEAD);
	return true;
}

static bool write_begin(struct owner *o)
{
	if (o->n_writes == OWNER_MAX_WRITES ||
	    swap_file_write_begin(o->swap, &o->writes[o->n_writes]))
		return false;
	o->n_writes++;
	return true;
}

static enum swap_file_result write_result(struct owner *o)
{
	if (o->quiet || below(o, 12) || o->disk.n_failed >= WRITES_MAX_FAILED)
		return SWAP_FILE_OK;
	switch (below(o, 8)) {
	case 0:
		return SWAP_FILE_BROKEN;
	case 1:
	case 2:
		return SWAP_FILE_FULL;
	default:
		return SWAP_FILE_BAD;
	}
}

static bool write_end(struct owner *o)
{
	struct swap_file_job job;
	uint32_t k;

	if (!o->n_writes)
		return false;
	k = below(o, o->n_writes);
	job = o->writes[k];
	o->writes[k] = o->writes[--o->n_writes];
	(void)test_disk_end(&o->disk, o->swap, &job, write_result(o));
	return true;
}

void owner_file_step(struct owner *o)
{
	uint32_t n;

	if (!o->disk.bytes)
		return;
	switch (below(o, 19)) {
	case 0:
	case 1:
	case 2:
		(void)swap_writeback(o->group.app, (enum swap_writeback_order)below(o, 3),
				     1 + below(o, 64), &n);
		break;
	case 3:
	case 4:
		(void)write_begin(o);
		break;
	case 5:
	case 6:
		(void)write_end(o);
		break;
	case 7:
		(void)test_disk_clean(&o->disk, o->swap, 30 + below(o, 71), o->codec, &n);
		break;
	case 8:
		(void)test_disk_punch(&o->disk, o->swap, below(o, 8));
		break;
	case 9:
		swap_file_flush(o->swap);
		break;
	case 10:
		(void)swap_file_rehome(o->swap, o->codec);
		swap_file_may_grow(o->swap);
		break;
	case 11:
		(void)swap_file_drop_kept(o->group.app, below(o, 20000));
		if (!below(o, 400))
			swap_file_retire(o->swap);
		break;
	case 12:
		if (!below(o, 6))
			load_early_drop(&o->group); /* as if somebody lacked what they hold */
		break;
	case 13:
	case 14:
		(void)owner_decode(o, below(o, 8) ? below(o, 6) : UINT32_MAX);
		break;
	default:
		for (n = below(o, 8); n && read_one(o); n--)
			;
	}
}

bool owner_file_round(struct owner *o)
{
	bool worked = false;

	if (!o->disk.bytes)
		return false;
	while (read_one(o))
		worked = true;
	while (!o->decoder_sleeps && owner_decode(o, UINT32_MAX))
		worked = true;
	while (write_end(o) || write_begin(o))
		worked = true;
	(void)swap_file_rehome(o->swap, o->codec);
	return worked;
}

int owner_file_load(struct owner *o, struct slot_id id, void *dst)
{
	return test_disk_load(&o->disk, o->swap, id, dst, o->codec, NULL);
}
