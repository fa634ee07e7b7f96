// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Was an event the last thing that happened to its range?
 *
 * Two threads' events may come in the wrong order, so an UNMAP or REMAP of a range to which something has
 * just moved can be older than that: then what has moved there stays. Or one thread moves a part home and
 * drops the whole: then it goes. The events look alike, and once the last one is read its thread goes on,
 * may map the same place again, and no question to the kernel tells any more.
 *
 * So the kernel is asked before: as long as an event is unread its thread waits inside of its call, with
 * the change made. Of what has arrived, a part that is not mapped then was taken by a call that has not
 * told of it yet; if only one such call takes it, and the event that is read next is about what this call
 * takes, nothing came after it. If something of it is mapped, an UNMAP of that is older. In every other
 * case nothing is said, and the doubt stays (event.c).
 *
 * Who waits is seen, who runs is not. A thread that has told a part of what it does runs for a moment: what
 * was known of its call counts until all was read. So does, after each read, everybody who waits to be
 * read: the kernel is asked again after they had the chance to sleep. A thread that has never been seen in
 * its call, as it is between its change and the queue, is overlooked: docs/protocol.md, what is left open.
 * One that waits for the lock is seen with nothing changed yet: that makes the answer more careful, and no
 * more than that.
 */
#include <errno.h>
#include <sched.h>

#include "space/space-impl.h"

#define MAX_ASKED 64u /* ranges that are asked about before one read */
#define MAX_LOOKS 4u  /* at the threads, if one of them runs */

struct question {
	struct urange ranges[MAX_ASKED];
	uint32_t n;
};

static void ask_about(struct question *q, const struct region_set *set, struct urange in)
{
	uint32_t i;

	for (i = region_lookup(set, in.start);
	     i < set->n && set->ranges[i].start < in.end && q->n < MAX_ASKED; i++)
		q->ranges[q->n++] = urange_and(set->ranges[i], in);
}

/* Return: 0; -errno. Post: w->gone */
static int look_for_gone(struct space *sp, const struct question *q)
{
	struct urange gone[MAX_ASKED];
	uint32_t n, k;
	int r = sp->mem->ops->find_gone(sp->mem, q->ranges, q->n, gone, MAX_ASKED, &n);

	for (k = 0; !r && k < n; k++)
		r = region_add(&sp->witness.gone, gone[k]);
	return r;
}

static bool has_thread(const struct mem_call *calls, uint32_t n, uint32_t tid)
{
	while (n--)
		if (calls[n].tid == tid)
			return true;
	return false;
}

/* Who takes what now. What was known of a thread that is not seen stays. */
static int look_for_calls(struct space *sp, uint32_t *ret_n_running)
{
	struct witness *w = &sp->witness;
	struct mem_call seen[WITNESS_MAX_CALLS];
	uint32_t n, n_seen, k;
	int r = sp->mem->ops->find_calls(sp->mem, seen, WITNESS_MAX_CALLS, &n_seen, ret_n_running);

	if (r)
		return r;
	for (k = 0, n = 0; k < w->n_calls; k++)
		if (!has_thread(seen, n_seen, w->call[k].tid))
			w->call[n++] = w->call[k];
	if (n + n_seen > WITNESS_MAX_CALLS)
		return -ENOSPC;
	for (k = 0; k < n_seen; k++)
		w->call[n++] = seen[k];
	w->n_calls = n;
	return 0;
}

void witness_look(struct space *sp)
{
	const struct urange all = { 0, PAGE_MAP_END };
	struct witness *w = &sp->witness;
	uint32_t i, n_running = 1;
	struct question q;
	int r;

	q.n = 0;
	w->gone.n = 0;
	w->has_looked = false;
	ask_about(&q, &sp->arrived, all);
	for (i = 0; i < sp->n_left; i++)
		ask_about(&q, &sp->regions, sp->left[i]);
	if (!q.n)
		return;
	r = look_for_gone(sp, &q);
	w->has_looked = !r && q.n < MAX_ASKED;
	/* a read wakes all that wait to be read: who sleeps again is seen the next time */
	for (i = 0; !r && n_running && i < (w->gone.n ? MAX_LOOKS : 1); i++) {
		if (i)
			sched_yield();
		r = look_for_calls(sp, &n_running);
	}
	w->is_blind |= r != 0;
}

void witness_forget(struct space *sp)
{
	sp->witness.n_calls = 0;
	sp->witness.is_blind = false;
}

/* All of @set in @in was seen to be gone. */
static bool is_gone(const struct witness *w, const struct region_set *set, struct urange in)
{
	uint32_t i, k;

	for (i = region_lookup(set, in.start); i < set->n && set->ranges[i].start < in.end; i++) {
		struct urange part = urange_and(set->ranges[i], in);

		k = region_lookup(&w->gone, part.start);
		if (k == w->gone.n || w->gone.ranges[k].start > part.start ||
		    w->gone.ranges[k].end < part.end)
			return false;
	}
	return true;
}

/* The one call that takes something of @source, and takes all of it; WITNESS_MAX_CALLS: there is none. */
static uint32_t only_call(const struct witness *w, struct urange source)
{
	uint32_t i, only = WITNESS_MAX_CALLS;

	for (i = 0; i < w->n_calls; i++) {
		if (!urange_overlap(w->call[i].range, source))
			continue;
		if (only != WITNESS_MAX_CALLS || source.start < w->call[i].range.start ||
		    source.end > w->call[i].range.end)
			return WITNESS_MAX_CALLS;
		only = i;
	}
	return only;
}

bool witness_is_older(struct space *sp, const struct mem_event *ev)
{
	const struct witness *w = &sp->witness;

	return ev->type == MEM_EVENT_UNMAP && w->has_looked &&
	       !is_gone(w, &sp->arrived, event_source(ev));
}

bool witness_is_newest(struct space *sp, const struct mem_event *ev)
{
	struct witness *w = &sp->witness;
	const struct urange source = event_source(ev);
	const uint32_t call = only_call(w, source);
	bool newest = call != WITNESS_MAX_CALLS && !w->is_blind && is_gone(w, &sp->arrived, source);
	uint32_t i;

	for (i = 0; newest && i < sp->n_left; i++)
		if (urange_overlap(sp->left[i], source))
			newest = is_gone(w, &sp->regions, urange_and(sp->left[i], source));
	/* with the UNMAP it has told all of this; the REMAP comes before */
	if (call != WITNESS_MAX_CALLS && ev->type == MEM_EVENT_UNMAP &&
	    source.start == w->call[call].range.start)
		w->call[call] = w->call[--w->n_calls];
	w->gone.n = 0; /* seen before this event, and no other */
	w->has_looked = false;
	return newest;
}
