// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fault service.
 *
 * Called only after main was drained and every event applied (R2). A fault is answered from the
 * page map as it is at that moment; whatever makes it wait (a pin, the answer of the agent, room
 * under the limit, an EAGAIN) parks it, and every retry looks the map up again.
 *
 * The ioctls tell the truth about the client, the map only what we did: EEXIST means that the page
 * is there whatever the map says, ENOENT that the layout changed and an event is on its way. A
 * page is marked and a slot given up only after the ioctl that installed it (R5).
 *
 * syscalls: through mem_ops copy, zero, wake, poison.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "space/clock.h"
#include "space/space-impl.h"

#define ZERO_WINDOW_START 4u

static void fault_latency(struct space *sp, const struct waiting_fault *f)
{
	latency_add(&sp->group->stats.latency, space_now_ns(sp) - f->since_ns);
}

void fault_wait(struct space *sp, const struct waiting_fault *f)
{
	uint32_t i;

	for (i = 0; i < sp->n_waiting; i++) {
		struct waiting_fault *old = &sp->waiting[i];

		/* a signal pending in a system call raises the same fault again and again (R6) */
		if (old->tid == f->tid && old->addr == f->addr) {
			old->why = f->why;
			old->slot = f->slot;
			return;
		}
	}
	if (sp->n_waiting == SPACE_MAX_WAITING) {
		sp->group->stats.n_overflow++;
		sp->mem->ops->wake(sp->mem, f->addr, PAGE_BYTES); /* it will fault again */
		return;
	}
	sp->waiting[sp->n_waiting++] = *f;
}

void fault_wait_for(struct space *sp, const struct waiting_fault *f, enum wait_why why)
{
	struct waiting_fault w = *f;

	w.why = why;
	fault_wait(sp, &w);
}

int fault_refused(struct space *sp, const struct waiting_fault *f, int err)
{
	switch (err) {
	case -EAGAIN:
	case -ENOMEM: /* the machine, or a memory group of the program, is full: try again */
		sp->group->stats.n_again++;
		fault_wait_for(sp, f, WAIT_RETRY);
		return 0;
	case -EEXIST:
		sp->mem->ops->wake(sp->mem, f->addr, PAGE_BYTES);
		return -EEXIST;
	case -ESRCH:
		return SPACE_E_DEAD;
	default:
		/* ENOENT and the like: the mapping is gone or changed; its event comes. Whoever
		 * still waits there faults again or gets its SIGSEGV. */
		sp->mem->ops->wake(sp->mem, f->addr, PAGE_BYTES);
		return 0;
	}
}

static bool page_is_untouched(struct space *sp, uint64_t addr)
{
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	uint32_t i = page_in_leaf(addr);

	return !leaf || (!leaf->slot[i] && !(leaf->state[i] & (PAGE_PRESENT | PAGE_DETACH)));
}

/*
 * How many zero pages to install at @addr: first touches that ascend get runs that double. Never
 * over the end of the region, over anything but untouched pages, or where guards may be.
 */
static uint32_t zero_window(struct space *sp, uint64_t addr)
{
	uint32_t i = region_lookup(&sp->regions, addr);
	uint64_t end;
	uint32_t n;

	if (addr != sp->last_zero_end || region_contains(&sp->no_ahead, addr)) {
		sp->zero_window = 1;
		return 1;
	}
	sp->zero_window =
		sp->zero_window < ZERO_WINDOW_START ? ZERO_WINDOW_START : sp->zero_window * 2;
	if (sp->zero_window > AHEAD_MAX_PAGES)
		sp->zero_window = AHEAD_MAX_PAGES;
	end = i < sp->regions.n ? sp->regions.ranges[i].end : addr + PAGE_BYTES;
	i = region_lookup(&sp->no_ahead, addr);
	if (i < sp->no_ahead.n && sp->no_ahead.ranges[i].start < end)
		end = sp->no_ahead.ranges[i].start;
	for (n = 1; n < sp->zero_window && addr + (n + 1ULL) * PAGE_BYTES <= end; n++)
		if (!page_is_untouched(sp, addr + (uint64_t)n * PAGE_BYTES))
			break;
	return n;
}

bool room_for(const struct space_group *g, uint32_t n)
{
	return g->limit_off || g->room_pages >= (int64_t)n;
}

bool room_for_fault(struct space_group *g)
{
	if (!room_for(g, 1))
		load_early_drop(g);
	return room_for(g, 1);
}

