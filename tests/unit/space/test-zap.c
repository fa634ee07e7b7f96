// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test-zap - when is it certain that no thread is inside of a call that empties pages?
 *
 * Of this process itself, in which one thread runs.
 */
#include "test-common.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "space/mem-linux.h"
#include "test-uffd.h"

struct zap {
	struct mem *mem;
	pthread_t thread;
	_Atomic bool done;
};

static void *run(void *user)
{
	struct zap *z = user;

	while (!atomic_load(&z->done))
		;
	return NULL;
}

static uint64_t cpu_ns(const struct zap *z)
{
	struct timespec ts;
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(z->thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The thread gets so many ticks of 10 ms. */
static void wait_ticks(const struct zap *z, uint32_t n)
{
	const uint64_t end = cpu_ns(z) + n * 10000000ull;

	while (cpu_ns(z) < end)
		usleep(1000);
}

static void test_marks(void **state)
{
	const struct zap *z = *state;
	struct mem *m = z->mem;

	assert_true(m->ops->inside_zap(m, 1)); /* it runs, who knows where */
	assert_true(m->ops->inside_zap(m, 1));
	wait_ticks(z, 6);
	assert_false(m->ops->inside_zap(m, 1));
	assert_true(m->ops->inside_zap(m, 1));
}

/* An event has come: that it ran in user mode before says nothing of where it is now. */
static void test_marks_are_of_one_event(void **state)
{
	const struct zap *z = *state;
	struct mem *m = z->mem;

	assert_true(m->ops->inside_zap(m, 10));
	wait_ticks(z, 6);
	assert_true(m->ops->inside_zap(m, 11));
	wait_ticks(z, 6);
	assert_false(m->ops->inside_zap(m, 11));
}

/* Whether a worker of io_uring is in madvise() nobody says: only when it waits for work it is not. */
static void test_worker_of_io_uring(void **state)
{
	const struct zap *z = *state;
	struct mem *m = z->mem;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	char path[64];
	struct io_uring ring;
	uint32_t n;
	int fd, r;

	r = io_uring_queue_init(4, &ring, 0);
	if (r) {
		print_message("io_uring is refused: %s\n", strerror(-r));
		skip();
	}
	snprintf(path, sizeof(path), "/tmp/test-zap-%d", (int)getpid());
	assert_int_equal(mkfifo(path, 0600), 0);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	assert_int_equal(io_uring_submit(&ring), 1);
	usleep(50000); /* the worker waits in its call: for a writer */
	assert_true(m->ops->inside_zap(m, 1));
	wait_ticks(z, 6);
	assert_true(m->ops->inside_zap(m, 1)); /* whatever else would be certain by now */
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
	assert_true(cqe->res >= 0);
	close(cqe->res);
	close(fd);
	unlink(path);
	for (n = 0; m->ops->inside_zap(m, 2); n++) { /* it waits for the next one */
		assert_true(n < 100);
		wait_ticks(z, 6);
	}
	io_uring_queue_exit(&ring);
}

static int setup(void **state)
{
	static struct zap z;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || mem_linux_new(&z.mem, fd, true) || mem_linux_bind(z.mem, getpid()))
		return -1;
	atomic_store(&z.done, false);
	*state = &z;
	return pthread_create(&z.thread, NULL, run, &z);
}

static int teardown(void **state)
{
	struct zap *z = *state;

	atomic_store(&z->done, true);
	pthread_join(z->thread, NULL);
	z->mem->ops->free(z->mem);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_are_of_one_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_of_io_uring, setup, teardown),
	};

	if (!uffd_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
