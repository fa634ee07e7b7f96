// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Layout events.
 *
 * An event never waits: it takes slots out of the map and drops their counts; a slot that somebody
 * has pinned is freed by the last unpin (R4). What an event clears is not known to be present any
 * more, whatever the program does next: the zap of a REMOVE runs only after the event was read, so a
 * page evicted in between would come back from the dead (R3). Such pages are found again by
 * space_tick() when no thread can still be inside the call.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "space/space-impl.h"

/* Return: it was present. */
static bool forget_page(struct space *sp, struct page_leaf *leaf, uint32_t i)
{
	const bool was_present = leaf->state[i] & PAGE_PRESENT;
	struct slot_id id = page_take_slot(&sp->map, leaf, i);

	ASSERT(!(leaf->state[i] & PAGE_DETACH)); /* events are read with the gate open only */
	if (id.v)
		swap_slot_unref(sp->group->swap, id);
	if (was_present)
		space_page_left(sp, leaf, i);
	leaf->state[i] = 0;
	return was_present;
}

uint64_t event_forget(struct space *sp, struct urange range)
{
	uint64_t addr = range.start, n_present = 0;
	struct page_leaf *leaf;

	while (addr < range.end && (leaf = page_map_next(&sp->map, &addr)) && addr < range.end) {
		uint64_t first = addr < range.start ? range.start : addr;
		uint64_t last = addr + LEAF_BYTES < range.end ? addr + LEAF_BYTES : range.end;
		uint64_t a;

		for (a = first; a < last; a += PAGE_BYTES)
			n_present += forget_page(sp, leaf, page_in_leaf(a));
		page_map_trim(&sp->map, addr);
		addr += LEAF_BYTES;
	}
	return n_present;
}

/*
 * Not all that is registered is in the table: a mapping that grew in place is known by its old size. If
 * another thread's mremap() moves to where the grown part was, and the REMAP or UNMAP that made room
 * comes after, then it looks as if it were about what has just arrived: it begins before that. Or it is
 * about that: what arrives behind a mapping becomes one with it if it comes home, or was never written.
 * Unless it was seen before the event was read that nothing came after it (witness.c), the kernel is asked
 * as soon as it answers (event_settle).
 */
static bool may_be_older_than_arrival(const struct space *sp, const struct mem_event *ev)
{
	const struct urange range = event_source(ev);
	uint32_t i;

	if (ev->newest || ev->older)
		return ev->older;
	for (i = region_lookup(&sp->arrived, range.start); i < sp->arrived.n; i++)
		if (sp->arrived.ranges[i].start > range.start)
			return sp->arrived.ranges[i].start < range.end;
	return false;
}

/* Parts of @set in @from, as they lie when @from is at @to; in @ret, which the caller frees. */
static int regions_shift(struct region_set *set, struct urange from, uint64_t to,
			 struct region_set *ret)
{
	uint32_t i;
	int r;

	for (i = region_lookup(set, from.start); i < set->n && set->ranges[i].start < from.end;
	     i++) {
		struct urange part = urange_and(set->ranges[i], from);

		part.start = part.start - from.start + to;
		part.end = part.end - from.start + to;
		r = region_add(ret, part);
		if (r)
			return r;
	}
	return 0;
}

/* What is known of a mapping's flags moves with it. The UNMAP of where it was comes, or it left them. */
static int flags_move(struct region_set *set, struct urange from, uint64_t to)
{
	_cleanup_(region_set_deinit) struct region_set moved = { 0 };
	uint32_t i;
	int r = regions_shift(set, from, to, &moved);

	for (i = 0; !r && i < moved.n; i++)
		r = region_add(set, moved.ranges[i]);
	return r;
}

/*
 * Evicted pages move with their mapping: their slots go from one leaf to another and are not
 * touched. Residency is cleared (R3), kept copies are dropped. The kernel empties the target before
 * it moves, so nothing of the target survives. Pages in @stay are not what was moved.
 */
