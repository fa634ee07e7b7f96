// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The gate: what happens to the pages of a detach command (R1).
 *
 * While a command is in flight nobody knows which of its pages are in the program, so main is not
 * read and nothing is installed on them. The answer says for each page whether it moved. That a page
 * has moved is believed; that it has not is not: since Linux 6.18 MOVE may move pages, not count them,
 * and come upon them as if they had been there before (docs/design.md). So then, and when no answer
 * comes (a stopped agent, a dead one), the question is put to the kernel: once no MOVE can happen any
 * more, what is populated in the half, which was empty, has moved. The program's own addresses cannot
 * be asked: they may have been moved or mapped again by an event still unread.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "space/space-impl.h"

#define REVOKE_NS (250ULL * 1000 * 1000)
#define STAGE_RUNS 64u
#define KIN_MAX_LOOKED 16u /* relatives who may have a page that leaves, */
#define KIN_MAX_TRIED 2u   /* and of these, whose pages it is compared with */

/*
 * The page came from a slot that relatives refer to as well. Is it still the same? Then it is that slot's
 * again. Else the map is rid of it.
 */
static bool victim_is_shared(struct space *sp, struct page_leaf *leaf, const struct victim *v,
			     uint32_t stage_at)
{
	struct space_group *g = sp->group;
	uint32_t i = page_in_leaf(v->addr);
	const struct swap_use use = { g->evict_seq, v->level };

	if (swap_same(g->swap, (struct slot_id){ leaf->slot[i] }, sp->buf, stage_at, &use)) {
		g->stats.n_shared_same++;
		return true;
	}
	g->stats.n_shared_changed += !swap_is_alone(g->swap, (struct slot_id){ leaf->slot[i] });
	swap_slot_unref(g->swap, page_take_slot(&sp->map, leaf, i));
	return false;
}

/*
 * A relative by a fork may have had the same page at the same address, and evicted it before: then its slot
 * will do. Return: a count on that slot for the map; 0: there is none, or not found by a short look.
 */
static struct slot_id victim_of_relative(const struct space *sp, const struct victim *v,
					 uint32_t stage_at)
{
	struct space_group *g = sp->group;
	const struct swap_use use = { g->evict_seq, v->level };
	uint32_t n_looked = 0, n_tried = 0;
	struct space *other;

	list_for_each(other, &g->spaces, link) {
		struct page_leaf *leaf;
		struct slot_id id;

		if (other == sp || !other->has_kin)
			continue;
		if (++n_looked > KIN_MAX_LOOKED || n_tried == KIN_MAX_TRIED)
			break;
		leaf = page_map_find(&other->map, v->addr);
		id.v = leaf ? leaf->slot[page_in_leaf(v->addr)] : 0;
		if (!id.v || swap_is_own(g->swap, id))
			continue;
		n_tried++;
		if (swap_same(g->swap, id, sp->buf, stage_at, &use)) {
			swap_slot_ref(g->swap, id); /* the other map has one: it exists */
			g->stats.n_shared_same++;
			return id;
		}
	}
	g->stats.n_shared_changed += n_tried > 0;
	return (struct slot_id){ 0 };
}

/* The page is in the stage: from now on its slot is what the program has. */
static void victim_moved(struct space *sp, struct page_leaf *leaf, const struct victim *v,
			 uint32_t stage_at, struct evict_job *job)
{
	uint32_t i = page_in_leaf(v->addr);
	struct slot_id same = { 0 };

	if (v->fresh && leaf->slot[i])
		same.v = victim_is_shared(sp, leaf, v, stage_at) ? leaf->slot[i] : 0;
	else if (v->fresh && sp->has_kin && sp->group->keep_shared)
		same = victim_of_relative(sp, v, stage_at);
	space_page_left(sp, leaf, i);
	if (v->fresh && !leaf->slot[i])
		page_set_slot(&sp->map, leaf, i, same.v ? same : v->slot);
	if (same.v) {
		swap_unpin(sp->group->swap, v->slot);
		swap_slot_unref(sp->group->swap, v->slot);
		return;
	}
	job->page[job->n].slot = v->slot;
	job->page[job->n].page_idx = (uint16_t)stage_at;
	job->page[job->n].level = v->level;
	job->n++;
}

static void victim_stays(struct space *sp, struct page_leaf *leaf, const struct victim *v,
			 enum uswap_moved why)
{
	struct space_group *g = sp->group;
	uint32_t i = page_in_leaf(v->addr);

