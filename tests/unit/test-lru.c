/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-lru - order, second chance, picks that do not unlink
 */
#include "test-common.h"

#include "core/lru.h"

static struct slab entries;
static struct slot_table slots;
static struct lru lru;
static uint32_t e[4];

static int setup(void **state)
{
	uint32_t i;

	(void)state;
	if (slab_init(&entries, "test", sizeof(struct entry), 100) ||
	    slot_table_init(&slots, 100, ARENA_LOCK_NONE) || arena_grow(&slots.arena, 800))
		return -1;
	lru_init(&lru, &entries, &slots);
	for (i = 0; i < 4; i++) {
		e[i] = slab_alloc(&entries);
		entry_at(&entries, e[i])->slot = i + 1;
		slot_open(&slots, (struct slot_id){ i + 1 });
		lru_insert(&lru, e[i], LRU_FRESH);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slot_table_deinit(&slots);
	slab_deinit(&entries);
	return 0;
}

static void test_second_chance(void **state)
{
	struct lru_pick pick;
	uint32_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(lru_pick(&lru, LRU_FRESH, &pick), LRU_E_YOUNG);
	for (i = 0; i < 8; i++) {
		assert_int_equal(lru_pick(&lru, LRU_FRESH, &pick), 0);
		assert_int_equal(pick.entry_idx, e[i % 4]);
		assert_int_equal(pick.slot.id.v, i % 4 + 1);
	}
	assert_int_equal(lru_n(&lru, LRU_FRESH), 4); /* nothing was unlinked */
	assert_int_equal(lru_check(&lru), 4);
}

static void test_move_and_remove(void **state)
{
	struct lru_pick pick;

	(void)state;
	lru_move(&lru, e[2], LRU_AGED, false);
	lru_move(&lru, e[0], LRU_KEPT, true);
	assert_int_equal(lru_check(&lru), 4);
	assert_int_equal(lru_pick(&lru, LRU_AGED, &pick), 0);
	assert_int_equal(pick.entry_idx, e[2]);
	assert_int_equal(lru_pick(&lru, LRU_KEPT, &pick), 0); /* kept ones have no second chance */
	assert_int_equal(pick.entry_idx, e[0]);
	lru_remove(&lru, e[2]);
	lru_remove(&lru, e[0]);
	lru_remove(&lru, e[3]);
	lru_remove(&lru, e[1]);
	assert_int_equal(lru_pick(&lru, LRU_FRESH, &pick), LRU_E_EMPTY);
	assert_int_equal(lru_check(&lru), 0);
	lru_deinit(&lru);
}

/* Those that are passed over stay where they are; looks are bounded. */
static void test_pick_large(void **state)
{
	struct lru_pick pick;
	uint32_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		entry_set_where(
			entry_at(&entries, e[i]),
			(struct entry_where){ .form = ENTRY_LZ4, .len = i == 2 ? 4000 : 100 });
	assert_int_equal(lru_pick_large(&lru, LRU_FRESH, 4000, 2, &pick), LRU_E_NONE);
	assert_int_equal(lru_pick_large(&lru, LRU_FRESH, 4001, 9, &pick), LRU_E_NONE);
	assert_int_equal(lru_pick_large(&lru, LRU_FRESH, 4000, 3, &pick), 0);
	assert_int_equal(pick.entry_idx, e[2]);
	assert_int_equal(lru_pick_large(&lru, LRU_AGED, 1, 9, &pick), LRU_E_NONE);
	/* It was turned to the young end; the others are in their order. */
	for (i = 0; i < 4; i++) {
		static const uint32_t order[] = { 0, 1, 3, 2 };

		assert_int_equal(lru_pick_coldest(&lru, LRU_FRESH, &pick), 0);
		assert_int_equal(pick.entry_idx, e[order[i]]);
	}
	assert_int_equal(lru_pick_coldest(&lru, LRU_KEPT, &pick), LRU_E_EMPTY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_second_chance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move_and_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pick_large, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
