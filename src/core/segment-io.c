/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * segment-io - writing, failing, cleaning, punching
 *
 * A failed write costs a place of the file, not a segment: the segment changes places with a free one,
 * which is taken out of use in its stead. On a full disk it changes with one whose room is there
 * already, and nothing is taken out of use.
 *
 * The cleaner's choice is the cost-benefit rule of log-structured file systems: what is gained, times
 * how long the records that are left have proven to live, by the cost of reading a segment and
 * writing its live part. It looks at a bounded number of segments at a time, in turn.
 */
#include "core/segment-io.h"

#include <string.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/segment-impl.h"
#include "core/swap-file.h"

enum {
	CLEAN_LOOK_MAX = 4096,	 /* segments compared for one choice */
	TAIL_MAGIC = 0x67657375, /* "useg" */
};
#define FOOTER_INDEX UINT32_MAX /* no record has it */

static struct segment_job job_of(struct segs *t, uint32_t idx)
{
	struct segment *g = segment_at(t, idx);

	return (struct segment_job){
		.segment = idx,
		.offset = (uint64_t)g->physical * t->segment_bytes,
		.bytes = g->buf ? segment_buf(t, g)->bytes : NULL,
		.n_bytes = t->segment_bytes,
	};
}

/* ---- footers -------------------------------------------------------------------------------- */

static void footer_close(struct segs *t, uint32_t idx)
{
	struct segment *g = segment_at(t, idx);
	struct segment_buf *b = segment_buf(t, g);
	uint32_t n_bytes = b->n_refs * (uint32_t)sizeof(struct segment_ref);
	uint32_t at = t->segment_bytes - segment_footer_bytes(t, b->n_refs);
	struct segment_tail tail = { .seq = g->seq, .n_refs = b->n_refs, .magic = TAIL_MAGIC };

	ASSERT(b->end_unit * RECORD_UNIT <= at);
	/* What an earlier segment left in the buffer does not go to the disk. */
	memset(b->bytes + (size_t)b->end_unit * RECORD_UNIT, 0, at - b->end_unit * RECORD_UNIT);
	seal_close(&t->seal, (struct seal_place){ .seq = g->seq, .index = FOOTER_INDEX }, b->refs,
		   n_bytes, b->bytes + at);
	memcpy(b->bytes + t->segment_bytes - sizeof(tail), &tail, sizeof(tail));
	g->sealed = 1;
}

const struct segment_ref *segment_footer_open(struct segs *t, uint32_t segment, uint8_t *bytes,
					      uint32_t *ret_n)
{
	uint64_t seq = segment_at(t, segment)->seq; /* CLEANING: does not change */
	struct segment_tail tail;
	uint8_t *record;
	const void *refs;

	memcpy(&tail, bytes + t->segment_bytes - sizeof(tail), sizeof(tail));
	if (tail.magic != TAIL_MAGIC || tail.seq != seq || tail.n_refs > segment_refs_room(t) ||
	    segment_footer_bytes(t, tail.n_refs) > t->segment_bytes)
		return NULL;
	record = bytes + t->segment_bytes - segment_footer_bytes(t, tail.n_refs);
	refs = seal_open(&t->seal, (struct seal_place){ .seq = seq, .index = FOOTER_INDEX }, record,
			 tail.n_refs * (uint32_t)sizeof(struct segment_ref),
			 record + seal_head_bytes(&t->seal));
	*ret_n = tail.n_refs;
	return refs;
}

/* ---- writing -------------------------------------------------------------------------------- */

int segs_write_begin(struct segs *t, struct segment_job *ret_job)
{
	uint32_t idx;

	lock_acquire(&t->lock);
	for (idx = t->head[SEGMENT_L_FULL]; idx; idx = segment_at(t, idx)->next)
		if (segment_at(t, idx)->n_filling == 0)
			break;
	if (idx) {
		segment_set_state_locked(t, idx, SEGMENT_WRITING);
		*ret_job = job_of(t, idx);
	}
	lock_release(&t->lock);
	if (!idx)
		return SEGMENT_E_NONE;
	inject_race();
	if (!segment_at(t, idx)->sealed)
		footer_close(t, idx);
	return 0;
}

