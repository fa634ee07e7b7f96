// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What may happen to a space while pages of it are being read from the file.
 */
#include "base/assert.h"
#include "rules.h"

#define N_OUT 8u

/* The first N_OUT pages are on the disk, and in no buffer. */
static struct rig *rig_on_disk(void)
{
	struct rig *r = rig_new();
	struct owner *o = &r->s.owner;
	uint32_t k, n = 0, n_moved;

	rig_evict(r, N_OUT);
	o->quiet = true;
	for (k = 0; n < N_OUT; k++) { /* the first sweep gives second chances */
		ASSERT(k < 8);
		(void)swap_writeback(o->group.app, SWAP_WRITEBACK_LRU, N_OUT - n, &n_moved);
		n += n_moved;
	}
	swap_file_flush(o->swap);
	ASSERT(owner_file_round(o));
	return r;
}

/* The thread waits for a read now. */
static void begin_read(struct rig *r, struct thread *t, uint32_t page)
{
	uint32_t n = r->s.owner.n_reads;

	program_touch(t, RIG_FIRST + page, false);
	ASSERT(!rig_run(t));
	rig_serve(r);
	ASSERT(r->s.owner.n_reads > n && !rig_run(t));
}

static void read_comes(struct rig *r)
{
	ASSERT(owner_file_round(&r->s.owner));
	while (r->s.owner.n_unpinned)
		owner_retry(&r->s.owner,
			    (struct slot_id){ r->s.owner.unpinned[--r->s.owner.n_unpinned] });
}

static void file_page_comes_back(void)
{
	struct rig *r = rig_on_disk();

	begin_read(r, r->t[0], 0);
	read_comes(r);
	ASSERT(rig_run(r->t[0]));
	ASSERT(r->s.owner.group.stats.n_file_faults == 1 && !r->s.owner.group.n_loading);
	rig_free(r);
}

/* The second one waits for the same read, by the pin, and is told. */
static void r6_two_wait_for_one_read(void)
{
	struct rig *r = rig_on_disk();

	begin_read(r, r->t[0], 0);
	program_touch(r->t[1], RIG_FIRST, true);
	ASSERT(!rig_run(r->t[1]));
	rig_serve(r);
	ASSERT(r->s.owner.n_reads == 1);
	read_comes(r);
	rig_serve(r);
	ASSERT(rig_run(r->t[0]) && rig_run(r->t[1]));
	rig_free(r);
}

/* Reads of different threads are under way together. */
static void file_reads_overlap(void)
{
	struct rig *r = rig_on_disk();

	r->s.owner.group.readahead = false;
	begin_read(r, r->t[0], 0);
	begin_read(r, r->t[1], 4);
	begin_read(r, r->t[2], 7);
	ASSERT(r->s.owner.n_reads == 3);
	read_comes(r);
	ASSERT(rig_run(r->t[0]) && rig_run(r->t[1]) && rig_run(r->t[2]));
	rig_free(r);
}

static void r7_unreadable_page_is_poison(void)
{
	struct rig *r = rig_on_disk();

	r->s.world.bus_expected = true;
	r->s.owner.read_fails = true;
	begin_read(r, r->t[0], 2);
	read_comes(r);
	ASSERT(rig_run(r->t[0]) && r->s.world.stats.n_bus == 1);
	ASSERT(r->s.owner.group.stats.n_poisoned == 1);
	r->s.owner.read_fails = false;
	begin_read(r, r->t[1], 3); /* and no other is */
	read_comes(r);
	ASSERT(rig_run(r->t[1]) && r->s.world.stats.n_bus == 1);
	rig_free(r);
}

static void r7_changed_record_is_poison(void)
{
	struct rig *r = rig_on_disk();
	uint64_t k;

	r->s.world.bus_expected = true;
	begin_read(r, r->t[0], 2);
	for (k = 0; k < r->s.owner.disk.n_bytes; k += 8) /* somebody writes all over the file */
		r->s.owner.disk.bytes[k] ^= 0x40;
	read_comes(r);
	ASSERT(rig_run(r->t[0]) && r->s.world.stats.n_bus == 1);
	for (k = 0; k < r->s.owner.disk.n_bytes; k += 8)
		r->s.owner.disk.bytes[k] ^= 0x40;
	rig_free(r);
}

