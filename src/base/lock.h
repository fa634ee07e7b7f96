/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock - a mutex with a rank
 *
 * A thread takes locks in rising rank only; docs/locking.md lists them all. Builds with USWAP_DEBUG
 * check it at every acquire. clang checks the attributes at compile time; gcc does not see them.
 *
 * Under a lock: no callback, no system call that can wait for a client.
 */
#ifndef USWAP_BASE_LOCK_H
#define USWAP_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif

#define CAPABILITY(name) THREAD_ATTR(capability(name))
#define GUARDED_BY(l) THREAD_ATTR(guarded_by(l))
#define PT_GUARDED_BY(l) THREAD_ATTR(pt_guarded_by(l))
#define REQUIRES(...) THREAD_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) THREAD_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) THREAD_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASE(...) THREAD_ATTR(release_capability(__VA_ARGS__))
#define NO_THREAD_CHECK THREAD_ATTR(no_thread_safety_analysis)

/* Ranks of the locks inside src/base; everything above src/base has a lower one. */
enum {
	LOCK_RANK_SLAB = 900,
	LOCK_RANK_ARENA = 910,
};

struct CAPABILITY("mutex") lock {
	pthread_mutex_t mutex;
	uint32_t rank;	  /* [const] */
	const char *name; /* [const] static text */
};

void lock_init(struct lock *l, uint32_t rank, const char *name);
void lock_deinit(struct lock *l); /* pre: nobody holds it */
void lock_acquire(struct lock *l) ACQUIRE(*l);
void lock_release(struct lock *l) RELEASE(*l);
/* True if the caller holds @l; builds without USWAP_DEBUG do not know and say true. */
bool lock_is_held(const struct lock *l);

#endif