/* Another place for a segment that could not be written at its own. */
static bool segment_replace_locked(struct segs *t, uint32_t idx, enum segment_write_end end)
	REQUIRES(t->lock)
{
	struct segment *g = segment_at(t, idx), *other;
	uint32_t other_idx, physical;

	if (end == SEGMENT_GIVE_UP || t->stopped || g->n_tries >= SEGMENT_TRIES)
		return false;
	other_idx = segment_find_free_locked(t, end == SEGMENT_BAD_PLACE);
	if (!other_idx)
		return false;
	other = segment_at(t, other_idx);
	physical = g->physical;
	g->physical = other->physical;
	other->physical = physical;
	if (end == SEGMENT_BAD_PLACE)
		segment_set_state_locked(t, other_idx, SEGMENT_BAD);
	else
		segment_set_dirty_locked(t, other_idx, false);
	return true;
}

static void segment_not_written_locked(struct segs *t, uint32_t idx, enum segment_write_end end)
	REQUIRES(t->lock)
{
	struct segment *g = segment_at(t, idx);

	g->n_tries++;
	if (segment_replace_locked(t, idx, end)) {
		g->dirty = 1; /* the other place, as far as is known */
		segment_set_state_locked(t, idx, SEGMENT_FULL);
		return;
	}
	g->bad_place = end == SEGMENT_BAD_PLACE;
	segment_set_state_locked(t, idx, SEGMENT_FAILED);
}

bool segs_write_end(struct segs *t, uint32_t segment, enum segment_write_end end)
{
	struct segment *g = segment_at(t, segment);
	bool is_failed;

	lock_acquire(&t->lock);
	ASSERT(g->state == SEGMENT_WRITING);
	g->dirty = end != SEGMENT_DISK_FULL; /* WRITING is on no list */
	if (end == SEGMENT_DISK_FULL)
		t->no_growth = true;
	if (g->n_live == 0 && end == SEGMENT_BAD_PLACE) {
		segment_buf_give_locked(t, segment);
		segment_set_state_locked(t, segment, SEGMENT_BAD);
	} else if (g->n_live == 0) {
		segment_free_locked(t, segment);
	} else if (end == SEGMENT_WRITTEN) {
		segment_set_state_locked(t, segment, SEGMENT_LIVE);
		if (segment_buf(t, g)->n_readers == 0)
			segment_buf_give_locked(t, segment);
	} else {
		segment_not_written_locked(t, segment, end);
	}
	is_failed = g->state == SEGMENT_FAILED;
	lock_release(&t->lock);
	return is_failed;
}

/* ---- failing -------------------------------------------------------------------------------- */

uint32_t segs_failed(struct segs *t, uint32_t after, const struct segment_buf **ret_buf)
{
	uint32_t idx;

	lock_acquire(&t->lock);
	idx = after ? segment_at(t, after)->next : t->head[SEGMENT_L_FAILED];
	if (idx)
		*ret_buf = segment_buf(t, segment_at(t, idx));
	lock_release(&t->lock);
	return idx;
}

uint32_t segs_failed_end(struct segs *t, uint32_t segment)
{
	struct segment *g = segment_at(t, segment);
	uint32_t n_live;

	lock_acquire(&t->lock);
	ASSERT(g->state == SEGMENT_FAILED);
	n_live = g->n_live;
	if (n_live == 0 && g->bad_place) {
		segment_buf_give_locked(t, segment);
		segment_set_state_locked(t, segment, SEGMENT_BAD);
	} else if (n_live == 0) {
		segment_free_locked(t, segment);
	}
	lock_release(&t->lock);
	return n_live;
}

/* ---- cleaning ------------------------------------------------------------------------------- */

static uint64_t clean_score_locked(const struct segs *t, const struct segment *g) REQUIRES(t->lock)
{
	uint64_t age = t->seq - g->seq + 1;

	if (age > UINT32_MAX)
		age = UINT32_MAX;
	return (uint64_t)(t->segment_bytes - g->live_bytes) * age /
	       ((t->segment_bytes + g->live_bytes) / RECORD_UNIT);
}

static bool clean_is_worth_it_locked(const struct segs *t, const struct segment *g,
				     uint32_t max_live_pct) REQUIRES(t->lock)
{
	/*
	 * A full one has some room that no record fits into: by the size of the segment alone small
	 * ones would be moved around for ever. One that was closed early is not full.
	 */
	uint64_t full = t->segment_bytes - t->segment_bytes / 8;

	if (g->fill_bytes > full)
		full = g->fill_bytes;
	return (uint64_t)g->live_bytes * 100 <= full * max_live_pct;
}

