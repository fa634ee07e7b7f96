/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-file - the part of the store that lies in a file: what may go there, how it comes back
 *
 * Here is decided what lies where; nothing here does I/O. Whoever has the disk (src/store) takes
 * segments to write, reports how it went, reads what is asked for and gives it back to be checked.
 *
 * Life of a page on file:
 *   swap_writeback (pool -> buffer of a segment)  ->  swap_file_write_begin .. end (on disk)
 *   -> swap_load says SWAP_E_ON_FILE -> swap_file_extent, read -> swap_load_bytes -> swap_load_end
 *
 * A write that fails is tried at other places of the file, then its pages go back to the pool; the
 * buffer is theirs until the last one has left. So nothing is lost by a write that fails.
 *
 * Ownership: the swap owns segments and their buffers; a job lends them to the caller.
 * Threads:   any. on_work() runs without a lock.
 * Invariant: as of swap.h. Bytes from a disk are used only if their seal says that they are what was
 *            written for this place by this write, and the page has the hash that swap_put() took.
 */
#ifndef USWAP_CORE_SWAP_FILE_H
#define USWAP_CORE_SWAP_FILE_H

#include "core/swap.h"

struct swap_file_options {
	uint64_t max_bytes;	/* of the file; whole segments of it are used */
	uint32_t segment_bytes; /* power of two, 16 KiB to 1 MiB; 0: 256 KiB */
	uint32_t n_bufs;	/* segments that can be in memory at once; 0: 8 */
	bool encrypt;
	void *user;
	/*
	 * There is a segment to write, or one to empty (swap_file_rehome()). Any thread, no lock
	 * held, must not block. The same may be told more than once.
	 */
	void (*on_work)(void *user);
};

/* Give @s a file. Once, before its first app. Return: 0, or a negative errno. */
int swap_file_attach(struct swap *s, const struct swap_file_options *options);
uint32_t swap_file_segment_bytes(struct swap *s);
/* All buffers: one range of memory, page aligned, that never moves. To be registered for I/O. */
void *swap_file_buffers(struct swap *s, size_t *ret_bytes);

/* ---- writeback ------------------------------------------------------------------------------ */

enum swap_writeback_order {
	SWAP_WRITEBACK_LRU,  /* coldest first, each passed over once */
	SWAP_WRITEBACK_FIFO, /* coldest first */
	SWAP_WRITEBACK_SIZE, /* what compressed badly first, among the coldest */
};

/*
 * Move up to @n_pages of @app from the pool into the file's buffers.
 * Return: 0: done, or nothing left to move; SWAP_E_WARM: met a load, end the sweep; SWAP_E_FULL:
 * all buffers wait for the disk; SWAP_E_GONE: the file is full, stopped, or there is none.
 * *ret_n: pages moved, in every case.
 */
int swap_writeback(struct swap_app *app, enum swap_writeback_order order, uint32_t n_pages,
		   uint32_t *ret_n);

/* ---- loads ---------------------------------------------------------------------------------- */

/* A record in the file. Neighbours in a segment may be read in one go. */
struct swap_extent {
	uint64_t offset;  /* in the file; multiple of 16 */
	uint32_t n_bytes; /* multiple of 16; never crosses a segment */
};

/* pre: swap_load() said SWAP_E_ON_FILE, and the pin is still held: it keeps the bytes there. */
void swap_file_extent(struct swap *s, struct slot_id id, struct swap_extent *ret_extent);
/*
 * True, with the extent, if the page has to be read; else swap_load() has it in memory, or it is lost.
 * The answer stays true under the pin; the other one may become old. pre: pinned with SWAP_PIN_LOAD.
 */
bool swap_file_needs_read(struct swap *s, struct slot_id id, struct swap_extent *ret_extent);
/*
 * What swap_load() does, with the bytes of the extent as they were read.
 * pre: as swap_file_extent(). Return: 0; SWAP_E_LOST.
 */
int swap_load_bytes(struct swap *s, struct slot_id id, const void *record, void *dst,
		    struct codec_ctx *ctx, struct swap_use *ret_use);
