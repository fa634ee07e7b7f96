/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock - mutexes, and the list of what a thread holds in debug builds
 *
 * Adaptive mutexes: what they protect is held for less than a microsecond, and a sleeping waiter
 * costs fifty times that to wake on another CPU.
 */
#include "base/lock.h"

#include "base/assert.h"

#ifdef USWAP_DEBUG
enum { HELD_MAX = 16 };
static _Thread_local const struct lock *held[HELD_MAX];
static _Thread_local uint32_t n_held;

static void held_push(const struct lock *l)
{
	ASSERT(n_held < HELD_MAX);
	held[n_held++] = l;
}

static void held_pop(const struct lock *l)
{
	uint32_t i;

	for (i = n_held; i > 0; i--)
		if (held[i - 1] == l)
			break;
	ASSERT(i > 0);
	for (; i < n_held; i++)
		held[i - 1] = held[i];
	n_held--;
}

static void held_check_rank(const struct lock *l)
{
	uint32_t i;

	for (i = 0; i < n_held; i++)
		ASSERT(held[i]->rank < l->rank);
}

bool lock_is_held(const struct lock *l)
{
	uint32_t i;

	for (i = 0; i < n_held; i++)
		if (held[i] == l)
			return true;
	return false;
}
#else
static inline void held_push(const struct lock *l)
{
	(void)l;
}

static inline void held_pop(const struct lock *l)
{
	(void)l;
}

static inline void held_check_rank(const struct lock *l)
{
	(void)l;
}

bool lock_is_held(const struct lock *l)
{
	(void)l;
	return true;
}
#endif

void lock_init(struct lock *l, uint32_t rank, const char *name)
{
	pthread_mutexattr_t attr;
	int r;

	r = pthread_mutexattr_init(&attr);
	ASSERT(r == 0);
	r = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	ASSERT(r == 0);
	r = pthread_mutex_init(&l->mutex, &attr);
	ASSERT(r == 0);
	pthread_mutexattr_destroy(&attr);
	l->rank = rank;
	l->name = name;
}

void lock_deinit(struct lock *l)
{
	int r = pthread_mutex_destroy(&l->mutex);

	ASSERT(r == 0);
}

void lock_acquire(struct lock *l) NO_THREAD_CHECK
{
	int r;

	held_check_rank(l);
	r = pthread_mutex_lock(&l->mutex);
	ASSERT(r == 0);
	held_push(l);
}

void lock_release(struct lock *l) NO_THREAD_CHECK
{
	int r;

	held_pop(l);
	r = pthread_mutex_unlock(&l->mutex);
	ASSERT(r == 0);
}
