/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * segment - the table, its lists, records
 *
 * Segments that were never used have no struct yet and are as good as clean free ones. Of the free
 * ones those are taken first whose room in the file is there already: the file grows as late as it
 * can, and what was freed last is what the disk's own cache may still have.
 *
 * A record is copied and sealed outside of the lock, so a segment may be full while some of its
 * records are not there yet: n_filling counts them, and the segment is not written before.
 */
#include "core/segment.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"
#include "core/rank.h"
#include "core/segment-impl.h"
#include "core/swap.h"

#define TO(state) (1u << SEGMENT_##state)

/* The way out of each state; the header says which function takes it. */
static const uint16_t ways_out[SEGMENT_N_STATES] = {
	[SEGMENT_FREE] = TO(OPEN) | TO(PUNCHING) | TO(BAD),
	[SEGMENT_PUNCHING] = TO(FREE),
	[SEGMENT_OPEN] = TO(FULL),
	[SEGMENT_FULL] = TO(WRITING) | TO(FREE) | TO(FAILED),
	[SEGMENT_WRITING] = TO(LIVE) | TO(FULL) | TO(FAILED) | TO(FREE) | TO(BAD),
	[SEGMENT_LIVE] = TO(CLEANING) | TO(FREE),
	[SEGMENT_CLEANING] = TO(LIVE) | TO(FREE),
	[SEGMENT_FAILED] = TO(FREE) | TO(BAD),
	[SEGMENT_BAD] = 0,
};

static enum segment_list list_of(const struct segment *g)
{
	switch ((enum segment_state)g->state) {
	case SEGMENT_FREE:
		return g->dirty ? SEGMENT_L_DIRTY : SEGMENT_L_CLEAN;
	case SEGMENT_FULL:
		return SEGMENT_L_FULL;
	case SEGMENT_FAILED:
		return SEGMENT_L_FAILED;
	default:
		return SEGMENT_L_NONE;
	}
}

static void unlink_locked(struct segs *t, uint32_t idx) REQUIRES(t->lock)
{
	struct segment *g = segment_at(t, idx);

	if (g->list == SEGMENT_L_NONE)
		return;
	if (g->prev)
		segment_at(t, g->prev)->next = g->next;
	else
		t->head[g->list] = g->next;
	if (g->next)
		segment_at(t, g->next)->prev = g->prev;
	else
		t->tail[g->list] = g->prev;
	t->n_listed[g->list]--;
	g->next = g->prev = 0;
	g->list = SEGMENT_L_NONE;
}

/* Free ones are a stack, the others wait in line. */
static void link_locked(struct segs *t, uint32_t idx, enum segment_list list) REQUIRES(t->lock)
{
	struct segment *g = segment_at(t, idx);

	if (list == SEGMENT_L_NONE)
		return;
	g->list = (uint8_t)list;
	if (list == SEGMENT_L_CLEAN || list == SEGMENT_L_DIRTY) {
		g->next = t->head[list];
		if (g->next)
			segment_at(t, g->next)->prev = idx;
		else
			t->tail[list] = idx;
		t->head[list] = idx;
	} else {
		g->prev = t->tail[list];
		if (g->prev)
			segment_at(t, g->prev)->next = idx;
		else
			t->head[list] = idx;
		t->tail[list] = idx;
	}
	t->n_listed[list]++;
}

void segment_set_state_locked(struct segs *t, uint32_t idx, enum segment_state state)
{
	struct segment *g = segment_at(t, idx);

	ASSERT(ways_out[g->state] & 1u << state);
	t->n_in_state[g->state]--;
	t->n_in_state[state]++;
	g->state = (uint8_t)state;
	unlink_locked(t, idx);
	link_locked(t, idx, list_of(g));
}

void segment_set_dirty_locked(struct segs *t, uint32_t idx, bool dirty)
{
	struct segment *g = segment_at(t, idx);

	unlink_locked(t, idx);
	g->dirty = dirty;
	link_locked(t, idx, list_of(g));
}

/* ---- construction --------------------------------------------------------------------------- */