/* The same ahead of the load, whose owner then says what became of it; any thread. Counts nothing. */
int swap_load_ahead(struct swap *s, struct slot_id id, const void *record, void *dst,
		    struct codec_ctx *ctx, struct swap_use *ret_use);
/* Count a page that was read: @r is what swap_load_ahead() returned; SWAP_E_LOST: it could not be read. */
void swap_load_count(struct swap *s, struct slot_id id, int r);

/* ---- for who has the disk ------------------------------------------------------------------- */

/* A segment: all of its bytes at their place in the file. */
struct swap_file_job {
	uint32_t segment;
	uint32_t n_bytes;
	uint64_t offset;
	void *bytes; /* the buffer to write from; NULL: a segment to read or punch */
};

enum swap_file_result {
	SWAP_FILE_OK,
	SWAP_FILE_BAD,	 /* this place cannot be written */
	SWAP_FILE_FULL,	 /* the disk is full */
	SWAP_FILE_BROKEN /* do not try again anywhere */
};

/* Return: 0 with a job to write, to be ended; SWAP_E_EMPTY: none waits. */
int swap_file_write_begin(struct swap *s, struct swap_file_job *ret_job);
/*
 * Return: true: it is to be written again elsewhere, or was; false: there is no place left, its
 * pages have to go back: swap_file_rehome().
 */
bool swap_file_write_end(struct swap *s, uint32_t segment, enum swap_file_result result);
/*
 * Move the pages of segments that cannot be written back into the pool. Pinned ones stay, so do all
 * while the pool is full: call again later. Return: pages that are still to be moved.
 */
uint32_t swap_file_rehome(struct swap *s, struct codec_ctx *ctx);

/*
 * A segment whose live records are worth moving together with others': at most @max_live_pct of it
 * is live. When retiring: any. To be read, then given to swap_file_clean().
 * Return: 0 with a job; SWAP_E_EMPTY.
 */
int swap_file_clean_begin(struct swap *s, uint32_t max_live_pct, struct swap_file_job *ret_job);
/*
 * Move what is valid in it: into another segment, or when retiring into the pool. @bytes: all of the
 * segment as it was read, may be changed; NULL: it could not be read. Ends the job.
 * Return: records that have left it: moved, or copies that are not worth it.
 */
uint32_t swap_file_clean(struct swap *s, const struct swap_file_job *job, void *bytes,
			 struct codec_ctx *ctx);

/*
 * A free segment that takes room in the file, but for @n_keep that are used again soon.
 * Return: 0 with a job to punch; SWAP_E_EMPTY.
 */
int swap_file_punch_begin(struct swap *s, uint32_t n_keep, struct swap_file_job *ret_job);
void swap_file_punch_end(struct swap *s, uint32_t segment, bool done);

void swap_file_flush(struct swap *s);	 /* write what is in open segments as well */
void swap_file_may_grow(struct swap *s); /* after SWAP_FILE_FULL: try again to use more room */
void swap_file_stop(struct swap *s);	 /* nothing is written from now on; what is there stays */
/*
 * The file has to become empty while programs run, as swapoff does: swap_file_rehome() and
 * swap_file_clean() then move everything into the pool. Done when stats say n_live == n_stuck.
 */
void swap_file_retire(struct swap *s);
/* Free clean copies of @app that lie in the file, oldest first. Return: bytes of it. */
uint64_t swap_file_drop_kept(struct swap_app *app, uint64_t n_bytes);

struct swap_file_stats {
	uint32_t n_segments; /* the file may have */
	uint32_t n_used;     /* have records */
	uint32_t n_free;     /* can be opened now or after a punch */
	uint32_t n_waiting;  /* full, or being written */
	uint32_t n_failed;   /* to be emptied into the pool */
	uint32_t n_bad;	     /* never used again */
	uint32_t n_bufs_free;
	uint64_t n_live;     /* records */
	uint64_t n_stuck;    /* of them: retiring has found that they cannot be read */
	uint64_t live_bytes; /* of them, in the file */
	uint64_t
		room_bytes; /* of the file that is taken: records dead and live, free but not punched */
	uint64_t buf_bytes;  /* memory of buffers */
	uint64_t meta_bytes; /* memory of the table */
};
void swap_file_stats_get(struct swap *s, struct swap_file_stats *ret);

#endif
