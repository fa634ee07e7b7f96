/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hash - the fingerprint by which a page is known again
 *
 * Taken when a page is stored, checked each time it is loaded, and trusted instead of comparing
 * bytes when a clean copy was kept. It is keyed with random bytes: a program's data may be chosen
 * by an enemy who looks for two pages with one fingerprint.
 *
 * Threads: any; the key never changes.
 */
#ifndef USWAP_CORE_HASH_H
#define USWAP_CORE_HASH_H

#include "base/arena.h"

enum { HASH_KEY_BYTES = 192 };

struct hash {
	struct arena arena; /* the key; a successor must know it */
};

struct page_hash {
	uint64_t v[2];
};

int hash_init(struct hash *h, enum arena_residency residency);
void hash_deinit(struct hash *h);

struct page_hash hash_page(const struct hash *h, const void *page);
uint64_t hash_word(const struct hash *h, uint64_t word); /* of a same-filled page */

#endif
