// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What may happen to a space while pages of it are being read from the file.
 */
#include "base/assert.h"
#include "rules.h"
#include "space/space-impl.h"

#define N_OUT 8u
#define N_SCAN 32u

/* The first @n_out pages are on the disk, and in no buffer. */
static struct rig *rig_with_out(uint32_t n_out)
{
	struct rig *r = rig_new();
	struct owner *o = &r->s.owner;
	uint32_t k, n = 0, n_moved;

	rig_evict(r, n_out);
	o->quiet = true;
	for (k = 0; k < 8 && n < n_out; k++) { /* the first sweep gives second chances */
		(void)swap_writeback(o->group.app, SWAP_WRITEBACK_LRU, n_out - n, &n_moved);
		n += n_moved;
		swap_file_flush(o->swap); /* there are few buffers */
		(void)owner_file_round(o);
	}
	ASSERT(n >= n_out - n_out / 16); /* some are of one word, and stay */
	return r;
}

static struct rig *rig_on_disk(void)
{
	return rig_with_out(N_OUT);
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

static void tell_unpinned(struct owner *o)
{
	while (o->n_unpinned)
		owner_retry(o, (struct slot_id){ o->unpinned[--o->n_unpinned] });
}

static void read_comes(struct rig *r)
{
	ASSERT(owner_file_round(&r->s.owner));
	tell_unpinned(&r->s.owner);
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
	child = rig_fork(r, r->t[1]);
	ASSERT(child->space);
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

/* ---- what a stream will want is read before it asks ----------------------------------------- */

/* A thread has begun to walk: pages 1 to 4 are being read for it, and 5 to 8 ahead of it. */
static struct rig *rig_walking(void)
{
	struct rig *r = rig_with_out(N_SCAN);

	r->s.owner.group.early_window = 4;
	begin_read(r, r->t[0], 0);
	read_comes(r);
	ASSERT(rig_run(r->t[0]));
	begin_read(r, r->t[0], 1);
	ASSERT(r->s.owner.n_reads == 8 && r->s.owner.group.n_early == 1);
	return r;
}

static void served_in_the_end(struct rig *r, struct thread *t, struct space *sp)
{
	uint32_t k;

	for (k = 0; !rig_run(t); k++) {
		ASSERT(k < 8);
		owner_service(&r->s.owner, sp);
		if (r->s.owner.n_reads)
			read_comes(r);
		owner_retry(&r->s.owner, (struct slot_id){ 0 });
	}
}

static void early_is_joined(void)
{
	struct rig *r = rig_walking();
	uint32_t k;

	read_comes(r);
	ASSERT(rig_run(r->t[0]) && !rig_is_present(r, RIG_FIRST + 5));
	program_touch(r->t[0], RIG_FIRST + 5,
		      true); /* its pages are here; the next are asked for */
	ASSERT(!rig_run(r->t[0]));
	rig_serve(r);
	ASSERT(rig_run(r->t[0]) && r->s.owner.n_reads == 8);
	program_touch(r->t[0], RIG_FIRST + 9, false); /* while they fly */
	ASSERT(!rig_run(r->t[0]));
	rig_serve(r);
	ASSERT(!rig_run(r->t[0]) && r->s.owner.group.stats.n_file_joined == 2);
	for (k = 9; k < N_SCAN; k++) {
		program_touch(r->t[0], RIG_FIRST + k, false);
		served_in_the_end(r, r->t[0], r->sp);
	}
	ASSERT(!r->s.owner.group.n_early && !r->s.owner.group.n_loading);
	rig_free(r);
}

static void early_is_given_up_in_time(void)
{
	struct rig *r = rig_walking();

	read_comes(r);
	ASSERT(rig_run(r->t[0]) && r->s.owner.group.n_early == 1);
	rig_pass(r, 30);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(!r->s.owner.group.n_early && !r->s.owner.group.n_loading && !r->s.owner.n_lent);
	rig_agent(r); /* the stage is emptied, too */
	(void)owner_receive(&r->s.owner, r->p);
	begin_read(r, r->t[0], 5); /* and nothing is read ahead of it any more */
	ASSERT(!r->s.owner.group.n_early);
	read_comes(r);
	ASSERT(rig_run(r->t[0]));
	rig_free(r);
}

/* The child's fault does not wait for what is read for its parent's next. */
static void early_gives_way_to_a_fault(void)
{
	struct rig *r = rig_walking();
	struct proc *child = rig_fork(r, r->t[1]);
	struct thread *of_child;

	of_child = &child->thread[0];
	program_touch(of_child, RIG_FIRST + 6, true);
	ASSERT(!rig_run(of_child));
	owner_service(&r->s.owner, child->space);
	served_in_the_end(r, of_child, child->space);
	ASSERT(rig_run(r->t[0]) && !r->s.owner.group.stats.n_file_joined);
	rig_touch(r, r->t[0], RIG_FIRST + 1, true);
	program_touch(r->t[0], RIG_FIRST + 6, true);
	served_in_the_end(r, r->t[0], r->sp);
	rig_free(r);
}

/* Moved away under it: the page is found at its new place, without the early load. */
static void r2_move_under_early(void)
{
	const struct fk_mremap away = { rig_range(5, 4), { RIG_SPARE, RIG_SPARE + 4 }, false };
	struct rig *r = rig_walking();

	read_comes(r);
	program_mremap(r->t[1], &away);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	program_touch(r->t[1], RIG_SPARE + 1, true);
	served_in_the_end(r, r->t[1], r->sp);
	ASSERT(!r->s.owner.group.n_early && !r->s.owner.group.n_loading);
	rig_free(r);
}

static void r4_emptied_under_early(void)
{
	struct rig *r = rig_walking();

	program_madvise(r->t[1], rig_range(5, 2), false);
	while (!rig_run(r->t[1]))
		rig_serve(r);
	read_comes(r);
	rig_touch(r, r->t[1], RIG_FIRST + 5, true);
	program_touch(r->t[0], RIG_FIRST + 7, false); /* is one of it still */
	served_in_the_end(r, r->t[0], r->sp);
	ASSERT(r->s.owner.group.stats.n_file_joined == 1);
	rig_touch(r, r->t[1], RIG_FIRST + 6, false);
	rig_free(r);
}

static void r6_exit_under_early(void)
{
	struct rig *r = rig_walking();

	read_comes(r);
	ASSERT(rig_run(r->t[0]) && r->s.owner.group.n_early == 1);
	proc_exit(r->p);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(!r->s.owner.group.n_early && !r->s.owner.group.n_loading && !r->s.owner.n_lent);
	rig_free(r);
}

/* What was read early is there, and another thread has decompressed two pages of it. */
static struct rig *rig_decoding(void)
{
	struct rig *r = rig_walking();

	r->s.owner.decoder_sleeps = true;
	read_comes(r);
	ASSERT(rig_run(r->t[0]) && r->s.owner.group.n_early == 1);
	ASSERT(owner_decode(&r->s.owner, 2) && r->s.owner.decoding);
	return r;
}

static void decoder_leaves(struct rig *r)
{
	r->s.owner.decoder_sleeps = false;
	ASSERT(owner_decode(&r->s.owner, UINT32_MAX) && !r->s.owner.decoding);
	tell_unpinned(&r->s.owner);
}

/* The owner decompresses the rest, and waits for the page that the other thread is at. */
static void early_is_decoded_by_two(void)
{
	struct rig *r = rig_decoding();
	uint32_t k;

	program_touch(r->t[0], RIG_FIRST + 5, false);
	ASSERT(!rig_run(r->t[0]));
	rig_serve(r);
	ASSERT(!rig_run(r->t[0]) && r->s.owner.group.stats.n_file_joined == 1);
	decoder_leaves(r);
	ASSERT(rig_run(r->t[0]));
	for (k = 5; k < 9; k++)
		rig_touch(r, r->t[0], RIG_FIRST + k, false);
	rig_free(r);
}

/* The other thread is in it until it leaves, though nobody wants the pages. */
static void early_is_given_up_under_decode(void)
{
	struct rig *r = rig_decoding();

	rig_pass(r, 30);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(r->s.owner.group.n_early == 1 && r->s.owner.n_lent);
	load_early_drop(&r->s.owner.group); /* it is already */
	ASSERT(r->s.owner.group.n_early == 1 && r->s.owner.n_lent);
	rig_agent(r);
	(void)owner_receive(&r->s.owner, r->p);
	program_touch(r->t[0], RIG_FIRST + 5, false);
	ASSERT(!rig_run(r->t[0]));
	rig_serve(r);
	ASSERT(!rig_run(r->t[0]));
	decoder_leaves(r);
	ASSERT(!r->s.owner.group.n_early && !r->s.owner.n_lent);
	served_in_the_end(r, r->t[0], r->sp);
	rig_free(r);
}

static void r6_exit_under_decode(void)
{
	struct rig *r = rig_decoding();

	proc_exit(r->p);
	owner_tick(&r->s.owner, r->sp);
	ASSERT(r->s.owner.group.n_loading && r->s.owner.n_lent);
	decoder_leaves(r);
	ASSERT(!r->s.owner.group.n_early && !r->s.owner.group.n_loading && !r->s.owner.n_lent);
	rig_free(r);
}

/* What the other thread found lost is lost: that page alone. */
static void r7_early_record_is_changed(void)
{
	struct rig *r = rig_walking();
	uint64_t k;

	r->s.world.bus_expected = true;
	for (k = 0; k < r->s.owner.disk.n_bytes; k += 8)
		r->s.owner.disk.bytes[k] ^= 0x40;
	read_comes(r);
	for (k = 0; k < r->s.owner.disk.n_bytes; k += 8)
		r->s.owner.disk.bytes[k] ^= 0x40;
	ASSERT(rig_run(r->t[0]));
	program_touch(r->t[0], RIG_FIRST + 5, false);
	served_in_the_end(r, r->t[0], r->sp);
	ASSERT(r->s.world.stats.n_bus == 2 && r->s.owner.group.stats.n_poisoned == 2);
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

/* What cannot be read is poisoned, and keeps neither the rest from coming home nor a fault waiting. */
static void r7_unreadable_does_not_come_home(void)
{
	struct rig *r = rig_on_disk();
	uint32_t k;

	r->s.world.bus_expected = true;
	r->s.owner.read_fails = true;
	r->sp->homing = true;
	for (k = 0; space_bring_home(r->sp, (struct urange){ 0, PAGE_MAP_END }, 256); k++) {
		ASSERT(k < 1000);
		if (!k) {
			program_touch(r->t[0], RIG_FIRST + 2, false);
			ASSERT(!rig_run(r->t[0]));
			rig_serve(r);
		}
		(void)owner_file_round(&r->s.owner);
		r->s.owner.read_fails = r->s.owner.group.stats.n_poisoned < 2;
	}
	ASSERT(!r->sp->map.n_slots && r->s.owner.group.stats.n_poisoned == 2);
	served_in_the_end(r, r->t[0], r->sp);
	r->sp->homing = false;
	rig_free(r);
}

const struct rule rules_file[] = {
	{ "file_page_comes_back", file_page_comes_back },
	{ "file_reads_overlap", file_reads_overlap },
	{ "file_all_come_home", file_all_come_home },
	{ "r7_unreadable_does_not_come_home", r7_unreadable_does_not_come_home },
	{ "early_is_joined", early_is_joined },
	{ "early_is_given_up_in_time", early_is_given_up_in_time },
	{ "early_gives_way_to_a_fault", early_gives_way_to_a_fault },
	{ "r2_move_under_early", r2_move_under_early },
	{ "r4_emptied_under_early", r4_emptied_under_early },
	{ "r4_unmapped_under_read", r4_unmapped_under_read },
	{ "r5_read_waits_for_events", r5_read_waits_for_events },
	{ "r6_two_wait_for_one_read", r6_two_wait_for_one_read },
	{ "r6_exit_under_read", r6_exit_under_read },
	{ "r6_exit_under_early", r6_exit_under_early },
	{ "early_is_decoded_by_two", early_is_decoded_by_two },
	{ "early_is_given_up_under_decode", early_is_given_up_under_decode },
	{ "r6_exit_under_decode", r6_exit_under_decode },
	{ "r7_early_record_is_changed", r7_early_record_is_changed },
	{ "r7_unreadable_page_is_poison", r7_unreadable_page_is_poison },
	{ "r7_changed_record_is_poison", r7_changed_record_is_poison },
	{ "r8_fork_under_read", r8_fork_under_read },
	{ NULL, NULL },
};
