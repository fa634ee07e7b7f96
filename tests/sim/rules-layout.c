// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * R1, the gate, and R2, drain then serve: the layout changes while pages are on their way.
 */
#include "base/assert.h"
#include "rules.h"

/* Until both of the threads that changed the layout are done. */
static void serve_both(struct rig *r)
{
	while (!rig_run(r->t[1]) || !rig_run(r->t[2]))
		rig_serve(r);
}

/* What the first thread did is made and not queued: the second one's @m is told of before it. */
static void overtake(struct rig *r, const struct fk_mremap *m)
{
	program_mremap(r->t[2], m);
	(void)program_step(r->t[2], false);
	owner_service(&r->s.owner, r->sp);
	serve_both(r);
}

/* Another thread unmaps the victims, and maps again, after the command was sent: nothing may move. */
static void r1_unmap_under_command(void)
{
	struct rig *r = rig_new();

	rig_command(r, 8);
	ASSERT(r->sp->gate == GATE_SHUT);
	program_munmap(r->t[1], rig_range(0, 8));
	ASSERT(!rig_run(r->t[1]));
	program_mmap(r->t[2], rig_range(0, 8));
	rig_touch(r, r->t[2], RIG_FIRST + 3, true); /* not registered: no fault to serve */
	owner_service(&r->s.owner, r->sp);
	ASSERT(r->p->mm->main->n_events == 1); /* not read: that is what makes the MOVE fail */
	rig_agent(r);
	ASSERT(r->p->agent.answer.detached.result[0] == USWAP_MOVE_EVENTS);
	ASSERT(owner_receive(&r->s.owner, r->p) && r->sp->gate == GATE_OPEN);
	rig_serve(r);
	ASSERT(rig_run(r->t[1]));
	ASSERT(!rig_is_present(r, RIG_FIRST + 3) && !rig_is_out(r, RIG_FIRST + 3));
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_touch(r, r->t[0], RIG_FIRST + 4, false);
	rig_free(r);
}

/* Eight victims that are eight runs: every second page is protected. */
static void spread(struct rig *r)
{
	struct fake_mem *m = fake_mem_of(r->sp->mem);
	uint32_t k;

	for (k = 0; k < FAKE_MAX_PROTECTED; k++)
		m->protected[k] = rig_range(2 * k + 1, 1);
	m->n_protected = FAKE_MAX_PROTECTED;
}

static void stop_after(struct rig *r, uint32_t n_steps)
{
	while (n_steps--)
		fake_agent_step(&r->p->agent);
	r->p->agent.stopped = true;
}

/* An agent that is stopped half-way: the gate is revoked, and the late MOVEs fail. */
static void r1_revoke(void)
{
	struct rig *r = rig_new();

	spread(r);
	rig_command(r, 8);
	stop_after(r, 2 + 3); /* ARM, the command, three MOVEs */
	program_touch(r->t[1], RIG_FIRST, false);
	ASSERT(!rig_run(r->t[1]));
	rig_pass(r, 100);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(r->sp->gate == GATE_SHUT);
	rig_pass(r, 200);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(r->sp->gate == GATE_REVOKED);
	ASSERT(rig_is_out(r, RIG_FIRST) && rig_is_out(r, RIG_FIRST + 4));
	ASSERT(rig_is_present(r, RIG_FIRST + 6));
	while (owner_put(&r->s.owner))
		;
	rig_serve(r);
	ASSERT(rig_run(r->t[1]));
	ASSERT(!owner_evict(&r->s.owner, r->sp, 8)); /* one command at a time */
	r->p->agent.stopped = false;
	rig_agent(r);
	ASSERT(r->p->agent.answer.detached.result[7] == USWAP_MOVE_INVALID);
	ASSERT(owner_receive(&r->s.owner, r->p) && r->sp->gate == GATE_OPEN);
	rig_evict(r, 8);
	rig_free(r);
}

