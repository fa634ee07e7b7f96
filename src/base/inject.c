/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inject - the countdown, and the places of races
 */
#include "base/inject.h"

#include <sched.h>
#include <time.h>

_Atomic uint64_t inject_countdown;

bool inject_fail_slow(void)
{
	uint64_t n = load_relaxed(&inject_countdown);

	while (n > 0)
		if (try_swap_relaxed(&inject_countdown, &n, n - 1))
			return n == 1;
	return false;
}

static inject_race_fn *race_fn; /* set by tests with one thread */
static void *race_user;

void inject_race_set(inject_race_fn *fn, void *user)
{
	race_fn = fn;
	race_user = user;
}

void inject_race_slow(void)
{
	static _Thread_local uint32_t state;

	if (race_fn) {
		race_fn(race_user);
		return;
	}
	state = (state ? state : (uint32_t)(uintptr_t)&state) * 1664525u + 1013904223u;
	if (state >> 24 == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	else if (state >> 28 == 0)
		sched_yield();
}
