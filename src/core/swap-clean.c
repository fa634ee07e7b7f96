/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-clean - what is in a segment goes somewhere else: into another, or back into the pool
 *
 * All of it starts at the wrong end again, with a ref that says who a record belonged to when it was
 * written. So the same steps as everywhere (I1): pin by slot and generation, look the tree up,
 * compare the place, use, publish by one store, unpin. A ref of a record that died is one whose slot
 * is gone or whose entry is somewhere else; nobody keeps footers up to date. (The place alone would
 * decide: a place has one owner until its segment is free. The generation spares a pin for nothing.)
 *
 * A ref read from a disk is not believed, even if its checksum is right: numbers are checked before
 * they are used as indexes, and the entry decides.
 *
 * A retirement must not depend on footers: where one is damaged the trees are asked. What is left
 * then are records that do not open any more; their pages are lost, and stay so. They are asked as well for
 * a segment that cannot be read at all: a clean copy there must not be taken for the page again.
 */
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/inject.h"
#include "core/codec.h"
#include "core/segment-io.h"
#include "core/swap-file.h"
#include "core/swap-impl.h"

enum clean_target { CLEAN_TO_SEGMENT, CLEAN_TO_POOL };

/* One segment being emptied. */
struct clean {
	struct swap *s;
	struct codec_ctx *ctx;
	const uint8_t *bytes; /* of the segment */
	uint32_t segment;
	enum clean_target target;
	uint32_t n_left; /* records that have left it */
	bool is_damaged; /* a live record did not open */
	bool is_busy;	 /* one was pinned */
};

static bool ref_is_sane(struct swap *s, const struct segment_ref *ref)
{
	return ref->unit >> s->segs.unit_bits == 0 && ref->slot >> AREA_BITS > 0 &&
	       ref->slot >> AREA_BITS <= s->areas.n_max &&
	       ((size_t)ref->slot + 1) * sizeof(uint64_t) <= arena_size(&s->slots.arena);
}

/* pre: pinned; @src are the entry's bytes. Return: 0; SWAP_E_FULL. */
static int move_to_pool(struct clean *c, struct swap_app *app, uint32_t idx, const void *src)
{
	struct entry *e = entry_at(&c->s->entries, idx);
	struct entry_where where = entry_where(e);
	uint32_t handle;

	if (pool_alloc(&c->s->pool, where.len, idx, &handle))
		return SWAP_E_FULL;
	memcpy(pool_at(&c->s->pool, handle), src, where.len);
	inject_race();
	entry_rehome(c->s, app, e, where_at_pool(where, handle));
	lru_move(&app->lru, idx, LRU_AGED, false);
	fetch_add_relaxed(&app->figures.n_rehomed, 1);
	return 0;
}

/* The same, into the cleaner's segment. */
static int move_to_segment(struct clean *c, struct swap_app *app, uint32_t idx, const void *src)
{
	struct entry *e = entry_at(&c->s->entries, idx);
	struct entry_where where = entry_where(e);
	struct segs *segs = &c->s->segs;
	struct segment_place place;
	struct slot_ref slot = slot_ref_of(&c->s->slots, (struct slot_id){ e->slot });

	if (segment_reserve(segs, SEGMENT_FROM_CLEANER, where.len, slot, &place))
		return SWAP_E_FULL;
	seal_close(&segs->seal, place.seal, src, where.len, place.bytes);
	inject_race();
	entry_rehome(c->s, app, e, where_on_file(where, place.loc));
	inject_race();
	segment_commit(segs, place.loc);
	return 0;
}

/* pre: the ref's slot is pinned. Return: 0: moved; SWAP_E_GONE: not here; SWAP_E_FULL; SWAP_E_LOST. */
static int move_pinned(struct clean *c, const struct segment_ref *ref)
{
	struct slot_id id = { ref->slot };
	struct area *area = area_of(&c->s->areas, id); /* only now: the pin keeps it (I1) */
	uint32_t idx = tree_lookup(area, id);
	struct segs *segs = &c->s->segs;
	struct entry_where where;
	struct seal_place place;
	struct segment_loc loc;
	const void *src;

	if (!idx)
		return SWAP_E_GONE;
	where = entry_where(entry_at(&c->s->entries, idx));
	loc.v = ((uint64_t)c->segment << segs->unit_bits) + ref->unit;
	if (!where.on_file || where_file_loc(where).v != loc.v)
		return SWAP_E_GONE;
	if (where.kept) { /* the program has the page; not worth a move */
		kept_erase(c->s, area, idx);
		c->n_left++;
		return SWAP_E_GONE;
	}
	if (!c->bytes) {
		entry_set_lost(entry_at(&c->s->entries, idx));
		return SWAP_E_LOST;
	}
	/* The segment is not used again while it has a live record: its number stays. */
	place = (struct seal_place){ .seq = segment_at(segs, c->segment)->seq, .index = ref->unit };
	src = seal_open(&segs->seal, place, c->bytes + (size_t)ref->unit * RECORD_UNIT, where.len,
			codec_scratch(c->ctx));
	if (!src) {
		entry_set_lost(entry_at(&c->s->entries, idx));
		return SWAP_E_LOST; /* found again, and said, by who loads it */
	}
	inject_race();
	if (c->target == CLEAN_TO_POOL)
		return move_to_pool(c, area->app, idx, src);
	return move_to_segment(c, area->app, idx, src);
}

