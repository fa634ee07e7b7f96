/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy - what of the compressed pages goes to the file, when, and how fast
 *
 * A policy is asked about twenty times a second, and answers with two marks for the pool, an order
 * and a speed. It never sees a page: which pages can leave safely is the store's business, so a
 * policy can make programs slow and the file large, but never a byte wrong.
 *
 * Writeback begins when the pool is above the high mark and ends at the low one; and where nothing can
 * leave the programs any more and there is no room, what is short goes, whatever the marks are. Bounds that
 * the user gives (--limit, --write-rate, --write-day, --pool) hold whatever a policy answers.
 *
 * Threads: choose() is called by one thread at a time; it must not block. It keeps no state but its own.
 */
#ifndef USWAP_POLICY_H
#define USWAP_POLICY_H

#include <stdint.h>

#define USWAP_POLICY_NEVER UINT64_MAX

enum uswap_policy_order {
	USWAP_ORDER_LRU,  /* coldest first; each is passed over once after it was stored */
	USWAP_ORDER_FIFO, /* in the order they were stored */
	USWAP_ORDER_SIZE, /* among the coldest, what compressed badly first */
};

/* Sizes are bytes. Rates are of the last second or so. */
struct uswap_policy_view {
	uint64_t now_ns;
	uint64_t limit_bytes;	 /* resident + pool + metadata; UINT64_MAX: none */
	uint64_t pool_max_bytes; /* --pool; UINT64_MAX: none */
	uint64_t resident_bytes;
	uint64_t pool_bytes;
	uint64_t meta_bytes; /* tables and buffers */
	uint64_t file_bytes; /* compressed pages on file */
	uint64_t file_max_bytes;
	double ratio;		 /* stored bytes per byte evicted, recently; 1: incompressible */
	double pool_loads_per_s; /* faults answered from memory */
	double file_loads_per_s; /* faults that had to be read */
	uint64_t pool_load_ns;	 /* median time that such a fault took */
	uint64_t file_load_ns;
	uint64_t last_high_bytes; /* the last answer; 0: none yet */
};

struct uswap_policy_choice {
	uint64_t high_bytes;  /* of the pool; USWAP_POLICY_NEVER: nothing is written */
	uint64_t low_bytes;   /* at most high_bytes */
	uint64_t bytes_per_s; /* of compressed pages; 0: as fast as the disk takes them */
	enum uswap_policy_order order;
};

struct uswap_policy {
	const char *name;
	const char *about; /* one line */
	void (*choose)(const struct uswap_policy_view *view, struct uswap_policy_choice *ret);
};

#endif
