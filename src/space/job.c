// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The background half of an eviction.
 *
 * evict_job_put() publishes the pages in their staging buffer; from then on a fault is served from
 * the buffer, and no pin is held. evict_job_compress() moves them one by one into the pool by the
 * pin-first protocol, like any other change of place. A page whose pin cannot be had is left for
 * another pass, never waited for: the pin may belong to a job that is queued behind this one.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "space/space-impl.h"

struct evict_job *evict_job_new(void)
{
	return calloc(1, sizeof(struct evict_job));
}

struct evict_job *evict_job_free(struct evict_job *job)
{
	free(job);
	return NULL;
}

void evict_job_put(struct evict_job *job)
{
	struct swap *swap = job->group->swap;
	uint32_t n_staged = 0;
	uint32_t k;

	for (k = 0; k < job->n; k++) {
		struct swap_use use = { job->evict_seq, job->page[k].level };
		int r = swap_put(swap, job->page[k].slot, job->buf, job->page[k].page_idx, &use);

		swap_unpin(swap, job->page[k].slot);
		if (r == SWAP_E_STAGED)
			job->page[n_staged++] = job->page[k];
	}
	job->n = n_staged;
}

uint32_t evict_job_compress(struct evict_job *job, uint32_t n_max, enum swap_codec codec,
			    struct codec_ctx *ctx)
{
	struct swap *swap = job->group->swap;

	for (; job->next < job->n && n_max; job->next++, n_max--) {
		int r = swap_compress(swap, job->page[job->next].slot, job->buf,
				      job->page[job->next].page_idx, codec, ctx);

		if (r == SWAP_E_BUSY || r == SWAP_E_WARM || r == SWAP_E_FULL)
			job->page[job->n_left++] = job->page[job->next];
	}
	if (job->next < job->n)
		return job->n - job->next + job->n_left;
	job->n = job->n_left; /* next pass */
	job->next = 0;
	job->n_left = 0;
	if (!job->n)
		swap_buf_put(swap, TAKE_PTR(job->buf));
	return job->n;
}
