// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The limit (docs/design.md, section 5): resident anonymous pages + compressed bytes + metadata.
 *
 * Resident pages are sampled from the kernel and carried forward by what we installed and evicted
 * since. How often is a question of how fast the rest of the limit could be filled by a program that
 * touches memory we have not registered: nothing tells us of that before the next sample.
 *
 * After a fork, pages that relatives share would be counted once per process; then the sample is
 * corrected by the proportional set size, which costs a walk of the page tables and is read rarely.
 *
 * What is resident and could leave is never squeezed below a floor: a program that has next to nothing
 * in memory does nothing but fault. Before that point is near, eviction trades time for space (zstd
 * even if compression is behind); at the floor the limit is exceeded, and said so.
 *
 * With a file the pool has marks: above the high one the writeback thread moves cold pages out, so room
 * comes back whether data compresses or not, and a program that waits for room waits for the disk.
 *
 * Without one, or when it is full: when evicting gains nothing (the data does not compress) or nothing
 * can leave (everything is pinned, locked or shared), the limit is given up for as long as that lasts,
 * and said so: a program is slowed down for a limit, never stopped for good.
 */
#include <stdlib.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "daemon/worker-impl.h"

#define PAGES(bytes) ((bytes) / PAGE_BYTES)
#define FILL_PAGES_PER_MS 512u /* 2 GB/s, what a thread can touch */
#define SAMPLE_MIN_NS (1ULL * 1000 * 1000)
#define SAMPLE_MAX_NS (50ULL * 1000 * 1000)
#define STATUS_NS (50ULL * 1000 * 1000)
#define PSS_NS (100ULL * 1000 * 1000)
#define PSS_COST_PARTS 20u	       /* of the time, one at most goes into it, but for changes */
#define MANAGE_NS (2ULL * 1000 * 1000) /* between two looks at the mappings: at least */
#define MANAGE_MAX_NS (1000ULL * 1000 * 1000)
#define MANAGE_MIN_PAGES 128u
#define MANAGE_UNKNOWN_NS (20ULL * 1000 * 1000) /* if it may be known memory that has grown */
#define MANAGE_UNKNOWN_PAGES 2048u
#define FUTILE_RATIO 0.88
#define FUTILE_RETRY_NS (2000ULL * 1000 * 1000)
#define WARN_NS (5000ULL * 1000 * 1000)
#define MOMENT_NS (250ULL * 1000 * 1000) /* above the limit no longer than that: it was held */
#define RATIO_WINDOW_BYTES (1ULL << 20)
#define POOL_FULL_PAGES 256u  /* of --pool that are left when evictions end */
#define POOL_ROOM_PAGES 1024u /* the same when clean copies have to go */
#define VIEW_NS (50ULL * 1000 * 1000)
#define STREAM_WINDOW 8u		   /* pages read ahead for one that was asked for */
#define STREAM_MIN_PAGES 256u		   /* fewer say nothing of what programs do */
#define NEWBORN_NS (1000ULL * 1000 * 1000) /* a fork child without agent: it is to come */
#define SHARED_MIN_PAGES 256u
#define SHARED_USELESS 4u /* times as many have changed */
#define SHARED_DROP_NS (250ULL * 1000 * 1000)
#define STREAM_USELESS_NS (2000ULL * 1000 * 1000) /* without copies, after most had changed */

static uint64_t limit_of(uint64_t bytes)
{
	return bytes ? PAGES(bytes) : UINT64_MAX;
}

void budget_init(struct worker *w)
{
	struct budget *b = &w->budget;
	uint64_t least;

	b->limit_pages = limit_of(w->o->limit_bytes);
	b->resident_pages = limit_of(w->o->resident_bytes);
	b->pool_pages = limit_of(w->o->pool_bytes);
	least = b->limit_pages < b->resident_pages ? b->limit_pages : b->resident_pages;
	b->reserve_pages = least == UINT64_MAX ? 4096 : least / 64;
	if (b->reserve_pages > 8192)
		b->reserve_pages = 8192;
	if (b->reserve_pages < 256)
		b->reserve_pages = 256;
	if (least != UINT64_MAX)
		b->floor_pages = least / 8;
	if (b->limit_pages != UINT64_MAX)
		b->tight_pages = b->limit_pages / 4;
	b->ratio = 0.4;
}