static void remap_pages(struct space *sp, struct urange from, uint64_t to,
			const struct region_set *stay)
{
	uint64_t addr = from.start;
	struct page_leaf *leaf;

	while (addr < from.end && (leaf = page_map_next(&sp->map, &addr)) && addr < from.end) {
		uint64_t first = addr < from.start ? from.start : addr;
		uint64_t last = addr + LEAF_BYTES < from.end ? addr + LEAF_BYTES : from.end;
		uint64_t a;

		for (a = first; a < last; a += PAGE_BYTES) {
			uint32_t i = page_in_leaf(a);
			uint64_t dst = a - from.start + to;
			struct page_leaf *dst_leaf;
			struct slot_id id;

			if (region_contains(stay, a))
				continue;
			if (!leaf->slot[i] || leaf->state[i] & PAGE_PRESENT) {
				sp->n_unknown += forget_page(sp, leaf, i); /* it is at @dst */
				continue;
			}
			id = page_take_slot(&sp->map, leaf, i);
			leaf->state[i] = 0;
			dst_leaf = page_map_get(&sp->map, dst);
			ASSERT(dst_leaf); /* no leaf left: better to stop than to lose a page */
			page_set_slot(&sp->map, dst_leaf, page_in_leaf(dst), id);
		}
		page_map_trim(&sp->map, addr);
		addr += LEAF_BYTES;
	}
}

/*
 * mremap() raises two events, REMAP and then UNMAP of the old range, and its thread must have read of
 * the first before it raises the second. In between another thread's mremap() may move to the old
 * range: the UNMAP is not about that.
 */
static void left_note(struct space *sp, struct urange from)
{
	if (sp->n_left == SPACE_MAX_LEFT) /* the oldest: MREMAP_DONTUNMAP has no UNMAP */
		memmove(&sp->left[0], &sp->left[1], --sp->n_left * sizeof(sp->left[0]));
	sp->left[sp->n_left++] = from;
}

/* True if @range is what a REMAP left behind; that is not expected any more then. */
static bool left_take(struct space *sp, struct urange range)
{
	uint32_t i;

	for (i = 0; i < sp->n_left; i++)
		if (sp->left[i].start == range.start && sp->left[i].end == range.end)
			break;
	if (i == sp->n_left)
		return false;
	sp->n_left--;
	memmove(&sp->left[i], &sp->left[i + 1], (sp->n_left - i) * sizeof(sp->left[0]));
	return true;
}

/*
 * Is @ev the UNMAP of what a REMAP left behind, and something else is there by now? It looks like any
 * other munmap() of just this range: unless it was seen to be the last that happened there, the kernel is
 * asked as soon as it answers (event_settle). While nothing is there the question does not arise, and the
 * next UNMAP is asked: this one may be that of a mapping by which another thread had claimed the place.
 */
static bool left_taken(struct space *sp, const struct mem_event *ev)
{
	const struct urange range = event_source(ev);

	return region_overlaps(&sp->regions, range) && left_take(sp, range) && !ev->newest;
}

/* Room for one more of @size bytes each in @array, which has @n. Return: 0; -ENOMEM. */
static int array_reserve(void *array, uint32_t n, uint32_t *n_max, size_t size)
{
	uint32_t more = *n_max ? *n_max * 2 : 16;
	void *grown;

	if (n < *n_max)
		return 0;
	grown = realloc(*(void **)array, more * size);
	if (!grown)
		return err_origin(-ENOMEM);
	*(void **)array = grown;
	*n_max = more;
	return 0;
}

/*
 * Did the pages of @range go to @to, or not? Nothing is served, and no event about either place is
 * applied, before the kernel has answered.
 */
