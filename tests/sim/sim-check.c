// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rest, and what must be true then.
 */
#include "sim-check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define REST_MAX_ROUNDS 6000u
#define QUIET_ROUNDS 24u

static struct {
	uint64_t n_steps, n_rests, n_phantom;
	struct program_stats program;
	struct space_stats space;
} totals;

void sim_init(struct sim *s, void (*preempt)(void *user))
{
	s->rng = (struct rng){ s->seed };
	world_init(&s->world, s->seed * 7919);
	owner_init(&s->owner, &s->world, s->seed);
	s->world.fk.preempt = preempt;
	s->world.fk.user = s;
	s->world.fk.trace = s->verbose;
}

/* ---- rest ----------------------------------------------------------------------------------- */

static bool round_programs(struct sim *s)
{
	bool worked = false;
	uint32_t k, i, n;

	for (k = 0; k < MAX_PROCS; k++) {
		struct proc *p = &s->world.proc[k];

		for (i = 0; i < MAX_THREADS; i++)
			for (n = 0;
			     n < 50 && p->state == PROC_ALIVE && !program_is_idle(&p->thread[i]);
			     n++) {
				if (p->thread[i].op == OP_GUARD && p->thread[i].home_asked &&
				    p->space && !p->thread[i].home_done)
					break;
				if (!program_step(&p->thread[i], false))
					break;
				worked = true;
			}
		if (p->state != PROC_ALIVE)
			continue;
		p->agent.stopped = false;
		for (n = 0; n < 600 && fake_agent_can_run(&p->agent); n++) {
			fake_agent_step(&p->agent);
			worked = true;
		}
		if (p->space)
			fake_mem_of(p->space->mem)->uffd->no_fds = false;
	}
	return worked;
}

static bool is_at_rest(const struct sim *s)
{
	uint32_t k, i;

	for (k = 0; k < MAX_PROCS; k++) {
		const struct proc *p = &s->world.proc[k];

		if (p->state == PROC_EMBRYO || p->state == PROC_DEAD ||
		    (p->space && p->home_wanted))
			return false;
		for (i = 0; p->state == PROC_ALIVE && i < MAX_THREADS; i++)
			if (!program_is_idle(&p->thread[i]))
				return false;
	}
	return owner_is_idle(&s->owner);
}

/* Name one thing that is still under way. */
static void report_stuck(struct sim *s)
{
	uint32_t k, i;

	world_fail(&s->world, "does not come to rest", NULL, 0);
	for (k = 0; k < MAX_PROCS; k++) {
		const struct proc *p = &s->world.proc[k];

		for (i = 0; p->state == PROC_ALIVE && i < MAX_THREADS; i++) {
			const struct thread *t = &p->thread[i];

			if (program_is_idle(t))
				continue;
			s->world.wrong = "lost wake-up";
			snprintf(s->world.detail, sizeof(s->world.detail),
				 "process %u mm %p thread %u op %d task state %d page %u told %d"
				 " gate %d waiting %u",
				 k, (void *)p->mm, i, t->op, t->task.state,
				 fk_page_nr(t->task.addr), t->task.told,
				 p->space ? (int)p->space->gate : -1,
				 p->space ? p->space->n_waiting : 0);
			return;
		}
		if (p->state == PROC_EMBRYO || p->state == PROC_DEAD || p->home_wanted)
			snprintf(s->world.detail, sizeof(s->world.detail),
				 "process %u: state %d, detach %d, agent %d gate %d", k, p->state,
				 p->home_wanted, p->agent.state,
				 p->space ? (int)p->space->gate : -1);
	}
}

/* ---- what must be true at rest -------------------------------------------------------------- */

static void check_slot(struct sim *s, struct proc *p, uint32_t page, struct slot_id id)
{
	static uint8_t buf[PAGE_BYTES] __attribute__((aligned(8)));
	int r;

	ASSERT(!swap_try_pin(s->owner.swap, id, SWAP_PIN_LOAD)); /* at rest nobody else has it */
	r = owner_file_load(&s->owner, id, buf);
	if (r)
		world_fail(&s->world, "an evicted page has no bytes", p, page);
	else if (p->o[page].flags & O_MAPPED)
		program_verify_page(p, page, stamp_of(buf), "stored");
	(void)swap_load_end(s->owner.swap, id, SWAP_LOAD_ABORT);
}

