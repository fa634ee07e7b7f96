/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-phase - the memory workloads: each touches the working set in its own order
 *
 * Every phase verifies what it reads against the version table, so a lost, stale or exchanged
 * page ends the run. The table lies in shared memory that is locked where permitted: it is
 * neither the working set nor managed by uswap.
 *
 * Ownership: work_init() maps, work_deinit() unmaps.
 * Threads:   one caller; a phase with several threads ends them before it returns.
 */
#ifndef USWAP_BENCH_PHASE_H
#define USWAP_BENCH_PHASE_H

#include <stdint.h>

#include "bench-hist.h"

struct work {
	char *pages;
	uint64_t n_pages;
	uint32_t *version; /* of each page: how often it was written after the fill */
	uint64_t n_ops;	   /* of a random phase */
	uint64_t max_ns;   /* a phase in random order ends after this time */
	uint32_t n_passes; /* of a scan */
	uint32_t n_threads;
	uint64_t seed;
};

struct phase_result {
	struct hist latency;
	uint64_t elapsed_ns;
	uint64_t n_ops;
};

int work_init(struct work *w); /* pre: n_pages set. Return: 0; negative errno */
void work_deinit(struct work *w);

enum {
	PHASE_E_UNKNOWN = 1,
	PHASE_E_WRONG, /* a page did not have the expected content; a message was printed */
};

/* Return: 0; PHASE_E_UNKNOWN; PHASE_E_WRONG; negative errno. */
int phase_run(struct work *w, const char *name, struct phase_result *ret_result);

#define PHASE_DEFAULT_LIST \
	"fill,read-uniform,read-zipf,scan,read-threads,write-uniform,write-zipf,verify"

#endif