static int doubt_note(struct space *sp, struct urange range, uint64_t to)
{
	int r = array_reserve(&sp->doubts, sp->n_doubts, &sp->n_doubts_max, sizeof(*sp->doubts));

	if (r)
		return r;
	sp->doubts[sp->n_doubts++] = (struct doubt){ range, to };
	sp->group->stats.n_held++;
	return region_add(&sp->suspects, range);
}

int event_doubt(struct space *sp, const struct mem_event *ev)
{
	return doubt_note(sp, event_source(ev), ev->to);
}

int event_remap(struct space *sp, const struct mem_event *ev)
{
	struct urange from = event_source(ev);
	struct urange to = event_target(ev);
	_cleanup_(region_set_deinit) struct region_set moved = { 0 };
	_cleanup_(region_set_deinit) struct region_set stay = { 0 };
	uint32_t i;
	int r;

	if (may_be_older_than_arrival(sp, ev))
		r = regions_shift(&sp->arrived, from, from.start, &stay);
	else
		r = region_remove(&sp->arrived, from);
	if (!r)
		r = regions_shift(&sp->regions, from, to.start, &moved);
	event_forget(sp, to);
	remap_pages(sp, from, to.start, &stay);
	if (!r)
		r = region_remove(&sp->regions, from);
	if (!r)
		r = region_remove(&sp->regions, to);
	for (i = 0; !r && i < moved.n; i++)
		r = region_add(&sp->regions, moved.ranges[i]);
	if (!r)
		r = flags_move(&sp->no_ahead, from, to.start);
	if (!r)
		r = flags_move(&sp->wiped, from, to.start);
	for (i = 0; !r && i < stay.n; i++) {
		r = region_add(&sp->regions, stay.ranges[i]);
		if (!r)
			r = doubt_note(sp, stay.ranges[i],
				       to.start + (stay.ranges[i].start - from.start));
	}
	if (!r && !ev->in_order) {
		sp->moves = true;
		r = region_add(&sp->arrived, to);
	}
	/* whoever waits on an old address is woken by nothing else (R2) */
	sp->mem->ops->wake(sp->mem, from.start, ev->len);
	sp->manage_ns = 0;
	left_note(sp, from);
	return r;
}

static bool is_doubted(const struct space *sp, struct urange range)
{
	uint32_t i;

	for (i = 0; i < sp->n_doubts; i++)
		if (urange_overlap(sp->doubts[i].range, range))
			return true;
	return false;
}

static int event_unmap(struct space *sp, const struct mem_event *ev)
{
	struct urange range = event_source(ev);
	int r;

	if (may_be_older_than_arrival(sp, ev) || is_doubted(sp, range)) {
		sp->group->stats.n_held++;
		sp->mem->ops->wake(sp->mem, range.start, range.end - range.start);
		return region_add(&sp->suspects, range);
	}
	if (left_taken(sp, ev)) {
		sp->group->stats.n_held++;
		return region_add(&sp->suspects, range); /* woken by the REMAP */
	}
	event_forget(sp, range);
	r = region_remove(&sp->regions, range);
	if (!r)
		r = region_remove(&sp->no_ahead, range);
	if (!r)
		r = region_remove(&sp->wiped, range);
	if (!r)
		r = region_remove(&sp->arrived, range);
	sp->mem->ops->wake(sp->mem, range.start, range.end - range.start);
	return r;
}

static int apply_remap(struct space *sp, const struct mem_event *told)
{
	struct mem_event ev = *told;
	int r;

	sp->unknown_ns = space_now_ns(sp);
	ev.known = region_overlaps(&sp->regions, event_source(told)) ||
		   region_overlaps(&sp->news, event_source(told));
	r = event_remap(sp, &ev);
	return r ? r : fork_follow(sp, &ev);
}

