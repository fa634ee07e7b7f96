/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keeper - the library's side of the agent: takes it away, starts it again
 *
 * birth.c says when the first agent of a process is started.
 *
 * Ownership: one area per process, made at the first start and copied by fork.
 * Threads:   any thread of the program, also between fork and exec of a threaded one, and in a child
 *            that shares our memory (vfork): nothing here allocates, nothing waits without bound, and
 *            a process that is not the one the agent was started in never touches it.
 * Invariant: errno is the caller's: no function here changes it.
 */
#ifndef USWAP_AGENT_KEEPER_H
#define USWAP_AGENT_KEEPER_H

#include "agent/agent.h"
#include <stdbool.h>

enum {
	KEEPER_E_ABSENT = 1, /* there is no agent to take away; nothing is owed */
};

enum keeper_take {
	KEEPER_TAKE_ANY,      /* whatever it is doing */
	KEEPER_TAKE_UNSEALED, /* only while it still has the program's privileges */
};

/*
 * Take the agent away. Return: 0, then keeper_resume() is owed; KEEPER_E_ABSENT.
 * An agent that cannot be reached within two seconds stays; the caller goes on all the same.
 */
int keeper_pause(enum keeper_take take);
void keeper_resume(void);

/*
 * Bring a range home before something empties or replaces it without an event.
 * Return: 0: nothing of it is with the daemon; a negative errno.
 */
int keeper_home(uint64_t start, uint64_t len);

/* Pages of [addr, addr + bytes) come back if they are out, and stay resident from now on. */
void keeper_protect(const void *addr, uint64_t bytes);
/* Nothing leaves any more. */
void keeper_protect_all(void);

#endif
