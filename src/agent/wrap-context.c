/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-context - a program that leaves the stack it was given
 *
 * Stacks of coroutines may be smaller than the frame of a signal that the program does not know of: the
 * agent comes before the first one is entered, and the signal (birth.c) never. Who switches stacks without
 * libc is not noticed.
 */
#include "agent/wrap.h"

#include "agent/birth.h"
#include <ucontext.h>

WRAP_EXPORT int setcontext(const ucontext_t *to)
{
	int (*next)(const ucontext_t *) = (int (*)(const ucontext_t *))wrap_next(WRAP_SETCONTEXT);

	if (!next)
		return -1;
	birth_hasten();
	return next(to);
}

WRAP_EXPORT int swapcontext(ucontext_t *from, const ucontext_t *to)
{
	int (*next)(ucontext_t *, const ucontext_t *) =
		(int (*)(ucontext_t *, const ucontext_t *))wrap_next(WRAP_SWAPCONTEXT);

	if (!next)
		return -1;
	birth_hasten();
	return next(from, to);
}
