// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages that come back from the file.
 *
 * The owner never waits for a disk: a load is begun, and its pages are installed when the last of
 * their records has come. In between anything may happen to the space but one thing: the slots stay
 * pinned, so they are not given out anew, and their bytes stay where they are. So what the map says
 * at the end decides page by page: the same slot at the same address is the same page; anything else
 * was unmapped, moved or emptied, and the pin is given back.
 *
 * The records stay where they were read until then, and are decompressed in one go: a load in flight
 * takes no memory for pages, but for a few early ones (decode.c).
 *
 * A stream in full swing has its next window read, and decompressed, while this one is used. Such an
 * early load has its room, pins what is being read for it, and waits for a fault; it is given up
 * rather than that anybody waits for what it holds.
 *
 * A space that ends leaves its loads to the group; a load that cannot be installed because events
 * are unread, or because the map waits for an answer of the kernel, is kept and tried again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "core/swap-file.h"
#include "space/space-impl.h"

#define EARLY_KEEP_NS (20ULL * 1000 * 1000)

int load_file_init(struct space_group *g)
{
	uint32_t k;

	list_init(&g->loads_free);
	list_init(&g->loads);
	if (!g->host->read)
		return 0;
	g->loads_mem = calloc(GROUP_MAX_LOADS, sizeof(*g->loads_mem));
	g->decode_mem = aligned_alloc(PAGE_BYTES, GROUP_DECODE_BYTES);
	if (!g->loads_mem || !g->decode_mem) {
		load_file_deinit(g);
		return err_origin(-ENOMEM);
	}
	memset(g->decode_mem, 0, GROUP_DECODE_BYTES);
	for (k = 0; k < GROUP_DECODE_BUFS; k++)
		g->decode_free[g->n_decode_free++] =
			g->decode_mem + (size_t)k * AHEAD_MAX_PAGES * PAGE_BYTES;
	for (k = 0; k < GROUP_MAX_LOADS; k++)
		list_append(&g->loads_free, &g->loads_mem[k].link);
	return 0;
}

void load_file_deinit(struct space_group *g)
{
	ASSERT(list_is_empty(&g->loads) && !g->n_loading);
	free(g->decode_mem);
	free(g->loads_mem);
}

/* ---- begin ---------------------------------------------------------------------------------- */

static struct file_load *load_new(struct space *sp, enum load_for why,
				  const struct waiting_fault *f, const struct ahead *plan)
{
	struct file_load *l = list_first(&sp->group->loads_free, struct file_load, link);
	uint32_t k;

	if (!l)
		return NULL;
	list_unlink(&l->link);
	list_append(&sp->group->loads, &l->link);
	l->space = sp;
	l->why = why;
	l->fault = *f;
	l->plan = *plan;
	l->n_flying = 0;
	l->n_room = 0;
	l->ready = false;
	l->waited = why == LOAD_FOR_FAULT;
	for (k = 0; k < AHEAD_MAX_PAGES; k++)
		l->read[k] = (struct page_read){ .load = l };
	return l;
}

/* Forget page @k of a load: it is somebody else's again. */
static void page_drop(struct file_load *l, struct space_group *g, uint32_t k)
{
	struct page_read *read = &l->read[k];

	ASSERT(read->state != READ_FLYING);
	if (read->state == READ_DONE && read->record)
		g->host->release(g->user, read);
	if (read->slot.v)
		swap_load_end(g->swap, read->slot, SWAP_LOAD_ABORT);
	read->slot.v = 0;
	read->state = READ_NONE;
}

/* pre: nothing flies. Pages that still have a pin are given up. */
static void load_free(struct file_load *l, struct space_group *g)
{
	uint32_t k;

	ASSERT(!l->n_flying);
	decode_end(l, g);
	for (k = 0; k < AHEAD_MAX_PAGES; k++) /* the plan may have become shorter */
		page_drop(l, g, k);
	list_unlink(&l->link);
	list_append(&g->loads_free, &l->link);
}

/*
 * Pin the pages of the plan; what cannot be had and lies behind the fault ends it, what lies before
 * begins it anew. The slot at the fault is pinned already. Return: pages that have to be read.
 */
