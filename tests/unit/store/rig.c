/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rig - see its header
 */
#include "rig.h"

#include <poll.h>
#include <string.h>

#include "base/assert.h"

enum { LOAD_MAX = 64, STEPS_MAX = 100000 };

static void on_room(void *user)
{
	((struct rig *)user)->n_room++;
}

static void on_stopped(void *user, int error)
{
	struct rig *g = user;

	g->n_stopped++;
	g->stop_error = error;
}

int rig_begin(struct rig *g, struct disk *disk, uint64_t file_bytes, bool encrypt)
{
	struct swap_options options = {
		.max_pages = RIG_PAGES_MAX,
		.n_bufs = 2,
		.allow_unlocked_memory = true,
	};
	struct swap_file_options file = {
		.max_bytes = file_bytes,
		.segment_bytes = RIG_SEGMENT,
		.n_bufs = 6,
		.encrypt = encrypt,
		.on_work = store_bell_ring,
	};
	struct store_options store = { .on_room = on_room, .on_stopped = on_stopped, .user = g };
	int r;

	memset(g, 0, sizeof(*g));
	g->disk = store.disk = disk;
	r = store_bell_new(&g->bell);
	file.user = g->bell;
	if (!r)
		r = swap_new(&g->swap, &options);
	if (!r)
		r = swap_file_attach(g->swap, &file);
	if (!r)
		r = swap_app_new(g->swap, &g->app);
	if (!r)
		r = codec_ctx_new(&g->ctx);
	store.swap = g->swap;
	if (!r)
		r = store_new(&g->store, &store, g->bell);
	if (!r)
		r = reader_new(&g->reader, disk, READER_MIN_BUF_BYTES);
	return r;
}

void rig_drop(struct rig *g, uint32_t k)
{
	if (g->pages[k].id.v)
		swap_slot_unref(g->swap, g->pages[k].id);
	g->pages[k].id.v = 0;
}

void rig_end(struct rig *g)
{
	struct swap_file_stats fst;
	struct swap_stats st;
	uint32_t k;

	for (k = 0; k < RIG_PAGES_MAX; k++)
		rig_drop(g, k);
	if (g->buf)
		swap_buf_put(g->swap, g->buf);
	g->reader = reader_free(g->reader);
	g->store = store_free(g->store);
	if (g->ctx) {
		swap_file_rehome(g->swap, g->ctx); /* ends failed segments whose pages are gone */
		swap_check(g->swap);
		swap_stats_get(g->swap, &st);
		swap_file_stats_get(g->swap, &fst);
		ASSERT(st.pool_used_bytes == 0 && fst.n_live == 0);
	}
	swap_app_free(g->app);
	codec_ctx_free(g->ctx);
	swap_free(g->swap);
	store_bell_free(g->bell);
}

void rig_store(struct rig *g, uint32_t k, uint64_t seed)
{
	struct swap_use use = { 0 };
	uint32_t page_idx;
	int r;

	if (g->buf && g->n_filled == STAGE_BUF_PAGES) {
		swap_buf_put(g->swap, g->buf);
		g->buf = NULL;
	}
	if (!g->buf) {
		g->buf = swap_buf_try_get(g->swap);
		g->n_filled = 0;
	}
	ASSERT(g->buf && g->pages[k].id.v == 0);
	r = swap_slot_new(g->app, &g->pages[k].id);
	ASSERT(r == 0);
	g->pages[k].seed = seed;
	page_idx = g->n_filled++;
	page_make(seed, g->buf->pages + (size_t)page_idx * PAGE_BYTES);
	r = swap_put(g->swap, g->pages[k].id, g->buf, page_idx, &use);
	swap_unpin(g->swap, g->pages[k].id);
	if (r == SWAP_E_STAGED)
		ASSERT(swap_compress(g->swap, g->pages[k].id, g->buf, page_idx, SWAP_CODEC_LZ4,
				     g->ctx) == 0);
}

uint32_t rig_writeback(struct rig *g, uint32_t n_pages)
{
	uint32_t n, n_done = 0;
	int r;

	do {
		r = swap_writeback(g->app, SWAP_WRITEBACK_FIFO, n_pages - n_done, &n);
		n_done += n;
		rig_pump(g);
	} while (r == SWAP_E_FULL && n > 0);
	return n_done;
}

void rig_pump(struct rig *g)
{
	uint32_t i, n_idle = 0;

	/* The fake disk may need some rounds for what looks idle. */
	for (i = 0; i < STEPS_MAX && n_idle < 50; i++)
		n_idle = store_step(g->store) ? 0 : n_idle + 1;
	ASSERT(i < STEPS_MAX);
}

/* A record has come, or has not. Return: true: lost. */
static bool arrived(struct rig *g, struct reader_read *read)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));
	struct rig_page *p = read->user;
	int r = SWAP_E_LOST;

	if (read->record)
		r = swap_load_bytes(g->swap, p->id, read->record, bytes, g->ctx, NULL);
	else
		swap_load_count(g->swap, p->id, r);
	reader_release(g->reader, read);
	ASSERT(r == 0 || r == SWAP_E_LOST);
	ASSERT(r != 0 || page_is(bytes, p->seed));
	ASSERT(!swap_load_end(g->swap, p->id, SWAP_LOAD_ERASE));
	p->id.v = 0;
	return r != 0;
}

static void wait_for(struct rig *g)
{
	struct pollfd fd = { .fd = reader_fd(g->reader), .events = POLLIN };

	(void)poll(&fd, 1, 1000);
}

static uint32_t load_flying(struct rig *g, struct reader_read *reads, uint32_t n)
{
	struct reader_read *ptrs[LOAD_MAX], *done[8];
	uint32_t i, n_done, n_begun = 0, n_ended = 0, n_lost = 0;

	for (i = 0; i < n; i++)
		ptrs[i] = &reads[i];
	while (n_ended < n) {
		n_begun += reader_submit(g->reader, ptrs + n_begun, n - n_begun);
		n_done = n % 2 ? reader_reap_wait(g->reader, done, 8)
			       : reader_reap(g->reader, done, 8);
		for (i = 0; i < n_done; i++)
			n_lost += arrived(g, done[i]);
		n_ended += n_done;
		if (n_done == 0)
			wait_for(g);
	}
	return n_lost;
}

uint32_t rig_load(struct rig *g, uint32_t k, uint32_t n)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));
	struct reader_read reads[LOAD_MAX];
	uint32_t i, n_reads = 0;
	struct rig_page *p;
	int r;

	ASSERT(n <= LOAD_MAX);
	for (i = 0; i < n; i++) {
		p = &g->pages[k + i];
		if (!p->id.v)
			continue;
		ASSERT(swap_try_pin(g->swap, p->id, SWAP_PIN_LOAD) == 0);
		r = swap_load(g->swap, p->id, bytes, g->ctx, NULL);
		if (r == SWAP_E_ON_FILE) {
			swap_file_extent(g->swap, p->id, &reads[n_reads].extent);
			reads[n_reads++].user = p;
			continue;
		}
		ASSERT(r == 0 && page_is(bytes, p->seed));
		ASSERT(!swap_load_end(g->swap, p->id, SWAP_LOAD_ERASE));
		p->id.v = 0;
	}
	return load_flying(g, reads, n_reads);
}
