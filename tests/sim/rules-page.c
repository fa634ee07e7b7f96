// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * R3 to R11: what a page contains, and who waits for it.
 */
#include "base/assert.h"
#include "rules.h"

static struct page_leaf *leaf_of(struct rig *r, uint32_t page)
{
	return page_map_find(&r->sp->map, fk_addr(page));
}

/* After REMOVE was read and before its thread has zapped, the pages are still there: hands off. */
static void r3_no_eviction_before_the_zap(void)
{
	struct rig *r = rig_new();
	uint32_t k;

	program_madvise(r->t[1], rig_range(0, RIG_PAGES), false);
	ASSERT(!rig_run(r->t[1]));
	owner_service(&r->s.owner, r->sp);
	for (k = 0; k < 8; k++)
		ASSERT(!owner_evict(&r->s.owner, r->sp, 8));
	rig_pass(r, 1000);
	owner_tick(&r->s.owner, r->sp); /* nor is it found by a scan while the thread is inside */
	ASSERT(!rig_is_present(r, RIG_FIRST));
	ASSERT(rig_run(r->t[1]));
	rig_touch(r, r->t[0], RIG_FIRST, false); /* zero */
	rig_free(r);
}

/* Served and evicted again before the zap comes: either content is right, the old one is not. */
static void r3_served_before_the_zap(void)
{
	struct rig *r = rig_new();

	rig_evict(r, 4);
	program_madvise(r->t[1], rig_range(0, 4), false);
	ASSERT(!rig_run(r->t[1]));
	owner_service(&r->s.owner, r->sp);
	ASSERT(program_step(r->t[1], false) && r->t[1]->zap); /* it runs, and has not zapped */
	rig_touch(r, r->t[2], RIG_FIRST, false);
	rig_touch(r, r->t[2], RIG_FIRST + 1, true);
	rig_evict(r, RIG_PAGES);
	ASSERT(rig_is_out(r, RIG_FIRST + 1));
	ASSERT(rig_run(r->t[1]));
	rig_touch(r, r->t[0], RIG_FIRST, false);
	rig_touch(r, r->t[0], RIG_FIRST + 1, false);
	rig_touch(r, r->t[0], RIG_FIRST + 2, false);
	rig_free(r);
}

/*
 * More of a mapping is found while a thread empties pages at @first of it, of which was read: what will
 * not stay is not taken for present.
 */
static void no_adoption_before_the_zap(struct rig *r, uint32_t first)
{
	uint32_t k;

	program_madvise(r->t[1], rig_range(first, 4), false);
	ASSERT(!rig_run(r->t[1]));
	owner_service(&r->s.owner, r->sp);
	ASSERT(program_step(r->t[1], false) && r->t[1]->zap); /* it runs, and has not zapped */
	owner_manage(&r->s.owner, r->sp);
	ASSERT(region_contains(&r->sp->regions, fk_addr(RIG_FIRST + RIG_PAGES + 7)));
	for (k = 0; k < 4; k++)
		ASSERT(!rig_is_present(r, RIG_FIRST + first + k));
	ASSERT(rig_run(r->t[1]));
	rig_pass(r, 1000);
	owner_tick(&r->s.owner, r->sp);
	for (k = 0; k < 4; k++)
		rig_touch(r, r->t[0], RIG_FIRST + first + k, false);
	rig_free(r);
}

/* The table had the pages already: mremap() has grown the mapping. */
static void r3_no_second_look_before_the_zap(void)
{
	struct rig *r = rig_new();

	rig_grow(r->t[1]);
	no_adoption_before_the_zap(r, RIG_PAGES - 4);
}

/* It did not, though they are registered: an event in between ended the first attempt. */
static void r3_no_adoption_before_the_zap(void)
{
	struct rig *r = rig_new();
	const struct frange more = rig_range(RIG_PAGES, 8);
	uint32_t k;

	program_mmap(r->t[0], more);
	for (k = more.start; k < more.end; k++)
		rig_touch(r, r->t[0], k, true);
	ASSERT(!r->sp->mem->ops->register_missing(r->sp->mem, fk_addr(more.start),
						  8ull * PAGE_BYTES));
	ASSERT(!region_contains(&r->sp->regions, fk_addr(more.start)));
	no_adoption_before_the_zap(r, RIG_PAGES);
}

