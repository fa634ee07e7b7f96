/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-readahead - what streams of faults bring along
 */
#include "test-common.h"

#include "space/space-impl.h"

#define FIRST UINT64_C(0x7f0000000000) /* a leaf's base */

static struct page_map_arenas arenas;

/* A space whose pages [0, n) of two leaves are evicted, or not there at all. */
static int setup(void **state)
{
	struct space *sp = calloc(1, sizeof(*sp));
	uint32_t k;

	if (!sp || page_map_arenas_init(&arenas, 1000) || page_map_init(&sp->map, &arenas))
		return -1;
	if (region_add(&sp->regions, (struct urange){ FIRST, FIRST + 2 * LEAF_BYTES }))
		return -1;
	for (k = 0; k < 2 * LEAF_PAGES; k++)
		page_set_slot(&sp->map, page_map_get(&sp->map, FIRST + k * (uint64_t)PAGE_BYTES),
			      k % LEAF_PAGES, (struct slot_id){ k + 1 });
	*state = sp;
	return 0;
}

static int teardown(void **state)
{
	struct space *sp = *state;
	uint32_t k;

	for (k = 0; k < 2 * LEAF_PAGES; k++)
		page_take_slot(&sp->map, page_map_find(&sp->map, FIRST + k * (uint64_t)PAGE_BYTES),
			       k % LEAF_PAGES);
	page_map_deinit(&sp->map);
	page_map_arenas_deinit(&arenas);
	region_set_deinit(&sp->regions);
	region_set_deinit(&sp->no_ahead);
	free(sp);
	return 0;
}

static uint64_t addr_of(uint32_t page)
{
	return FIRST + page * (uint64_t)PAGE_BYTES;
}

/* A fault on @page; the whole plan is installed. Return: pages. */
static uint32_t fault(struct space *sp, uint32_t page, struct ahead *plan)
{
	readahead_plan(sp, addr_of(page), plan);
	readahead_done(sp, addr_of(page), plan, plan->n);
	return plan->n;
}

static uint64_t next_window(struct space *sp, uint64_t addr, const struct ahead *behind,
			    struct ahead *ret)
{
	uint64_t next = readahead_next(sp, addr, behind);

	if (next)
		readahead_window(sp, addr, next, ret);
	return next;
}

/* What comes after a full window, in either direction; and only then. */
static void test_next_of_a_stream(void **state)
{
	struct space *sp = *state;
	struct space_group group = { .early_window = 16 };
	struct ahead plan, next;
	uint32_t page = 1;

	sp->group = &group;
	fault(sp, 0, &plan);
	for (; plan.n < 16; page += plan.n) {
		assert_int_equal(next_window(sp, addr_of(page - 1), NULL, &next), 0);
		fault(sp, page, &plan);
	}
	page -= plan.n;
	assert_int_equal(next_window(sp, addr_of(page), NULL, &next), addr_of(page + 16));
	assert_int_equal(next.start, addr_of(page + 16));
	assert_int_equal(next.n, 16);
	/* it is joined in its middle: the stream goes on behind it */
	readahead_joined(sp, addr_of(page + 20), &next, false);
	assert_int_equal(next_window(sp, addr_of(page + 20), NULL, &next), addr_of(page + 32));
	assert_int_equal(next.n, 32);
	readahead_too_early(sp, addr_of(page + 32));
	assert_int_equal(next_window(sp, addr_of(page + 20), NULL, &next), 0);

	fault(sp, 900, &plan);
	for (page = 899; plan.n < 16; page -= plan.n)
		fault(sp, page, &plan);
	page += plan.n;
	assert_int_equal(next_window(sp, addr_of(page), NULL, &next), addr_of(page - 16));
	assert_int_equal(next.start, addr_of(page - 31));
	assert_int_equal(next.n, 16);
	assert_int_equal(next.stride, 1);
}

/* Who had to wait for what was read early gets more of it; who left it lying gets less, and nobody else. */
static void test_depth_of_a_stream(void **state)
{
	struct space *sp = *state;
	struct space_group group = { .early_window = 16 };
	struct ahead plan, next, second;
	uint32_t page = 1, k;

	sp->group = &group;
	fault(sp, 0, &plan);
	for (; plan.n < 64; page += plan.n)
		fault(sp, page, &plan);
	page -= plan.n;
	assert_int_equal(readahead_depth(sp, addr_of(page)), 1);
	for (k = 0; k < 4; k++) {
		page = (uint32_t)(next_window(sp, addr_of(page), NULL, &next) / PAGE_BYTES) %
		       LEAF_PAGES;
		readahead_joined(sp, addr_of(page), &next, true);
	}
	assert_int_equal(readahead_depth(sp, addr_of(page)), 3);
	(void)next_window(sp, addr_of(page), NULL, &next);
	assert_int_equal(next_window(sp, addr_of(page), &next, &second), addr_of(page + 128));

	readahead_too_early(sp, addr_of(page) - PAGE_BYTES); /* somebody else's */
	readahead_too_early(sp, addr_of(page + 128));
	assert_int_equal(readahead_depth(sp, addr_of(page)), 2);
	readahead_too_far(sp);
	assert_int_equal(readahead_depth(sp, addr_of(page)), 1);
	readahead_too_early(sp, addr_of(page + 64));
	assert_int_equal(readahead_depth(sp, addr_of(page)), 0);
}

