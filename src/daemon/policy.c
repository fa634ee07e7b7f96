// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The built-in policies: one rule for how much, three orders.
 *
 * How much of the limit the pool may take: a page in the pool that would else be on the disk saves a
 * read, a page that is resident saves only a decompression, some ten times less; and a page that
 * compresses c:1 lets c of them stay in memory for one. So what compresses well may fill most of the
 * limit before anything is written, and what does not compress goes to the file as fast as it comes.
 * While programs read from the disk a lot the pool gets more, at the expense of what is resident.
 */
#include "daemon/policy.h"

#include <string.h>

#define SHARE_GOOD \
	0.70 /* of the limit without metadata, for the pool: ratio RATIO_GOOD or better */
#define SHARE_POOR 0.10	 /* the same for what does not compress */
#define SHARE_READS 0.08 /* more, while reads from the disk are frequent */
#define RATIO_GOOD 0.45
#define RATIO_POOR 0.90
#define READS_PART 8.0 /* frequent: one load of this many has to be read */
#define READS_MIN_PER_S 200.0
#define LOW_PART 16 /* the low mark is this part below the high one */

static double pool_share(const struct uswap_policy_view *v)
{
	double loads = v->pool_loads_per_s + v->file_loads_per_s;
	double share = SHARE_POOR;

	if (v->ratio <= RATIO_GOOD)
		share = SHARE_GOOD;
	else if (v->ratio < RATIO_POOR)
		share += (SHARE_GOOD - SHARE_POOR) * (RATIO_POOR - v->ratio) /
			 (RATIO_POOR - RATIO_GOOD);
	if (v->ratio < RATIO_POOR && v->file_loads_per_s > READS_MIN_PER_S &&
	    v->file_loads_per_s > loads / READS_PART)
		share += SHARE_READS;
	return share;
}

static void marks(const struct uswap_policy_view *v, struct uswap_policy_choice *ret)
{
	uint64_t high = USWAP_POLICY_NEVER;

	if (v->limit_bytes != UINT64_MAX && v->limit_bytes > v->meta_bytes)
		high = (uint64_t)((double)(v->limit_bytes - v->meta_bytes) * pool_share(v));
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
