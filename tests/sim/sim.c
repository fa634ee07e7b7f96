// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sim - the production code of src/space and src/core on a fake kernel, in virtual time, from a seed
 *
 *   sim                                    the walks of the table below, then the sweep of failures
 *   sim --seed S [--steps N] [--verbose]   one walk again; with the options its failure was printed with
 *   sim --seeds N --seconds T              walks from --seed on until the time is over
 *
 * A run is a random walk over the steps of program threads, agents, the owner and the background
 * threads. Every few hundred steps it is brought to rest: nobody begins anything new, all that is due
 * is done. Then no thread may be asleep (a lost wake-up), every slot must hold what the oracle says
 * its page contains, and what the space believes must be what the kernel has.
 *
 * Three gaps are known. MREMAP_DONTUNMAP of one of several threads is never walked into, two only when
 * asked for: a FORK whose event another thread's mremap() or munmap() overtakes, or is overtaken by:
 * nothing tells the child's layout (--late-events with forks). WIPEONFORK changed between a fork and the
 * reading of the parent's flags, or by a process without agent (--flags-race).
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "sim-check.h"

#define MAX_BAD 5u
#define OP_FORK_BIT (1u << 5) /* of world.ops: program_fork() */

struct options {
	uint64_t seed;
	uint64_t fail_at;
	uint64_t n_steps;
	uint64_t n_seeds;
	uint64_t seconds;
	uint64_t ops;
	uint32_t fail_one_in;
	bool late_events;
	bool flags_race;
	bool verbose;
};

static struct sim *sim_now; /* of the run under way: for the message of a failed assertion */

static void on_abort(int sig)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "sim: seed %" PRIu64 " failed at step %" PRIu64 "\n",
			 sim_now->seed, sim_now->n_steps);

	(void)!write(2, text, (size_t)n);
	signal(sig, SIG_DFL);
}

static bool step_program(struct sim *s, bool may_begin)
{
	uint32_t tries;

	for (tries = 0; tries < 8; tries++) {
		struct proc *p = &s->world.proc[rng_below(&s->rng, MAX_PROCS)];

		if (program_step(&p->thread[rng_below(&s->rng, MAX_THREADS)], may_begin))
			return true;
	}
	return false;
}

static void step_kernel(struct sim *s)
{
	struct fk *fk = &s->world.fk;
	struct proc *p = &s->world.proc[rng_below(&s->rng, MAX_PROCS)];
	uint32_t k;

	switch (rng_below(&s->rng, 4)) {
	case 0:
		if (fk->n_tasks)
			fk_task_signal(fk->tasks[rng_below(&s->rng, fk->n_tasks)]);
		break;
	case 1:
		for (k = 0; k < FK_PROGRAM_PAGES && p->state == PROC_ALIVE; k++)
			if (!rng_below(&s->rng, 4))
				fk_reclaim_lazy(p->mm, k);
		break;
	case 2:
		if (p->space)
			fake_mem_of(p->space->mem)->uffd->no_fds = !rng_below(&s->rng, 4);
		break;
	default:
		proc_start(&s->world, 1 + rng_below(&s->rng, 3));
	}
}

static void step_agent(struct sim *s)
{
	uint32_t tries;

	for (tries = 0; tries < 8; tries++) {
		struct proc *p = &s->world.proc[rng_below(&s->rng, MAX_PROCS)];

		if (p->state != PROC_ALIVE || !fake_agent_can_run(&p->agent))
			continue;
		fake_agent_step(&p->agent);
		return;
	}
}

/* Between any two memory operations of the owner the rest of the machine may run. */
static void preempt(void *user)
{
	struct sim *s = user;
	uint32_t n = s->resting || rng_below(&s->rng, 3) ? 0 : 1 + rng_below(&s->rng, 6);

	s->world.in_owner = true;
	while (n--) {
		if (rng_below(&s->rng, 4))
			(void)step_program(s, true);
		else
			step_agent(s);
	}
	s->world.in_owner = false;
}

static void step(struct sim *s)
{
	uint32_t what = rng_below(&s->rng, 100);

	s->n_steps++;
	s->world.fk.round++;
	if (what < 50)
		(void)step_program(s, true);
	else if (what < 62)
		step_agent(s);
	else if (what < 63 && !rng_below(&s->rng, 4))
		step_kernel(s);
	else
		owner_step_random(&s->owner);
}

static void run_end(struct sim *s)
{
	uint32_t k;

	sim_rest(s);
	for (k = 0; k < MAX_PROCS; k++)
		if (s->world.proc[k].state == PROC_ALIVE)
			proc_exit(&s->world.proc[k]);
	sim_rest(s);
	owner_deinit(&s->owner);
	world_deinit(&s->world);
}

