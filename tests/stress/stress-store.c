/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stress-store - the whole way to a real file and back, with threads
 *
 * Owners evict, load and drop pages, each with its own reader, as the threads that serve faults do;
 * the store writes, cleans and punches on its own; one thread writes back. The file is too small, so
 * that all of it is in motion. At the end it is retired while the owners are still at work. Each page
 * has a shadow of its content: a wrong or lost one ends the test at once.
 *
 * First with io_uring, if there is one, then with threads. USWAP_TEST_DIR or USWAP_TEST_PATH (a file or
 * device) says where, and USWAP_TEST_FULL=1 that there is less room than the file wants.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "store/file.h"
#include "store/reader.h"
#include "store/store.h"
#include "test-pages.h"

enum {
	N_OWNERS = 2,
	N_PAGES = 3000, /* per owner */
	N_BUFS = 6,
	N_WINDOW = 16, /* loads at once, at most */
	SEGMENT = 32 << 10,
	N_SEGMENTS = 160,
	PATIENCE_S = 100, /* until all that is looked for has happened */
};

struct page {
	struct slot_id id; /* 0: none */
	uint64_t seed;
	bool is_kept;
};

struct owner {
	struct rng rng;
	struct codec_ctx *ctx;
	struct reader *reader;
	struct swap_app *app;
	struct page pages[N_PAGES];
	struct stage_buf *buf;
	uint32_t n_filled;
	uint64_t n_loaded;
	pthread_t thread;
};

static struct disk_file file;
static struct swap *the_swap;
static struct store_bell *bell;
static struct store *the_store;
static struct owner owners[N_OWNERS];
static uint64_t n_steps;
static _Atomic uint32_t n_running;
static _Atomic bool is_retiring;
static bool has_all_happened; /* before it retired */

static void do_evict(struct owner *o, struct page *p)
{
	struct swap_use use = { 0 };
	uint32_t page_idx;
	int r;

	if (o->buf && o->n_filled == STAGE_BUF_PAGES) {
		swap_buf_put(the_swap, o->buf);
		o->buf = NULL;
	}
	if (!o->buf) {
		o->buf = swap_buf_try_get(the_swap);
		o->n_filled = 0;
	}
	if (!o->buf)
		return;
	if (p->is_kept) {
		if (swap_try_pin(the_swap, p->id, SWAP_PIN_STORE))
			return;
		if (rng_below(&o->rng, 2))
			p->seed = rng_next(&o->rng);
		p->is_kept = false;
	} else {
		if (swap_slot_new(o->app, &p->id))
			return;
		p->seed = rng_next(&o->rng);
	}
	page_idx = o->n_filled++;
	page_make(p->seed, o->buf->pages + (size_t)page_idx * PAGE_BYTES);
	r = swap_put(the_swap, p->id, o->buf, page_idx, &use);
	swap_unpin(the_swap, p->id);
	if (r == SWAP_E_STAGED)
		while ((r = swap_compress(the_swap, p->id, o->buf, page_idx, SWAP_CODEC_LZ4,
					  o->ctx)))
			ASSERT(r == SWAP_E_BUSY);
}

static void install(struct owner *o, struct page *p, const uint8_t *bytes)
{
	enum swap_load_end end = SWAP_LOAD_ERASE + rng_below(&o->rng, 3);

	ASSERT(page_is(bytes, p->seed));
	o->n_loaded++;
	p->is_kept = swap_load_end(the_swap, p->id, end);
	if (!p->is_kept)
		p->id.v = 0;
}

static void install_record(struct owner *o, struct reader_read *read)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));
	struct page *p = read->user;

	ASSERT(read->record);
	ASSERT(swap_load_bytes(the_swap, p->id, read->record, bytes, o->ctx, NULL) == 0);
	reader_release(o->reader, read);
	install(o, p, bytes);
}

