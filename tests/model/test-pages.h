/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-pages - pages made from a seed, and a generator that replays
 *
 * A page's content follows from its seed alone, so a shadow copy is eight bytes. The low bits of the
 * seed choose the kind: same-filled, text-like (compresses three times), noisy, incompressible.
 */
#ifndef USWAP_TEST_PAGES_H
#define USWAP_TEST_PAGES_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/swap.h"

struct rng {
	uint64_t v;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->v += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) % n);
}

/* From USWAP_TEST_SEED, else from the clock; printed, so that a failure can be played again. */
static inline uint64_t test_seed(void)
{
	const char *text = getenv("USWAP_TEST_SEED");
	struct timespec ts;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &ts);
	seed = text ? strtoull(text, NULL, 0)
		    : (uint64_t)ts.tv_sec * 1000003 + (uint64_t)ts.tv_nsec;
	printf("seed: USWAP_TEST_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

static inline uint64_t test_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static inline void page_make(uint64_t seed, uint8_t *page)
{
	struct rng r = { seed };
	uint64_t word = rng_next(&r), *w = (uint64_t *)(void *)page;
	uint32_t kind = (uint32_t)(seed % 16), i, n;

	if (kind == 0 || kind == 1) {
		if (kind == 0)
			word = 0;
		for (i = 0; i < PAGE_BYTES / 8; i++)
			w[i] = word;
	} else if (kind == 2) {
		for (i = 0; i < PAGE_BYTES / 8; i++)
			w[i] = rng_next(&r);
	} else if (kind < 6) { /* half noise */
		n = 200 + rng_below(&r, 150);
		for (i = 0; i < PAGE_BYTES / 8; i++)
			w[i] = i < n ? rng_next(&r) : word;
	} else { /* runs of words from a small set, as a heap has */
		for (i = 0; i < PAGE_BYTES / 8; i++) {
			uint64_t v = rng_next(&r);

			w[i] = v % 3 ? (word & ~UINT64_C(0xff)) | v % 23 : (v >> 8 & 0xffff) + word;
		}
	}
}

/* A byte changed in the middle of a page is the least a program can do. */
static inline bool page_is(const uint8_t *page, uint64_t seed)
{
	uint8_t want[PAGE_BYTES] __attribute__((aligned(8)));

	page_make(seed, want);
	return memcmp(page, want, PAGE_BYTES) == 0;
}

#endif
