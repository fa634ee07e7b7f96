/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * buf - a stack of buffers in one arena
 *
 * All room is taken at the start: a buffer is what makes eviction possible when memory is short.
 */
#include "core/buf.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "core/rank.h"

int bufs_init(struct bufs *b, uint32_t n, enum arena_residency residency)
{
	size_t bytes = (size_t)n * STAGE_BUF_PAGES * PAGE_BYTES;
	uint32_t i;
	int r;

	*b = (struct bufs){ .pages = ARENA_INIT, .n = n };
	ASSERT(n > 0 && n <= UINT32_MAX / STAGE_BUF_PAGES);
	lock_init(&b->lock, LOCK_RANK_BUFS, "staging buffers");
	b->bufs = calloc(n, sizeof(*b->bufs));
	b->free = calloc(n, sizeof(*b->free));
	if (!b->bufs || !b->free)
		return err_origin(-ENOMEM);
	r = arena_init(&b->pages, &(struct arena_options){
					  .name = "uswap-stage",
					  .reserve_bytes = bytes,
					  .residency = residency,
				  });
	if (!r)
		r = err_fold(arena_grow(&b->pages, bytes));
	if (r)
		return err_trace(r);
	for (i = 0; i < n; i++) {
		b->bufs[i].pub.idx = i;
		b->bufs[i].pub.pages = buf_page(b, i * STAGE_BUF_PAGES);
		b->free[n - 1 - i] = i;
	}
	b->n_free = n;
	return 0;
}

void bufs_deinit(struct bufs *b)
{
	arena_deinit(&b->pages);
	free(b->free);
	free(b->bufs);
	lock_deinit(&b->lock);
}

struct buf *buf_try_get(struct bufs *b)
{
	struct buf *buf = NULL;

	lock_acquire(&b->lock);
	if (b->n_free > 0)
		buf = &b->bufs[b->free[--b->n_free]];
	if (buf && buf->pub.idx >= b->n_high)
		b->n_high = buf->pub.idx + 1;
	lock_release(&b->lock);
	if (buf) {
		ASSERT(load_relaxed(&buf->n_refs) == 0); /* off the stack: ours alone */
		store_relaxed(&buf->n_refs, 1);
	}
	return buf;
}

void buf_ref(struct buf *buf)
{
	uint32_t n = fetch_add_relaxed(&buf->n_refs, 1); /* the caller's own keeps it alive */

	ASSERT(n > 0);
}

bool buf_unref(struct bufs *b, struct buf *buf)
{
	uint32_t n = fetch_sub_acq_rel(&buf->n_refs, 1); /* pairs with the other unrefs */

	ASSERT(n > 0);
	if (n > 1)
		return false;
	lock_acquire(&b->lock);
	b->free[b->n_free++] = buf->pub.idx;
	lock_release(&b->lock);
	return true;
}
