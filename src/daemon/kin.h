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

/* The process was started with @socket_name in its environment. False also if that cannot be seen. */
bool kin_is(pid_t pid, const char *socket_name);
/* How many such there are but ourselves, with numbers above @after. */
uint32_t kin_count(const char *socket_name, pid_t after);
/* A number above which all processes lie that were started after us; 0: they may lie anywhere. */
pid_t kin_after(void);

#endif