static uint32_t load_pin(struct space *sp, struct file_load *l, struct page_read **ret_reads)
{
	struct space_group *g = sp->group;
	bool passed = false;
	uint32_t n = 0;
	uint32_t k;

	for (k = 0; k < l->plan.n; k++) {
		uint64_t addr = ahead_addr(&l->plan, k);
		struct page_leaf *leaf = page_map_find(&sp->map, addr);
		struct slot_id id = { leaf->slot[page_in_leaf(addr)] };

		if (addr != l->fault.addr && swap_try_pin(g->swap, id, SWAP_PIN_LOAD)) {
			if (passed) {
				l->plan.n = k;
				break;
			}
			while (n)
				ret_reads[--n]->state = READ_NONE;
			for (uint32_t j = 0; j < k; j++)
				page_drop(l, g, j);
			continue;
		}
		passed |= addr == l->fault.addr;
		l->read[k].slot = id;
		if (swap_file_needs_read(g->swap, id, &l->read[k].extent)) {
			l->read[k].state = READ_FLYING;
			ret_reads[n++] = &l->read[k];
		} else if (l->why == LOAD_FOR_STREAM) {
			page_drop(l, g, k); /* pinned by load_pin_rest(), when somebody waits */
		}
	}
	return n;
}

/* A fault has joined the early load: what lies in memory goes with it. */
static void load_pin_rest(struct space *sp, struct file_load *l)
{
	uint32_t k;

	for (k = 0; k < l->plan.n; k++) {
		uint64_t addr = ahead_addr(&l->plan, k);
		struct page_leaf *leaf = page_map_find(&sp->map, addr);
		uint32_t i = page_in_leaf(addr);
		struct slot_id id = { leaf ? leaf->slot[i] : 0 };

		if (!l->read[k].slot.v && id.v &&
		    !(leaf->state[i] & (PAGE_PRESENT | PAGE_DETACH)) &&
		    !swap_try_pin(sp->group->swap, id, SWAP_PIN_LOAD))
			l->read[k].slot = id;
	}
}

/* By place in the file: few, and mostly in order already. */
static void sort_reads(struct page_read **reads, uint32_t n)
{
	uint32_t k, at;

	for (k = 1; k < n; k++) {
		struct page_read *read = reads[k];

		for (at = k; at && reads[at - 1]->extent.offset > read->extent.offset; at--)
			reads[at] = reads[at - 1];
		reads[at] = read;
	}
}

/* Give the reads to the host. Pages it does not take now are dropped. False: the fault's is one. */
static bool load_submit(struct file_load *l, struct space_group *g, struct page_read **reads,
			uint32_t n)
{
	uint32_t n_taken, k;
	bool has_fault = true;

	sort_reads(reads, n);
	n_taken = g->host->read(g->user, reads, n);
	l->n_flying = n_taken;
	for (k = n_taken; k < n; k++) {
		uint32_t at = (uint32_t)(reads[k] - l->read);

		has_fault &= ahead_addr(&l->plan, at) != l->fault.addr;
		reads[k]->state = READ_NONE;
		page_drop(l, g, at);
	}
	return has_fault;
}

/* The load is over: nothing of it flies, what is not installed is given up. */
static void load_end(struct file_load *l, struct space_group *g)
{
	g->room_pages += l->n_room;
	g->n_loading -= l->n_room;
	g->n_early -= l->why == LOAD_FOR_STREAM;
	if (l->ready) {
		ASSERT(l->space); /* else load_file_space_end() had ended it */
		l->space->n_ready--;
	}
	load_free(l, g);
}

/* Pin, and begin to read. False: the faulting page is not being read; its pin was given back. */
static bool load_start(struct file_load *l, struct space_group *g)
{
	struct page_read *reads[AHEAD_MAX_PAGES];
	uint32_t n = load_pin(l->space, l, reads);
	bool ok;

	l->n_room = l->plan.n;
	g->room_pages -= l->n_room;
	g->n_loading += l->n_room;
	ok = load_submit(l, g, reads, n);
	if (!ok && l->why == LOAD_FOR_FAULT) { /* it waits elsewhere; what is read comes home */
		l->why = LOAD_FOR_NOBODY;
		l->waited = false;
	}
	if (!l->n_flying)
		load_end(l, g);
	return ok;
}

/* An early load is given up: now, or when its reads have come. What has come is given back now. */
static void early_drop(struct file_load *l, struct space_group *g)
{
	bool reads = l->n_flying;
	uint32_t k;

	ASSERT(l->why == LOAD_FOR_STREAM && l->space); /* else it is given up already */
	decode_settle(l, g, false);
	if (!l->n_flying) {
		load_end(l, g);
		return;
	}
	l->space = NULL;
	for (k = 0; reads && k < AHEAD_MAX_PAGES; k++)
		if (l->read[k].state != READ_FLYING)
			page_drop(l, g, k);
}

