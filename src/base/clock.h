/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock - the time that never goes back
 *
 * One of the four sources of nondeterminism: a simulator puts its own time behind it.
 * Threads: any; clock_source_set() before there are others.
 */
#ifndef USWAP_BASE_CLOCK_H
#define USWAP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

uint64_t clock_now_ns(void);
/* @ns from now on CLOCK_MONOTONIC, whatever the source: for who waits for a condition. */
struct timespec clock_deadline(uint64_t ns);

typedef uint64_t clock_fn(void *user);
void clock_source_set(clock_fn *fn, void *user); /* NULL: CLOCK_MONOTONIC again */

#endif
