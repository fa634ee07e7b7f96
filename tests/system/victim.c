/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * victim - a program to which things are done from outside
 *
 *   victim MIB                      half of it target pages, half ballast; then obeys standard input:
 *     touch      go over the ballast until the target pages that can leave have left
 *     away       print how many target pages are not present
 *     check      compare every byte of the target: "right", or where it is wrong
 *     word N     print word 100 of target page N
 *     spin       touch and check for ever; exit 9 at the first wrong byte
 *     abort      die with a core
 *     breed      leave an orphan that nothing marks as ours: forked without the C library's knowledge,
 *                its parent dead, its environment overwritten; it compares page by page, slowly, and
 *                writes "wrong…" at the first wrong byte
 *     quit       exit 0
 *   victim --core FILE ADDR PAGES   compare the target pages in a core file
 */
#include "pattern.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SALT 4711u
#define N_ROUNDS 20u

static uint8_t *target, *ballast;
static uint32_t n_pages;

static bool pages_right(const uint8_t *at, uint32_t first, uint32_t n, uint32_t skip_word)
{
	uint64_t expected[PAGE_WORDS];

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *p = (const uint64_t *)(const void *)(at + (size_t)i * PAGE);

		pattern_make(expected, first + i, SALT);
		for (uint32_t k = 0; k < PAGE_WORDS; k++) {
			if (p[k] == expected[k] || k == skip_word)
				continue;
			printf("wrong: page %u word %u is %016lx, expected %016lx\n", first + i, k,
			       p[k], expected[k]);
			return false;
		}
	}
	return true;
}

static uint32_t away_count(void)
{
	unsigned char *present = malloc(n_pages);
	uint32_t n = 0;

	if (!present || mincore(target, (size_t)n_pages * PAGE, present))
		return 0;
	for (uint32_t i = 0; i < n_pages; i++)
		n += !(present[i] & 1);
	free(present);
	return n;
}

static void ballast_touch(void)
{
	for (uint32_t round = 0; round < N_ROUNDS && !away_count(); round++) {
		for (uint32_t i = 0; i < n_pages; i++)
			*(volatile uint64_t *)(void *)(ballast + (size_t)i * PAGE) += 1;
	}
}

/* ---- a core file ---------------------------------------------------------------------------- */

static int core_check(const char *path, uint64_t addr, uint32_t n)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Ehdr *head;
	const Elf64_Phdr *seg;
	struct stat st;
	uint32_t n_found = 0;

	if (fd < 0 || fstat(fd, &st)) {
		perror(path);
		return 2;
	}
	head = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (head == MAP_FAILED || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0) {
		fprintf(stderr, "%s is no core file\n", path);
		return 2;
	}
	seg = (const Elf64_Phdr *)(const void *)((const char *)head + head->e_phoff);
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t at = addr + (uint64_t)i * PAGE;

		for (uint32_t s = 0; s < head->e_phnum; s++) {
			if (seg[s].p_type != PT_LOAD || at < seg[s].p_vaddr ||
			    at + PAGE > seg[s].p_vaddr + seg[s].p_filesz)
				continue;
			if (!pages_right((const uint8_t *)head + seg[s].p_offset +
						 (at - seg[s].p_vaddr),
					 i, 1, PAGE_WORDS))
				return 1;
			n_found++;
			break;
		}
	}
	printf("core: %u of %u pages are there and right\n", n_found, n);
	return n_found == n ? 0 : 1;
}

/* ---- an orphan ------------------------------------------------------------------------------ */

static _Noreturn void orphan_run(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (char **text = environ; *text; text++)
		memset(*text, 0, strlen(*text));
	for (;;) {
		for (uint32_t i = 0; i < n_pages; i++) {
			if (!pages_right(target + (size_t)i * PAGE, i, 1, 100))
				_exit(9);
			nanosleep(&pause, NULL);
		}
	}
}

static void breed(void)
{
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!child) {
		if (!syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
			orphan_run();
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		printf("fork failed\n");
	else
		puts("bred");
}

/* ---- commands ------------------------------------------------------------------------------- */

static void command_run(const char *line)
{
	uint32_t n;

	if (!strcmp(line, "touch\n")) {
		ballast_touch();
		puts("touched");
	} else if (!strcmp(line, "away\n")) {
		printf("away %u\n", away_count());
	} else if (!strcmp(line, "check\n")) {
		if (pages_right(target, 0, n_pages, 100))
			puts("right");
	} else if (sscanf(line, "word %u", &n) == 1 && n < n_pages) {
		printf("word %lx\n", ((uint64_t *)(void *)(target + (size_t)n * PAGE))[100]);
	} else if (!strcmp(line, "spin\n")) {
		for (;;) {
			ballast_touch();
			if (!pages_right(target, 0, n_pages, 100))
				exit(9);
		}
	} else if (!strcmp(line, "breed\n")) {
		breed();
	} else if (!strcmp(line, "abort\n")) {
		abort();
	} else if (!strcmp(line, "quit\n")) {
		exit(0);
	} else {
		printf("not understood: %s", line);
	}
}

int main(int argc, char **argv)
{
	char line[100];
	uint8_t *p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 5 && !strcmp(argv[1], "--core"))
		return core_check(argv[2], strtoull(argv[3], NULL, 0),
				  (uint32_t)strtoul(argv[4], NULL, 0));
	n_pages = (uint32_t)((argc > 1 ? strtoul(argv[1], NULL, 0) : 32) << 20 >> 13);
	/* A guard between the two keeps the target a mapping of its own. */
	p = mmap(NULL, (2 * (size_t)n_pages + 3) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		return 2;
	target = p + PAGE;
	ballast = target + ((size_t)n_pages + 1) * PAGE;
	if (mprotect(target, (size_t)n_pages * PAGE, PROT_READ | PROT_WRITE) ||
	    mprotect(ballast, (size_t)n_pages * PAGE, PROT_READ | PROT_WRITE))
		return 2;
	for (uint32_t i = 0; i < n_pages; i++) {
		pattern_make((uint64_t *)(void *)(target + (size_t)i * PAGE), i, SALT);
		pattern_make((uint64_t *)(void *)(ballast + (size_t)i * PAGE), i, SALT + 1);
	}
	printf("ready %d %p %u\n", getpid(), (void *)target, n_pages);
	while (fgets(line, sizeof(line), stdin))
		command_run(line);
	return 0;
}
