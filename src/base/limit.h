/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * limit - what a process may use of the system
 *
 * A daemon inherits limits that somebody meant for a program. With CAP_SYS_RESOURCE it may have more
 * than it was started with, without up to what is called the hard limit.
 *
 * Threads: any; it is one figure for all of them.
 */
#ifndef USWAP_BASE_LIMIT_H
#define USWAP_BASE_LIMIT_H

#include <stdint.h>

uint64_t limit_raise_files(void); /* descriptors. Return: how many there may be */
/*
 * Limits that would end the daemon, or refuse it memory: CPU time, file size, address space. Return: the
 * option of ulimit for one that stays, such as "-t"; NULL: none does.
 */
const char *limit_lift(void);

#endif