static int apply_now(struct space *sp, const struct mem_event *ev)
{
	switch (ev->type) {
	case MEM_EVENT_FORK:
		return fork_apply(sp, ev);
	case MEM_EVENT_REMAP:
		return apply_remap(sp, ev);
	case MEM_EVENT_REMOVE:
		sp->unknown_ns = space_now_ns(sp);
		sp->removed_ns = sp->unknown_ns;
		sp->n_unknown += event_forget(sp, event_source(ev)); /* the zap is to come */
		return 0;
	case MEM_EVENT_UNMAP:
		return event_unmap(sp, ev);
	case MEM_EVENT_FAULT:
		break;
	}
	ASSERT(false);
	return -EINVAL;
}

/* The place that @ev moves to is taken, for all we know. */
static bool target_taken(const struct space *sp, const struct mem_event *ev)
{
	return ev->type == MEM_EVENT_REMAP && region_overlaps(&sp->regions, event_target(ev));
}

/* True if @ev changes something in @range. */
static bool concerns(const struct mem_event *ev, struct urange range)
{
	return urange_overlap(event_source(ev), range) ||
	       (ev->type == MEM_EVENT_REMAP && urange_overlap(event_target(ev), range));
}

/* True if it does not matter which of the two is applied first. */
static bool commute(const struct mem_event *a, const struct mem_event *b)
{
	if (a->type == MEM_EVENT_FORK || b->type == MEM_EVENT_FORK || concerns(a, event_source(b)))
		return false;
	return b->type != MEM_EVENT_REMAP || !concerns(a, event_target(b));
}

/* True if it is about pages of which we do not know where they are. */
static bool is_doubtful(const struct space *sp, const struct mem_event *ev)
{
	uint32_t i;

	if (ev->type == MEM_EVENT_FORK) /* of all pages */
		return sp->suspects.n;
	for (i = 0; i < sp->n_doubts; i++) {
		const struct doubt *d = &sp->doubts[i];
		const struct urange to = { d->to, d->to + (d->range.end - d->range.start) };

		/* an UNMAP of where they were is asked about in the same way */
		if ((ev->type != MEM_EVENT_UNMAP && concerns(ev, d->range)) || concerns(ev, to))
			return true;
	}
	return false;
}

/*
 * True if @ev may be the one that a held REMAP waits for. Not an UNMAP of what another held REMAP moves:
 * that is what this one left behind.
 */
static bool empties_target(const struct space *sp, const struct mem_event *ev)
{
	bool empties = false;
	uint32_t i;

	if (ev->type != MEM_EVENT_UNMAP && ev->type != MEM_EVENT_REMAP)
		return false;
	for (i = 0; i < sp->n_held; i++) {
		const struct mem_event *held = &sp->held[i];

		if (held->type != MEM_EVENT_REMAP)
			continue;
		if (ev->type == MEM_EVENT_UNMAP &&
		    urange_overlap(event_source(ev), event_source(held)))
			return false;
		empties |= urange_overlap(event_source(ev), event_target(held));
	}
	return empties;
}

static struct mem_event held_take(struct space *sp, uint32_t i)
{
	struct mem_event ev = sp->held[i];

	sp->n_held--;
	memmove(&sp->held[i], &sp->held[i + 1], (sp->n_held - i) * sizeof(sp->held[0]));
	return ev;
}

/*
 * @ev, a REMAP, has to go before a held one, and the UNMAP by which its thread announced it has been
 * held: that goes first.
 */
static int held_release_target(struct space *sp, const struct mem_event *ev)
{
	uint32_t i;
	int r = 0;

	for (i = 0; !r && i < sp->n_held;) {
		const struct mem_event *held = &sp->held[i];

		if (held->type == MEM_EVENT_UNMAP &&
		    urange_overlap(event_source(held), event_target(ev))) {
			struct mem_event unmap = held_take(sp, i);

			r = apply_now(sp, &unmap);
		} else {
			i++;
		}
	}
	return r;
}

