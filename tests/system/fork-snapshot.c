/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fork-snapshot - what one side of a fork does to its memory is not seen by the other
 *
 *   fork-snapshot [BALLAST_MIB [ROUNDS [EVERY]]]
 *
 * EVERY: only each so-manieth case, for who wants to know that a fork works at all.
 * Before each fork the target pages are put in one of these states, by touching ballast that drives
 * them out where there is a memory limit:
 *   resident   just written           away      not touched since the ballast was
 *   loaded     away, then read        dirtied   away, read, then one word written
 * Then one side acts on them (MADV_FREE, with and without rewriting, MADV_DONTNEED, munmap, mmap over
 * them, writing, mremap away, exit) while the other waits and then compares every byte. The kernel's
 * own swap loses the child's copy in the case (loaded, MADV_FREE in the parent) on Linux 6.18.
 *
 * Plain, the ballast changes nothing and the test checks the test. Prints "fork-snapshot: OK …" and
 * exits with 0, or says what was wrong and exits with 1.
 */
#include "pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_TARGET 512u

enum prepare { PREPARE_RESIDENT, PREPARE_AWAY, PREPARE_LOADED, PREPARE_DIRTIED, N_PREPARES };
enum action {
	ACTION_NONE,
	ACTION_FREE,
	ACTION_FREE_REWRITE,
	ACTION_DONTNEED,
	ACTION_MUNMAP,
	ACTION_MAP_OVER,
	ACTION_WRITE,
	ACTION_WRITE_WORD,
	ACTION_MREMAP,
	ACTION_FREE_THEN_DONTNEED,
	ACTION_EXIT,
	N_ACTIONS,
};
enum side { SIDE_PARENT, SIDE_CHILD, N_SIDES };

static const char *const prepare_names[] = { "resident", "away", "loaded", "dirtied" };
static const char *const action_names[] = { "nothing",
					    "MADV_FREE",
					    "MADV_FREE and rewrite",
					    "MADV_DONTNEED",
					    "munmap",
					    "mmap over it",
					    "write",
					    "write of one word",
					    "mremap away",
					    "MADV_FREE and MADV_DONTNEED",
					    "exit" };
static const char *const side_names[] = { "parent", "child" };
_Static_assert(sizeof(prepare_names) / sizeof(prepare_names[0]) == N_PREPARES, "names");
_Static_assert(sizeof(action_names) / sizeof(action_names[0]) == N_ACTIONS, "names");

static uint8_t *target, *ballast;
static size_t ballast_bytes;
static const char *case_text = "";
static uint64_t n_away, n_pages_at_fork;

static void fail(const char *what)
{
	dprintf(2, "fork-snapshot: FAILED: %s: %s (%s)\n", case_text, what, strerror(errno));
	_exit(1);
}

static void *map_new(void *addr, size_t bytes)
{
	void *p = mmap(addr, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (addr ? MAP_FIXED : 0), -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

static void pages_write(uint8_t *base, uint32_t n, uint64_t salt)
{
	for (uint32_t i = 0; i < n; i++)
		pattern_make((uint64_t *)(void *)(base + (size_t)i * PAGE), i, salt);
}

static void pages_check(const uint8_t *base, uint32_t n, uint64_t salt, const uint64_t *word,
			const char *who)
{
	uint64_t expected[PAGE_WORDS];

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *p = (const uint64_t *)(const void *)(base + (size_t)i * PAGE);

		pattern_make(expected, i, salt);
		if (word)
			expected[100] = *word;
		for (uint32_t k = 0; k < PAGE_WORDS; k++) {
			if (p[k] == expected[k])
				continue;
			dprintf(2,
				"fork-snapshot: FAILED: %s: %s sees a wrong page: %p (page %u of %u) "
				"word %u is %016lx, expected %016lx\n",
				case_text, who, (const void *)p, i, n, k, p[k], expected[k]);
			_exit(1);
		}
	}
}

/* Touch enough other memory, twice, that what is cold has to go. */
static void ballast_touch(void)
{
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < ballast_bytes; i += PAGE)
			*(volatile uint64_t *)(void *)(ballast + i + 8) += 1;
	}
}

static uint32_t away_count(void)
{
	unsigned char present[N_TARGET];
	uint32_t n = 0;

	if (mincore(target, sizeof(present) * PAGE, present))
		fail("mincore");
	for (uint32_t i = 0; i < N_TARGET; i++)
		n += !(present[i] & 1);
	return n;
}

static uint64_t dirty_word = 0x6469727479ull;

static void target_prepare(enum prepare prepare, uint64_t salt)
{
	map_new(target, N_TARGET * PAGE);
	pages_write(target, N_TARGET, salt);
	if (prepare == PREPARE_RESIDENT)
		return;
	ballast_touch();
	n_away += away_count();
	n_pages_at_fork += N_TARGET;
	if (prepare == PREPARE_AWAY)
		return;
	pages_check(target, N_TARGET, salt, NULL, "the parent before the fork");
	for (uint32_t i = 0; prepare == PREPARE_DIRTIED && i < N_TARGET; i++)
		((uint64_t *)(void *)(target + (size_t)i * PAGE))[100] = dirty_word;
}