/* A fault with its neighbours. */
static void do_load(struct owner *o, uint32_t k, uint32_t n)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));
	struct reader_read reads[N_WINDOW], *ptrs[N_WINDOW], *done[N_WINDOW];
	uint32_t n_reads = 0, n_begun = 0, n_ended = 0, n_done, i;
	struct page *p;
	int r;

	for (p = &o->pages[k]; p < &o->pages[k + n]; p++) {
		if (!p->id.v || p->is_kept || swap_try_pin(the_swap, p->id, SWAP_PIN_LOAD))
			continue;
		r = swap_load(the_swap, p->id, bytes, o->ctx, NULL);
		if (r == 0) {
			install(o, p, bytes);
			continue;
		}
		ASSERT(r == SWAP_E_ON_FILE);
		swap_file_extent(the_swap, p->id, &reads[n_reads].extent);
		reads[n_reads].user = p;
		ptrs[n_reads] = &reads[n_reads];
		n_reads++;
	}
	while (n_ended < n_reads) {
		n_begun += reader_submit(o->reader, ptrs + n_begun, n_reads - n_begun);
		n_done = reader_reap_wait(o->reader, done, N_WINDOW);
		for (i = 0; i < n_done; i++)
			install_record(o, done[i]);
		n_ended += n_done;
	}
}

static void owner_step(struct owner *o)
{
	uint32_t k = rng_below(&o->rng, N_PAGES - N_WINDOW), i, what = rng_below(&o->rng, 16);

	if (what == 0) {
		for (i = 0; i < N_WINDOW; i++) {
			if (o->pages[k + i].id.v)
				swap_slot_unref(the_swap, o->pages[k + i].id);
			o->pages[k + i].id.v = 0;
			o->pages[k + i].is_kept = false;
		}
	} else if (what < 4) {
		do_load(o, k, 1 + rng_below(&o->rng, N_WINDOW));
	} else {
		for (i = 0; i < 4; i++)
			if (!o->pages[k + i].id.v || o->pages[k + i].is_kept)
				do_evict(o, &o->pages[k + i]);
	}
}

/* Pages went to the file, came back from it, and its segments were cleaned: not only once. */
static bool all_has_happened(void)
{
	struct store_stats sst;
	struct swap_app_stats st;
	uint32_t i;

	store_stats_get(the_store, &sst);
	if (sst.n_written < 10 || sst.n_cleaned < 10)
		return false;
	for (i = 0; i < N_OWNERS; i++) {
		swap_app_stats_get(owners[i].app, &st);
		if (st.n_load_file < 10)
			return false;
	}
	return true;
}

/* The last eighth of the steps while the file is retired. */
static void *owner_main(void *arg)
{
	uint64_t end_ns = clock_now_ns() + PATIENCE_S * UINT64_C(1000000000), i;
	struct owner *o = arg;

	for (i = 0; i < n_steps / 8 * 7; i++)
		owner_step(o);
	while (!all_has_happened() && clock_now_ns() < end_ns)
		owner_step(o);
	if (!exchange_acq_rel(&is_retiring, true)) {
		has_all_happened = all_has_happened();
		store_retire(the_store);
	}
	for (i = 0; i < n_steps / 8; i++)
		owner_step(o);
	fetch_sub_acq_rel(&n_running, 1);
	return NULL;
}

static void *writeback_main(void *arg)
{
	struct rng rng = { (uintptr_t)arg };
	uint32_t n;
	int r;

	while (load_acquire(&n_running)) {
		r = swap_writeback(owners[rng_below(&rng, N_OWNERS)].app,
				   (enum swap_writeback_order)rng_below(&rng, 3),
				   1 + rng_below(&rng, 64), &n);
		if (r || n == 0)
			usleep(200);
		if (rng_below(&rng, 64) == 0)
			swap_file_drop_kept(owners[rng_below(&rng, N_OWNERS)].app, 30000);
	}
	return NULL;
}

