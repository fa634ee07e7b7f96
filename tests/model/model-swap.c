/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * model-swap - random operations on the swap and on a naive twin
 *
 * One thread. The twin knows for each slot what content it must have, how many counts the test
 * owns, whether the test holds its pin and whether a clean copy may exist. After every operation the
 * outcome must be one the twin allows; every few hundred operations swap_check() walks the whole.
 * The test plays the disk: writes are in flight for as long as it likes, end well or badly, and reads
 * give back what was written or something else.
 *
 * Then the same with allocation number n failing, for every n until a run has no failure left: what
 * fails must fail as the contract says, and change nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/swap-file.h"
#include "core/swap.h"
#include "test-disk.h"
#include "test-pages.h"

enum {
	N_SLOTS = 6000,
	N_BUFS = 6,
	N_TODO = 4096, /* compressions owed; old ones are tried again to be refused */
	SEGMENT = 16 << 10,
	N_SEGMENTS = 120, /* too few for all pages */
	N_JOBS = 3,	  /* writes in flight */
};

enum twin_state { TWIN_NONE, TWIN_STORED, TWIN_KEPT, TWIN_EMPTY };

struct twin {
	struct slot_id id;
	enum twin_state state; /* KEPT: a clean copy, which may be gone by now */
	uint32_t count;	       /* counts the test owns */
	bool pinned;
	bool parked; /* a callback is owed */
	bool staged; /* certainly staged: was put so, and not compressed since */
	uint64_t seed;
	struct swap_use use;
};

struct todo {
	struct stage_buf *buf;
	struct slot_id id;
	uint32_t page_idx;
};

struct model {
	struct swap *swap;
	struct swap_app *app[2];
	struct codec_ctx *ctx;
	struct rng rng;
	struct twin twin[N_SLOTS];
	struct todo todo[N_TODO];
	uint32_t n_todo;
	struct stage_buf *buf; /* being filled */
	uint32_t n_filled;
	uint32_t n_wakes; /* callbacks seen */
	struct slot_id woken;
	uint64_t n_full; /* refusals for want of room */
	uint64_t n_lost; /* reads that were made to fail */
	uint64_t n_cleaned;
	struct test_disk disk;
	struct swap_file_job jobs[N_JOBS];
	uint32_t n_jobs;
};

static void on_unpinned(void *user, struct slot_id id)
{
	struct model *m = user;

	m->n_wakes++;
	m->woken = id;
}

static void on_buf_free(void *user)
{
	(void)user;
}

static struct twin *pick_twin(struct model *m)
{
	return &m->twin[rng_below(&m->rng, N_SLOTS)];
}

/* After an unpin of @t by the test. */
static void expect_wake(struct model *m, struct twin *t, struct slot_id id)
{
	ASSERT(m->n_wakes == (t->parked ? 1u : 0u));
	ASSERT(!t->parked || m->woken.v == id.v);
	m->n_wakes = 0;
	t->parked = false;
	t->pinned = false;
}

static bool need_buf(struct model *m)
{
	if (m->buf && m->n_filled == STAGE_BUF_PAGES) {
		swap_buf_put(m->swap, m->buf);
		m->buf = NULL;
	}
	if (!m->buf) {
		m->buf = swap_buf_try_get(m->swap);
		m->n_filled = 0;
	}
	return m->buf;
}

static void put_page(struct model *m, struct twin *t, bool same)
{
	uint32_t page_idx = m->n_filled++;
	uint64_t seed = same ? t->seed : rng_next(&m->rng);
	int r;

	page_make(seed, m->buf->pages + (size_t)page_idx * PAGE_BYTES);
	t->seed = seed;
	t->use = (struct swap_use){ .evict_seq = (uint32_t)seed,
				    .level = (seed >> 33) % (SWAP_LEVEL_MAX + 1) };
	r = swap_put(m->swap, t->id, m->buf, page_idx, &t->use);
	ASSERT(r == 0 || r == SWAP_E_STAGED);
	ASSERT(r == 0 || seed % 16 > 1);
	t->staged = r == SWAP_E_STAGED;
	t->state = TWIN_STORED;
	if (r == SWAP_E_STAGED) {
		if (m->n_todo == N_TODO)
			m->n_todo--;
		m->todo[m->n_todo++] = (struct todo){ m->buf, t->id, page_idx };
	}
	swap_unpin(m->swap, t->id);
	expect_wake(m, t, t->id);
}

