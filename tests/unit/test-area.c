/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-area - slots of an area, its tree, retirement
 */
#include "test-common.h"

#include "core/area.h"

static struct area_table table;

static int setup(void **state)
{
	(void)state;
	return area_table_init(&table, 2, ARENA_LOCK_NONE);
}

static int teardown(void **state)
{
	(void)state;
	area_table_deinit(&table);
	return 0;
}

static void test_slots_lowest_first(void **state)
{
	struct area *area = NULL;
	struct slot_id id;
	uint32_t i;

	(void)state;
	assert_int_equal(area_new(&table, 7, &area), 0);
	assert_int_equal(area_owner(&table, area->idx), 7);
	for (i = 0; i < AREA_SLOTS; i++) {
		id = area_slot_take(area);
		assert_int_equal(id.v, AREA_SLOTS + i);
		assert_ptr_equal(area_of(&table, id), area);
	}
	area_slot_give(area, (struct slot_id){ AREA_SLOTS + 9000 });
	area_slot_give(area, (struct slot_id){ AREA_SLOTS + 70 });
	assert_int_equal(area_slot_take(area).v, AREA_SLOTS + 70);
	assert_int_equal(area_slot_take(area).v, AREA_SLOTS + 9000);
	assert_int_equal(area->n_slots, AREA_SLOTS);
}

static void test_tree(void **state)
{
	struct area *area = NULL;
	struct slot_id a, b;

	(void)state;
	assert_int_equal(area_new(&table, 1, &area), 0);
	a = area_slot_take(area);
	b = area_slot_take(area);
	assert_int_equal(tree_lookup(area, a), 0);
	tree_insert(area, a, 11);
	tree_insert(area, b, 12);
	assert_int_equal(tree_lookup(area, a), 11);
	tree_erase(area, a, 11);
	assert_int_equal(tree_lookup(area, a), 0);
	assert_int_equal(tree_lookup(area, b), 12);
	tree_erase(area, b, 12);
}

static void test_retired_area_is_used_again(void **state)
{
	struct area *one = NULL, *two = NULL, *three = NULL;
	struct slot_id id;

	(void)state;
	assert_int_equal(area_new(&table, 1, &one), 0);
	assert_int_equal(area_new(&table, 2, &two), 0);
	assert_int_equal(area_new(&table, 3, &three), AREA_E_NONE);
	id = area_slot_take(two);
	area_slot_give(two, id);
	area_retire(&table, one);
	area_retire(&table, two);
	assert_int_equal(area_owner(&table, two->idx), 0);
	assert_true(area_table_trim(&table) > 0);
	assert_int_equal(area_table_trim(&table), 0);
	assert_int_equal(area_new(&table, 3, &three), 0);
	assert_int_equal(area_new(&table, 4, &three), 0);
	assert_int_equal(area_new(&table, 5, &three), AREA_E_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slots_lowest_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retired_area_is_used_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
