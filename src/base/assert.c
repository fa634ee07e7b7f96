/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * assert - the end of a program whose invariant is broken
 *
 * Formats on the stack and writes with one system call: the heap may be what is broken.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void assert_fail(const char *cond, const char *file, uint32_t line)
{
	char text[512];
	int n;

	n = snprintf(text, sizeof(text), "uswap: %s:%u: assertion failed: %s\n", file, line, cond);
	if (n > (int)sizeof(text) - 1)
		n = (int)sizeof(text) - 1;
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		abort();
	abort();
}