void load_early_drop(struct space_group *g)
{
	struct file_load *l, *tmp;

	if (!g->n_early)
		return;
	list_for_each_safe(l, tmp, &g->loads, link) {
		if (l->why != LOAD_FOR_STREAM || !l->space)
			continue;
		readahead_too_far(l->space);
		early_drop(l, g);
	}
}

static struct file_load *early_at(struct space *sp, uint64_t addr)
{
	struct file_load *l;

	list_for_each(l, &sp->group->loads, link)
		if (l->space == sp && l->why == LOAD_FOR_STREAM && l->fault.addr == addr)
			return l;
	return NULL;
}

/* Read @plan for the fault that is expected at @addr, if there is room to spare. NULL: it is not read. */
static struct file_load *early_begin(struct space *sp, uint64_t addr, const struct ahead *plan)
{
	struct space_group *g = sp->group;
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	struct slot_id id = { leaf->slot[page_in_leaf(addr)] };
	struct waiting_fault f = { .addr = addr };
	struct file_load *l;

	if (g->n_early == GROUP_MAX_EARLY || !room_for(g, 2 * plan->n))
		return NULL;
	if (swap_try_pin(g->swap, id, SWAP_PIN_LOAD))
		return NULL; /* it is being read already */
	l = load_new(sp, LOAD_FOR_STREAM, &f, plan);
	if (!l) {
		swap_load_end(g->swap, id, SWAP_LOAD_ABORT);
		return NULL;
	}
	g->n_early++;
	g->stats.n_file_early++;
	(void)load_start(l, g);
	return l->n_flying ? l : NULL; /* else it has ended */
}

/* Read what the stream of the fault at @addr will want next, as far ahead as it is worth. */
static void load_early(struct space *sp, uint64_t addr)
{
	uint32_t n = sp->group->readahead && !sp->homing ? readahead_depth(sp, addr) : 0;
	struct ahead last, plan;
	uint32_t k;

	for (k = 0; k < n; k++) {
		uint64_t next = readahead_next(sp, addr, k ? &last : NULL);
		struct file_load *l;

		if (!next)
			return;
		l = early_at(sp, next);
		if (!l) {
			readahead_window(sp, addr, next, &plan);
			l = early_begin(sp, next, &plan);
		}
		if (!l)
			return;
		last = l->plan;
	}
}

int load_file_begin(struct space *sp, const struct waiting_fault *f, const struct ahead *plan)
{
	struct space_group *g = sp->group;
	struct file_load *l = load_new(sp, LOAD_FOR_FAULT, f, plan);
	struct page_leaf *leaf = page_map_find(&sp->map, f->addr);

	if (!l)
		swap_load_end(g->swap, (struct slot_id){ leaf->slot[page_in_leaf(f->addr)] },
			      SWAP_LOAD_ABORT);
	if (!l || !load_start(l, g)) {
		g->stats.n_file_waits++;
		fault_wait_for(sp, f, WAIT_LOADS);
		load_early_drop(g);
		return 0;
	}
	load_early(sp, f->addr);
	return 0;
}

void load_file_home(struct space *sp, uint64_t addr)
{
	struct space_group *g = sp->group;
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	struct waiting_fault f = { .addr = addr };
	struct ahead plan = { addr, 1, 1 };
	uint32_t i = page_in_leaf(addr);
	struct file_load *l;

	while (plan.n < AHEAD_MAX_PAGES && i + plan.n < LEAF_PAGES && leaf->slot[i + plan.n] &&
	       !(leaf->state[i + plan.n] & (PAGE_PRESENT | PAGE_DETACH)))
		plan.n++;
	l = load_new(sp, LOAD_FOR_HOME, &f, &plan);
	if (!l) {
		swap_load_end(g->swap, (struct slot_id){ leaf->slot[i] }, SWAP_LOAD_ABORT);
		load_early_drop(g);
		return;
	}
	(void)load_start(l, g);
}

/* ---- end ------------------------------------------------------------------------------------ */

/*
 * The page as it is now, into @dst. Return: 0; SWAP_E_GONE: it is not this slot's any more;
 * SWAP_E_ON_FILE: it lay in a buffer that has been written; SWAP_E_LOST; SWAP_E_EMPTY.
 */
static int page_fetch(struct space *sp, struct file_load *l, uint32_t k, void *dst,
		      struct swap_use *ret_use)
{
	struct space_group *g = sp->group;
	struct page_read *read = &l->read[k];
	uint64_t addr = ahead_addr(&l->plan, k);
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	uint32_t i = page_in_leaf(addr);