static int segs_init_arenas(struct segs *t, const struct segs_options *options)
{
	size_t data_bytes = (size_t)t->n_bufs * t->segment_bytes;
	size_t ref_bytes = (size_t)t->n_bufs * segment_refs_room(t) * sizeof(struct segment_ref);
	int r;

	r = arena_init(&t->table,
		       &(struct arena_options){
			       .name = "uswap-segments",
			       .reserve_bytes = ((size_t)t->n_max + 1) * sizeof(struct segment),
			       .step_bytes = 65536,
			       .residency = options->residency,
		       });
	if (!r)
		r = err_fold(arena_grow(&t->table, sizeof(struct segment)));
	if (!r)
		r = arena_init(&t->data, &(struct arena_options){
						 .name = "uswap-segment-bufs",
						 .reserve_bytes = data_bytes,
						 .residency = options->residency,
					 });
	if (!r)
		r = err_fold(arena_grow(&t->data, data_bytes));
	if (!r)
		r = arena_init(&t->ref_data, &(struct arena_options){
						     .name = "uswap-segment-refs",
						     .reserve_bytes = ref_bytes,
						     .residency = options->residency,
					     });
	if (!r)
		r = err_fold(arena_grow(&t->ref_data, ref_bytes));
	return err_trace(r);
}

int segs_init(struct segs *t, const struct segs_options *options)
{
	uint64_t n_max = options->max_bytes / options->segment_bytes;
	uint32_t i;
	int r;

	*t = (struct segs)SEGS_INIT;
	ASSERT((options->segment_bytes & (options->segment_bytes - 1)) == 0);
	ASSERT(options->segment_bytes >= SEGMENT_BYTES_MIN &&
	       options->segment_bytes <= SEGMENT_BYTES_MAX);
	ASSERT(options->n_bufs >= SEGMENT_BUFS_MIN && options->n_bufs <= SEGMENT_BUFS_MAX);
	t->unit_bits = (uint32_t)__builtin_ctz(options->segment_bytes / RECORD_UNIT);
	if (n_max > (UINT64_C(1) << (SEGMENT_UNIT_BITS - t->unit_bits)) - 2)
		n_max = (UINT64_C(1) << (SEGMENT_UNIT_BITS - t->unit_bits)) - 2;
	if (n_max <= SEGMENT_RESERVE)
		return err_origin(-EINVAL);
	lock_init(&t->lock, LOCK_RANK_SEGMENTS, "segments");
	t->segment_bytes = options->segment_bytes;
	t->n_max = (uint32_t)n_max;
	t->n_bufs = options->n_bufs;
	t->user = options->user;
	t->on_work = options->on_work;
	for (i = 0; i < t->n_bufs; i++)
		t->bufs[i].next_free = i + 1 < t->n_bufs ? i + 2 : 0;
	t->free_buf = 1;
	t->n_bufs_free = t->n_bufs;
	r = segs_init_arenas(t, options);
	if (!r)
		r = seal_init(&t->seal, options->encrypt);
	if (r)
		return err_trace(r);
	for (i = 0; i < t->n_bufs; i++) {
		t->bufs[i].bytes = arena_at(&t->data, (size_t)i * t->segment_bytes);
		t->bufs[i].refs = arena_at(&t->ref_data, (size_t)i * segment_refs_room(t) *
								 sizeof(struct segment_ref));
	}
	return 0;
}

void segs_deinit(struct segs *t)
{
	if (t->segment_bytes)
		lock_deinit(&t->lock);
	seal_deinit(&t->seal);
	arena_deinit(&t->ref_data);
	arena_deinit(&t->data);
	arena_deinit(&t->table);
	*t = (struct segs)SEGS_INIT;
}

void segs_tell(struct segs *t)
{
	if (t->on_work)
		t->on_work(t->user);
}

/* ---- buffers -------------------------------------------------------------------------------- */

void segment_buf_give_locked(struct segs *t, uint32_t idx)
{
	struct segment *g = segment_at(t, idx);
	struct segment_buf *b = segment_buf(t, g);

	ASSERT(b->n_readers == 0);
	b->next_free = t->free_buf;
	t->free_buf = g->buf;
	t->n_bufs_free++;
	g->buf = 0;
}

void segment_free_locked(struct segs *t, uint32_t idx)
{
	struct segment *g = segment_at(t, idx);

	/* A reader holds the pin of a live record, a copier is about to own one. */
	ASSERT(g->n_live == 0 && g->live_bytes == 0 && g->n_filling == 0);
	if (g->buf)
		segment_buf_give_locked(t, idx);
	segment_set_state_locked(t, idx, SEGMENT_FREE);
}

