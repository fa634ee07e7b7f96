/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front - the process the user sees: between the terminal, the program and the worker
 *
 * It waits for both, passes on what it is sent, holds every descriptor of the worker a second time
 * (R7), and stops the managed processes when the worker dies.
 *
 * Life: front_open -> front_start_worker -> front_start_program -> front_wait -> front_finish
 *       -> front_close. Each step may be the last.
 * Threads: one.
 */
#ifndef USWAP_CLI_FRONT_H
#define USWAP_CLI_FRONT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/sockets.h"
#include "cli/stop.h"

struct launch;
struct run_options;
struct worker_shared;

enum {
	FRONT_E_WORKER_DIED = 1, /* before the program ended, or before it began */
	FRONT_E_SIGNALLED,	 /* told to end before the program began; .stop_signal */
};

struct front {
	struct worker_shared *shared; /* the worker writes, the front reads */
	struct sockets sockets;	      /* agents connect here; the worker accepts */
	int front_fd;		      /* our end of the pair to the worker */
	int worker_fd;		      /* its end */
	int signal_fd;
	int spare_fds[STOP_SPARE_FDS]; /* for stop_command(); -1: none */
	pid_t worker_pid;	       /* 0: not running */
	pid_t program_pid;	       /* 0: not running */
	int worker_status;	       /* as waitpid() gave it, once it is not running */
	int program_status;
	uint64_t program_rss_bytes; /* of the largest process it waited for, itself included */
	int stop_signal;
	bool unmanaged; /* the user was told that the program is */
	sigset_t inherited_mask;
	struct sigaction inherited_child;
};

int front_open(struct front *f);
void front_close(struct front *f);

/* Return: 0 when it is ready; FRONT_E_WORKER_DIED; FRONT_E_SIGNALLED; -errno. */
int front_start_worker(struct front *f, const struct run_options *o);
/* Return: as launch_program(). */
int front_start_program(struct front *f, struct launch *launch, int *ret_errno);

/*
 * Until the program has ended. @on_second is called once, a second after the start, if it still
 * runs. Return: 0; FRONT_E_WORKER_DIED: all processes of the command have been killed.
 */
int front_wait(struct front *f, void (*on_second)(struct front *f));

/*
 * Have the worker write its last figures into .shared, and wait for its end unless processes of the
 * program go on. Return: true if there are figures; *ret_n_left processes go on.
 */
bool front_finish(struct front *f, uint32_t *ret_n_left);

#endif
