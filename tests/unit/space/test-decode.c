/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-decode - owner and another thread at the same early load
 *
 * The owner takes the load back at any moment, wanting its pages or not. What was decompressed is right,
 * whoever did it; what it gets back nobody touches any more, which ThreadSanitizer watches over as well.
 */
#include <pthread.h>
#include <sched.h>

#include "test-common.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "space/space-impl.h"
#include "test-disk.h"

enum {
	N_ROUNDS = 3000,
	SEED = 1006, /* compresses */
	SEGMENT = 16384,
	N_SEGS = 24,
	N_SPINS = 40000, /* about as long as the thread needs for all */
	PATIENCE_S = 20, /* until all ends have been seen */
};

/* What the daemon does with a queue, with room for one. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t call;
	struct decode_job *job;	 /* [lock] posted, nobody has it */
	struct decode_job *told; /* [lock] the owner waits for it */
	bool stop;		 /* [lock] */
	bool was_unposted;	 /* the last one, before the thread had it */
} q = { .lock = PTHREAD_MUTEX_INITIALIZER, .call = PTHREAD_COND_INITIALIZER };

static struct swap *s;
static struct test_disk disk;
static struct space_group g;
static struct file_load load;
static uint8_t pages[AHEAD_MAX_PAGES * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static bool post(void *user, struct decode_job *job)
{
	(void)user;
	pthread_mutex_lock(&q.lock);
	assert_null(q.job);
	q.job = job;
	pthread_mutex_unlock(&q.lock);
	pthread_cond_signal(&q.call);
	return true;
}

static bool unpost(void *user, struct decode_job *job)
{
	bool waited;

	(void)user;
	pthread_mutex_lock(&q.lock);
	waited = q.job == job;
	q.job = NULL;
	pthread_mutex_unlock(&q.lock);
	q.was_unposted = waited;
	return waited;
}

static const struct space_host host = { .post_decode = post, .unpost_decode = unpost };

static void *decoder(void *arg)
{
	struct codec_ctx *ctx = arg;
	uint32_t n_jobs = 0;

	pthread_mutex_lock(&q.lock);
	while (!q.stop) {
		struct decode_job *job = q.job;

		q.job = NULL;
		if (!job) {
			pthread_cond_wait(&q.call, &q.lock);
			continue;
		}
		pthread_mutex_unlock(&q.lock);
		n_jobs++;
		while (decode_job_step(job, ctx))
			if (n_jobs % 2)
				sched_yield(); /* with one CPU the owner comes in between here */
		if (!decode_job_leave(job))
			job = NULL;
		pthread_mutex_lock(&q.lock);
		q.told = job;
	}
	pthread_mutex_unlock(&q.lock);
	return NULL;
}

static void wait_until_told(void)
{
	bool told = false;

	while (!told) {
		pthread_mutex_lock(&q.lock);
		told = q.told == &load.decode;
		if (told)
			q.told = NULL;
		pthread_mutex_unlock(&q.lock);
		sched_yield();
	}
}

/* All pages of the load lie in the file but every seventh, which was never part of it. */
static void on_disk(void)
{
	struct stage_buf *buf = swap_buf_try_get(s);
	uint32_t k, n, n_moved = 0;

	assert_non_null(buf);
	for (k = 0; k < AHEAD_MAX_PAGES; k++) {
		struct slot_id id;

		assert_int_equal(swap_slot_new(g.app, &id), 0);
		page_make(SEED + 16 * k, buf->pages + (size_t)k * PAGE_BYTES);
		assert_int_equal(swap_put(s, id, buf, k, &(struct swap_use){ .level = k % 4 }),
				 SWAP_E_STAGED);
		swap_unpin(s, id);
		assert_int_equal(swap_compress(s, id, buf, k, SWAP_CODEC_LZ4, g.codec), 0);
		load.read[k].slot = id;
	}
	swap_buf_put(s, buf);
	for (k = 0; k < 4 && n_moved < AHEAD_MAX_PAGES; k++) { /* second chances */
		(void)swap_writeback(g.app, SWAP_WRITEBACK_LRU, AHEAD_MAX_PAGES, &n);
		n_moved += n;
		swap_file_flush(s);
		test_disk_pump(&disk, s);
	}
	assert_int_equal(n_moved, AHEAD_MAX_PAGES);
	for (k = 0; k < AHEAD_MAX_PAGES; k++)
		assert_int_equal(swap_try_pin(s, load.read[k].slot, SWAP_PIN_LOAD), 0);
}

static bool takes_part(uint32_t k)
{
	return k % 7 != 3;
}

static void load_arrives(void)
{
	uint32_t k;

	for (k = 0; k < AHEAD_MAX_PAGES; k++) {
		struct page_read *read = &load.read[k];

		*read = (struct page_read){ .load = &load, .slot = read->slot };
		if (!takes_part(k))
			continue;
		assert_true(swap_file_needs_read(s, read->slot, &read->extent));
		read->record = disk.bytes + read->extent.offset;
		read->state = READ_DONE;
	}
	memset(pages, 0xdd, sizeof(pages));
	load.n_flying = 0;
}

/* Return: pages that were decompressed. */
static uint32_t check_pages(void)
{
	uint8_t want[PAGE_BYTES] __attribute__((aligned(8)));
	uint32_t k, n = 0;

	for (k = 0; k < AHEAD_MAX_PAGES; k++) {
		if (!load.read[k].is_decoded)
			continue;
		assert_true(takes_part(k));
		assert_int_equal(load.read[k].result, 0);
		assert_int_equal(load.read[k].use.level, k % 4);
		page_make(SEED + 16 * k, want);
		assert_memory_equal(pages + (size_t)k * PAGE_BYTES, want, PAGE_BYTES);
		n++;
	}
	return n;
}

static uint32_t n_wanted(void)
{
	uint32_t k, n = 0;

	for (k = 0; k < AHEAD_MAX_PAGES; k++)
		n += takes_part(k);
	return n;
}

static void test_taken_back_at_any_moment(void **state)
{
	uint64_t end_ns = clock_now_ns() + PATIENCE_S * UINT64_C(1000000000);
	uint32_t n_back = 0, n_all = 0, n_told = 0, n_left = 0, k;
	struct rng rng = { test_seed() };
	struct codec_ctx *ctx;
	pthread_t thread;

	(void)state;
	assert_int_equal(codec_ctx_new(&ctx), 0);
	assert_int_equal(pthread_create(&thread, NULL, decoder, ctx), 0);
	for (k = 0;
	     k < N_ROUNDS || (!(n_back && n_all && n_told && n_left) && clock_now_ns() < end_ns);
	     k++) {
		bool wanted = rng_below(&rng, 4);
		uint32_t spins = rng_below(&rng, 2) ? rng_below(&rng, N_SPINS) : 0;
		uint32_t n;

		load_arrives();
		decode_post(&load, &g);
		assert_true(load.decode.posted && !g.n_decode_free);
		while (spins--)
			cpu_relax();
		decode_settle(&load, &g, wanted);
		if (load.n_flying) {
			wait_until_told();
			load.n_flying = 0;
			n_told++;
		} else if (!q.was_unposted) {
			n_left++;
		}
		n = check_pages();
		assert_true(n <= n_wanted());
		n_back += !n;
		n_all += n == n_wanted();
		decode_end(&load, &g);
		assert_int_equal(g.n_decode_free, 1);
	}
	pthread_mutex_lock(&q.lock);
	q.stop = true;
	pthread_mutex_unlock(&q.lock);
	pthread_cond_signal(&q.call);
	pthread_join(thread, NULL);
	codec_ctx_free(ctx);
	print_message("of %u: %u all, %u none, %u left before, %u told\n", k, n_all, n_back, n_left,
		      n_told);
	assert_true(n_all > 0 && n_back > 0 && n_left > 0 && n_told > 0);
}

/* No buffer, or no thread: the owner does it when the fault comes. */
static void test_not_posted(void **state)
{
	(void)state;
	load_arrives();
	g.n_decode_free = 0;
	decode_post(&load, &g);
	assert_true(!load.decode.posted && !load.decode.pages);
	g.n_decode_free = 1;
	g.host = &(const struct space_host){ 0 };
	decode_post(&load, &g);
	assert_true(!load.decode.posted && !load.decode.pages && g.n_decode_free == 1);
	decode_settle(&load, &g, true);
	assert_int_equal(check_pages(), 0);
	g.host = &host;
}

static void test_lost_page_is_told(void **state)
{
	uint8_t broken[PAGE_BYTES] = { 1 };
	uint32_t k;

	(void)state;
	load_arrives();
	load.read[5].record = broken;
	load.read[8].record = NULL; /* it could not be read */
	decode_post(&load, &g);
	for (k = 0; decode_job_step(&load.decode, g.codec); k++)
		;
	assert_int_equal(k, AHEAD_MAX_PAGES);
	assert_true(load.read[5].is_decoded && load.read[5].result == SWAP_E_LOST);
	assert_false(load.read[8].is_decoded);
	assert_true(unpost(NULL, &load.decode));
	load.decode.posted = false;
	decode_end(&load, &g);
	load.read[5].is_decoded = false;
	assert_int_equal(check_pages(), n_wanted() - 2);
}

static int setup(void **state)
{
	struct swap_options options = {
		.max_pages = 2000,
		.n_bufs = 2,
		.zstd_level = 3,
		.allow_unlocked_memory = true,
	};
	struct swap_file_options file = {
		.max_bytes = SEGMENT * N_SEGS,
		.segment_bytes = SEGMENT,
		.n_bufs = 4,
	};

	(void)state;
	if (swap_new(&s, &options) || swap_file_attach(s, &file) || swap_app_new(s, &g.app) ||
	    codec_ctx_new(&g.codec))
		return -1;
	test_disk_init(&disk, file.max_bytes);
	g.swap = s;
	g.host = &host;
	g.decode_free[0] = pages;
	g.n_decode_free = 1;
	on_disk();
	return 0;
}

static int teardown(void **state)
{
	uint32_t k;

	(void)state;
	for (k = 0; k < AHEAD_MAX_PAGES; k++)
		swap_load_end(s, load.read[k].slot, SWAP_LOAD_ERASE);
	swap_check(s);
	g.app = swap_app_free(g.app);
	g.codec = codec_ctx_free(g.codec);
	s = swap_free(s);
	test_disk_deinit(&disk);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_back_at_any_moment),
		cmocka_unit_test(test_not_posted),
		cmocka_unit_test(test_lost_page_is_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