int segs_clean_begin(struct segs *t, uint32_t max_live_pct, struct segment_job *ret_job)
{
	uint32_t i, idx, best = 0, n_look = CLEAN_LOOK_MAX;
	uint64_t score, best_score = 0;
	struct segment *g;

	lock_acquire(&t->lock);
	if (n_look > t->n_high)
		n_look = t->n_high;
	for (i = 0; i < n_look; i++) {
		idx = 1 + (t->clean_cursor + i) % t->n_high;
		g = segment_at(t, idx);
		if (g->state != SEGMENT_LIVE || g->buf || g->stuck)
			continue;
		if (!t->retiring && (g->no_clean || !clean_is_worth_it_locked(t, g, max_live_pct)))
			continue;
		score = clean_score_locked(t, g);
		if (!best || score > best_score) {
			best = idx;
			best_score = score;
		}
	}
	if (n_look)
		t->clean_cursor = (t->clean_cursor + n_look) % t->n_high;
	if (best) {
		segment_set_state_locked(t, best, SEGMENT_CLEANING);
		*ret_job = job_of(t, best);
	}
	lock_release(&t->lock);
	return best ? 0 : SEGMENT_E_NONE;
}

void segs_clean_end(struct segs *t, uint32_t segment, enum segment_clean_end end)
{
	struct segment *g = segment_at(t, segment);

	lock_acquire(&t->lock);
	ASSERT(g->state == SEGMENT_CLEANING);
	g->no_clean = end != SEGMENT_CLEANED;
	g->stuck = end == SEGMENT_STUCK;
	t->n_stuck += g->stuck ? g->n_live : 0;
	if (g->n_live == 0)
		segment_free_locked(t, segment);
	else
		segment_set_state_locked(t, segment, SEGMENT_LIVE);
	lock_release(&t->lock);
}

/* ---- room ----------------------------------------------------------------------------------- */

int segs_punch_begin(struct segs *t, uint32_t n_keep, struct segment_job *ret_job)
{
	uint32_t idx = 0;

	lock_acquire(&t->lock);
	if (t->n_listed[SEGMENT_L_DIRTY] > n_keep)
		idx = t->tail[SEGMENT_L_DIRTY];
	if (idx) {
		segment_set_state_locked(t, idx, SEGMENT_PUNCHING);
		*ret_job = job_of(t, idx);
	}
	lock_release(&t->lock);
	return idx ? 0 : SEGMENT_E_NONE;
}

void segs_punch_end(struct segs *t, uint32_t segment, bool done)
{
	struct segment *g = segment_at(t, segment);

	lock_acquire(&t->lock);
	if (done)
		g->dirty = 0; /* PUNCHING is on no list */
	segment_set_state_locked(t, segment, SEGMENT_FREE);
	lock_release(&t->lock);
}

void segs_allow_growth(struct segs *t)
{
	lock_acquire(&t->lock);
	t->no_growth = false;
	lock_release(&t->lock);
}

void segs_flush(struct segs *t)
{
	bool is_work = false;
	uint32_t i;

	lock_acquire(&t->lock);
	for (i = 0; i < SEGMENT_N_STREAMS; i++)
		if (t->open[i] && segment_close_locked(t, (enum segment_stream)i))
			is_work = true;
	lock_release(&t->lock);
	if (is_work)
		segs_tell(t);
}

static void segs_stop_locked(struct segs *t) REQUIRES(t->lock)
{
	uint32_t i, idx;

	t->stopped = true;
	for (i = 0; i < SEGMENT_N_STREAMS; i++)
		if (t->open[i])
			segment_close_locked(t, (enum segment_stream)i);
	while ((idx = t->head[SEGMENT_L_FULL])) {
		segment_at(t, idx)->bad_place = 0;
		segment_set_state_locked(t, idx, SEGMENT_FAILED);
	}
}

void segs_stop(struct segs *t)
{
	lock_acquire(&t->lock);
	segs_stop_locked(t);
	lock_release(&t->lock);
	segs_tell(t);
}

void segs_retire(struct segs *t)
{
	lock_acquire(&t->lock);
	t->retiring = true;
	segs_stop_locked(t);
	lock_release(&t->lock);
	segs_tell(t);
}

bool segs_is_retiring(struct segs *t)
{
	bool is_retiring;

	lock_acquire(&t->lock);
	is_retiring = t->retiring;
	lock_release(&t->lock);
	return is_retiring;
}