/* ---- opening and closing -------------------------------------------------------------------- */

uint32_t segs_n_free_locked(const struct segs *t)
{
	if (t->no_growth)
		return t->n_listed[SEGMENT_L_DIRTY];
	return t->n_in_state[SEGMENT_FREE] + t->n_max - t->n_high;
}

/* One that was never used, FREE. 0: none, or no memory for it. */
static uint32_t segment_make_locked(struct segs *t) REQUIRES(t->lock)
{
	uint32_t idx = t->n_high + 1;

	if (t->n_high == t->n_max ||
	    arena_grow(&t->table, ((size_t)idx + 1) * sizeof(struct segment)))
		return 0;
	t->n_high = idx;
	t->n_in_state[SEGMENT_FREE]++;
	segment_at(t, idx)->physical = idx - 1;
	link_locked(t, idx, SEGMENT_L_CLEAN);
	return idx;
}

uint32_t segment_find_free_locked(struct segs *t, bool may_grow)
{
	uint32_t idx = t->head[SEGMENT_L_DIRTY];

	if (!idx && may_grow && !t->no_growth)
		idx = t->head[SEGMENT_L_CLEAN];
	if (!idx && may_grow && !t->no_growth)
		idx = segment_make_locked(t);
	return idx;
}

static int segment_open_locked(struct segs *t, enum segment_stream stream) REQUIRES(t->lock)
{
	bool is_cleaner = stream == SEGMENT_FROM_CLEANER;
	struct segment *g;
	uint32_t idx;

	/* The cleaner makes room, so it must not be what waits for room. */
	if (t->stopped || segs_n_free_locked(t) <= (is_cleaner ? 0 : SEGMENT_RESERVE))
		return SEGMENT_E_NO_ROOM;
	if (t->n_bufs_free <= (is_cleaner || t->open[SEGMENT_FROM_CLEANER] ? 0u : 1u))
		return SEGMENT_E_NO_BUF;
	idx = segment_find_free_locked(t, true);
	if (!idx)
		return SEGMENT_E_NO_ROOM;
	segment_set_state_locked(t, idx, SEGMENT_OPEN);
	g = segment_at(t, idx);
	g->seq = ++t->seq;
	g->buf = (uint8_t)t->free_buf;
	g->n_tries = g->no_clean = g->stuck = g->sealed = 0;
	t->free_buf = segment_buf(t, g)->next_free;
	t->n_bufs_free--;
	segment_buf(t, g)->n_refs = 0;
	segment_buf(t, g)->end_unit = 0;
	t->open[stream] = idx;
	return 0;
}

bool segment_close_locked(struct segs *t, enum segment_stream stream)
{
	uint32_t idx = t->open[stream];
	struct segment *g = segment_at(t, idx);

	t->open[stream] = 0;
	g->fill_bytes = segment_buf(t, g)->end_unit * RECORD_UNIT;
	segment_set_state_locked(t, idx, SEGMENT_FULL);
	if (g->n_live == 0)
		segment_free_locked(t, idx); /* all died here */
	return g->state == SEGMENT_FULL && g->n_filling == 0;
}

/* ---- records -------------------------------------------------------------------------------- */

static bool segment_has_room(const struct segs *t, const struct segment_buf *b, uint32_t len)
{
	return b->end_unit * RECORD_UNIT + record_bytes(&t->seal, len) +
		       segment_footer_bytes(t, b->n_refs + 1) <=
	       t->segment_bytes;
}

static void record_add_locked(struct segs *t, uint32_t idx, uint32_t len, struct slot_ref slot,
			      struct segment_place *ret_place) REQUIRES(t->lock)
{
	struct segment *g = segment_at(t, idx);
	struct segment_buf *b = segment_buf(t, g);
	uint32_t n_bytes = record_bytes(&t->seal, len);