static void op_evict_new(struct model *m)
{
	struct twin *t = pick_twin(m);
	int r;

	if (t->state != TWIN_NONE || t->count || t->pinned || !need_buf(m))
		return;
	r = swap_slot_new(m->app[rng_below(&m->rng, 2)], &t->id);
	if (r) {
		ASSERT(r == SWAP_E_FULL);
		m->n_full++;
		return;
	}
	t->count = 1;
	t->pinned = true;
	put_page(m, t, false);
}

static void op_evict_again(struct model *m)
{
	struct twin *t = pick_twin(m);
	bool was_kept;
	uint32_t n;

	for (n = 0; n < 100 && t->state != TWIN_KEPT; n++)
		t = pick_twin(m);
	was_kept = t->state == TWIN_KEPT;
	if (!t->count || t->pinned || (t->state != TWIN_KEPT && t->state != TWIN_EMPTY) ||
	    !need_buf(m))
		return;
	ASSERT(swap_try_pin(m->swap, t->id, SWAP_PIN_STORE) == 0);
	put_page(m, t, was_kept && rng_below(&m->rng, 2));
}

static void op_compress(struct model *m)
{
	enum swap_codec codec = (enum swap_codec)rng_below(&m->rng, 3);
	struct twin *t = NULL;
	uint32_t i, k;
	int r;

	if (!m->n_todo)
		return;
	k = rng_below(&m->rng, m->n_todo);
	r = swap_compress(m->swap, m->todo[k].id, m->todo[k].buf, m->todo[k].page_idx, codec,
			  m->ctx);
	for (i = 0; i < N_SLOTS; i++)
		if (m->twin[i].id.v == m->todo[k].id.v && (m->twin[i].count || m->twin[i].pinned))
			t = &m->twin[i];
	if (r == SWAP_E_BUSY || r == SWAP_E_WARM) {
		ASSERT(t && t->pinned);
		return;
	}
	if (r == SWAP_E_FULL) {
		m->n_full++;
		return;
	}
	ASSERT(r == 0 || r == SWAP_E_GONE);
	/* One may be offered twice: an old one whose buffer page and slot met again. */
	ASSERT(r == SWAP_E_GONE || (t && t->staged));
	if (r == 0)
		t->staged = false;
	if (rng_below(&m->rng, 4)) /* else: offer it again later */
		m->todo[k] = m->todo[--m->n_todo];
}

/* Read a record wrong: it must be refused, and change nothing. */
static void check_bad_read(struct model *m, struct twin *t, uint8_t *page)
{
	uint8_t record[PAGE_BYTES + 64];
	struct swap_extent ext;
	uint32_t bit;

	if (swap_load(m->swap, t->id, page, m->ctx, NULL) != SWAP_E_ON_FILE)
		return;
	swap_file_extent(m->swap, t->id, &ext);
	memcpy(record, m->disk.bytes + ext.offset, ext.n_bytes);
	bit = rng_below(&m->rng, (ext.n_bytes - 15) * 8); /* padding is not covered */
	record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	ASSERT(swap_load_bytes(m->swap, t->id, record, page, m->ctx, NULL) == SWAP_E_LOST);
	m->n_lost++;
}

static void check_load(struct model *m, struct twin *t)
{
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8)));
	struct swap_use use;
	int r;

	memset(page, 0x5a, sizeof(page));
	if (rng_below(&m->rng, 8) == 0)
		check_bad_read(m, t, page);
	r = test_disk_load(&m->disk, m->swap, t->id, page, m->ctx, &use);
	if (t->state != TWIN_STORED) {
		ASSERT(r == SWAP_E_EMPTY);
		return;
	}
	ASSERT(r == 0);
	ASSERT(page_is(page, t->seed));
	ASSERT(use.evict_seq == t->use.evict_seq && use.level == t->use.level);
}

