/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * segment-impl - what segment.c (records) and segment-io.c (whole segments) share
 *
 * Threads: the caller holds the table's lock, where the name says _locked.
 */
#ifndef USWAP_CORE_SEGMENT_IMPL_H
#define USWAP_CORE_SEGMENT_IMPL_H

#include "core/segment-io.h"
#include "core/segment.h"

/* The last bytes of a segment, so that it says by itself what it is. */
struct segment_tail {
	uint64_t seq;
	uint32_t n_refs;
	uint32_t magic;
};
_Static_assert(sizeof(struct segment_tail) == RECORD_UNIT, "on disk");

static inline struct segment_buf *segment_buf(struct segs *t, const struct segment *g)
{
	return &t->bufs[g->buf - 1u];
}

/* Refs that a segment of the shortest records could have. */
static inline uint32_t segment_refs_room(const struct segs *t)
{
	return t->segment_bytes / (RECORD_UNIT + sizeof(struct segment_ref));
}

static inline uint32_t segment_footer_bytes(const struct segs *t, uint32_t n_refs)
{
	return record_bytes(&t->seal, n_refs * (uint32_t)sizeof(struct segment_ref)) +
	       (uint32_t)sizeof(struct segment_tail);
}

/* The one setter: checks the way, keeps lists and counts. */
void segment_set_state_locked(struct segs *t, uint32_t idx, enum segment_state state)
	REQUIRES(t->lock);
void segment_set_dirty_locked(struct segs *t, uint32_t idx, bool dirty) REQUIRES(t->lock);
void segment_buf_give_locked(struct segs *t, uint32_t idx) REQUIRES(t->lock);
void segment_free_locked(struct segs *t, uint32_t idx) REQUIRES(t->lock); /* pre: no record */
/* Segments that can be opened; none that would need room on a full disk. */
uint32_t segs_n_free_locked(const struct segs *t) REQUIRES(t->lock);
/* A FREE one, left as it is. @may_grow: also one without room in the file yet. 0: none. */
uint32_t segment_find_free_locked(struct segs *t, bool may_grow) REQUIRES(t->lock);
/* pre: one is open. Return: true: somebody has to be told. */
bool segment_close_locked(struct segs *t, enum segment_stream stream) REQUIRES(t->lock);
void segs_tell(struct segs *t) EXCLUDES(t->lock);

#endif