	if (!read->slot.v || !leaf || leaf->slot[i] != read->slot.v ||
	    leaf->state[i] & (PAGE_PRESENT | PAGE_DETACH))
		return SWAP_E_GONE;
	if (read->state == READ_NONE)
		return swap_load(g->swap, read->slot, dst, g->codec, ret_use);
	if (!read->record || read->is_decoded) {
		int r = read->record ? read->result : SWAP_E_LOST;

		*ret_use = read->use;
		swap_load_count(g->swap, read->slot, r);
		return r;
	}
	return swap_load_bytes(g->swap, read->slot, read->record, dst, g->codec, ret_use);
}

/*
 * The run of pages around the fault that can be had, decompressed: each at its place in the plan, where
 * it may be already. Return: 0, and @run may be empty; else why the page at .fault, or one that was to come
 * home, is not in it, and no page is.
 */
static int load_fetch(struct space *sp, struct file_load *l, struct load_run *run,
		      uint32_t *ret_first)
{
	struct space_group *g = sp->group;
	uint8_t *pages = l->decode.pages ? l->decode.pages : g->scratch;
	bool passed = l->why == LOAD_FOR_NOBODY || l->why == LOAD_FOR_HOME;
	uint32_t k;
	int r;

	run->n = 0;
	run->pages = pages;
	run->waited = l->waited;
	*ret_first = 0;
	for (k = 0; k < l->plan.n; k++) {
		bool is_fault = ahead_addr(&l->plan, k) == l->fault.addr;
		struct swap_use use = { 0 };

		r = page_fetch(sp, l, k, pages + (size_t)k * PAGE_BYTES, &use);
		if (!r) {
			passed |= is_fault;
			run->slot[run->n] = l->read[k].slot;
			run->level[run->n++] = is_fault ? load_level(g, &use) : use.level;
			continue;
		}
		if (is_fault && l->why == LOAD_FOR_FAULT) {
			run->n = 0;
			return r;
		}
		if (passed && run->n)
			return 0;
		if (l->why == LOAD_FOR_HOME && (r == SWAP_E_LOST || r == SWAP_E_EMPTY)) {
			l->fault.addr = ahead_addr(&l->plan, k);
			return r;
		}
		run->n = 0; /* a gap before the fault: begin again after it */
		*ret_first = k + 1;
		run->pages = pages + (size_t)(k + 1) * PAGE_BYTES;
	}
	return 0;
}

/* The pages of @run have been installed or given up by load_finish(): they are not the load's now. */
static void load_hand_over(struct file_load *l, struct space_group *g, uint32_t first, uint32_t n)
{
	uint32_t k;

	for (k = first; k < first + n; k++) {
		if (l->read[k].state == READ_DONE && l->read[k].record)
			g->host->release(g->user, &l->read[k]);
		l->read[k].state = READ_NONE;
		l->read[k].slot.v = 0;
	}
}

/* The page at .fault cannot be had: the bytes are lost, or the map says something else by now. */
static int load_failed(struct space *sp, struct file_load *l, int why)
{
	const bool nobody_waits = l->why == LOAD_FOR_HOME;
	struct waiting_fault f = l->fault;

	load_end(l, sp->group);
	if (nobody_waits) {
		(void)home_lost(sp, f.addr); /* else it is read again */
		return 0;
	}
	if (why == SWAP_E_LOST || why == SWAP_E_EMPTY)
		return load_poison(sp, &f);
	fault_wait_for(sp, &f, WAIT_RETRY); /* whoever waits there still is answered by the map */
	return 0;
}

static void load_wait(struct space *sp, struct file_load *l)
{
	if (!l->ready)
		sp->n_ready++;
	l->ready = true;
}

/* All records are there. Return: 0; SPACE_E_DEAD. */
static int load_land(struct space *sp, struct file_load *l)
{
	struct space_group *g = sp->group;
	struct waiting_fault f = l->fault;
	struct load_run run;
	struct ahead plan;
	uint32_t first;
	int r;

	if (space_is_unsettled(sp)) {
		load_wait(sp, l);
		return 0;
	}
	r = load_fetch(sp, l, &run, &first);
	if (r)
		return load_failed(sp, l, r);
	if (!run.n) {
		load_end(l, g);
		return 0;
	}
	plan = (struct ahead){ ahead_addr(&l->plan, first), run.n, l->plan.stride };
	r = load_finish(sp, l->why == LOAD_FOR_FAULT ? &f : NULL, &plan, &run, true);
	if (r == LOAD_E_AGAIN) {
		load_wait(sp, l);
		return 0;
	}
	load_hand_over(l, g, first, run.n);
	if (!r && l->waited) {
		g->stats.n_file_faults++;
		g->stats.n_file_ahead += run.n - 1;
	}
	load_end(l, g);
	return r;
}

