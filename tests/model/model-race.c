/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * model-race - every background work meets every other use of the same page, at every place
 *
 * One thread plays two. While the first is at work on a page, at race point number n, the second does
 * something to the same page, as far as pins let it; for every n until the first has no more points,
 * for every pair of the two. Then the page must be what the second left, and swap_check() must find
 * nothing. What a stress test may find after hours is found here each time: it was with the rules
 * taken out that this test was tried.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/inject.h"
#include "core/swap-file.h"
#include "core/swap-impl.h"
#include "core/swap.h"
#include "test-disk.h"
#include "test-pages.h"

enum {
	SEGMENT = 16 << 10,
	N_SEGMENTS = 40,
	N_OTHERS = 6,
	N_FILLERS = 90,
	SEED = 1006,
	SEED_NOISE = 18
};

enum where {
	IN_BUF,
	IN_POOL,
	IN_SPARSE_POOL,
	IN_SEGMENT_BUF,
	ON_DISK,
	IN_FAILED,
	KEPT_IN_POOL,
	KEPT_ON_DISK
};

enum state { GONE, STORED, KEPT };

struct page {
	struct slot_id id;
	enum state state;
	uint64_t seed;
	uint32_t page_idx; /* in the buffer */
};

static struct swap *s;
static struct swap_app *app;
static struct codec_ctx *ctx, *other_ctx;
static struct stage_buf *buf;
static struct test_disk disk;
static struct page victim, others[N_OTHERS], fillers[N_FILLERS];
static uint64_t kind; /* of pages: SEED compress, SEED_NOISE are all of one length */
static uint32_t n_filled, n_points, intrude_at;
static void (*intruder)(void);
static bool has_intruded;

/* ---- what a program does with a page -------------------------------------------------------- */

static void put(struct page *p, uint64_t seed)
{
	struct swap_use use = { 0 };
	int r;

	p->page_idx = n_filled++ % STAGE_BUF_PAGES;
	p->seed = seed;
	p->state = STORED;
	page_make(seed, buf->pages + (size_t)p->page_idx * PAGE_BYTES);
	r = swap_put(s, p->id, buf, p->page_idx, &use);
	ASSERT(r == 0 || r == SWAP_E_STAGED);
	swap_unpin(s, p->id);
}

static void store(struct page *p, uint64_t seed)
{
	ASSERT(swap_slot_new(app, &p->id) == 0);
	put(p, seed);
}

static void compress(struct page *p)
{
	int r = swap_compress(s, p->id, buf, p->page_idx, SWAP_CODEC_LZ4, other_ctx);

	ASSERT(r == 0 || r == SWAP_E_GONE || r == SWAP_E_BUSY || r == SWAP_E_WARM);
}

/* Return: false: somebody works on it. */
static bool load(struct page *p, enum swap_load_end end)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));

	if (p->state != STORED || swap_try_pin(s, p->id, SWAP_PIN_LOAD))
		return false;
	ASSERT(test_disk_load(&disk, s, p->id, bytes, other_ctx, NULL) == 0);
	ASSERT(page_is(bytes, p->seed));
	if (swap_load_end(s, p->id, end))
		p->state = end == SWAP_LOAD_KEEP ? KEPT : STORED;
	else
		p->state = GONE;
	return true;
}

static void drop(struct page *p)
{
	if (p->state != GONE)
		swap_slot_unref(s, p->id);
	p->state = GONE;
}

static void write_all(void)
{
	swap_file_flush(s);
	test_disk_pump(&disk, s);
}

static void fail_writes(void)
{
	struct swap_file_job job;

	swap_file_flush(s);
	while (swap_file_write_begin(s, &job) == 0)
		test_disk_end(&disk, s, &job, SWAP_FILE_BROKEN);
}

static void writeback(uint32_t n_pages)
{
	uint32_t n;

	swap_writeback(app, SWAP_WRITEBACK_FIFO, n_pages, &n);
}

/* ---- the second thread ---------------------------------------------------------------------- */

/* A pin that the second thread holds until the first is done: nobody else may change the entry. */
static struct page *held;
static uint64_t held_where;