static void target_act(enum action action, uint64_t salt)
{
	const size_t bytes = N_TARGET * PAGE;
	void *p;

	switch (action) {
	case ACTION_FREE:
	case ACTION_FREE_REWRITE:
	case ACTION_FREE_THEN_DONTNEED:
		if (madvise(target, bytes, MADV_FREE))
			fail("MADV_FREE");
		if (action == ACTION_FREE_REWRITE)
			pages_write(target, N_TARGET, salt);
		if (action == ACTION_FREE_THEN_DONTNEED && madvise(target, bytes, MADV_DONTNEED))
			fail("MADV_DONTNEED");
		break;
	case ACTION_DONTNEED:
		if (madvise(target, bytes, MADV_DONTNEED))
			fail("MADV_DONTNEED");
		break;
	case ACTION_MUNMAP:
		if (munmap(target, bytes))
			fail("munmap");
		break;
	case ACTION_MAP_OVER:
		map_new(target, bytes);
		break;
	case ACTION_WRITE:
		pages_write(target, N_TARGET, salt);
		break;
	case ACTION_WRITE_WORD:
		for (uint32_t i = 0; i < N_TARGET; i++)
			((uint64_t *)(void *)(target + (size_t)i * PAGE))[7] = ~salt;
		break;
	case ACTION_MREMAP:
		p = map_new(NULL, bytes);
		if (mremap(target, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, p) != p)
			fail("mremap");
		break;
	default:
		break;
	}
}

static void byte_send(int fd)
{
	if (write(fd, "x", 1) != 1)
		fail("write to the other side");
}

static void byte_wait(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		fail("the other side is gone");
}

/* The child's part: acts, or waits until the parent has acted, and compares. Exits. */
static void child_run(enum side actor, enum action action, uint64_t salt, const uint64_t *word,
		      int from_parent, int to_parent) __attribute__((noreturn));
static void child_run(enum side actor, enum action action, uint64_t salt, const uint64_t *word,
		      int from_parent, int to_parent)
{
	alarm(100);
	if (actor == SIDE_CHILD) {
		target_act(action, salt + 1);
		if (action != ACTION_EXIT)
			ballast_touch();
		byte_send(to_parent);
		_exit(0);
	}
	byte_wait(from_parent);
	pages_check(target, N_TARGET, salt, word, "the child");
	ballast_touch();
	pages_check(target, N_TARGET, salt, word, "the child, after its own ballast,");
	byte_send(to_parent);
	_exit(0);
}

/* Fork; one side acts, the other compares. */
static void pair_run(enum side actor, enum action action, uint64_t salt, const uint64_t *word)
{
	int down[2], up[2], status;
	pid_t pid;

	if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(down[1]);
		child_run(actor, action, salt, word, down[0], up[1]);
	}
	close(up[1]);
	if (actor == SIDE_PARENT) {
		target_act(action, salt + 1);
		ballast_touch();
		byte_send(down[1]);
		byte_wait(up[0]);
	} else {
		byte_wait(up[0]);
		pages_check(target, N_TARGET, salt, word, "the parent");
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("the child failed");
	if (actor == SIDE_CHILD)
		pages_check(target, N_TARGET, salt, word, "the parent, after the child's end,");
	close(down[0]);
	close(down[1]);
	close(up[0]);
}

/* The parent exits right after the fork; its child, now an orphan, still has its snapshot. */
static void orphan_run(enum prepare prepare, uint64_t salt, const uint64_t *word)
{
	int up[2], go[2], status;
	pid_t pid;

	if (pipe2(up, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		target_prepare(prepare, salt);
		pid = fork();
		if (pid)
			_exit(pid < 0);
		close(go[1]);
		child_run(SIDE_PARENT, ACTION_EXIT, salt, word, go[0], up[1]);
	}
	close(up[1]);
	if (waitpid(pid, &status, 0) != pid || status)
		fail("the process between failed");
	byte_send(go[1]);
	byte_wait(up[0]);
	close(up[0]);
	close(go[0]);
	close(go[1]);
}

static void case_run(enum prepare prepare, enum side actor, enum action action, uint64_t salt)
{
	const uint64_t *word = prepare == PREPARE_DIRTIED ? &dirty_word : NULL;
	static char text[200];

	snprintf(text, sizeof(text), "pages %s, then in the %s %s", prepare_names[prepare],
		 side_names[actor], action_names[action]);
	case_text = text;
	if (action == ACTION_EXIT && actor == SIDE_PARENT) {
		orphan_run(prepare, salt, word);
		return;
	}
	target_prepare(prepare, salt);
	pair_run(actor, action, salt, word);
}

int main(int argc, char **argv)
{
	const size_t ballast_mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 32;
	const uint32_t n_rounds = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
	const uint32_t every = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
	uint32_t n_cases = 0, case_no = 0;

	ballast_bytes = ballast_mib << 20;
	ballast = map_new(NULL, ballast_bytes);
	pages_write(ballast, (uint32_t)(ballast_bytes / PAGE), 99);
	/* A guard on both sides, so that the target is a mapping of its own. */
	target = mmap(NULL, (N_TARGET + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (target == MAP_FAILED)
		fail("mmap");
	target += PAGE;
	for (uint32_t round = 0; round < n_rounds; round++) {
		for (uint32_t prepare = 0; prepare < N_PREPARES; prepare++) {
			for (uint32_t side = 0; side < N_SIDES; side++) {
				for (uint32_t action = 0; action < N_ACTIONS; action++) {
					if (case_no++ % every)
						continue;
					case_run((enum prepare)prepare, (enum side)side,
						 (enum action)action, case_no * 10);
					n_cases++;
				}
			}
		}
	}
	fprintf(stderr, "fork-snapshot: %lu of %lu target pages were away after the ballast\n",
		n_away, n_pages_at_fork);
	printf("fork-snapshot: OK cases=%u\n", n_cases);
	return 0;
}
