// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon/trial.h"

#include "base/assert.h"

#include <string.h>

void trial_init(struct trial *t, uint32_t n_ways)
{
	ASSERT(n_ways >= 1 && n_ways <= TRIAL_MAX_WAYS);
	*t = (struct trial){ .n_ways = n_ways, .n_windows = n_ways * TRIAL_ROUNDS };
}

static bool is_held(const struct trial *t)
{
	return t->n_windows == t->n_ways * TRIAL_ROUNDS;
}

static void window_begin(struct trial *t)
{
	t->way = t->n_windows % t->n_ways;
	t->window_ns = t->window_served = 0;
}

static uint32_t best_way(const struct trial *t)
{
	uint32_t best = 0;
	uint32_t k;

	for (k = 1; k < t->n_ways; k++)
		if (t->rate[k] > t->rate[best] * (best ? 1.0 : TRIAL_MARGIN))
			best = k;
	return best;
}

static void trial_end(struct trial *t, uint64_t now_ns)
{
	uint32_t best = best_way(t);

	if (!t->hold_ns || best != t->found)
		t->hold_ns = TRIAL_HOLD_MIN_NS;
	else if (t->hold_ns < TRIAL_HOLD_MAX_NS)
		t->hold_ns *= 2;
	t->found = t->way = best;
	t->held_ns = now_ns;
}

static void window_go_on(struct trial *t, uint64_t n_served, uint64_t passed_ns, uint64_t now_ns)
{
	t->window_ns += passed_ns;
	t->window_served += n_served;
	if (t->window_ns < TRIAL_WINDOW_NS)
		return;
	t->rate[t->way] += (double)t->window_served / (double)t->window_ns;
	t->n_windows++;
	if (is_held(t))
		trial_end(t, now_ns);
	else
		window_begin(t);
}

void trial_tick(struct trial *t, bool counts, uint64_t n_served, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - t->tick_ns, passed_served = n_served - t->tick_served;

	t->tick_ns = now_ns;
	t->tick_served = n_served;
	if (!counts || t->n_ways == 1)
		return;
	if (!is_held(t)) {
		window_go_on(t, passed_served, passed_ns, now_ns);
	} else if (!t->hold_ns || now_ns - t->held_ns >= t->hold_ns) {
		t->n_windows = 0;
		memset(t->rate, 0, sizeof(t->rate));
		window_begin(t);
	}
}