/* A write waits for room while another thread makes the page a guard: it must stay one. */
static void r3_guard_stays(void)
{
	struct rig *r = rig_new();

	program_madvise(r->t[1], rig_range(0, 2), false);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	r->s.owner.group.room_pages = 0;
	program_touch(r->t[1], RIG_FIRST, true);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	ASSERT(r->sp->n_waiting == 1);
	r->t[2]->op = OP_GUARD;
	r->t[2]->at = rig_range(0, 1);
	r->t[2]->home_done = true;
	ASSERT(!region_add(&r->sp->no_ahead,
			   (struct urange){ fk_addr(RIG_FIRST), fk_addr(RIG_FIRST + 1) }));
	ASSERT(rig_run(r->t[2]));
	r->s.owner.group.room_pages = 1000;
	rig_serve(r);
	ASSERT(rig_run(r->t[1])); /* SIGSEGV */
	ASSERT(r->s.world.stats.n_segv == 1);
	rig_free(r);
}

/* A fault that finds its slot pinned is parked, and told when the pin ends. */
static void r4_parked_and_told(void)
{
	struct rig *r = rig_new();
	struct slot_id id;

	rig_evict(r, 8);
	id = rig_pin(r, RIG_FIRST + 2);
	program_touch(r->t[1], RIG_FIRST + 2, false);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	rig_serve(r);
	ASSERT(!rig_run(r->t[1]) && r->s.owner.group.stats.n_parked == 1);
	rig_unpin(r, id);
	ASSERT(rig_run(r->t[1]));
	rig_free(r);
}

/* An event does not wait for the pin: the slot goes with the unpin, the page is zero at once. */
static void r4_event_does_not_wait(void)
{
	struct rig *r = rig_new();
	struct slot_id id;

	rig_evict(r, 8);
	id = rig_pin(r, RIG_FIRST + 2);
	program_madvise(r->t[1], rig_range(0, 8), false);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	rig_touch(r, r->t[0], RIG_FIRST + 2, true);
	rig_unpin(r, id);
	rig_touch(r, r->t[0], RIG_FIRST + 2, false);
	rig_free(r);
}

/* A page between the agent's answer and its bytes' arrival in the store: its slot is pinned. */
static void r4_fault_before_the_bytes(void)
{
	struct rig *r = rig_new();

	rig_command(r, 8);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
	program_touch(r->t[1], RIG_FIRST, false);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	ASSERT(!rig_run(r->t[1]));
	ASSERT(owner_put(&r->s.owner));
	while (r->s.owner.n_unpinned)
		owner_retry(&r->s.owner,
			    (struct slot_id){ r->s.owner.unpinned[--r->s.owner.n_unpinned] });
	ASSERT(rig_run(r->t[1]));
	rig_free(r);
}

/* COPY refused because of an unread event: the slot and its bytes stay. */
static void r5_refused_copy_keeps_the_slot(void)
{
	struct rig *r = rig_new();

	rig_evict(r, 8);
	program_touch(r->t[1], RIG_FIRST, true);
	ASSERT(!rig_run(r->t[1]));
	program_madvise(r->t[2], rig_range(32, 4), false);
	ASSERT(!rig_run(r->t[2]));
	owner_service(&r->s.owner, r->sp); /* EAGAIN: the other thread has not run yet */
	ASSERT(r->s.owner.group.stats.n_again == 1 && rig_is_out(r, RIG_FIRST));
	ASSERT(!rig_run(r->t[1]));
	ASSERT(rig_run(r->t[2]));
	rig_serve(r);
	ASSERT(rig_run(r->t[1]) && rig_is_present(r, RIG_FIRST));
	rig_free(r);
}

/* Two threads fault on one page: the second answer finds it there, and nothing is erased twice. */
static void r5_already_there(void)
{
	struct rig *r = rig_new();

	rig_evict(r, 8);
	program_touch(r->t[1], RIG_FIRST, true);
	program_touch(r->t[2], RIG_FIRST, true);
	ASSERT(!rig_run(r->t[1]) && !rig_run(r->t[2]));
	rig_serve(r);
	ASSERT(rig_run(r->t[1]) && rig_run(r->t[2]));
	rig_free(r);
}

/* A signal raises the same fault again and again: one place in the waiting list. */
static void r6_repeated_fault(void)
{
	struct rig *r = rig_new();
	struct slot_id id;
	uint32_t k;

	rig_evict(r, 8);
	id = rig_pin(r, RIG_FIRST);
	program_touch(r->t[1], RIG_FIRST, false);
	for (k = 0; k < 3 * SPACE_MAX_WAITING; k++) {
		ASSERT(!rig_run(r->t[1]));
		rig_serve(r);
		fk_task_signal(&r->t[1]->task);
	}
	ASSERT(r->sp->n_waiting == 1 && !r->s.owner.group.stats.n_overflow);
	rig_unpin(r, id);
	ASSERT(rig_run(r->t[1]));
	rig_free(r);
}

