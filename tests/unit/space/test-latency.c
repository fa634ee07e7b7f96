/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-latency - the histogram of fault latencies
 */
#include "test-common.h"

#include "space/space.h"

static void test_no_sample_is_zero(void **state)
{
	struct latency l = { { 0 } };

	(void)state;
	assert_int_equal(latency_ns(&l, 0.5), 0);
}

/* What is said of one sample is never below it, and at most a quarter above. */
static void test_bounds(void **state)
{
	uint64_t ns;

	(void)state;
	for (ns = 1; ns < UINT64_C(1) << 36; ns += 1 + ns / 7) {
		struct latency l = { { 0 } };
		uint64_t said;

		latency_add(&l, ns);
		said = latency_ns(&l, 0.5);
		assert_true(said >= ns);
		assert_true(said <= ns + ns / 4 + 1);
	}
}

static void test_quantiles(void **state)
{
	struct latency l = { { 0 } };
	uint32_t k;

	(void)state;
	for (k = 0; k < 990; k++)
		latency_add(&l, 10000);
	for (k = 0; k < 10; k++)
		latency_add(&l, 1000000);
	assert_in_range(latency_ns(&l, 0.5), 10000, 12500);
	assert_in_range(latency_ns(&l, 0.98), 10000, 12500);
	assert_in_range(latency_ns(&l, 0.995), 1000000, 1250000);
	assert_in_range(latency_ns(&l, 1.0), 1000000, 1250000);
}

static void test_largest_goes_to_the_last(void **state)
{
	struct latency l = { { 0 } };

	(void)state;
	latency_add(&l, UINT64_MAX);
	assert_int_equal(l.n[LATENCY_BUCKETS - 1], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_sample_is_zero),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_largest_goes_to_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
