/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stress-swap - threads on one swap, each page with a shadow of its content
 *
 * Owners evict, load, keep, drop and hand counted slots to each other, as parent and child of a fork
 * do. Compressors, a recompressor, a compactor and a dropper of kept copies work on the same slots
 * without owning any. Two threads write back what they find cold, one plays the disk, which is too
 * small, fails now and then and takes its time, one cleans; towards the end the file is retired under
 * all of them. A page that comes back with another content, or a wake-up that is lost, ends
 * the test at once; at the end nothing may be left.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "core/swap-file.h"
#include "core/swap.h"
#include "test-disk.h"
#include "test-pages.h"

enum {
	N_OWNERS = 2,
	N_COMPRESSORS = 2,
	N_PAGES = 3000, /* per owner */
	N_BUFS = 6,
	N_QUEUE = 4096,
	N_MAIL = 256,
	N_WAKES = 1 << 16,
	WAKE_TIMEOUT_S = 30,
	EXIT_EVERY = 10000, /* steps between two exits of an owner's program */
	SEGMENT = 16 << 10,
	N_SEGMENTS = 250, /* too few for all pages */
	N_JOBS = 3,	  /* writes in flight */
	N_FILE_THREADS = 4,
};

enum page_state { PAGE_NONE, PAGE_STORED, PAGE_KEPT };

struct page {
	struct slot_id id;
	enum page_state state;
	uint64_t seed;
};

struct mail {
	struct slot_id id;
	uint64_t seed;
};

struct todo {
	struct stage_buf *buf;
	struct slot_id id;
	uint32_t page_idx;
};

struct owner {
	struct rng rng;
	struct codec_ctx *ctx;
	struct swap_app *app;
	struct page pages[N_PAGES];
	struct stage_buf *buf;
	uint32_t n_filled;
	pthread_mutex_t mail_lock;
	struct mail mail[N_MAIL]; /* [mail_lock] counts given to this owner */
	uint32_t n_mail;	  /* [mail_lock] */
	uint64_t n_parked;
	uint64_t n_loaded;
	pthread_t thread;
};

static struct swap *the_swap;
static struct swap_app *apps[2];
static struct owner owners[N_OWNERS];
static struct test_disk disk;
static uint64_t n_steps;
static _Atomic bool is_retiring;
static _Atomic uint64_t n_cleaned;
static _Atomic uint32_t n_running;	/* owners still at work */
static _Atomic uint32_t wakes[N_WAKES]; /* callbacks per slot id, modulo */
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct todo queue[N_QUEUE]; /* [queue_lock] */
static uint32_t n_queue;	   /* [queue_lock] */

static void on_unpinned(void *user, struct slot_id id)
{
	(void)user;
	fetch_add_acq_rel(&wakes[id.v % N_WAKES], 1);
}

static bool queue_push(struct todo t)
{
	bool ok;

	pthread_mutex_lock(&queue_lock);
	ok = n_queue < N_QUEUE;
	if (ok)
		queue[n_queue++] = t;
	pthread_mutex_unlock(&queue_lock);
	return ok;
}

static bool queue_pop(struct rng *rng, struct todo *ret)
{
	uint32_t k;
	bool ok;

	pthread_mutex_lock(&queue_lock);
	ok = n_queue > 0;
	if (ok) {
		k = rng_below(rng, n_queue);
		*ret = queue[k];
		queue[k] = queue[--n_queue];
	}
	pthread_mutex_unlock(&queue_lock);
	return ok;
}

/* Pin for a load as a fault does: park, wait for the callback, try again. */
static void pin_wait(struct owner *o, struct slot_id id)
{
	uint64_t deadline_ns = clock_now_ns() + WAKE_TIMEOUT_S * UINT64_C(1000000000);
	uint32_t seen;

	for (;;) {
		seen = load_acquire(&wakes[id.v % N_WAKES]);
		if (swap_pin_or_park(the_swap, id, SWAP_PIN_LOAD) == 0)
			return;
		o->n_parked++;
		while (load_acquire(&wakes[id.v % N_WAKES]) == seen) {
			ASSERT(clock_now_ns() < deadline_ns); /* a wake-up was lost */
			sched_yield();
		}
	}
}

/* Return: true if the caller's count is still there. */
static bool load_page(struct owner *o, struct slot_id id, uint64_t seed, enum swap_load_end end)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));

	pin_wait(o, id);
	ASSERT(test_disk_load(&disk, the_swap, id, bytes, o->ctx, NULL) == 0);
	ASSERT(page_is(bytes, seed));
	o->n_loaded++;
	return swap_load_end(the_swap, id, end);
}