/* `uswap detach` while a fault waits in memory that was registered and not adopted yet. */
static void r6_detach_wakes_everybody(void)
{
	struct rig *r = rig_new();

	program_mmap(r->t[0], (struct frange){ RIG_SPARE, RIG_SPARE + 8 });
	(void)r->sp->mem->ops->register_missing(r->sp->mem, fk_addr(RIG_SPARE), 8 * PAGE_BYTES);
	r->s.owner.group.room_pages = 0;
	program_touch(r->t[1], RIG_SPARE + 4, true);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	ASSERT(!rig_run(r->t[1]));
	ASSERT(!space_unmanage(r->sp));
	ASSERT(rig_run(r->t[1]));
	ASSERT(fk_vma_at(r->p->mm, RIG_SPARE)->reg == FK_UNREGISTERED);
	rig_free(r);
}

/* Bytes that are not what they were: SIGBUS on that page, and on no other. */
static void r7_lost_bytes_are_poison(void)
{
	struct rig *r = rig_new();
	struct evict_job *job;

	rig_command(r, 4);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
	job = list_first(&r->s.owner.puts, struct evict_job, link);
	ASSERT(owner_put(&r->s.owner));
	ASSERT(job->page[2].page_idx == 2);
	job->buf->pages[2 * PAGE_BYTES + 1234] ^= 1;
	r->s.world.bus_expected = true;
	rig_touch(r, r->t[0], RIG_FIRST, false);
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	ASSERT(!r->s.world.stats.n_bus);
	rig_touch(r, r->t[0], RIG_FIRST + 2, false);
	ASSERT(r->s.world.stats.n_bus == 1 && r->s.owner.group.stats.n_poisoned == 1);
	rig_free(r);
}

/* The program takes its own page away on the way; an older copy of it must not be taken for it. */
static void r7_stolen_page_with_a_kept_copy(void)
{
	struct rig *r = rig_new();
	struct page_leaf *leaf = leaf_of(r, RIG_FIRST);
	uint32_t i = page_in_leaf(fk_addr(RIG_FIRST));
	struct thread *child;
	uint32_t k;

	rig_evict(r, 4);
	r->s.owner.group.keep_pool = KEEP_ALL;
	rig_touch(r, r->t[0], RIG_FIRST, false);
	ASSERT(leaf->slot[i] && rig_is_present(r, RIG_FIRST)); /* kept */
	leaf->credit[i] = 0;
	r->sp->hand = fk_addr(RIG_FIRST);
	rig_command(r, 1);
	ASSERT(leaf->state[i] & PAGE_DETACH);
	rig_agent(r);
	fake_mem_of(r->sp->mem)->read_fails = true;
	fake_agent_kill(&r->p->agent);
	owner_agent_died(&r->s.owner, r->p);
	fake_mem_of(r->sp->mem)->read_fails = false;
	r->s.world.bus_expected = true;
	program_fork(r->t[0]); /* the slot goes to the child as well */
	child = &r->t[0]->child->thread[0];
	for (k = 0; !rig_run(r->t[0]); k++) {
		ASSERT(k < 8);
		rig_serve(r);
	}
	rig_touch(r, r->t[0], RIG_FIRST, false);
	ASSERT(r->s.world.stats.n_bus == 1);
	program_touch(child, RIG_FIRST, false);
	for (k = 0; !rig_run(child); k++) {
		ASSERT(k < 8);
		owner_service(&r->s.owner, child->proc->space);
	}
	ASSERT(r->s.world.stats.n_bus == 2);
	proc_exit(r->p); /* nothing of it can be checked any more */
	proc_exit(child->proc);
	rig_free(r);
}

/* Each side has its own copy from the moment of the fork, whatever the other does. */
static void r8_snapshot(void)
{
	struct rig *r = rig_new();
	struct proc *child;

	rig_evict(r, 16);
	rig_touch(r, r->t[0], RIG_FIRST, false); /* evicted and loaded before the fork */
	child = rig_fork(r, r->t[0]);
	program_madvise(r->t[1], rig_range(0, 8), true);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	rig_touch(r, r->t[0], RIG_FIRST, true);
	rig_touch(r, r->t[0], RIG_FIRST + 9, true);
	program_munmap(r->t[1], rig_range(10, 2));
	while (!rig_run(r->t[1]))
		rig_serve(r);
	r->sp = child->space; /* served, and has no agent yet */
	ASSERT(!space_can_evict(child->space));
	rig_touch(r, &child->thread[0], RIG_FIRST, false);
	rig_touch(r, &child->thread[0], RIG_FIRST + 1, false);
	rig_touch(r, &child->thread[0], RIG_FIRST + 9, false);
	rig_touch(r, &child->thread[0], RIG_FIRST + 10, true);
	r->sp = r->p->space;
	rig_free(r);
}

static struct slot_id rig_slot(const struct proc *p, uint32_t page)
{
	struct page_leaf *leaf = page_map_find(&p->space->map, fk_addr(page));

	return (struct slot_id){ leaf->slot[page_in_leaf(fk_addr(page))] };
}

