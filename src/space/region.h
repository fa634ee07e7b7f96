/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * region - the registered ranges of one space
 *
 * A sorted array of disjoint, non-adjacent ranges: what we believe is registered with main for
 * missing pages. Adjacent ranges are merged, as the kernel merges their mappings.
 *
 * Threads:   the space's owner only.
 * Invariant: while no event of main is unread, every range here is registered in the kernel (the
 *            reverse need not hold: what is registered but unknown is adopted at its first fault).
 */
#ifndef USWAP_SPACE_REGION_H
#define USWAP_SPACE_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "space/mem-ops.h"

struct region_set {
	struct urange *ranges;
	uint32_t n;
	uint32_t n_max;
};

void region_set_deinit(struct region_set *set);
/* Return: 0; -ENOMEM, and the set is as before. */
int region_add(struct region_set *set, struct urange range);
int region_remove(struct region_set *set, struct urange range);
/* Index of the range that contains @addr, or of the first after it (set->n: none). */
uint32_t region_lookup(const struct region_set *set, uint64_t addr);
bool region_contains(const struct region_set *set, uint64_t addr);
bool region_overlaps(const struct region_set *set, struct urange range);
int region_copy(struct region_set *dst, const struct region_set *src); /* pre: @dst empty */
uint64_t region_bytes(const struct region_set *set);

#endif
