/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reader - reads records for one thread that never blocks
 *
 * The thread that serves faults submits what it needs, sleeps on the descriptor with everything else,
 * and reaps. Neighbours that are submitted together become one read; what fails is read once more,
 * each record alone, so that one bad sector costs one page. A record is lent until reader_release():
 * it lies in the reader's own memory.
 *
 * A sleep in epoll_wait() may end with EINTR when a read is done: that is io_uring running what
 * waits for the thread.
 *
 * Ownership: a read belongs to the reader from reader_submit() until reader_release().
 * Threads:   one.
 * Invariant: at most READER_BUFS I/Os at once, and one that is read again though all buffers are lent;
 *            reads never wait for a write of the store.
 */
#ifndef USWAP_STORE_READER_H
#define USWAP_STORE_READER_H

#include "core/swap-file.h"
#include "store/disk.h"

enum {
	READER_BUFS = 64,
	READER_MIN_BUF_BYTES = 16 << 10, /* a record may begin and end in blocks of others */
};

struct reader;
struct reader_buf;

/* One record. Embedded in whatever waits for it. */
struct reader_read {
	struct swap_extent extent; /* in */
	void *user;		   /* in */
	const void *record;	   /* out; NULL: it could not be read */
	struct reader_buf *buf;	   /* the reader's */
	struct reader_read *next;  /* the reader's */
	bool is_again;		   /* the reader's: it failed once */
};

struct reader_stats {
	uint64_t n_reads; /* records */
	uint64_t n_ios;
	uint64_t n_bytes;
	uint64_t n_errors; /* I/Os */
};

/* @buf_bytes: one I/O at most, READER_MIN_BUF_BYTES or more; multiple of that. */
int reader_new(struct reader **ret_reader, struct disk *disk, uint32_t buf_bytes);
/* Waits for what flies; what was not reaped is forgotten. Return: NULL */
struct reader *reader_free(struct reader *r);

/*
 * Take reads, in ascending order of offset for the best result. Never fails. They begin with the next
 * flush or reap at the latest.
 * Return: how many of @n were taken; the others when some have been released.
 */
uint32_t reader_submit(struct reader *r, struct reader_read *const *reads, uint32_t n);
void reader_flush(struct reader *r); /* begin what was taken, all of it in one call */
/* Readable when reader_reap() has something; but reap until it returns less than @n_max. */
int reader_fd(const struct reader *r);
uint32_t reader_reap(struct reader *r, struct reader_read **ret_reads, uint32_t n_max);
/* The same, but waits for a read if none has ended: for who has nothing else to do. pre: one flies */
uint32_t reader_reap_wait(struct reader *r, struct reader_read **ret_reads, uint32_t n_max);
void reader_release(struct reader *r, struct reader_read *read);
uint32_t reader_n_held(const struct reader *r); /* submitted and not released */
void reader_stats_get(const struct reader *r, struct reader_stats *ret);

#endif
