/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * trial - which of a few ways to do the same thing serves most, found by doing each in turns
 *
 * A trial is TRIAL_ROUNDS windows of each way, in turns, so that a program that changes what it does is
 * not taken for a way that is better. The first way is the one that is right on most machines: another
 * must serve more by a clear margin. What was found is held for a while, and twice as long each time that
 * a trial finds the same again: trying costs what the worse ways cost.
 *
 * No thread, no clock, no lock of its own: the caller says what time it is.
 */
#ifndef USWAP_DAEMON_TRIAL_H
#define USWAP_DAEMON_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#define TRIAL_MAX_WAYS 3u
#define TRIAL_ROUNDS 2u
#define TRIAL_WINDOW_NS (30ULL * 1000 * 1000)
#define TRIAL_HOLD_MIN_NS (2ULL * 1000 * 1000 * 1000)
#define TRIAL_HOLD_MAX_NS (128ULL * 1000 * 1000 * 1000)
#define TRIAL_MARGIN 1.1

struct trial {
	uint32_t n_ways;	     /* [const] 1: there is nothing to try */
	uint32_t way;		     /* to be used now, 0 to n_ways - 1 */
	uint32_t found;		     /* by the last trial */
	uint32_t n_windows;	     /* of this trial, over; all of them: what was found is held */
	uint64_t tick_ns;	     /* last tick */
	uint64_t tick_served;	     /* at that moment */
	uint64_t window_ns;	     /* of this window so far, what counts */
	uint64_t window_served;	     /* in that time */
	uint64_t held_ns;	     /* since */
	uint64_t hold_ns;	     /* for so long; 0: there was no trial yet */
	double rate[TRIAL_MAX_WAYS]; /* sum over the windows */
};

/* pre: 1 <= @n_ways <= TRIAL_MAX_WAYS. The first trial begins with the first tick that counts. */
void trial_init(struct trial *t, uint32_t n_ways);

/*
 * @n_served: so far, of what shall become more. @counts: false if the time since the last tick says
 * nothing: little was asked for, or something else was done.
 */
void trial_tick(struct trial *t, bool counts, uint64_t n_served, uint64_t now_ns);

#endif
