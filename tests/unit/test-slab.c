/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-slab - slab and the arena under it
 */
#include "test-common.h"

#include "base/inject.h"
#include "base/slab.h"

static void test_arena_grows_and_punches(void **state)
{
	struct arena a = ARENA_INIT;
	struct arena_options options = {
		.name = "test",
		.reserve_bytes = 1 << 20,
		.step_bytes = 8192,
		.residency = ARENA_LOCK_NONE,
	};

	(void)state;
	assert_int_equal(arena_init(&a, &options), 0);
	assert_int_equal(arena_size(&a), 0);
	assert_int_equal(arena_grow(&a, 1), 0);
	assert_int_equal(arena_size(&a), 8192);
	memset(arena_at(&a, 0), 7, 8192);
	assert_int_equal(arena_grow(&a, 20000), 0);
	assert_int_equal(arena_size(&a), 24576);
	arena_punch(&a, 4096, 4096);
	assert_int_equal(*(char *)arena_at(&a, 4095), 7);
	assert_int_equal(*(char *)arena_at(&a, 4096), 0);
	assert_int_equal(arena_grow(&a, 1 << 20), 0);
	assert_int_equal(arena_grow(&a, (1 << 20) + 1), ARENA_E_FULL);
	arena_deinit(&a);
	arena_deinit(&a);
}

static void test_slab_gives_all_and_no_more(void **state)
{
	struct slab s = SLAB_INIT;
	uint32_t i, idx;

	(void)state;
	assert_int_equal(slab_init(&s, "test", 20, 1000), 0);
	for (i = 1; i <= 1000; i++) {
		idx = slab_alloc(&s);
		assert_int_equal(idx, i);
		assert_int_equal(*(uint64_t *)slab_at(&s, idx), 0);
		memset(slab_at(&s, idx), 0xee, 20);
	}
	assert_int_equal(slab_alloc(&s), 0);
	slab_free(&s, 500);
	assert_int_equal(slab_n_used(&s), 999);
	assert_int_equal(slab_alloc(&s), 500);
	assert_int_equal(*(uint64_t *)slab_at(&s, 500), 0); /* used before, zero again */
	assert_int_equal(slab_committed_bytes(&s), (1000 * 24 + 4095) / 4096 * 4096);
	slab_deinit(&s);
}

static void test_slab_reservation(void **state)
{
	struct slab s = SLAB_INIT;
	uint32_t idx;

	(void)state;
	assert_int_equal(slab_init(&s, "test", 8, 10), 0);
	assert_true(slab_try_reserve(&s, 9));
	assert_false(slab_try_reserve(&s, 2));
	assert_int_not_equal(slab_alloc(&s), 0);
	assert_int_equal(slab_alloc(&s), 0); /* the other nine are promised */
	inject_arm(1);
	idx = slab_alloc_reserved(&s); /* cannot fail */
	assert_false(inject_disarm());
	assert_int_not_equal(idx, 0);
	slab_free_reserved(&s, idx);
	assert_int_equal(slab_alloc(&s), 0);
	slab_unreserve(&s, 9);
	assert_int_not_equal(slab_alloc(&s), 0);
	slab_deinit(&s);
}

static void test_inject(void **state)
{
	struct slab s = SLAB_INIT;

	(void)state;
	inject_arm(1);
	assert_true(slab_init(&s, "test", 8, 10) < 0);
	assert_true(inject_disarm());
	slab_deinit(&s); /* half built */
	assert_int_equal(slab_init(&s, "test", 8, 10), 0);
	inject_arm(2);
	assert_int_equal(slab_alloc(&s), 0); /* the arena does not grow */
	assert_true(inject_disarm());
	assert_int_equal(slab_alloc(&s), 1);
	slab_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_grows_and_punches),
		cmocka_unit_test(test_slab_gives_all_and_no_more),
		cmocka_unit_test(test_slab_reservation),
		cmocka_unit_test(test_inject),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