/* MOVE moves all of it, loses count, and says that something was there already. */
static void r1_move_loses_count(void)
{
	struct rig *r = rig_new();
	struct uswap_msg_detached *d = &r->p->agent.answer.detached;
	uint32_t k;

	rig_command(r, 8);
	r->s.world.fk.miscount_one_in = 1;
	rig_agent(r);
	ASSERT(d->n_pages == 8 && d->result[7] == USWAP_MOVE_OCCUPIED);
	ASSERT(owner_receive(&r->s.owner, r->p) && r->sp->gate == GATE_OPEN);
	r->s.world.fk.miscount_one_in = 0;
	ASSERT(rig_is_out(r, RIG_FIRST) && rig_is_out(r, RIG_FIRST + 7));
	for (k = 0; k < 2; k++) /* the stage is emptied */
		rig_evict(r, 8);
	rig_touch(r, r->t[1], RIG_FIRST + 7, false);
	rig_free(r);
}

/* As above, and before the agent tries again an event comes: the answer does not even say occupied. */
static void r1_move_loses_count_before_an_event(void)
{
	struct rig *r = rig_new();
	struct uswap_msg_detached *d = &r->p->agent.answer.detached;

	rig_command(r, 8);
	r->s.world.fk.miscount_one_in = 1;
	stop_after(r, 2 + 1);
	r->p->agent.stopped = false;
	r->s.world.fk.miscount_one_in = 0;
	program_munmap(r->t[1], rig_range(20, 1));
	ASSERT(!rig_run(r->t[1]));
	rig_agent(r);
	ASSERT(d->n_pages == 8 && d->result[7] == USWAP_MOVE_EVENTS);
	ASSERT(owner_receive(&r->s.owner, r->p) && r->sp->gate == GATE_OPEN);
	rig_serve(r);
	ASSERT(rig_run(r->t[1]));
	ASSERT(rig_is_out(r, RIG_FIRST + 7));
	while (owner_put(&r->s.owner))
		;
	rig_touch(r, r->t[2], RIG_FIRST + 7, false);
	rig_free(r);
}

/* What is gone from the program has not moved to the stage: it was moved elsewhere by the program. */
static void r1_revoke_moved_away(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(0, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };

	rig_command(r, 8);
	stop_after(r, 2);
	program_mremap(r->t[1], &m);
	rig_pass(r, 300);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(r->sp->gate == GATE_REVOKED);
	rig_serve(r);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	ASSERT(!rig_is_out(r, RIG_SPARE));
	rig_touch(r, r->t[0], RIG_SPARE, false);
	rig_free(r);
}

/* A page given away by MADV_FREE goes while the command is in flight: it is zero, not old bytes. */
static void r1_revoke_emptied(void)
{
	struct rig *r = rig_new();
	uint32_t k;

	rig_evict(r, 16); /* so that the stage is not empty */
	program_madvise(r->t[1], rig_range(16, 8), true);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	r->sp->n_unknown = 1000; /* many more were emptied: look what is there */
	rig_pass(r, 1000);
	owner_tick(&r->s.owner, r->sp);
	rig_agent(r);
	(void)owner_receive(&r->s.owner, r->p);
	ASSERT(rig_is_present(r, RIG_FIRST + 16));
	rig_command(r, 8);
	ASSERT(r->sp->victims[0].addr == fk_addr(RIG_FIRST + 16));
	r->p->agent.stopped = true;
	for (k = 16; k < 24; k++)
		ASSERT(fk_reclaim_lazy(r->p->mm, RIG_FIRST + k));
	rig_pass(r, 300);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(r->sp->gate == GATE_REVOKED);
	rig_free(r);
}

/* The agent dies between two MOVEs; its process lives on. */
static void r1_agent_dies(void)
{
	struct rig *r = rig_new();

	spread(r);
	rig_command(r, 8);
	stop_after(r, 2 + 3);
	fake_agent_kill(&r->p->agent);
	owner_agent_died(&r->s.owner, r->p);
	ASSERT(r->sp->gate == GATE_OPEN);
	ASSERT(rig_is_out(r, RIG_FIRST + 4) && rig_is_present(r, RIG_FIRST + 6));
	ASSERT(owner_attach(&r->s.owner, r->p));
	rig_evict(r, 8);
	rig_free(r);
}

