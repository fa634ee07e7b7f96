// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Registration, late and whole mappings at a time (R10).
 *
 * A range enters the region table only after this sequence: read the mappings, register, read the
 * mappings again, ask the kernel whether all of what is mapped there is registered. Without the
 * last two a mapping made by another thread in a gap of the range would be taken for registered;
 * pages moved out of it would come back as zeroes. From then on any change of the range raises an
 * event, and an unread event stops MOVE.
 *
 * Residency is what a scan finds right after, before any event is read (R3). That holds for what was not
 * registered before: nobody was told of its zaps. A part that mremap() has grown is registered by the
 * kernel, and of a zap there the event may be read and the pages still be there; nor is what the table has
 * already looked at again.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "space/space-impl.h"

#define SCAN_RUNS 64u

static bool is_own(const struct space *sp, struct urange range)
{
	return urange_overlap(range, sp->own[0]) || urange_overlap(range, sp->own[1]) ||
	       urange_overlap(range, sp->stage) || urange_overlap(range, sp->trash);
}

/* True if all of @range is in the region table. */
static bool is_managed(const struct space *sp, struct urange range)
{
	uint32_t i = region_lookup(&sp->regions, range.start);

	return i < sp->regions.n && sp->regions.ranges[i].start <= range.start &&
	       sp->regions.ranges[i].end >= range.end;
}

static bool wants(const struct space *sp, const struct mem_map *map)
{
	return map->evictable && map->range.end <= PAGE_MAP_END && !is_own(sp, map->range) &&
	       !is_managed(sp, map->range);
}

/* Mark what is populated in @range as present. pre: in the region table */
static int scan_range(struct space *sp, struct urange range)
{
	struct mem_present runs[SCAN_RUNS];
	uint64_t at = range.start;
	uint32_t n, k;
	int r;

	while (at < range.end) {
		uint64_t next = range.end;

		r = sp->mem->ops->scan(sp->mem, at, range.end, runs, SCAN_RUNS, &n, &next);
		if (r)
			return r;
		for (k = 0; k < n; k++) {
			uint64_t a;

			for (a = runs[k].range.start; a < runs[k].range.end; a += PAGE_BYTES) {
				struct page_leaf *leaf = page_map_get(&sp->map, a);
				uint32_t i = page_in_leaf(a);

				if (!leaf)
					return err_origin(-ENOMEM);
				if (!leaf->slot[i] &&
				    !(leaf->state[i] & (PAGE_PRESENT | PAGE_DETACH)))
					space_page_arrived(sp, leaf, i, 0, 0);
			}
		}
		if (next <= at)
			break;
		at = next;
	}
	return 0;
}

bool manage_inside_zap(struct space *sp)
{
	if (sp->removed_ns && !sp->mem->ops->inside_zap(sp->mem, sp->removed_ns))
		sp->removed_ns = 0;
	return sp->removed_ns;
}

/* Mappings that space_manage() has seen to. */
struct candidates {
	struct region_set done;	 /* registered */
	struct region_set grown; /* of these: they were already */
};

static void candidates_deinit(struct candidates *c)
{
	region_set_deinit(&c->done);
	region_set_deinit(&c->grown);
}

/* A part that is not in the table. */
static int adopt_part(struct space *sp, const struct candidates *c, struct urange part)
{
	int r = region_add(&sp->regions, part);

	if (r)
		return r;
	if (region_overlaps(&c->grown, part) && manage_inside_zap(sp)) {
		sp->n_unknown += (part.end - part.start) / PAGE_BYTES;
		return 0; /* space_rescan() finds what is there */
	}
	return scan_range(sp, part);
}

/* Part of a registered candidate that is mapped for sure: into the table. */
static int adopt(struct space *sp, const struct candidates *c, struct urange range)
{
	const struct region_set *table = &sp->regions;
	uint64_t at = range.start;
	int r = sp->mem->ops->is_registered(sp->mem, range.start, range.end - range.start);

	if (r == -ENOENT)
		return 0; /* something else is there by now: next time */
	while (!r && at < range.end) {
		uint32_t i = region_lookup(table, at);
		struct urange part = range;

		part.start = at;
		if (i < table->n && table->ranges[i].start <= at) {
			at = table->ranges[i].end;
			continue;
		}
		if (i < table->n && table->ranges[i].start < range.end)
			part.end = table->ranges[i].start;
		r = adopt_part(sp, c, part);
		at = part.end;
	}
	return r;
}

