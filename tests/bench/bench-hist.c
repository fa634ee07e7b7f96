/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-hist - see bench-hist.h
 */
#include "bench-hist.h"

#include <stdio.h>

void hist_merge(struct hist *into, const struct hist *from)
{
	into->n += from->n;
	into->sum_ns += from->sum_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

/* Middle of a bucket: the inverse of hist_bucket(). */
static double bucket_mid_ns(uint32_t idx)
{
	uint32_t group = idx >> HIST_SUB_BITS;
	uint32_t sub = idx & ((1u << HIST_SUB_BITS) - 1);

	if (group == 0)
		return idx;
	return ((double)((1u << HIST_SUB_BITS) + sub) + 0.5) * (double)(1ull << (group - 1));
}

uint64_t hist_count_above(const struct hist *h, uint64_t ns)
{
	uint64_t n = 0;

	for (uint32_t i = hist_bucket(ns); i < HIST_BUCKETS; i++)
		n += h->bucket[i];
	return n;
}

double hist_pct_us(const struct hist *h, double pct, uint64_t above_ns)
{
	uint32_t first = above_ns ? hist_bucket(above_ns) : 0;
	uint64_t n = hist_count_above(h, above_ns);
	uint64_t rank = (uint64_t)((double)n * pct / 100.0);
	uint64_t seen = 0;

	if (n == 0)
		return 0;
	for (uint32_t i = first; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > rank)
			return bucket_mid_ns(i) / 1e3;
	}
	return (double)h->max_ns / 1e3;
}

void hist_print_json(const struct hist *h)
{
	printf("\"mean_us\":%.3f,\"p50_us\":%.3f,\"p90_us\":%.3f,\"p99_us\":%.3f,\"max_us\":%.1f,",
	       h->n ? (double)h->sum_ns / (double)h->n / 1e3 : 0.0, hist_pct_us(h, 50, 0),
	       hist_pct_us(h, 90, 0), hist_pct_us(h, 99, 0), (double)h->max_ns / 1e3);
	printf("\"n_slow\":%llu,\"slow_p50_us\":%.3f,\"slow_p99_us\":%.3f",
	       (unsigned long long)hist_count_above(h, HIST_SLOW_NS),
	       hist_pct_us(h, 50, HIST_SLOW_NS), hist_pct_us(h, 99, HIST_SLOW_NS));
}
