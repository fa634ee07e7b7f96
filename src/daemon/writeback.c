// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The writeback thread: moves cold pages from the pool into the file, when the policy says so.
 *
 * The owner compares the pool with the marks and calls; the thread moves pages in small batches until
 * the low mark is reached, the buffers are full (the store calls when one is free), or a bound of the
 * user is used up. It owns no page: each batch runs the pin-first protocol of src/core.
 *
 * A sweep that meets a load is ended (I13): what is being loaded is warm, and the next sweep begins
 * elsewhere, since picking turns the list.
 *
 * syscalls: setpriority prctl futex
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/worker-impl.h"

#define BATCH_PAGES 64u
#define PAUSE_NS (2ULL * 1000 * 1000) /* between looks at a pool that stays above its mark */
#define DAY_NS (86400ULL * 1000 * 1000 * 1000)
#define FULL_AGAIN_NS (100ULL * 1000 * 1000)
#define BURST_NS (50ULL * 1000 * 1000) /* of a rate that may be used at once */

enum {
	ROOM_PART = 8,	       /* this part of the file is kept free of copies, */
	ROOM_MIN_SEGMENTS = 4, /* and this more */
};

static enum swap_writeback_order order_of(enum uswap_policy_order order)
{
	switch (order) {
	case USWAP_ORDER_FIFO:
		return SWAP_WRITEBACK_FIFO;
	case USWAP_ORDER_SIZE:
		return SWAP_WRITEBACK_SIZE;
	case USWAP_ORDER_LRU:
		break;
	}
	return SWAP_WRITEBACK_LRU;
}

static uint64_t pool_bytes(struct worker *w)
{
	struct swap_stats s;

	swap_stats_get(w->swap, &s);
	return s.pool_used_bytes;
}

/* ---- how fast ------------------------------------------------------------------------------- */

/* What may be written by now of a rate, at most a burst at once. */
static bool rate_allows(struct write_rate *r, uint64_t bytes_per_s, uint64_t now)
{
	uint64_t burst = bytes_per_s / (1000000000ULL / BURST_NS);
	uint64_t passed = now - r->at_ns;

	if (!bytes_per_s) {
		*r = (struct write_rate){ .at_ns = now };
		return true;
	}
	if (burst < BATCH_PAGES * PAGE_BYTES)
		burst = BATCH_PAGES * PAGE_BYTES;
	if (passed > 10 * BURST_NS)
		passed = 10 * BURST_NS;
	r->credit_bytes += (double)bytes_per_s * (double)passed / 1e9;
	if (r->credit_bytes > (double)burst)
		r->credit_bytes = (double)burst;
	r->at_ns = now;
	return r->credit_bytes > 0;
}

/* A budget for any 24 hours that begin at the start. */
static bool day_allows(struct writeback *wb, uint64_t bytes_per_day, uint64_t now)
{
	if (now - wb->day_ns >= DAY_NS) {
		wb->day_ns = now;
		wb->day_bytes = 0;
	}
	return !bytes_per_day || wb->day_bytes < bytes_per_day;
}

/* What went to the disk since the last look: whoever sent it, and however often. */
static void charge(struct worker *w)
{
	struct writeback *wb = &w->writeback;
	struct store_stats st;
	uint64_t n_bytes;

	store_stats_get(w->backing.store, &st);
	n_bytes = st.written_bytes - wb->charged_bytes;
	wb->charged_bytes = st.written_bytes;
	wb->user_rate.credit_bytes -= (double)n_bytes;
	wb->policy_rate.credit_bytes -= (double)n_bytes;
	wb->day_bytes += n_bytes;
}

static bool may_write(struct worker *w, uint64_t now)
{
	struct writeback *wb = &w->writeback;
	bool ok;

	charge(w);
	ok = rate_allows(&wb->user_rate, w->o->write_rate_bytes, now);

	ok &= rate_allows(&wb->policy_rate, load_relaxed(&wb->bytes_per_s), now);
	ok &= day_allows(wb, w->o->write_day_bytes, now);
	if (!ok)
		fetch_add_relaxed(&wb->n_held_back, 1);
	return ok;
}

