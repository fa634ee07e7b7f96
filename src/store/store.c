/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store - one loop: what came back, what is to be written, what can be tidied up
 *
 * Order of a round: completions first, since they free buffers; then writes, since pages wait in
 * memory for them; then pages that have to go back; then, if nothing waits, one segment is cleaned or
 * punched. Cleaning reads with the same queue: its reads are the store's own, no program waits.
 *
 * What a write ends with, and what follows:
 *   no room      the segment takes the place of a dead one; none there: back to the pool. Growing is
 *                tried again after a while, and not at all meanwhile
 *   any error    another place; after a few: back to the pool, and nothing is written any more
 *
 * An unreadable block in a segment that has to be emptied costs the records in it, not the rest: it
 * is read again block by block, with zeroes where there is nothing to be had, which no record opens.
 */
#include "store/store.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/inject.h"

enum {
	WRITES_DEFAULT = 4,
	CLEAN_AT_PCT_DEFAULT = 20,
	CLEAN_LIVE_PCT = 75,	 /* what is fuller is not worth it */
	CLEAN_LIVE_PCT_MAX = 92, /* unless there is hardly any room */
	PUNCH_KEEP = 16,	 /* free segments that keep their room */
	GROW_AGAIN_MS = 10000,
	CLEAN_AGAIN_MS = 500, /* after one that moved nothing */
	REHOME_AGAIN_MS = 10, /* pages were pinned */
	IDLE_MS = 1000,
	REAP_MAX = 32,
};

struct store_bell {
	int fd;
};

struct store_write {
	struct disk_io io;
	uint32_t segment;
	bool is_flying;
};

/* The one segment that is being cleaned. */
struct store_clean {
	struct disk_io io;
	struct swap_file_job job;
	uint8_t *bytes;
	bool is_flying;
	bool by_block;	 /* again, a block at a time */
	uint32_t n_good; /* blocks that could be read */
	uint64_t not_before_ns;
};

/* Relaxed: figures. */
struct store_figures {
	_Atomic uint64_t written_bytes, n_written, n_write_errors, n_disk_full;
	_Atomic uint64_t n_cleaned, n_cleaned_pages, n_clean_errors, clean_read_bytes;
	_Atomic uint64_t punched_bytes;
	_Atomic int punch_errno, stopped_errno;
};

struct store {
	struct store_options options; /* [const] */
	struct store_bell *bell;      /* [const] */
	struct disk_queue *queue;
	struct codec_ctx *ctx;
	struct store_write writes[STORE_WRITES_MAX];
	struct store_clean clean;
	uint32_t n_bufs_free; /* at the last round */
	uint32_t n_rehoming;  /* pages that still have to go back */
	uint64_t grow_at_ns;  /* 0: it may grow */
	struct store_figures figures;
	_Atomic bool stop;
	_Atomic bool is_retiring;
	bool has_thread;
	pthread_t thread;
};

DEFINE_CLEANUP(struct store *, store_free)

static uint64_t after_ms(uint64_t ms)
{
	return clock_now_ns() + ms * 1000000;
}

/* ---- bell ----------------------------------------------------------------------------------- */

int store_bell_new(struct store_bell **ret_bell)
{
	struct store_bell *bell = inject_fail() ? NULL : malloc(sizeof(*bell));

	if (!bell)
		return err_origin(-ENOMEM);
	bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell->fd < 0) {
		free(bell);
		return err_origin(-errno);
	}
	*ret_bell = bell;
	return 0;
}

struct store_bell *store_bell_free(struct store_bell *bell)
{
	if (!bell)
		return NULL;
	close(bell->fd);
	free(bell);
	return NULL;
}

void store_bell_ring(void *bell)
{
	uint64_t one = 1;
	ssize_t n = write(((struct store_bell *)bell)->fd, &one, sizeof(one));

	(void)n; /* so full that it is readable anyway */
}

static void bell_hear(struct store_bell *bell)
{
	uint64_t count;
	ssize_t n = read(bell->fd, &count, sizeof(count));

	(void)n; /* nobody rang */
}