/* A window ended at a page that could not be had: the stream goes on there, as the stream it is. */
static void test_stream_goes_on_behind_a_hole(void **state)
{
	struct space *sp = *state;
	struct space_group group = { .early_window = 16 };
	struct ahead plan;
	uint32_t page = 1;

	sp->group = &group;
	fault(sp, 0, &plan);
	for (; plan.n < 32; page += plan.n)
		fault(sp, page, &plan);
	readahead_plan(sp, addr_of(page), &plan);
	assert_int_equal(plan.n, 64);
	plan.n = 10;
	readahead_done(sp, addr_of(page), &plan, 10);
	assert_int_equal(fault(sp, page + 10, &plan), 64);
}

static void test_one_fault_is_no_stream(void **state)
{
	struct ahead plan;

	assert_int_equal(fault(*state, 100, &plan), 1);
	assert_int_equal(plan.start, addr_of(100));
}

static void test_ascending_windows_double(void **state)
{
	struct ahead plan;
	uint32_t page = 1, n = 4;

	assert_int_equal(fault(*state, 0, &plan), 1);
	for (; page < 120; page += plan.n) {
		assert_int_equal(fault(*state, page, &plan), n);
		assert_int_equal(plan.start, addr_of(page));
		assert_int_equal(plan.stride, 1);
		n = n * 2 > AHEAD_MAX_PAGES ? AHEAD_MAX_PAGES : n * 2;
	}
}

static void test_descending_is_one_run(void **state)
{
	struct ahead plan;

	fault(*state, 300, &plan);
	assert_int_equal(fault(*state, 299, &plan), 4);
	assert_int_equal(plan.start, addr_of(296)); /* from the lowest, the fault is the last */
	assert_int_equal(plan.stride, 1);
	assert_int_equal(fault(*state, 295, &plan), 8);
	assert_int_equal(plan.start, addr_of(288));
}

static void test_stride_must_repeat(void **state)
{
	struct ahead plan;

	fault(*state, 10, &plan);
	assert_int_equal(fault(*state, 17, &plan), 1);
	assert_int_equal(fault(*state, 24, &plan), 4);
	assert_int_equal(plan.stride, 7);
	assert_int_equal(plan.start, addr_of(24));
	assert_int_equal(fault(*state, 52, &plan), 8);
	assert_int_equal(plan.stride, 7);
}

static void test_random_faults_bring_nothing(void **state)
{
	static const uint32_t pages[] = { 900, 100, 500, 300, 700, 200, 800, 400, 600, 0 };
	struct ahead plan;
	uint32_t k;

	for (k = 0; k < 10; k++)
		assert_int_equal(fault(*state, pages[k], &plan), 1);
}

static void test_two_streams_at_once(void **state)
{
	struct ahead plan;

	fault(*state, 0, &plan);
	fault(*state, 600, &plan);
	assert_int_equal(fault(*state, 1, &plan), 4);
	assert_int_equal(fault(*state, 601, &plan), 4);
	assert_int_equal(fault(*state, 5, &plan), 8);
	assert_int_equal(fault(*state, 605, &plan), 8);
}

static void test_only_what_is_out(void **state)
{
	struct space *sp = *state;
	struct page_leaf *leaf = page_map_find(&sp->map, addr_of(0));
	struct ahead plan;

	page_set_present(&sp->map, leaf, 3, 0, 0);
	fault(sp, 0, &plan);
	assert_int_equal(fault(sp, 1, &plan), 2);
	leaf->state[8] |= PAGE_DETACH;
	fault(sp, 5, &plan);
	assert_int_equal(fault(sp, 6, &plan), 2);
	leaf->state[8] = 0;
	page_clear_present(&sp->map, leaf, 3);
}

static void test_borders(void **state)
{
	struct space *sp = *state;
	struct ahead plan;

	fault(sp, LEAF_PAGES - 3, &plan);
	assert_int_equal(fault(sp, LEAF_PAGES - 2, &plan), 2); /* not over the leaf's end */
	assert_int_equal(region_remove(&sp->regions, (struct urange){ addr_of(22), addr_of(30) }),
			 0);
	fault(sp, 19, &plan);
	assert_int_equal(fault(sp, 20, &plan), 2); /* nor the region's */
	assert_int_equal(region_add(&sp->no_ahead, (struct urange){ addr_of(200), addr_of(210) }),
			 0);
	fault(sp, 200, &plan);
	assert_int_equal(fault(sp, 201, &plan), 1); /* where guards may be */
}

static void test_failed_window_starts_anew(void **state)
{
	struct space *sp = *state;
	struct ahead plan;

	fault(sp, 0, &plan);
	readahead_plan(sp, addr_of(1), &plan);
	assert_int_equal(plan.n, 4);
	readahead_done(sp, addr_of(1), &plan, 0);
	readahead_plan(sp, addr_of(1), &plan);
	assert_int_equal(plan.n, 1); /* the retry is for this page alone */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_fault_is_no_stream),
		TEST(test_ascending_windows_double),
		TEST(test_descending_is_one_run),
		TEST(test_stride_must_repeat),
		TEST(test_random_faults_bring_nothing),
		TEST(test_two_streams_at_once),
		TEST(test_only_what_is_out),
		TEST(test_borders),
		TEST(test_failed_window_starts_anew),
		TEST(test_next_of_a_stream),
		TEST(test_depth_of_a_stream),
		TEST(test_stream_goes_on_behind_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