static int fault_zero(struct space *sp, const struct waiting_fault *f)
{
	struct space_group *g = sp->group;
	struct page_leaf *leaf;
	uint32_t n, i;
	uint64_t done = 0;
	bool copies;
	int r;

	if (!room_for_fault(g)) {
		g->stats.n_delayed++;
		fault_wait_for(sp, f, WAIT_ROOM);
		return 0;
	}
	n = zero_window(sp, f->addr);
	while (n > 1 && !room_for(g, 2 * n))
		n /= 2;
	/*
	 * COPY would overwrite a guard that came while the fault waited; ZEROPAGE does not.
	 * The leaf may be missing when the arena is exhausted: then the page is served, not tracked
	 */
	copies = f->write && !region_contains(&sp->no_ahead, f->addr);
	if (copies)
		r = sp->mem->ops->copy(sp->mem, f->addr, g->zeroes, (uint64_t)n * PAGE_BYTES,
				       &done);
	else
		r = sp->mem->ops->zero(sp->mem, f->addr, (uint64_t)n * PAGE_BYTES, &done);
	if (!done && r == -ENOENT && n > 1) { /* the run crosses the end of a mapping */
		if (copies)
			r = sp->mem->ops->copy(sp->mem, f->addr, g->zeroes, PAGE_BYTES, &done);
		else
			r = sp->mem->ops->zero(sp->mem, f->addr, PAGE_BYTES, &done);
	}
	if (!done) {
		r = fault_refused(sp, f, r);
		if (r != -EEXIST)
			return r;
		leaf = page_map_find(&sp->map, f->addr);
		sp->n_unknown += !leaf || !(leaf->state[page_in_leaf(f->addr)] & PAGE_PRESENT);
		return 0;
	}
	n = (uint32_t)(done / PAGE_BYTES);
	for (i = 0; i < n; i++) {
		uint64_t addr = f->addr + (uint64_t)i * PAGE_BYTES;

		leaf = page_map_get(&sp->map, addr);
		if (leaf) /* a page that nobody touches costs its credit only once */
			space_page_arrived(sp, leaf, page_in_leaf(addr), clock_credit(0), 0);
	}
	sp->last_zero_end = f->addr + done;
	g->room_pages -= n;
	g->stats.n_zero_faults++;
	g->stats.n_zero_ahead += n - 1;
	g->stats.n_faults++;
	fault_latency(sp, f);
	return 0;
}

static int fault_answer(struct space *sp, const struct waiting_fault *f)
{
	struct page_leaf *leaf = page_map_find(&sp->map, f->addr);
	uint32_t i = page_in_leaf(f->addr);
	int r;

	if (space_is_unsettled(sp) || sp->born_of) { /* or its parent may tell what it has where */
		fault_wait_for(sp, f, WAIT_RETRY);
		return 0;
	}
	if (!region_contains(&sp->regions, f->addr)) {
		/* mremap() grew in place, or left the old range behind: nobody told us (R2). Or a
		 * fault of somebody who is no longer there, at an address that is gone: taken for a
		 * region, what is mapped there next would be evicted unregistered. Ask. */
		r = sp->mem->ops->is_registered(sp->mem, f->addr, PAGE_BYTES);
		if (r) {
			r = fault_refused(sp, f, r);
			return r == -EEXIST ? 0 : r;
		}
		r = region_add(&sp->regions, (struct urange){ f->addr, f->addr + PAGE_BYTES });
		if (r) {
			fault_wait_for(sp, f, WAIT_RETRY);
			return 0;
		}
		sp->group->stats.n_adopted++;
		sp->manage_ns = 0; /* look at the mappings soon */
	}
	if (leaf && leaf->state[i] & PAGE_DETACH) {
		fault_wait_for(sp, f, WAIT_DETACH);
		return 0;
	}
	if (leaf && leaf->slot[i] && !(leaf->state[i] & PAGE_PRESENT))
		return load_begin(sp, f, (struct slot_id){ leaf->slot[i] });
	/* Also what is PRESENT for all we know: EEXIST wakes a fault that was answered with
	 * another thread's, and a page that was emptied without an event reads as zero. */
	return fault_zero(sp, f);
}

int fault_serve(struct space *sp, const struct mem_event *ev)
{
	struct waiting_fault f = {
		.addr = ev->addr,
		.tid = ev->tid,
		.write = ev->write,
		.since_ns = space_now_ns(sp),
	};

	sp->group->stats.n_turns += sp->last_tid != ev->tid;
	sp->last_tid = ev->tid;
	sp->last_fault_ns = f.since_ns;
	return fault_answer(sp, &f);
}

static bool retry_now(const struct space *sp, const struct waiting_fault *f, struct slot_id id)
{
	if (id.v)
		return f->why == WAIT_PIN && f->slot.v == id.v;
	if (f->why == WAIT_DETACH)
		return sp->gate != GATE_SHUT;
	return f->why != WAIT_PIN;
}

int space_retry(struct space *sp, struct slot_id id)
{
	uint32_t n = sp->n_waiting;
	uint32_t i;
	int r;

	if (sp->dead)
		return 0;
	if (sp->gate != GATE_SHUT)
		(void)event_settle(sp);
	fork_grow_up(sp);
	r = id.v ? 0 : load_file_retry(sp);
	if (r)
		return r;
	/* what waits again goes to the end: every fault is looked at once */
	for (i = 0; i < n;) {
		struct waiting_fault f = sp->waiting[i];

		if (!retry_now(sp, &f, id)) {
			i++;
			continue;
		}
		memmove(&sp->waiting[i], &sp->waiting[i + 1],
			(sp->n_waiting - i - 1) * sizeof(*sp->waiting));
		sp->n_waiting--;
		n--;
		r = fault_answer(sp, &f);
		if (r)
			return r;
	}
	return 0;
}

bool space_has_retry(const struct space *sp)
{
	uint32_t i;

	if (sp->n_ready || space_is_unsettled(sp))
		return true;
	for (i = 0; i < sp->n_waiting; i++)
		if (sp->waiting[i].why == WAIT_RETRY || sp->waiting[i].why == WAIT_ROOM ||
		    (sp->waiting[i].why == WAIT_DETACH && sp->gate != GATE_SHUT) ||
		    (sp->waiting[i].why == WAIT_LOADS && !list_is_empty(&sp->group->loads_free)))
			return true;
	return false;
}
