// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test-witness - what witness.c asks the kernel while an event is unread, of this process itself
 *
 * The real kernel's answers: the simulator's fake one is made after them (tests/sim/fake-mem.c).
 */
#include "test-common.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "space/kernel-uffd.h"
#include "space/mem-linux.h"
#include "test-pages.h"
#include "test-uffd.h"

#define N_PAGES 32u

struct call {
	pthread_t thread;
	enum { CALL_MUNMAP, CALL_MREMAP, CALL_MMAP } what;
	uint8_t *at, *to;
	size_t len, new_len; /* CALL_MREMAP */
};

static void *call_make(void *user)
{
	struct call *c = user;

	if (c->what == CALL_MUNMAP)
		munmap(c->at, c->len);
	else if (c->what == CALL_MREMAP)
		(void)!mremap(c->at, c->len, c->new_len,
			      c->to ? MREMAP_MAYMOVE | MREMAP_FIXED : MREMAP_MAYMOVE, c->to);
	else
		(void)!mmap(c->at, c->len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			    0);
	return NULL;
}

static void call_begin(struct call *c)
{
	assert_int_equal(pthread_create(&c->thread, NULL, call_make, c), 0);
}

static void call_end(struct call *c)
{
	pthread_join(c->thread, NULL);
}

struct fixture {
	struct mem *mem;
	uint8_t *at; /* N_PAGES, registered */
};

