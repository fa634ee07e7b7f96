// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A leaf is 3 KiB for 512 pages: six bytes a page where memory is dense, which is where it
 * counts. Inner nodes are never freed before the space ends: at one node for a gigabyte of
 * addresses they are not worth a reference count.
 *
 * Road not taken: one radix tree per region. Every munmap() in the middle of a region and every
 * mprotect() would have to split a tree, and mremap() to graft one; with one tree per space all of
 * them are loops over pages.
 */
#include "space/page-map.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

#define NODE_FANOUT 512u
#define NODE_LEVELS 3u

struct page_node {
	uint32_t child[NODE_FANOUT];
};

int page_map_arenas_init(struct page_map_arenas *a, uint64_t max_pages)
{
	/* sparse maps and fork children take more than one for 512 pages; this is address space only */
	uint64_t n_leaves = max_pages / 8 + 65536;
	int r;

	if (n_leaves > UINT32_MAX / 2)
		n_leaves = UINT32_MAX / 2;
	r = slab_init(&a->nodes, "page-map-nodes", sizeof(struct page_node),
		      (uint32_t)(n_leaves / 8 + 4096));
	if (r)
		return err_trace(r);
	r = slab_init(&a->leaves, "page-map-leaves", sizeof(struct page_leaf), (uint32_t)n_leaves);
	if (r) {
		slab_deinit(&a->nodes);
		return err_trace(r);
	}
	return 0;
}

void page_map_arenas_deinit(struct page_map_arenas *a)
{
	slab_deinit(&a->leaves);
	slab_deinit(&a->nodes);
}

uint64_t page_map_arenas_bytes(struct page_map_arenas *a)
{
	return slab_committed_bytes(&a->nodes) + slab_committed_bytes(&a->leaves);
}

static struct page_node *node_at(struct page_map *m, uint32_t idx)
{
	return slab_at(&m->arenas->nodes, idx);
}

static struct page_leaf *leaf_at(struct page_map *m, uint32_t idx)
{
	return slab_at(&m->arenas->leaves, idx);
}

static uint32_t node_new(struct page_map *m)
{
	uint32_t idx = slab_alloc(&m->arenas->nodes);

	if (idx)
		memset(node_at(m, idx), 0, sizeof(struct page_node));
	return idx;
}

int page_map_init(struct page_map *m, struct page_map_arenas *arenas)
{
	*m = (struct page_map){ .arenas = arenas, .cached_base = UINT64_MAX };
	m->root = node_new(m);
	if (!m->root)
		return err_origin(-ENOMEM);
	return 0;
}

static void node_free(struct page_map *m, uint32_t idx, uint32_t level)
{
	struct page_node *node = node_at(m, idx);
	uint32_t i;

	for (i = 0; i < NODE_FANOUT; i++) {
		if (!node->child[i])
			continue;
		if (level + 1 < NODE_LEVELS) {
			node_free(m, node->child[i], level + 1);
		} else {
			ASSERT(!leaf_at(m, node->child[i])->n_slots);
			slab_free(&m->arenas->leaves, node->child[i]);
		}
	}
	slab_free(&m->arenas->nodes, idx);
}

void page_map_deinit(struct page_map *m)
{
	if (!m->root)
		return;
	node_free(m, m->root, 0);
	m->root = 0;
	m->cached = NULL;
	m->cached_base = UINT64_MAX;
}

/* Index of @addr in a node of @level; level 0 is the root, 2 refers to leaves. */
static uint32_t node_index(uint64_t addr, uint32_t level)
{
	uint32_t shift = 21 + 9 * (NODE_LEVELS - 1 - level);

	return (uint32_t)(addr >> shift) % NODE_FANOUT;
}

static uint64_t leaf_base(uint64_t addr)
{
	return addr & ~(LEAF_BYTES - 1);
}

struct page_leaf *page_map_find(struct page_map *m, uint64_t addr)
{
	uint64_t base = leaf_base(addr);
	uint32_t idx = m->root;
	uint32_t level;

	if (base == m->cached_base)
		return m->cached;
	if (addr >= PAGE_MAP_END)
		return NULL;
	for (level = 0; level < NODE_LEVELS && idx; level++)
		idx = node_at(m, idx)->child[node_index(addr, level)];
	if (!idx)
		return NULL;
	m->cached_base = base;
	m->cached = leaf_at(m, idx);
	return m->cached;
}

struct page_leaf *page_map_get(struct page_map *m, uint64_t addr)
{
	struct page_leaf *leaf = page_map_find(m, addr);
	uint32_t idx = m->root;
	uint32_t level;

	if (leaf)
		return leaf;
	if (addr >= PAGE_MAP_END)
		return NULL;
	for (level = 0; level < NODE_LEVELS; level++) {
		uint32_t *link = &node_at(m, idx)->child[node_index(addr, level)];

		if (!*link && level + 1 < NODE_LEVELS) {
			*link = node_new(m);
		} else if (!*link) {
			uint32_t leaf_idx = slab_alloc(&m->arenas->leaves);

			if (leaf_idx)
				memset(leaf_at(m, leaf_idx), 0, sizeof(struct page_leaf));
			*link = leaf_idx;
		}
		if (!*link)
			return NULL;
		idx = *link;
	}
	m->cached_base = leaf_base(addr);
	m->cached = leaf_at(m, idx);
	return m->cached;
}

