// SPDX-License-Identifier: LGPL-2.1-or-later
#include "space/clock.h"

#define ROUND_FEW_PART \
	16u /* a round that finds less than this part of what is there finds little */

uint8_t clock_level(uint8_t level, uint32_t distance, uint64_t n_resident)
{
	if (distance < n_resident / 4 * 3)
		return level < SWAP_LEVEL_MAX ? (uint8_t)(level + 1) : SWAP_LEVEL_MAX;
	if (distance < 2 * n_resident)
		return level;
	if (distance < 4 * n_resident)
		return level ? (uint8_t)(level - 1) : 0;
	return level / 2;
}

void clock_round(struct clock *c, uint64_t n_present)
{
	if (c->n_found < n_present / ROUND_FEW_PART) {
		if (c->step_log < SWAP_LEVEL_MAX)
			c->step_log++;
	} else if (c->step_log) {
		c->step_log--;
	}
	c->n_found = 0;
}
