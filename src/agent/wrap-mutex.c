/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-mutex - pages of mutexes that the kernel itself reads and writes
 *
 * The lock word of a priority-inheriting or robust mutex is touched by the kernel where it cannot
 * wait for a page: a contended lock would fail, an owner's death would go unnoticed. Such mutexes
 * can only be made by pthread_mutex_init() with an attribute, so their pages are known.
 */
#include "agent/wrap.h"

#include "agent/keeper.h"
#include <errno.h>
#include <pthread.h>

static bool kernel_looks(const pthread_mutexattr_t *attr)
{
	int protocol, robust;

	if (!pthread_mutexattr_getprotocol(attr, &protocol) && protocol == PTHREAD_PRIO_INHERIT)
		return true;
	return !pthread_mutexattr_getrobust(attr, &robust) && robust == PTHREAD_MUTEX_ROBUST;
}

WRAP_EXPORT int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	int (*next)(pthread_mutex_t *, const pthread_mutexattr_t *) =
		(int (*)(pthread_mutex_t *, const pthread_mutexattr_t *))wrap_next(WRAP_MUTEX_INIT);

	if (!next)
		return ENOSYS;
	if (attr && kernel_looks(attr))
		keeper_protect(mutex, sizeof(*mutex));
	return next(mutex, attr);
}
