/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store - the thread that writes, cleans and punches the swap file
 *
 * It takes full segments from the swap and has several in flight, tries failed ones elsewhere, puts
 * back into the pool what cannot be written, and stops writing for good when the disk refuses
 * everywhere. On a full disk it goes on with the room there is. When nothing else waits it cleans
 * segments that are mostly dead, if free ones are scarce, and gives room back.
 *
 * Ownership: the store borrows bell, swap and disk; all outlive it.
 * Threads:   store_step(): one thread, store_start()'s or a test's. The rest: any.
 */
#ifndef USWAP_STORE_STORE_H
#define USWAP_STORE_STORE_H

#include "core/swap-file.h"
#include "store/disk.h"

enum { STORE_WRITES_MAX = 16 };

/*
 * What wakes the store. Made first: swap_file_attach() wants it, and the store wants the swap. Give
 * store_bell_ring and the bell to swap_file_options as on_work and user.
 */
struct store_bell;
int store_bell_new(struct store_bell **ret_bell);
struct store_bell *store_bell_free(struct store_bell *bell); /* Return: NULL */
void store_bell_ring(void *bell);			     /* any thread, never blocks */

struct store_options {
	struct swap *swap;
	struct disk *disk;
	uint32_t n_writes;     /* segments in flight; 0: 4 */
	uint32_t clean_at_pct; /* clean when less than this is free; 0: 20 */
	void *user;
	/* Buffers are free again: writeback can go on. The store's thread. May be NULL */
	void (*on_room)(void *user);
	/* Nothing is written any more, for good; once. The store's thread. May be NULL */
	void (*on_stopped)(void *user, int error);
};

struct store;

int store_new(struct store **ret_store, const struct store_options *options,
	      struct store_bell *bell);
int store_start(struct store *st); /* a thread of its own */
struct store *
store_free(struct store *st); /* ends the thread, waits for what flies. Return: NULL */

/* One round without waiting. Return: true: something was done, call again. */
bool store_step(struct store *st);
/* Empty the file into the pool; done when swap_file_stats say n_live == n_stuck. See swap_file_retire(). */
void store_retire(struct store *st);

struct store_stats {
	uint64_t written_bytes; /* all that went to the disk */
	uint64_t n_written;	/* segments */
	uint64_t n_write_errors;
	uint64_t n_disk_full; /* of these: no room */
	uint64_t n_cleaned;   /* segments read to be cleaned */
	uint64_t n_cleaned_pages;
	uint64_t n_clean_errors; /* segments that could not be read */
	uint64_t clean_read_bytes;
	uint64_t punched_bytes;
	int punch_errno;   /* room is not given back because of this; 0: it is */
	int stopped_errno; /* nothing is written any more because of this; 0: it is */
};
void store_stats_get(struct store *st, struct store_stats *ret);

#endif
