/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-data - pages like those of a heap, which lz4 compresses about three times one by one
 *
 * A page is 64 records of 64 bytes. Record 0 is the header (page, version, tag), the others come
 * from a bank of records that look like small objects: reference count, type pointer, pointer,
 * length, hash, text. A page's content follows from (page, version) alone, so it can be
 * verified to the last byte without a copy of it.
 *
 * Ownership: one bank per process, filled by data_init().
 * Threads:   any after data_init(); pages are the caller's.
 */
#ifndef USWAP_BENCH_DATA_H
#define USWAP_BENCH_DATA_H

#include <stdbool.h>
#include <stdint.h>

enum {
	BENCH_PAGE_BYTES = 4096,
	BENCH_RECORD_BYTES = 64,
	BENCH_PAGE_RECORDS = BENCH_PAGE_BYTES / BENCH_RECORD_BYTES,
	BENCH_BANK_RECORDS = 2048,
};

/* One page as the benchmark sees it: which it is and how often it was written after the fill. */
struct page_ref {
	uint64_t idx;
	uint32_t version;
};

void data_init(uint64_t seed);

void data_page_fill(void *page, uint64_t page_idx);	     /* post: version 0 */
void data_page_update(void *page, struct page_ref ref);	     /* pre: has ref.version - 1 */
bool data_page_check(const void *page, struct page_ref ref); /* header only: cheap */
/* Return: -1, or the offset of the first wrong byte. */
int data_page_verify(const void *page, struct page_ref ref);

/* splitmix64: the next number of the stream whose state is @state. */
static inline uint64_t rand_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0 .. @n - 1 by multiplication: no division, and the bias is far below what is measured. */
static inline uint64_t rand_below(uint64_t *state, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rand_next(state) * n) >> 64);
}

#endif