static uint64_t where_of(const struct page *p)
{
	uint32_t idx = tree_lookup(area_of(&s->areas, p->id), p->id);

	return idx ? load_relaxed(&entry_at(&s->entries, idx)->where) : 0;
}

static void hold(struct page *p)
{
	if (p->state == GONE || swap_try_pin(s, p->id, SWAP_PIN_LOAD))
		return;
	held = p;
	held_where = where_of(p);
}

static void hold_end(void)
{
	if (!held)
		return;
	ASSERT(where_of(held) == held_where);
	swap_unpin(s, held->id);
	held = NULL;
}

static void in_hold(void)
{
	hold(&victim);
}

static void in_hold_other(void)
{
	hold(&others[0]);
}

static void in_drop_all_kept(void)
{
	swap_drop_kept(app, UINT64_MAX);
	swap_file_drop_kept(app, UINT64_MAX);
}

static void in_load(void)
{
	load(&victim, SWAP_LOAD_ERASE);
}

static void in_load_abort(void)
{
	load(&victim, SWAP_LOAD_ABORT);
}

static void in_keep(void)
{
	load(&victim, SWAP_LOAD_KEEP);
}

static void in_keep_and_put(uint64_t seed, bool drop_between)
{
	if (victim.state == STORED)
		load(&victim, SWAP_LOAD_KEEP);
	if (victim.state != KEPT)
		return;
	if (drop_between) {
		swap_drop_kept(app, UINT64_MAX);
		swap_file_drop_kept(app, UINT64_MAX);
	}
	if (swap_try_pin(s, victim.id, SWAP_PIN_STORE) == 0)
		put(&victim, seed);
}

static void in_put_same(void)
{
	in_keep_and_put(victim.seed, false);
}

static void in_put_other(void)
{
	in_keep_and_put(kind + 16 * 77, false);
}

/* The same slot and generation on the disk, at another place. */
static void in_put_other_on_disk(void)
{
	in_keep_and_put(kind + 16 * 77, false);
	compress(&victim);
	writeback(100);
	write_all();
}

static void in_drop_kept_and_put(void)
{
	in_keep_and_put(kind + 16 * 78, true);
	compress(&victim);
}

/* The slot and its generation stay; the entry is somebody else's now. */
static void in_entry_to_other(void)
{
	if (victim.state == STORED)
		load(&victim, SWAP_LOAD_KEEP);
	if (victim.state != KEPT || fillers[0].state != GONE)
		return;
	in_drop_all_kept();
	store(&fillers[0], kind + 16 * 82);
	compress(&fillers[0]);
	if (swap_try_pin(s, victim.id, SWAP_PIN_STORE) == 0)
		put(&victim, kind + 16 * 83);
	hold(&fillers[0]);
}

/* The same id, most likely, and the same entry, with another content. */
static void in_new_owner(void)
{
	drop(&victim);
	store(&victim, kind + 16 * 79);
	compress(&victim);
}

static void in_new_owner_on_disk(void)
{
	in_new_owner();
	writeback(100);
	write_all();
}

/* A free entry and a free id each go to somebody else. */
static void in_drop_and_others(void)
{
	drop(&victim);
	drop(&others[0]);
	store(&others[0], kind + 16 * 80);
	store(&victim, kind + 16 * 81);
	compress(&others[0]);
}

static void in_drop(void)
{
	drop(&victim);
}

static void in_writeback(void)
{
	writeback(100);
}

static void in_write_all(void)
{
	write_all();
}

static void in_fail(void)
{
	fail_writes();
	swap_file_rehome(s, other_ctx);
}

static void in_stop(void)
{
	swap_file_stop(s);
	swap_file_rehome(s, other_ctx);
}

static void in_clean(void)
{
	uint32_t n;

	test_disk_clean(&disk, s, 100, other_ctx, &n);
	write_all();
	test_disk_punch(&disk, s, true);
}

static void in_recompress(void)
{
	swap_recompress(app, 100, other_ctx);
}

static void in_compact(void)
{
	swap_compact(s, UINT64_MAX);
}

