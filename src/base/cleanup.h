/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cleanup - locals that own what they point to
 *
 *   _cleanup_(pool_freep) struct pool *pool = NULL;
 *   …
 *   *ret_pool = TAKE_PTR(pool);
 *
 * Ownership leaves a local only by TAKE_PTR(), TAKE_FD() or into a parameter documented as consumed.
 */
#ifndef USWAP_BASE_CLEANUP_H
#define USWAP_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((__cleanup__(fn)))

/* Value of the pointer @p, which is NULL after. */
#define TAKE_PTR(p)                                \
	({                                         \
		__typeof__(p) *take_at_ = &(p);    \
		__typeof__(p) take_v_ = *take_at_; \
		*take_at_ = NULL;                  \
		take_v_;                           \
	})

/* As above for a descriptor, which is -1 after. */
#define TAKE_FD(fd)                      \
	({                               \
		int *take_at_ = &(fd);   \
		int take_v_ = *take_at_; \
		*take_at_ = -1;          \
		take_v_;                 \
	})

/* Defines free_fn##p(), for _cleanup_(), of a function that takes NULL. */
#define DEFINE_CLEANUP(type, free_fn)           \
	static inline void free_fn##p(type *at) \
	{                                       \
		if (*at)                        \
			free_fn(*at);           \
	}

static inline void freep(void *at)
{
	free(*(void **)at);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif
