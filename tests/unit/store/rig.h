/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rig - a swap with a file, a store and a reader, on any disk
 *
 * Threads: one, unless store_start() is called.
 */
#ifndef USWAP_TEST_RIG_H
#define USWAP_TEST_RIG_H

#include "store/reader.h"
#include "store/store.h"
#include "test-pages.h"

enum { RIG_PAGES_MAX = 2000, RIG_SEGMENT = 16 << 10 };

struct rig_page {
	struct slot_id id; /* 0: none */
	uint64_t seed;
};

struct rig {
	struct disk *disk;
	struct swap *swap;
	struct swap_app *app;
	struct codec_ctx *ctx;
	struct store_bell *bell;
	struct store *store;
	struct reader *reader;
	struct stage_buf *buf;
	uint32_t n_filled;
	struct rig_page pages[RIG_PAGES_MAX];
	uint32_t n_room;    /* callbacks */
	uint32_t n_stopped; /* callbacks */
	int stop_error;
};

/* Return: what a constructor said; rig_end() in any case. */
int rig_begin(struct rig *g, struct disk *disk, uint64_t file_bytes, bool encrypt);
void rig_end(struct rig *g); /* drops all pages; nothing may be left */

void rig_store(struct rig *g, uint32_t k, uint64_t seed); /* page @k, compressed; pre: none */
uint32_t rig_writeback(struct rig *g, uint32_t n_pages);  /* Return: pages */
void rig_pump(struct rig *g);				  /* until the store has nothing to do */
/*
 * Load @n pages from @k on, as a fault with its neighbours does, and check them.
 * Return: how many were lost; those are dropped as well.
 */
uint32_t rig_load(struct rig *g, uint32_t k, uint32_t n);
void rig_drop(struct rig *g, uint32_t k);

#endif
