// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Evicted pages go back: the faulting one, and what readahead thinks will be next.
 *
 * A load changes nothing until its pages are in the program (R5): collect pins and decompresses, the
 * ioctl installs, and only what it installed loses its slot. If the bytes lie in the file, what is
 * here ends and load-file.c goes on when they have been read.
 *
 * syscalls: through mem_ops copy, poison.
 */
#include <errno.h>

#include "base/assert.h"
#include "core/swap-file.h"
#include "space/clock.h"
#include "space/space-impl.h"

/* The bytes of the page are lost: the program gets SIGBUS there and nowhere else (R7). */
int load_poison(struct space *sp, const struct waiting_fault *f)
{
	struct page_leaf *leaf = page_map_find(&sp->map, f->addr);
	uint32_t i = page_in_leaf(f->addr);
	int r = sp->mem->ops->poison(sp->mem, f->addr, PAGE_BYTES);

	if (r && r != -EEXIST) {
		r = fault_refused(sp, f, r);
		return r == -EEXIST ? 0 : r;
	}
	swap_slot_unref(sp->group->swap, page_take_slot(&sp->map, leaf, i));
	space_page_arrived(sp, leaf, i, 0, 0);
	page_set_stuck(&sp->map, leaf, i, false);
	sp->group->stats.n_poisoned++;
	sp->group->stats.n_faults++;
	return 0;
}

uint8_t load_level(const struct space_group *g, const struct swap_use *use)
{
	return clock_level(use->level, g->evict_seq - use->evict_seq, g->n_resident);
}

/*
 * Pin and decompress the pages of @plan into the scratch pages; the slot at @faulting is pinned
 * already. Stops at the first page that cannot be had; the run around the fault is what counts.
 * Return: 0; SWAP_E_LOST, SWAP_E_EMPTY, SWAP_E_ON_FILE for the faulting page itself, with no pin left
 * but its own.
 */
static int load_collect(struct space *sp, struct ahead *plan, uint64_t faulting,
			struct load_run *run)
{
	struct space_group *g = sp->group;
	bool passed = false; /* the faulting page is in the run */
	uint32_t first = 0;
	uint32_t k;

	run->n = 0;
	run->pages = g->scratch;
	run->waited = false;
	for (k = 0; k < plan->n; k++) {
		uint64_t addr = ahead_addr(plan, k);
		struct page_leaf *leaf = page_map_find(&sp->map, addr);
		struct slot_id id = { leaf->slot[page_in_leaf(addr)] };
		struct swap_use use;
		int r = 0;

		if (addr != faulting)
			r = swap_try_pin(g->swap, id, SWAP_PIN_LOAD);
		if (!r) {
			r = swap_load(g->swap, id, g->scratch + (size_t)run->n * PAGE_BYTES,
				      g->codec, &use);
			if (r && addr != faulting)
				swap_load_end(g->swap, id, SWAP_LOAD_ABORT);
		}
		if (!r) {
			passed |= addr == faulting;
			run->slot[run->n] = id;
			run->level[run->n++] = addr == faulting ? load_level(g, &use) : use.level;
			continue;
		}
		if (passed)
			break;
		while (run->n) /* a gap before the fault: begin again after it */
			swap_load_end(g->swap, run->slot[--run->n], SWAP_LOAD_ABORT);
		if (addr == faulting)
			return r;
		first = k + 1;
	}
	plan->start = ahead_addr(plan, first);
	plan->n = run->n;
	return 0;
}

static bool keeps(enum keep_copies which, const struct ahead *plan)
{
	return which == KEEP_ALL || (which == KEEP_STREAMS && plan->n > 1);
}

/* What becomes of the compressed bytes of a page of @plan. */
static enum swap_load_end load_end_of(const struct space *sp, const struct ahead *plan)
{
	const struct space_group *g = sp->group;

	if (sp->homing)
		return SWAP_LOAD_ERASE;
	if (keeps(g->keep_pool, plan))
		return SWAP_LOAD_KEEP;
	if (keeps(g->keep_file, plan))
		return SWAP_LOAD_KEEP_FILE;
	return SWAP_LOAD_ERASE;
}

/* Page @k of the run is in the program now. */
static void load_arrived(struct space *sp, uint64_t addr, struct slot_id id, uint8_t level,
			 enum swap_load_end end)
{
	struct space_group *g = sp->group;
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	uint32_t i = page_in_leaf(addr);

	ASSERT(leaf && leaf->slot[i] == id.v);
	if (!(g->keep_shared && !sp->homing && swap_load_share(g->swap, id)) &&
	    !swap_load_end(g->swap, id, end))
		(void)page_take_slot(&sp->map, leaf, i); /* its count is gone already */
	space_page_arrived(sp, leaf, i, clock_credit(level), level);
}

