/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-thread - a program with threads is worth an agent at once
 *
 * And its signal is needed by libc from the first pthread_cancel() on: see birth.c.
 */
#include "agent/wrap.h"

#include "agent/birth.h"
#include <errno.h>
#include <pthread.h>

WRAP_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			       void *arg)
{
	int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))wrap_next(
			WRAP_THREAD_CREATE);

	if (!next)
		return ENOSYS;
	birth_hasten();
	return next(thread, attr, fn, arg);
}