/* Nothing of it flies any more, and it was not early, or is not. Return: a space that is dead. */
static struct space *load_ready(struct file_load *l, struct space_group *g)
{
	struct space *sp = l->space;

	if (sp)
		return load_land(sp, l) == SPACE_E_DEAD ? sp : NULL;
	load_end(l, g);
	return NULL;
}

struct space *space_read_done(struct space_group *g, struct page_read *read)
{
	struct file_load *l = read->load;

	ASSERT(read->state == READ_FLYING && l->n_flying);
	read->state = READ_DONE;
	if (--l->n_flying)
		return NULL;
	if (!l->space || l->why != LOAD_FOR_STREAM)
		return load_ready(l, g);
	l->fault.since_ns = space_now_ns(l->space);
	decode_post(l, g);
	return NULL;
}

struct space *space_decoded(struct space_group *g, struct decode_job *job)
{
	struct file_load *l = job->reads->load;

	ASSERT(l->n_flying == 1 && !job->posted);
	l->n_flying = 0;
	return load_ready(l, g);
}

/* The early load that has @id pinned, for whatever space. */
static struct file_load *early_find(struct space_group *g, struct slot_id id)
{
	struct file_load *l;
	uint32_t k;

	if (!g->n_early)
		return NULL;
	list_for_each(l, &g->loads, link)
		for (k = 0; l->space && l->why == LOAD_FOR_STREAM && k < l->plan.n; k++)
			if (l->read[k].slot.v == id.v)
				return l;
	return NULL;
}

void load_early_give_way(struct space_group *g, struct slot_id id)
{
	struct file_load *l = early_find(g, id);

	if (l)
		early_drop(l, g);
}

/* Page @id at @addr is one of @l's plan. */
static bool load_has(const struct file_load *l, uint64_t addr, struct slot_id id)
{
	uint32_t k;

	for (k = 0; k < l->plan.n; k++)
		if (ahead_addr(&l->plan, k) == addr)
			return l->read[k].slot.v == id.v;
	return false;
}

bool load_file_join(struct space *sp, const struct waiting_fault *f, struct slot_id id,
		    int *ret_err)
{
	struct space_group *g = sp->group;
	struct file_load *l = early_find(g, id);

	*ret_err = 0;
	if (!l)
		return false;
	if (l->space != sp || !load_has(l, f->addr, id)) {
		early_drop(l, g);
		return false;
	}
	l->waited = l->n_flying > 0;
	decode_settle(l, g, true);
	l->why = LOAD_FOR_FAULT;
	l->fault = *f;
	load_pin_rest(sp, l);
	g->n_early--;
	g->stats.n_file_joined++;
	readahead_joined(sp, f->addr, &l->plan, l->waited);
	load_early(sp, f->addr);
	if (!l->n_flying)
		*ret_err = load_land(sp, l);
	return true;
}

void load_file_tick(struct space *sp)
{
	struct space_group *g = sp->group;
	struct file_load *l, *tmp;

	if (!g->n_early)
		return;
	list_for_each_safe(l, tmp, &g->loads, link)
		if (l->space == sp && l->why == LOAD_FOR_STREAM && !l->n_flying &&
		    (sp->homing || space_now_ns(sp) - l->fault.since_ns > EARLY_KEEP_NS)) {
			readahead_too_early(sp, l->fault.addr);
			early_drop(l, g);
		}
}

int load_file_retry(struct space *sp)
{
	struct file_load *l, *tmp;
	int r = 0;

	if (!sp->n_ready)
		return 0;
	list_for_each_safe(l, tmp, &sp->group->loads, link)
		if (!r && l->space == sp && l->ready)
			r = load_land(sp, l);
	return r;
}

void load_file_space_end(struct space *sp)
{
	struct file_load *l, *tmp;

	list_for_each_safe(l, tmp, &sp->group->loads, link) {
		if (l->space != sp)
			continue;
		decode_settle(l, sp->group, false);
		if (!l->n_flying)
			load_end(l, sp->group);
		else
			l->space = NULL;
	}
}
