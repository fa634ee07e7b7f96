/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-data - see bench-data.h
 *
 * The bank (128 KiB) stays in the processor's cache, so that making a page costs a fraction of a
 * microsecond: what the benchmark measures is paging, not its own generator. Each record occurs
 * at most once or twice in a page, so what compresses is what compresses in a real heap: repeated
 * type pointers, small numbers, common upper halves of addresses, words.
 */
#include "bench-data.h"

#include <stdio.h>
#include <string.h>

struct record {
	uint64_t n_refs;
	uint64_t type;
	uint64_t next;
	uint64_t len;
	uint64_t hash;
	char text[24];
};

struct header {
	uint64_t page_idx;
	uint64_t version;
	uint64_t tag;
	uint64_t zero[5];
};

_Static_assert(sizeof(struct record) == BENCH_RECORD_BYTES, "record fills its place");
_Static_assert(sizeof(struct header) == BENCH_RECORD_BYTES, "header fills its place");

static struct record bank[BENCH_BANK_RECORDS];

static const char *const words[] = {
	"name", "value", "index", "count",   "request", "session", "user",   "address",
	"time", "state", "error", "message", "content", "length",  "header", "default",
};

static void record_make(struct record *r, uint64_t *state)
{
	uint64_t n_words = sizeof(words) / sizeof(words[0]);
	const char *first = words[rand_below(state, n_words)];
	const char *second = words[rand_below(state, n_words)];

	memset(r, 0, sizeof(*r));
	r->n_refs = 1 + rand_below(state, 2);
	r->type = 0x0000558a4c2e1000u + 0x1a0 * rand_below(state, 4);
	r->next = 0x00007f3a90000000u + 64 * rand_below(state, 1u << 14);
	r->len = rand_below(state, 8);
	if (rand_below(state, 6) == 0)
		r->hash = rand_next(state) >> 16;
	if (rand_below(state, 8) == 0)
		snprintf(r->text, sizeof(r->text), "%s_%s%u", first, second,
			 (unsigned int)rand_below(state, 100));
	else
		snprintf(r->text, sizeof(r->text), "%s", first);
}

void data_init(uint64_t seed)
{
	for (uint32_t i = 0; i < BENCH_BANK_RECORDS; i++)
		record_make(&bank[i], &seed);
}

static uint64_t ref_tag(struct page_ref ref)
{
	uint64_t state = ref.idx * 0x2545f4914f6cdd1du + ref.version;

	return rand_next(&state);
}

static void header_write(void *page, struct page_ref ref)
{
	struct header h = { .page_idx = ref.idx, .version = ref.version, .tag = ref_tag(ref) };

	memcpy(page, &h, sizeof(h));
}

static void record_put(void *page, uint32_t at, uint64_t bank_idx)
{
	memcpy((char *)page + (size_t)at * BENCH_RECORD_BYTES, &bank[bank_idx], BENCH_RECORD_BYTES);
}

void data_page_fill(void *page, uint64_t page_idx)
{
	struct page_ref ref = { .idx = page_idx };
	uint64_t state = ref_tag(ref);

	header_write(page, ref);
	for (uint32_t i = 1; i < BENCH_PAGE_RECORDS; i++)
		record_put(page, i, rand_below(&state, BENCH_BANK_RECORDS));
}

void data_page_update(void *page, struct page_ref ref)
{
	uint64_t tag = ref_tag(ref);

	header_write(page, ref);
	record_put(page, (uint32_t)(1 + tag % (BENCH_PAGE_RECORDS - 1)),
		   (tag >> 32) % BENCH_BANK_RECORDS);
}

bool data_page_check(const void *page, struct page_ref ref)
{
	const struct header *h = page;

	return h->page_idx == ref.idx && h->version == ref.version && h->tag == ref_tag(ref);
}

int data_page_verify(const void *page, struct page_ref ref)
{
	const unsigned char *got = page;
	unsigned char want[BENCH_PAGE_BYTES];

	data_page_fill(want, ref.idx);
	for (uint32_t v = 1; v <= ref.version; v++)
		data_page_update(want, (struct page_ref){ .idx = ref.idx, .version = v });
	if (!memcmp(got, want, sizeof(want)))
		return -1;
	for (int i = 0; i < BENCH_PAGE_BYTES; i++)
		if (got[i] != want[i])
			return i;
	return -1;
}
