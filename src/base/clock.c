/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock - CLOCK_MONOTONIC, or what a simulator says
 */
#include "base/clock.h"

#include <stddef.h>

static clock_fn *source_fn; /* set before there are threads */
static void *source_user;

void clock_source_set(clock_fn *fn, void *user)
{
	source_user = user;
	source_fn = fn;
}

uint64_t clock_now_ns(void)
{
	struct timespec ts;

	if (source_fn)
		return source_fn(source_user);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct timespec clock_deadline(uint64_t ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns += (uint64_t)ts.tv_nsec;
	ts.tv_sec += (time_t)(ns / 1000000000u);
	ts.tv_nsec = (long)(ns % 1000000000u);
	return ts;
}
