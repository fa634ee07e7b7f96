/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * buf - staging buffers: raw pages between the program and the pool
 *
 * A reference is held by whoever fills the buffer and by each STAGED entry whose page lies in it.
 *
 * Ownership: the pool of buffers owns them all; references are counted.
 * Threads:   any.
 * Invariant: a buffer on the free stack has no reference.
 */
#ifndef USWAP_CORE_BUF_H
#define USWAP_CORE_BUF_H

#include "base/arena.h"
#include "base/lock.h"
#include "core/swap.h"

struct buf {
	struct stage_buf pub;	 /* first: what callers see */
	_Atomic uint32_t n_refs; /* 0: free */
};

struct bufs {
	struct lock lock; /* LOCK_RANK_BUFS */
	struct arena pages;
	struct buf *bufs; /* [const] array of n */
	uint32_t *free;	  /* [lock] stack of indexes */
	uint32_t n_free;  /* [lock] */
	uint32_t n;	  /* [const] */
	uint32_t n_high;  /* [lock] buffers ever used */
};

int bufs_init(struct bufs *b, uint32_t n, enum arena_residency residency);
void bufs_deinit(struct bufs *b); /* pre: none in use */

struct buf *buf_try_get(struct bufs *b);	 /* NULL: all in use; post: one reference */
void buf_ref(struct buf *buf);			 /* pre: the caller owns one */
bool buf_unref(struct bufs *b, struct buf *buf); /* true: it became free */

static inline struct buf *buf_of(struct stage_buf *pub)
{
	return (struct buf *)pub;
}

/* Location of a staged page in an entry. */
static inline uint32_t buf_loc(const struct stage_buf *pub, uint32_t page_idx)
{
	return pub->idx * STAGE_BUF_PAGES + page_idx;
}

static inline struct buf *buf_of_loc(struct bufs *b, uint32_t loc)
{
	return &b->bufs[loc / STAGE_BUF_PAGES];
}

static inline uint8_t *buf_page(struct bufs *b, uint32_t loc)
{
	return arena_at(&b->pages, (size_t)loc * PAGE_BYTES);
}

#endif
