// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The rig of the directed scenarios, and their main: sim-rules [NAME...]
 */
#include "rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

uint64_t rig_n_allocations;

/* What --wrap makes of the allocator's names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	rig_n_allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	rig_n_allocations++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	rig_n_allocations++;
	return __real_realloc(old, size);
}

struct frange rig_range(uint32_t first, uint32_t n)
{
	return (struct frange){ RIG_FIRST + first, RIG_FIRST + first + n };
}

bool rig_run(struct thread *t)
{
	while (!program_is_idle(t))
		if (!program_step(t, false))
			return false;
	return true;
}

void rig_serve(struct rig *r)
{
	owner_service(&r->s.owner, r->sp);
	owner_retry(&r->s.owner, (struct slot_id){ 0 });
}

void rig_touch(struct rig *r, struct thread *t, uint32_t page, bool write)
{
	uint32_t n;

	program_touch(t, page, write);
	for (n = 0; !rig_run(t); n++) {
		ASSERT(n < 8);
		rig_serve(r);
	}
}

void rig_told(struct rig *r, struct thread *t)
{
	uint32_t n;

	for (n = 0; !rig_run(t); n++) {
		ASSERT(n < 8);
		owner_service(&r->s.owner, r->sp);
	}
}

void rig_mremap(struct rig *r, struct thread *t, const struct fk_mremap *m)
{
	program_mremap(t, m);
	rig_told(r, t);
}

void rig_grow(struct thread *t)
{
	const struct fk_mremap grow = { rig_range(RIG_PAGES - 4, 4), rig_range(RIG_PAGES - 4, 12),
					false };

	program_mremap(t, &grow);
	ASSERT(rig_run(t));
}

void rig_agent(struct rig *r)
{
	while (fake_agent_can_run(&r->p->agent))
		fake_agent_step(&r->p->agent);
}

void rig_command(struct rig *r, uint32_t n)
{
	uint32_t tries, got = 0;

	/* the first rounds of the hand only take away credit */
	for (tries = 0; !got && tries < 12; tries++) {
		got = owner_evict(&r->s.owner, r->sp, n);
		if (!got) { /* or empty the stage */
			rig_agent(r);
			(void)owner_receive(&r->s.owner, r->p);
		}
	}
	ASSERT(got);
}

void rig_evict(struct rig *r, uint32_t n)
{
	rig_command(r, n);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
	while (owner_put(&r->s.owner) || owner_compress(&r->s.owner))
		;
}

bool rig_is_out(struct rig *r, uint32_t page)
{
	struct page_leaf *leaf = page_map_find(&r->sp->map, fk_addr(page));
	uint32_t i = page_in_leaf(fk_addr(page));

	return leaf && leaf->slot[i] && !(leaf->state[i] & PAGE_PRESENT);
}

bool rig_is_present(struct rig *r, uint32_t page)
{
	struct page_leaf *leaf = page_map_find(&r->sp->map, fk_addr(page));

	return leaf && leaf->state[page_in_leaf(fk_addr(page))] & PAGE_PRESENT;
}

struct proc *rig_fork(struct rig *r, struct thread *t)
{
	struct proc *child;
	uint32_t k;

	program_fork(t);
	child = t->child;
	ASSERT(child);
	for (k = 0; !rig_run(t); k++) {
		ASSERT(k < 8);
		rig_serve(r);
	}
	return child;
}

struct slot_id rig_pin(struct rig *r, uint32_t page)
{
	struct page_leaf *leaf = page_map_find(&r->sp->map, fk_addr(page));
	struct slot_id id = { leaf->slot[page_in_leaf(fk_addr(page))] };

	ASSERT(!swap_try_pin(r->s.owner.swap, id, SWAP_PIN_MOVE));
	return id;
}

void rig_unpin(struct rig *r, struct slot_id id)
{
	struct owner *o = &r->s.owner;

	swap_unpin(o->swap, id);
	while (o->n_unpinned)
		owner_retry(o, (struct slot_id){ o->unpinned[--o->n_unpinned] });
}

void rig_pass(struct rig *r, uint64_t ms)
{
	r->s.owner.now_ns += ms * 1000000;
}

struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint32_t k;

	ASSERT(r);
	r->s.seed = 1;
	sim_init(&r->s, NULL);
	r->p = proc_start(&r->s.world, 3);
	for (k = 0; k < 3; k++)
		r->t[k] = &r->p->thread[k];
	program_mmap(r->t[0], rig_range(0, RIG_PAGES));
	for (k = 0; k < RIG_PAGES; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, true);
	ASSERT(owner_attach(&r->s.owner, r->p));
	r->sp = r->p->space;
	owner_manage(&r->s.owner, r->sp);
	ASSERT(rig_is_present(r, RIG_FIRST) && rig_is_present(r, RIG_FIRST + RIG_PAGES - 1));
	return r;
}

static void rig_check(struct rig *r)
{
	if (!r->s.world.wrong)
		return;
	fprintf(stderr, "%s: %s\n", r->s.world.wrong, r->s.world.detail);
	abort();
}

void rig_free(struct rig *r)
{
	uint32_t k;

	sim_rest(&r->s);
	rig_check(r);
	for (k = 0; k < MAX_PROCS; k++)
		if (r->s.world.proc[k].state == PROC_ALIVE)
			proc_exit(&r->s.world.proc[k]);
	sim_rest(&r->s);
	rig_check(r);
	owner_deinit(&r->s.owner);
	world_deinit(&r->s.world);
	free(r);
}

static uint32_t run_table(const struct rule *rule, int argc, char **argv)
{
	uint32_t n = 0;

	for (; rule->name; rule++) {
		int k;

		for (k = 1; k < argc && strcmp(argv[k], rule->name); k++)
			;
		if (argc > 1 && k == argc)
			continue;
		printf("%s\n", rule->name);
		fflush(stdout);
		rule->fn();
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	uint32_t n = run_table(rules_layout, argc, argv) + run_table(rules_page, argc, argv) +
		     run_table(rules_file, argc, argv);

	printf("%u scenarios\n", n);
	return n ? 0 : 1;
}
