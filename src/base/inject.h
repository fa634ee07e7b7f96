/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inject - let allocation number n fail
 *
 * Tests arm it with n and sweep n until a run has no failure left. Not armed it costs one relaxed
 * load where memory is taken, none of which is on the fault path.
 *
 * inject_race() marks a place where another thread may come between. Builds with USWAP_RACE (the
 * stress tests have one) now and then let it, for as long as it takes to do a lot of harm; or a test
 * with one thread plays the other one there, at place number n for every n.
 *
 * Threads: any; relaxed is enough, the order of allocations of several threads is arbitrary anyway.
 */
#ifndef USWAP_BASE_INJECT_H
#define USWAP_BASE_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

extern _Atomic uint64_t inject_countdown; /* 0: not armed; n: the n-th call from now fails */

bool inject_fail_slow(void);

static inline bool inject_fail(void)
{
	return __builtin_expect(load_relaxed(&inject_countdown) != 0, 0) && inject_fail_slow();
}

static inline void inject_arm(uint64_t n)
{
	store_relaxed(&inject_countdown, n);
}

/* Return: true if the failure has happened since it was armed. */
static inline bool inject_disarm(void)
{
	bool fired = load_relaxed(&inject_countdown) == 0;

	store_relaxed(&inject_countdown, 0);
	return fired;
}

typedef void inject_race_fn(void *user);
void inject_race_set(inject_race_fn *fn, void *user); /* instead of waiting; NULL: wait again */
void inject_race_slow(void);

#ifdef USWAP_RACE
#define inject_race() inject_race_slow()
#else
#define inject_race() ((void)0)
#endif

#endif
