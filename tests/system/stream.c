/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream - passes over memory, up and down, that change one word of every eighth page
 *
 *	stream MIB PASSES
 *
 * What is read in streams may leave by a copy that was kept of it; a page that differs from its copy in one
 * word must not. Each word is compared in each pass. Exit status: 0; 1: a page is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pattern.h"

#define CHANGED_PART 8u

static void page_expect(uint64_t *p, uint64_t page_idx, uint64_t version)
{
	pattern_make(p, page_idx, 0);
	p[page_idx % PAGE_WORDS] += version;
}

static int page_check(const uint64_t *p, uint64_t page_idx, uint64_t version)
{
	uint64_t expected[PAGE_WORDS];

	page_expect(expected, page_idx, version);
	for (uint32_t i = 0; i < PAGE_WORDS; i++)
		if (p[i] != expected[i]) {
			fprintf(stderr,
				"stream: page %llu, word %u, version %llu: %016llx, not %016llx\n",
				(unsigned long long)page_idx, i, (unsigned long long)version,
				(unsigned long long)p[i], (unsigned long long)expected[i]);
			return 1;
		}
	return 0;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) * ((1u << 20) / PAGE) : 0;
	unsigned long n_passes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t *versions, sum = 0;
	uint64_t *memory;

	if (!n || !n_passes) {
		fputs("usage: stream MIB PASSES\n", stderr);
		return 2;
	}
	memory = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	versions = calloc(n, sizeof(*versions));
	if (memory == MAP_FAILED || !versions) {
		perror("stream");
		return 2;
	}
	for (size_t k = 0; k < n; k++)
		page_expect(memory + k * PAGE_WORDS, k, 0);
	for (unsigned long pass = 1; pass <= n_passes; pass++)
		for (size_t at = 0; at < n; at++) {
			size_t k = pass % 4 ? at : n - 1 - at;
			uint64_t *p = memory + k * PAGE_WORDS;

			if (page_check(p, k, versions[k]))
				return 1;
			if ((k + pass) % CHANGED_PART)
				continue;
			p[k % PAGE_WORDS]++;
			versions[k]++;
			sum += k;
		}
	printf("stream: %lu passes over %zu pages, %llu\n", n_passes, n, (unsigned long long)sum);
	return 0;
}