	ASSERT(g->state == SEGMENT_OPEN && b->n_refs < segment_refs_room(t));
	b->refs[b->n_refs++] = (struct segment_ref){
		.slot = slot.id.v,
		.gen = slot.gen,
		.unit = (uint16_t)b->end_unit,
	};
	ret_place->loc.v = ((uint64_t)idx << t->unit_bits) + b->end_unit;
	ret_place->seal = (struct seal_place){ .seq = g->seq, .index = b->end_unit };
	ret_place->bytes = b->bytes + (size_t)b->end_unit * RECORD_UNIT;
	b->end_unit += n_bytes / RECORD_UNIT;
	g->n_filling++;
	g->n_live++;
	g->live_bytes += n_bytes;
	t->n_live++;
	t->live_bytes += n_bytes;
}

int segment_reserve(struct segs *t, enum segment_stream stream, uint32_t len, struct slot_ref slot,
		    struct segment_place *ret_place)
{
	bool is_work = false;
	int r = 0;

	lock_acquire(&t->lock);
	if (t->open[stream] &&
	    !segment_has_room(t, segment_buf(t, segment_at(t, t->open[stream])), len))
		is_work = segment_close_locked(t, stream);
	if (!t->open[stream])
		r = segment_open_locked(t, stream);
	if (!r)
		record_add_locked(t, t->open[stream], len, slot, ret_place);
	lock_release(&t->lock);
	if (is_work)
		segs_tell(t);
	return r;
}

void segment_commit(struct segs *t, struct segment_loc loc)
{
	struct segment *g = segment_at(t, segment_of(t, loc));
	bool is_work;

	lock_acquire(&t->lock);
	ASSERT(g->n_filling > 0);
	g->n_filling--;
	is_work = g->n_filling == 0 && (g->state == SEGMENT_FULL || g->state == SEGMENT_FAILED);
	lock_release(&t->lock);
	if (is_work)
		segs_tell(t);
}

void segment_drop(struct segs *t, struct segment_loc loc, uint32_t len)
{
	uint32_t idx = segment_of(t, loc), n_bytes = record_bytes(&t->seal, len);
	struct segment *g = segment_at(t, idx);
	bool is_work = false;

	lock_acquire(&t->lock);
	ASSERT(g->n_live > 0 && g->live_bytes >= n_bytes);
	g->n_live--;
	g->live_bytes -= n_bytes;
	t->n_live--;
	t->n_stuck -= g->stuck;
	t->live_bytes -= n_bytes;
	if (g->n_live == 0) {
		/* In the other states somebody works on it, or goes on filling it. */
		if (g->state == SEGMENT_LIVE || g->state == SEGMENT_FULL)
			segment_free_locked(t, idx);
		is_work = g->state != SEGMENT_OPEN;
	}
	lock_release(&t->lock);
	if (is_work)
		segs_tell(t);
}

bool segment_is_sound(struct segs *t, struct segment_loc loc)
{
	const struct segment *g = segment_at(t, segment_of(t, loc));
	bool sound;

	lock_acquire(&t->lock);
	sound = !g->no_clean && !g->stuck;
	lock_release(&t->lock);
	return sound;
}

void segment_view_begin(struct segs *t, struct segment_loc loc, struct segment_view *ret_view)
{
	struct segment *g = segment_at(t, segment_of(t, loc));
	uint32_t unit = segment_unit(t, loc);

	*ret_view = (struct segment_view){ 0 };
	lock_acquire(&t->lock);
	ASSERT(g->n_live > 0);
	if (g->buf) {
		segment_buf(t, g)->n_readers++;
		ret_view->record = segment_buf(t, g)->bytes + (size_t)unit * RECORD_UNIT;
	}
	ret_view->offset = (uint64_t)g->physical * t->segment_bytes + (uint64_t)unit * RECORD_UNIT;
	ret_view->seal = (struct seal_place){ .seq = g->seq, .index = unit };
	lock_release(&t->lock);
}

void segment_view_end(struct segs *t, struct segment_loc loc, const struct segment_view *view)
{
	uint32_t idx = segment_of(t, loc);
	struct segment *g = segment_at(t, idx);
	bool is_work = false;

	if (!view->record)
		return;
	lock_acquire(&t->lock);
	ASSERT(segment_buf(t, g)->n_readers > 0);
	segment_buf(t, g)->n_readers--;
	if (segment_buf(t, g)->n_readers == 0 && g->state == SEGMENT_LIVE) {
		segment_buf_give_locked(t, idx);
		is_work = true; /* who wants to fill one may */
	}
	lock_release(&t->lock);
	if (is_work)
		segs_tell(t);
}
