/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-thread - a program with threads is worth an agent at once
 *
 * And its signal is needed by libc from the first pthread_cancel() on: see birth.c.
 *
 * The word that the kernel clears when a thread ends has to be in memory then: the kernel does not wait
 * for it, and who joins the thread would wait for ever. libc's own lie where nothing is evicted.
 *
 * A process that shares our memory and is no thread of ours is not seen by the daemon, which has to know
 * who may be emptying pages and where control blocks lie: from then on nothing leaves. But for a vfork
 * child: its parent stands still, and it does little.
 */
#include "agent/wrap.h"

#include "agent/birth.h"
#include "agent/keeper.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>

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

WRAP_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	int (*next)(int (*)(void *), void *, int, void *, ...) =
		(int (*)(int (*)(void *), void *, int, void *, ...))wrap_next(WRAP_CLONE);
	pid_t *parent_tid, *child_tid;
	va_list args;
	void *tls;

	if (!next)
		return -1;
	va_start(args, arg); /* as libc does: whether they are there only the flags tell */
	parent_tid = va_arg(args, pid_t *);
	tls = va_arg(args, void *);
	child_tid = va_arg(args, pid_t *);
	va_end(args);
	if ((flags & (CLONE_VM | CLONE_THREAD | CLONE_VFORK)) == CLONE_VM)
		keeper_protect_all();
	if (flags & CLONE_CHILD_CLEARTID)
		keeper_protect(child_tid, sizeof(*child_tid));
	return next(fn, stack, flags, arg, parent_tid, tls, child_tid);
}
