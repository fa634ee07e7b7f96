/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ctl-file - `uswap policy` and `uswap retire`: the swap file of a daemon that runs
 */
#include "base/cleanup.h"
#include "cli/command.h"
#include "cli/control.h"
#include "daemon/policy.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uswap/protocol.h>

enum {
	POLICY_TIMEOUT_MS = 5000,
	RETIRE_TIMEOUT_MS = 600000, /* gigabytes may have to be read */
};

struct file_options {
	pid_t pid;
	const char *policy;
	bool wants_policy;
};

static error_t file_option_take(int key, char *arg, struct argp_state *state)
{
	struct file_options *o = state->input;
	char *end;
	long pid;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (o->pid && o->wants_policy && !o->policy) {
		if (!policy_find(arg))
			argp_error(state, "no such policy: %s (lru, fifo, size, none)", arg);
		o->policy = arg;
		return 0;
	}
	pid = strtol(arg, &end, 10);
	if (o->pid || *end || end == arg || pid <= 0 || pid > INT_MAX)
		argp_error(state, "not one process id: %s", arg);
	o->pid = (pid_t)pid;
	return 0;
}

static const char *file_outcome(int r)
{
	if (r == -ENOTBLK)
		return "its daemon has no swap file";
	if (r == -EIO)
		return "pages in the swap file cannot be read and are lost; all others are in memory "
		       "(who touches a lost one gets SIGBUS)";
	return control_outcome(r);
}

static int file_request(const struct file_options *o, uint32_t type, int timeout_ms)
{
	_cleanup_(closep) int fd = -1;
	char name[CONTROL_NAME_BYTES];
	int r;

	r = control_find(o->pid, name, sizeof(name));
	if (!r)
		r = control_connect(name, &fd);
	if (!r)
		r = control_request_policy(fd, type, o->policy, timeout_ms);
	if (!r)
		return EXIT_OK;
	fprintf(stderr, "uswap: process %d: %s\n", (int)o->pid, file_outcome(r));
	return EXIT_FAILED;
}

int policy_command(int argc, char **argv)
{
	static const struct argp argp = {
		NULL,
		file_option_take,
		"PID lru|fifo|size|none",
		"Change what is written to the swap file first, for all that the daemon of PID "
		"manages.\v"
		"lru: the coldest, with a second chance. fifo: in the order of eviction. size: among "
		"the coldest, what compresses badly. none: nothing is written.",
		NULL,
		NULL,
		NULL
	};
	struct file_options o = { .wants_policy = true };

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return EXIT_USAGE;
	if (!o.pid || !o.policy) {
		fputs("uswap: which process, and which policy? uswap policy PID lru\n", stderr);
		return EXIT_USAGE;
	}
	return file_request(&o, USWAP_CTL_POLICY, POLICY_TIMEOUT_MS);
}

int retire_command(int argc, char **argv)
{
	static const struct argp argp = {
		NULL,
		file_option_take,
		"PID",
		"Empty the swap file of the daemon that manages PID into memory, while programs "
		"run, as swapoff does.\v"
		"From then on nothing is written any more. A limit that needs the file cannot be "
		"held without it.",
		NULL,
		NULL,
		NULL
	};
	struct file_options o = { 0 };

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return EXIT_USAGE;
	if (!o.pid) {
		fputs("uswap: which process? uswap retire PID\n", stderr);
		return EXIT_USAGE;
	}
	return file_request(&o, USWAP_CTL_RETIRE, RETIRE_TIMEOUT_MS);
}