/*
 * A fault that waited for room was answered with another thread's. Its entry is tried again when the page
 * is a victim: nothing may be installed where the page may have moved out a moment ago.
 */
static void r1_old_fault_of_a_victim(void)
{
	struct rig *r = rig_new();
	struct page_leaf *leaf;

	rig_evict(r, 1);
	r->s.owner.group.room_pages = 0;
	program_touch(r->t[1], RIG_FIRST, true);
	ASSERT(!rig_run(r->t[1]));
	owner_service(&r->s.owner, r->sp);
	r->s.owner.group.room_pages = 1000;
	program_touch(r->t[2], RIG_FIRST, true);
	ASSERT(!rig_run(r->t[2]));
	owner_service(&r->s.owner, r->sp); /* both are answered */
	ASSERT(rig_run(r->t[1]) && rig_run(r->t[2]) && r->sp->n_waiting == 1);
	leaf = page_map_find(&r->sp->map, fk_addr(RIG_FIRST));
	leaf->credit[page_in_leaf(fk_addr(RIG_FIRST))] = 0;
	r->sp->hand = fk_addr(RIG_FIRST);
	rig_command(r, 1);
	ASSERT(r->sp->victims[0].addr == fk_addr(RIG_FIRST));
	rig_agent(r); /* it has moved, and the owner does not know */
	(void)space_retry(r->sp, (struct slot_id){ 0 });
	ASSERT(owner_receive(&r->s.owner, r->p) && rig_is_out(r, RIG_FIRST));
	rig_free(r);
}

/* One read returns the fault before the older REMAP: it must not be served at the old address. */
static void r2_fault_before_event(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(0, 8), { RIG_SPARE, RIG_SPARE + 8 }, true };

	rig_evict(r, 16);
	program_mremap(r->t[1], &m);		      /* the old range stays, empty */
	program_touch(r->t[2], RIG_FIRST + 2, false); /* must read zero */
	ASSERT(!rig_run(r->t[2]));
	rig_serve(r);
	ASSERT(rig_is_out(r, RIG_SPARE + 2) && !rig_is_out(r, RIG_FIRST + 2));
	serve_both(r);
	rig_touch(r, r->t[0], RIG_SPARE + 2, false);
	rig_free(r);
}

/* A thread waits in a fault (parked) when its page is unmapped: nothing but a WAKE ends its sleep. */
static void r2_unmap_wakes(void)
{
	struct rig *r = rig_new();
	struct slot_id id;

	rig_evict(r, 8);
	id = rig_pin(r, RIG_FIRST + 1);
	program_touch(r->t[1], RIG_FIRST + 1, false);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	ASSERT(r->sp->n_waiting == 1);
	program_munmap(r->t[2], rig_range(0, 8));
	rig_serve(r);
	ASSERT(rig_run(r->t[2]));
	ASSERT(rig_run(r->t[1])); /* SIGSEGV */
	ASSERT(r->s.world.stats.n_segv == 1);
	rig_unpin(r, id); /* the last one frees */
	rig_free(r);
}

/* Growing in place raises no event: the first fault there is all we hear of it. */
static void r2_grown_in_place(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(RIG_PAGES - 4, 4), rig_range(RIG_PAGES - 4, 12), false };

	program_mremap(r->t[1], &m);
	ASSERT(rig_run(r->t[1]));
	rig_touch(r, r->t[0], RIG_FIRST + RIG_PAGES + 5, true);
	ASSERT(r->s.owner.group.stats.n_adopted == 1);
	ASSERT(rig_is_present(r, RIG_FIRST + RIG_PAGES + 5));
	rig_free(r);
}

