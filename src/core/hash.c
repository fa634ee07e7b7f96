/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hash - XXH3, 128 bits, with a secret of our own
 *
 * 0.1 to 0.2 us a page. On x86-64 the library picks the widest vectors of this CPU; elsewhere the
 * compiler's baseline has them.
 */
#include "core/hash.h"

#include "base/error.h"
#include "base/random.h"
#include "core/swap.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

_Static_assert(HASH_KEY_BYTES >= XXH3_SECRET_SIZE_MIN, "secret long enough for XXH3");

int hash_init(struct hash *h, enum arena_residency residency)
{
	int r;

	*h = (struct hash){ .arena = ARENA_INIT };
	r = arena_init(&h->arena, &(struct arena_options){
					  .name = "uswap-key",
					  .reserve_bytes = PAGE_BYTES,
					  .step_bytes = PAGE_BYTES,
					  .residency = residency,
				  });
	if (!r)
		r = err_fold(arena_grow(&h->arena, PAGE_BYTES));
	if (!r)
		r = random_fill(h->arena.base, HASH_KEY_BYTES);
	return err_trace(r);
}

void hash_deinit(struct hash *h)
{
	arena_deinit(&h->arena);
}

struct page_hash hash_page(const struct hash *h, const void *page)
{
	XXH128_hash_t v = XXH3_128bits_withSecret(page, PAGE_BYTES, h->arena.base, HASH_KEY_BYTES);

	return (struct page_hash){ { v.low64, v.high64 } };
}

uint64_t hash_word(const struct hash *h, uint64_t word)
{
	return XXH3_64bits_withSecret(&word, sizeof(word), h->arena.base, HASH_KEY_BYTES);
}
