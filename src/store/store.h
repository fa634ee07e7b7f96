/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store - the thread that writes, cleans and punches the swap file
 *
 * It takes full segments from the swap and has several in flight, tries failed ones elsewhere, puts
 * back into the pool what cannot be written, and says once when it has to stop. When nothing waits it
 * cleans segments that are mostly dead, if free ones are scarce, and gives room back.
 *
 * Ownership: the store borrows swap and disk; both outlive it.
 * Threads:   store_step() and what it calls: one thread, store_start()'s or a test's. The rest: any.
 */
#ifndef USWAP_STORE_STORE_H
#define USWAP_STORE_STORE_H

#include "core/swap-file.h"
#include "store/disk.h"

struct store;

struct store_options {
	struct swap
		*swap; /* swap_file_attach() was called with store_on_work and the store's kick */
	struct disk *disk;
	uint32_t n_writes;     /* segments in flight; 0: 4 */
	uint32_t clean_at_pct; /* clean when fewer segments than this are free; 0: 20 */
	void *user;
	void (*on_room)(void *user); /* a buffer became free: writeback can go on. May be NULL */
	/* Writes have stopped for good; once. @error: of the last write. May be NULL */
	void (*on_stopped)(void *user, int error);
};

/*
 * What wakes the store. Made first: swap_file_attach() wants it, and the store wants the swap.
 * Give store_kick and the pointer to swap_file_options as on_work and user.
 */
struct store_bell;
int store_bell_new(struct store_bell **ret_bell);
struct store_bell *store_bell_free(struct store_bell *bell);
void store_kick(void *bell); /* async-safe, never blocks */

int store_new(struct store **ret_store, const struct store_options *options,
	      struct store_bell *bell);
int store_start(struct store *st);	    /* a thread of its own */
struct store *store_free(struct store *st); /* ends the thread; waits for what is in flight */

/* One round without waiting. Return: true: something was done, call again. For tests. */
bool store_step(struct store *st);

void store_retire(struct store *st); /* empty the file into the pool; see swap_file_retire() */

struct store_stats {
	uint64_t n_written_bytes; /* to the disk, all of it */
	uint64_t n_segments_written;
	uint64_t n_write_errors; /* tries that failed */
	uint64_t n_disk_full;	 /* of these: ENOSPC */
	uint64_t n_cleaned;	 /* segments read to be cleaned */
	uint64_t n_cleaned_pages;
	uint64_t n_read_bytes; /* by the cleaner */
	uint64_t n_punched_bytes;
	bool is_stopped;
};
void store_stats_get(struct store *st, struct store_stats *ret);

#endif
