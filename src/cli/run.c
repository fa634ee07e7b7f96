/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run - `uswap run`: a command under a limit, with a private worker
 *
 * Everything that can be refused is refused before anything is started, with one line that says
 * what to do. After that the order is: worker ready, program executed, wait, figures.
 */
#include "base/log.h"
#include "cli/command.h"
#include "cli/front.h"
#include "cli/launch.h"
#include "cli/preload.h"
#include "cli/probe.h"
#include "cli/run-options.h"
#include "cli/summary.h"
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uswap/protocol.h>

#define THRESHOLD_MAX_BYTES (4ull << 20)

/* Memory the worker locks beyond the compressed pages: buffers, tables, its own code. */
#define WORKER_LOCK_BYTES (48ull << 20)

/* Smaller than this a process is not worth managing; a small limit leaves less to ignore. */
static uint64_t threshold_of(const struct run_options *o)
{
	uint64_t limit_bytes = o->limit_bytes ? o->limit_bytes : o->resident_bytes;

	return limit_bytes / 16 < THRESHOLD_MAX_BYTES ? limit_bytes / 16 : THRESHOLD_MAX_BYTES;
}

static int machine_check(const struct run_options *o)
{
	uint64_t pool_bytes = o->pool_bytes ? o->pool_bytes : o->limit_bytes;
	struct probe failed;

	if (probe_required(&failed, pool_bytes + WORKER_LOCK_BYTES))
		return 0;
	fprintf(stderr, "uswap: %s: %s; %s (uswap doctor shows all checks)\n", failed.name,
		failed.detail, failed.advice);
	return EXIT_OURS;
}

static int command_refused(const char *name, int why, int error)
{
	if (why == LAUNCH_E_NOT_FOUND) {
		fprintf(stderr, "uswap: %s: command not found\n", name);
		return EXIT_NOT_FOUND;
	}
	fprintf(stderr, "uswap: %s: cannot be executed: %s\n", name,
		strerror(error ? error : EACCES));
	return EXIT_NOT_EXECUTABLE;
}

static void unmanaged_warn(struct front *f)
{
	if (!preload_is_missing(f->program_pid))
		return;
	f->unmanaged = true;
	log_warn("the program does not load " PRELOAD_NAME
		 " (static, privileged as sudo is, under valgrind, or started with an environment "
		 "of its own): it runs unmanaged, without limit");
}

static void unmanaged_known(struct front *f)
{
}

/* The worker went on with processes the command left behind: nobody waits for its output. */
static void output_let_go(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	fflush(NULL);
	/* Our descriptor table is the worker's too. */
	for (int i = 0; i <= 2; i++)
		dup2(fd, i);
	close(fd);
}

static void figures_print(struct front *f, const struct run_options *o)
{
	char line[512];
	uint32_t n_left;

	if (!front_finish(f, &n_left)) {
		log_warn("the daemon gave no figures");
	} else if (!o->quiet && (f->shared->summary.peak_resident_bytes || !f->unmanaged)) {
		summary_format(line, sizeof(line), &f->shared->summary, o->limit_bytes,
			       f->program_rss_bytes);
		fprintf(stderr, "uswap: %s\n", line);
	}
	if (f->worker_pid && n_left) {
		if (!o->quiet)
			fprintf(stderr, "uswap: %u process%s of the command go%s on (daemon %d)\n",
				n_left, n_left == 1 ? "" : "es", n_left == 1 ? "es" : "",
				(int)f->worker_pid);
		output_let_go();
	}
}

static int worker_death_report(const struct front *f, bool program_ran)
{
	char how[64];

	if (!program_ran && WIFEXITED(f->worker_status) &&
	    WEXITSTATUS(f->worker_status) == WORKER_E_SAID)
		return EXIT_OURS;
	if (WIFSIGNALED(f->worker_status))
		snprintf(how, sizeof(how), "signal %d", WTERMSIG(f->worker_status));
	else
		snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(f->worker_status));
	if (program_ran)
		fprintf(stderr,
			"uswap: the daemon died (%s); the program was stopped because its memory "
			"cannot be trusted any more\n",
			how);
	else
		fprintf(stderr, "uswap: the daemon could not start (%s)\n", how);
	return EXIT_OURS;
}

/* pre: the front is open. */
static int command_run(struct front *f, const struct run_options *o, const char *path)
{
	char preload[PRELOAD_PATH_BYTES];
	struct launch launch = {
		.argv = o->argv,
		.path = path,
		.preload = preload,
		.threshold_bytes = threshold_of(o),
	};
	bool is_static = preload_is_static(path);
	int r, error;

	if (preload_find(preload, sizeof(preload))) {
		fputs("uswap: " PRELOAD_NAME " was not found\n", stderr);
		return EXIT_OURS;
	}
	r = front_start_worker(f, o);
	if (r == FRONT_E_WORKER_DIED)
		return worker_death_report(f, false);
	if (r == FRONT_E_SIGNALLED)
		return 128 + f->stop_signal;
	if (r) {
		fprintf(stderr, "uswap: cannot start the daemon: %s\n", strerror(-r));
		return EXIT_OURS;
	}

	f->unmanaged = is_static;
	if (is_static)
		log_warn("%s is statically linked or for another machine: it runs unmanaged, "
			 "without limit",
			 o->argv[0]);
	r = front_start_program(f, &launch, &error);
	if (r) {
		uint32_t n_left;

		front_finish(f, &n_left);
		if (r > 0)
			return command_refused(o->argv[0], r, error);
		fprintf(stderr, "uswap: cannot start the command: %s\n", strerror(-r));
		return EXIT_OURS;
	}
	r = front_wait(f, is_static ? unmanaged_known : unmanaged_warn);
	if (r)
		return worker_death_report(f, true);
	figures_print(f, o);
	return WIFSIGNALED(f->program_status) ? 128 + WTERMSIG(f->program_status)
					      : WEXITSTATUS(f->program_status);
}

int run_command(int argc, char **argv)
{
	char path[PRELOAD_PATH_BYTES];
	struct run_options o;
	struct front front;
	int r;

	r = run_options_parse(&o, argc, argv);
	if (r)
		return r;
	r = launch_resolve(o.argv[0], path, sizeof(path));
	if (r)
		return command_refused(o.argv[0], r, 0);
	if (getenv(USWAP_ENV_SOCKET))
		log_warn(
			"this runs inside of another uswap run: for the command only the limit given "
			"here will hold");
	r = machine_check(&o);
	if (r)
		return r;
	r = front_open(&front);
	if (r) {
		fprintf(stderr, "uswap: cannot start: %s\n", strerror(-r));
		r = EXIT_OURS;
	} else {
		r = command_run(&front, &o, path);
	}
	front_close(&front);
	return r;
}
