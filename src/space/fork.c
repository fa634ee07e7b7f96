// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A fork: the child's page map is a copy of the parent's, with every count raised (R8).
 *
 * The event is applied under the gate, so no page is half detached; a slot exists from the moment
 * its page left, so pages on their way into the pool are copied too. Clean copies of present pages
 * are dropped on both sides: a kept slot has one owner. Ranges that the child does not have
 * (DONTFORK) or has empty (WIPEONFORK) are known from the parent's mappings, which cannot change
 * their flags while the fork waits for us, unless by a thread that races with it.
 *
 * The child is evicted from only when it has an agent of its own.
 *
 * An mremap() of another thread that was made before the fork may be told of after it: MREMAP_FIXED tells
 * first of what it replaced, and goes on when its thread has run. Until no event is on its way any more the
 * child is young: its faults wait, and of each move of its parent its own mappings are asked whether they
 * are as before or as after it. What the child has itself moved or unmapped since says nothing about that:
 * it was born with it, so the parent's move came later. (Parent and child often go on alike, and make the
 * same move to the same place.) A parent that is never quiet is not waited for longer than YOUNG_MAX_NS:
 * whoever was about to tell of a change when it forked has done so.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "space/space-impl.h"

#define YOUNG_MAX_NS (1000ULL * 1000 * 1000)

static int fork_leaf(struct space *sp, struct space *child, struct page_leaf *leaf, uint64_t base)
{
	struct page_leaf *copy = page_map_get(&child->map, base);
	uint32_t i;

	if (!copy)
		return err_origin(-ENOMEM);
	for (i = 0; i < LEAF_PAGES; i++) {
		struct slot_id id = { leaf->slot[i] };

		if (leaf->state[i] & PAGE_PRESENT) {
			space_drop_kept(sp, leaf, i);
			leaf->state[i] &= (uint8_t)~PAGE_COPIED;
			space_page_arrived(child, copy, i, 0, page_level(leaf->state[i]));
		} else if (id.v) {
			swap_slot_ref(sp->group->swap, id);
			page_set_slot(&child->map, copy, i, id);
		}
	}
	return 0;
}

int fork_note_flags(struct space *sp, struct mem_event *ev)
{
	int r = sp->pid ? sp->mem->ops->read_maps(sp->mem, MEM_MAPS_FLAGS, &ev->maps, &ev->n_maps)
			: -ESRCH;

	return r == -ESRCH ? 0 : r;
}

/*
 * What the child does not have, or has empty. A parent that is itself a fork child without agent has
 * no pid yet: then what was known of its own parent holds.
 */
static int fork_flags(struct space *sp, struct space *child, const struct mem_map *maps, uint32_t n)
{
	uint32_t i;
	int r = 0;

	if (!maps) {
		r = region_copy(&child->wiped, &sp->wiped);
		for (i = 0; i < child->wiped.n; i++)
			event_forget(child, child->wiped.ranges[i]);
		return r;
	}
	for (i = 0; i < n && !r; i++) {
		if (maps[i].dont_fork || maps[i].wipe_on_fork)
			event_forget(child, maps[i].range);
		if (maps[i].wipe_on_fork)
			r = region_add(&child->wiped, maps[i].range);
		if (maps[i].dont_fork && !r)
			r = region_remove(&child->regions, maps[i].range);
	}
	return r;
}

/* Whose events from before its birth may still come; NULL: nobody's. */
static void born_of_set(struct space *child, struct space *sp)
{
	child->born_of = sp;
	if (sp) {
		sp->n_young++;
		return;
	}
	region_set_deinit(&child->own_moves);
	region_set_deinit(&child->born_with);
}