static void op_load(struct model *m)
{
	enum swap_load_end end = (enum swap_load_end)rng_below(&m->rng, 4);
	struct twin *t = pick_twin(m);
	bool owns;

	if (!t->count || t->pinned || t->state != TWIN_STORED)
		return;
	ASSERT(swap_pin_or_park(m->swap, t->id, SWAP_PIN_LOAD) == 0);
	ASSERT(swap_try_pin(m->swap, t->id, SWAP_PIN_STORE) == SWAP_E_WARM);
	check_load(m, t);
	owns = swap_load_end(m->swap, t->id, end);
	expect_wake(m, t, t->id);
	if (end == SWAP_LOAD_ABORT) {
		ASSERT(owns);
		return;
	}
	if (owns) {
		ASSERT(end != SWAP_LOAD_ERASE && t->count == 1 && !t->staged);
		t->state = TWIN_KEPT;
	} else if (--t->count == 0) {
		t->state = TWIN_NONE;
		t->staged = false;
	}
}

static void op_ref(struct model *m)
{
	struct twin *t = pick_twin(m);

	if (!t->count || t->state == TWIN_KEPT || t->count > 5)
		return;
	swap_slot_ref(m->swap, t->id);
	t->count++;
}

static void op_unref(struct model *m)
{
	struct twin *t = pick_twin(m);

	if (!t->count)
		return;
	swap_slot_unref(m->swap, t->id);
	t->count--;
	/* Pinned by the test: it lives on until the unpin. */
	if (!t->count && !t->pinned) {
		t->state = TWIN_NONE;
		t->staged = false;
	}
	ASSERT(m->n_wakes == 0);
}

static void op_pin(struct model *m)
{
	struct twin *t = pick_twin(m);
	enum swap_pin kind = (enum swap_pin)rng_below(&m->rng, 3);

	if (!t->count)
		return;
	if (t->pinned) {
		ASSERT(swap_try_pin(m->swap, t->id, kind) != 0);
		if (rng_below(&m->rng, 2)) {
			ASSERT(swap_pin_or_park(m->swap, t->id, kind) == SWAP_E_PARKED);
			t->parked = true;
		}
		return;
	}
	ASSERT(swap_try_pin(m->swap, t->id, kind) == 0);
	t->pinned = true;
}

static void op_unpin(struct model *m)
{
	struct twin *t = pick_twin(m);
	uint32_t n;

	for (n = 0; n < 200 && !t->pinned; n++)
		t = pick_twin(m);
	if (!t->pinned)
		return;
	swap_unpin(m->swap, t->id);
	expect_wake(m, t, t->id);
	if (!t->count) {
		t->state = TWIN_NONE;
		t->staged = false;
	}
}

static void op_drop_kept(struct model *m)
{
	struct swap_app_stats st;
	uint64_t n_bytes = rng_below(&m->rng, 3000), bytes;
	struct swap_app *app = m->app[rng_below(&m->rng, 2)];

	swap_app_stats_get(app, &st);
	if (rng_below(&m->rng, 4)) {
		bytes = swap_drop_kept(app, n_bytes);
		ASSERT(bytes <= st.kept_bytes);
	} else {
		bytes = swap_file_drop_kept(app, n_bytes);
		ASSERT(bytes <= st.file_bytes);
	}
}

static void op_writeback(struct model *m)
{
	struct swap_app *app = m->app[rng_below(&m->rng, 2)];
	enum swap_writeback_order order = (enum swap_writeback_order)rng_below(&m->rng, 3);
	uint32_t n, n_pages = 1 + rng_below(&m->rng, 40);
	struct swap_app_stats before, after;
	int r;

	swap_app_stats_get(app, &before);
	r = swap_writeback(app, order, n_pages, &n);
	swap_app_stats_get(app, &after);
	ASSERT(r == 0 || r == SWAP_E_WARM || r == SWAP_E_FULL || r == SWAP_E_GONE);
	ASSERT(n <= n_pages && (r == 0 || n < n_pages));
	ASSERT(after.n_file == before.n_file + n);
}

static void end_write(struct model *m, uint32_t k)
{
	enum swap_file_result result = SWAP_FILE_OK;

	if (rng_below(&m->rng, 64) == 0)
		result = (enum swap_file_result)rng_below(&m->rng, 4);
	/* Places are few. */
	if (result == SWAP_FILE_BAD && m->disk.n_failed > N_SEGMENTS / 4)
		result = SWAP_FILE_BROKEN;
	test_disk_end(&m->disk, m->swap, &m->jobs[k], result);
	m->jobs[k] = m->jobs[--m->n_jobs];
}

