// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Streams of faults.
 *
 * A stream is a sequence of faults at a constant distance. Two faults next to each other (either
 * direction) start one at once; a distance of up to STRIDE_MAX pages must repeat. Every fault that
 * lands where a stream expects it doubles the stream's window. Pages of a dense window go out in one
 * COPY; a strided window costs one COPY a page, which still saves the fault.
 *
 * A window stays inside the 2 MiB leaf of the fault and takes only pages that are evicted: it never
 * makes memory out of nothing, so a wrong guess costs a few pages of residency and no more.
 */
#include <stdlib.h>

#include "space/space-impl.h"

#define STRIDE_MAX 64
#define WINDOW_START 4u
#define MORE_EARLY_MAX 2u

/* The stream that expects a fault on @page: where its last window ended, or a little after. */
static struct stream *stream_expecting(struct space *sp, uint64_t page)
{
	uint32_t k;

	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];
		int64_t off;

		if (!s->window)
			continue;
		off = (int64_t)(page - s->next);
		if (s->stride < 0)
			off = -off;
		if (off >= 0 && off <= (int64_t)s->window * labs(s->stride) &&
		    off % labs(s->stride) == 0)
			return s;
	}
	return NULL;
}

/* A stream that is not established yet and that @page could continue. */
static struct stream *stream_near(struct space *sp, uint64_t page, int64_t *ret_delta)
{
	uint32_t k;

	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];
		int64_t delta = (int64_t)(page - s->last);

		if (s->used && delta && llabs(delta) <= STRIDE_MAX) {
			*ret_delta = delta;
			return s;
		}
	}
	return NULL;
}

static struct stream *stream_oldest(struct space *sp)
{
	struct stream *oldest = &sp->streams[0];
	uint32_t k;

	for (k = 1; k < SPACE_N_STREAMS; k++)
		if (sp->streams[k].used < oldest->used)
			oldest = &sp->streams[k];
	return oldest;
}

static bool page_is_out(struct space *sp, uint64_t addr)
{
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	uint32_t i = page_in_leaf(addr);

	return leaf && leaf->slot[i] && !(leaf->state[i] & (PAGE_PRESENT | PAGE_DETACH));
}

/* The window of @s from @page on, which is evicted: what can go with it. Return: pages. */
static uint32_t window_fill(struct space *sp, const struct stream *s, uint64_t page,
			    struct ahead *ret)
{
	uint64_t leaf_first = page - page % LEAF_PAGES;
	struct urange region = sp->regions.ranges[region_lookup(&sp->regions, page * PAGE_BYTES)];
	uint32_t n;

	for (n = 1; n < s->window; n++) {
		uint64_t next = page + (uint64_t)((int64_t)n * s->stride);

		if (next < leaf_first || next >= leaf_first + LEAF_PAGES ||
		    next * PAGE_BYTES < region.start || (next + 1) * PAGE_BYTES > region.end ||
		    !page_is_out(sp, next * PAGE_BYTES))
			break;
	}
	*ret = (struct ahead){ page * PAGE_BYTES, n, s->stride };
	if (s->stride == -1) { /* one COPY, from the lowest page */
		ret->start = (page - (n - 1)) * PAGE_BYTES;
		ret->stride = 1;
	}
	return n;
}

void readahead_plan(struct space *sp, uint64_t addr, struct ahead *ret)
{
	uint64_t page = addr / PAGE_BYTES;
	struct stream *s = stream_expecting(sp, page);
	int64_t delta = 0;

	*ret = (struct ahead){ addr, 1, 1 };
	if (s) {
		s->window = s->window * 2 > AHEAD_MAX_PAGES ? AHEAD_MAX_PAGES : s->window * 2;
	} else {
		s = stream_near(sp, page, &delta);
		if (!s) {
			s = stream_oldest(sp);
			*s = (struct stream){ .last = page };
		} else if (delta == s->stride || delta == 1 || delta == -1) {
			s->window = WINDOW_START;
			s->is_slow = false;
			s->more_early = 0;
			s->stride = (int32_t)delta;
		} else {
			s->window = 0;
			s->stride = (int32_t)delta;
		}
	}
	s->used = ++sp->stream_clock;
	s->last = page;
	if (!s->window || region_contains(&sp->no_ahead, addr))
		return;
	s->next = page + (uint64_t)((int64_t)window_fill(sp, s, page, ret) * s->stride);
}

/* The stream that the last fault, at @addr, belongs to, if it is worth reading ahead of. */
static struct stream *stream_in_swing(struct space *sp, uint64_t addr)
{
	uint32_t k;

	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];

		if (s->last == addr / PAGE_BYTES && s->window >= sp->group->early_window)
			return s->is_slow ? NULL : s;
	}
	return NULL;
}

uint32_t readahead_depth(struct space *sp, uint64_t addr)
{
	const struct stream *s = stream_in_swing(sp, addr);

	return s ? 1 + s->more_early : 0;
}

/* Behind the pages of @plan. */
static uint64_t stream_behind(const struct stream *s, const struct ahead *plan, uint32_t n)
{
	uint64_t first = plan->start / PAGE_BYTES;

	return s->stride == -1 ? first - 1 : first + (uint64_t)((int64_t)n * s->stride);
}

uint64_t readahead_next(struct space *sp, uint64_t addr, const struct ahead *behind)
{
	const struct stream *s = stream_in_swing(sp, addr);
	uint64_t next;

	if (!s)
		return 0;
	next = (behind ? stream_behind(s, behind, behind->n) : s->next) * PAGE_BYTES;
	if (!region_contains(&sp->regions, next) || region_contains(&sp->no_ahead, next) ||
	    !page_is_out(sp, next))
		return 0;
	return next;
}

void readahead_window(struct space *sp, uint64_t addr, uint64_t next, struct ahead *ret)
{
	(void)window_fill(sp, stream_in_swing(sp, addr), next / PAGE_BYTES, ret);
}

void readahead_joined(struct space *sp, uint64_t addr, const struct ahead *plan, bool waits)
{
	struct ahead wanted;
	uint32_t k;

	readahead_plan(sp, addr, &wanted);
	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];

		if (s->last != addr / PAGE_BYTES || !s->window)
			continue;
		s->next = stream_behind(s, plan, plan->n);
		if (waits && s->more_early < MORE_EARLY_MAX)
			s->more_early++;
	}
}

void readahead_too_early(struct space *sp, uint64_t addr)
{
	uint64_t page = addr / PAGE_BYTES;
	uint32_t k;

	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];
		int64_t off = (int64_t)(page - s->next);

		if (s->stride < 0)
			off = -off;
		if (!s->window || off < 0 || off % labs(s->stride) ||
		    off > (int64_t)s->window * (1 + MORE_EARLY_MAX) * labs(s->stride))
			continue;
		if (s->more_early)
			s->more_early--;
		else
			s->is_slow = true;
		return;
	}
}

void readahead_too_far(struct space *sp)
{
	uint32_t k;

	for (k = 0; k < SPACE_N_STREAMS; k++)
		sp->streams[k].more_early = 0;
}

void readahead_done(struct space *sp, uint64_t addr, const struct ahead *plan, uint32_t n_done)
{
	uint64_t page = addr / PAGE_BYTES;
	uint32_t k;

	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];

		if (s->last != page || !s->window)
			continue;
		if (!n_done)
			s->window = 0; /* it hit the end of a mapping: start anew */
		else
			s->next = stream_behind(s, plan, n_done);
	}
}