/* One ioctl for all of a dense run, or one per page. Return: pages installed. */
static uint32_t load_install(struct space *sp, const struct ahead *plan, const uint8_t *pages,
			     bool by_page, int *ret_err)
{
	uint64_t done = 0;
	uint32_t k;

	*ret_err = 0;
	if (!by_page) {
		*ret_err = sp->mem->ops->copy(sp->mem, plan->start, pages,
					      (uint64_t)plan->n * PAGE_BYTES, &done);
		return (uint32_t)(done / PAGE_BYTES);
	}
	for (k = 0; k < plan->n; k++) {
		*ret_err = sp->mem->ops->copy(sp->mem, ahead_addr(plan, k),
					      pages + (size_t)k * PAGE_BYTES, PAGE_BYTES, &done);
		if (done != PAGE_BYTES)
			break;
	}
	return k;
}

/* The page is in the program though the map has a slot for it: the slot is stale (R5). */
static void load_stale(struct space *sp, uint64_t addr)
{
	struct page_leaf *leaf = page_map_find(&sp->map, addr);

	swap_slot_unref(sp->group->swap, page_take_slot(&sp->map, leaf, page_in_leaf(addr)));
	sp->n_unknown++;
}

/* Nothing was installed where @f waits. */
static int load_refused(struct space *sp, const struct waiting_fault *f, const struct ahead *plan,
			uint32_t n_done, int r)
{
	if (r == -EEXIST && n_done < plan->n && ahead_addr(plan, n_done) != f->addr) {
		/* a neighbour is there already: not what this fault is about */
		load_stale(sp, ahead_addr(plan, n_done));
		r = -EAGAIN;
	}
	if (plan->n > 1 && r != -ESRCH && r != -EEXIST)
		r = -EAGAIN; /* the run crosses the end of a mapping: retry for this page alone */
	if (plan->n > 1)
		readahead_done(sp, f->addr, plan, 0);
	r = fault_refused(sp, f, r);
	if (r != -EEXIST)
		return r;
	load_stale(sp, f->addr);
	return 0;
}

int load_finish(struct space *sp, const struct waiting_fault *f, const struct ahead *plan,
		const struct load_run *run, bool may_repeat)
{
	struct space_group *g = sp->group;
	bool answered = false;
	uint32_t k, n_done;
	int r;

	n_done = load_install(sp, plan, run->pages, plan->stride != 1, &r);
	if (!n_done && r == -EAGAIN && may_repeat)
		return LOAD_E_AGAIN;
	if (!n_done && !f && r != -EEXIST) /* the run crosses the end of a mapping */
		n_done = load_install(sp, plan, run->pages, true, &r);
	for (k = 0; k < n_done; k++) {
		uint64_t addr = ahead_addr(plan, k);

		answered |= f && addr == f->addr;
		load_arrived(sp, addr, run->slot[k], run->level[k], load_end_of(sp, plan));
	}
	for (; k < run->n; k++)
		swap_load_end(g->swap, run->slot[k], SWAP_LOAD_ABORT);
	g->room_pages -= n_done;
	if (!f) {
		if (n_done < plan->n &&
		    (r == -EEXIST || home_is_gone(sp, ahead_addr(plan, n_done), r)))
			load_stale(sp, ahead_addr(plan, n_done));
		return r == -ESRCH ? SPACE_E_DEAD : 0;
	}
	if (!answered)
		return load_refused(sp, f, plan, n_done, r);
	readahead_done(sp, f->addr, plan, n_done);
	g->stats.n_ahead += n_done - 1;
	g->stats.n_load_faults++;
	g->stats.n_faults++;
	latency_add(run->waited ? &g->stats.file_latency : &g->stats.latency,
		    space_now_ns(sp) - f->since_ns);
	return 0;
}

int load_begin(struct space *sp, const struct waiting_fault *f, struct slot_id id)
{
	struct space_group *g = sp->group;
	struct waiting_fault again = *f;
	struct ahead plan = { f->addr, 1, 1 };
	struct swap_extent extent;
	struct load_run run;
	int r;

	if (load_file_join(sp, f, id, &r))
		return r;
	if (!sp->homing && !room_for_fault(g)) {
		g->stats.n_delayed++;
		fault_wait_for(sp, f, WAIT_ROOM);
		return 0;
	}
	again.why = WAIT_PIN;
	again.slot = id;
	r = swap_pin_or_park(g->swap, id, SWAP_PIN_LOAD);
	if (r) {
		ASSERT(r == SWAP_E_PARKED);
		g->stats.n_parked++;
		fault_wait(sp, &again);
		return 0;
	}
	if (g->readahead && !sp->homing)
		readahead_plan(sp, f->addr, &plan);
	if (plan.n > 1 && !room_for(g, 2 * plan.n) && plan.start != f->addr)
		plan = (struct ahead){ f->addr, 1, 1 };
	while (plan.n > 1 && !room_for(g, 2 * plan.n))
		plan.n /= 2;
	if (g->host->read && swap_file_needs_read(g->swap, id, &extent))
		return load_file_begin(sp, f, &plan);
	r = load_collect(sp, &plan, f->addr, &run);
	if (r == SWAP_E_ON_FILE) /* it lay in a buffer, which has been written since we asked */
		return load_file_begin(sp, f, &plan);
	if (r) {
		swap_load_end(g->swap, id, SWAP_LOAD_ABORT);
		return load_poison(sp, f);
	}
	return load_finish(sp, f, &plan, &run, false);
}