uint64_t budget_store_pages(struct worker *w, uint64_t *ret_pool_pages)
{
	struct swap_stats s;
	uint64_t meta;

	swap_stats_get(w->swap, &s);
	meta = PAGES(s.meta_bytes + s.buf_bytes + page_map_arenas_bytes(&w->group.arenas));
	if (w->backing.is_open) {
		struct swap_file_stats f;

		swap_file_stats_get(w->swap, &f);
		meta += PAGES(f.buf_bytes + f.meta_bytes) +
			PAGES(w->backing.read_bytes + GROUP_DECODE_BYTES);
	}
	if (ret_pool_pages)
		*ret_pool_pages = PAGES(s.pool_bytes);
	return PAGES(s.pool_bytes) + meta;
}

static uint64_t resident_now(const struct worker *w)
{
	const struct budget *b = &w->budget;
	int64_t pages = (int64_t)b->rss_pages + (int64_t)(w->group.n_resident - b->rss_at_resident);

	return pages > 0 ? (uint64_t)pages : 0;
}

/* How compressible what leaves is: bytes stored per byte evicted, over the last megabytes. */
static void update_ratio(struct worker *w, const struct swap_app_stats *s)
{
	struct budget *b = &w->budget;
	uint64_t in = s->compressed_in_bytes - b->in_bytes;
	uint64_t out = s->compressed_out_bytes - b->out_bytes;

	if (in < RATIO_WINDOW_BYTES)
		return;
	b->ratio = b->ratio * 0.5 + 0.5 * (double)out / (double)in;
	b->in_bytes = s->compressed_in_bytes;
	b->out_bytes = s->compressed_out_bytes;
}

/*
 * Pages that evictions may take: in the program, and not refused by MOVE. @ret_soon: these may be able to
 * leave in a moment, after a copy, or when a fork child has got its agent.
 */
static uint64_t evictable_pages(const struct worker *w, uint64_t *ret_soon)
{
	const uint64_t now = clock_now_ns();
	const struct space *sp;
	uint64_t n = 0;

	*ret_soon = 0;
	list_for_each(sp, &w->group.spaces, link) {
		if (!sp->agent) {
			if (now - sp->born_ns < NEWBORN_NS)
				*ret_soon += sp->map.n_present;
			continue;
		}
		n += space_movable_pages(sp);
		*ret_soon += sp->map.n_shared;
	}
	return n;
}

static int64_t room_under(uint64_t limit, uint64_t used)
{
	return limit == UINT64_MAX ? INT64_MAX / 4 : (int64_t)limit - (int64_t)used;
}

/* Do programs stream, and find their copies useful? */
static void look_at_streams(struct worker *w, uint64_t now)
{
	const struct space_stats *st = &w->group.stats;
	struct budget *b = &w->budget;
	struct swap_app_stats a;
	uint64_t n_loads = st->n_load_faults - b->streams.n_loads;
	uint64_t n_ahead = st->n_ahead - b->streams.n_ahead;

	if (now - b->streams.ns < VIEW_NS || n_loads + n_ahead < STREAM_MIN_PAGES)
		return; /* too few say nothing: go on counting */
	swap_app_stats_get(w->group.app, &a);
	b->streams.prevail = n_ahead >= n_loads * STREAM_WINDOW;
	if (a.n_put_changed - b->streams.n_changed > a.n_put_unchanged - b->streams.n_unchanged)
		b->streams.useless_ns = now;
	b->streams.ns = now;
	b->streams.n_loads = st->n_load_faults;
	b->streams.n_ahead = st->n_ahead;
	b->streams.n_changed = a.n_put_changed;
	b->streams.n_unchanged = a.n_put_unchanged;
}

/*
 * Where the hand has stopped, copies that only programs refer to that have the page stay for nothing,
 * and nobody comes by to see it.
 */
