/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * limit - what a process may use of the system
 *
 * Threads: any; it is one figure for all of them.
 */
#ifndef USWAP_BASE_LIMIT_H
#define USWAP_BASE_LIMIT_H

#include <stdint.h>

/*
 * As many descriptors as the system gives this process: it needs CAP_SYS_RESOURCE to have more than it
 * was started with.
 */
uint64_t limit_raise_files(void); /* Return: how many */

#endif