/* As far as there is room where they should go. */
static void clean_refs(struct clean *c, const struct segment_ref *refs, uint32_t n)
{
	struct slot_ref slot;
	uint32_t i;
	int r;

	for (i = 0; i < n; i++) {
		if (!ref_is_sane(c->s, &refs[i]))
			continue;
		slot = (struct slot_ref){ .id = { refs[i].slot }, .gen = refs[i].gen };
		inject_race();
		r = slot_try_pin_ref(&c->s->slots, slot, SWAP_PIN_MOVE);
		if (r) {
			c->is_busy |= r != SWAP_E_GONE; /* a later pass moves it */
			continue;
		}
		inject_race();
		r = move_pinned(c, &refs[i]);
		slot_done(c->s, slot.id);
		if (r == SWAP_E_FULL) {
			c->is_busy = true;
			return;
		}
		if (r == SWAP_E_LOST)
			c->is_damaged = true;
		c->n_left += r == 0;
	}
}

/* Refs of an area's entries that lie in the segment, added to the @n there are. Return: how many. */
static uint32_t refs_of_area(struct clean *c, struct area *area, struct segment_ref *refs,
			     uint32_t n, uint32_t n_max)
{
	struct segs *segs = &c->s->segs;
	struct entry_where where;
	struct slot_id id;
	uint32_t i, idx;

	lock_acquire(&area->lock);
	for (i = 0; i < AREA_SLOTS && n < n_max; i++) {
		id.v = (area->idx << AREA_BITS) + i;
		idx = tree_lookup_locked(area, id);
		if (!idx)
			continue;
		/* In the tree, so neither entry nor slot is freed: a look, to be repeated pinned. */
		where = entry_where(entry_at(&c->s->entries, idx));
		if (!where.on_file || segment_of(segs, where_file_loc(where)) != c->segment)
			continue;
		refs[n++] = (struct segment_ref){
			.slot = id.v,
			.gen = slot_ref_of(&c->s->slots, id).gen,
			.unit = (uint16_t)segment_unit(segs, where_file_loc(where)),
		};
	}
	lock_release(&area->lock);
	return n;
}

/*
 * Who has records in the segment, by the trees: for when its footer cannot be read and it has to be
 * emptied all the same. Slow. Return: NULL: no memory; else to be freed.
 */
static struct segment_ref *refs_by_trees(struct clean *c, uint32_t *ret_n)
{
	uint32_t i, n_areas, n = 0, n_max = c->s->segs.segment_bytes / RECORD_UNIT;
	struct area_table *t = &c->s->areas;
	struct segment_ref *refs;

	refs = inject_fail() ? NULL : calloc(n_max, sizeof(*refs));
	if (!refs)
		return NULL;
	lock_acquire(&t->lock);
	n_areas = t->n_high;
	lock_release(&t->lock);
	/* Areas are never freed; what comes into the file after this is not in this segment. */
	for (i = 1; i <= n_areas; i++)
		n = refs_of_area(c, t->areas[i], refs, n, n_max);
	*ret_n = n;
	return refs;
}

uint32_t swap_file_clean(struct swap *s, const struct swap_file_job *job, void *bytes,
			 struct codec_ctx *ctx)
{
	struct clean c = { .s = s, .ctx = ctx, .bytes = bytes, .segment = job->segment };
	_cleanup_(freep) struct segment_ref *found = NULL;
	bool is_retiring = segs_is_retiring(&s->segs);
	enum segment_clean_end end = SEGMENT_CLEANED;
	const struct segment_ref *refs = NULL;
	uint32_t n = 0;

	c.target = is_retiring ? CLEAN_TO_POOL : CLEAN_TO_SEGMENT;
	if (bytes)
		refs = segment_footer_open(&s->segs, job->segment, bytes, &n);
	if (!refs && (!bytes || is_retiring)) {
		found = refs_by_trees(&c, &n);
		refs = found;
	}
	if (refs)
		clean_refs(&c, refs, n);
	if (!bytes || !refs || c.is_damaged)
		end = SEGMENT_UNCLEANABLE;
	/* Once more would find the same, unless somebody was in the way. */
	if (is_retiring && c.is_damaged && !c.is_busy)
		end = SEGMENT_STUCK;
	segs_clean_end(&s->segs, job->segment, end);
	return c.n_left;
}

uint32_t swap_file_rehome(struct swap *s, struct codec_ctx *ctx)
{
	struct clean c = { .s = s, .ctx = ctx, .target = CLEAN_TO_POOL };
	const struct segment_buf *buf;
	uint32_t n_left = 0, next;

	/* One at a time ends segments. Pairs with the store below. */
	if (!s->segs.segment_bytes || exchange_acq_rel(&s->rehoming, 1))
		return 0;
	c.segment = segs_failed(&s->segs, 0, &buf);
	while (c.segment) {
		c.bytes = buf->bytes;
		clean_refs(&c, buf->refs, buf->n_refs); /* FAILED: nobody adds to them */
		next = segs_failed(&s->segs, c.segment, &buf);
		n_left += segs_failed_end(&s->segs, c.segment);
		c.segment = next;
	}
	store_release(&s->rehoming, 0); /* pairs with the exchange above */
	return n_left;
}