void segs_stats_get(struct segs *t, struct swap_file_stats *ret)
{
	lock_acquire(&t->lock);
	*ret = (struct swap_file_stats){
		.n_segments = t->n_max,
		.n_used = t->n_high - t->n_in_state[SEGMENT_FREE] -
			  t->n_in_state[SEGMENT_PUNCHING] - t->n_in_state[SEGMENT_BAD],
		.n_free = t->stopped ? 0 : segs_n_free_locked(t) + t->n_in_state[SEGMENT_PUNCHING],
		.n_waiting = t->n_in_state[SEGMENT_FULL] + t->n_in_state[SEGMENT_WRITING],
		.n_failed = t->n_in_state[SEGMENT_FAILED],
		.n_bad = t->n_in_state[SEGMENT_BAD],
		.n_bufs_free = t->n_bufs_free,
		.n_live = t->n_live,
		.n_stuck = t->n_stuck,
		.live_bytes = t->live_bytes,
		.room_bytes =
			(uint64_t)(t->n_in_state[SEGMENT_LIVE] + t->n_in_state[SEGMENT_CLEANING] +
				   t->n_listed[SEGMENT_L_DIRTY]) *
			t->segment_bytes,
		.buf_bytes = (uint64_t)t->n_bufs * t->segment_bytes,
		.meta_bytes = ((uint64_t)t->n_high + 1) * sizeof(struct segment),
	};
	lock_release(&t->lock);
}

/* ---- check ---------------------------------------------------------------------------------- */

static void segment_check_locked(struct segs *t, uint32_t idx) REQUIRES(t->lock)
{
	struct segment *g = segment_at(t, idx);
	bool is_used =
		g->state != SEGMENT_FREE && g->state != SEGMENT_PUNCHING && g->state != SEGMENT_BAD;
	bool has_buf = g->state == SEGMENT_OPEN || g->state == SEGMENT_FULL ||
		       g->state == SEGMENT_WRITING || g->state == SEGMENT_FAILED;

	ASSERT(g->state < SEGMENT_N_STATES);
	ASSERT(is_used || (g->n_live == 0 && g->live_bytes == 0));
	ASSERT(has_buf == (g->buf != 0)); /* no other thread: nobody reads a LIVE one's */
	ASSERT(!g->buf || segment_buf(t, g)->n_readers == 0);
	ASSERT(g->n_filling == 0);
	ASSERT(g->state != SEGMENT_LIVE || g->n_live > 0);
	ASSERT(g->state != SEGMENT_OPEN || t->open[SEGMENT_FROM_POOL] == idx ||
	       t->open[SEGMENT_FROM_CLEANER] == idx);
	ASSERT(g->physical < t->n_max);
}

static uint32_t segs_check_list_locked(struct segs *t, uint32_t list) REQUIRES(t->lock)
{
	uint32_t idx, prev = 0, n = 0;

	for (idx = t->head[list]; idx; idx = segment_at(t, idx)->next) {
		ASSERT(segment_at(t, idx)->list == list);
		ASSERT(segment_at(t, idx)->prev == prev);
		ASSERT(n < t->n_high);
		prev = idx;
		n++;
	}
	ASSERT(t->tail[list] == prev);
	ASSERT(t->n_listed[list] == n);
	return n;
}

void segs_check(struct segs *t)
{
	uint32_t idx, i, n_in_state[SEGMENT_N_STATES] = { 0 }, n_bufs = 0;
	uint64_t n_live = 0, n_stuck = 0, live_bytes = 0, physical = 0;

	lock_acquire(&t->lock);
	for (idx = 1; idx <= t->n_high; idx++) {
		segment_check_locked(t, idx);
		n_in_state[segment_at(t, idx)->state]++;
		n_live += segment_at(t, idx)->n_live;
		n_stuck += segment_at(t, idx)->stuck ? segment_at(t, idx)->n_live : 0;
		live_bytes += segment_at(t, idx)->live_bytes;
		n_bufs += segment_at(t, idx)->buf != 0;
		physical += segment_at(t, idx)->physical;
	}
	for (i = 0; i < SEGMENT_N_STATES; i++)
		ASSERT(n_in_state[i] == t->n_in_state[i]);
	ASSERT(segs_check_list_locked(t, SEGMENT_L_CLEAN) +
		       segs_check_list_locked(t, SEGMENT_L_DIRTY) ==
	       n_in_state[SEGMENT_FREE]);
	ASSERT(segs_check_list_locked(t, SEGMENT_L_FULL) == n_in_state[SEGMENT_FULL]);
	ASSERT(segs_check_list_locked(t, SEGMENT_L_FAILED) == n_in_state[SEGMENT_FAILED]);
	ASSERT(n_live == t->n_live && live_bytes == t->live_bytes && n_stuck == t->n_stuck);
	ASSERT(n_bufs + t->n_bufs_free == t->n_bufs);
	/* Places are only ever exchanged. */
	ASSERT(physical == (uint64_t)t->n_high * (t->n_high - (t->n_high > 0)) / 2);
	lock_release(&t->lock);
}