static void drop_shares(struct worker *w, uint64_t now)
{
	struct budget *b = &w->budget;
	struct space *sp;

	w->group.keep_shared = false;
	if (now - b->shared.dropped_ns < SHARED_DROP_NS)
		return;
	b->shared.dropped_ns = now;
	list_for_each(sp, &w->group.spaces, link)
		if (sp->has_kin)
			space_drop_shares(sp);
}

/* Copies of what relatives have in the store as well: worth comparing while not most have changed. */
static void look_at_shared(struct worker *w, uint64_t now)
{
	const struct space_stats *st = &w->group.stats;
	struct budget *b = &w->budget;
	uint64_t n_same = st->n_shared_same - b->shared.n_same;
	uint64_t n_changed = st->n_shared_changed - b->shared.n_changed;

	if (n_same + n_changed >= SHARED_MIN_PAGES) {
		if (n_changed > SHARED_USELESS * n_same)
			b->shared.useless_ns = now;
		b->shared.n_same = st->n_shared_same;
		b->shared.n_changed = st->n_shared_changed;
	}
	w->group.keep_shared =
		!b->shared.useless_ns || now - b->shared.useless_ns > STREAM_USELESS_NS;
	if (b->futile || b->pool_full)
		drop_shares(w, now);
}

/* Not if that would make what is resident small, nor if something has to be read for it. */
static bool streams_want_copies(const struct worker *w, uint64_t resident)
{
	const struct budget *b = &w->budget;

	return b->streams.prevail && resident > b->tight_pages - b->tight_pages / 4 &&
	       !load_relaxed(&w->spills) && /* relaxed: this thread writes it */
	       (!b->streams.useless_ns ||
		b->streams.ns - b->streams.useless_ns > STREAM_USELESS_NS);
}

/*
 * Clean copies may take a share of the pool; they are the first thing to go. @room: pages of --pool.
 *
 * Under a limit they cost resident pages, which is worth it only where compression is what programs wait
 * for: where all CPUs are busy, as they fault in several threads; and where they stream through more than
 * fits, when what is resident is not what they want next anyway.
 */
static void keep_clean(struct worker *w, const struct swap_app_stats *s, uint64_t resident,
		       int64_t room)
{
	const struct budget *b = &w->budget;
	struct space_group *g = &w->group;
	uint64_t may_keep = UINT64_MAX;

	g->keep_pool = KEEP_ALL;
	if (b->limit_pages != UINT64_MAX) {
		may_keep = b->limit_pages / 24 * PAGE_BYTES;
		if (g->n_jobs <= 1 || !w->place.many)
			g->keep_pool = KEEP_NONE;
		if (streams_want_copies(w, resident)) {
			may_keep = b->limit_pages / 8 * PAGE_BYTES;
			g->keep_pool = KEEP_STREAMS;
		}
	}
	if (room < (int64_t)POOL_ROOM_PAGES)
		may_keep = 0;
	if (s->kept_bytes >= may_keep)
		g->keep_pool = KEEP_NONE;
	if (s->kept_bytes > may_keep)
		atomic_store(&w->drop_kept_bytes, s->kept_bytes - may_keep);
}

/*
 * No eviction is possible, since what is left in the program cannot leave or --pool is full, and there is
 * no room: so what is short has to leave the pool, whatever the policy's mark is. @helps: what would leave
 * the pool makes room.
 */
static void press(struct worker *w, uint64_t stored_bytes, bool helps)
{
	const struct budget *b = &w->budget;
	int64_t short_by = (int64_t)b->reserve_pages - w->group.room_pages;

	if (w->group.room_pages > 0 || b->futile || !(b->pool_full || (b->at_floor && helps)))
		return;
	writeback_press(w, stored_bytes, (uint64_t)short_by * PAGE_BYTES);
}

/*
 * What was let in above the limit, and has not been paid back, is used up by what is above it, but for the
 * last step: where the program gave memory back instead, nothing is owed any more. @room: without it, and
 * may be negative.
 */
static uint64_t let_in_left(const struct budget *b, int64_t room)
{
	const int64_t step = LET_IN_PAGES - (room < 0 ? room / 4 : 0);
	const int64_t most = room < step ? step - room : 0;

	return b->let_in_pages < (uint64_t)most ? b->let_in_pages : (uint64_t)most;
}