static void op_write(struct model *m)
{
	if (m->n_jobs < N_JOBS && rng_below(&m->rng, 2)) {
		if (swap_file_write_begin(m->swap, &m->jobs[m->n_jobs]) == 0)
			m->n_jobs++;
	} else if (m->n_jobs) {
		end_write(m, rng_below(&m->rng, m->n_jobs));
	}
}

static void op_file_upkeep(struct model *m)
{
	uint32_t n = 0;

	switch (rng_below(&m->rng, 8)) {
	case 0:
		swap_file_flush(m->swap);
		break;
	case 1:
		swap_file_rehome(m->swap, m->ctx);
		break;
	case 2:
		swap_file_may_grow(m->swap);
		break;
	case 3:
		test_disk_punch(&m->disk, m->swap, rng_below(&m->rng, 2));
		break;
	default:
		test_disk_clean(&m->disk, m->swap, 20 + rng_below(&m->rng, 80), m->ctx, &n);
		m->n_cleaned += n;
	}
}

static void op_upkeep(struct model *m)
{
	if (rng_below(&m->rng, 4))
		swap_recompress(m->app[rng_below(&m->rng, 2)], 1 + rng_below(&m->rng, 64), m->ctx);
	else
		swap_compact(m->swap, rng_below(&m->rng, 1 << 20));
}

typedef void op_fn(struct model *m);
static const struct {
	op_fn *fn;
	uint32_t weight;
} ops[] = {
	{ op_evict_new, 50 },  { op_evict_again, 30 }, { op_compress, 60 }, { op_load, 60 },
	{ op_ref, 6 },	       { op_unref, 40 },       { op_pin, 4 },	    { op_unpin, 3 },
	{ op_drop_kept, 1 },   { op_upkeep, 2 },       { op_writeback, 6 }, { op_write, 12 },
	{ op_file_upkeep, 2 },
};

static void model_step(struct model *m)
{
	uint32_t i, total = 0, at;

	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		total += ops[i].weight;
	at = rng_below(&m->rng, total);
	for (i = 0; at >= ops[i].weight; i++)
		at -= ops[i].weight;
	ops[i].fn(m);
}

static int model_begin(struct model *m, uint64_t seed)
{
	struct swap_options options = {
		.max_pages = N_SLOTS / 2,
		.n_bufs = N_BUFS,
		.zstd_level = 3,
		.allow_unlocked_memory = true,
		.user = m,
		.on_unpinned = on_unpinned,
		.on_buf_free = on_buf_free,
	};
	struct swap_file_options file = {
		.max_bytes = SEGMENT * N_SEGMENTS,
		.segment_bytes = SEGMENT,
		.n_bufs = 5,
		.encrypt = seed & 1,
	};
	int r;

	memset(m, 0, sizeof(*m));
	m->rng.v = seed;
	test_disk_init(&m->disk, file.max_bytes);
	r = swap_new(&m->swap, &options);
	if (!r)
		r = swap_file_attach(m->swap, &file);
	if (!r)
		r = swap_app_new(m->swap, &m->app[0]);
	if (!r)
		r = swap_app_new(m->swap, &m->app[1]);
	if (!r)
		r = codec_ctx_new(&m->ctx);
	return r;
}

/* Empty the file while all pages are there; nothing is pinned any more. */
static void model_retire(struct model *m)
{
	struct swap_file_stats st;
	uint32_t n;

	while (m->n_jobs)
		end_write(m, 0);
	swap_file_retire(m->swap);
	ASSERT(swap_file_rehome(m->swap, m->ctx) == 0);
	while (test_disk_clean(&m->disk, m->swap, 0, m->ctx, &n))
		;
	swap_check(m->swap);
	swap_file_stats_get(m->swap, &st);
	ASSERT(st.n_live == 0 && st.live_bytes == 0 && st.n_used == 0);
}

