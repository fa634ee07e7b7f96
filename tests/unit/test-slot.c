/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-slot - counts and pins of one word
 */
#include "test-common.h"

#include "core/slot.h"

static struct slot_table table;
static const struct slot_id id = { 5 };

static int setup(void **state)
{
	(void)state;
	if (slot_table_init(&table, 100, ARENA_LOCK_NONE) || arena_grow(&table.arena, 800))
		return -1;
	slot_open(&table, id);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slot_table_deinit(&table);
	return 0;
}

static void test_pin_is_exclusive(void **state)
{
	(void)state;
	assert_int_equal(slot_try_pin(&table, id, SWAP_PIN_MOVE), SWAP_E_BUSY);
	assert_int_equal(slot_unpin(&table, id, 0), 0);
	assert_int_equal(slot_try_pin(&table, id, SWAP_PIN_LOAD), 0);
	assert_int_equal(slot_try_pin(&table, id, SWAP_PIN_MOVE), SWAP_E_WARM);
	assert_int_equal(slot_unpin(&table, id, 1), SLOT_LAST);
	slot_close(&table, id);
}

static void test_park_is_told_once(void **state)
{
	(void)state;
	assert_int_equal(slot_pin_or_park(&table, id, SWAP_PIN_LOAD), SWAP_E_PARKED);
	assert_int_equal(slot_pin_or_park(&table, id, SWAP_PIN_LOAD), SWAP_E_PARKED);
	assert_int_equal(slot_unpin(&table, id, 0), SLOT_WAITER);
	assert_int_equal(slot_pin_or_park(&table, id, SWAP_PIN_LOAD), 0);
	assert_int_equal(slot_unpin(&table, id, 0), 0);
	assert_int_equal(slot_drop(&table, id), SLOT_LAST);
	slot_close(&table, id);
}

static void test_last_count_of_a_pinned_slot(void **state)
{
	(void)state;
	slot_hold(&table, id);
	assert_int_equal(slot_count(&table, id), 2);
	assert_int_equal(slot_drop(&table, id), 0);
	assert_int_equal(slot_pin_or_park(&table, id, SWAP_PIN_LOAD), SWAP_E_PARKED);
	assert_int_equal(slot_drop(&table, id), 0); /* pinned: the unpin will free */
	assert_int_equal(slot_try_pin(&table, id, SWAP_PIN_MOVE), SWAP_E_GONE);
	assert_int_equal(slot_unpin(&table, id, 0), SLOT_LAST | SLOT_WAITER);
	assert_int_equal(slot_try_pin(&table, id, SWAP_PIN_MOVE), SWAP_E_GONE);
	slot_close(&table, id);
}

static void test_generation(void **state)
{
	struct slot_ref ref = slot_ref_of(&table, id);

	(void)state;
	slot_set_kept(&table, id, true);
	assert_int_equal(slot_unpin(&table, id, 0), 0);
	assert_int_equal(slot_try_pin_ref(&table, ref, SWAP_PIN_MOVE), 0);
	assert_int_equal(slot_unpin(&table, id, 1), SLOT_LAST);
	slot_close(&table, id);
	assert_int_equal(slot_try_pin_ref(&table, ref, SWAP_PIN_MOVE), SWAP_E_GONE);
	slot_open(&table, id);
	assert_false(slot_is_kept(&table, id));
	assert_int_equal(slot_unpin(&table, id, 0), 0);
	assert_int_equal(slot_try_pin_ref(&table, ref, SWAP_PIN_MOVE), SWAP_E_GONE);
	ref = slot_ref_of(&table, id);
	assert_int_equal(slot_try_pin_ref(&table, ref, SWAP_PIN_MOVE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pin_is_exclusive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_park_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_count_of_a_pinned_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
