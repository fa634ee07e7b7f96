/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-trial - which way is found to be the best, by a machine in virtual time
 */
#include "test-common.h"

#include "daemon/trial.h"

#include <string.h>

#define TICK_NS (5ULL * 1000 * 1000)

/* A machine on which way k serves @rate[k] in a tick. */
struct machine {
	struct trial trial;
	uint64_t rate[TRIAL_MAX_WAYS];
	uint64_t now_ns, n_served;
	uint64_t used_ns[TRIAL_MAX_WAYS];
};

static void machine_init(struct machine *m, uint32_t n_ways, uint64_t a, uint64_t b, uint64_t c)
{
	memset(m, 0, sizeof(*m));
	m->now_ns = 1ULL << 40;
	m->rate[0] = a;
	m->rate[1] = b;
	m->rate[2] = c;
	trial_init(&m->trial, n_ways);
}

static void machine_tick(struct machine *m, bool counts)
{
	m->used_ns[m->trial.way] += TICK_NS;
	m->now_ns += TICK_NS;
	m->n_served += m->rate[m->trial.way];
	trial_tick(&m->trial, counts, m->n_served, m->now_ns);
}

static void machine_run(struct machine *m, uint64_t ns)
{
	uint64_t end_ns = m->now_ns + ns;

	while (m->now_ns < end_ns)
		machine_tick(m, true);
}

static void test_best_is_found(void **state)
{
	static const uint64_t rates[][TRIAL_MAX_WAYS] = { { 90, 20, 30 },
							  { 20, 90, 30 },
							  { 20, 30, 90 } };
	struct machine m;
	uint32_t k;

	(void)state;
	for (k = 0; k < TRIAL_MAX_WAYS; k++) {
		machine_init(&m, TRIAL_MAX_WAYS, rates[k][0], rates[k][1], rates[k][2]);
		machine_run(&m, TRIAL_HOLD_MIN_NS / 2);
		assert_int_equal(m.trial.found, k);
		assert_int_equal(m.trial.way, k);
	}
}

static void test_first_needs_no_margin(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m, 2, 100, 109, 0);
	machine_run(&m, TRIAL_HOLD_MIN_NS / 2);
	assert_int_equal(m.trial.found, 0);
	machine_init(&m, 2, 100, 112, 0);
	machine_run(&m, TRIAL_HOLD_MIN_NS / 2);
	assert_int_equal(m.trial.found, 1);
}

static void test_change_is_noticed(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m, TRIAL_MAX_WAYS, 90, 20, 30);
	machine_run(&m, TRIAL_HOLD_MIN_NS / 2);
	assert_int_equal(m.trial.found, 0);
	m.rate[2] = 200;
	machine_run(&m, TRIAL_HOLD_MIN_NS * 3 / 2);
	assert_int_equal(m.trial.found, 2);
	assert_int_equal(m.trial.hold_ns,
			 TRIAL_HOLD_MIN_NS); /* what is new is looked at again soon */
}

static void test_trying_is_rare(void **state)
{
	const uint64_t minute_ns = 60ULL * 1000 * 1000 * 1000;
	struct machine m;

	(void)state;
	machine_init(&m, TRIAL_MAX_WAYS, 90, 20, 30);
	machine_run(&m, 60 * minute_ns);
	assert_int_equal(m.trial.found, 0);
	assert_true(m.trial.hold_ns >= TRIAL_HOLD_MAX_NS);
	assert_true(m.used_ns[1] + m.used_ns[2] < 60 * minute_ns / 500);
}

/* Time in which nothing is asked for is in no window, and ends none. */
static void test_gaps_do_not_count(void **state)
{
	struct machine m;
	uint32_t i;

	(void)state;
	machine_init(&m, TRIAL_MAX_WAYS, 20, 90, 30);
	for (i = 0; i < 1000 && !m.trial.hold_ns; i++) {
		machine_tick(&m, true);
		m.now_ns += 1000 * TICK_NS; /* asleep */
		trial_tick(&m.trial, false, m.n_served, m.now_ns);
	}
	assert_int_equal(m.trial.found, 1);
	assert_true(i < 100);
	assert_true(m.trial.rate[1] > m.trial.rate[2] && m.trial.rate[2] > m.trial.rate[0]);
}

static void test_one_way_is_not_tried(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m, 1, 90, 0, 0);
	machine_run(&m, 2 * TRIAL_HOLD_MIN_NS);
	assert_int_equal(m.trial.way, 0);
	assert_int_equal(m.trial.hold_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_best_is_found),
		cmocka_unit_test(test_first_needs_no_margin),
		cmocka_unit_test(test_change_is_noticed),
		cmocka_unit_test(test_trying_is_rare),
		cmocka_unit_test(test_gaps_do_not_count),
		cmocka_unit_test(test_one_way_is_not_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