/* What comes back from a slot of several goes back to it, if it is as it was. */
static void shared_goes_back(bool keep)
{
	struct rig *r = rig_new();
	const struct space_stats *st = &r->s.owner.group.stats;
	struct proc *child;
	uint32_t k;

	r->s.owner.group.readahead = false;
	r->s.owner.group.keep_shared = keep; /* else what its relative has is found later */
	rig_evict(r, 4);
	child = rig_fork(r, r->t[0]);
	for (k = 0; k < 3; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, k == 2);
	ASSERT(!!rig_slot(r->p, RIG_FIRST).v == keep);
	r->s.owner.group.keep_shared = true;
	r->sp->hand = fk_addr(RIG_FIRST);
	for (k = 0; k < 3; k++) /* at once */
		page_map_find(&r->sp->map, r->sp->hand)->credit[page_in_leaf(r->sp->hand) + k] = 0;
	rig_evict(r, 3);
	ASSERT(rig_is_out(r, RIG_FIRST) && rig_is_out(r, RIG_FIRST + 2));
	ASSERT(st->n_shared_same == 2 && st->n_shared_changed == 1);
	for (k = 0; k < 4; k++)
		ASSERT((rig_slot(r->p, RIG_FIRST + k).v == rig_slot(child, RIG_FIRST + k).v) ==
		       (k != 2));
	r->sp = child->space;
	for (k = 0; k < 4; k++)
		rig_touch(r, &child->thread[0], RIG_FIRST + k, k == 1);
	r->sp = r->p->space;
	for (k = 0; k < 4; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, k == 0);
	rig_free(r);
}

static void r8_shared_copy_goes_back(void)
{
	shared_goes_back(true);
}

static void r8_slot_of_relative_is_found(void)
{
	shared_goes_back(false);
}

/* Both have the page, and each its copy for the other's sake: given up, nobody keeps the bytes. */
static void r8_shares_of_present_pages_go(void)
{
	struct rig *r = rig_new();
	struct proc *child;
	struct swap_stats before, after;
	uint32_t k;

	r->s.owner.group.readahead = false;
	r->s.owner.group.keep_shared = true;
	swap_stats_get(r->s.owner.swap, &before);
	rig_evict(r, 4);
	child = rig_fork(r, r->t[0]);
	for (k = 0; k < 3; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, true);
	r->sp = child->space;
	for (k = 0; k < 3; k++)
		rig_touch(r, &child->thread[0], RIG_FIRST + k, true);
	r->sp = r->p->space;
	ASSERT(rig_slot(r->p, RIG_FIRST).v);
	space_drop_shares(r->sp);
	space_drop_shares(child->space);
	for (k = 0; k < 3; k++)
		ASSERT(!rig_slot(r->p, RIG_FIRST + k).v && !rig_slot(child, RIG_FIRST + k).v);
	ASSERT(rig_slot(child, RIG_FIRST + 3).v && rig_is_out(r, RIG_FIRST + 3));
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_FIRST + 3, false);
	r->sp = r->p->space;
	space_drop_shares(r->sp);
	space_drop_shares(child->space);
	swap_stats_get(r->s.owner.swap, &after);
	ASSERT(after.pool_used_bytes == before.pool_used_bytes);
	rig_free(r);
}

/* A fork in the moment between the agent's answer and the bytes in the store; the parent exits. */
static void r8_fork_of_pages_on_their_way(void)
{
	struct rig *r = rig_new();
	struct proc *child;

	rig_command(r, 8);
	program_fork(r->t[1]);
	child = r->t[1]->child;
	rig_agent(r);
	ASSERT(r->p->agent.answer.detached.result[0] == USWAP_MOVE_EVENTS);
	ASSERT(owner_receive(&r->s.owner, r->p));
	while (!rig_run(r->t[1]))
		rig_serve(r);
	proc_exit(r->p);
	owner_tick(&r->s.owner, r->sp);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_FIRST, true);
	rig_free(r);
}

/*
 * mremap() onto a mapping that is known: its UNMAP was read, its REMAP comes when the thread has run. A
 * fork in between has the pages at their new place already.
 */
static void r8_fork_overtakes_remap(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(16, 8), rig_range(0, 8), false };
	struct proc *child;

	rig_evict(r, 32);
	program_mremap(r->t[1], &m);
	owner_service(&r->s.owner, r->sp);
	child = rig_fork(r, r->t[0]);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_FIRST + 3, false);
	r->sp = r->p->space;
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_free(r);
}

/* A thread of r->sp wants a page, and is not served. */
static void touch_waits(struct rig *r, struct thread *t, uint32_t page)
{
	uint32_t k;

	program_touch(t, page, false);
	for (k = 0; k < 3; k++) {
		ASSERT(!rig_run(t));
		rig_serve(r);
	}
	ASSERT(!rig_run(t));
}

