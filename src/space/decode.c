// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages of an early load are decompressed before they are wanted, by another thread.
 *
 * The records of the load are there and its slots are pinned, so the bytes of its entries stay where
 * and what they are, whatever the owner does to the space meanwhile (I5). The thread writes nothing
 * but the job's pages and what it says of each.
 *
 * Owner and thread take pages by one counter. They part by one word: the thread leaves, the owner
 * asks to be told, and whoever comes second sees what the first has said. So the job belongs to the
 * owner again when the thread had left before it asked, and else when it is told.
 */
#include "base/assert.h"
#include "base/atomic.h"
#include "base/inject.h"
#include "core/swap-file.h"
#include "space/space-impl.h"

enum {
	DECODE_LEFT = 1,   /* by the thread: it does not touch the job any more */
	DECODE_WANTED = 2, /* by the owner: tell it */
};

/* ---- the thread ----------------------------------------------------------------------------- */

bool decode_job_step(struct decode_job *job, struct codec_ctx *ctx)
{
	uint32_t k = fetch_add_relaxed(&job->next, 1); /* relaxed: decode_settle() orders */
	struct page_read *read;

	if (k >= AHEAD_MAX_PAGES)
		return false;
	read = &job->reads[k];
	if (read->state != READ_DONE || !read->record)
		return true;
	inject_race();
	read->result = swap_load_ahead(job->swap, read->slot, read->record,
				       job->pages + (size_t)k * PAGE_BYTES, ctx, &read->use);
	read->is_decoded = true;
	return true;
}

bool decode_job_leave(struct decode_job *job)
{
	/* pairs with the other one in decode_settle() */
	return fetch_or_acq_rel(&job->state, DECODE_LEFT) & DECODE_WANTED;
}

/* ---- the owner ------------------------------------------------------------------------------ */

void decode_post(struct file_load *l, struct space_group *g)
{
	struct decode_job *job = &l->decode;

	ASSERT(!l->n_flying && !job->posted && !job->pages);
	if (!g->host->post_decode || !g->n_decode_free)
		return;
	list_init(&job->link);
	job->swap = g->swap;
	job->reads = l->read;
	job->pages = g->decode_free[--g->n_decode_free];
	store_relaxed(&job->next, 0); /* relaxed: posting orders */
	store_relaxed(&job->state, 0);
	job->posted = g->host->post_decode(g->user, job);
	if (!job->posted)
		decode_end(l, g);
}

void decode_settle(struct file_load *l, struct space_group *g, bool wanted)
{
	struct decode_job *job = &l->decode;

	if (!job->posted)
		return;
	job->posted = false;
	if (g->host->unpost_decode(g->user, job))
		return;
	if (!wanted) /* relaxed: a late one decodes one page in vain */
		store_relaxed(&job->next, AHEAD_MAX_PAGES);
	while (decode_job_step(job, g->codec))
		;
	/* pairs with the other one in decode_job_leave() */
	if (!(fetch_or_acq_rel(&job->state, DECODE_WANTED) & DECODE_LEFT))
		l->n_flying = 1;
}

void decode_end(struct file_load *l, struct space_group *g)
{
	ASSERT(!l->decode.posted);
	if (l->decode.pages)
		g->decode_free[g->n_decode_free++] = l->decode.pages;
	l->decode.pages = NULL;
}
