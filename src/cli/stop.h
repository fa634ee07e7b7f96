/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stop - end every process of the command after the worker's death (R7)
 *
 * The pages the worker held are gone. While its userfaultfds stay open a process that reads one of
 * them waits; when the last one is closed it reads zeroes. So nobody may be left when we exit: also
 * those the worker never knew by number, such as children of a fork that have no agent.
 *
 * Threads: one, in the process that shares the dead worker's descriptor table.
 */
#ifndef USWAP_CLI_STOP_H
#define USWAP_CLI_STOP_H

#include <stdbool.h>
#include <sys/types.h>

struct worker_shared;

/* What stop_command() needs, when the worker has used up all there are. */
enum { STOP_SPARE_FDS = 8 };

struct stop_options {
	const struct worker_shared *shared; /* whom the worker managed */
	const char *socket_name;	    /* value of USWAP_SOCKET in the command's environment */
	pid_t program_pid;		    /* 0: has ended */
	int *spare_fds;			    /* STOP_SPARE_FDS; closed, whatever they are */
	int *ret_status; /* of the program, as waitpid() gives it; untouched if it has ended */
};

/*
 * pre: the worker is gone. post: no process of the command is alive, and no address space has a
 * userfaultfd in our table. Waits as long as that takes; adopts what a dying process leaves behind.
 * Return: true if there was anybody.
 */
bool stop_command(const struct stop_options *o);

#endif