void budget_update(struct worker *w)
{
	struct space_group *g = &w->group;
	struct budget *b = &w->budget;
	struct swap_app_stats s;
	uint64_t pool, store, evictable, soon, resident = resident_now(w);
	int64_t under_resident, under_limit;
	bool pool_counts; /* what is short is room under the limit, which the pool takes as well */

	swap_app_stats_get(g->app, &s);
	update_ratio(w, &s);
	store = budget_store_pages(w, &pool);
	/* what is staged or on its way will be in the pool soon */
	store += (uint64_t)((double)(s.n_staged + g->n_jobs * 64ULL) * b->ratio);
	store += g->n_loading; /* what is being read has its room already */
	writeback_look(w, s.stored_bytes);
	under_limit = room_under(b->limit_pages, resident + store);
	under_resident = room_under(b->resident_pages, resident);
	pool_counts = under_limit <= under_resident;
	g->room_pages = pool_counts ? under_limit : under_resident;
	b->let_in_pages = let_in_left(b, g->room_pages);
	g->room_pages += (int64_t)b->let_in_pages;
	/* what cannot leave is no working set: squeezed for it, what can would only be faulted for */
	evictable = evictable_pages(w, &soon);
	b->scarce = evictable < b->floor_pages;
	b->at_floor = resident < b->floor_pages || evictable + soon < b->floor_pages;
	/* at the floor nothing can leave; with a file room may come from the pool instead */
	g->limit_off = b->futile || (b->at_floor && !(writeback_works(w) && pool_counts));
	atomic_store_explicit(&w->tight,
			      resident + PAGES(s.kept_bytes) < b->tight_pages &&
				      under_limit < 4096 && !writeback_works(w),
			      memory_order_relaxed); /* a hint for the compressors */
	store_relaxed(&w->spills, s.file_bytes && writeback_works(w)); /* as well */
	if (b->n_delayed != g->stats.n_delayed) {
		b->n_delayed = g->stats.n_delayed;
		store_relaxed(&w->waited_ns, clock_now_ns()); /* as well */
	}
	b->pool_full = room_under(b->pool_pages, pool) < POOL_FULL_PAGES;
	press(w, s.stored_bytes, pool_counts);
	/* what was read goes to the pool when it leaves, until that is as large as it shall be, and
	 * while compression keeps up */
	if (!writeback_wants_copies(w, s.stored_bytes))
		g->keep_file = KEEP_NONE;
	else
		g->keep_file = g->n_jobs > 1 && w->place.many ? KEEP_ALL : KEEP_STREAMS;
	keep_clean(w, &s, resident, room_under(b->pool_pages, pool));
}

uint64_t budget_short_pages(const struct worker *w)
{
	const struct budget *b = &w->budget;
	int64_t short_by = (int64_t)b->reserve_pages - w->group.room_pages;

	if (short_by <= 0 || b->futile || b->pool_full)
		return 0;
	return (uint64_t)short_by + b->reserve_pages / 4; /* commands of some size */
}

/* Unregistered memory grows untold: how long until the rest could be full. */
uint64_t budget_interval_ns(const struct worker *w)
{
	int64_t room = w->group.room_pages;
	uint64_t ns;

	if (!w->group.n_spaces)
		return SAMPLE_MAX_NS;
	if (room <= 0)
		return 2 * SAMPLE_MIN_NS;
	ns = (uint64_t)room / FILL_PAGES_PER_MS * SAMPLE_MIN_NS / 4;
	if (ns < 2 * SAMPLE_MIN_NS)
		return 2 * SAMPLE_MIN_NS;
	return ns > SAMPLE_MAX_NS ? SAMPLE_MAX_NS : ns;
}

bool budget_shares_pages(const struct worker *w)
{
	return w->group.n_spaces > 1; /* nobody tells of a fork before anything was registered */
}

