/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control - one request of the library to the daemon, over a connection of its own
 *
 * Threads: any.
 */
#ifndef USWAP_AGENT_CONTROL_H
#define USWAP_AGENT_CONTROL_H

#include "agent/agent.h"

/*
 * Ask for @type about the calling process and wait for USWAP_CTL_DONE. @range may be NULL.
 * Return: 0 done; -ECONNREFUSED no daemon; -ETIMEDOUT; the daemon's or the kernel's negative errno.
 */
int control_request(const struct agent_area *area, uint32_t type, const struct uswap_range *range);

#endif