static bool need_buf(struct owner *o)
{
	if (o->buf && o->n_filled == STAGE_BUF_PAGES) {
		swap_buf_put(the_swap, o->buf);
		o->buf = NULL;
	}
	if (!o->buf) {
		o->buf = swap_buf_try_get(the_swap);
		o->n_filled = 0;
	}
	return o->buf;
}

static void do_evict(struct owner *o, struct page *p)
{
	struct swap_use use = { 0 };
	uint32_t page_idx;
	int r;

	if (!need_buf(o)) {
		sched_yield();
		return;
	}
	if (p->state == PAGE_KEPT) {
		/* Found pinned by who drops kept copies: another time. */
		if (swap_try_pin(the_swap, p->id, SWAP_PIN_STORE))
			return;
		if (rng_below(&o->rng, 2))
			p->seed = rng_next(&o->rng);
	} else {
		if (swap_slot_new(o->app, &p->id))
			return;
		p->seed = rng_next(&o->rng);
	}
	page_idx = o->n_filled++;
	page_make(p->seed, o->buf->pages + (size_t)page_idx * PAGE_BYTES);
	r = swap_put(the_swap, p->id, o->buf, page_idx, &use);
	p->state = PAGE_STORED;
	swap_unpin(the_swap, p->id);
	if (r == SWAP_E_STAGED)
		queue_push((struct todo){ o->buf, p->id, page_idx });
}

static void do_load(struct owner *o, struct page *p)
{
	enum swap_load_end end = (enum swap_load_end)rng_below(&o->rng, 4);

	if (!load_page(o, p->id, p->seed, end))
		p->state = PAGE_NONE;
	else if (end != SWAP_LOAD_ABORT)
		p->state = PAGE_KEPT;
}

/* Give another owner a count of a stored page, as fork does. */
static void do_share(struct owner *o, struct page *p)
{
	struct owner *to = &owners[rng_below(&o->rng, N_OWNERS)];

	pthread_mutex_lock(&to->mail_lock);
	if (to->n_mail < N_MAIL) {
		swap_slot_ref(the_swap, p->id);
		to->mail[to->n_mail++] = (struct mail){ p->id, p->seed };
	}
	pthread_mutex_unlock(&to->mail_lock);
}

static bool do_mail(struct owner *o)
{
	struct mail mail;
	bool got;

	pthread_mutex_lock(&o->mail_lock);
	got = o->n_mail > 0;
	if (got)
		mail = o->mail[--o->n_mail];
	pthread_mutex_unlock(&o->mail_lock);
	if (!got)
		return false;
	if (rng_below(&o->rng, 4) == 0)
		swap_slot_unref(the_swap, mail.id);
	else if (load_page(o, mail.id, mail.seed, SWAP_LOAD_ERASE))
		ASSERT(!"an erase gives the count up");
	return true;
}

static void owner_step(struct owner *o)
{
	struct page *p = &o->pages[rng_below(&o->rng, N_PAGES)];
	uint32_t what = rng_below(&o->rng, 16);

	if (what == 0) {
		do_mail(o);
	} else if (what == 1 && p->state != PAGE_NONE) {
		swap_slot_unref(the_swap, p->id);
		p->state = PAGE_NONE;
	} else if (what == 2 && p->state == PAGE_STORED) {
		do_share(o, p);
	} else if (p->state == PAGE_STORED) {
		do_load(o, p);
	} else {
		do_evict(o, p);
	}
}

/* All pages at once, as an exit drops them: areas become empty under the others' hands. */
static void do_exit(struct owner *o)
{
	uint32_t k;

	for (k = 0; k < N_PAGES; k++) {
		if (o->pages[k].state != PAGE_NONE)
			swap_slot_unref(the_swap, o->pages[k].id);
		o->pages[k].state = PAGE_NONE;
	}
}

static void *owner_main(void *arg)
{
	struct owner *o = arg;
	uint64_t i;

	for (i = 0; i < n_steps; i++) {
		owner_step(o);
		if (i % EXIT_EVERY == EXIT_EVERY - 1)
			do_exit(o);
		if (i == n_steps / 8 * 7 && !exchange_acq_rel(&is_retiring, true))
			swap_file_retire(the_swap);
	}
	fetch_sub_acq_rel(&n_running, 1);
	return NULL;
}

static void *compressor_main(void *arg)
{
	struct rng rng = { (uintptr_t)arg };
	struct codec_ctx *ctx;
	struct todo t;
	int r;

	ASSERT(codec_ctx_new(&ctx) == 0);
	while (load_acquire(&n_running)) {
		if (!queue_pop(&rng, &t)) {
			sched_yield();
			continue;
		}
		r = swap_compress(the_swap, t.id, t.buf, t.page_idx,
				  (enum swap_codec)rng_below(&rng, 3), ctx);
		if (r == SWAP_E_BUSY || r == SWAP_E_WARM)
			queue_push(t);
		else
			ASSERT(r == 0 || r == SWAP_E_GONE);
	}
	codec_ctx_free(ctx);
	return NULL;
}

