/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes of the command are known by their environment, at every moment of their lives. */
#include "test-common.h"

#include "daemon/kin.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uswap/protocol.h>

#define AGAIN "again"
#define LOOKS 20000

static char self[4096];
static char name[64]; /* ours alone */

/* A child that replaces itself by itself, for ever. */
static pid_t start(const char *value)
{
	char *argv[] = { self, AGAIN, NULL };
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (value)
		setenv(USWAP_ENV_SOCKET, value, 1);
	else
		clearenv();
	execv(self, argv);
	_exit(127);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The old memory is gone, the new environment not there yet: that is not "no". */
static void test_found_in_the_middle_of_exec(void **state)
{
	pid_t pid = start(name);
	unsigned n_yes = 0;
	bool unsure;

	(void)state;
	while (kin_look(pid, name) != KIN_YES)
		; /* it is ours until its first exec */
	for (unsigned i = 0; i < LOOKS; i++) {
		enum kin kin = kin_look(pid, name);

		assert_int_not_equal(kin, KIN_NO);
		n_yes += kin == KIN_YES;
	}
	assert_true(n_yes > LOOKS / 2);
	for (unsigned i = 0; i < 20; i++)
		assert_true(kin_count(name, pid - 1, &unsure) == 1 || unsure);
	end(pid);
}

static void test_others_are_not(void **state)
{
	pid_t another = start("another"), empty = start(NULL);
	pid_t dead = fork();
	unsigned n_no[2] = { 0 };
	siginfo_t info;

	(void)state;
	if (!dead)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(kin_look(dead, name), KIN_NO);
	assert_int_equal(waitpid(dead, NULL, 0), dead);
	assert_int_equal(kin_look(dead, name), KIN_NO);
	assert_int_equal(kin_look(2, name), KIN_NO); /* a thread of the kernel, or nobody */
	for (unsigned i = 0; i < LOOKS / 10; i++) {
		enum kin kin[] = { kin_look(another, name), kin_look(empty, name) };

		assert_int_not_equal(kin[0], KIN_YES);
		assert_int_not_equal(kin[1], KIN_YES);
		n_no[0] += kin[0] == KIN_NO;
		n_no[1] += kin[1] == KIN_NO;
	}
	assert_true(n_no[0] > LOOKS / 20);
	assert_true(n_no[1] > LOOKS / 20); /* an empty one is not the middle of an exec */
	end(another);
	end(empty);
}

int main(int argc, char **argv)
{
	char *again[] = { self, AGAIN, NULL };
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_in_the_middle_of_exec),
		cmocka_unit_test(test_others_are_not),
	};

	self[len > 0 ? len : 0] = '\0';
	snprintf(name, sizeof(name), "test-kin-%d", (int)getpid());
	if (argc > 1 && !strcmp(argv[1], AGAIN)) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(self, again);
		return 127;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