/* What would help, if anything is known that would. */
static const char *advice(const struct worker *w)
{
	if (!w->backing.is_open)
		return "; a swap file would hold it: --file-size";
	if (load_relaxed(&w->backing.broken)) /* relaxed: for a message */
		return "; the swap file cannot be written any more";
	return load_relaxed(&w->writeback.full) ? "; the swap file is full" : "";
}

/*
 * Why the limit was exceeded most: without all that was resident then, would it have been held? If not,
 * it is what left and does not become small enough; so it is where evictions were given up as futile.
 */
bool budget_is_stuck(const struct worker *w)
{
	return w->budget.resident_at_max >= w->budget.max_over_pages;
}

static const char *bound_name(bool of_resident)
{
	return of_resident ? "--resident" : "the limit";
}

static void warn_over(const struct worker *w, const char *bound, bool stuck, uint64_t over,
		      uint64_t resident, uint64_t stored)
{
	char text[3][32];

	size_format(text[0], sizeof(text[0]), over * PAGE_BYTES);
	size_format(text[1], sizeof(text[1]), resident * PAGE_BYTES);
	size_format(text[2], sizeof(text[2]), stored * PAGE_BYTES);
	if (!stuck)
		log_warn("%s cannot be held: the data does not compress enough (%s resident, %s "
			 "compressed); %s above it%s",
			 bound, text[1], text[2], text[0], advice(w));
	else
		log_warn("%s cannot be held: what is resident (%s) cannot leave: pinned, locked, "
			 "shared by a fork, or not managed; %s above it",
			 bound, text[1], text[0]);
}

static uint64_t above(uint64_t used, uint64_t limit)
{
	return used > limit ? used - limit : 0;
}

/* More than 5 % or 8 MiB above the limit, whichever is more. */
static bool is_over(const struct budget *b, uint64_t over_pages)
{
	uint64_t least = b->limit_pages < b->resident_pages ? b->limit_pages : b->resident_pages;

	return over_pages > least / 20 && over_pages > 2048;
}

static void track_peaks(struct worker *w, uint64_t now)
{
	struct budget *b = &w->budget;
	uint64_t pool, store = budget_store_pages(w, &pool);
	uint64_t used = b->rss_pages + store;
	uint64_t over = above(used, b->limit_pages);
	uint64_t over_resident = above(b->rss_pages, b->resident_pages);

	const bool of_resident = over_resident > over;

	if (of_resident)
		over = over_resident;
	if (b->rss_pages > b->peak_rss_pages)
		b->peak_rss_pages = b->rss_pages;
	if (pool > b->peak_store_pages)
		b->peak_store_pages = pool;
	if (store - pool > b->peak_meta_pages)
		b->peak_meta_pages = store - pool;
	if (used > b->peak_pages) {
		b->peak_pages = used;
		b->at_peak.rss_pages = b->rss_pages;
		b->at_peak.pool_pages = pool;
		b->at_peak.meta_pages = store - pool;
	}
	if (over > b->max_over_pages) {
		b->max_over_pages = over;
		b->resident_at_max = b->futile ? 0 : b->rss_pages;
		b->max_is_of_resident = of_resident;
	}
	if (b->over_ns && now - b->over_ns > b->max_over_ns)
		b->max_over_ns = now - b->over_ns;
	if (!is_over(b, over)) {
		b->over_ns = 0;
	} else if (!b->over_ns) {
		b->over_ns = now;
	} else if (now - b->over_ns > WARN_NS / 5 &&
		   (!b->warned_ns || now - b->warned_ns > WARN_NS * 12)) {
		b->warned_ns = now;
		warn_over(w, bound_name(of_resident), !b->futile && b->rss_pages >= over, over,
			  b->rss_pages, pool);
	}
}

void budget_last_word(struct worker *w)
{
	const struct budget *b = &w->budget;
	const char *bound = bound_name(b->max_is_of_resident);
	char over[32];

	if (b->warned_ns || !is_over(b, b->max_over_pages))
		return;
	/* relaxed: for a message */
	if (b->max_over_ns > MOMENT_NS || !budget_is_stuck(w) || load_relaxed(&w->writeback.full)) {
		warn_over(w, bound, budget_is_stuck(w), b->max_over_pages, b->peak_rss_pages,
			  b->peak_store_pages);
		return;
	}
	size_format(over, sizeof(over), b->max_over_pages * PAGE_BYTES);
	log_warn("%s was exceeded by %s for a moment (%u ms): memory was filled faster than it "
		 "could leave",
		 bound, over, (unsigned)(b->max_over_ns / 1000000));
}

