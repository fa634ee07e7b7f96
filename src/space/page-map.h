/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * page-map - the page-table side of one space: address -> slot and residency
 *
 * A radix tree over the client's page numbers, built like a page table: three levels of 512-way
 * nodes over leaves of 512 pages (2 MiB of addresses). Nodes and leaves live in arenas and refer to
 * each other by index. It is kept per space and not per region, so that unmap, remap and the
 * splitting of regions never have to cut a tree in two.
 *
 * A page is in one of these states:
 *
 *   slot 0, not PRESENT   never touched, emptied, or not known: a fault gets zeroes
 *   slot 0, PRESENT       in the program, put there or seen by us: may be evicted
 *   slot,   not PRESENT   evicted: a fault loads the slot
 *   slot,   PRESENT       in the program, and the slot may have a clean copy
 *
 * DETACH marks a page of the detach command in flight: whether it is in the program is unknown until
 * the answer; nobody may install anything there.
 *
 * Ownership: the map owns one count on every slot in it; callers move counts in and out.
 * Threads:   the space's owner only.
 * Invariant: n_slots and n_present of a leaf count its pages; a leaf with neither may be freed. What is
 *            stuck is present, what is shared is stuck; the map counts both.
 */
#ifndef USWAP_SPACE_PAGE_MAP_H
#define USWAP_SPACE_PAGE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slab.h"
#include "core/swap.h"

#define LEAF_PAGES 512u
#define LEAF_BYTES ((uint64_t)LEAF_PAGES * PAGE_BYTES)
#define PAGE_MAP_END (1ULL << 48) /* addresses covered */

enum page_state {
	PAGE_PRESENT = 0x01,
	PAGE_DETACH = 0x02,
	PAGE_STUCK = 0x04,    /* MOVE refused it: locked, read-only, pinned, shared by fork */
	PAGE_LEVEL_SHIFT = 3, /* 3 bits: swap_use.level */
	PAGE_LEVEL_MASK = 0x38,
	PAGE_SHARED = 0x40, /* stuck, and it may be that relatives share it: a copy would leave */
	PAGE_COPIED = 0x80, /* it has got a copy since it was last shared, as far as we know */
};

struct page_leaf {
	uint32_t slot[LEAF_PAGES];  /* slot_id.v */
	uint8_t state[LEAF_PAGES];  /* enum page_state */
	uint8_t credit[LEAF_PAGES]; /* of present pages: clock.h */
	uint16_t n_slots;
	uint16_t n_present;
};

/* The arenas that the page maps of all spaces of one owner share. */
struct page_map_arenas {
	struct slab nodes;
	struct slab leaves;
};
int page_map_arenas_init(struct page_map_arenas *a, uint64_t max_pages);
void page_map_arenas_deinit(struct page_map_arenas *a);
uint64_t page_map_arenas_bytes(struct page_map_arenas *a);

struct page_map {
	struct page_map_arenas *arenas;
	uint32_t root;
	uint64_t cached_base; /* leaf looked up last; ~0: none */
	struct page_leaf *cached;
	uint64_t n_present;
	uint64_t n_slots;
	uint64_t n_stuck;
	uint64_t n_shared;
};

int page_map_init(struct page_map *m, struct page_map_arenas *arenas);
void page_map_deinit(struct page_map *m); /* pre: no slot left in it */

static inline uint32_t page_in_leaf(uint64_t addr)
{
	return (uint32_t)(addr / PAGE_BYTES) % LEAF_PAGES;
}

struct page_leaf *page_map_find(struct page_map *m, uint64_t addr); /* NULL: no such leaf */
struct page_leaf *page_map_get(struct page_map *m, uint64_t addr);  /* NULL: arena exhausted */
/* The first leaf that ends after *addr; *addr becomes its base. NULL: none. */
struct page_leaf *page_map_next(struct page_map *m, uint64_t *addr);
void page_map_trim(struct page_map *m, uint64_t addr); /* free the leaf of @addr if it is empty */

void page_set_present(struct page_map *m, struct page_leaf *leaf, uint32_t i, uint8_t credit,
		      uint8_t level);
void page_clear_present(struct page_map *m, struct page_leaf *leaf, uint32_t i);
/* pre: present. @shared: see PAGE_SHARED. */
void page_set_stuck(struct page_map *m, struct page_leaf *leaf, uint32_t i, bool shared);
void page_clear_stuck(struct page_map *m, struct page_leaf *leaf, uint32_t i);
void page_set_slot(struct page_map *m, struct page_leaf *leaf, uint32_t i, struct slot_id id);
/* Take the slot out of the map; the count on it goes to the caller. */
struct slot_id page_take_slot(struct page_map *m, struct page_leaf *leaf, uint32_t i);

static inline uint8_t page_level(uint8_t state)
{
	return (uint8_t)((state & PAGE_LEVEL_MASK) >> PAGE_LEVEL_SHIFT);
}

void page_map_check(struct page_map *m); /* O(n): asserts the invariant */

#endif
