/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-pool - classes, blocks, isolation, memory given back
 */
#include "test-common.h"

#include "base/inject.h"
#include "core/entry.h"
#include "core/pool.h"

enum { N = 3000 };

static struct slab entries;
static struct slot_table slots;
static struct pool pool;
static uint32_t handles[N], entry_of[N];

static int setup(void **state)
{
	(void)state;
	if (slab_init(&entries, "test", sizeof(struct entry), N) ||
	    slot_table_init(&slots, N + 2, ARENA_LOCK_NONE) || arena_grow(&slots.arena, 8 * N))
		return -1;
	return pool_init(&pool, 400, &entries, &slots, ARENA_LOCK_NONE);
}

static int teardown(void **state)
{
	(void)state;
	pool_deinit(&pool);
	slot_table_deinit(&slots);
	slab_deinit(&entries);
	return 0;
}

static void fill(uint32_t i, uint32_t len)
{
	entry_of[i] = slab_alloc(&entries);
	entry_at(&entries, entry_of[i])->slot = i + 1;
	assert_int_equal(pool_alloc(&pool, len, entry_of[i], &handles[i]), 0);
	memset(pool_at(&pool, handles[i]), (int)(i % 251), len);
}

static void test_classes_are_tight(void **state)
{
	uint32_t len, class_bytes;

	(void)state;
	for (len = 1; len <= POOL_LEN_MAX; len++) {
		class_bytes = pool_class_bytes(&pool, len);
		assert_true(class_bytes >= len);
		/* Classes a 32nd or 16 bytes apart, objects rounded to 8, the end of a block. */
		if (len > 64)
			assert_true(class_bytes - len <= len / 14 + 24);
	}
	assert_int_equal(pool_class_bytes(&pool, PAGE_BYTES), PAGE_BYTES);
}

static void test_bytes_stay(void **state)
{
	uint32_t i, k, len;
	const uint8_t *at;

	(void)state;
	for (i = 0; i < N; i++)
		fill(i, 1 + i % POOL_LEN_MAX);
	for (i = 0; i < N; i++) {
		at = pool_at(&pool, handles[i]);
		len = 1 + i % POOL_LEN_MAX;
		for (k = 0; k < len; k++)
			assert_int_equal(at[k], i % 251);
		assert_int_equal(pool_owner(&pool, handles[i]), entry_of[i]);
	}
	pool_check(&pool);
	for (i = 0; i < N; i++)
		pool_free(&pool, handles[i], 1 + i % POOL_LEN_MAX);
	pool_check(&pool);
	assert_int_equal(load_relaxed(&pool.used_bytes), 0);
	assert_true(pool_trim(&pool) > 0);
	assert_int_equal(pool_trim(&pool), 0);
	pool_check(&pool);
	/* A small stock is kept. */
	assert_true(load_relaxed(&pool.committed_bytes) <= 2 * POOL_BLOCK_BYTES);
}

static void test_young_block_costs_what_it_holds(void **state)
{
	uint64_t bytes;

	(void)state;
	fill(0, 1365);
	bytes = load_relaxed(&pool.committed_bytes);
	assert_true(bytes <= 2 * PAGE_BYTES);
	fill(1, PAGE_BYTES);
	assert_int_equal(load_relaxed(&pool.committed_bytes) - bytes, PAGE_BYTES);
}

static void test_isolation(void **state)
{
	uint32_t block, cursor = 0, class_cursor = 0, handle, entry_idx, n = 0, i;
	struct slot_ref slot;

	(void)state;
	for (i = 0; i < 192; i++)
		fill(i, PAGE_BYTES);
	assert_int_equal(pool_isolate(&pool, &class_cursor, &block), POOL_E_NONE);
	for (i = 0; i < 160; i++)
		if (i % 4)
			pool_free(&pool, handles[i], PAGE_BYTES);
	class_cursor = 0;
	assert_int_equal(pool_isolate(&pool, &class_cursor, &block), 0);
	while (pool_isolated_next(&pool, block, &cursor, &handle, &entry_idx, &slot) == 0) {
		assert_int_equal(entry_idx, pool_owner(&pool, handle));
		assert_int_equal(slot.id.v, entry_at(&entries, entry_idx)->slot);
		pool_free(&pool, handle, PAGE_BYTES);
		n++;
	}
	assert_int_equal(n, 4);
	pool_check(&pool);
	pool_putback(&pool, block);
	pool_check(&pool);
	assert_true(pool_trim(&pool) > 0);
}

static void test_full(void **state)
{
	uint32_t i, handle;

	(void)state;
	inject_arm(1);
	assert_int_equal(pool_alloc(&pool, 100, 1, &handle), POOL_E_FULL);
	assert_true(inject_disarm());
	for (i = 0; i < 400 * POOL_RAW_OBJS; i++)
		assert_int_equal(pool_alloc(&pool, PAGE_BYTES, 1, &handle), 0);
	assert_int_equal(pool_alloc(&pool, PAGE_BYTES, 1, &handle), POOL_E_FULL);
	assert_int_equal(pool_alloc(&pool, 100, 1, &handle), POOL_E_FULL);
	pool_check(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_classes_are_tight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_young_block_costs_what_it_holds, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_isolation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
