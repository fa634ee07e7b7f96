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

void readahead_plan(struct space *sp, uint64_t addr, struct ahead *ret)
{
	uint64_t page = addr / PAGE_BYTES;
	uint64_t leaf_first = page - page % LEAF_PAGES;
	struct stream *s = stream_expecting(sp, page);
	uint32_t i = region_lookup(&sp->regions, addr);
	struct urange region = sp->regions.ranges[i];
	int64_t delta = 0;
	uint32_t n;

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
	for (n = 1; n < s->window; n++) {
		uint64_t next = page + (uint64_t)((int64_t)n * s->stride);

		if (next < leaf_first || next >= leaf_first + LEAF_PAGES ||
		    next * PAGE_BYTES < region.start || (next + 1) * PAGE_BYTES > region.end ||
		    !page_is_out(sp, next * PAGE_BYTES))
			break;
	}
	s->next = page + (uint64_t)((int64_t)n * s->stride);
	ret->n = n;
	ret->stride = s->stride;
	if (s->stride == -1) { /* one COPY, from the lowest page */
		ret->start = (page - (n - 1)) * PAGE_BYTES;
		ret->stride = 1;
	}
}

void readahead_done(struct space *sp, uint64_t addr, const struct ahead *plan, uint32_t n_done)
{
	uint64_t page = addr / PAGE_BYTES;
	uint32_t k;

	if (n_done == plan->n && plan->n > 1)
		return;
	for (k = 0; k < SPACE_N_STREAMS; k++) {
		struct stream *s = &sp->streams[k];

		if (s->last != page || !s->window)
			continue;
		if (!n_done)
			s->window = 0; /* it hit the end of a mapping: start anew */
		else if (s->stride == -1)
			s->next = plan->start / PAGE_BYTES - 1;
		else
			s->next = page + (uint64_t)((int64_t)n_done * s->stride);
	}
}