static void check_page(struct sim *s, struct proc *p, uint32_t page)
{
	struct page_leaf *leaf = page_map_find(&p->space->map, fk_addr(page));
	uint32_t i = page_in_leaf(fk_addr(page));
	const struct fk_vma *vma = fk_vma_at(p->mm, page);
	const struct fk_pte *pte = &p->mm->pte[page];
	bool present = leaf && leaf->state[i] & PAGE_PRESENT;
	struct slot_id id = { leaf ? leaf->slot[i] : 0 };

	if (pte->page)
		program_verify_page(p, page, s->world.fk.pages[pte->page].stamp, "mapped");
	if (present && !pte->page && !pte->mark && !(p->o[page].flags & O_LAZY)) {
		s->n_phantom++;
		fk_trace(&s->world.fk, "  mm %p phantom page %u", (void *)p->mm, page);
	}
	if (id.v && !present) {
		if (pte->page)
			world_fail(&s->world, "a slot of a page that is present", p, page);
		else if (vma && vma->reg != FK_MISSING)
			world_fail(&s->world, "evicted from memory that is not registered", p,
				   page);
		else if (vma)
			check_slot(s, p, page, id);
	} else if (vma && vma->reg == FK_MISSING && !pte->page && !pte->mark) {
		program_verify_page(p, page, 0, "hole");
	}
}

static void check_regions(struct sim *s, struct proc *p)
{
	const struct region_set *set = &p->space->regions;
	uint32_t k, page;

	for (k = 0; k < set->n && !p->space->unchecked; k++)
		for (page = fk_page_nr(set->ranges[k].start); page < fk_page_nr(set->ranges[k].end);
		     page++) {
			const struct fk_vma *vma = fk_vma_at(p->mm, page);

			if (!vma || vma->reg != FK_MISSING) {
				world_fail(&s->world, "a region is not registered", p, page);
				return;
			}
		}
}

static void check_all(struct sim *s)
{
	struct space_group *g = &s->owner.group;
	uint64_t n_resident = 0;
	struct space *sp;
	uint32_t page;

	list_for_each(sp, &g->spaces, link) {
		struct proc *p = proc_of(sp);

		space_check(sp);
		n_resident += sp->map.n_present;
		if (!p || p->state != PROC_ALIVE)
			continue;
		check_regions(s, p);
		for (page = 0; page < FK_PROGRAM_PAGES && !s->world.wrong; page++)
			check_page(s, p, page);
	}
	ASSERT(g->n_resident == n_resident);
	if (s->n_rests % 8 == 0)
		swap_check(s->owner.swap);
}

void sim_rest(struct sim *s)
{
	uint32_t n, n_quiet = 0;

	s->resting = true;
	for (n = 0; n < REST_MAX_ROUNDS && n_quiet < QUIET_ROUNDS && !s->world.wrong; n++) {
		bool worked = round_programs(s);

		worked |= owner_round(&s->owner);
		if (is_at_rest(s) && !worked)
			n_quiet++;
		else
			n_quiet = 0;
	}
	if (n == REST_MAX_ROUNDS)
		report_stuck(s);
	s->n_rests++;
	if (!s->world.wrong)
		check_all(s);
	s->resting = false;
}

/* ---- figures -------------------------------------------------------------------------------- */

static void add_all(uint64_t *to, const uint64_t *from, size_t n_bytes)
{
	size_t k;

	for (k = 0; k < n_bytes / sizeof(*to); k++)
		to[k] += from[k];
}

void sim_totals_add(const struct sim *s)
{
	totals.n_steps += s->n_steps;
	totals.n_rests += s->n_rests;
	totals.n_phantom += s->n_phantom;
	add_all((uint64_t *)&totals.program, (const uint64_t *)&s->world.stats,
		sizeof(totals.program));
	add_all((uint64_t *)&totals.space, (const uint64_t *)&s->owner.group.stats,
		sizeof(totals.space));
}

void sim_totals_print(void)
{
	const struct program_stats *p = &totals.program;
	const struct space_stats *sp = &totals.space;

	printf("sim: %" PRIu64 " steps, %" PRIu64 " rests; reads %" PRIu64 " writes %" PRIu64
	       " faults %" PRIu64 " calls %" PRIu64 " forks %" PRIu64 " exits %" PRIu64
	       " segv %" PRIu64 "\n",
	       totals.n_steps, totals.n_rests, p->n_reads, p->n_writes, p->n_faults, p->n_calls,
	       p->n_forks, p->n_exits, p->n_segv);
	printf("sim: evicted %" PRIu64 " commands %" PRIu64 " loads %" PRIu64 " ahead %" PRIu64
	       " zero %" PRIu64 " parked %" PRIu64 " again %" PRIu64 " busy %" PRIu64
	       " hole %" PRIu64 " invalid %" PRIu64 " revoked %" PRIu64 " adopted %" PRIu64
	       " poisoned %" PRIu64 " delayed %" PRIu64 " phantom %" PRIu64 "\n",
	       sp->n_evicted, sp->n_commands, sp->n_load_faults, sp->n_ahead, sp->n_zero_faults,
	       sp->n_parked, sp->n_again, sp->n_busy, sp->n_hole, sp->n_invalid, sp->n_revoked,
	       sp->n_adopted, sp->n_poisoned, sp->n_delayed, totals.n_phantom);
	printf("sim: file: faults %" PRIu64 " ahead %" PRIu64 " early %" PRIu64 " joined %" PRIu64
	       " queued %" PRIu64 "\n",
	       sp->n_file_faults, sp->n_file_ahead, sp->n_file_early, sp->n_file_joined,
	       sp->n_file_waits);
}
