// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The fake kernel: pages, tasks and their sleep, faults, fork and exit. The calls that change a
 * layout are in fake-calls.c.
 */
#include "fake-kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "fake-vma.h"

#define FK_MAX_PAGES 120000u

void fk_init(struct fk *fk, uint64_t seed)
{
	uint32_t k;

	*fk = (struct fk){ .rng = { seed }, .n_pages = FK_MAX_PAGES, .next_tid = 100 };
	fk->pages = calloc(FK_MAX_PAGES, sizeof(*fk->pages));
	ASSERT(fk->pages);
	for (k = 1; k + 1 < FK_MAX_PAGES; k++)
		fk->pages[k].next_free = k + 1;
	fk->free_page = 1;
}

void fk_deinit(struct fk *fk)
{
	uint32_t k;

	ASSERT(!fk->n_tasks);
	for (k = 1; k < fk->n_pages; k++)
		ASSERT(!fk->pages[k].refs);
	free(fk->pages);
}

void fk_trace(const struct fk *fk, const char *fmt, ...)
{
	va_list args;

	if (!fk->trace)
		return;
	printf("%8llu  ", (unsigned long long)fk->round);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

/* ---- pages ---------------------------------------------------------------------------------- */

uint32_t fk_page_alloc(struct fk *fk, uint64_t stamp)
{
	uint32_t k = fk->free_page;

	ASSERT(k);
	fk->free_page = fk->pages[k].next_free;
	fk->pages[k] = (struct fk_page){ .stamp = stamp, .refs = 1, .exclusive = true };
	return k;
}

void fk_pte_clear(struct fk_mm *mm, uint32_t page)
{
	struct fk *fk = mm->fk;
	uint32_t k = mm->pte[page].page;

	mm->pte[page] = (struct fk_pte){ 0 };
	if (!k || --fk->pages[k].refs)
		return;
	fk->pages[k].next_free = fk->free_page;
	fk->free_page = k;
}

/* Give the page table an exclusive copy, as a write fault does. */
static void page_own(struct fk_mm *mm, uint32_t page)
{
	struct fk *fk = mm->fk;
	struct fk_page *p = &fk->pages[mm->pte[page].page];

	if (p->refs == 1 && !p->zero) {
		p->exclusive = true;
	} else if (!p->exclusive || p->zero) {
		uint64_t stamp = p->stamp;

		fk_pte_clear(mm, page);
		mm->pte[page].page = fk_page_alloc(fk, stamp);
	}
}

/* ---- tasks ---------------------------------------------------------------------------------- */

void fk_task_start(struct fk_task *t, struct fk_mm *mm)
{
	struct fk *fk = mm->fk;

	ASSERT(fk->n_tasks < FK_MAX_TASKS);
	*t = (struct fk_task){ .mm = mm, .tid = fk->next_tid++ };
	fk->tasks[fk->n_tasks++] = t;
}

static void queue_remove(struct fk_task **queue, uint32_t *n, const struct fk_task *t)
{
	uint32_t k, left = 0;

	for (k = 0; k < *n; k++)
		if (queue[k] != t)
			queue[left++] = queue[k];
	*n = left;
}

void fk_task_end(struct fk_task *t)
{
	struct fk *fk = t->mm->fk;
	struct fk_uffd *u = t->mm->main;

	if (u) {
		queue_remove(u->faults, &u->n_faults, t);
		queue_remove(u->events, &u->n_events, t);
		u->n_changing -= t->n_events - t->at_event;
	}
	t->n_events = t->at_event = 0;
	queue_remove(fk->tasks, &fk->n_tasks, t);
}

static void task_sleep(struct fk_task *t, enum fk_task_state state)
{
	t->state = state;
	t->since_round = t->mm->fk->round;
}

/* The next event of the call: on its way, or queued. */
static void event_raise(struct fk_task *t)
{
	struct fk_uffd *u = t->mm->main;

	if (t->mm->fk->late_events && t->state != TASK_EVENT_LATE) {
		task_sleep(t, TASK_EVENT_LATE);
		return;
	}
	u->events[u->n_events++] = t;
	task_sleep(t, TASK_EVENT);
}

bool fk_task_run(struct fk_task *t)
{
	switch (t->state) {
	case TASK_RUNS:
		return true;
	case TASK_FAULT:
	case TASK_EVENT:
		return false;
	case TASK_EVENT_LATE:
		event_raise(t);
		return false;
	case TASK_EVENT_READ:
		t->mm->main->n_changing--;
		t->state = TASK_RUNS;
		if (++t->at_event < t->n_events) {
			event_raise(t);
			return false;
		}
		t->n_events = t->at_event = 0;
		return true;
	}
	return false;
}

static void task_wake(struct fk_task *t)
{
	struct fk_uffd *u = t->mm->main;

	queue_remove(u->faults, &u->n_faults, t);
	t->state = TASK_RUNS;
}

void fk_task_signal(struct fk_task *t)
{
	if (t->state == TASK_FAULT)
		task_wake(t);
}

void fk_wake(struct fk_uffd *u, uint64_t start, uint64_t end)
{
	uint32_t k;

	if (!u->mm)
		return;
	for (k = 0; k < u->mm->fk->n_tasks; k++) {
		struct fk_task *t = u->mm->fk->tasks[k];

		if (t->mm == u->mm && t->state == TASK_FAULT && t->addr >= start && t->addr < end)
			task_wake(t);
	}
}

enum fk_result fk_access(struct fk_task *t, uint32_t page, bool write, struct fk_page **ret_page)
{
	struct fk_mm *mm = t->mm;
	struct fk_vma *vma = fk_vma_at(mm, page);
	struct fk_pte *pte = &mm->pte[page];

	ASSERT(t->state == TASK_RUNS);
	if (!vma || vma->no_access || pte->mark == FK_GUARD)
		return FK_SEGV;
	if (pte->mark == FK_POISON)
		return FK_BUS;
	if (!pte->page && vma->reg == FK_MISSING) {
		t->addr = fk_addr(page);
		t->write = write;
		t->told = false;
		mm->main->faults[mm->main->n_faults++] = t;
		task_sleep(t, TASK_FAULT);
		return FK_SLEEPS;
	}
	if (!pte->page) {
		pte->page = fk_page_alloc(mm->fk, 0);
		mm->fk->pages[pte->page].zero = !write;
	}
	if (write) {
		page_own(mm, page);
		mm->fk->pages[pte->page].lazy = false;
	}
	*ret_page = &mm->fk->pages[pte->page];
	return FK_OK;
}

bool fk_reclaim_lazy(struct fk_mm *mm, uint32_t page)
{
	uint32_t k = mm->pte[page].page;

	if (!k || !mm->fk->pages[k].lazy || mm->fk->pages[k].refs > 1)
		return false;
	fk_pte_clear(mm, page);
	return true;
}

/* ---- address spaces ------------------------------------------------------------------------- */

struct fk_mm *fk_mm_new(struct fk *fk)
{
	struct fk_mm *mm = calloc(1, sizeof(*mm));

	ASSERT(mm);
	mm->fk = fk;
	return mm;
}

struct fk_uffd *fk_uffd_new(struct fk_mm *mm)
{
	struct fk_uffd *u = calloc(1, sizeof(*u));

	ASSERT(u && !mm->main);
	u->mm = mm;
	u->n_refs = 1; /* the address space's */
	mm->main = u;
	return u;
}

void fk_uffd_unref(struct fk_uffd *u)
{
	if (!--u->n_refs)
		free(u);
}

void fk_mm_exit(struct fk_mm *mm)
{
	struct fk_uffd *u = mm->main;
	uint32_t k;

	for (k = 0; k < mm->fk->n_tasks;) {
		if (mm->fk->tasks[k]->mm == mm)
			fk_task_end(mm->fk->tasks[k]);
		else
			k++;
	}
	for (k = 0; k < FK_PAGES; k++)
		fk_pte_clear(mm, k);
	mm->n_vmas = 0;
	mm->dead = true;
	mm->main = NULL;
	if (u) {
		u->mm = NULL;
		u->n_changing = 0;
		fk_uffd_unref(u);
	}
}

void fk_mm_free(struct fk_mm *mm)
{
	ASSERT(mm->dead);
	free(mm);
}

static void fork_pte(struct fk_mm *mm, struct fk_mm *child, uint32_t page)
{
	struct fk_pte *pte = &mm->pte[page];
	struct fk_page *p = &mm->fk->pages[pte->page];

	child->pte[page].mark = pte->mark;
	if (!pte->page)
		return;
	if (p->pinned && p->exclusive) {
		child->pte[page].page = fk_page_alloc(mm->fk, p->stamp);
		return;
	}
	p->refs++;
	p->exclusive = false;
	child->pte[page].page = pte->page;
}

bool fk_fork(struct fk_task *t, struct fk_mm **ret_child)
{
	struct fk_mm *mm = t->mm;
	struct fk_mm *child = fk_mm_new(mm->fk);
	bool told = false;
	uint32_t k, i;

	for (k = 0; k < mm->n_vmas; k++) {
		struct fk_vma *vma = &mm->vma[k];

		if (vma->no_fork)
			continue;
		child->vma[child->n_vmas] = *vma;
		child->vma[child->n_vmas++].aux = false;
		told |= vma->reg != FK_UNREGISTERED;
		for (i = vma->at.start; !vma->wipe && i < vma->at.end; i++)
			fork_pte(mm, child, i);
	}
	*ret_child = child;
	if (!told)
		return false;
	fk_uffd_new(child);
	t->event[0] = (struct mem_event){ .type = MEM_EVENT_FORK };
	t->child[0] = child;
	t->n_events = 1;
	mm->main->n_changing++;
	event_raise(t);
	return true;
}

/* For fake-calls.c: @t sleeps for the events it has. Return: true if there are any. */
bool task_events_begin(struct fk_task *t)
{
	if (!t->n_events)
		return false;
	event_raise(t);
	return true;
}
