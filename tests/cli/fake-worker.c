/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-worker - a worker that manages nothing, for the tests of the front
 *
 * FAKE_WORKER in the environment makes it misbehave: "fail" (does not start), "silent" (says nothing
 * at the end), "die" (killed when the program has made the file $FAKE_FILE), "die late" (killed after
 * it gave its figures), "manage PID" (as if it had pages of PID, then dies like "die"), "full" (uses up all
 * descriptors, then dies like "die").
 */
#include "base/atomic.h"
#include "daemon/worker.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* False: the front is done. */
static bool front_is_there(int front_fd, int wait_ms)
{
	struct pollfd pollfd = { .fd = front_fd, .events = POLLIN };

	return poll(&pollfd, 1, wait_ms) == 0;
}

static void die_when_file_exists(const struct worker_options *o, const char *file)
{
	while (front_is_there(o->front_fd, 10)) {
		if (!access(file, F_OK))
			raise(SIGKILL);
	}
}

int worker_main(const struct worker_options *o)
{
	const char *how = getenv("FAKE_WORKER");
	const char *file = getenv("FAKE_FILE");
	char word = WORKER_SAYS_READY;
	int pid;

	if (!how)
		how = "";
	if (!strcmp(how, "fail"))
		return 1;
	if (sscanf(how, "manage %d", &pid) == 1)
		store_release(&o->shared->managed[7].pid, pid);
	if (send(o->front_fd, &word, 1, MSG_NOSIGNAL) != 1)
		return 1;
	while (!strcmp(how, "full") && dup(o->front_fd) >= 0)
		;
	if (file && (!strcmp(how, "full") || !strcmp(how, "die") || !strncmp(how, "manage", 6)))
		die_when_file_exists(o, file);
	while (front_is_there(o->front_fd, -1))
		;
	if (!strcmp(how, "silent"))
		return 0;
	o->shared->summary = (struct worker_summary){
		.peak_bytes = 1337 << 10,
		.peak_resident_bytes = 1 << 20,
		.raw_bytes = 30,
		.stored_bytes = 10,
		.n_faults = 1234,
		.fault_p50_ns = 11400,
		.fault_p99_ns = 84000,
	};
	word = WORKER_SAYS_DONE;
	if (send(o->front_fd, &word, 1, MSG_NOSIGNAL) != 1)
		return 1;
	if (!strcmp(how, "die late"))
		raise(SIGKILL);
	return 0;
}
