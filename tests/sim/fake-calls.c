// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The calls by which a program changes its layout, and MOVE.
 *
 * The order is the kernel's: the change, under the lock of the mappings, with the userfaultfd marked
 * as changing; then the events, one after the other, without that lock. Only REMOVE comes before what
 * it tells of.
 */
#include <errno.h>

#include "base/assert.h"
#include "fake-vma.h"

static void event_add(struct fk_task *t, const struct mem_event *ev)
{
	ASSERT(t->n_events < 4);
	t->event[t->n_events++] = *ev;
	t->mm->main->n_changing++;
}

static void unmap(struct fk_task *t, struct frange at)
{
	struct fk_mm *mm = t->mm;
	uint32_t k;

	if (at.start >= at.end)
		return;
	if (vma_any_registered(mm, at))
		event_add(t, &(struct mem_event){ .type = MEM_EVENT_UNMAP,
						  .addr = fk_addr(at.start),
						  .to = fk_addr(at.end) });
	for (k = at.start; k < at.end; k++)
		fk_pte_clear(mm, k);
	vma_remove(mm, at);
}

bool fk_mmap(struct fk_task *t, struct frange at, const struct fk_vma *like)
{
	struct fk_vma vma = like ? *like : (struct fk_vma){ 0 };

	unmap(t, at);
	vma.at = at;
	vma.reg = FK_UNREGISTERED;
	vma.aux = false;
	vma_insert(t->mm, &vma);
	vma_merge(t->mm);
	return task_events_begin(t);
}

bool fk_munmap(struct fk_task *t, struct frange at)
{
	unmap(t, at);
	return task_events_begin(t);
}

/* The mapping of @from grows or shrinks where it is: growing tells nobody. */
static void remap_in_place(struct fk_task *t, const struct fk_mremap *m)
{
	struct fk_vma vma = *fk_vma_at(t->mm, m->from.start);

	if (m->to.end < m->from.end) {
		unmap(t, (struct frange){ m->to.end, m->from.end });
		return;
	}
	if (m->to.end == m->from.end)
		return;
	vma.at = (struct frange){ m->from.end, m->to.end };
	vma_insert(t->mm, &vma);
	vma_merge(t->mm);
}

static void move_ptes(struct fk_mm *mm, struct frange from, uint32_t to)
{
	uint32_t k;

	for (k = 0; k < from.end - from.start; k++) {
		ASSERT(!mm->pte[to + k].page && !mm->pte[to + k].mark);
		mm->pte[to + k] = mm->pte[from.start + k];
		mm->pte[from.start + k] = (struct fk_pte){ 0 };
	}
}

bool fk_mremap(struct fk_task *t, const struct fk_mremap *m)
{
	struct fk_mm *mm = t->mm;
	struct frange from = m->from;
	struct frange tail = { 0, 0 };
	uint32_t n_to = m->to.end - m->to.start;
	struct fk_vma vma;

	if (m->to.start == from.start) {
		remap_in_place(t, m);
		return task_events_begin(t);
	}
	unmap(t, m->to);
	if (from.end - from.start > n_to) {
		tail = (struct frange){ from.start + n_to, from.end };
		from.end = tail.start;
	}
	vma_cut(mm, from);
	vma = *fk_vma_at(mm, from.start);
	ASSERT(vma.at.end >= from.end);
	vma.at = m->to;
	vma_insert(mm, &vma);
	move_ptes(mm, from, m->to.start);
	if (vma.reg)
		event_add(t, &(struct mem_event){ .type = MEM_EVENT_REMAP,
						  .addr = fk_addr(from.start),
						  .to = fk_addr(m->to.start),
						  .len = (uint64_t)(from.end - from.start) *
							 PAGE_BYTES });
	unmap(t, tail);
	if (!m->dont_unmap)
		unmap(t, from);
	vma_merge(mm);
	return task_events_begin(t);
}

int fk_remove_begin(struct fk_task *t, struct frange *at)
{
	struct fk_vma *vma = fk_vma_next(t->mm, at->start);

	if (!vma || vma->at.start >= at->end)
		return -1;
	if (vma->at.start > at->start)
		at->start = vma->at.start;
	if (vma->at.end < at->end)
		at->end = vma->at.end;
	if (!vma->reg)
		return 0;
	event_add(t, &(struct mem_event){ .type = MEM_EVENT_REMOVE,
					  .addr = fk_addr(at->start),
					  .to = fk_addr(at->end) });
	(void)task_events_begin(t);
	return 1;
}