/*
 * The kernel changes a layout under its lock, but queues the event after it has dropped it: events of
 * two threads may come in the wrong order. mremap() moves only to where nothing is (what MREMAP_FIXED
 * replaces is announced by an UNMAP of the same thread before), so a REMAP onto a place that is taken
 * came before the event that emptied it. It waits for that one, and others wait behind it if they may
 * be about what it moves. Until all have come every ioctl on the client says EAGAIN.
 */
static bool must_wait(const struct space *sp, const struct mem_event *ev)
{
	uint32_t i;

	if (target_taken(sp, ev) || is_doubtful(sp, ev))
		return true;
	if (empties_target(sp, ev))
		return false;
	for (i = 0; i < sp->n_held; i++)
		if (!commute(ev, &sp->held[i]))
			return true;
	return false;
}

/* Apply held events whose turn has come; @force: the first one, whatever we believe. */
int event_held(struct space *sp, bool force)
{
	int r = 0;

	while (!r && sp->n_held &&
	       (force || (!target_taken(sp, &sp->held[0]) && !is_doubtful(sp, &sp->held[0])))) {
		struct mem_event ev = held_take(sp, 0);

		force = false;
		r = apply_now(sp, &ev);
	}
	return r;
}

/* Has the client one thread only? Else, or if that is not known, another may be inside of a call. */
bool event_is_alone(struct space *sp)
{
	const uint32_t n = sp->mem->ops->n_threads(sp->mem);

	return n && n <= (sp->agent ? 2 : 1);
}

int event_apply(struct space *sp, const struct mem_event *told)
{
	struct mem_event here = *told;
	const struct mem_event *ev = &here;
	int r = 0;

	/* who is told of after the thread whose change came after its own is inside of a call now */
	here.in_order = told->type == MEM_EVENT_REMAP && event_is_alone(sp);
	here.older = witness_is_older(sp, told);
	if (told->type == MEM_EVENT_REMAP || told->type == MEM_EVENT_UNMAP)
		here.newest = witness_is_newest(sp, told);
	ASSERT(sp->gate != GATE_SHUT);
	if (told->type == MEM_EVENT_REMAP || told->type == MEM_EVENT_UNMAP)
		r = fork_note_own(sp, event_source(told));
	if (!r && told->type == MEM_EVENT_REMAP)
		r = fork_note_own(sp, event_target(told));
	if (!r && target_taken(sp, ev) && empties_target(sp, ev))
		r = held_release_target(sp, ev);
	if (r)
		return r;
	if (must_wait(sp, ev)) {
		if (sp->n_held == SPACE_MAX_HELD)
			r = event_held(sp, true);
		if (!r)
			r = array_reserve(&sp->held, sp->n_held, &sp->n_held_max,
					  sizeof(*sp->held));
		if (!r && ev->type == MEM_EVENT_FORK)
			r = fork_note_flags(sp, &here);
		if (r)
			return r;
		here.newest = false; /* others will be applied before it */
		sp->held[sp->n_held++] = here;
		sp->group->stats.n_held++;
		return 0;
	}
	r = apply_now(sp, ev);
	return r ? r : event_held(sp, false);
}

/* The first held REMAP about the page at @addr moves it: it was there until then. */
static bool is_moved_by_held(const struct space *sp, uint64_t addr)
{
	const struct urange page = { addr, addr + PAGE_BYTES };
	uint32_t i;

	for (i = 0; i < sp->n_held; i++) {
		const struct mem_event *held = &sp->held[i];

		if (held->type != MEM_EVENT_REMAP)
			continue;
		if (urange_overlap(event_source(held), page))
			return true;
		if (urange_overlap(event_target(held), page))
			return false; /* to where nothing was */
	}
	return false;
}

