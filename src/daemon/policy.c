// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The built-in policies: one rule for how much, three orders.
 *
 * How much of the limit the pool may take. What compresses well may fill most of it, since a page that
 * compresses c:1 lets c of them stay in memory for one that is resident; what does not compress goes to the
 * file as fast as it comes. Below that bound the two kinds of load are held against each other: time that
 * programs lose to loads from the pool is lost because too little is resident, time lost to reads because
 * too little is in memory at all. Whichever costs more gets more room, a little at a time.
 */
#include "daemon/policy.h"

#include <stdbool.h>
#include <string.h>

#define SHARE_GOOD 0.78 /* at most, of the limit without metadata: ratio RATIO_GOOD or better */
#define SHARE_POOR 0.10 /* the same for what does not compress */
#define SHARE_MIN 0.20	/* at least, if it compresses at all */
#define SHARE_STEP 0.01
#define RATIO_GOOD 0.45
#define RATIO_POOR 0.90
#define COST_FACTOR 2.0	  /* less than that apart, the two kinds of load are balanced */
#define COST_MIN_NS 5e6	  /* in a second: less says nothing about what is needed */
#define POOL_LOAD_PARTS 2 /* a load makes an eviction necessary, which costs about as much */
#define LOW_PART 16	  /* the low mark is this part below the high one */

/* The most the pool may have, by how well data compresses. */
static double share_max(const struct uswap_policy_view *v)
{
	if (v->ratio <= RATIO_GOOD)
		return SHARE_GOOD;
	if (v->ratio >= RATIO_POOR)
		return SHARE_POOR;
	return SHARE_POOR +
	       (SHARE_GOOD - SHARE_POOR) * (RATIO_POOR - v->ratio) / (RATIO_POOR - RATIO_GOOD);
}

static double pool_share(const struct uswap_policy_view *v, uint64_t room_bytes)
{
	double pool_cost = v->pool_loads_per_s * (double)v->pool_load_ns * POOL_LOAD_PARTS;
	double file_cost = v->file_loads_per_s * (double)v->file_load_ns;
	double most = share_max(v);
	double least = most < SHARE_MIN ? most : SHARE_MIN;
	double share = v->last_high_bytes ? (double)v->last_high_bytes / (double)room_bytes : most;
	bool matters = pool_cost + file_cost >= COST_MIN_NS;

	if (matters && pool_cost > file_cost * COST_FACTOR)
		share -= SHARE_STEP;
	else if (matters && file_cost > pool_cost * COST_FACTOR)
		share += SHARE_STEP;
	return share < least ? least : share > most ? most : share;
}

static void marks(const struct uswap_policy_view *v, struct uswap_policy_choice *ret)
{
	uint64_t high = USWAP_POLICY_NEVER;

	if (v->limit_bytes != UINT64_MAX && v->limit_bytes > v->meta_bytes) {
		uint64_t room_bytes = v->limit_bytes - v->meta_bytes;

		high = (uint64_t)((double)room_bytes * pool_share(v, room_bytes));
	}
	if (v->pool_max_bytes != UINT64_MAX && high > v->pool_max_bytes - v->pool_max_bytes / 16)
		high = v->pool_max_bytes - v->pool_max_bytes / 16; /* room for what is on its way */
	ret->high_bytes = high;
	ret->low_bytes = high == USWAP_POLICY_NEVER ? high : high - high / LOW_PART;
	ret->bytes_per_s = 0;
}

static void choose_lru(const struct uswap_policy_view *v, struct uswap_policy_choice *ret)
{
	marks(v, ret);
	ret->order = USWAP_ORDER_LRU;
}

static void choose_fifo(const struct uswap_policy_view *v, struct uswap_policy_choice *ret)
{
	marks(v, ret);
	ret->order = USWAP_ORDER_FIFO;
}

static void choose_size(const struct uswap_policy_view *v, struct uswap_policy_choice *ret)
{
	marks(v, ret);
	ret->order = USWAP_ORDER_SIZE;
}

static void choose_none(const struct uswap_policy_view *v, struct uswap_policy_choice *ret)
{
	(void)v;
	*ret = (struct uswap_policy_choice){ .high_bytes = USWAP_POLICY_NEVER,
					     .low_bytes = USWAP_POLICY_NEVER };
}

static const struct uswap_policy policy_lru = { "lru", "coldest first, with a second chance",
						choose_lru };
static const struct uswap_policy policy_fifo = { "fifo", "in the order pages were evicted",
						 choose_fifo };
static const struct uswap_policy policy_size = { "size",
						 "among the coldest, what compresses badly first",
						 choose_size };
static const struct uswap_policy policy_none = { "none", "nothing is written", choose_none };

const struct uswap_policy *const policies[] = { &policy_lru, &policy_fifo, &policy_size,
						&policy_none };
const size_t n_policies = sizeof(policies) / sizeof(policies[0]);

const struct uswap_policy *policy_find(const char *name)
{
	size_t i;

	for (i = 0; i < n_policies; i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	return NULL;
}