/* The same, and the child wants such a page before its parent has told where it is. */
static void r8_young_child_waits(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(16, 8), rig_range(0, 8), false };
	struct proc *child;

	rig_evict(r, 32);
	program_mremap(r->t[1], &m);
	owner_service(&r->s.owner, r->sp);
	child = rig_fork(r, r->t[0]);
	r->sp = child->space;
	touch_waits(r, &child->thread[0], RIG_FIRST + 3);
	r->sp = r->p->space;
	while (!rig_run(r->t[1]))
		rig_serve(r);
	r->sp = child->space;
	rig_serve(r);
	ASSERT(rig_run(&child->thread[0]));
	r->sp = r->p->space;
	rig_free(r);
}

/* A parent that is never quiet has told after a while what came before the fork. */
static void r8_young_child_grows_up(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(16, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	struct proc *child;

	rig_evict(r, 32);
	child = rig_fork(r, r->t[0]);
	program_mremap(r->t[1], &m);
	owner_service(&r->s.owner, r->sp); /* read, and its thread does not run */
	r->sp = child->space;
	touch_waits(r, &child->thread[0], RIG_FIRST + 3);
	rig_pass(r, 2000);
	rig_serve(r);
	ASSERT(rig_run(&child->thread[0]));
	r->sp = r->p->space;
	rig_told(r, r->t[1]);
	rig_free(r);
}

/* A fork child without agent puts something where its parent had marked memory to be empty in a child. */
static void r8_wiped_range_is_taken(void)
{
	const struct fk_mremap m = { rig_range(16, 4), rig_range(0, 4), false };
	struct rig *r = rig_new();
	struct proc *child, *grandchild;

	program_set_flags(r->t[0], rig_range(0, 4), O_WIPE, true);
	program_set_flags(r->t[0], rig_range(8, 4), O_WIPE, true);
	rig_evict(r, 32);
	child = rig_fork(r, r->t[0]);
	r->sp = child->space;
	rig_mremap(r, &child->thread[0], &m);
	rig_mremap(r, &child->thread[0],
		   &(struct fk_mremap){ rig_range(8, 4), { RIG_SPARE, RIG_SPARE + 4 }, false });
	rig_touch(r, &child->thread[0], RIG_SPARE, true);
	rig_touch(r, &child->thread[0], RIG_SPARE + 1, true);
	grandchild = rig_fork(r, &child->thread[0]);
	r->sp = grandchild->space;
	rig_touch(r, &grandchild->thread[0], RIG_FIRST + 1, false);
	rig_touch(r, &grandchild->thread[0], RIG_SPARE, false);
	r->sp = r->p->space;
	rig_free(r);
}

/*
 * While it is not known whether an UNMAP is about what is there now a fork is read: it waits, and what its
 * thread marks after the fork is no matter of the child.
 */
static void r8_fork_waits_for_doubt(void)
{
	const struct fk_mremap away = { rig_range(0, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	const struct fk_mremap into = { rig_range(16, 8), rig_range(0, 8), false };
	struct rig *r = rig_new();
	struct proc *child;

	rig_evict(r, 32);
	program_mremap(r->t[1], &away);
	owner_service(&r->s.owner, r->sp); /* REMAP; its thread is slow */
	program_mremap(r->t[2], &into);
	owner_service(&r->s.owner, r->sp); /* REMAP of the second, which is slower */
	ASSERT(!rig_run(r->t[1]));
	owner_service(&r->s.owner, r->sp); /* UNMAP of the first */
	ASSERT(r->sp->suspects.n);
	program_fork(r->t[0]);
	child = r->t[0]->child;
	owner_service(&r->s.owner, r->sp);
	ASSERT(rig_run(r->t[0]) && r->sp->n_held == 1);
	program_set_flags(r->t[0], rig_range(24, 4), O_WIPE, true);
	while (!rig_run(r->t[1]) || !rig_run(r->t[2]))
		rig_serve(r);
	rig_serve(r);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_FIRST + 3, false);
	rig_touch(r, &child->thread[0], RIG_FIRST + 25, false);
	r->sp = r->p->space;
	rig_free(r);
}

/* And so has a fork of that fork, made before the REMAP was read. */
static void r8_fork_of_fork_overtakes_remap(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(16, 8), rig_range(0, 8), false };
	struct proc *child, *grandchild;

	rig_evict(r, 32);
	program_mremap(r->t[1], &m);
	owner_service(&r->s.owner, r->sp);
	child = rig_fork(r, r->t[0]);
	r->sp = child->space;
	grandchild = rig_fork(r, &child->thread[0]);
	r->sp = r->p->space;
	while (!rig_run(r->t[1]))
		rig_serve(r);
	r->sp = grandchild->space;
	rig_touch(r, &grandchild->thread[0], RIG_FIRST + 3, false);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_FIRST + 3, false);
	r->sp = r->p->space;
	rig_touch(r, r->t[0], RIG_FIRST + 3, false);
	rig_free(r);
}