/* Adopt the candidates that the mappings read after registration still show. */
static int adopt_mapped(struct space *sp, const struct candidates *c)
{
	const struct region_set *done = &c->done;
	_cleanup_(freep) struct mem_map *maps = NULL;
	uint32_t n = 0;
	uint32_t m, i;
	int r;

	r = sp->mem->ops->read_maps(sp->mem, 0, &maps, &n);
	for (m = 0; !r && m < n; m++) {
		if (!wants(sp, &maps[m]))
			continue;
		for (i = region_lookup(done, maps[m].range.start);
		     !r && i < done->n && done->ranges[i].start < maps[m].range.end; i++)
			r = adopt(sp, c, urange_and(maps[m].range, done->ranges[i]));
	}
	return r;
}

static int manage_error(struct space *sp, int r)
{
	if (r == -EAGAIN)
		return 0; /* events are unread: the caller comes again */
	if (sp->mem->ops->alive(sp->mem) == -ESRCH)
		return SPACE_E_DEAD;
	return r;
}

int space_manage(struct space *sp)
{
	_cleanup_(freep) struct mem_map *maps = NULL;
	_cleanup_(candidates_deinit) struct candidates c = { 0 };
	uint32_t n = 0;
	uint32_t m;
	int r;

	if (sp->dead || sp->gate != GATE_OPEN || sp->homing || event_settle(sp))
		return 0;
	sp->manage_ns = space_now_ns(sp);
	r = sp->mem->ops->read_maps(sp->mem, 0, &maps, &n);
	for (m = 0; !r && m < n; m++) {
		struct urange range = maps[m].range;
		bool grown;

		if (!wants(sp, &maps[m]))
			continue;
		grown = sp->mem->ops->is_registered(sp->mem, range.start,
						    range.end - range.start) != -ENOENT;
		/* EBUSY: the program's own userfaultfd; EINVAL: not a mapping for us. It stays. */
		if (sp->mem->ops->register_missing(sp->mem, range.start, range.end - range.start))
			continue;
		r = region_add(&c.done, range);
		if (!r && grown)
			r = region_add(&c.grown, range);
		if (!r)
			r = region_add(&sp->news, range);
	}
	if (!r && c.done.n)
		r = adopt_mapped(sp, &c);
	return r ? manage_error(sp, r) : 0;
}

int space_rescan(struct space *sp)
{
	uint32_t i;
	int r = 0;

	for (i = 0; !r && i < sp->regions.n; i++)
		r = scan_range(sp, sp->regions.ranges[i]);
	return r ? manage_error(sp, r) : 0;
}

/* Drop from the table what is not registered in [range]. */
static int check_range(struct space *sp, struct urange range, const struct mem_map *maps,
		       uint32_t n)
{
	uint64_t at = range.start;
	uint32_t m;
	int r;

	for (m = 0; m < n && at < range.end; m++) {
		struct urange part = urange_and(maps[m].range, (struct urange){ at, range.end });

		if (part.start >= part.end)
			continue;
		r = sp->mem->ops->is_registered(sp->mem, part.start, part.end - part.start);
		if (r && r != -ENOENT)
			return r;
		if (r)
			part.end = part.start;
		if (at < part.start || r) {
			struct urange gone = { at, r ? maps[m].range.end : part.start };

			if (gone.end > range.end)
				gone.end = range.end;
			event_forget(sp, gone);
			r = region_remove(&sp->regions, gone);
			if (r)
				return r;
			at = gone.end;
		}
		if (part.end > at)
			at = part.end;
	}
	if (at >= range.end)
		return 0;
	event_forget(sp, (struct urange){ at, range.end });
	return region_remove(&sp->regions, (struct urange){ at, range.end });
}

int space_check_regions(struct space *sp)
{
	_cleanup_(freep) struct mem_map *maps = NULL;
	_cleanup_(region_set_deinit) struct region_set regions = { 0 };
	uint32_t n = 0;
	uint32_t i;
	int r;

	/* what our parent may still tell of is no longer where our map has it: not gone */
	if (!sp->unchecked || sp->born_of)
		return 0;
	r = region_copy(&regions, &sp->regions);
	if (!r)
		r = sp->mem->ops->read_maps(sp->mem, 0, &maps, &n);
	/* Unread events: what looks unmapped may have been moved, slots and all. Asked after the
	 * mappings were read, -EAGAIN is the answer if anything began before that. */
	if (!r && sp->mem->ops->is_registered(sp->mem, PAGE_BYTES, PAGE_BYTES) == -EAGAIN)
		r = -EAGAIN;
	for (i = 0; !r && i < regions.n; i++)
		r = check_range(sp, regions.ranges[i], maps, n);
	if (r)
		return manage_error(sp, r);
	sp->unchecked = false;
	return 0;
}