/* The page at @addr is not there: it was moved on, if there is a doubt, or unmapped. */
static int suspect_gone(struct space *sp, uint64_t addr)
{
	struct page_leaf *leaf = page_map_find(&sp->map, addr), *dst;
	uint32_t i, at = page_in_leaf(addr);
	int r = 0;

	for (i = 0; i < sp->n_doubts; i++) {
		const struct doubt *d = &sp->doubts[i];
		uint64_t to = d->to + (addr - d->range.start);

		if (addr < d->range.start || addr >= d->range.end || !leaf->slot[at] ||
		    leaf->state[at] & PAGE_PRESENT)
			continue;
		dst = page_map_get(&sp->map, to);
		if (!dst || dst->slot[page_in_leaf(to)] || dst->state[page_in_leaf(to)])
			break;
		r = is_moved_by_held(sp, to) ? 0
					     : sp->mem->ops->is_registered(sp->mem, to, PAGE_BYTES);
		if (!r)
			r = region_add(&sp->regions, (struct urange){ to, to + PAGE_BYTES });
		if (!r)
			page_set_slot(&sp->map, dst, page_in_leaf(to),
				      page_take_slot(&sp->map, leaf, at));
		else if (r == -ENOENT) /* not there, either: unmapped */
			r = 0;
		break;
	}
	if (!r)
		event_forget(sp, (struct urange){ addr, addr + PAGE_BYTES });
	return r;
}

/*
 * What is registered by now is taken to have come after the unmapping: that its own thread has not mapped
 * it again is what witness.c saw to, as far as can be seen. Only pages we know something of are asked for:
 * the rest of the range is found again by its faults, or by space_manage().
 */
static int suspect_check(struct space *sp, struct urange range)
{
	_cleanup_(region_set_deinit) struct region_set keep = { 0 };
	uint64_t addr;
	uint32_t i;
	int r = 0;

	for (addr = range.start; !r && addr < range.end; addr += PAGE_BYTES) {
		struct page_leaf *leaf = page_map_find(&sp->map, addr);
		struct urange page = { addr, addr + PAGE_BYTES };

		i = page_in_leaf(addr);
		if (!leaf || (!leaf->slot[i] && !(leaf->state[i] & PAGE_PRESENT)))
			continue;
		r = sp->mem->ops->is_registered(sp->mem, addr, PAGE_BYTES);
		if (!r || (r == -ENOENT && is_doubted(sp, page) && is_moved_by_held(sp, addr))) {
			r = region_add(&keep, page);
		} else if (r == -ENOENT) {
			r = suspect_gone(sp, addr);
		}
	}
	if (!r)
		r = region_remove(&sp->regions, range);
	if (!r)
		r = region_remove(&sp->wiped, range);
	for (i = 0; !r && i < keep.n; i++)
		r = region_add(&sp->regions, keep.ranges[i]);
	return r;
}

/* pre: no event is on its way. Return: 0; -EAGAIN: one is, after all; other errno */
static int suspects_check(struct space *sp)
{
	int r = 0;

	while (!r && sp->suspects.n) {
		struct urange range = sp->suspects.ranges[sp->suspects.n - 1];

		r = suspect_check(sp, range);
		if (!r)
			r = region_remove(&sp->suspects, range);
	}
	if (!r)
		sp->n_doubts = 0;
	return r;
}

int event_settle(struct space *sp)
{
	int r;

	if (!sp->n_left && !sp->arrived.n && !sp->news.n && !sp->n_held && !sp->suspects.n &&
	    !sp->n_young)
		return 0;
	r = sp->mem->ops->is_registered(sp->mem, PAGE_BYTES, PAGE_BYTES);
	if (r == -EAGAIN || r == -ESRCH)
		return r;
	sp->n_left = 0; /* nothing is on its way any more */
	region_set_deinit(&sp->arrived);
	region_set_deinit(&sp->news);
	witness_forget(sp);
	fork_settled(sp);
	r = suspects_check(sp);
	while (!r && sp->n_held) { /* what it waits for was our mistake */
		r = event_held(sp, true);
		ASSERT(!r);		/* as in drain() */
		r = suspects_check(sp); /* before what comes behind them */
	}
	return r;
}
