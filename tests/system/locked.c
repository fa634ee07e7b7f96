/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * locked - memory that may not leave: mlockall() in the middle of a program that is being evicted
 *
 *     locked all MIB        everything, and what comes later: the limit cannot be held
 *     locked current MIB    a little is locked; what comes later is not
 *
 * Prints a digest of what it reads back.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define MIB_PAGES 256u
#define ATTACH_US 300000

struct block {
	uint64_t *words;
	size_t n_pages;
	uint64_t seed;
};

static uint64_t word_of(const struct block *b, size_t page, size_t i)
{
	return (b->seed + page) * 0x9e3779b97f4a7c15u >> (i % 8 * 8) & 0xff;
}

static struct block block_make(size_t mib, uint64_t seed)
{
	struct block b = { .n_pages = mib * MIB_PAGES, .seed = seed };
	size_t page, i;

	b.words = mmap(NULL, b.n_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	if (b.words == MAP_FAILED) {
		perror("locked: mmap");
		exit(1);
	}
	for (page = 0; page < b.n_pages; page++)
		for (i = 0; i < PAGE / sizeof(uint64_t); i++)
			b.words[page * (PAGE / sizeof(uint64_t)) + i] = word_of(&b, page, i);
	return b;
}

static uint64_t block_verify(const struct block *b)
{
	uint64_t sum = 0;
	size_t page, i;

	for (page = 0; page < b->n_pages; page++)
		for (i = 0; i < PAGE / sizeof(uint64_t); i++) {
			uint64_t w = b->words[page * (PAGE / sizeof(uint64_t)) + i];

			if (w != word_of(b, page, i)) {
				fprintf(stderr, "locked: WRONG DATA in page %zu\n", page);
				exit(1);
			}
			sum = sum * 31 + w;
		}
	return sum;
}

static void lock_all(int flags)
{
	if (mlockall(flags)) {
		perror("locked: mlockall");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	size_t mib = argc == 3 ? (size_t)atol(argv[2]) : 0;
	bool all = argc == 3 && !strcmp(argv[1], "all");
	struct block a, b, c;

	if (!mib) {
		fprintf(stderr, "usage: locked all|current MIB\n");
		return 2;
	}
	a = block_make(all ? mib : 8, 1);
	usleep(ATTACH_US);
	lock_all(all ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT);
	b = block_make(all ? mib / 4 : mib, 2);
	printf("%016lx\n", block_verify(&a) ^ block_verify(&b));
	munlockall();
	c = block_make(mib, 3);
	printf("%016lx\n", block_verify(&a) ^ block_verify(&b) ^ block_verify(&c));
	return 0;
}