static void check_futile(struct worker *w, uint64_t now)
{
	struct budget *b = &w->budget;

	if (b->limit_pages == UINT64_MAX)
		return;
	if (writeback_works(w)) {
		b->futile = false;
		return;
	}
	if (!b->futile && b->ratio > FUTILE_RATIO && w->group.room_pages < 0) {
		b->futile = true;
		b->futile_ns = now;
	} else if (b->futile && now - b->futile_ns > FUTILE_RETRY_NS) {
		b->futile = false; /* try a few megabytes again */
		b->ratio = 0.8;
		b->futile_ns = now;
	}
}

/* Resident pages beyond @known. */
static uint64_t rss_beyond(const struct space *sp, uint64_t known)
{
	return sp->rss_anon_pages > known ? sp->rss_anon_pages - known : 0;
}

/*
 * Has it grown by memory that is not registered? What was emptied lately may be resident or not: it must
 * not hide for long what is new.
 */
static bool has_news(const struct space *sp, uint64_t now)
{
	const uint64_t passed = now - sp->manage_ns;

	if (!sp->manage_ns || passed >= MANAGE_MAX_NS)
		return true;
	if (passed < MANAGE_NS)
		return false;
	return rss_beyond(sp, sp->map.n_present + sp->n_unknown) >
		       sp->managed_rss_pages + MANAGE_MIN_PAGES ||
	       (passed >= MANAGE_UNKNOWN_NS &&
		rss_beyond(sp, sp->map.n_present) >
			sp->managed_unknown_pages + MANAGE_UNKNOWN_PAGES);
}

/* Memory of this space that is not registered yet and is worth it? */
static void maybe_manage(struct worker *w, struct space *sp, uint64_t now)
{
	const uint64_t manage_ns = sp->manage_ns;
	struct budget *b = &w->budget;
	int64_t soon = (int64_t)(b->reserve_pages + 6144);

	if (sp->homing || !sp->agent)
		return;
	if (b->limit_pages != UINT64_MAX && soon > (int64_t)(b->limit_pages / 3))
		soon = (int64_t)(b->limit_pages / 3);
	if (w->group.room_pages > soon)
		return;
	if (sp->unchecked && !client_result(w, sp->user, space_check_regions(sp)))
		return;
	if (!has_news(sp, now))
		return;
	if (!sp->agent_tid) /* it names itself before it seals itself, after READY */
		place_agent(w, sp);
	if (!client_result(w, sp->user, space_manage(sp)) || sp->manage_ns == manage_ns)
		return; /* not now: events are unread */
	sp->managed_rss_pages = rss_beyond(sp, sp->map.n_present + sp->n_unknown);
	sp->managed_unknown_pages = rss_beyond(sp, sp->map.n_present);
}

