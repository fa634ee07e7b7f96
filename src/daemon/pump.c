// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Once per round of the loop: send evictions, look at waiting faults again, go on with requests.
 *
 * Eviction runs ahead of need: it starts when less than the reserve is free, while nobody waits yet.
 * When nothing has left for STALL_NS and nothing is on its way, a few waiting faults are let in above
 * the limit, and a few more after the next: the program is slowed down, never stopped for good. What
 * is on its way has to get somewhere: commands may be refused again and again.
 */
#include "base/atomic.h"
#include "daemon/worker-impl.h"

#define UPDATE_NS (100ULL * 1000)
#define EVICT_PAUSE_NS (500ULL * 1000)
#define UNSHARE_NS (1ULL * 1000 * 1000)
#define UNSHARE_MIN_PAGES 64u
#define UNSTICK_MIN_NS (20ULL * 1000 * 1000)
#define UNSTICK_MAX_NS (4000ULL * 1000 * 1000)
#define UNSTICK_PAGES 2048u
#define STALL_NS (4ULL * 1000 * 1000)
#define STALL_UNDER_WAY_NS (300ULL * 1000 * 1000) /* longer than an agent is waited for */
#define WRITEBACK_STALL_NS (200ULL * 1000 * 1000)
#define TRACED_BATCH_PAGES 512u

/* Pages leave for the file, and room comes back. */
static bool writeback_moves(const struct worker *w, uint64_t now)
{
	return load_relaxed(&w->writeback.wanted) && writeback_works(w) &&
	       now - load_relaxed(&w->writeback.moved_ns) <
		       WRITEBACK_STALL_NS; /* relaxed: figures */
}

static bool evictions_under_way(const struct worker *w)
{
	const struct space *sp;

	if (w->group.n_jobs)
		return true;
	list_for_each(sp, &w->group.spaces, link)
		if (sp->gate == GATE_SHUT) /* not populating: the agent may wait for room itself */
			return true;
	return false;
}

/* The space with the most pages that can take a command now. */
static struct space *choose_space(struct worker *w, uint64_t now)
{
	struct space *best = NULL;
	struct space *sp;

	list_for_each(sp, &w->group.spaces, link) {
		if (!space_can_evict(sp) || now < sp->evict_after_ns)
			continue;
		if (!best || space_movable_pages(sp) > space_movable_pages(best))
			best = sp;
	}
	return best && best->map.n_present ? best : NULL;
}

/*
 * Pages that a fork left unmovable get copies of their own: when little else could leave, since each
 * relative has to evict its copy before anything is gained, though the store takes them once. Where nobody
 * shares them any more the copy costs nothing, and need not wait.
 */
static void give_copies(const struct worker *w, struct space *sp, uint64_t now)
{
	if (sp->map.n_shared < (w->budget.scarce ? 1 : UNSHARE_MIN_PAGES) ||
	    now <= sp->unshare_ns + UNSHARE_NS || !space_can_evict(sp))
		return;
	if (budget_shares_pages(w) && !w->budget.scarce)
		return;
	sp->unshare_ns = now;
	(void)space_unshare(sp, USWAP_STAGE_HALF_PAGES);
}

/* What was refused may be unlocked, or pinned no more. Tried less often each time that it is not. */
static void retry_stuck(struct space *sp, uint64_t now)
{
	const uint64_t n_stuck = sp->map.n_stuck - sp->map.n_shared;

	if (!n_stuck || now < sp->unstick_ns || !space_can_evict(sp))
		return;
	if (n_stuck + sp->n_unstuck / 2 < sp->n_stuck_before || !sp->unstick_wait_ns)
		sp->unstick_wait_ns = UNSTICK_MIN_NS;
	else if (sp->unstick_wait_ns < UNSTICK_MAX_NS)
		sp->unstick_wait_ns *= 2;
	sp->unstick_ns = now + sp->unstick_wait_ns;
	sp->n_stuck_before = n_stuck;
	sp->n_unstuck = space_unstick(sp, UNSTICK_PAGES);
}