int fork_apply(struct space *sp, const struct mem_event *told)
{
	_cleanup_(freep) struct mem_map *maps = NULL;
	struct space_group *g = sp->group;
	struct mem_event ev = *told;
	struct space *child = NULL;
	struct page_leaf *leaf;
	uint64_t addr = 0;
	uint32_t i;
	int r;

	ASSERT(sp->gate != GATE_SHUT);
	g->stats.n_forks++;
	r = ev.maps ? 0 : fork_note_flags(sp, &ev);
	maps = ev.maps;
	if (r)
		return err_trace(r); /* the caller stops: as below */
	r = space_new(&child, g, ev.child);
	ASSERT(!r); /* a child that cannot be served would read zeroes: stop, and keep its memory */
	child->unchecked = true;
	child->has_kin = true;
	sp->has_kin = true;
	child->born_ns = space_now_ns(sp);
	child->hand = sp->hand;
	r = region_copy(&child->regions, &sp->regions);
	if (!r)
		r = region_copy(&child->no_ahead, &sp->no_ahead);
	for (; !r && (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES)
		r = fork_leaf(sp, child, leaf, addr);
	if (!r)
		r = fork_flags(sp, child, maps, ev.n_maps);
	if (r)
		return err_trace(r);
	r = sp->born_of ? region_copy(&child->born_with, &sp->own_moves) : 0;
	for (i = 0; !r && i < sp->born_with.n; i++)
		r = region_add(&child->born_with, sp->born_with.ranges[i]);
	if (r)
		return err_trace(r);
	/* of one thread all that came before the fork was told before */
	if (sp->born_of || !event_is_alone(sp))
		born_of_set(child, sp);
	g->host->forked(g->user, sp, child);
	return 0;
}

/* @ev, a REMAP, is about something in @set. */
static bool is_about(const struct mem_event *ev, const struct region_set *set)
{
	return region_overlaps(set, event_source(ev)) || region_overlaps(set, event_target(ev));
}

/* A young space's own event: what it touches was there when the space was born. */
int fork_note_own(struct space *sp, struct urange range)
{
	return sp->born_of ? region_add(&sp->own_moves, range) : 0;
}

/*
 * A move that our parent, or its own, tells of only now was made before we were born if we have it, too.
 * What it knew at the source and passed on, or knew not, may have moved; what has come there after our
 * birth has not, though we may have something at the target. If our mappings cannot be asked now, they are
 * when they can be.
 */
static int child_follow(struct space *child, const struct mem_event *told)
{
	struct mem_event here = *told;
	const struct mem_event *ev = &here;
	int r;

	here.in_order = false; /* among the child's own, nobody knows */
	here.newest = false;
	if (is_about(ev, &child->own_moves) ||
	    (ev->known && !region_overlaps(&child->regions, event_source(ev))))
		return 0;
	r = child->mem->ops->is_registered(child->mem, ev->addr, PAGE_BYTES);
	if (r == -EAGAIN)
		return event_doubt(child, ev);
	if (r != -ENOENT)
		return 0;
	r = child->mem->ops->is_registered(child->mem, ev->to, PAGE_BYTES);
	if (r == -EAGAIN)
		return event_doubt(child, ev);
	return r ? 0 : event_remap(child, ev);
}

/* @own: it is @sp's own event; else that of one that @sp was born of. */
static int follow(struct space *sp, const struct mem_event *ev, bool own)
{
	struct space *child;
	int r = 0;

	if (!sp->n_young)
		return 0;
	list_for_each(child, &sp->group->spaces, link) {
		if (r || child->born_of != sp)
			continue;
		if (own || !is_about(ev, &child->born_with))
			r = child_follow(child, ev);
		if (!r)
			r = follow(child, ev, false);
	}
	return r;
}

int fork_follow(struct space *sp, const struct mem_event *ev)
{
	return follow(sp, ev, true);
}

void fork_space_end(struct space *sp)
{
	struct space *child;

	list_for_each(child, &sp->group->spaces, link)
		if (child->born_of == sp)
			born_of_set(child, sp->born_of);
	sp->n_young = 0;
}

void fork_settled(struct space *sp)
{
	struct space *child;

	/* what our own parent has not told yet concerns our children as well */
	if (!sp->n_young || sp->born_of)
		return;
	sp->n_young = 0;
	list_for_each(child, &sp->group->spaces, link)
		if (child->born_of == sp)
			born_of_set(child, NULL);
}

void fork_grow_up(struct space *sp)
{
	struct space *parent = sp->born_of;

	if (!parent || parent->gate == GATE_SHUT)
		return;
	fork_grow_up(parent);
	if (event_settle(parent) != -EAGAIN || parent->born_of ||
	    space_now_ns(sp) - sp->born_ns < YOUNG_MAX_NS ||
	    parent->mem->ops->is_readable(parent->mem))
		return;
	parent->n_young--;
	born_of_set(sp, NULL);
}