/* Ask the policy: twenty times a second, with rates of about the last second. */
static void ask_policy(struct worker *w, uint64_t now)
{
	const struct space_stats *st = &w->group.stats;
	struct budget *b = &w->budget;
	double passed_s = (double)(now - b->view_ns) / 1e9;
	struct uswap_policy_view view;
	struct swap_app_stats a;
	uint64_t pool, store;
	double part;

	if (!w->backing.is_open || now - b->view_ns < VIEW_NS)
		return;
	part = passed_s > 1 ? 1 : passed_s;
	b->loads_per_s +=
		part * ((double)(st->n_load_faults - b->n_loads) / passed_s - b->loads_per_s);
	b->file_loads_per_s += part * ((double)(st->n_file_faults - b->n_file_loads) / passed_s -
				       b->file_loads_per_s);
	b->view_ns = now;
	b->n_loads = st->n_load_faults;
	b->n_file_loads = st->n_file_faults;
	swap_app_stats_get(w->group.app, &a);
	store = budget_store_pages(w, &pool);
	view = (struct uswap_policy_view){
		.now_ns = now,
		.limit_bytes = b->limit_pages == UINT64_MAX ? UINT64_MAX : w->o->limit_bytes,
		.pool_max_bytes = b->pool_pages == UINT64_MAX ? UINT64_MAX : w->o->pool_bytes,
		.resident_bytes = b->rss_pages * PAGE_BYTES,
		.pool_bytes = pool * PAGE_BYTES,
		.meta_bytes = (store - pool) * PAGE_BYTES,
		.file_bytes = a.file_bytes,
		.file_max_bytes = w->backing.max_bytes,
		.ratio = b->ratio,
		.pool_loads_per_s = b->loads_per_s - b->file_loads_per_s,
		.file_loads_per_s = b->file_loads_per_s,
		.pool_load_ns = latency_ns(&st->latency, 0.5),
		.file_load_ns = latency_ns(&st->file_latency, 0.5),
		.last_high_bytes =
			w->writeback.high_bytes == USWAP_POLICY_NEVER ? 0 : w->writeback.high_bytes,
	};
	writeback_choose(w, &view);
	if (a.file_bytes > w->backing.peak_bytes)
		w->backing.peak_bytes = a.file_bytes;
}

static bool sample_space(struct worker *w, struct space *sp, uint32_t flags)
{
	struct mem_sample s;

	if (!sp->pid) /* a fork child without agent: what we know of it */
		return true;
	if (mem_linux_sample(sp->mem, flags, &s))
		return false;
	sp->rss_anon_pages = s.anon_pages;
	if (flags & MEM_SAMPLE_PSS)
		sp->shared_pages =
			s.anon_pages > s.pss_anon_pages ? s.anon_pages - s.pss_anon_pages : 0;
	if (!budget_shares_pages(w))
		sp->shared_pages = 0;
	if (sp->shared_pages > s.anon_pages)
		sp->shared_pages = s.anon_pages;
	if (flags & MEM_SAMPLE_STATUS && !sp->leaving)
		sp->homing = s.traced;
	if (flags & MEM_SAMPLE_STATUS && s.lone_agent && space_agent_idle(sp))
		agent_dismiss(w, sp->user);
	return true;
}

/* Spaces that are sampled: not those of fork children whose agent is still to come. */
static uint32_t n_sampled(const struct worker *w)
{
	const struct space *sp;
	uint32_t n = 0;

	list_for_each(sp, &w->group.spaces, link)
		n += sp->pid != 0;
	return n;
}

void budget_sample(struct worker *w, uint64_t now)
{
	const uint32_t n_spaces = n_sampled(w);
	struct budget *b = &w->budget;
	struct space *sp, *tmp;
	uint32_t flags = 0;

	b->sample_ns = now;
	if (now - b->status_ns > STATUS_NS) {
		b->status_ns = now;
		flags |= MEM_SAMPLE_STATUS;
	}
	if (budget_shares_pages(w) &&
	    ((now - b->pss_ns > PSS_NS && now - b->pss_ns > b->pss_cost_ns * PSS_COST_PARTS) ||
	     n_spaces != b->pss_n_spaces)) {
		b->pss_ns = now;
		b->pss_n_spaces = n_spaces;
		flags |= MEM_SAMPLE_PSS;
	}
	b->rss_pages = 0;
	list_for_each_safe(sp, tmp, &w->group.spaces, link) {
		sample_space(w, sp, flags);
		if (sp->leaving) /* the user took it out of the limit */
			continue;
		b->rss_pages += sp->rss_anon_pages - sp->shared_pages;
	}
	if (flags & MEM_SAMPLE_PSS)
		b->pss_cost_ns = clock_now_ns() - now;
	b->rss_at_resident = w->group.n_resident;
	look_at_streams(w, now);
	look_at_shared(w, now);
	budget_update(w);
	track_peaks(w, now);
	check_futile(w, now);
	ask_policy(w, now);
	list_for_each_safe(sp, tmp, &w->group.spaces, link)
		maybe_manage(w, sp, now);
	/* registration found pages that were counted by the sample already */
	b->rss_at_resident = w->group.n_resident;
}
