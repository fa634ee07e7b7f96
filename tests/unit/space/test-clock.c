/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-clock - which pages stay, on traces in which all that is known of a page is that it came back
 */
#include "test-common.h"

#include "space/clock.h"

enum {
	N_PAGES = 8192,
	N_RESIDENT = 1400,
	BATCH = 16,
};

struct sim {
	struct clock clock;
	bool present[N_PAGES];
	uint8_t level[N_PAGES];
	uint8_t credit[N_PAGES];
	uint32_t evicted_at[N_PAGES];
	uint32_t seq, hand, n_present;
	uint64_t n_misses, n_visits, random;
};

static uint32_t below(struct sim *s, uint32_t n)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((s->random >> 33) % n);
}

static void evict(struct sim *s)
{
	uint32_t n = 0;

	while (n < BATCH) {
		uint32_t p = s->hand;

		if (s->present[p]) {
			s->n_visits++;
			if (clock_pass(&s->clock, &s->credit[p])) {
				s->present[p] = false;
				s->evicted_at[p] = ++s->seq;
				s->n_present--;
				s->clock.n_found++;
				n++;
			}
		}
		s->hand = (p + 1) % N_PAGES;
		if (!s->hand)
			clock_round(&s->clock, s->n_present);
	}
}

static void touch(struct sim *s, uint32_t p)
{
	if (s->present[p])
		return;
	s->n_misses++;
	if (s->n_present == N_RESIDENT)
		evict(s);
	if (s->evicted_at[p])
		s->level[p] = clock_level(s->level[p], s->seq - s->evicted_at[p], s->n_present);
	s->credit[p] = clock_credit(s->level[p]);
	s->present[p] = true;
	s->n_present++;
}

static struct sim *sim_new(void)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint32_t p;

	assert_non_null(s);
	for (p = 0; p < N_PAGES; p++)
		touch(s, p);
	return s;
}

/* Misses among the @n_hot pages from @first on, per mille, while @percent of all go there. */
static uint64_t hot_misses(struct sim *s, uint32_t first, uint32_t n_hot, uint32_t percent,
			   uint32_t n, bool scans)
{
	uint64_t before, misses = 0, n_asked = 0;
	uint32_t k, at = 0;

	for (k = 0; k < n; k++) {
		if (below(s, 100) >= percent) {
			touch(s, scans ? at : below(s, N_PAGES));
			at = (at + 1) % N_PAGES;
			continue;
		}
		before = s->n_misses;
		touch(s, first + below(s, n_hot));
		misses += s->n_misses - before;
		n_asked++;
	}
	return misses * 1000 / n_asked;
}

static void test_levels(void **state)
{
	(void)state;
	assert_int_equal(clock_level(0, 10, 100), 1);
	assert_int_equal(clock_level(SWAP_LEVEL_MAX, 74, 100), SWAP_LEVEL_MAX);
	assert_int_equal(clock_level(3, 75, 100), 3);
	assert_int_equal(clock_level(3, 199, 100), 3);
	assert_int_equal(clock_level(3, 200, 100), 2);
	assert_int_equal(clock_level(0, 200, 100), 0);
	assert_int_equal(clock_level(6, 400, 100), 3);
	assert_int_equal(clock_credit(0), 1);
	assert_int_equal(clock_credit(SWAP_LEVEL_MAX), CLOCK_CREDIT_MAX);
}

/* A set that fits stays, though a scan or cold pages pass through all the time. */
static void test_hot_set_stays(void **state)
{
	struct sim *s = sim_new();
	(void)state;

	(void)hot_misses(s, 1000, 1000, 80, 100000, true);
	assert_in_range(hot_misses(s, 1000, 1000, 80, 100000, true), 0, 50);
	(void)hot_misses(s, 1000, 1000, 80, 100000, false);
	assert_in_range(hot_misses(s, 1000, 1000, 80, 100000, false), 0, 50);
	free(s);
}

static void test_new_hot_set_is_found(void **state)
{
	struct sim *s = sim_new();
	(void)state;

	(void)hot_misses(s, 1000, 1000, 80, 200000, false);
	(void)hot_misses(s, 5000, 1000, 80, 100000, false);
	assert_in_range(hot_misses(s, 5000, 1000, 80, 100000, false), 0, 50);
	free(s);
}

/* Pages that all come back early have all credit: a victim must be found all the same. */
static void test_always_a_victim(void **state)
{
	struct sim *s = sim_new();
	uint32_t p, k;
	(void)state;

	for (k = 0; k < 50; k++)
		for (p = 0; p < N_RESIDENT + 200; p++)
			touch(s, p);
	s->n_visits = 0;
	s->n_misses = 0;
	for (k = 0; k < 50; k++)
		for (p = 0; p < N_RESIDENT + 200; p++)
			touch(s, p);
	assert_in_range(s->n_visits / s->n_misses, 0, 20);

	for (p = 0; p < N_PAGES; p++)
		s->credit[p] = CLOCK_CREDIT_MAX;
	s->clock = (struct clock){ 0 };
	s->n_visits = 0;
	evict(s);
	assert_in_range(s->n_visits, 0, (SWAP_LEVEL_MAX + 2) * N_RESIDENT);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_hot_set_stays),
		cmocka_unit_test(test_new_hot_set_is_found),
		cmocka_unit_test(test_always_a_victim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