/* The one that forks is a young fork itself: what it has announced is no move of its child. */
static void r8_fork_of_young_overtakes_remap(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(16, 8), rig_range(0, 8), false };
	struct proc *child, *grandchild;
	struct thread *t;
	uint32_t k;

	rig_evict(r, 32);
	child = rig_fork(r, r->t[0]);
	r->sp = child->space;
	t = &child->thread[0];
	proc_add_thread(child);
	program_mremap(&child->thread[1], &m);
	owner_service(&r->s.owner, r->sp);
	grandchild = rig_fork(r, t);
	for (k = 0; !rig_run(&child->thread[1]); k++) {
		ASSERT(k < 8);
		rig_serve(r);
	}
	r->sp = grandchild->space;
	rig_touch(r, &grandchild->thread[0], RIG_FIRST + 3, false);
	r->sp = r->p->space;
	rig_free(r);
}

/* The child reads its first @n pages. */
static void touch_of_child(struct rig *r, struct proc *child, uint32_t n)
{
	uint32_t k;

	r->sp = child->space;
	for (k = 0; k < n; k++)
		rig_touch(r, &child->thread[0], RIG_FIRST + k, false);
	r->sp = r->p->space;
}

/* A fork overtakes an mremap() of what had grown, and was never touched, to where something is out. */
static void r8_fork_overtakes_remap_of_grown(void)
{
	const struct fk_mremap on = { rig_range(RIG_PAGES, 8), rig_range(0, 8), false };
	struct rig *r = rig_new();
	struct proc *child;

	rig_evict(r, 32);
	rig_grow(r->t[1]);
	r->s.world.fk.late_events = true;
	program_mremap(r->t[1], &on); /* made, nothing of it queued */
	child = rig_fork(r, r->t[0]);
	rig_told(r, r->t[1]);
	touch_of_child(r, child, 8);
	rig_free(r);
}

