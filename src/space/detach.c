// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Evict: the victims of the clock (clock.h), one command at a time.
 *
 * The hand goes by addresses, so cold pages leave in long runs for MOVE, and neighbours come to lie next
 * to each other.
 *
 * Slots are made, and kept ones pinned, before the command is sent: after the answer nothing can
 * fail. The command goes out with the gate shut (R1); see gate.c for the answer.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "space/space-impl.h"

#define PICK_MAX_LEAVES 512u /* looked at in one call: bounds the time away from faults */

struct picker {
	struct urange *protected; /* ascending, none touches another */
	uint32_t n_protected;
};

static int range_cmp(const void *a, const void *b)
{
	const struct urange *x = a;
	const struct urange *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Pages that must stay (R11). False: not known, nothing may leave. */
static bool picker_init(struct space *sp, struct picker *p)
{
	struct urange *at = sp->group->protected;
	uint32_t n, i, last = 0;

	if (sp->mem->ops->protected_ranges(sp->mem, at, SPACE_MAX_PROTECTED, &n))
		return false;
	qsort(at, n, sizeof(*at), range_cmp);
	for (i = 1; i < n; i++) {
		if (at[i].start > at[last].end)
			at[++last] = at[i];
		else if (at[i].end > at[last].end)
			at[last].end = at[i].end;
	}
	*p = (struct picker){ at, n ? last + 1 : 0 };
	return true;
}

static bool is_protected(const struct picker *p, uint64_t addr)
{
	uint32_t low = 0, high = p->n_protected;

	/* all before low end at or before @addr, those from high on start behind it */
	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (addr < p->protected[mid].start)
			high = mid;
		else if (addr >= p->protected[mid].end)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

/* Pin or make the slot of a victim. False: not this one now. */
static bool victim_slot(struct space *sp, const struct page_leaf *leaf, uint32_t i,
			struct victim *v)
{
	struct space_group *g = sp->group;

	v->slot.v = leaf->slot[i];
	/* what relatives have as well is not ours to store into: it stays until the page is compared */
	v->fresh = !v->slot.v || !swap_is_own(g->swap, v->slot);
	if (v->fresh)
		return !swap_slot_new(g->app, &v->slot);
	return !swap_try_pin(g->swap, v->slot, SWAP_PIN_STORE);
}

/* A copy that was kept since others need it, and nobody does any more, takes memory for nothing. */
static void drop_share(struct space *sp, struct page_leaf *leaf, uint32_t i)
{
	struct slot_id id = { leaf->slot[i] };

	if (id.v && !swap_is_own(sp->group->swap, id) && swap_is_alone(sp->group->swap, id))
		space_drop_kept(sp, leaf, i);
}

static bool pick_page(struct space *sp, struct picker *p, struct page_leaf *leaf, uint32_t i,
		      uint64_t addr)
{
	uint8_t state = leaf->state[i];
	struct victim *v = &sp->victims[sp->n_victims];

	if (!(state & PAGE_PRESENT) || state & PAGE_DETACH)
		return false; /* DETACH: the hand came round within one command */
	if (state & PAGE_STUCK || !clock_pass(&sp->clock, &leaf->credit[i]) ||
	    is_protected(p, addr) || region_contains(&sp->no_ahead, addr)) {
		drop_share(sp, leaf, i);
		return false;
	}
	if (!victim_slot(sp, leaf, i, v))
		return false;
	v->addr = addr;
	v->level = page_level(state);
	leaf->state[i] |= PAGE_DETACH;
	sp->n_victims++;
	sp->clock.n_found++;
	return true;
}

/* Move the hand until @n_max victims are chosen or enough was looked at. */
static void pick(struct space *sp, struct picker *p, uint32_t n_max)
{
	uint32_t n_leaves;

	sp->n_victims = 0;
	for (n_leaves = 0; n_leaves < PICK_MAX_LEAVES && sp->n_victims < n_max; n_leaves++) {
		uint64_t base = sp->hand;
		struct page_leaf *leaf = page_map_next(&sp->map, &base);
		uint32_t i;

		sp->group->stats.n_hand_leaves++;

		if (!leaf) {
			if (!sp->hand || !sp->map.n_present)
				return;
			sp->hand = 0;
			clock_round(&sp->clock, space_movable_pages(sp));
			continue;
		}
		if (base > sp->hand)
			sp->hand = base;
		if (!leaf->n_present) {
			sp->hand = base + LEAF_BYTES;
			continue;
		}
		for (i = page_in_leaf(sp->hand); i < LEAF_PAGES && sp->n_victims < n_max; i++) {
			pick_page(sp, p, leaf, i, base + (uint64_t)i * PAGE_BYTES);
			sp->hand = base + (i + 1ULL) * PAGE_BYTES;
		}
	}
}

/* Runs of the victims, in the order of the hand. */
static void build_runs(struct space *sp, uint32_t stage_first)
{
	struct uswap_msg_detach *cmd = &sp->cmd;
	uint32_t k;

	cmd->n_runs = 0;
	for (k = 0; k < sp->n_victims; k++) {
		struct uswap_run *run = cmd->n_runs ? &cmd->run[cmd->n_runs - 1] : NULL;
		uint64_t addr = sp->victims[k].addr;

		/* a run stays inside a leaf: cheap for MOVE, and a refusal costs little */
		if (run && run->start + (uint64_t)run->n_pages * PAGE_BYTES == addr &&
		    addr % LEAF_BYTES) {
			run->n_pages++;
			continue;
		}
		cmd->run[cmd->n_runs++] = (struct uswap_run){ addr, 1, stage_first + k };
	}
}

void evict_release(struct space *sp)
{
	struct swap *swap = sp->group->swap;
	uint32_t k;

	for (k = 0; k < sp->n_victims; k++) {
		struct victim *v = &sp->victims[k];
		struct page_leaf *leaf = page_map_find(&sp->map, v->addr);

		leaf->state[page_in_leaf(v->addr)] &= (uint8_t)~PAGE_DETACH;
		swap_unpin(swap, v->slot);
		if (v->fresh)
			swap_slot_unref(swap, v->slot);
	}
	sp->n_victims = 0;
}

/*
 * Not while the map waits for an answer of the kernel: a call that fails in the end takes the gate's
 * protection away without an event, and what is mapped there by then may not be registered. Nor while the
 * parent may still tell of a move from before the fork: that changes the map whatever the gate says.
 */
bool space_can_evict(const struct space *sp)
{
	return !sp->dead && sp->agent && !sp->homing && !sp->unchecked && sp->gate == GATE_OPEN &&
	       !sp->populating && !space_is_unsettled(sp) && !sp->born_of;
}

/* A half that is known to be empty; USWAP_STAGE_HALVES: there is none. */
static uint32_t choose_half(const struct space *sp)
{
	uint32_t k;

	for (k = 0; k < USWAP_STAGE_HALVES; k++)
		if (sp->half[k].state == HALF_FREE)
			break;
	return k;
}

/*
 * Fill @fill, and empty the other one if it was read. Only an empty half is filled: if no answer
 * comes, what lies in it tells which pages moved (gate.c).
 */
static void send_prepare(struct space *sp, uint32_t fill)
{
	struct uswap_msg_detach *cmd = &sp->cmd;
	uint32_t other = USWAP_STAGE_HALVES - 1 - fill;

	cmd->free_at = 0;
	cmd->n_free = 0;
	if (sp->half[other].state == HALF_FULL) {
		cmd->free_at = other * USWAP_STAGE_HALF_PAGES;
		cmd->n_free = sp->half[other].n_used;
		sp->half[other].state = HALF_EMPTYING;
	}
	sp->half[fill].state = HALF_MOVING;
	sp->half[fill].n_used = sp->n_victims;
	sp->half_sent = fill;
}

static int send_command(struct space *sp)
{
	struct uswap_msg_detach *cmd = &sp->cmd;
	size_t len = offsetof(struct uswap_msg_detach, run) + cmd->n_runs * sizeof(*cmd->run);

	cmd->head = (struct uswap_msg_head){ USWAP_MSG_DETACH, (uint32_t)len };
	cmd->seq = ++sp->seq;
	sp->sent_ns = space_now_ns(sp);
	return sp->mem->ops->send(sp->mem, cmd, len);
}

int space_arm(struct space *sp)
{
	struct uswap_msg_plain msg = { { USWAP_MSG_ARM, sizeof(msg) }, 0, 0 };
	int r;

	if (sp->armed)
		return 0;
	r = sp->mem->ops->send(sp->mem, &msg, sizeof(msg));
	if (!r)
		sp->armed = true;
	return r;
}

/* Everything that an answer will need, so that nothing fails after the pages have moved. */
static bool evict_reserve(struct space *sp)
{
	sp->buf = swap_buf_try_get(sp->group->swap);
	if (!sp->buf)
		return false;
	sp->job = evict_job_new();
	if (!sp->job)
		swap_buf_put(sp->group->swap, TAKE_PTR(sp->buf));
	return sp->job;
}

void evict_unreserve(struct space *sp)
{
	if (sp->buf)
		swap_buf_put(sp->group->swap, TAKE_PTR(sp->buf));
	evict_job_free(TAKE_PTR(sp->job));
}

uint32_t space_evict(struct space *sp, uint32_t n_max)
{
	struct picker picker;
	struct stage_half saved[USWAP_STAGE_HALVES] = { sp->half[0], sp->half[1] };

	ASSERT(n_max);
	if (choose_half(sp) == USWAP_STAGE_HALVES) {
		(void)evict_flush(sp);
		return 0;
	}
	if (!space_can_evict(sp) || space_arm(sp) || !evict_reserve(sp))
		return 0;
	if (n_max > USWAP_STAGE_HALF_PAGES)
		n_max = USWAP_STAGE_HALF_PAGES;
	sp->n_victims = 0;
	if (picker_init(sp, &picker))
		pick(sp, &picker, n_max);
	if (!sp->n_victims) {
		sp->group->stats.n_hand_empty++;
		evict_unreserve(sp);
		return 0;
	}
	send_prepare(sp, choose_half(sp));
	build_runs(sp, sp->half_sent * USWAP_STAGE_HALF_PAGES);
	if (send_command(sp)) {
		sp->half[0] = saved[0];
		sp->half[1] = saved[1];
		evict_release(sp);
		evict_unreserve(sp);
		return 0;
	}
	sp->gate = GATE_SHUT;
	sp->group->stats.n_commands++;
	return sp->n_victims;
}

bool evict_flush(struct space *sp)
{
	uint32_t k;

	if (!space_can_evict(sp) && !(sp->homing && sp->agent && sp->gate == GATE_OPEN))
		return false;
	for (k = 0; k < USWAP_STAGE_HALVES; k++)
		if (sp->half[k].state == HALF_FULL)
			break;
	if (k == USWAP_STAGE_HALVES || sp->populating)
		return false;
	sp->cmd.n_runs = 0;
	sp->cmd.free_at = k * USWAP_STAGE_HALF_PAGES;
	sp->cmd.n_free = sp->half[k].n_used;
	sp->n_victims = 0;
	if (send_command(sp))
		return false;
	sp->half[k].state = HALF_EMPTYING;
	sp->half_sent = USWAP_STAGE_HALVES; /* fills none */
	sp->gate = GATE_SHUT;
	return true;
}

/* What was to be copied may not have been. */
void evict_copies_failed(struct space *sp)
{
	struct page_leaf *leaf;
	uint64_t addr = 0;
	uint32_t i;

	for (; (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES)
		for (i = 0; i < LEAF_PAGES; i++)
			leaf->state[i] &= (uint8_t)~PAGE_COPIED;
}

static uint32_t unstick_leaf(struct space *sp, struct page_leaf *leaf)
{
	uint32_t i, n = 0;

	for (i = 0; i < LEAF_PAGES; i++) {
		if ((leaf->state[i] & (PAGE_STUCK | PAGE_SHARED)) != PAGE_STUCK)
			continue;
		page_clear_stuck(&sp->map, leaf, i);
		n++;
	}
	return n;
}

uint32_t space_unstick(struct space *sp, uint32_t n_max)
{
	uint64_t addr = sp->unstick_at;
	struct page_leaf *leaf;
	uint32_t n = 0;

	for (; n < n_max && (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES) {
		uint32_t n_leaf = unstick_leaf(sp, leaf);

		if (n_leaf && !n)
			sp->hand =
				addr; /* to be tried, rather than all else to be taken for them */
		n += n_leaf;
	}
	sp->unstick_at = n < n_max ? 0 : addr;
	return n;
}

void space_drop_shares(struct space *sp)
{
	uint64_t addr = 0;
	struct page_leaf *leaf;
	uint32_t i;

	for (; (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES) {
		for (i = 0; leaf->n_slots && i < LEAF_PAGES; i++) {
			struct slot_id id = { leaf->slot[i] };

			if (id.v &&
			    (leaf->state[i] & (PAGE_PRESENT | PAGE_DETACH)) == PAGE_PRESENT &&
			    !swap_is_own(sp->group->swap, id))
				space_drop_kept(sp, leaf, i);
		}
	}
}

uint32_t space_unshare(struct space *sp, uint32_t n_max)
{
	struct uswap_msg_populate msg = { .n_runs = 0 };
	uint64_t addr = 0;
	uint32_t n = 0;
	struct page_leaf *leaf;
	size_t len;

	if (!space_can_evict(sp))
		return 0;
	if (n_max > USWAP_STAGE_HALF_PAGES)
		n_max = USWAP_STAGE_HALF_PAGES;
	for (; n < n_max && (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES) {
		uint32_t i;

		for (i = 0; i < LEAF_PAGES && n < n_max; i++) {
			uint64_t a = addr + (uint64_t)i * PAGE_BYTES;
			struct uswap_run *run = msg.n_runs ? &msg.run[msg.n_runs - 1] : NULL;

			if (!(leaf->state[i] & PAGE_SHARED))
				continue;
			page_clear_stuck(&sp->map, leaf, i);
			leaf->state[i] |= PAGE_COPIED;
			n++;
			if (run && run->start + (uint64_t)run->n_pages * PAGE_BYTES == a)
				run->n_pages++;
			else
				msg.run[msg.n_runs++] = (struct uswap_run){ a, 1, 0 };
		}
	}
	if (!n)
		return 0;
	len = offsetof(struct uswap_msg_populate, run) + msg.n_runs * sizeof(*msg.run);
	msg.head = (struct uswap_msg_head){ USWAP_MSG_POPULATE, (uint32_t)len };
	msg.seq = ++sp->seq;
	if (sp->mem->ops->send(sp->mem, &msg, len)) {
		evict_copies_failed(sp);
		return 0;
	}
	sp->populating = true;
	sp->sent_ns = space_now_ns(sp);
	return n;
}