/* First leaf under node @idx of @level at or after @addr, whose node range starts at @base. */
static struct page_leaf *node_next(struct page_map *m, uint32_t idx, uint32_t level, uint64_t base,
				   uint64_t *addr)
{
	uint64_t step = 1ULL << (21 + 9 * (NODE_LEVELS - 1 - level));
	uint32_t i = *addr > base ? (uint32_t)((*addr - base) / step) : 0;

	for (; i < NODE_FANOUT; i++) {
		uint32_t child = node_at(m, idx)->child[i];
		uint64_t child_base = base + i * step;
		struct page_leaf *leaf;

		if (!child)
			continue;
		if (level + 1 == NODE_LEVELS) {
			*addr = child_base;
			return leaf_at(m, child);
		}
		leaf = node_next(m, child, level + 1, child_base, addr);
		if (leaf)
			return leaf;
	}
	return NULL;
}

struct page_leaf *page_map_next(struct page_map *m, uint64_t *addr)
{
	if (*addr >= PAGE_MAP_END)
		return NULL;
	return node_next(m, m->root, 0, 0, addr);
}

void page_map_trim(struct page_map *m, uint64_t addr)
{
	uint32_t idx = m->root;
	uint32_t *link = NULL;
	uint32_t level;
	uint32_t i;
	struct page_leaf *leaf;

	for (level = 0; level < NODE_LEVELS && idx; level++) {
		link = &node_at(m, idx)->child[node_index(addr, level)];
		idx = *link;
	}
	if (!idx)
		return;
	leaf = leaf_at(m, idx);
	if (leaf->n_slots || leaf->n_present)
		return;
	for (i = 0; i < LEAF_PAGES; i++)
		if (leaf->state[i] & PAGE_DETACH)
			return;
	if (m->cached == leaf) {
		m->cached = NULL;
		m->cached_base = UINT64_MAX;
	}
	*link = 0;
	slab_free(&m->arenas->leaves, idx);
}

void page_clear_stuck(struct page_map *m, struct page_leaf *leaf, uint32_t i)
{
	m->n_stuck -= !!(leaf->state[i] & PAGE_STUCK);
	m->n_shared -= !!(leaf->state[i] & PAGE_SHARED);
	leaf->state[i] &= (uint8_t) ~(PAGE_STUCK | PAGE_SHARED);
}

void page_set_stuck(struct page_map *m, struct page_leaf *leaf, uint32_t i, bool shared)
{
	ASSERT(leaf->state[i] & PAGE_PRESENT);
	page_clear_stuck(m, leaf, i);
	leaf->state[i] |= shared ? PAGE_STUCK | PAGE_SHARED : PAGE_STUCK;
	m->n_stuck++;
	m->n_shared += shared;
}

void page_set_present(struct page_map *m, struct page_leaf *leaf, uint32_t i, uint8_t credit,
		      uint8_t level)
{
	if (!(leaf->state[i] & PAGE_PRESENT)) {
		leaf->n_present++;
		m->n_present++;
	}
	page_clear_stuck(m, leaf, i);
	leaf->state[i] = (uint8_t)((leaf->state[i] & PAGE_DETACH) | PAGE_PRESENT |
				   (level << PAGE_LEVEL_SHIFT));
	leaf->credit[i] = credit;
}

void page_clear_present(struct page_map *m, struct page_leaf *leaf, uint32_t i)
{
	if (leaf->state[i] & PAGE_PRESENT) {
		leaf->n_present--;
		m->n_present--;
	}
	page_clear_stuck(m, leaf, i);
	leaf->state[i] = 0;
}

void page_set_slot(struct page_map *m, struct page_leaf *leaf, uint32_t i, struct slot_id id)
{
	ASSERT(!leaf->slot[i] && id.v);
	leaf->slot[i] = id.v;
	leaf->n_slots++;
	m->n_slots++;
}

struct slot_id page_take_slot(struct page_map *m, struct page_leaf *leaf, uint32_t i)
{
	struct slot_id id = { leaf->slot[i] };

	if (id.v) {
		leaf->slot[i] = 0;
		leaf->n_slots--;
		m->n_slots--;
	}
	return id;
}

void page_map_check(struct page_map *m)
{
	uint64_t n_present = 0;
	uint64_t n_slots = 0;
	uint64_t n_stuck = 0;
	uint64_t n_shared = 0;
	uint64_t addr = 0;
	struct page_leaf *leaf;

	for (; (leaf = page_map_next(m, &addr)); addr += LEAF_BYTES) {
		uint32_t leaf_present = 0;
		uint32_t leaf_slots = 0;
		uint32_t i;

		for (i = 0; i < LEAF_PAGES; i++) {
			leaf_present += !!(leaf->state[i] & PAGE_PRESENT);
			leaf_slots += !!leaf->slot[i];
			n_stuck += !!(leaf->state[i] & PAGE_STUCK);
			n_shared += !!(leaf->state[i] & PAGE_SHARED);
			ASSERT(!(leaf->state[i] & PAGE_STUCK) || leaf->state[i] & PAGE_PRESENT);
			ASSERT(!(leaf->state[i] & PAGE_SHARED) || leaf->state[i] & PAGE_STUCK);
		}
		ASSERT(leaf_present == leaf->n_present);
		ASSERT(leaf_slots == leaf->n_slots);
		n_present += leaf_present;
		n_slots += leaf_slots;
	}
	ASSERT(n_present == m->n_present);
	ASSERT(n_slots == m->n_slots);
	ASSERT(n_stuck == m->n_stuck && n_shared == m->n_shared);
}
