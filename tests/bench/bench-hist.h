/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-hist - latencies counted in buckets 3 % wide
 *
 * 32 buckets per power of two of nanoseconds, so recording costs a few instructions and no
 * memory that grows (a growing array of samples would itself be paged).
 *
 * Threads: one thread records; merge when it has ended.
 */
#ifndef USWAP_BENCH_HIST_H
#define USWAP_BENCH_HIST_H

#include <stdint.h>
#include <time.h>

enum {
	HIST_SUB_BITS = 5,
	HIST_BUCKETS = 40 << HIST_SUB_BITS,
	HIST_SLOW_NS = 2000, /* an access slower than this had to wait for its page */
};

struct hist {
	uint64_t n;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t bucket[HIST_BUCKETS];
};

static inline uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint32_t hist_bucket(uint64_t ns)
{
	uint32_t shift;

	if (ns < (1u << HIST_SUB_BITS))
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - HIST_SUB_BITS;
	ns = ((uint64_t)(shift + 1) << HIST_SUB_BITS) + (ns >> shift) - (1u << HIST_SUB_BITS);
	return ns < HIST_BUCKETS ? (uint32_t)ns : HIST_BUCKETS - 1;
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	h->n++;
	h->sum_ns += ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
	h->bucket[hist_bucket(ns)]++;
}

void hist_merge(struct hist *into, const struct hist *from);
uint64_t hist_count_above(const struct hist *h, uint64_t ns);
/* The @pct percentile, in us, of the samples above @above_ns (0: of all); 0 if there is none. */
double hist_pct_us(const struct hist *h, double pct, uint64_t above_ns);
/* Prints `"mean_us":…,"p50_us":…` and so on, without braces. */
void hist_print_json(const struct hist *h);

#endif
