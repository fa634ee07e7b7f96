// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A page's content from its stamp. The first word is the stamp itself.
 */
#include <string.h>

#include "base/assert.h"
#include "fake-mem.h"

static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
	return v ^ v >> 29;
}

/* Low bits choose the kind: one word repeated, incompressible, or like a heap. */
void stamp_expand(uint64_t stamp, void *page)
{
	uint64_t *w = page;
	uint64_t v = mix(stamp);
	uint32_t i;

	w[0] = stamp;
	for (i = 1; i < PAGE_BYTES / 8; i++) {
		if (stamp % 8 == 0)
			w[i] = stamp;
		else if (stamp % 8 == 1)
			w[i] = v = v * UINT64_C(6364136223846793005) + stamp;
		else
			w[i] = i % 16 ? (v & 0xffffff) + i % 7 : stamp + i;
	}
}

uint64_t stamp_of(const void *page)
{
	static uint8_t want[PAGE_BYTES] __attribute__((aligned(8)));
	uint64_t stamp;

	memcpy(&stamp, page, sizeof(stamp));
	stamp_expand(stamp, want);
	ASSERT(!memcmp(page, want, PAGE_BYTES)); /* torn, or bytes of nobody */
	return stamp;
}