/* The parent moves something away and back by another amount: its child has neither move made. */
static void r8_two_moves_after_fork(void)
{
	const struct fk_mremap away = { rig_range(0, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	const struct fk_mremap back = { { RIG_SPARE, RIG_SPARE + 6 }, rig_range(2, 6), false };
	struct rig *r = rig_new();
	struct proc *child;

	rig_evict(r, 32);
	child = rig_fork(r, r->t[0]);
	rig_mremap(r, r->t[1], &away);
	rig_mremap(r, r->t[1], &back);
	touch_of_child(r, child, 8);
	rig_free(r);
}

/* No descriptor for the child: the event stays unread, and who wants main empty does not wait for it. */
static void r8_unreadable_fork_stays(void)
{
	struct rig *r = rig_new();
	struct fk_uffd *main = fake_mem_of(r->sp->mem)->uffd;

	main->no_fds = true;
	program_fork(r->t[0]);
	ASSERT(!space_service_all(r->sp) && main->n_events == 1);
	main->no_fds = false;
	ASSERT(!space_service_all(r->sp) && !main->n_events);
	ASSERT(rig_run(r->t[0]));
	rig_free(r);
}

/*
 * Parent and child go on alike: each moves the same range to the same place. The parent's move, told of
 * after the child's, looks as if the child had been born with it.
 */
static void r8_both_make_the_same_move(void)
{
	struct rig *r = rig_new();
	struct fk_mremap m = { rig_range(16, 8), { RIG_SPARE, RIG_SPARE + 8 }, false };
	struct proc *child;

	rig_evict(r, 32);
	child = rig_fork(r, r->t[0]);
	r->sp = child->space;
	rig_mremap(r, &child->thread[0], &m);
	r->sp = r->p->space;
	rig_mremap(r, r->t[0], &m);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_SPARE + 3, false);
	r->sp = r->p->space;
	rig_touch(r, r->t[0], RIG_SPARE + 3, false);
	rig_free(r);
}

/* Empty in the child, not there in the child. */
static void r8_wipe_and_dont_fork(void)
{
	struct rig *r = rig_new();
	struct proc *child;

	program_set_flags(r->t[0], rig_range(0, 4), O_WIPE, true);
	program_set_flags(r->t[0], rig_range(4, 4), O_NO_FORK, true);
	rig_evict(r, 16);
	child = rig_fork(r, r->t[0]);
	r->sp = child->space;
	rig_touch(r, &child->thread[0], RIG_FIRST, false);
	rig_touch(r, &child->thread[0], RIG_FIRST + 9, false);
	ASSERT(owner_attach(&r->s.owner, child));
	owner_manage(&r->s.owner, child->space);
	ASSERT(!region_contains(&child->space->regions, fk_addr(RIG_FIRST + 5)));
	r->sp = r->p->space;
	rig_free(r);
}

/*
 * A fault that loads, one that waits for a pin, and a first touch: served without an allocation. That
 * nothing of the program is read but the stage is asserted in every scenario (fake-mem.c).
 */
static void r9_no_allocation_for_a_fault(void)
{
	struct rig *r = rig_new();
	struct slot_id pinned;
	uint64_t n;

	rig_evict(r, 24);
	program_madvise(r->t[1], rig_range(40, 4), false);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	pinned = rig_pin(r, RIG_FIRST + 20);
	n = rig_n_allocations;
	rig_touch(r, r->t[0], RIG_FIRST + 2, false);
	rig_touch(r, r->t[1], RIG_FIRST + 40, true);
	program_touch(r->t[2], RIG_FIRST + 20, false);
	ASSERT(!rig_run(r->t[2]));
	rig_serve(r);
	ASSERT(!rig_run(r->t[2]));
	rig_unpin(r, pinned);
	ASSERT(rig_run(r->t[2]));
	ASSERT(r->s.owner.group.stats.n_load_faults >= 2 && r->s.owner.group.stats.n_parked);
	ASSERT(rig_n_allocations == n && n);
	rig_free(r);
}

/* What was unmapped is gone, and does not count as what may be resident without being known. */
static void r10_unmapped_is_not_unknown(void)
{
	struct rig *r = rig_new();
	const uint64_t n_unknown = r->sp->n_unknown;

	program_munmap(r->t[1], rig_range(8, 16));
	rig_told(r, r->t[1]);
	ASSERT(r->sp->n_unknown == n_unknown && !rig_is_present(r, RIG_FIRST + 8));
	program_madvise(r->t[1], rig_range(32, 8), false);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	ASSERT(r->sp->n_unknown == n_unknown + 8);
	rig_free(r);
}

static void rig_try(struct rig *r, uint32_t n)
{
	r->sp->hand = fk_addr(RIG_FIRST);
	rig_command(r, n);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
}

/* Shared pages refuse MOVE until they are exclusive again. */
static void r8_unshare(void)
{
	struct rig *r = rig_new();
	struct proc *child = rig_fork(r, r->t[0]);

	rig_command(r, 8);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
	ASSERT(r->s.owner.group.stats.n_busy == 8 && !r->s.owner.group.stats.n_evicted);
	ASSERT(r->sp->map.n_stuck == 8 && r->sp->map.n_shared == 8);
	r->s.world.fk.fail_at = r->s.world.fk.n_calls + 1; /* the agent does not take the message */
	ASSERT(!space_unshare(r->sp, 8) && r->s.world.fk.failed && !r->sp->map.n_stuck);
	rig_try(r, 8);
	ASSERT(r->sp->map.n_stuck == 8 && r->sp->map.n_shared == 8); /* they had none */
	proc_exit(child);
	ASSERT(!space_unstick(r->sp, 8) && space_unshare(r->sp, 8) == 8);
	ASSERT(!r->sp->map.n_stuck && !r->sp->map.n_shared);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
	r->sp->hand = fk_addr(RIG_FIRST);
	rig_evict(r, 8);
	ASSERT(r->s.owner.group.stats.n_evicted == 8 && rig_is_out(r, RIG_FIRST));
	rig_free(r);
}

static void rig_pin_pages(struct rig *r, uint32_t n, bool pinned)
{
	struct fk_mm *mm = r->t[0]->task.mm;
	uint32_t k;

	for (k = 0; k < n; k++)
		mm->fk->pages[mm->pte[RIG_FIRST + k].page].pinned = pinned;
}

/* A copy does not help them: they stay, count while they are there, and are tried again. */
static void r11_pinned_pages_are_tried_again(void)
{
	struct rig *r = rig_new();

	rig_pin_pages(r, 16, true);
	rig_try(r, 16);
	ASSERT(r->sp->map.n_stuck == 16 && r->sp->map.n_shared == 16);
	ASSERT(space_unshare(r->sp, 16) == 16);
	rig_agent(r);
	ASSERT(owner_receive(&r->s.owner, r->p));
	rig_try(r, 16);
	ASSERT(r->sp->map.n_stuck == 16 && !r->sp->map.n_shared && !space_unshare(r->sp, 16));
	ASSERT(space_movable_pages(r->sp) == RIG_PAGES - 16);
	program_munmap(r->t[1], rig_range(0, 4));
	rig_told(r, r->t[1]);
	ASSERT(r->sp->map.n_stuck == 12);
	rig_pin_pages(r, 16, false);
	ASSERT(space_unstick(r->sp, 1) == 12 && !r->sp->map.n_stuck);
	rig_evict(r, 12);
	ASSERT(rig_is_out(r, RIG_FIRST + 4) && rig_is_out(r, RIG_FIRST + 15));
	rig_free(r);
}

/* Where the kernel cannot wait: those pages stay, their neighbours leave. */
static void r11_protected_pages_stay(void)
{
	struct rig *r = rig_new();
	struct fake_mem *m = fake_mem_of(r->sp->mem);
	uint32_t k;

	m->protected[0] = rig_range(2, 3);
	m->protected[1] = rig_range(40, 1);
	m->protected[2] = rig_range(3, 4); /* they may overlap */
	m->n_protected = 3;
	rig_evict(r, RIG_PAGES);
	for (k = 0; k < RIG_PAGES; k++)
		ASSERT(rig_is_out(r, RIG_FIRST + k) == !((k >= 2 && k < 7) || k == 40));
	rig_free(r);
}

/* A traced program's pages come home, and stay. */
static void r11_traced(void)
{
	struct rig *r = rig_new();
	uint32_t k;

	rig_evict(r, 32);
	r->sp->homing = true;
	ASSERT(space_bring_home(r->sp, (struct urange){ 0, PAGE_MAP_END }, 10) == 22);
	ASSERT(!space_bring_home(r->sp, (struct urange){ 0, PAGE_MAP_END }, 100));
	ASSERT(!owner_evict(&r->s.owner, r->sp, 8));
	for (k = 0; k < 32; k++)
		ASSERT(rig_is_present(r, RIG_FIRST + k) && !leaf_of(r, RIG_FIRST)->n_slots);
	rig_free(r);
}

const struct rule rules_page[] = {
	{ "r3_no_eviction_before_the_zap", r3_no_eviction_before_the_zap },
	{ "r3_no_second_look_before_the_zap", r3_no_second_look_before_the_zap },
	{ "r3_no_adoption_before_the_zap", r3_no_adoption_before_the_zap },
	{ "r3_served_before_the_zap", r3_served_before_the_zap },
	{ "r3_guard_stays", r3_guard_stays },
	{ "r4_parked_and_told", r4_parked_and_told },
	{ "r4_event_does_not_wait", r4_event_does_not_wait },
	{ "r4_fault_before_the_bytes", r4_fault_before_the_bytes },
	{ "r5_refused_copy_keeps_the_slot", r5_refused_copy_keeps_the_slot },
	{ "r5_already_there", r5_already_there },
	{ "r6_repeated_fault", r6_repeated_fault },
	{ "r6_detach_wakes_everybody", r6_detach_wakes_everybody },
	{ "r7_lost_bytes_are_poison", r7_lost_bytes_are_poison },
	{ "r7_stolen_page_with_a_kept_copy", r7_stolen_page_with_a_kept_copy },
	{ "r8_snapshot", r8_snapshot },
	{ "r8_shares_of_present_pages_go", r8_shares_of_present_pages_go },
	{ "r8_fork_of_pages_on_their_way", r8_fork_of_pages_on_their_way },
	{ "r8_fork_overtakes_remap", r8_fork_overtakes_remap },
	{ "r8_young_child_waits", r8_young_child_waits },
	{ "r8_young_child_grows_up", r8_young_child_grows_up },
	{ "r8_wiped_range_is_taken", r8_wiped_range_is_taken },
	{ "r8_fork_waits_for_doubt", r8_fork_waits_for_doubt },
	{ "r8_fork_of_fork_overtakes_remap", r8_fork_of_fork_overtakes_remap },
	{ "r8_fork_of_young_overtakes_remap", r8_fork_of_young_overtakes_remap },
	{ "r8_fork_overtakes_remap_of_grown", r8_fork_overtakes_remap_of_grown },
	{ "r8_two_moves_after_fork", r8_two_moves_after_fork },
	{ "r8_unreadable_fork_stays", r8_unreadable_fork_stays },
	{ "r8_both_make_the_same_move", r8_both_make_the_same_move },
	{ "r8_wipe_and_dont_fork", r8_wipe_and_dont_fork },
	{ "r8_unshare", r8_unshare },
	{ "r8_shared_copy_goes_back", r8_shared_copy_goes_back },
	{ "r8_slot_of_relative_is_found", r8_slot_of_relative_is_found },
	{ "r11_pinned_pages_are_tried_again", r11_pinned_pages_are_tried_again },
	{ "r9_no_allocation_for_a_fault", r9_no_allocation_for_a_fault },
	{ "r10_unmapped_is_not_unknown", r10_unmapped_is_not_unknown },
	{ "r11_protected_pages_stay", r11_protected_pages_stay },
	{ "r11_traced", r11_traced },
	{ NULL, NULL },
};