/* Everything must come back: each page once more, then nothing may be left. */
static void model_end(struct model *m)
{
	struct swap_app_stats st;
	struct swap_stats all;
	struct twin *t;
	uint32_t i;

	for (i = 0; m->swap && m->ctx && i < N_SLOTS; i++) {
		t = &m->twin[i];
		if (t->pinned) {
			swap_unpin(m->swap, t->id);
			expect_wake(m, t, t->id);
		}
	}
	if (m->swap && m->ctx && rng_below(&m->rng, 2))
		model_retire(m);
	for (i = 0; m->swap && m->ctx && i < N_SLOTS; i++) {
		t = &m->twin[i];
		if (t->count && t->state == TWIN_STORED) {
			ASSERT(swap_try_pin(m->swap, t->id, SWAP_PIN_LOAD) == 0);
			check_load(m, t);
			swap_unpin(m->swap, t->id);
		}
		for (; t->count; t->count--)
			swap_slot_unref(m->swap, t->id);
	}
	if (m->buf)
		swap_buf_put(m->swap, m->buf);
	for (i = 0; i < 2 && m->app[i]; i++) {
		swap_app_stats_get(m->app[i], &st);
		ASSERT(st.n_pages == 0 && st.n_kept == 0);
		ASSERT(st.stored_bytes == 0 && st.kept_bytes == 0 && st.file_bytes == 0);
		m->n_lost -= st.n_lost;
	}
	ASSERT(m->n_lost == 0);
	while (m->n_jobs)
		end_write(m, 0);
	if (m->swap && m->ctx)
		ASSERT(swap_file_rehome(m->swap, m->ctx) == 0);
	if (m->swap) {
		swap_check(m->swap);
		swap_stats_get(m->swap, &all);
		ASSERT(all.pool_used_bytes == 0 && all.n_bufs_free == N_BUFS);
	}
	m->app[0] = swap_app_free(m->app[0]);
	m->app[1] = swap_app_free(m->app[1]);
	m->ctx = codec_ctx_free(m->ctx);
	m->swap = swap_free(m->swap);
	test_disk_deinit(&m->disk);
}

static void run_random(struct model *m, uint64_t seed, uint64_t n_steps)
{
	struct swap_app_stats st;
	uint64_t i;

	ASSERT(model_begin(m, seed) == 0);
	for (i = 0; i < n_steps; i++) {
		model_step(m);
		if (i % 512 == 0)
			swap_check(m->swap);
	}
	swap_app_stats_get(m->app[0], &st);
	printf("%" PRIu64 " steps: %" PRIu64 " stored, %" PRIu64 " unchanged, %" PRIu64
	       " loaded, %" PRIu64 " kept now, %" PRIu64 " zstd now, %" PRIu64 " refused\n",
	       n_steps, st.n_put, st.n_put_unchanged, st.n_load, st.n_kept, st.n_zstd, m->n_full);
	printf("file: %" PRIu64 " pages written back, %" PRIu64 " read, %" PRIu64 " moved, %" PRIu64
	       " taken back, %" PRIu64 " segments written, %" PRIu64 " failed\n",
	       st.n_writeback, st.n_load_file, m->n_cleaned, st.n_rehomed, m->disk.n_written,
	       m->disk.n_failed);
	ASSERT(n_steps < 100000 ||
	       (st.n_put_unchanged > 0 && st.n_zstd > 0 && m->n_cleaned > 0 && st.n_load_file > 0));
	model_end(m);
}

/* Allocation number n fails, for every n until none is left. */
static void run_inject(struct model *m, uint64_t seed, uint64_t n_steps)
{
	uint64_t n, i;
	bool fired = true;

	for (n = 1; fired; n++) {
		inject_arm(n);
		if (model_begin(m, seed) == 0) {
			for (i = 0; i < n_steps; i++)
				model_step(m);
			swap_check(m->swap);
		}
		fired = inject_disarm();
		model_end(m);
	}
	printf("%" PRIu64 " runs with one failed allocation each\n", n - 2);
	ASSERT(n > 20);
}

int main(void)
{
	uint64_t seed = test_seed();
	struct model *m = malloc(sizeof(*m));

	ASSERT(m);
	/* One of the two is enciphered. */
	run_random(m, seed, test_env("USWAP_TEST_STEPS", 300000));
	run_random(m, seed + 1, test_env("USWAP_TEST_STEPS", 300000));
	run_inject(m, seed + 1, test_env("USWAP_TEST_INJECT_STEPS", 3000));
	free(m);
	return 0;
}
