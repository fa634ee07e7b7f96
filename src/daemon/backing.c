// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The worker's swap file: opened before anything else starts, read by the owner, written by the store.
 *
 * The owner submits the reads of a load and sleeps on the reader's descriptor with everything else; a
 * record that has come goes back to the space it was read for.
 *
 * syscalls: through src/store
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "daemon/worker-impl.h"

#define REAP_BATCH 64u
#define IN_USE_TRIES 20u
#define IN_USE_PAUSE_NS (50L * 1000 * 1000)
#define READS_MAX 1024u /* records asked for at once */
#define SMALL_LIMIT_BYTES (64ULL << 20)
#define LARGE_LIMIT_BYTES (256ULL << 20)

_Static_assert(READER_BUFS >= AHEAD_MAX_PAGES,
	       "a window can be read whole, wherever its pages lie");

/* ---- reads ---------------------------------------------------------------------------------- */

uint32_t backing_read(void *user, struct page_read **reads, uint32_t n)
{
	struct backing *b = &((struct worker *)user)->backing;
	struct reader_read *taken[AHEAD_MAX_PAGES] = { NULL };
	uint32_t k, n_taken;

	ASSERT(n <= AHEAD_MAX_PAGES);
	if (n > b->n_free)
		n = b->n_free;
	for (k = 0; k < n; k++) {
		taken[k] = b->free[--b->n_free];
		taken[k]->extent = reads[k]->extent;
		taken[k]->user = reads[k];
		reads[k]->host = taken[k];
	}
	n_taken = reader_submit(b->reader, taken, n);
	for (k = n_taken; k < n; k++)
		b->free[b->n_free++] = taken[k];
	return n_taken;
}

void backing_flush(struct worker *w)
{
	if (w->backing.is_open)
		reader_flush(w->backing.reader);
}

static void read_release(struct backing *b, struct reader_read *read)
{
	reader_release(b->reader, read);
	b->free[b->n_free++] = read;
}

void backing_release(void *user, struct page_read *read)
{
	read_release(&((struct worker *)user)->backing, read->host);
}

static void reads_ready(struct worker *w, struct watch *watch, uint32_t events)
{
	struct backing *b = &w->backing;
	struct reader_read *done[REAP_BATCH];
	uint32_t k, n;

	(void)watch;
	(void)events;
	do {
		n = reader_reap(b->reader, done, REAP_BATCH);
		for (k = 0; k < n; k++) {
			struct page_read *read = done[k]->user;
			struct space *dead;

			read->record = done[k]->record;
			if (!read->record)
				read_release(b, done[k]);
			dead = space_read_done(&w->group, read);
			if (dead)
				client_end(w, dead->user);
		}
	} while (n == REAP_BATCH);
	w->served = true;
}

/* ---- the store's words ---------------------------------------------------------------------- */

static void on_room(void *user)
{
	writeback_call(user);
}

static void on_stopped(void *user, int error)
{
	struct worker *w = user;

	log_warn("the swap file cannot be written any more: %s; its pages stay where they are, and "
		 "no more are written",
		 strerror(error < 0 ? -error : error));
	atomic_store(&w->backing.broken, true);
	writeback_call(w);
}

/* ---- set-up --------------------------------------------------------------------------------- */

static int file_open(struct worker *w)
{
	const struct worker_options *o = w->o;
	const struct disk_file_options options = { .path = o->file_path, .dir = o->file_dir };
	struct disk_file *f = &w->backing.file;
	const struct timespec pause = { 0, IN_USE_PAUSE_NS };
	uint32_t tries = IN_USE_TRIES;
	int r;

	/* the kernel lets go of what a killed daemon had open in its own time */
	while ((r = disk_file_open(f, &options)) == FILE_E_IN_USE && tries--)
		nanosleep(&pause, NULL);
	if (r)
		log_warn("the swap file %s%s cannot be used: %s", o->file_path ? "" : "in ",
			 o->file_path ? o->file_path : o->file_dir,
			 r > 0 ? disk_file_reason(r) : strerror(-r));
	else if (f->direct_errno)
		log_info(
			"the swap file goes through the page cache: O_DIRECT is refused there (%s)",
			strerror(f->direct_errno));
	if (!r && f->uring_errno)
		log_info("the swap file is used without io_uring (%s)", strerror(f->uring_errno));
	return r ? WORKER_E_SAID : 0;
}

