/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-page-map - the radix tree over a client's pages
 */
#include "test-common.h"
#include "test-pages.h"

#include "space/page-map.h"

struct fixture {
	struct page_map_arenas arenas;
	struct page_map map;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || page_map_arenas_init(&f->arenas, 1000) || page_map_init(&f->map, &f->arenas))
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	page_map_deinit(&f->map);
	page_map_arenas_deinit(&f->arenas);
	free(f);
	return 0;
}

static void test_find_and_get(void **state)
{
	struct page_map *m = &((struct fixture *)*state)->map;
	static const uint64_t addrs[] = { 0,
					  LEAF_BYTES,
					  UINT64_C(1) << 30,
					  UINT64_C(1) << 39,
					  UINT64_C(0x7fffffe00000),
					  PAGE_MAP_END - PAGE_BYTES };
	uint32_t k, i;

	for (k = 0; k < 6; k++) {
		assert_null(page_map_find(m, addrs[k]));
		assert_non_null(page_map_get(m, addrs[k]));
	}
	for (k = 0; k < 6; k++) {
		assert_non_null(page_map_find(m, addrs[k]));
		for (i = 0; i < k; i++)
			assert_ptr_not_equal(page_map_find(m, addrs[k]),
					     page_map_find(m, addrs[i]));
	}
	assert_null(page_map_find(m, PAGE_MAP_END));
	assert_null(page_map_get(m, PAGE_MAP_END));
	assert_null(page_map_get(m, UINT64_MAX - 4095));
}

static void test_next_ascends(void **state)
{
	struct page_map *m = &((struct fixture *)*state)->map;
	static const uint64_t bases[] = { LEAF_BYTES, 5 * LEAF_BYTES, UINT64_C(3) << 30,
					  UINT64_C(0x7f0000200000) };
	uint64_t addr = 0;
	uint32_t k;

	for (k = 4; k--;)
		assert_non_null(page_map_get(m, bases[k] + 17 * PAGE_BYTES));
	for (k = 0; k < 4; k++, addr += LEAF_BYTES) {
		struct page_leaf *leaf = page_map_next(m, &addr);

		assert_ptr_equal(leaf, page_map_find(m, bases[k]));
		assert_int_equal(addr, bases[k]);
	}
	assert_null(page_map_next(m, &addr));
	addr = bases[1] + 100 * PAGE_BYTES; /* inside of a leaf: that leaf */
	assert_ptr_equal(page_map_next(m, &addr), page_map_find(m, bases[1]));
	assert_int_equal(addr, bases[1]);
	addr = PAGE_MAP_END;
	assert_null(page_map_next(m, &addr));
}

static void test_states(void **state)
{
	struct page_map *m = &((struct fixture *)*state)->map;
	struct page_leaf *leaf = page_map_get(m, 0);
	struct slot_id id = { 7 };

	page_set_present(m, leaf, 3, 5, 2);
	assert_int_equal(leaf->credit[3], 5);
	assert_int_equal(page_level(leaf->state[3]), 2);
	assert_int_equal(m->n_present, 1);
	leaf->state[3] |= PAGE_DETACH;
	page_set_present(m, leaf, 3, 7, 3); /* again: counted once, DETACH stays */
	assert_int_equal(m->n_present, 1);
	assert_true(leaf->state[3] & PAGE_DETACH);
	assert_int_equal(leaf->credit[3], 7);
	page_set_slot(m, leaf, 3, id);
	assert_int_equal(m->n_slots, 1);
	page_map_check(m);
	assert_int_equal(page_take_slot(m, leaf, 3).v, 7);
	assert_int_equal(page_take_slot(m, leaf, 3).v, 0);
	page_clear_present(m, leaf, 3);
	page_clear_present(m, leaf, 3);
	assert_int_equal(leaf->state[3], 0);
	assert_int_equal(m->n_present, 0);
	assert_int_equal(m->n_slots, 0);
	page_map_check(m);
}

static void test_trim(void **state)
{
	struct fixture *f = *state;
	struct page_map *m = &f->map;
	uint64_t addr = 9 * LEAF_BYTES;
	struct page_leaf *leaf = page_map_get(m, addr);

	page_set_present(m, leaf, 0, 0, 0);
	page_map_trim(m, addr);
	assert_non_null(page_map_find(m, addr));
	page_clear_present(m, leaf, 0);
	leaf->state[1] = PAGE_DETACH; /* of a command in flight */
	page_map_trim(m, addr);
	assert_non_null(page_map_find(m, addr));
	leaf->state[1] = 0;
	page_map_trim(m, addr + 5 * PAGE_BYTES);
	assert_null(page_map_find(m, addr)); /* nor is it cached */
	page_map_trim(m, addr);
	leaf = page_map_get(m, addr); /* a new one is empty */
	assert_int_equal(leaf->n_present, 0);
	assert_int_equal(leaf->state[0], 0);
}

/* Random pages against an array. */
static void test_random(void **state)
{
	enum { N = 4 * LEAF_PAGES };
	struct page_map *m = &((struct fixture *)*state)->map;
	static uint32_t slot[N];
	static bool present[N];
	struct rng rng = { 3 };
	uint32_t n;

	memset(slot, 0, sizeof(slot));
	memset(present, 0, sizeof(present));
	for (n = 0; n < 20000; n++) {
		uint32_t k = rng_below(&rng, N);
		uint64_t addr = UINT64_C(0x5500001ff000) + k * (uint64_t)PAGE_BYTES;
		struct page_leaf *leaf = page_map_get(m, addr);
		uint32_t i = page_in_leaf(addr);

		assert_non_null(leaf);
		assert_int_equal(leaf->slot[i], slot[k]);
		assert_int_equal(!!(leaf->state[i] & PAGE_PRESENT), present[k]);
		if (rng_below(&rng, 2)) {
			if (slot[k])
				assert_int_equal(page_take_slot(m, leaf, i).v, slot[k]);
			else
				page_set_slot(m, leaf, i, (struct slot_id){ n + 1 });
			slot[k] = slot[k] ? 0 : n + 1;
		} else {
			if (present[k])
				page_clear_present(m, leaf, i);
			else
				page_set_present(m, leaf, i, 1, 1);
			present[k] = !present[k];
		}
		if (n % 100 == 0)
			page_map_check(m);
		page_map_trim(m, addr);
	}
	for (n = 0; n < N; n++)
		if (slot[n])
			page_take_slot(
				m,
				page_map_find(m,
					      UINT64_C(0x5500001ff000) + n * (uint64_t)PAGE_BYTES),
				page_in_leaf(UINT64_C(0x5500001ff000) + n * (uint64_t)PAGE_BYTES));
	page_map_check(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find_and_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_ascends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