/* Copies of pages that are in memory are the first to go when the file becomes full. */
static void make_room(struct worker *w, bool is_full)
{
	struct swap_file_stats st;
	uint32_t wanted;

	swap_file_stats_get(w->swap, &st);
	wanted = st.n_segments / ROOM_PART + ROOM_MIN_SEGMENTS;
	is_full |= st.n_free < wanted;
	store_relaxed(&w->writeback.low_room, is_full);
	if (is_full)
		(void)swap_file_drop_kept(w->group.app, 2ULL * BATCH_PAGES * PAGE_BYTES);
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Move pages until the low mark. Return: how long to wait before another look; 0: for a call. */
static uint64_t sweep(struct worker *w)
{
	struct writeback *wb = &w->writeback;
	uint64_t low = load_relaxed(&wb->low_bytes); /* relaxed: figures of the owner */
	uint32_t n;
	int r;

	while (pool_bytes(w) > low && !load_relaxed(&wb->stop_now)) {
		if (!may_write(w, clock_now_ns()))
			return PAUSE_NS;
		make_room(w, load_relaxed(&wb->full));
		r = swap_writeback(w->group.app, order_of(load_relaxed(&wb->order)), BATCH_PAGES,
				   &n);
		if (n)
			store_relaxed(&wb->moved_ns, clock_now_ns());
		if (r == SWAP_E_FULL)
			return PAUSE_NS; /* or a call: the store has room again */
		if (r == SWAP_E_GONE) {
			store_relaxed(&wb->full, true);
			return FULL_AGAIN_NS;
		}
		store_relaxed(&wb->full, false);
		if (r == SWAP_E_WARM || !n)
			return PAUSE_NS;
	}
	store_relaxed(&wb->wanted, false);
	return 0;
}

static void *writeback_main(void *arg)
{
	struct worker *w = arg;
	struct writeback *wb = &w->writeback;
	uint64_t pause_ns = 0;

	prctl(PR_SET_NAME, "uswap-writeback");
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -5);
	pthread_mutex_lock(&wb->lock);
	while (!wb->stop) {
		if (!wb->called && !pause_ns) {
			pthread_cond_wait(&wb->call, &wb->lock);
			continue;
		}
		if (!wb->called) {
			struct timespec until = clock_deadline(pause_ns);

			if (!pthread_cond_timedwait(&wb->call, &wb->lock, &until) && !wb->called)
				continue;
		}
		wb->called = false;
		pthread_mutex_unlock(&wb->lock);
		pause_ns = load_relaxed(&wb->wanted) ? sweep(w) : 0;
		pthread_mutex_lock(&wb->lock);
	}
	pthread_mutex_unlock(&wb->lock);
	return NULL;
}

void writeback_call(struct worker *w)
{
	struct writeback *wb = &w->writeback;

	pthread_mutex_lock(&wb->lock);
	wb->called = true;
	pthread_mutex_unlock(&wb->lock);
	pthread_cond_signal(&wb->call);
}

int writeback_init(struct worker *w)
{
	struct writeback *wb = &w->writeback;
	pthread_condattr_t attr;

	pthread_mutex_init(&wb->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&wb->call, &attr);
	pthread_condattr_destroy(&attr);
	wb->low_bytes = wb->high_bytes = USWAP_POLICY_NEVER;
	wb->policy = policy_find(w->o->policy ? w->o->policy : "lru");
	wb->day_ns = clock_now_ns();
	return wb->policy ? 0 : err_origin(-EINVAL);
}

int writeback_start(struct worker *w)
{
	int r;

	if (!w->backing.is_open)
		return 0;
	r = pthread_create(&w->writeback.thread, NULL, writeback_main, w);
	w->writeback.runs = !r;
	return r ? err_origin(-r) : 0;
}

void writeback_stop(struct worker *w)
{
	struct writeback *wb = &w->writeback;

	if (!wb->runs)
		return;
	store_relaxed(&wb->stop_now, true); /* relaxed: the lock below orders */
	pthread_mutex_lock(&wb->lock);
	wb->stop = true;
	pthread_mutex_unlock(&wb->lock);
	pthread_cond_signal(&wb->call);
	pthread_join(wb->thread, NULL);
}

/* ---- the owner's side ----------------------------------------------------------------------- */

void writeback_choose(struct worker *w, const struct uswap_policy_view *view)
{
	struct writeback *wb = &w->writeback;
	struct uswap_policy_choice choice = { 0 };

	wb->policy->choose(view, &choice);
	wb->high_bytes = choice.high_bytes;
	/* relaxed: each for itself, and an old one does no harm */
	store_relaxed(&wb->low_bytes,
		      choice.low_bytes < choice.high_bytes ? choice.low_bytes : choice.high_bytes);
	store_relaxed(&wb->bytes_per_s, choice.bytes_per_s);
	store_relaxed(&wb->order, choice.order);
}

bool writeback_set_policy(struct worker *w, const char *name)
{
	const struct uswap_policy *policy = policy_find(name);

	if (policy)
		w->writeback.policy = policy;
	w->budget.view_ns = 0; /* ask it at the next sample */
	return policy;
}

void writeback_look(struct worker *w, uint64_t used_bytes)
{
	struct writeback *wb = &w->writeback;

	if (!wb->runs || used_bytes <= wb->high_bytes || load_relaxed(&wb->wanted))
		return;
	store_relaxed(&wb->wanted, true); /* relaxed: the call orders */
	writeback_call(w);
}

void writeback_press(struct worker *w, uint64_t used_bytes, uint64_t n_bytes)
{
	struct writeback *wb = &w->writeback;
	uint64_t low = used_bytes > n_bytes ? used_bytes - n_bytes : 0;

	if (!writeback_works(w) || load_relaxed(&wb->wanted)) /* relaxed: as in writeback_look() */
		return;
	if (low < load_relaxed(&wb->low_bytes)) /* until the policy is asked again */
		store_relaxed(&wb->low_bytes, low);
	store_relaxed(&wb->wanted, true); /* relaxed: the call orders */
	writeback_call(w);
}

bool writeback_wants_copies(const struct worker *w, uint64_t pool_used_bytes)
{
	const struct writeback *wb = &w->writeback;

	return wb->runs && !w->backing.retiring && !load_relaxed(&w->backing.broken) &&
	       !load_relaxed(&wb->low_room) && /* relaxed: a hint */
	       pool_used_bytes >= load_relaxed(&wb->low_bytes);
}

bool writeback_works(const struct worker *w)
{
	const struct writeback *wb = &w->writeback;

	return wb->runs && !w->backing.retiring && wb->high_bytes != USWAP_POLICY_NEVER &&
	       !load_relaxed(&wb->full) && !load_relaxed(&w->backing.broken); /* relaxed: hints */
}