static void *upkeep_main(void *arg)
{
	struct rng rng = { 77 };
	struct codec_ctx *ctx;
	struct swap_stats st;

	(void)arg;
	ASSERT(codec_ctx_new(&ctx) == 0);
	while (load_acquire(&n_running)) {
		switch (rng_below(&rng, 4)) {
		case 0:
			swap_drop_kept(apps[rng_below(&rng, 2)], 1 + rng_below(&rng, 30000));
			break;
		case 1:
			swap_compact(the_swap, 1 << 20);
			break;
		case 2:
			swap_stats_get(the_swap, &st);
			break;
		default:
			swap_recompress(apps[rng_below(&rng, 2)], 32, ctx);
		}
	}
	codec_ctx_free(ctx);
	return NULL;
}

static void *writeback_main(void *arg)
{
	struct rng rng = { (uintptr_t)arg };
	uint32_t n;

	while (load_acquire(&n_running)) {
		swap_writeback(apps[rng_below(&rng, 2)],
			       (enum swap_writeback_order)rng_below(&rng, 3),
			       1 + rng_below(&rng, 64), &n);
		if (n == 0)
			sched_yield();
		if (rng_below(&rng, 64) == 0)
			swap_file_drop_kept(apps[rng_below(&rng, 2)], 1 + rng_below(&rng, 30000));
	}
	return NULL;
}

static enum swap_file_result disk_result(struct rng *rng)
{
	enum swap_file_result result = SWAP_FILE_OK;

	if (rng_below(rng, 100) == 0)
		result = (enum swap_file_result)rng_below(rng, 4);
	/* Places are few. */
	if (result == SWAP_FILE_BAD && disk.n_failed > N_SEGMENTS / 4)
		result = SWAP_FILE_BROKEN;
	return result;
}

static void *disk_main(void *arg)
{
	struct rng rng = { (uintptr_t)arg };
	struct swap_file_job jobs[N_JOBS];
	uint32_t n_jobs = 0, k;
	struct codec_ctx *ctx;

	ASSERT(codec_ctx_new(&ctx) == 0);
	while (load_acquire(&n_running) || n_jobs > 0) {
		if (n_jobs < N_JOBS && swap_file_write_begin(the_swap, &jobs[n_jobs]) == 0)
			n_jobs++;
		if (n_jobs > 0 && rng_below(&rng, 2)) {
			k = rng_below(&rng, n_jobs);
			test_disk_end(&disk, the_swap, &jobs[k], disk_result(&rng));
			jobs[k] = jobs[--n_jobs];
		}
		swap_file_rehome(the_swap, ctx);
		if (rng_below(&rng, 50) == 0)
			swap_file_flush(the_swap);
		if (rng_below(&rng, 50) == 0)
			swap_file_may_grow(the_swap);
		if (n_jobs == 0)
			sched_yield();
	}
	codec_ctx_free(ctx);
	return NULL;
}

static void *cleaner_main(void *arg)
{
	struct rng rng = { (uintptr_t)arg };
	struct swap_file_stats st;
	struct codec_ctx *ctx;
	uint32_t n;

	ASSERT(codec_ctx_new(&ctx) == 0);
	while (load_acquire(&n_running)) {
		n = 0;
		if (!test_disk_clean(&disk, the_swap, 30 + rng_below(&rng, 60), ctx, &n))
			sched_yield();
		fetch_add_relaxed(&n_cleaned, n);
		if (rng_below(&rng, 8) == 0)
			test_disk_punch(&disk, the_swap, rng_below(&rng, 4));
		swap_file_stats_get(the_swap, &st);
	}
	codec_ctx_free(ctx);
	return NULL;
}

static void begin(uint64_t seed)
{
	struct swap_options options = {
		.max_pages = N_OWNERS * (N_PAGES + N_MAIL),
		.n_bufs = N_BUFS,
		.zstd_level = 1,
		.allow_unlocked_memory = true,
		.on_unpinned = on_unpinned,
	};
	struct swap_file_options file = {
		.max_bytes = SEGMENT * N_SEGMENTS,
		.segment_bytes = SEGMENT,
		.n_bufs = 6,
		.encrypt = seed & 1,
	};
	uint32_t i;

	test_disk_init(&disk, file.max_bytes);
	ASSERT(swap_new(&the_swap, &options) == 0);
	ASSERT(swap_file_attach(the_swap, &file) == 0);
	ASSERT(swap_app_new(the_swap, &apps[0]) == 0);
	ASSERT(swap_app_new(the_swap, &apps[1]) == 0);
	for (i = 0; i < N_OWNERS; i++) {
		owners[i].rng.v = seed + i;
		owners[i].app = apps[i % 2];
		ASSERT(codec_ctx_new(&owners[i].ctx) == 0);
		pthread_mutex_init(&owners[i].mail_lock, NULL);
	}
}