/* Unmapped, mapped again, written: what was read is of a page that is gone. */
static void r4_unmapped_under_read(void)
{
	struct rig *r = rig_on_disk();

	begin_read(r, r->t[0], 0);
	program_madvise(r->t[1], rig_range(0, N_OUT), false); /* empties */
	while (!rig_run(r->t[1]))
		rig_serve(r);
	rig_touch(r, r->t[1], RIG_FIRST + 1, true);
	read_comes(r);
	rig_serve(r);
	rig_serve(r);
	ASSERT(rig_run(r->t[0])); /* sees zero, which the oracle checks */
	rig_touch(r, r->t[2], RIG_FIRST + 1, false);
	rig_free(r);
}

static void r6_exit_under_read(void)
{
	struct rig *r = rig_on_disk();

	begin_read(r, r->t[0], 0);
	proc_exit(r->p);
	owner_tick(&r->s.owner, r->sp);
	read_comes(r);
	ASSERT(!r->s.owner.group.n_loading);
	rig_free(r);
}

/* The parent's load drops one count; the child's page is still on the disk. */
static void r8_fork_under_read(void)
{
	struct rig *r = rig_on_disk();
	struct proc *child;
	uint32_t k;

	begin_read(r, r->t[0], 0);
	program_fork(r->t[1]);
	child = r->t[1]->child;
	for (k = 0; !rig_run(r->t[1]); k++) {
		ASSERT(k < 8);
		rig_serve(r);
	}
	ASSERT(child && child->space);
	read_comes(r);
	ASSERT(rig_run(r->t[0]));
	rig_touch(r, r->t[0], RIG_FIRST, true);
	program_touch(&child->thread[0], RIG_FIRST, false);
	for (k = 0; !rig_run(&child->thread[0]); k++) {
		ASSERT(k < 8);
		owner_service(&r->s.owner, child->space);
		(void)owner_file_round(&r->s.owner);
		owner_retry(&r->s.owner, (struct slot_id){ 0 });
	}
	rig_free(r);
}

/* Events are unread when the read comes: it is kept, and not read again. */
static void r5_read_waits_for_events(void)
{
	struct rig *r = rig_on_disk();

	begin_read(r, r->t[0], 0);
	program_madvise(r->t[1], rig_range(40, 2), false);
	ASSERT(!rig_run(r->t[1]));
	read_comes(r);
	ASSERT(!rig_run(r->t[0]) && r->sp->n_ready == 1 && !r->s.owner.n_reads);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	rig_serve(r);
	ASSERT(rig_run(r->t[0]) && !r->s.owner.n_reads);
	rig_free(r);
}

static void file_all_come_home(void)
{
	struct rig *r = rig_on_disk();
	uint32_t k;

	r->sp->homing = true;
	for (k = 0; space_bring_home(r->sp, (struct urange){ 0, PAGE_MAP_END }, 256); k++) {
		ASSERT(k < 8);
		(void)owner_file_round(&r->s.owner);
	}
	ASSERT(!r->sp->map.n_slots);
	r->sp->homing = false;
	rig_free(r);
}

const struct rule rules_file[] = {
	{ "file_page_comes_back", file_page_comes_back },
	{ "file_reads_overlap", file_reads_overlap },
	{ "file_all_come_home", file_all_come_home },
	{ "r4_unmapped_under_read", r4_unmapped_under_read },
	{ "r5_read_waits_for_events", r5_read_waits_for_events },
	{ "r6_two_wait_for_one_read", r6_two_wait_for_one_read },
	{ "r6_exit_under_read", r6_exit_under_read },
	{ "r7_unreadable_page_is_poison", r7_unreadable_page_is_poison },
	{ "r7_changed_record_is_poison", r7_changed_record_is_poison },
	{ "r8_fork_under_read", r8_fork_under_read },
	{ NULL, NULL },
};