/* A fault that has waited is tried again when its mapping is gone: that must not become a region. */
static void r2_adopt_only_what_is_registered(void)
{
	struct rig *r = rig_new();

	rig_evict(r, 8);
	r->s.owner.group.room_pages = 0;
	program_touch(r->t[1], RIG_FIRST + 1, false);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	program_munmap(r->t[2], rig_range(0, 8));
	rig_serve(r);
	ASSERT(rig_run(r->t[2]));
	rig_serve(r);
	ASSERT(!region_contains(&r->sp->regions, fk_addr(RIG_FIRST + 1)));
	program_mmap(r->t[2],
		     rig_range(0, 8)); /* not registered: evicted it would come back empty */
	rig_free(r);
}

/*
 * mremap() tells REMAP and, when its thread has run again, UNMAP of what it left. In between another
 * thread moves evicted pages to the place that became free: the UNMAP must not forget those.
 */
static void r2_unmap_of_mremap_comes_late(void)
{
	struct rig *r = rig_new();
	struct fk_mremap away = { rig_range(0, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	struct fk_mremap into = { rig_range(16, 8), rig_range(0, 8), false };

	rig_evict(r, 32);
	program_mremap(r->t[1], &away);
	owner_service(&r->s.owner, r->sp); /* REMAP; its thread is slow */
	program_mremap(r->t[2], &into);
	owner_service(&r->s.owner, r->sp); /* REMAP of the second */
	serve_both(r);
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_touch(r, r->t[0], RIG_SPARE + 3, false);
	rig_free(r);
}

/* An event is queued after the lock is dropped: munmap() and mremap() tell in the wrong order. */
static void r2_remap_overtakes_unmap(void)
{
	struct rig *r = rig_new();
	struct fk_mremap into = { rig_range(16, 8), rig_range(0, 8), false };

	rig_evict(r, 32);
	r->s.world.fk.late_events = true;
	program_munmap(r->t[1], rig_range(0, 8)); /* made, not queued */
	overtake(r, &into);
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_free(r);
}

/*
 * As above, of what had grown and is not in the table: nothing says that the place is taken. The UNMAP
 * begins inside of what has come, which is there still when it is read.
 */
static void r2_remap_overtakes_unmap_of_a_part(void)
{
	const struct fk_mremap before = { rig_range(40, 2), { RIG_SPARE, RIG_SPARE + 2 }, false };
	const struct fk_mremap into = { rig_range(16, 6), rig_range(RIG_PAGES, 6), false };
	struct rig *r = rig_new();

	rig_evict(r, 48);
	rig_grow(r->t[1]);
	rig_mremap(r, r->t[0], &before);
	program_munmap(r->t[1], rig_range(RIG_PAGES, 4));
	rig_told(r, r->t[1]);
	r->s.world.fk.late_events = true;
	program_munmap(r->t[1], rig_range(RIG_PAGES + 4, 4)); /* made, not queued */
	overtake(r, &into);
	rig_touch(r, r->t[0], RIG_FIRST + RIG_PAGES + 3, false);
	rig_touch(r, r->t[0], RIG_FIRST + RIG_PAGES + 5, false);
	rig_free(r);
}

/* Late as before, and the second thread had claimed the free place with a mapping that got registered. */
static void r2_unmap_of_mremap_comes_after_another(void)
{
	struct rig *r = rig_new();
	struct fk_mremap away = { rig_range(0, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	struct fk_mremap into = { rig_range(16, 8), rig_range(0, 8), false };

	rig_evict(r, 32);
	program_mremap(r->t[1], &away);
	owner_service(&r->s.owner, r->sp);
	program_mmap(r->t[2], rig_range(0, 8));
	(void)r->sp->mem->ops->register_missing(r->sp->mem, fk_addr(RIG_FIRST), 8 * PAGE_BYTES);
	program_mremap(r->t[2], &into); /* UNMAP of its claim, REMAP, UNMAP */
	owner_service(&r->s.owner, r->sp);
	(void)program_step(r->t[2], false);
	owner_service(&r->s.owner, r->sp);
	serve_both(r);
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_free(r);
}

/* The first thread's UNMAP of its target and its REMAP come behind a REMAP to where it moved from. */
static void r2_remap_overtakes_remap(void)
{
	struct rig *r = rig_new();
	struct fk_mremap away = { rig_range(0, 8), rig_range(24, 8), false };
	struct fk_mremap into = { rig_range(16, 6), rig_range(2, 6), false };

	rig_evict(r, 32);
	r->s.world.fk.late_events = true;
	program_mremap(r->t[1], &away);
	overtake(r, &into);
	rig_touch(r, r->t[0], RIG_FIRST + 24, false);
	rig_touch(r, r->t[0], RIG_FIRST + 24 + 5, false);
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_free(r);
}

/* What comes home becomes one with what stayed there, and both are moved on before anybody asks. */
static void r2_remap_of_what_came_home(void)
{
	const struct fk_mremap away = { rig_range(8, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	const struct fk_mremap home = { { RIG_SPARE, RIG_SPARE + 8 }, rig_range(8, 8), false };
	const struct fk_mremap all = { rig_range(0, 32), { RIG_SPARE, RIG_SPARE + 32 }, false };
	const struct fk_mremap *calls[] = { &away, &home, &all };
	struct rig *r = rig_new();
	uint32_t k;

	rig_evict(r, 32);
	for (k = 0; k < 3; k++)
		rig_mremap(r, r->t[1], calls[k]);
	for (k = 0; k < 32; k++)
		rig_touch(r, r->t[0], RIG_SPARE + k, false);
	rig_free(r);
}

/* As before, to where a mapping had grown that the table knows by its old size. */
static void r2_remap_overtakes_remap_of_grown(void)
{
	struct rig *r = rig_new();
	struct fk_mremap away = { rig_range(RIG_PAGES - 4, 12),
				  { RIG_SPARE, RIG_SPARE + 12 },
				  false };
	struct fk_mremap into = { rig_range(16, 4), rig_range(RIG_PAGES + 2, 4), false };

	rig_evict(r, RIG_PAGES);
	rig_grow(r->t[1]);
	r->s.world.fk.late_events = true;
	program_mremap(r->t[1], &away);
	overtake(r, &into);
	rig_touch(r, r->t[0], RIG_SPARE + 1, false);
	rig_touch(r, r->t[0], RIG_SPARE + 7, false);
	rig_touch(r, r->t[0], RIG_FIRST + RIG_PAGES + 3, false);
	rig_free(r);
}

/* A part of the mapping goes away and comes home, and the end is cut off across it. */
static const struct fk_mremap part_away = { { RIG_FIRST + 16, RIG_FIRST + 24 },
					    { RIG_SPARE, RIG_SPARE + 8 },
					    false };
static const struct fk_mremap part_home = { { RIG_SPARE, RIG_SPARE + 8 },
					    { RIG_FIRST + 16, RIG_FIRST + 24 },
					    false };
static const struct fk_mremap end_off = { { RIG_FIRST, RIG_FIRST + RIG_PAGES },
					  { RIG_FIRST, RIG_FIRST + 12 },
					  false };
static const struct fk_mremap end_on = { { RIG_FIRST, RIG_FIRST + 12 },
					 { RIG_FIRST, RIG_FIRST + RIG_PAGES },
					 false };

/*
 * A part came home to a mapping, which then shrinks across it and grows again, before anybody can ask the
 * kernel: it is the same thread that does all of it, and what has grown is empty.
 */
static void r2_shrink_across_what_came_home(void)
{
	struct rig *r = rig_new();
	uint32_t k;

	rig_evict(r, 32);
	rig_mremap(r, r->t[1], &part_away);
	rig_mremap(r, r->t[1], &part_home);
	rig_mremap(r, r->t[1], &end_off);
	rig_mremap(r, r->t[1], &end_on);
	for (k = 0; k < RIG_PAGES; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, false);
	rig_free(r);
}

/* The same with the whole moved on across what came home, and the head, which stayed, grown again. */
static void r2_move_on_what_came_home(void)
{
	const struct fk_mremap tail = { rig_range(12, 20), { RIG_SPARE, RIG_SPARE + 20 }, false };
	const struct fk_mremap grow = { rig_range(0, 12), rig_range(0, 32), false };
	struct rig *r = rig_new();
	uint32_t k;

	rig_evict(r, 32);
	rig_mremap(r, r->t[1], &part_away);
	rig_mremap(r, r->t[1], &part_home);
	rig_mremap(r, r->t[1], &tail);
	rig_mremap(r, r->t[1], &grow);
	for (k = 0; k < 32; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, false);
	for (k = 0; k < 20; k++)
		rig_touch(r, r->t[0], RIG_SPARE + k, false);
	rig_free(r);
}

/*
 * One thread unmaps the end of a mapping that had grown, of which the table does not know; another moves
 * pages to there, and is told of first. They stay.
 */
static void r2_remap_overtakes_unmap_of_grown(void)
{
	const struct fk_mremap into = { rig_range(16, 4), rig_range(RIG_PAGES + 4, 4), false };
	struct rig *r = rig_new();

	rig_evict(r, RIG_PAGES);
	rig_grow(r->t[1]);
	r->s.world.fk.late_events = true;
	program_munmap(r->t[1], rig_range(RIG_PAGES - 4, 12));
	overtake(r, &into);
	rig_touch(r, r->t[0], RIG_FIRST + RIG_PAGES + 4, false);
	rig_touch(r, r->t[0], RIG_FIRST + RIG_PAGES + 7, false);
	rig_free(r);
}

/* The same, and they are moved on before the UNMAP is read. */
static void r2_two_remaps_overtake_unmap_of_grown(void)
{
	const struct fk_mremap into = { rig_range(16, 4), rig_range(RIG_PAGES + 4, 4), false };
	const struct fk_mremap on = { rig_range(RIG_PAGES + 4, 4),
				      { RIG_SPARE, RIG_SPARE + 4 },
				      false };
	struct rig *r = rig_new();

	rig_evict(r, RIG_PAGES);
	rig_grow(r->t[1]);
	r->s.world.fk.late_events = true;
	program_munmap(r->t[1], rig_range(RIG_PAGES - 4, 12));
	rig_mremap(r, r->t[2], &into);
	ASSERT(!rig_run(r->t[1])); /* queued now */
	program_mremap(r->t[2], &on);
	serve_both(r);
	rig_touch(r, r->t[0], RIG_SPARE, false);
	rig_touch(r, r->t[0], RIG_SPARE + 3, false);
	rig_free(r);
}

/* As before, by an mremap() that unmaps its target first: of its thread one event was read, one not. */
static void r2_half_told_mremap_takes_it_on(void)
{
	const struct fk_mremap into = { rig_range(16, 4), rig_range(RIG_PAGES + 4, 4), false };
	const struct fk_mremap on = { rig_range(RIG_PAGES + 4, 4),
				      { RIG_SPARE, RIG_SPARE + 4 },
				      false };
	struct rig *r = rig_new();
	uint32_t k;

	program_mmap(r->t[0], (struct frange){ RIG_SPARE, RIG_SPARE + 4 });
	owner_manage(&r->s.owner, r->sp); /* registered: what replaces it is told of */
	rig_evict(r, RIG_PAGES);
	rig_grow(r->t[1]);
	r->s.world.fk.late_events = true;
	program_munmap(r->t[1], rig_range(RIG_PAGES - 4, 12)); /* made, not queued */
	rig_mremap(r, r->t[2], &into);
	program_mremap(r->t[2], &on);
	ASSERT(!rig_run(r->t[2])); /* its UNMAP of the target is queued */
	ASSERT(!rig_run(r->t[1])); /* the late UNMAP, behind it */
	serve_both(r);
	for (k = 0; k < 4; k++)
		rig_touch(r, r->t[0], RIG_SPARE + k, false);
	rig_free(r);
}

/*
 * What the second thread does in the owner's n-th memory operation after the last event of its call was
 * read.
 */
static struct {
	struct rig *r;
	const struct fk_mremap *m;
	uint32_t n;
} during;

static void during_op(void *user)
{
	struct thread *t = during.r->t[1];

	(void)user;
	if (!during.n || t->task.state != TASK_EVENT_READ ||
	    t->task.at_event + 1 != t->task.n_events || --during.n)
		return;
	ASSERT(rig_run(t)); /* its mremap() returns */
	program_mremap(t, during.m);
}

/* The event comes while the kernel is being asked, at every point there is: it is not taken for seen. */
static void r2_shrink_while_it_is_asked(void)
{
	uint32_t n, k;

	during.n = 0;
	for (n = 1; !during.n; n++) {
		struct rig *r = rig_new();

		rig_evict(r, 32);
		rig_mremap(r, r->t[1], &part_away);
		program_mremap(r->t[1], &part_home);
		during.r = r;
		during.m = &end_off;
		during.n = n;
		r->s.world.fk.preempt = during_op;
		rig_told(r, r->t[1]);
		r->s.world.fk.preempt = NULL;
		if (!during.n)
			rig_mremap(r, r->t[1], &end_on);
		for (k = 0; k < RIG_PAGES; k++)
			rig_touch(r, r->t[0], RIG_FIRST + k, false);
		rig_free(r);
	}
	ASSERT(n > 2);
}

const struct rule rules_layout[] = {
	{ "r1_unmap_under_command", r1_unmap_under_command },
	{ "r1_revoke", r1_revoke },
	{ "r1_move_loses_count", r1_move_loses_count },
	{ "r1_move_loses_count_before_an_event", r1_move_loses_count_before_an_event },
	{ "r1_revoke_moved_away", r1_revoke_moved_away },
	{ "r1_revoke_emptied", r1_revoke_emptied },
	{ "r1_agent_dies", r1_agent_dies },
	{ "r1_old_fault_of_a_victim", r1_old_fault_of_a_victim },
	{ "r2_fault_before_event", r2_fault_before_event },
	{ "r2_unmap_wakes", r2_unmap_wakes },
	{ "r2_grown_in_place", r2_grown_in_place },
	{ "r2_adopt_only_what_is_registered", r2_adopt_only_what_is_registered },
	{ "r2_remap_overtakes_unmap", r2_remap_overtakes_unmap },
	{ "r2_unmap_of_mremap_comes_late", r2_unmap_of_mremap_comes_late },
	{ "r2_remap_overtakes_unmap_of_a_part", r2_remap_overtakes_unmap_of_a_part },
	{ "r2_unmap_of_mremap_comes_after_another", r2_unmap_of_mremap_comes_after_another },
	{ "r2_remap_overtakes_remap", r2_remap_overtakes_remap },
	{ "r2_remap_overtakes_remap_of_grown", r2_remap_overtakes_remap_of_grown },
	{ "r2_remap_of_what_came_home", r2_remap_of_what_came_home },
	{ "r2_shrink_across_what_came_home", r2_shrink_across_what_came_home },
	{ "r2_move_on_what_came_home", r2_move_on_what_came_home },
	{ "r2_remap_overtakes_unmap_of_grown", r2_remap_overtakes_unmap_of_grown },
	{ "r2_two_remaps_overtake_unmap_of_grown", r2_two_remaps_overtake_unmap_of_grown },
	{ "r2_half_told_mremap_takes_it_on", r2_half_told_mremap_takes_it_on },
	{ "r2_shrink_while_it_is_asked", r2_shrink_while_it_is_asked },
	{ NULL, NULL },
};