static void end_owner(struct owner *o)
{
	uint32_t k;

	while (do_mail(o))
		;
	for (k = 0; k < N_PAGES; k++) {
		if (o->pages[k].state == PAGE_STORED)
			ASSERT(!load_page(o, o->pages[k].id, o->pages[k].seed, SWAP_LOAD_ERASE));
		else if (o->pages[k].state == PAGE_KEPT)
			swap_slot_unref(the_swap, o->pages[k].id);
	}
	if (o->buf)
		swap_buf_put(the_swap, o->buf);
	codec_ctx_free(o->ctx);
}

/* Nobody holds a pin any more: the file must become empty. */
static void end_file(void)
{
	struct swap_file_stats st;
	struct codec_ctx *ctx;
	uint32_t n;

	ASSERT(codec_ctx_new(&ctx) == 0);
	swap_file_retire(the_swap);
	ASSERT(swap_file_rehome(the_swap, ctx) == 0);
	swap_check(the_swap);
	while (test_disk_clean(&disk, the_swap, 0, ctx, &n))
		;
	codec_ctx_free(ctx);
	swap_file_stats_get(the_swap, &st);
	ASSERT(st.n_live == 0 && st.n_used == 0);
	printf("file: %" PRIu64 " segments written, %" PRIu64 " failed, %" PRIu64 " pages moved\n",
	       disk.n_written, disk.n_failed, load_acquire(&n_cleaned));
}

static void end(void)
{
	struct swap_app_stats st;
	struct swap_stats all;
	uint32_t i;

	end_file();
	swap_check(the_swap);
	for (i = 0; i < N_OWNERS; i++)
		end_owner(&owners[i]);
	swap_check(the_swap);
	swap_stats_get(the_swap, &all);
	ASSERT(all.pool_used_bytes == 0 && all.n_bufs_free == N_BUFS);
	for (i = 0; i < 2; i++) {
		swap_app_stats_get(apps[i], &st);
		ASSERT(st.n_pages == 0 && st.n_kept == 0 && st.n_lost == 0);
		printf("app %u: %" PRIu64 " stored, %" PRIu64 " unchanged, %" PRIu64
		       " loaded, %" PRIu64 " written back, %" PRIu64 " read, %" PRIu64
		       " taken back\n",
		       i, st.n_put, st.n_put_unchanged, st.n_load, st.n_writeback, st.n_load_file,
		       st.n_rehomed);
		ASSERT(n_steps < 100000 || (st.n_writeback > 0 && st.n_load_file > 0));
		swap_app_free(apps[i]);
	}
	swap_free(the_swap);
	test_disk_deinit(&disk);
}

int main(void)
{
	static void *(*const file_mains[N_FILE_THREADS])(void *) = { writeback_main, writeback_main,
								     disk_main, cleaner_main };
	pthread_t compressors[N_COMPRESSORS], upkeep[2], file_threads[N_FILE_THREADS];
	uint64_t seed = test_seed(), n_parked = 0;
	uint32_t i;

	n_steps = test_env("USWAP_TEST_STEPS", 150000);
	begin(seed);
	store_release(&n_running, N_OWNERS); /* pairs with the loads of the background threads */
	for (i = 0; i < N_COMPRESSORS; i++)
		pthread_create(&compressors[i], NULL, compressor_main,
			       (void *)(uintptr_t)(seed + 99));
	for (i = 0; i < 2; i++)
		pthread_create(&upkeep[i], NULL, upkeep_main, NULL);
	for (i = 0; i < N_FILE_THREADS; i++)
		pthread_create(&file_threads[i], NULL, file_mains[i],
			       (void *)(uintptr_t)(seed + i));
	for (i = 0; i < N_OWNERS; i++)
		pthread_create(&owners[i].thread, NULL, owner_main, &owners[i]);
	for (i = 0; i < N_OWNERS; i++)
		pthread_join(owners[i].thread, NULL);
	for (i = 0; i < N_COMPRESSORS; i++)
		pthread_join(compressors[i], NULL);
	for (i = 0; i < 2; i++)
		pthread_join(upkeep[i], NULL);
	for (i = 0; i < N_FILE_THREADS; i++)
		pthread_join(file_threads[i], NULL);
	for (i = 0; i < N_OWNERS; i++)
		n_parked += owners[i].n_parked;
	printf("%" PRIu64 " faults parked\n", n_parked);
	end();
	return 0;
}