static void lazy_page(struct fk_mm *mm, uint32_t page)
{
	struct fk_page *p = &mm->fk->pages[mm->pte[page].page];

	if (mm->pte[page].page && p->refs == 1 && !p->zero && !p->pinned)
		p->lazy = true;
}

uint32_t fk_zap(struct fk_mm *mm, struct frange at, bool lazy)
{
	struct fk_vma *vma = fk_vma_at(mm, at.start);
	uint32_t k;

	if (!vma)
		return at.start;
	for (k = at.start; k < at.end && k < vma->at.end; k++) {
		if (lazy)
			lazy_page(mm, k);
		else if (mm->pte[k].mark != FK_GUARD)
			fk_pte_clear(mm, k);
	}
	return k;
}

void fk_guard(struct fk_mm *mm, struct frange at, bool install)
{
	uint32_t k;

	for (k = at.start; k < at.end; k++) {
		if (!fk_vma_at(mm, k))
			continue;
		if (install) {
			fk_pte_clear(mm, k);
			mm->pte[k].mark = FK_GUARD;
		} else if (mm->pte[k].mark == FK_GUARD) {
			mm->pte[k].mark = FK_NONE;
		}
	}
}

/* ---- MOVE ----------------------------------------------------------------------------------- */

static int move_check(struct fk_mm *mm, const struct fk_move *m)
{
	struct fk_vma *dst = fk_vma_at(mm, m->dst);
	struct fk_vma *src = fk_vma_at(mm, m->src);

	if (!dst || !src)
		return -ENOENT;
	if (m->dst + m->n > dst->at.end || m->src + m->n > src->at.end)
		return -EINVAL;
	if (dst->no_access || src->no_access)
		return -EINVAL;
	return (m->aux ? dst->aux : dst->reg != FK_UNREGISTERED) ? 0 : -EINVAL;
}

static int move_page(struct fk_mm *mm, uint32_t dst, uint32_t src, bool holes)
{
	struct fk_pte *from = &mm->pte[src];
	struct fk_page *p = &mm->fk->pages[from->page];

	if (mm->pte[dst].page || mm->pte[dst].mark)
		return -EEXIST;
	if (from->mark)
		return -EFAULT;
	if (!from->page)
		return holes ? 0 : -ENOENT;
	if (!p->zero && (!p->exclusive || p->pinned))
		return -EBUSY;
	mm->pte[dst] = *from;
	*from = (struct fk_pte){ 0 };
	p->lazy = false;
	return 0;
}

/*
 * A page changed while it was looked at, and was moved at the second try, with those behind it. The first
 * answer is remembered: nothing of this counts, and the next look finds the page moved already.
 */
static bool move_uncounted(struct fk_mm *mm, const struct fk_move *m, uint32_t from)
{
	uint32_t k = from;

	while (k < m->n && !move_page(mm, m->dst + k, m->src + k, m->holes))
		k++;
	return k > from;
}

int fk_move(struct fk_mm *mm, const struct fk_move *m, uint32_t *ret_done)
{
	struct fk *fk = mm->fk;
	uint32_t lost = m->n;
	int r;

	*ret_done = 0;
	if (!m->aux && mm->main->n_changing)
		return -EAGAIN;
	if (fk->miscount_one_in && !rng_below(&fk->rng, fk->miscount_one_in))
		lost = rng_below(&fk->rng, m->n);
	r = move_check(mm, m);
	while (!r && *ret_done < m->n) {
		if (*ret_done == lost && move_uncounted(mm, m, lost))
			r = -EEXIST;
		else
			r = move_page(mm, m->dst + *ret_done, m->src + *ret_done, m->holes);
		*ret_done += !r;
	}
	fk_trace(mm->fk, "    mm %p move page %u n %u to %u: %d, %u done", (void *)mm, m->src, m->n,
		 m->dst, r, *ret_done);
	return *ret_done && r ? -EAGAIN : r;
}
