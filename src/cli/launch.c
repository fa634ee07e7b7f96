/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * launch - start the worker and the program of `uswap run`
 *
 * The worker is a fork that keeps the descriptor table in common (CLONE_FILES without CLONE_VM),
 * which no library function offers; hence the raw clone3(). The C library's own record of the
 * thread's id is kept right through CLONE_CHILD_SETTID, as its fork() does it. ThreadSanitizer
 * loses track of a process it did not see being forked, so there it is a plain fork(): then a dead
 * worker takes its descriptors along, and only the agents' fail-stop protects the program.
 */
#include "cli/launch.h"

#include "cli/command.h"
#include "cli/preload.h"
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uswap/protocol.h>

#if defined(__SANITIZE_THREAD__)
#define LAUNCH_PLAIN_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LAUNCH_PLAIN_FORK 1
#endif
#endif
#ifndef LAUNCH_PLAIN_FORK
#define LAUNCH_PLAIN_FORK 0
#endif

static int file_check(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == EACCES ? LAUNCH_E_NOT_EXECUTABLE : LAUNCH_E_NOT_FOUND;
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return LAUNCH_E_NOT_EXECUTABLE;
	return 0;
}

int launch_resolve(const char *name, char *ret_path, size_t n_bytes)
{
	const char *path = getenv("PATH"), *end;
	int worst = LAUNCH_E_NOT_FOUND, n, r;

	if (!*name)
		return LAUNCH_E_NOT_FOUND;
	if (strchr(name, '/')) {
		n = snprintf(ret_path, n_bytes, "%s", name);
		return (size_t)n < n_bytes ? file_check(ret_path) : LAUNCH_E_NOT_FOUND;
	}
	if (!path)
		path = "/bin:/usr/bin";
	for (;; path = end + 1) {
		end = strchrnul(path, ':');
		n = snprintf(ret_path, n_bytes, "%.*s%s%s", (int)(end - path), path,
			     end == path ? "" : "/", name);
		if ((size_t)n < n_bytes) {
			r = file_check(ret_path);
			if (!r)
				return 0;
			if (r == LAUNCH_E_NOT_EXECUTABLE)
				worst = r;
		}
		if (!*end)
			return worst;
	}
}

/* fork() with the descriptor table in common. */
static pid_t fork_sharing_files(void)
{
	struct clone_args args = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };
	int *tid_address = NULL;

	if (LAUNCH_PLAIN_FORK)
		return fork();
	if (!prctl(PR_GET_TID_ADDRESS, &tid_address) && tid_address) {
		args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
		args.child_tid = (uintptr_t)tid_address;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* The worker outlives what ends a terminal's programs: they end first, then it does. */
static void worker_prepare(void)
{
	static const int ignored[] = { SIGHUP,	SIGINT,	 SIGQUIT, SIGTERM,
				       SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE };
	sigset_t none;

	prctl(PR_SET_NAME, "uswap-worker");
	setsid();
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int launch_worker(const struct worker_options *options, pid_t *ret_pid)
{
	pid_t pid;
	int r;

	fflush(NULL);
	pid = fork_sharing_files();
	if (pid < 0)
		return -errno;
	if (!pid) {
		worker_prepare();
		r = worker_main(options);
		fflush(NULL);
		_exit(r);
	}
	*ret_pid = pid;
	return 0;
}

/* @first before what is in the variable already, if anything. */
static int variable_set(const char *name, const char *first)
{
	const char *old = getenv(name);
	char *value;
	int r;

	if (asprintf(&value, "%s%s%s", first, old && *old ? ":" : "", old ? old : "") < 0)
		return -ENOMEM;
	r = setenv(name, value, 1) ? -ENOMEM : 0;
	free(value);
	return r;
}

static int environment_set(const struct launch *launch)
{
	char threshold[32];
	int r;

	snprintf(threshold, sizeof(threshold), "%" PRIu64, launch->threshold_bytes);
	r = variable_set("LD_PRELOAD", launch->preload);
	if (!r) /* gcc's AddressSanitizer refuses to come after another library otherwise */
		r = variable_set("ASAN_OPTIONS", "verify_asan_link_order=0");
	if (!r && (setenv(USWAP_ENV_SOCKET, launch->socket_name, 1) ||
		   setenv(USWAP_ENV_THRESHOLD, threshold, 1)))
		r = -ENOMEM;
	return r;
}

static _Noreturn void program_exec(const struct launch *launch, int report_fd)
{
	int error;

	error = -environment_set(launch);
	if (!error) {
		sigaction(SIGCHLD, launch->child, NULL);
		sigprocmask(SIG_SETMASK, launch->mask, NULL);
		execv(launch->path, launch->argv);
		error = errno;
		/* A script without a first line is for the shell, as from any shell. */
		if (error == ENOEXEC && !preload_is_elf(launch->path))
			execvp(launch->path, launch->argv);
	}
	if (write(report_fd, &error, sizeof(error)) < 0)
		_exit(EXIT_OURS);
	_exit(EXIT_NOT_FOUND);
}

int launch_program(const struct launch *launch, pid_t *ret_pid, int *ret_errno)
{
	int report[2], error = 0;
	ssize_t len;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		error = errno;
		close(report[0]);
		close(report[1]);
		return -error;
	}
	if (!pid)
		program_exec(launch, report[1]);

	/* With the table in common the worker has no copy of its own: one close is enough. */
	close(report[1]);
	do {
		len = read(report[0], &error, sizeof(error));
	} while (len < 0 && errno == EINTR);
	close(report[0]);
	*ret_pid = pid;
	*ret_errno = error;
	if (len != (ssize_t)sizeof(error))
		return 0;
	waitpid(pid, NULL, 0);
	return error == ENOENT || error == ENOTDIR ? LAUNCH_E_NOT_FOUND : LAUNCH_E_NOT_EXECUTABLE;
}
