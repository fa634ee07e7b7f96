/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pattern - page contents that can be made again: different for each page and salt, about 3:1
 */
#ifndef USWAP_TEST_PATTERN_H
#define USWAP_TEST_PATTERN_H

#include <stdint.h>

#define PAGE 4096u
#define PAGE_WORDS (PAGE / 8u)

static inline void pattern_make(uint64_t *p, uint64_t page_idx, uint64_t salt)
{
	uint64_t x = page_idx * 0x9e3779b97f4a7c15ull + salt;

	for (uint32_t i = 0; i < PAGE_WORDS; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = i % 5 == 0 ? x ^ (x >> 29) : page_idx + salt;
	}
}

#endif
