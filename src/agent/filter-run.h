/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filter-run - what a seccomp filter says about one system call
 *
 * Threads: any; no state.
 */
#ifndef USWAP_AGENT_FILTER_RUN_H
#define USWAP_AGENT_FILTER_RUN_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

/* Return: 0 with *ret_action; -EINVAL: not a filter that the kernel takes. */
int filter_run(const struct sock_filter *code, uint32_t n, const struct seccomp_data *data,
	       uint32_t *ret_action);

#endif