	leaf->state[i] &= (uint8_t)~PAGE_DETACH;
	swap_unpin(g->swap, v->slot);
	if (v->fresh)
		swap_slot_unref(g->swap, v->slot);
	switch (why) {
	case USWAP_MOVE_BUSY:
		g->stats.n_busy++;
		page_set_stuck(&sp->map, leaf, i, !(leaf->state[i] & PAGE_COPIED));
		break;
	case USWAP_MOVE_HOLE: /* emptied without an event: it reads as zero */
		g->stats.n_hole++;
		if (leaf->slot[i])
			swap_slot_unref(g->swap, page_take_slot(&sp->map, leaf, i));
		space_page_left(sp, leaf, i);
		break;
	case USWAP_MOVE_EVENTS:
	case USWAP_MOVE_OCCUPIED:
		break;
	default:
		g->stats.n_invalid++;
		page_set_stuck(&sp->map, leaf, i, false);
	}
}

/*
 * The bytes of what moved, out of the client before main is read again: after a FORK a child may
 * depend on them, and nothing keeps this process from exiting.
 */
static int fetch_stage(struct space *sp, struct stage_buf *buf, uint32_t n_pages)
{
	uint64_t src =
		sp->stage.start + (uint64_t)sp->half_sent * USWAP_STAGE_HALF_PAGES * PAGE_BYTES;
	size_t len = (size_t)n_pages * PAGE_BYTES;

	if (sp->mem->ops->read_mem(sp->mem, src, buf->pages, len) == (ssize_t)len)
		return 0;
	/* An address space that is gone cannot be read; nor what a lying agent says it moved. */
	return sp->mem->ops->alive(sp->mem) == -ESRCH ? SPACE_E_DEAD : -EPROTO;
}

/*
 * The client took its own pages away. Their slots stay without bytes: a fault on them is poisoned
 * (R7), in that program and in nobody else's.
 */
static void victims_lost(struct space *sp, const uint8_t *result)
{
	uint32_t k;

	for (k = 0; k < sp->n_victims; k++) {
		struct victim *v = &sp->victims[k];
		struct page_leaf *leaf = page_map_find(&sp->map, v->addr);

		if (result[k] != USWAP_MOVED) {
			victim_stays(sp, leaf, v, result[k]);
			continue;
		}
		if (v->fresh && leaf->slot[page_in_leaf(v->addr)]) /* a copy of an older page */
			swap_slot_unref(sp->group->swap,
					page_take_slot(&sp->map, leaf, page_in_leaf(v->addr)));
		if (v->fresh)
			page_set_slot(&sp->map, leaf, page_in_leaf(v->addr), v->slot);
		space_page_left(sp, leaf, page_in_leaf(v->addr));
		swap_lose(sp->group->swap,
			  v->slot); /* it may have had a clean copy of an older page */
		swap_unpin(sp->group->swap, v->slot);
	}
	sp->n_victims = 0;
	sp->half[sp->half_sent].state = HALF_FULL;
	evict_unreserve(sp);
}

static uint32_t count_moved(const struct space *sp, const uint8_t *result)
{
	uint32_t k, n = 0;

	for (k = 0; k < sp->n_victims; k++)
		n += result[k] == USWAP_MOVED;
	return n;
}

/*
 * Victims that lie in the stage have moved, whatever @result says. pre: no MOVE can happen any more, and
 * what was moved was not read yet (a hole that is read is populated). Return: 0; -errno.
 */
static int stage_find(struct space *sp, uint8_t *result)
{
	const uint64_t first =
		sp->stage.start + (uint64_t)sp->half_sent * USWAP_STAGE_HALF_PAGES * PAGE_BYTES;
	const uint64_t end = first + (uint64_t)sp->n_victims * PAGE_BYTES;
	struct mem_present runs[STAGE_RUNS];
	uint64_t at = first;

	while (at < end) {
		uint64_t next = end;
		uint32_t n = 0, k;
		int r = sp->mem->ops->scan(sp->mem, at, end, runs, STAGE_RUNS, &n, &next);

		if (r)
			return r;
		for (k = 0; k < n; k++)
			memset(result + (runs[k].range.start - first) / PAGE_BYTES, USWAP_MOVED,
			       (runs[k].range.end - runs[k].range.start) / PAGE_BYTES);
		if (next <= at)
			return -EIO; /* what was not looked at may have moved */
		at = next;
	}
	return 0;
}

/*
 * Every victim's fate is known: @result as in the answer. Return: 0; -EPROTO: the agent lied;
 * SPACE_E_DEAD, and the victims are still to be let go by space_free().
 */
