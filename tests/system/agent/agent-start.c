/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-start - what the library costs a process that lives for a millisecond
 *
 * Rounds of "fork, exec true, wait", alternately without and with the library (and a socket name at
 * which nobody listens). What must hold is that every process starts and ends well; what it costs is
 * printed, by the quick rounds (first fifth) of both, as the machine may be busy with other things.
 */
#include "play.h"

#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_ROUNDS 15
#define N_PROCESSES 40

/* In a process of its own, under the library or not: the parent's part of the cost counts too. */
static int rounds_run(void)
{
	char *const argv[] = { (char *)"true", NULL };
	uint64_t start_ns = now_ns();
	int status;

	for (int i = 0; i < N_PROCESSES; i++) {
		pid_t pid = fork();

		if (!pid) {
			execv("/bin/true", argv);
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	printf("%llu\n", (unsigned long long)(now_ns() - start_ns));
	return 0;
}

static double round_us(const char *self, bool with_library)
{
	char text[32] = "";
	int out[2], status;
	ssize_t n;
	pid_t pid;

	CHECK(!pipe(out));
	pid = fork();
	if (!pid) {
		dup2(out[1], 1);
		if (with_library) {
			setenv("LD_PRELOAD", getenv("USWAP_TEST_PRELOAD"), 1);
			setenv(USWAP_ENV_SOCKET, "@uswap-test-nobody", 1);
		}
		execl(self, self, "rounds", NULL);
		_exit(127);
	}
	close(out[1]);
	n = read(out[0], text, sizeof(text) - 1);
	close(out[0]);
	CHECK(waitpid(pid, &status, 0) == pid && !status && n > 0);
	return (double)strtoull(text, NULL, 10) / 1000 / N_PROCESSES;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void compare(const char *self)
{
	double plain[N_ROUNDS], ours[N_ROUNDS], pct;

	for (int i = 0; i < N_ROUNDS; i++) {
		plain[i] = round_us(self, false);
		ours[i] = round_us(self, true);
	}
	qsort(plain, N_ROUNDS, sizeof(plain[0]), by_value);
	qsort(ours, N_ROUNDS, sizeof(ours[0]), by_value);
	pct = (ours[N_ROUNDS / 5] / plain[N_ROUNDS / 5] - 1) * 100;
	printf("start of a process: plain %.0f us, with the library %.0f us (%+.1f %%); "
	       "medians %.0f and %.0f us\n",
	       plain[N_ROUNDS / 5], ours[N_ROUNDS / 5], pct, plain[N_ROUNDS / 2],
	       ours[N_ROUNDS / 2]);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "rounds"))
		return rounds_run();
	CHECK(getenv("USWAP_TEST_PRELOAD"));
	compare("/proc/self/exe");
	return 0;
}