/* ---- construction --------------------------------------------------------------------------- */

int store_new(struct store **ret_store, const struct store_options *options,
	      struct store_bell *bell)
{
	_cleanup_(store_freep) struct store *st = inject_fail() ? NULL : calloc(1, sizeof(*st));
	uint32_t segment_bytes = swap_file_segment_bytes(options->swap);
	struct disk_queue_options queue = { .n_memories = 2 };
	int r;

	if (!st)
		return err_origin(-ENOMEM);
	st->options = *options;
	st->bell = bell;
	if (!st->options.n_writes)
		st->options.n_writes = WRITES_DEFAULT;
	if (!st->options.clean_at_pct)
		st->options.clean_at_pct = CLEAN_AT_PCT_DEFAULT;
	ASSERT(st->options.n_writes <= STORE_WRITES_MAX);
	ASSERT(segment_bytes % options->disk->block_bytes == 0);
	st->clean.bytes = inject_fail() ? NULL : aligned_alloc(4096, segment_bytes);
	if (!st->clean.bytes)
		return err_origin(-ENOMEM);
	r = codec_ctx_new(&st->ctx);
	if (r)
		return err_trace(r);
	queue.depth = st->options.n_writes + 1;
	queue.memory[0].iov_base = swap_file_buffers(options->swap, &queue.memory[0].iov_len);
	queue.memory[1] = (struct iovec){ st->clean.bytes, segment_bytes };
	r = disk_queue_new(options->disk, &queue, &st->queue);
	if (r)
		return err_trace(r);
	*ret_store = TAKE_PTR(st);
	return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void store_stop(struct store *st, int error)
{
	store_relaxed(&st->figures.stopped_errno, -error);
	swap_file_stop(st->options.swap);
	if (st->options.on_stopped)
		st->options.on_stopped(st->options.user, error);
}

static bool is_stopped(struct store *st)
{
	return load_relaxed(&st->figures.stopped_errno) != 0; /* only written by this thread */
}

static enum swap_file_result result_of(int32_t r)
{
	if (r == 0)
		return SWAP_FILE_OK;
	/* EFBIG: the file system has no larger files; what is there can be used */
	return r == -ENOSPC || r == -EDQUOT || r == -EFBIG ? SWAP_FILE_FULL : SWAP_FILE_BAD;
}

static void write_end(struct store *st, struct store_write *w)
{
	enum swap_file_result result = result_of(w->io.result);
	struct store_figures *f = &st->figures;
	bool goes_on;

	w->is_flying = false;
	if (result == SWAP_FILE_OK) {
		fetch_add_relaxed(&f->n_written, 1);
		fetch_add_relaxed(&f->written_bytes, w->io.n_bytes);
	} else {
		fetch_add_relaxed(&f->n_write_errors, 1);
	}
	if (result == SWAP_FILE_FULL) {
		fetch_add_relaxed(&f->n_disk_full, 1);
		st->grow_at_ns = after_ms(GROW_AGAIN_MS);
	}
	goes_on = swap_file_write_end(st->options.swap, w->segment, result);
	if (!goes_on && result == SWAP_FILE_BAD && !is_stopped(st))
		store_stop(st, w->io.result);
}

static bool write_begin(struct store *st, struct store_write *w)
{
	struct swap_file_job job;

	if (swap_file_write_begin(st->options.swap, &job))
		return false;
	w->segment = job.segment;
	w->is_flying = true;
	w->io = (struct disk_io){
		.offset = job.offset,
		.bytes = job.bytes,
		.n_bytes = job.n_bytes,
		.is_write = true,
		.user = w,
	};
	disk_submit(st->queue, &w->io);
	return true;
}

static uint32_t write_all(struct store *st)
{
	uint32_t i, n = 0;

	for (i = 0; i < st->options.n_writes; i++)
		if (!st->writes[i].is_flying && write_begin(st, &st->writes[i]))
			n++;
	return n;
}

/* ---- cleaning ------------------------------------------------------------------------------- */

static void clean_read(struct store *st, uint32_t at, uint32_t n_bytes)
{
	struct store_clean *c = &st->clean;

	c->io = (struct disk_io){
		.offset = c->job.offset + at,
		.bytes = c->bytes + at,
		.n_bytes = n_bytes,
		.user = c,
	};
	disk_submit(st->queue, &c->io);
}

static bool clean_begin(struct store *st)
{
	struct swap_file_stats fst;
	uint32_t live_pct = CLEAN_LIVE_PCT;

	swap_file_stats_get(st->options.swap, &fst);
	if (!load_acquire(&st->is_retiring)) { /* pairs with store_retire() */
		if (is_stopped(st) || fst.n_bufs_free == 0 ||
		    (uint64_t)fst.n_free * 100 >=
			    (uint64_t)fst.n_segments * st->options.clean_at_pct)
			return false;
		if ((uint64_t)fst.n_free * 400 <
		    (uint64_t)fst.n_segments * st->options.clean_at_pct)
			live_pct = CLEAN_LIVE_PCT_MAX;
	}
	if (swap_file_clean_begin(st->options.swap, live_pct, &st->clean.job))
		return false;
	st->clean.is_flying = true;
	st->clean.by_block = false;
	clean_read(st, 0, st->clean.job.n_bytes);
	return true;
}

static void clean_finish(struct store *st, bool is_read)
{
	struct store_clean *c = &st->clean;
	uint32_t n;

	c->is_flying = false;
	n = swap_file_clean(st->options.swap, &c->job, is_read ? c->bytes : NULL, st->ctx);
	fetch_add_relaxed(&st->figures.n_cleaned, 1);
	fetch_add_relaxed(&st->figures.n_cleaned_pages, n);
	/* Nothing to be moved, or nowhere to: do not turn in circles. */
	if (n == 0)
		c->not_before_ns = after_ms(CLEAN_AGAIN_MS);
}

/* One step of the second way to read a segment. */
static void clean_block_end(struct store *st)
{
	uint32_t block = st->options.disk->block_bytes;
	struct store_clean *c = &st->clean;
	uint32_t at = (uint32_t)(c->io.offset - c->job.offset);

	if (c->io.result)
		memset(c->bytes + at, 0, block);
	else
		c->n_good++;
	if (at + block < c->job.n_bytes)
		clean_read(st, at + block, block);
	else
		clean_finish(st, c->n_good > 0);
}

static void clean_end(struct store *st)
{
	struct store_clean *c = &st->clean;

	if (c->by_block) {
		clean_block_end(st);
		return;
	}
	if (c->io.result == 0) {
		fetch_add_relaxed(&st->figures.clean_read_bytes, c->io.n_bytes);
		clean_finish(st, true);
		return;
	}
	fetch_add_relaxed(&st->figures.n_clean_errors, 1);
	c->by_block = true;
	c->n_good = 0;
	clean_read(st, 0, st->options.disk->block_bytes);
}

/* ---- room ----------------------------------------------------------------------------------- */

static bool punch_one(struct store *st)
{
	struct swap_file_job job;
	uint32_t n_keep = is_stopped(st) || load_acquire(&st->is_retiring) ? 0 : PUNCH_KEEP;
	int r;

	/* On a full disk free segments are worth more with their room. */
	if (load_relaxed(&st->figures.punch_errno) || st->grow_at_ns)
		return false;
	if (swap_file_punch_begin(st->options.swap, n_keep, &job))
		return false;
	r = disk_punch(st->options.disk, job.offset, job.n_bytes);
	swap_file_punch_end(st->options.swap, job.segment, r == 0);
	if (r == 0)
		fetch_add_relaxed(&st->figures.punched_bytes, job.n_bytes);
	else
		store_relaxed(&st->figures.punch_errno, -r);
	return r == 0;
}

static void tell_room(struct store *st)
{
	struct swap_file_stats fst;

	swap_file_stats_get(st->options.swap, &fst);
	if (fst.n_bufs_free > st->n_bufs_free && st->options.on_room)
		st->options.on_room(st->options.user);
	st->n_bufs_free = fst.n_bufs_free;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static uint32_t reap_all(struct store *st)
{
	struct disk_io *ios[REAP_MAX];
	uint32_t i, n;

	n = disk_reap(st->queue, ios, REAP_MAX);
	for (i = 0; i < n; i++) {
		if (ios[i]->user == &st->clean)
			clean_end(st);
		else
			write_end(st, ios[i]->user);
	}
	return n;
}

bool store_step(struct store *st)
{
	uint64_t now_ns = clock_now_ns();
	uint32_t n_done;

	bell_hear(st->bell);
	n_done = reap_all(st);
	if (st->grow_at_ns && now_ns >= st->grow_at_ns) {
		st->grow_at_ns = 0;
		swap_file_may_grow(st->options.swap);
		n_done++;
	}
	n_done += write_all(st);
	st->n_rehoming = swap_file_rehome(st->options.swap, st->ctx);
	tell_room(st);
	if (!st->clean.is_flying && now_ns >= st->clean.not_before_ns && clean_begin(st))
		n_done++;
	disk_flush(st->queue);
	if (n_done == 0 && punch_one(st))
		n_done++;
	return n_done > 0;
}

static void store_wait(struct store *st)
{
	struct pollfd fds[] = {
		{ .fd = st->bell->fd, .events = POLLIN },
		{ .fd = disk_queue_fd(st->queue), .events = POLLIN },
	};

	/* EINTR, time-out: one more round does no harm. */
	(void)poll(fds, 2, st->n_rehoming ? REHOME_AGAIN_MS : IDLE_MS);
}

static void *store_main(void *arg)
{
	struct store *st = arg;

	while (!load_acquire(&st->stop)) /* pairs with store_free() */
		if (!store_step(st))
			store_wait(st);
	return NULL;
}

int store_start(struct store *st)
{
	int r = inject_fail() ? EAGAIN : pthread_create(&st->thread, NULL, store_main, st);

	if (r)
		return err_origin(-r);
	st->has_thread = true;
	return 0;
}

struct store *store_free(struct store *st)
{
	struct disk_io *ios[1];

	if (!st)
		return NULL;
	if (st->has_thread) {
		store_release(&st->stop, true); /* pairs with store_main() */
		store_bell_ring(st->bell);
		pthread_join(st->thread, NULL);
	}
	/* What flies is ended as it ends: the swap has to hear of it. */
	while (st->queue && st->queue->n_flying > 0)
		if (disk_reap_wait(st->queue, ios, 1)) {
			if (ios[0]->user == &st->clean)
				clean_end(st);
			else
				write_end(st, ios[0]->user);
		}
	disk_queue_free(st->queue);
	codec_ctx_free(st->ctx);
	free(st->clean.bytes);
	free(st);
	return NULL;
}

void store_retire(struct store *st)
{
	store_release(&st->is_retiring, true); /* pairs with the loads of the store's thread */
	swap_file_retire(st->options.swap);    /* rings */
}

void store_stats_get(struct store *st, struct store_stats *ret)
{
	struct store_figures *f = &st->figures;

	*ret = (struct store_stats){
		.written_bytes = load_relaxed(&f->written_bytes),
		.n_written = load_relaxed(&f->n_written),
		.n_write_errors = load_relaxed(&f->n_write_errors),
		.n_disk_full = load_relaxed(&f->n_disk_full),
		.n_cleaned = load_relaxed(&f->n_cleaned),
		.n_cleaned_pages = load_relaxed(&f->n_cleaned_pages),
		.n_clean_errors = load_relaxed(&f->n_clean_errors),
		.clean_read_bytes = load_relaxed(&f->clean_read_bytes),
		.punched_bytes = load_relaxed(&f->punched_bytes),
		.punch_errno = load_relaxed(&f->punch_errno),
		.stopped_errno = load_relaxed(&f->stopped_errno),
	};
}