static int gate_complete(struct space *sp, const uint8_t *result)
{
	struct space_group *g = sp->group;
	struct evict_job *job = sp->job;
	struct stage_half *half;
	const uint32_t n_moved = count_moved(sp, result);
	bool occupied = false;
	uint32_t k;
	int r;

	if (sp->half_sent == USWAP_STAGE_HALVES)
		return 0;
	r = n_moved ? fetch_stage(sp, sp->buf, sp->n_victims) : 0;
	if (r == -EPROTO)
		victims_lost(sp, result);
	if (r)
		return r;
	half = &sp->half[sp->half_sent];
	for (k = 0; k < sp->n_victims; k++) {
		struct victim *v = &sp->victims[k];
		struct page_leaf *leaf = page_map_find(&sp->map, v->addr);

		ASSERT(leaf->state[page_in_leaf(v->addr)] & PAGE_DETACH);
		if (result[k] == USWAP_MOVED)
			victim_moved(sp, leaf, v, k, job);
		else
			victim_stays(sp, leaf, v, result[k]);
		occupied |= result[k] == USWAP_MOVE_OCCUPIED;
	}
	sp->n_victims = 0;
	g->evict_seq += n_moved;
	g->stats.n_evicted += n_moved;
	g->room_pages += n_moved;
	half->state = n_moved || occupied ? HALF_FULL : HALF_FREE;
	if (!job->n) { /* nothing moved, or nothing that has to be stored */
		evict_unreserve(sp);
		return 0;
	}
	job->group = g;
	job->buf = TAKE_PTR(sp->buf);
	job->evict_seq = g->evict_seq;
	atomic_fetch_add(&g->n_jobs, 1);
	g->host->post_job(g->user, TAKE_PTR(sp->job));
	return 0;
}

/* The half that was only to be emptied. */
static void gate_emptied(struct space *sp, bool freed)
{
	uint32_t k;

	for (k = 0; k < USWAP_STAGE_HALVES; k++)
		if (sp->half[k].state == HALF_EMPTYING)
			sp->half[k].state = freed ? HALF_FREE : HALF_FULL;
}

int gate_answer(struct space *sp, const struct uswap_msg_detached *msg)
{
	uint8_t result[USWAP_STAGE_HALF_PAGES];
	uint32_t n_counted;
	int r;

	if (msg->seq != sp->seq || sp->gate == GATE_OPEN)
		return -EPROTO;
	if (sp->gate == GATE_REVOKED) {
		r = sp->mem->ops->register_stage(sp->mem, sp->stage.start,
						 sp->stage.end - sp->stage.start);
		gate_emptied(sp, !msg->free_err);
		if (r) /* without a stage this agent is of no use */
			return r == -ESRCH ? SPACE_E_DEAD : -EPROTO;
		sp->gate = GATE_OPEN;
		return 0;
	}
	if (msg->n_pages != sp->n_victims)
		return -EPROTO;
	memcpy(result, msg->result, sp->n_victims);
	n_counted = count_moved(sp, result);
	if (n_counted < sp->n_victims) {
		if (stage_find(sp, result)) /* asked again when the agent is gone */
			return sp->mem->ops->alive(sp->mem) ? SPACE_E_DEAD : -EPROTO;
		sp->group->stats.n_uncounted += count_moved(sp, result) - n_counted;
	}
	gate_emptied(sp, !msg->free_err);
	r = gate_complete(sp, result);
	if (r != SPACE_E_DEAD)
		sp->gate = GATE_OPEN;
	return r;
}

/*
 * Nobody says which victims have moved. pre: no MOVE can happen any more.
 * Return: 0 every victim's fate is known; SPACE_E_DEAD or -errno: it is not.
 */
static int gate_resolve(struct space *sp)
{
	uint8_t result[USWAP_STAGE_HALF_PAGES];
	int r;

	memset(result, USWAP_MOVE_EVENTS, sp->n_victims);
	r = stage_find(sp, result);
	if (r)
		return r;
	r = gate_complete(sp, result);
	return r == -EPROTO ? 0 : r; /* pages that the client took away are lost, and settled */
}

int gate_tick(struct space *sp)
{
	int r;

	if (sp->gate != GATE_SHUT || space_now_ns(sp) - sp->sent_ns < REVOKE_NS)
		return 0;
	r = sp->mem->ops->unregister(sp->mem, sp->stage.start, sp->stage.end - sp->stage.start);
	if (!r)
		r = gate_resolve(sp);
	if (r)
		return sp->mem->ops->alive(sp->mem) ? SPACE_E_DEAD : 0; /* try again next time */
	sp->gate = sp->agent ? GATE_REVOKED : GATE_OPEN;
	sp->group->stats.n_revoked++;
	return 0;
}

void gate_agent_gone(struct space *sp)
{
	/* with the address space gone as well there is nothing to resolve: space_free() follows */
	if (sp->gate == GATE_SHUT && gate_resolve(sp))
		return;
	gate_emptied(sp, false);
	sp->gate = GATE_OPEN;
}
