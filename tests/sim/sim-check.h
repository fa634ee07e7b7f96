/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sim-check - one simulated machine, brought to rest and looked at
 *
 * Threads: one.
 */
#ifndef USWAP_SIM_CHECK_H
#define USWAP_SIM_CHECK_H

#include "owner.h"

struct sim {
	struct world world;
	struct owner owner;
	struct rng rng;
	uint64_t seed;
	uint64_t n_steps;
	uint64_t rest_every;
	uint64_t n_rests;
	uint64_t n_phantom; /* pages believed present that are not */
	bool resting;
	bool verbose;
};

void sim_init(struct sim *s, void (*preempt)(void *user));
/*
 * Do all that is due until nothing is; then check everything. What is wrong is in world.wrong.
 */
void sim_rest(struct sim *s);

void sim_totals_add(const struct sim *s);
void sim_totals_print(void);

#endif
