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
 * returned; if only one thread waits in a call that takes it, and the event that is read next is that
 * call's, nothing came after it. In every other case nothing is said, and the doubt stays (event.c).
 *
 * A thread that is between its change and the queue, which takes it a microsecond, looks as if it did
 * something else. That is believed: see docs/protocol.md, what is left open.
 */
#include "base/cleanup.h"
#include "space/space-impl.h"

#define MAX_ASKED 64u /* ranges that are asked about before one read */
#define MAX_MAPS 64u

/* What of @range is not mapped goes to @w->gone. Return: 0; -errno. */
static int add_gone(struct space *sp, struct urange range)
{
	struct urange maps[MAX_MAPS];
	uint32_t n, k;
	int r = sp->mem->ops->find_maps(sp->mem, range.start, range.end, maps, MAX_MAPS, &n);

	for (k = 0; !r && k < n; k++) {
		if (range.start < maps[k].start)
			r = region_add(&sp->witness.gone,
				       (struct urange){ range.start, maps[k].start });
		range.start = maps[k].end;
	}
	if (!r && n < MAX_MAPS && range.start < range.end)
		r = region_add(&sp->witness.gone, range);
	return r;
}

/* Parts of @set in @in, at most *@n_left of them. */
static int ask_about(struct space *sp, const struct region_set *set, struct urange in,
		     uint32_t *n_left)
{
	uint32_t i;
	int r = 0;

	for (i = region_lookup(set, in.start);
	     !r && i < set->n && set->ranges[i].start < in.end && *n_left; i++, --*n_left)
		r = add_gone(sp, urange_and(set->ranges[i], in));
	return r;
}

void witness_look(struct space *sp)
{
	struct witness *w = &sp->witness;
	const struct urange all = { 0, PAGE_MAP_END };
	uint32_t n_left = MAX_ASKED;
	uint32_t i;
	int r;

	w->gone.n = 0;
	w->n_calls = 0;
	r = ask_about(sp, &sp->arrived, all, &n_left);
	for (i = 0; !r && i < sp->n_left; i++)
		r = ask_about(sp, &sp->regions, sp->left[i], &n_left);
	if (!r && w->gone.n)
		r = sp->mem->ops->find_calls(sp->mem, w->gone.ranges[0].start,
					     w->gone.ranges[w->gone.n - 1].end, w->call,
					     WITNESS_MAX_CALLS, &w->n_calls);
	if (r)
		w->n_calls = 0; /* nothing is known */
}

void witness_dismiss(struct space *sp)
{
	sp->witness.n_calls = 0;
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

bool witness_is_newest(const struct space *sp, struct urange source)
{
	const struct witness *w = &sp->witness;
	uint32_t i, n = 0;

	for (i = 0; i < w->n_calls; i++) {
		if (!urange_overlap(w->call[i], source))
			continue;
		if (source.start < w->call[i].start || source.end > w->call[i].end)
			return false;
		n++;
	}
	if (n != 1 || !is_gone(w, &sp->arrived, source))
		return false;
	for (i = 0; i < sp->n_left; i++)
		if (urange_overlap(sp->left[i], source) &&
		    !is_gone(w, &sp->regions, urange_and(sp->left[i], source)))
			return false;
	return true;
}
