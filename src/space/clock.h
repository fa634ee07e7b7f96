/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock - which present pages leave: a hand goes round, and passes by those that have credit
 *
 * The kernel does not tell which present pages are used, so the only sign of use is a page that comes
 * back, and how soon: its distance is the number of pages evicted since it was. A page that was used
 * more often than once in the time in which all that is resident is replaced would have been better
 * kept. So with each early return its level rises, with each late one it falls, and its credit, the
 * number of rounds it stays, doubles with each level: what it costs to find out that a page is hot is
 * paid a few times, not again and again. Pages touched once, a scan, have the credit of level 0.
 *
 *     distance, in resident pages    up to 3/4    up to 2    up to 4    more
 *     level                          + 1          same       - 1        halved
 *
 * Where all have much credit, rounds find nothing: then a pass takes more than one. After
 * log2(CLOCK_CREDIT_MAX) fruitless rounds any page is a victim.
 *
 * Road not taken: levels that fall one at a time however late a page comes. A set of hot pages that was
 * replaced by another one then blocks memory longer.
 *
 * Threads: the space's owner only.
 */
#ifndef USWAP_SPACE_CLOCK_H
#define USWAP_SPACE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/swap.h"

enum { CLOCK_CREDIT_MAX = 1 << SWAP_LEVEL_MAX };

struct clock {
	uint32_t step_log; /* a pass takes 1 << step_log */
	uint64_t n_found;  /* victims in this round */
};

/* The level of a page of @level that came back @distance evictions after its own. */
uint8_t clock_level(uint8_t level, uint32_t distance, uint64_t n_resident);

/* Rounds that a page which was asked for stays. */
static inline uint8_t clock_credit(uint8_t level)
{
	return (uint8_t)(1u << level);
}

/* The hand is at a page with *credit. True: it is a victim. */
static inline bool clock_pass(const struct clock *c, uint8_t *credit)
{
	uint32_t step = 1u << c->step_log;

	if (!*credit)
		return true;
	*credit = *credit > step ? (uint8_t)(*credit - step) : 0;
	return false;
}

/* The hand is at the end of the address space, and begins again. @n_present: of pages that may leave. */
void clock_round(struct clock *c, uint64_t n_present);

#endif
