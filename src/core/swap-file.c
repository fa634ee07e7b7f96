/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-file - the facade's thin part: what a file's owner asks for, passed on to the segments
 */
#include "core/swap-file.h"

#include <errno.h>

#include "base/assert.h"
#include "base/error.h"
#include "core/segment-io.h"
#include "core/swap-impl.h"

enum {
	SEGMENT_BYTES_DEFAULT = 256 << 10,
	SEGMENT_BUFS_DEFAULT = 8,
};

int swap_file_attach(struct swap *s, const struct swap_file_options *options)
{
	struct segs_options o = {
		.max_bytes = options->max_bytes,
		.segment_bytes =
			options->segment_bytes ? options->segment_bytes : SEGMENT_BYTES_DEFAULT,
		.n_bufs = options->n_bufs ? options->n_bufs : SEGMENT_BUFS_DEFAULT,
		.encrypt = options->encrypt,
		.residency = s->options.allow_unlocked_memory ? ARENA_LOCK_TRY : ARENA_LOCK_MUST,
		.user = options->user,
		.on_work = options->on_work,
	};

	ASSERT(!s->segs.segment_bytes);
	ASSERT(list_is_empty(&s->apps));
	if (o.segment_bytes < SEGMENT_BYTES_MIN || o.segment_bytes > SEGMENT_BYTES_MAX ||
	    (o.segment_bytes & (o.segment_bytes - 1)) || o.n_bufs < SEGMENT_BUFS_MIN ||
	    o.n_bufs > SEGMENT_BUFS_MAX)
		return err_origin(-EINVAL);
	return err_trace(segs_init(&s->segs, &o));
}

uint32_t swap_file_segment_bytes(struct swap *s)
{
	return s->segs.segment_bytes;
}

void *swap_file_buffers(struct swap *s, size_t *ret_bytes)
{
	*ret_bytes = (size_t)s->segs.n_bufs * s->segs.segment_bytes;
	return s->segs.data.base;
}

static struct swap_file_job job_for(const struct segment_job *job)
{
	return (struct swap_file_job){
		.segment = job->segment,
		.n_bytes = job->n_bytes,
		.offset = job->offset,
		.bytes = job->bytes,
	};
}

int swap_file_write_begin(struct swap *s, struct swap_file_job *ret_job)
{
	struct segment_job job;

	if (segs_write_begin(&s->segs, &job))
		return SWAP_E_EMPTY;
	*ret_job = job_for(&job);
	return 0;
}

bool swap_file_write_end(struct swap *s, uint32_t segment, enum swap_file_result result)
{
	static const enum segment_write_end ends[] = {
		[SWAP_FILE_OK] = SEGMENT_WRITTEN,
		[SWAP_FILE_BAD] = SEGMENT_BAD_PLACE,
		[SWAP_FILE_FULL] = SEGMENT_DISK_FULL,
		[SWAP_FILE_BROKEN] = SEGMENT_GIVE_UP,
	};

	return !segs_write_end(&s->segs, segment, ends[result]);
}

int swap_file_clean_begin(struct swap *s, uint32_t max_live_pct, struct swap_file_job *ret_job)
{
	struct segment_job job;

	if (segs_clean_begin(&s->segs, max_live_pct, &job))
		return SWAP_E_EMPTY;
	*ret_job = job_for(&job);
	return 0;
}

int swap_file_punch_begin(struct swap *s, uint32_t n_keep, struct swap_file_job *ret_job)
{
	struct segment_job job;

	if (segs_punch_begin(&s->segs, n_keep, &job))
		return SWAP_E_EMPTY;
	*ret_job = job_for(&job);
	return 0;
}

void swap_file_punch_end(struct swap *s, uint32_t segment, bool done)
{
	segs_punch_end(&s->segs, segment, done);
}

void swap_file_flush(struct swap *s)
{
	segs_flush(&s->segs);
}

void swap_file_may_grow(struct swap *s)
{
	segs_allow_growth(&s->segs);
}

void swap_file_stop(struct swap *s)
{
	segs_stop(&s->segs);
}

void swap_file_retire(struct swap *s)
{
	segs_retire(&s->segs);
}

void swap_file_stats_get(struct swap *s, struct swap_file_stats *ret)
{
	*ret = (struct swap_file_stats){ 0 };
	if (s->segs.segment_bytes)
		segs_stats_get(&s->segs, ret);
}