static int setup(void **state)
{
	static struct fixture f;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	f.at = mmap(NULL, N_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (f.at == MAP_FAILED || mem_linux_new(&f.mem, fd, true) ||
	    mem_linux_bind(f.mem, getpid()) ||
	    f.mem->ops->register_missing(f.mem, (uintptr_t)f.at, N_PAGES * PAGE_BYTES))
		return -1;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->mem->ops->free(f->mem); /* before the mapping, whose end nobody would read */
	munmap(f->at, N_PAGES * PAGE_BYTES);
	return 0;
}

static void wait_unread(struct fixture *f)
{
	struct pollfd p = { .fd = mem_linux_main_fd(f->mem), .events = POLLIN };

	assert_int_equal(poll(&p, 1, 10000), 1);
}

/* The next event, which must be of @type about [at, at + len). */
static void expect_event(struct fixture *f, enum mem_event_type type, uint8_t *at, size_t len)
{
	struct mem_event ev;
	uint32_t n;

	wait_unread(f);
	assert_int_equal(f->mem->ops->read_events(f->mem, &ev, 1, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ev.type, type);
	assert_int_equal(ev.addr, (uintptr_t)at);
	assert_int_equal(type == MEM_EVENT_REMAP ? ev.len : ev.to - ev.addr, len);
}

/* What waiting threads take of [at, at + len). Return: how many ranges; the last one in *ret_call. */
static uint32_t find_calls(struct fixture *f, uint8_t *at, size_t len, struct mem_call *ret_call)
{
	struct mem_call calls[8];
	uint32_t n, n_running, k, n_here = 0;

	assert_int_equal(f->mem->ops->find_calls(f->mem, calls, 8, &n, &n_running), 0);
	for (k = 0; k < n; k++) {
		if (calls[k].range.start >= (uintptr_t)at + len ||
		    calls[k].range.end <= (uintptr_t)at)
			continue;
		*ret_call = calls[k];
		n_here++;
	}
	return n_here;
}

/*
 * Threads wait in calls that take @n_want ranges of [at, at + len); if it is one, all of it. A thread that
 * has queued its event may be on its way to sleep still.
 */
static void expect_calls(struct fixture *f, uint8_t *at, size_t len, uint32_t n_want)
{
	struct mem_call call;
	uint32_t tries;

	for (tries = 0; tries < 1000 && find_calls(f, at, len, &call) != n_want; tries++)
		usleep(1000);
	assert_int_equal(find_calls(f, at, len, &call), n_want);
	if (n_want == 1) {
		assert_int_equal(call.range.start, (uintptr_t)at);
		assert_int_equal(call.range.end, (uintptr_t)at + len);
		assert_int_not_equal(call.tid, gettid());
	}
}

static bool is_mapped(struct fixture *f, uint8_t *at)
{
	const struct urange range = { (uintptr_t)at, (uintptr_t)at + PAGE_BYTES };
	struct urange gone;
	uint32_t n;

	assert_int_equal(f->mem->ops->find_gone(f->mem, &range, 1, &gone, 1, &n), 0);
	assert_true(n == 0 || (gone.start == range.start && gone.end == range.end));
	return n == 0;
}

static void test_munmap(void **state)
{
	struct fixture *f = *state;
	const size_t len = 4 * PAGE_BYTES;
	struct call c = { .what = CALL_MUNMAP, .at = f->at, .len = len };

	assert_true(is_mapped(f, f->at));
	expect_calls(f, f->at, N_PAGES * PAGE_BYTES, 0);
	call_begin(&c);
	wait_unread(f);
	assert_true(f->mem->ops->is_readable(f->mem));
	assert_false(is_mapped(f, f->at + len - PAGE_BYTES));
	assert_true(is_mapped(f, f->at + len));
	expect_calls(f, f->at, len, 1);
	expect_calls(f, f->at + len, PAGE_BYTES, 0);
	expect_event(f, MEM_EVENT_UNMAP, f->at, len);
	call_end(&c);
	expect_calls(f, f->at, len, 0);
}

/* Of two ranges, with holes before, between and behind what is mapped of them. */
static void test_gone(void **state)
{
	struct fixture *f = *state;
	const uint64_t at = (uintptr_t)f->at;
	const struct urange ranges[] = { { at + 4 * PAGE_BYTES, at + 12 * PAGE_BYTES },
					 { at + 12 * PAGE_BYTES, at + 20 * PAGE_BYTES } };
	const struct urange holes[] = { { at + 4 * PAGE_BYTES, at + 6 * PAGE_BYTES },
					{ at + 8 * PAGE_BYTES, at + 9 * PAGE_BYTES },
					{ at + 11 * PAGE_BYTES, at + 14 * PAGE_BYTES } };
	const struct urange want[] = { holes[0],
				       holes[1],
				       { at + 11 * PAGE_BYTES, at + 12 * PAGE_BYTES },
				       { at + 12 * PAGE_BYTES, at + 14 * PAGE_BYTES } };
	struct urange gone[4];
	uint32_t n, k;

	for (k = 0; k < 3; k++) {
		struct call c = { .what = CALL_MUNMAP,
				  .at = f->at + (holes[k].start - at),
				  .len = holes[k].end - holes[k].start };

		assert_false(f->mem->ops->is_readable(f->mem));
		call_begin(&c);
		expect_event(f, MEM_EVENT_UNMAP, c.at, c.len);
		call_end(&c);
	}
	assert_int_equal(f->mem->ops->find_gone(f->mem, ranges, 2, gone, 4, &n), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(gone, want, sizeof(want));
	assert_int_equal(f->mem->ops->find_gone(f->mem, ranges, 2, gone, 3, &n), -ENOSPC);
}

/* Its target is unmapped first, then it is told what was moved, then that it is not there any more. */
static void test_mremap(void **state)
{
	struct fixture *f = *state;
	const size_t len = 4 * PAGE_BYTES;
	uint8_t *from = f->at + 8 * PAGE_BYTES, *to = f->at + 16 * PAGE_BYTES;
	struct call c = { .what = CALL_MREMAP, .at = from, .to = to, .len = len, .new_len = len };

	call_begin(&c);
	wait_unread(f);
	assert_false(is_mapped(f, from));
	assert_true(is_mapped(f, to));
	expect_calls(f, from, len, 1);
	expect_calls(f, to, len, 1);
	expect_calls(f, from, (size_t)(to - from) + len, 2);
	expect_event(f, MEM_EVENT_UNMAP, to, len);
	expect_event(f, MEM_EVENT_REMAP, from, len);
	expect_calls(f, from, len, 1);
	expect_event(f, MEM_EVENT_UNMAP, from, len);
	call_end(&c);
}

/* What it cuts off is told of for itself. */
static void test_mremap_shrinks(void **state)
{
	struct fixture *f = *state;
	const size_t len = 4 * PAGE_BYTES, new_len = PAGE_BYTES;
	uint8_t *at = f->at + 8 * PAGE_BYTES, *to = f->at + 16 * PAGE_BYTES;
	struct call c = { .what = CALL_MREMAP, .at = at, .len = len + new_len, .new_len = len };

	call_begin(&c);
	wait_unread(f);
	expect_calls(f, at, len, 0);
	expect_calls(f, at + len, new_len, 1);
	expect_event(f, MEM_EVENT_UNMAP, at + len, new_len);
	call_end(&c);

	c = (struct call){
		.what = CALL_MREMAP, .at = at, .to = to, .len = len, .new_len = new_len
	};
	call_begin(&c);
	wait_unread(f);
	expect_calls(f, at, new_len, 1);
	expect_calls(f, at + new_len, len - new_len, 1);
	expect_calls(f, to, new_len, 1);
	expect_event(f, MEM_EVENT_UNMAP, to, new_len);
	expect_event(f, MEM_EVENT_REMAP, at, new_len);
	expect_event(f, MEM_EVENT_UNMAP, at + new_len, len - new_len);
	expect_event(f, MEM_EVENT_UNMAP, at, new_len);
	call_end(&c);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	uint8_t *at = f->at + 24 * PAGE_BYTES;
	struct call over = { .what = CALL_MMAP, .at = at, .len = 2 * PAGE_BYTES };
	struct call away = { .what = CALL_MUNMAP, .at = at + 2 * PAGE_BYTES, .len = PAGE_BYTES };
	struct mem_call call;
	uint32_t n, n_running;

	call_begin(&over);
	wait_unread(f);
	expect_calls(f, at, 2 * PAGE_BYTES, 1);
	call_begin(&away);
	expect_calls(f, at, 3 * PAGE_BYTES, 2);
	assert_int_equal(f->mem->ops->find_calls(f->mem, &call, 1, &n, &n_running), -ENOSPC);
	expect_event(f, MEM_EVENT_UNMAP, at, 2 * PAGE_BYTES);
	expect_event(f, MEM_EVENT_UNMAP, at + 2 * PAGE_BYTES, PAGE_BYTES);
	call_end(&over);
	call_end(&away);
	assert_true(is_mapped(f, at)); /* by something else */
	assert_false(is_mapped(f, at + 2 * PAGE_BYTES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_munmap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mremap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mremap_shrinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	if (!uffd_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
