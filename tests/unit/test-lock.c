/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-lock - a lock taken against its rank stops a debug build
 */
#include "test-common.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"

static struct lock low, high;

static void against_rank(void) NO_THREAD_CHECK
{
	lock_acquire(&high);
	lock_acquire(&low);
}

static void same_rank(void) NO_THREAD_CHECK
{
	struct lock other;

	lock_init(&other, low.rank, "other");
	lock_acquire(&low);
	lock_acquire(&other);
}

static void expect_stop(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
#ifdef USWAP_DEBUG
	assert_true(WIFSIGNALED(status));
#else
	assert_true(WIFEXITED(status));
#endif
}

static void test_rank(void **state)
{
	(void)state;
	expect_stop(against_rank);
	expect_stop(same_rank);
}

static void test_held(void **state) NO_THREAD_CHECK
{
	(void)state;
	lock_acquire(&low);
	assert_true(lock_is_held(&low));
	lock_acquire(&high);
	lock_release(&low);
	lock_release(&high);
#ifdef USWAP_DEBUG
	assert_false(lock_is_held(&low));
#endif
}

static int setup(void **state)
{
	(void)state;
	lock_init(&low, 10, "low");
	lock_init(&high, 20, "high");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
