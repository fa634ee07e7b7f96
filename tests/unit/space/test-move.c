// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test-move - what gate.c relies on when it asks the kernel which pages MOVE has moved
 *
 * Since Linux 6.18 MOVE may move pages and not count them: a page changes while it is looked at (here:
 * another thread makes it old and touches it), is moved at the second try with all behind it, and the first
 * answer is remembered. What it says is EEXIST, of a page that it has moved itself. The simulator's fake
 * kernel is made after this (tests/sim/fake-calls.c). Whatever it counts: a page must be in one of the two
 * places with what it had, and a scan must find it there.
 */
#include "test-common.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "space/kernel-uffd.h"
#include "space/mem-linux.h"
#include "test-pages.h"
#include "test-uffd.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

#define N_PAGES 64u
#define N_HOT 4u /* the first ones; nothing is known of them */
#define N_ROUNDS 4000u

struct moves {
	int fd;
	struct mem *mem;
	uint8_t *from, *to;
	_Atomic bool done;
	uint32_t n_miscounts; /* MOVEs that moved more than they said */
};

static void *touch_hot(void *user)
{
	struct moves *m = user;
	uint32_t k;

	while (!atomic_load(&m->done)) {
		madvise(m->from, (size_t)N_HOT * PAGE_BYTES, MADV_COLD);
		for (k = 0; k < 5 * N_HOT; k++)
			*(volatile uint8_t *)(m->from + (size_t)(k % N_HOT) * PAGE_BYTES) = 1;
	}
	return NULL;
}

static int64_t move(const struct moves *m, uint8_t *dst, const uint8_t *src, uint32_t n)
{
	struct uffdio_move arg = { .dst = (uintptr_t)dst,
				   .src = (uintptr_t)src,
				   .len = (uint64_t)n * PAGE_BYTES,
				   .mode = 1 }; /* DONTWAKE */

	(void)ioctl(m->fd, UFFDIO_MOVE, &arg);
	return arg.move;
}

static void scan(const struct moves *m, const uint8_t *at, bool *populated)
{
	const uint64_t start = (uintptr_t)at, end = start + (uint64_t)N_PAGES * PAGE_BYTES;
	struct mem_present runs[N_PAGES];
	uint64_t next = 0, a;
	uint32_t n, k;

	memset(populated, 0, N_PAGES);
	assert_int_equal(m->mem->ops->scan(m->mem, start, end, runs, N_PAGES, &n, &next), 0);
	assert_true(next == end);
	for (k = 0; k < n; k++)
		for (a = runs[k].range.start; a < runs[k].range.end; a += PAGE_BYTES)
			populated[(a - start) / PAGE_BYTES] = true;
}

/* There and back. */
static void round_trip(struct moves *m)
{
	const int64_t said = move(m, m->to, m->from, N_PAGES);
	bool here[N_PAGES], there[N_PAGES];
	uint32_t k, n_moved = 0;

	scan(m, m->to, there);
	scan(m, m->from, here);
	for (k = 0; k < N_PAGES; k++) {
		const size_t at = (size_t)k * PAGE_BYTES;

		n_moved += there[k];
		if (k < N_HOT)
			continue;
		assert_true(here[k] != there[k]);
		assert_int_equal((there[k] ? m->to : m->from)[at], k);
	}
	assert_true(said <= (int64_t)n_moved * PAGE_BYTES);
	m->n_miscounts += (said > 0 ? said / PAGE_BYTES : 0) < n_moved;
	for (k = 0; k < N_PAGES; k++) {
		const size_t at = (size_t)k * PAGE_BYTES;

		while (there[k] && move(m, m->from + at, m->to + at, 1) != PAGE_BYTES)
			madvise(m->from + at, PAGE_BYTES, MADV_DONTNEED); /* touched meanwhile */
	}
}

static void test_nothing_is_lost(void **state)
{
	struct moves *m = *state;
	pthread_t thread;
	uint32_t k;

	assert_int_equal(pthread_create(&thread, NULL, touch_hot, m), 0);
	for (k = 0; k < N_ROUNDS; k++)
		round_trip(m);
	atomic_store(&m->done, true);
	pthread_join(thread, NULL);
	printf("%u of %u MOVEs moved more pages than they said\n", m->n_miscounts, N_ROUNDS);
}

static uint8_t *area_map(struct moves *m)
{
	const size_t len = (size_t)N_PAGES * PAGE_BYTES;
	uint8_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || madvise(at, len, MADV_NOHUGEPAGE) ||
	    m->mem->ops->register_stage(m->mem, (uintptr_t)at, len))
		return NULL;
	return at;
}

/* No events are asked for: nobody would read them. */
static int setup(void **state)
{
	static struct moves m;
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_MOVE | UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	uint32_t k;

	m.fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (m.fd < 0 || ioctl(m.fd, UFFDIO_API, &api) || mem_linux_new(&m.mem, m.fd, false) ||
	    mem_linux_bind(m.mem, getpid()))
		return -1;
	m.from = area_map(&m);
	m.to = area_map(&m);
	if (!m.from || !m.to)
		return -1;
	for (k = 0; k < N_PAGES; k++)
		memset(m.from + (size_t)k * PAGE_BYTES, (int)k, PAGE_BYTES);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	struct moves *m = *state;

	m->mem->ops->free(m->mem);
	munmap(m->from, (size_t)N_PAGES * PAGE_BYTES);
	munmap(m->to, (size_t)N_PAGES * PAGE_BYTES);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_lost, setup, teardown),
	};

	if (!uffd_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