static void (*const intruders[])(void) = {
	in_load,
	in_load_abort,
	in_keep,
	in_put_same,
	in_put_other,
	in_drop,
	in_drop_kept_and_put,
	in_new_owner,
	in_new_owner_on_disk,
	in_writeback,
	in_write_all,
	in_fail,
	in_stop,
	in_clean,
	in_recompress,
	in_compact,
	in_drop_all_kept,
	in_drop_and_others,
	in_put_other_on_disk,
	in_entry_to_other,
	in_hold,
	in_hold_other,
};
enum { N_INTRUDERS = sizeof(intruders) / sizeof(intruders[0]) };

static void at_point(void *user)
{
	(void)user;
	if (has_intruded || ++n_points != intrude_at)
		return;
	has_intruded = true;
	intruder();
}

/* ---- the first thread ----------------------------------------------------------------------- */

static void act_compress(void)
{
	int r = swap_compress(s, victim.id, buf, victim.page_idx, SWAP_CODEC_LZ4, ctx);

	ASSERT(r == 0 || r == SWAP_E_GONE || r == SWAP_E_BUSY);
}

static void act_writeback(void)
{
	writeback(1);
}

static void act_recompress(void)
{
	swap_recompress(app, 100, ctx);
}

static void act_compact(void)
{
	swap_compact(s, UINT64_MAX);
}

static void act_clean(void)
{
	uint32_t n;

	test_disk_clean(&disk, s, 100, ctx, &n);
}

static void act_retire(void)
{
	uint32_t n;

	swap_file_retire(s);
	while (test_disk_clean(&disk, s, 100, ctx, &n) && n > 0)
		;
}

static void act_rehome(void)
{
	swap_file_rehome(s, ctx);
}

static void act_write(void)
{
	write_all();
}

static void act_drop_kept(void)
{
	swap_drop_kept(app, UINT64_MAX);
	swap_file_drop_kept(app, UINT64_MAX);
}

/* A load by the first thread: what it has must be right, whatever the second does. */
static void act_load(void)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));
	uint64_t seed = victim.seed;
	struct slot_id id = victim.id;

	ASSERT(swap_try_pin(s, id, SWAP_PIN_LOAD) == 0);
	ASSERT(test_disk_load(&disk, s, id, bytes, ctx, NULL) == 0);
	ASSERT(page_is(bytes, seed));
	ASSERT(swap_load_end(s, id, SWAP_LOAD_ABORT));
}

static const struct actor {
	const char *name;
	void (*act)(void);
	enum where where; /* the victim */
	bool holds; /* the second thread must not drop its counts: the first one relies on one */
} actors[] = {
	{ "compress", act_compress, IN_BUF, false },
	{ "writeback", act_writeback, IN_POOL, false },
	{ "recompress", act_recompress, IN_POOL, false },
	{ "compact", act_compact, IN_SPARSE_POOL, false },
	{ "clean", act_clean, ON_DISK, false },
	{ "retire", act_retire, ON_DISK, false },
	{ "write", act_write, IN_SEGMENT_BUF, false },
	{ "rehome", act_rehome, IN_FAILED, false },
	{ "drop kept", act_drop_kept, KEPT_IN_POOL, false },
	{ "drop kept on file", act_drop_kept, KEPT_ON_DISK, false },
	{ "clean kept", act_clean, KEPT_ON_DISK, false },
	{ "load from pool", act_load, IN_POOL, true },
	{ "load from buffer", act_load, IN_SEGMENT_BUF, true },
	{ "load from disk", act_load, ON_DISK, true },
	{ "load from failed", act_load, IN_FAILED, true },
};
enum { N_ACTORS = sizeof(actors) / sizeof(actors[0]) };

/* ---- one run -------------------------------------------------------------------------------- */

static void begin(void)
{
	struct swap_options options = {
		.max_pages = 200, .n_bufs = 2, .zstd_level = 1, .allow_unlocked_memory = true
	};
	struct swap_file_options file = { .max_bytes = SEGMENT * N_SEGMENTS,
					  .segment_bytes = SEGMENT,
					  .n_bufs = 6 };

	test_disk_init(&disk, file.max_bytes);
	ASSERT(swap_new(&s, &options) == 0);
	ASSERT(swap_file_attach(s, &file) == 0);
	ASSERT(swap_app_new(s, &app) == 0);
	buf = swap_buf_try_get(s);
	n_filled = 0;
}

