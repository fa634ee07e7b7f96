/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * launch - start the worker and the program of `uswap run`
 *
 * The worker shares the descriptor table of its parent, so that no userfaultfd is closed when it
 * dies: the kernel would hand out zero pages for everything evicted (docs/protocol.md, R7).
 */
#ifndef USWAP_CLI_LAUNCH_H
#define USWAP_CLI_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct worker_options;

enum {
	LAUNCH_E_NOT_FOUND = 1,
	LAUNCH_E_NOT_EXECUTABLE,
};

/* What a program is started with. */
struct launch {
	char **argv;
	const char *path;	 /* of the command, resolved */
	const char *preload;	 /* path of the library */
	const char *socket_name; /* for the environment, "@name" */
	uint64_t threshold_bytes;
	const sigset_t *mask;	       /* the program's signal mask */
	const struct sigaction *child; /* its disposition of SIGCHLD */
};

/*
 * Where the command is, as execvp() would find it.
 * Return: 0; LAUNCH_E_NOT_FOUND; LAUNCH_E_NOT_EXECUTABLE.
 */
int launch_resolve(const char *name, char *ret_path, size_t n_bytes);

/* Start the worker. pre: one thread. Return: 0 or -errno. */
int launch_worker(const struct worker_options *options, pid_t *ret_pid);

/*
 * Start the program; returns when it has been executed.
 * Return: 0; LAUNCH_E_NOT_FOUND; LAUNCH_E_NOT_EXECUTABLE; -errno. The reason is in *ret_errno.
 */
int launch_program(const struct launch *launch, pid_t *ret_pid, int *ret_errno);

#endif