static void begin(uint64_t seed, bool no_uring)
{
	const char *dir = getenv("USWAP_TEST_DIR");
	struct disk_file_options fo = { .path = getenv("USWAP_TEST_PATH"),
					.dir = dir ? dir : ".",
					.no_uring = no_uring };
	struct swap_options so = { .max_pages = N_OWNERS * N_PAGES,
				   .n_bufs = N_BUFS,
				   .allow_unlocked_memory = true };
	struct swap_file_options sfo = { .max_bytes = SEGMENT * N_SEGMENTS,
					 .segment_bytes = SEGMENT,
					 .encrypt = !no_uring,
					 .on_work = store_bell_ring };
	struct store_options sto = { .disk = &file.disk };
	uint32_t i;

	ASSERT(disk_file_open(&file, &fo) == 0);
	ASSERT(!file.is_device || file.n_bytes >= SEGMENT * N_SEGMENTS);
	ASSERT(store_bell_new(&bell) == 0);
	sfo.user = bell;
	ASSERT(swap_new(&the_swap, &so) == 0);
	ASSERT(swap_file_attach(the_swap, &sfo) == 0);
	sto.swap = the_swap;
	ASSERT(store_new(&the_store, &sto, bell) == 0);
	memset(owners, 0, sizeof(owners));
	for (i = 0; i < N_OWNERS; i++) {
		owners[i].rng.v = seed + i;
		ASSERT(swap_app_new(the_swap, &owners[i].app) == 0);
		ASSERT(codec_ctx_new(&owners[i].ctx) == 0);
		ASSERT(reader_new(&owners[i].reader, &file.disk, READER_MIN_BUF_BYTES) == 0);
	}
	store_release(&is_retiring, false);
	has_all_happened = false;
	ASSERT(store_start(the_store) == 0);
}

/* The file has to become empty with nobody's help. */
static void wait_until_empty(void)
{
	struct swap_file_stats st;
	uint32_t i;

	for (i = 0; i < 60000; i++) {
		swap_file_stats_get(the_swap, &st);
		if (st.n_live == 0 && st.n_used == 0)
			return;
		usleep(1000);
	}
	ASSERT(!"the file does not become empty");
}

static void end(void)
{
	struct swap_app_stats st;
	struct store_stats sst;
	struct owner *o;
	uint32_t k;

	wait_until_empty();
	store_stats_get(the_store, &sst);
	the_store = store_free(the_store);
	swap_check(the_swap);
	for (o = owners; o < owners + N_OWNERS; o++) {
		for (k = 0; k + N_WINDOW <= N_PAGES; k += N_WINDOW)
			do_load(o, k, N_WINDOW);
		for (k = 0; k < N_PAGES; k++)
			if (o->pages[k].id.v)
				swap_slot_unref(the_swap, o->pages[k].id);
		if (o->buf)
			swap_buf_put(the_swap, o->buf);
		swap_app_stats_get(o->app, &st);
		ASSERT(st.n_pages == 0 && st.n_lost == 0);
		printf("%" PRIu64 " stored, %" PRIu64 " loaded, %" PRIu64 " written back, %" PRIu64
		       " read, %" PRIu64 " taken back\n",
		       st.n_put, o->n_loaded, st.n_writeback, st.n_load_file, st.n_rehomed);
		reader_free(o->reader);
		codec_ctx_free(o->ctx);
		swap_app_free(o->app);
	}
	printf("%" PRIu64 " segments written, %" PRIu64 " cleaned, %" PRIu64
	       " pages moved, %" PRIu64 " bytes punched\n",
	       sst.n_written, sst.n_cleaned, sst.n_cleaned_pages, sst.punched_bytes);
	ASSERT(sst.n_write_errors == sst.n_disk_full && sst.n_clean_errors == 0);
	ASSERT((sst.n_disk_full > 0) == (test_env("USWAP_TEST_FULL", 0) > 0));
	ASSERT(sst.stopped_errno == 0);
	ASSERT(has_all_happened);
	swap_free(the_swap);
	store_bell_free(bell);
	disk_file_close(&file);
}

static void run(uint64_t seed, bool no_uring)
{
	pthread_t writeback;
	uint32_t i;

	begin(seed, no_uring);
	printf("disk: %s, %s\n", file.disk.ops->name,
	       file.direct_errno ? "by the page cache" : "direct");
	store_release(&n_running, N_OWNERS); /* pairs with the loads of the other threads */
	pthread_create(&writeback, NULL, writeback_main, (void *)(uintptr_t)(seed + 9));
	for (i = 0; i < N_OWNERS; i++)
		pthread_create(&owners[i].thread, NULL, owner_main, &owners[i]);
	for (i = 0; i < N_OWNERS; i++)
		pthread_join(owners[i].thread, NULL);
	pthread_join(writeback, NULL);
	end();
}

int main(void)
{
	uint64_t seed = test_seed();

	n_steps = test_env("USWAP_TEST_STEPS", 20000);
	run(seed, false);
	run(seed + 1, true);
	return 0;
}
