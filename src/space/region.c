// SPDX-License-Identifier: LGPL-2.1-or-later
#include "space/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

void region_set_deinit(struct region_set *set)
{
	free(set->ranges);
	*set = (struct region_set){ 0 };
}

/* First range that ends after @addr. */
uint32_t region_lookup(const struct region_set *set, uint64_t addr)
{
	uint32_t low = 0;
	uint32_t high = set->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (set->ranges[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool region_contains(const struct region_set *set, uint64_t addr)
{
	uint32_t i = region_lookup(set, addr);

	return i < set->n && set->ranges[i].start <= addr;
}

bool region_overlaps(const struct region_set *set, struct urange range)
{
	uint32_t i = region_lookup(set, range.start);

	return i < set->n && set->ranges[i].start < range.end;
}

/* Room for one range more. */
static int region_reserve(struct region_set *set)
{
	uint32_t n_max = set->n_max ? set->n_max * 2 : 64;
	struct urange *ranges;

	if (set->n < set->n_max)
		return 0;
	ranges = realloc(set->ranges, n_max * sizeof(*ranges));
	if (!ranges)
		return err_origin(-ENOMEM);
	set->ranges = ranges;
	set->n_max = n_max;
	return 0;
}

/* Replace ranges [first, last) by one; or, with first == last, insert it. pre: room */
static void region_replace(struct region_set *set, uint32_t first, uint32_t last, struct urange by)
{
	memmove(&set->ranges[first + 1], &set->ranges[last],
		(set->n - last) * sizeof(*set->ranges));
	set->n = set->n - (last - first) + 1;
	set->ranges[first] = by;
}

int region_add(struct region_set *set, struct urange range)
{
	uint32_t first, last;
	int r;

	ASSERT(range.start < range.end);
	r = region_reserve(set);
	if (r)
		return r;
	/* touching counts as overlapping: lookup by the byte before */
	first = region_lookup(set, range.start ? range.start - 1 : 0);
	for (last = first; last < set->n && set->ranges[last].start <= range.end; last++) {
		if (set->ranges[last].start < range.start)
			range.start = set->ranges[last].start;
		if (set->ranges[last].end > range.end)
			range.end = set->ranges[last].end;
	}
	region_replace(set, first, last, range);
	return 0;
}

int region_remove(struct region_set *set, struct urange range)
{
	uint32_t i = region_lookup(set, range.start);
	int r;

	if (i < set->n && set->ranges[i].start < range.start && set->ranges[i].end > range.end) {
		struct urange tail = { range.end, set->ranges[i].end };

		r = region_reserve(set);
		if (r)
			return r;
		set->ranges[i].end = range.start;
		region_replace(set, i + 1, i + 1, tail);
		return 0;
	}
	if (i < set->n && set->ranges[i].start < range.start) {
		set->ranges[i].end = range.start;
		i++;
	}
	while (i < set->n && set->ranges[i].end <= range.end) {
		memmove(&set->ranges[i], &set->ranges[i + 1],
			(set->n - i - 1) * sizeof(*set->ranges));
		set->n--;
	}
	if (i < set->n && set->ranges[i].start < range.end)
		set->ranges[i].start = range.end;
	return 0;
}

int region_copy(struct region_set *dst, const struct region_set *src)
{
	ASSERT(!dst->ranges);
	if (!src->n)
		return 0;
	dst->ranges = malloc(src->n * sizeof(*dst->ranges));
	if (!dst->ranges)
		return err_origin(-ENOMEM);
	memcpy(dst->ranges, src->ranges, src->n * sizeof(*dst->ranges));
	dst->n = src->n;
	dst->n_max = src->n;
	return 0;
}

uint64_t region_bytes(const struct region_set *set)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < set->n; i++)
		bytes += set->ranges[i].end - set->ranges[i].start;
	return bytes;
}