static void report(const struct sim *s, const struct options *opt)
{
	printf("sim: seed %" PRIu64 " step %" PRIu64 ": %s: %s\n"
	       "sim: again: sim --seed %" PRIu64 " --steps %" PRIu64 " --ops %#" PRIx64
	       " --fail-at %" PRIu64 " --fail-one-in %u%s%s\n",
	       s->seed, s->n_steps, s->world.wrong, s->world.detail, s->seed, opt->n_steps,
	       opt->ops, opt->fail_at, opt->fail_one_in, opt->late_events ? " --late-events" : "",
	       opt->flags_race ? " --flags-race" : "");
}

/* One walk. *ret_fired: an injected failure has happened. */
static bool run(const struct options *opt, uint64_t seed, bool *ret_fired)
{
	struct sim *s = calloc(1, sizeof(*s));
	bool ok;

	ASSERT(s);
	sim_now = s;
	s->seed = seed;
	s->verbose = opt->verbose;
	sim_init(s, preempt);
	s->world.ops = opt->ops;
	s->world.flags_race = opt->flags_race;
	s->world.fk.late_events = opt->late_events;
	s->world.fk.miscount_one_in = 8;
	s->world.fk.fail_one_in = opt->fail_one_in;
	s->world.fk.fail_at = opt->fail_at;
	s->world.touch_pct = 55 + rng_below(&s->rng, 40);
	s->rest_every = 100 + rng_below(&s->rng, 1500);
	proc_start(&s->world, 1 + rng_below(&s->rng, 3));
	while (s->n_steps < opt->n_steps && !s->world.wrong) {
		step(s);
		if (s->n_steps % s->rest_every == 0)
			sim_rest(s);
	}
	if (!s->world.wrong)
		run_end(s);
	sim_totals_add(s);
	ok = !s->world.wrong;
	if (!ok)
		report(s, opt);
	*ret_fired = s->world.fk.failed;
	free(s);
	return ok;
}

/* Walks from opt->seed on. Return: how many went wrong, at most MAX_BAD. */
static uint64_t run_many(const struct options *opt)
{
	struct timespec start, now;
	uint64_t k, n_bad = 0;
	bool fired;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (k = 0; k < opt->n_seeds && n_bad < MAX_BAD; k++) {
		n_bad += !run(opt, opt->seed + k, &fired);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (opt->seconds && now.tv_sec - start.tv_sec >= (time_t)opt->seconds)
			break;
	}
	return n_bad;
}

/* The same walk with the n-th fallible operation failing, for every n there is. */
static uint64_t run_sweep(uint64_t seed)
{
	struct options opt = { .seed = seed, .n_steps = 2500, .n_seeds = 1, .ops = ~0ULL };
	uint64_t n_bad = 0;
	bool fired = true;

	for (opt.fail_at = 1; fired && n_bad < MAX_BAD; opt.fail_at++)
		n_bad += !run(&opt, seed, &fired);
	printf("sim: failures swept: %" PRIu64 "\n", opt.fail_at - 2);
	return n_bad;
}

static uint64_t run_all(void)
{
	static const struct options walks[] = {
		{ .seed = 1, .n_seeds = 150, .n_steps = 20000, .ops = ~0ULL },
		{ .seed = 5000, .n_seeds = 30, .n_steps = 20000, .ops = ~0ULL, .fail_one_in = 60 },
		{ .seed = 6000,
		  .n_seeds = 40,
		  .n_steps = 20000,
		  .ops = ~0ULL & ~(uint64_t)OP_FORK_BIT,
		  .late_events = true },
	};
	uint64_t n_bad = 0;
	uint32_t k;

	for (k = 0; k < sizeof(walks) / sizeof(walks[0]) && !n_bad; k++)
		n_bad = run_many(&walks[k]);
	for (k = 0; k < 4 && !n_bad; k++)
		n_bad = run_sweep(7000 + k);
	return n_bad;
}

static int parse(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", 1, NULL, 's' },	{ "steps", 1, NULL, 'n' },
		{ "seeds", 1, NULL, 'c' },	{ "seconds", 1, NULL, 't' },
		{ "ops", 1, NULL, 'o' },	{ "fail-one-in", 1, NULL, 'f' },
		{ "fail-at", 1, NULL, 'a' },	{ "late-events", 0, NULL, 'l' },
		{ "flags-race", 0, NULL, 'r' }, { "verbose", 0, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			opt->seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			opt->n_steps = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			opt->n_seeds = strtoull(optarg, NULL, 0);
			break;
		case 't':
			opt->seconds = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			opt->ops = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			opt->fail_one_in = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'a':
			opt->fail_at = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			opt->late_events = true;
			break;
		case 'r':
			opt->flags_race = true;
			break;
		case 'v':
			opt->verbose = true;
			break;
		default:
			return 2;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options opt = { .seed = 1, .n_steps = 20000, .n_seeds = 1, .ops = ~0ULL };
	uint64_t n_bad;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(&opt, argc, argv))
		return 2;
	signal(SIGABRT, on_abort);
	n_bad = argc > 1 ? run_many(&opt) : run_all();
	sim_totals_print();
	return n_bad ? 1 : 0;
}
