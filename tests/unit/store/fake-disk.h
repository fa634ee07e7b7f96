/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-disk - a disk in memory that does what it is told: fail, be slow, be full, lie
 *
 * Requests end in any order, some steps after they were submitted. Threads: one.
 */
#ifndef USWAP_TEST_FAKE_DISK_H
#define USWAP_TEST_FAKE_DISK_H

#include "store/disk.h"
#include "test-pages.h"

enum { FAKE_BLOCK = 512 };

struct fake_disk {
	struct disk disk; /* first */
	uint8_t *bytes;
	uint64_t n_bytes;
	uint8_t *has_room; /* per block: taken */
	uint64_t n_taken;  /* blocks */
	struct rng rng;
	/* Orders: */
	uint64_t room_bytes;	   /* the disk is full when this much is taken; 0: never */
	uint64_t fail_write_at;	   /* number of the write that fails; 0: none */
	uint64_t fail_writes_from; /* this one and all after it; 0: none */
	uint64_t lose_write_at;	   /* this one is said to be done, and is not */
	uint64_t fail_read_at;
	int error;		   /* what they fail with */
	uint64_t bad_from, bad_to; /* reads that touch these bytes fail with EIO */
	uint64_t end;		   /* reads end here, as in a file that was cut; 0: no */
	uint32_t latency;	   /* most reaps a request lasts */
	uint32_t short_one_in;	   /* requests that come back short; 0: none */
	uint32_t again_one_in;	   /* requests that are interrupted; 0: none */
	int punch_error;
	/* What happened: */
	uint64_t n_writes;
	uint64_t n_reads;
	uint64_t n_punches;
};

void fake_disk_init(struct fake_disk *d, uint64_t n_bytes, uint64_t seed);
void fake_disk_deinit(struct fake_disk *d);

#endif
