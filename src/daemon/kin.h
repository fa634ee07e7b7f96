/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kin - processes of the command that no space stands for
 *
 * A process has a space from when its agent attaches, which small ones never do. Whoever was started
 * with our socket's name in its environment may still grow, or start somebody who does.
 *
 * Threads: one at a time. Reads /proc; needs CAP_SYS_PTRACE for processes of other users.
 */
#ifndef USWAP_DAEMON_KIN_H
#define USWAP_DAEMON_KIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum kin {
	KIN_NO, /* also if it cannot be seen */
	KIN_YES,
	KIN_UNSURE, /* in the middle of an exec, for some microseconds as a rule: to be asked again */
};

/* A patience for KIN_UNSURE: an exec may wait for a file system that does not answer, for ever. */
#define KIN_UNSURE_NS 2000000000ull

/* Was the process started with @socket_name in its environment? */
enum kin kin_look(pid_t pid, const char *socket_name);
/* How many such there are but ourselves, with numbers above @after. @ret_unsure: there may be more. */
uint32_t kin_count(const char *socket_name, pid_t after, bool *ret_unsure);
/* A number above which all processes lie that were started after us; 0: they may lie anywhere. */
pid_t kin_after(void);

#endif
