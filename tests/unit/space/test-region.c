/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-region - a set of ranges against one flag per page
 */
#include "test-common.h"
#include "test-pages.h"

#include "space/region.h"

#define N_PAGES 200u

static struct urange pages(uint32_t start, uint32_t end)
{
	return (struct urange){ start * (uint64_t)PAGE_BYTES, end * (uint64_t)PAGE_BYTES };
}

static void expect(const struct region_set *set, const bool *want)
{
	uint64_t bytes = 0;
	uint32_t k;

	for (k = 0; k < N_PAGES; k++) {
		assert_int_equal(region_contains(set, k * (uint64_t)PAGE_BYTES), want[k]);
		assert_int_equal(region_contains(set, k * (uint64_t)PAGE_BYTES + 4095), want[k]);
		bytes += want[k] ? PAGE_BYTES : 0;
	}
	assert_int_equal(region_bytes(set), bytes);
	for (k = 0; k < set->n; k++) { /* sorted, and neighbours are merged */
		assert_true(set->ranges[k].start < set->ranges[k].end);
		assert_true(!k || set->ranges[k - 1].end < set->ranges[k].start);
	}
}

static void test_random(void **state)
{
	struct region_set set = { 0 };
	struct rng rng = { 5 };
	bool want[N_PAGES] = { false };
	uint32_t n, k;

	(void)state;
	for (n = 0; n < 3000; n++) {
		uint32_t start = rng_below(&rng, N_PAGES - 1);
		uint32_t end = start + 1 + rng_below(&rng, n % 5 ? 6 : N_PAGES - start - 1);
		bool add = rng_below(&rng, 2);

		if (end > N_PAGES)
			end = N_PAGES;
		assert_int_equal(add ? region_add(&set, pages(start, end))
				     : region_remove(&set, pages(start, end)),
				 0);
		for (k = start; k < end; k++)
			want[k] = add;
		expect(&set, want);
	}
	region_set_deinit(&set);
}

static void test_lookup(void **state)
{
	struct region_set set = { 0 };

	(void)state;
	assert_int_equal(region_lookup(&set, 0), 0);
	assert_int_equal(region_add(&set, pages(10, 20)), 0);
	assert_int_equal(region_add(&set, pages(30, 40)), 0);
	assert_int_equal(region_lookup(&set, 5 * PAGE_BYTES), 0);
	assert_int_equal(region_lookup(&set, 19 * PAGE_BYTES), 0);
	assert_int_equal(region_lookup(&set, 20 * PAGE_BYTES), 1);
	assert_int_equal(region_lookup(&set, 40 * PAGE_BYTES), 2);
	region_set_deinit(&set);
}

static void test_page_zero(void **state)
{
	struct region_set set = { 0 };

	(void)state;
	assert_int_equal(region_add(&set, pages(0, 1)), 0);
	assert_int_equal(region_add(&set, pages(1, 2)), 0);
	assert_int_equal(set.n, 1);
	assert_int_equal(region_remove(&set, pages(0, 2)), 0);
	assert_int_equal(set.n, 0);
	region_set_deinit(&set);
}

static void test_copy(void **state)
{
	struct region_set a = { 0 }, b = { 0 }, empty = { 0 };

	(void)state;
	assert_int_equal(region_copy(&b, &empty), 0);
	assert_int_equal(b.n, 0);
	assert_int_equal(region_add(&a, pages(1, 2)), 0);
	assert_int_equal(region_add(&a, pages(5, 7)), 0);
	assert_int_equal(region_copy(&b, &a), 0);
	assert_int_equal(region_remove(&a, pages(1, 7)), 0);
	assert_int_equal(b.n, 2);
	assert_int_equal(region_bytes(&b), 3 * PAGE_BYTES);
	assert_int_equal(region_add(&b, pages(2, 5)), 0); /* and goes on to grow */
	assert_int_equal(b.n, 1);
	region_set_deinit(&a);
	region_set_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_page_zero),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