static int reads_init(struct backing *b, uint32_t buf_bytes)
{
	uint32_t k;

	b->reads = calloc(READS_MAX, sizeof(*b->reads));
	b->free = calloc(READS_MAX, sizeof(struct reader_read *));
	if (!b->reads || !b->free)
		return err_origin(-ENOMEM);
	for (k = 0; k < READS_MAX; k++)
		b->free[b->n_free++] = &b->reads[k];
	b->read_bytes = (uint64_t)READER_BUFS * buf_bytes;
	return reader_new(&b->reader, &b->file.disk, buf_bytes);
}

/* Before the first app: the store cannot be given a file later. */
int backing_open(struct worker *w)
{
	struct backing *b = &w->backing;
	uint64_t limit = w->o->limit_bytes ? w->o->limit_bytes : w->o->resident_bytes;
	struct swap_file_options options = {
		.max_bytes = w->o->file_bytes,
		.n_bufs = limit && limit < SMALL_LIMIT_BYTES ? 4 : 8,
		.encrypt = w->o->encrypt,
		.on_work = store_bell_ring,
	};
	struct store_options store = {
		.swap = w->swap,
		.disk = &b->file.disk,
		.user = w,
		.on_room = on_room,
		.on_stopped = on_stopped,
	};
	int r;

	if (!w->o->file_path && !w->o->file_bytes)
		return 0;
	r = file_open(w);
	if (r)
		return r;
	if (!options.max_bytes || (b->file.n_bytes && b->file.n_bytes < options.max_bytes))
		options.max_bytes = b->file.n_bytes;
	r = store_bell_new(&b->bell);
	options.user = b->bell;
	if (!r)
		r = swap_file_attach(w->swap, &options);
	if (!r)
		r = reads_init(b, limit && limit < LARGE_LIMIT_BYTES ? READER_MIN_BUF_BYTES
								     : 2 * READER_MIN_BUF_BYTES);
	if (!r)
		r = store_new(&b->store, &store, b->bell);
	if (!r)
		r = store_start(b->store);
	if (r) {
		log_warn("the swap file cannot be used: %s", strerror(r < 0 ? -r : EINVAL));
		return WORKER_E_SAID;
	}
	b->max_bytes = options.max_bytes;
	b->watch = (struct watch){ reader_fd(b->reader), reads_ready };
	r = watch_add(w, &b->watch, EPOLLIN);
	if (r) {
		log_warn("the swap file cannot be used: %s", strerror(-r));
		return WORKER_E_SAID;
	}
	b->is_open = true;
	return 0;
}

void backing_retire(struct worker *w)
{
	if (w->backing.retiring)
		return;
	w->backing.retiring = true;
	store_retire(w->backing.store);
}

bool backing_is_retired(struct worker *w, int *ret_errno)
{
	struct swap_file_stats f;

	swap_file_stats_get(w->swap, &f);
	*ret_errno = f.n_stuck ? EIO : 0;
	return f.n_live == f.n_stuck;
}

/* pre: no load is under way, writeback has ended. */
void backing_close(struct worker *w)
{
	struct backing *b = &w->backing;

	b->store = store_free(b->store);
	b->reader = reader_free(b->reader);
	free(b->reads);
	free(b->free);
}

/* pre: the swap is gone. */
void backing_forget(struct worker *w)
{
	store_bell_free(w->backing.bell);
	disk_file_close(&w->backing.file);
}
