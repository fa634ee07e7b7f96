/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * birth - when and how a process gets its agent
 *
 * Threads:   as keeper.h says; birth_init() and birth_fork_child() while there is one thread.
 * Invariant: errno is the caller's.
 */
#ifndef USWAP_AGENT_BIRTH_H
#define USWAP_AGENT_BIRTH_H

#include "agent/agent.h"
#include <stdbool.h>

/* Called by the library's constructor. @threshold_text, in the environment, may be NULL. */
void birth_init(const char *socket_name, char *threshold_text);
/* In a fork child: forget the parent's agent, see to our own. */
void birth_fork_child(void);

/* If an agent is still to come, let it come now. */
void birth_hasten(void);
/* As above, and wait until it has closed the descriptors it inherited. No agent will follow it. */
void birth_hasten_last(void);
/* If an agent is still to come, it will not, until birth_now(). Return: true if one was. */
bool birth_put_off(void);
/* Start an agent unless there is one. pre: nobody else does so. */
void birth_now(void);
/* No agent any more: in this process, its fork children, and what they start with our environment. */
void birth_forbid(void);

/* The area, or NULL; birth_area_get() makes it. */
struct agent_area *birth_area(void);
struct agent_area *birth_area_get(void);

#endif
