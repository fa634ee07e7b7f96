/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * assert - checks of what the program itself must guarantee
 *
 * ASSERT stays on in release builds: a daemon that serves memory must stop rather than go on with a
 * broken invariant. Only programming errors; no side effects in the condition; one condition each.
 * ASSERT_SLOW is for what costs too much there and is compiled in with USWAP_DEBUG only.
 *
 * Threads: any.
 */
#ifndef USWAP_BASE_ASSERT_H
#define USWAP_BASE_ASSERT_H

#include <stdint.h>

_Noreturn void assert_fail(const char *cond, const char *file, uint32_t line);

#define ASSERT(cond)                                            \
	do {                                                    \
		if (__builtin_expect(!(cond), 0))               \
			assert_fail(#cond, __FILE__, __LINE__); \
	} while (0)

#ifdef USWAP_DEBUG
#define ASSERT_SLOW(cond) ASSERT(cond)
#else
#define ASSERT_SLOW(cond) ((void)sizeof(!(cond))) /* names stay used, nothing is evaluated */
#endif

#endif