/* Send commands until what is wanted is under way. */
static void evict(struct worker *w, uint64_t now)
{
	uint64_t wanted = budget_short_pages(w);
	struct swap_stats stats;
	struct space *sp;

	if (!wanted)
		return;
	list_for_each(sp, &w->group.spaces, link) {
		give_copies(w, sp, now);
		retry_stuck(sp, now);
	}
	if (w->budget.at_floor)
		return;
	store_relaxed(&w->busy_ns, now); /* relaxed: a hint for upkeep */
	while (wanted && (sp = choose_space(w, now))) {
		uint32_t n;

		/* an unread event would refuse every page, and the program waits for us to read */
		if (!client_result(w, sp->user, space_service(sp)))
			continue;
		n = space_evict(sp, wanted > USWAP_STAGE_HALF_PAGES ? USWAP_STAGE_HALF_PAGES
								    : (uint32_t)wanted);
		if (!n)
			sp->evict_after_ns = now + EVICT_PAUSE_NS; /* nothing could be chosen */
		wanted -= n < wanted ? n : wanted;
	}
	if (!wanted)
		return;
	swap_stats_get(w->swap, &stats);
	if (!stats.n_bufs_free)
		atomic_store(&w->inbox.want_buf, true);
}

static void retry_waiting(struct worker *w)
{
	struct space *sp, *tmp;

	list_for_each_safe(sp, tmp, &w->group.spaces, link)
		if (space_has_retry(sp))
			client_result(w, sp->user, space_retry(sp, (struct slot_id){ 0 }));
}

static bool somebody_waits_for_room(const struct worker *w)
{
	const struct space *sp;
	uint32_t k;

	list_for_each(sp, &w->group.spaces, link)
		for (k = 0; k < sp->n_waiting; k++)
			if (sp->waiting[k].why == WAIT_ROOM)
				return true;
	return false;
}

/* What was let in above the limit is paid back by what leaves: what was asked to may be refused. */
static void pay_back(struct budget *b, uint64_t n_evicted)
{
	uint64_t n = n_evicted - b->evicted_at_payment;

	b->evicted_at_payment = n_evicted;
	b->let_in_pages -= n < b->let_in_pages ? n : b->let_in_pages;
}

/* Faults wait and nothing leaves: let them in. */
static void unstall(struct worker *w, uint64_t now)
{
	struct budget *b = &w->budget;
	int64_t step;

	if (!somebody_waits_for_room(w) || !b->stalled_ns ||
	    b->evicted_at_stall != w->group.stats.n_evicted || writeback_moves(w, now)) {
		b->stalled_ns = now;
		b->evicted_at_stall = w->group.stats.n_evicted;
		return;
	}
	if (now - b->stalled_ns < (evictions_under_way(w) ? STALL_UNDER_WAY_NS : STALL_NS))
		return;
	b->stalled_ns = 0;
	b->n_forced++;
	/* far above the limit the steps are larger: waiting does not bring it back */
	step = LET_IN_PAGES - (w->group.room_pages < 0 ? w->group.room_pages / 4 : 0);
	b->let_in_pages += (uint64_t)step;
	w->group.room_pages += step;
	retry_waiting(w);
}

static void home_traced(struct worker *w)
{
	struct space *sp;

	list_for_each(sp, &w->group.spaces, link)
		if (sp->homing && sp->map.n_slots && sp->gate != GATE_SHUT)
			(void)space_bring_home(sp, (struct urange){ 0, PAGE_MAP_END },
					       TRACED_BATCH_PAGES);
}

void pump(struct worker *w, uint64_t now)
{
	if (!w->group.n_spaces)
		return;
	/* what the rounds in between change is counted in room_pages as it happens */
	if (now - w->budget.update_ns >= UPDATE_NS) {
		w->budget.update_ns = now;
		pay_back(&w->budget, w->group.stats.n_evicted);
		budget_update(w);
	}
	evict(w, now);
	retry_waiting(w);
	unstall(w, now);
	attach_requests(w);
	home_traced(w);
	place_tick(w, now);
}