static void bring(enum where where)
{
	if (where == IN_BUF)
		return;
	compress(&victim);
	if (where == IN_POOL || where == IN_SPARSE_POOL)
		return;
	if (where == KEPT_IN_POOL) {
		ASSERT(load(&victim, SWAP_LOAD_KEEP));
		return; /* noise is not kept there */
	}
	writeback(100);
	if (where == IN_FAILED)
		fail_writes();
	if (where == ON_DISK || where == KEPT_ON_DISK)
		write_all();
	if (where == KEPT_ON_DISK)
		ASSERT(load(&victim, SWAP_LOAD_KEEP) && victim.state == KEPT);
}

static void end(void)
{
	uint32_t i;

	swap_file_rehome(s, ctx);
	swap_check(s);
	load(&victim, SWAP_LOAD_ABORT);
	for (i = 0; i < N_OTHERS; i++)
		ASSERT(load(&others[i], SWAP_LOAD_ERASE));
	drop(&victim);
	for (i = 0; i < N_FILLERS; i++) {
		load(&fillers[i], SWAP_LOAD_ABORT);
		drop(&fillers[i]);
	}
	swap_buf_put(s, buf);
	swap_file_rehome(s, ctx);
	swap_check(s);
	app = swap_app_free(app);
	s = swap_free(s);
	test_disk_deinit(&disk);
}

/* Return: true: the first thread came as far as point @n. */
static bool run(const struct actor *a, uint32_t intruder_idx, uint32_t n)
{
	uint32_t i;

	begin();
	/* Two blocks of the pool, of which one is not needed. */
	for (i = 0; a->where == IN_SPARSE_POOL && i < N_FILLERS; i++) {
		store(&fillers[i], kind); /* one size, one class */
		compress(&fillers[i]);
	}
	/* The victim is the coldest, and some neighbours come after it. */
	store(&victim, kind);
	for (i = 0; i < N_OTHERS; i++) {
		store(&others[i], kind + 16 * (i + 1));
		if (i % 2)
			compress(&others[i]);
	}
	bring(a->where);
	for (i = 2; a->where == IN_SPARSE_POOL && i < N_FILLERS; i++)
		drop(&fillers[i]);
	intruder = intruders[intruder_idx];
	n_points = 0;
	intrude_at = n;
	has_intruded = false;
	inject_race_set(at_point, NULL);
	a->act();
	inject_race_set(NULL, NULL);
	hold_end();
	end();
	return has_intruded;
}

static bool drops_counts(uint32_t intruder_idx)
{
	void (*fn)(void) = intruders[intruder_idx];

	return fn == in_drop || fn == in_new_owner || fn == in_new_owner_on_disk ||
	       fn == in_drop_and_others || fn == in_load;
}

static uint32_t run_actor(const struct actor *a)
{
	uint32_t i, n, n_runs = 0;

	for (i = 0; i < N_INTRUDERS; i++) {
		if (a->holds && drops_counts(i))
			continue;
		for (n = 1; run(a, i, n); n++)
			n_runs++;
	}
	return n_runs;
}

int main(void)
{
	static const uint64_t kinds[] = { SEED, SEED_NOISE };
	uint32_t a, k, n, n_runs = 0;

	ASSERT(codec_ctx_new(&ctx) == 0);
	ASSERT(codec_ctx_new(&other_ctx) == 0);
	for (k = 0; k < 2; k++) {
		kind = kinds[k];
		for (a = 0; a < N_ACTORS; a++) {
			n = run_actor(&actors[a]);
			ASSERT(n > 0 || kind == SEED_NOISE); /* it has points */
			printf("%s: %u runs\n", actors[a].name, n);
			fflush(stdout);
			n_runs += n;
		}
	}
	ASSERT(n_runs > 3000);
	codec_ctx_free(ctx);
	codec_ctx_free(other_ctx);
	return 0;
}
