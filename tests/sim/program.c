// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Model threads: one operation at a time, one kernel step per call.
 */
#include "oracle.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void world_init(struct world *w, uint64_t seed)
{
	uint32_t k;

	*w = (struct world){
		.rng = { seed ^ 0x5eed }, .next_stamp = 1, .touch_pct = 75, .ops = ~0ULL
	};
	fk_init(&w->fk, seed);
	for (k = 0; k < MAX_PROCS; k++) {
		w->proc[k].world = w;
		w->proc[k].nr = k;
	}
}

void world_deinit(struct world *w)
{
	uint32_t k;

	for (k = 0; k < MAX_PROCS; k++)
		ASSERT(w->proc[k].state == PROC_FREE);
	fk_deinit(&w->fk);
}

void world_fail(struct world *w, const char *what, const struct proc *p, uint32_t page)
{
	if (w->wrong)
		return;
	w->wrong = what;
	snprintf(w->detail, sizeof(w->detail), "process %u page %u", p ? p->nr : 99, page);
}

/* ---- processes ------------------------------------------------------------------------------ */

void proc_add_thread(struct proc *p)
{
	uint32_t k;

	for (k = 0; k < MAX_THREADS; k++) {
		struct thread *t = &p->thread[k];

		if (t->exists)
			continue;
		*t = (struct thread){ .exists = true, .proc = p };
		fk_task_start(&t->task, p->mm);
		return;
	}
}

static struct proc *proc_take(struct world *w)
{
	uint32_t k;

	for (k = 0; k < MAX_PROCS; k++) {
		struct proc *p = &w->proc[k];

		if (p->state != PROC_FREE)
			continue;
		*p = (struct proc){ .world = w, .nr = k };
		return p;
	}
	return NULL;
}

struct proc *proc_start(struct world *w, uint32_t n_threads)
{
	struct proc *p = proc_take(w);

	if (!p)
		return NULL;
	p->mm = fk_mm_new(&w->fk);
	p->mm->user = p;
	p->state = PROC_ALIVE;
	while (n_threads--)
		proc_add_thread(p);
	return p;
}

void proc_forget(struct proc *p)
{
	ASSERT(p->state == PROC_DEAD);
	p->state = PROC_FREE;
}

void proc_exit(struct proc *p)
{
	uint32_t k;

	for (k = 0; k < MAX_THREADS; k++) {
		struct thread *t = &p->thread[k];

		if (t->exists && t->op == OP_FORK) { /* the fork comes to nothing */
			t->op = OP_NONE;
			proc_exit(t->child);
		}
		t->exists = false;
	}
	fake_agent_kill(&p->agent);
	fk_mm_exit(p->mm);
	fk_mm_free(p->mm);
	p->mm = NULL;
	p->state = PROC_DEAD;
	if (!p->space)
		proc_forget(p);
}

/* ---- operations ----------------------------------------------------------------------------- */

void program_touch(struct thread *t, uint32_t page, bool write)
{
	t->op = OP_TOUCH;
	t->at = (struct frange){ page, page + 1 };
	t->write = write;
	t->down = false;
}

void program_madvise(struct thread *t, struct frange at, bool lazy)
{
	fk_trace(t->task.mm->fk, "mm %p madvise %u..%u%s", (void *)t->task.mm, at.start, at.end,
		 lazy ? " free" : "");
	t->op = OP_MADVISE;
	t->at = at;
	t->lazy = lazy;
	t->zap = false;
}

void program_munmap(struct thread *t, struct frange at)
{
	fk_trace(t->task.mm->fk, "mm %p munmap %u..%u", (void *)t->task.mm, at.start, at.end);
	oracle_unmap(t->proc, at);
	t->proc->hole = at;
	t->busy = (struct frange){ 0, 0 };
	t->op = fk_munmap(&t->task, at) ? OP_WAIT : OP_NONE;
}

void program_mmap(struct thread *t, struct frange at)
{
	/* neighbours that do not merge are ordinary: mapped at different times, or named */
	struct fk_vma like = { .kin = rng_below(&t->proc->world->rng, 3) / 2 };
	uint32_t k;

	fk_trace(t->task.mm->fk, "mm %p mmap %u..%u", (void *)t->task.mm, at.start, at.end);
	for (k = at.start; k < at.end; k++)
		t->proc->o[k] = (struct oracle_page){ 0, O_MAPPED };
	t->busy = at;
	t->op = fk_mmap(&t->task, at, &like) ? OP_WAIT : OP_NONE;
}

void program_mremap(struct thread *t, const struct fk_mremap *m)
{
	fk_trace(t->task.mm->fk, "mm %p mremap %u..%u to %u..%u%s", (void *)t->task.mm,
		 m->from.start, m->from.end, m->to.start, m->to.end, m->dont_unmap ? " keep" : "");
	oracle_remap(t->proc, m);
	if (m->to.start == m->from.start && m->to.end < m->from.end)
		t->proc->hole = (struct frange){ m->to.end, m->from.end };
	else if (!m->dont_unmap && m->to.start != m->from.start)
		t->proc->hole = m->from;
	t->busy = m->to;
	t->op = fk_mremap(&t->task, m) ? OP_WAIT : OP_NONE;
}

static void fork_finish(struct thread *t)
{
	struct proc *child = t->child;

	t->op = OP_NONE;
	t->child = NULL;
	child->state = PROC_ALIVE;
	proc_add_thread(child);
	if (rng_below(&t->proc->world->rng, 2))
		proc_add_thread(child);
}

void program_fork(struct thread *t)
{
	struct proc *child = proc_take(t->proc->world);
	bool waits;

	if (!child)
		return;
	oracle_fork(t->proc, child);
	child->state = PROC_EMBRYO;
	waits = fk_fork(&t->task, &child->mm);
	child->mm->user = child;
	fk_trace(&t->proc->world->fk, "mm %p fork -> %p", (void *)t->task.mm, (void *)child->mm);
	t->op = OP_FORK;
	t->child = child;
	t->proc->world->stats.n_forks++;
	if (!waits)
		fork_finish(t);
}

static void set_no_access(struct fk_vma *vma, bool on)
{
	vma->no_access = on;
}

static void set_wipe(struct fk_vma *vma, bool on)
{
	vma->wipe = on;
}

static void set_no_fork(struct fk_vma *vma, bool on)
{
	vma->no_fork = on;
}

void program_set_flags(struct thread *t, struct frange at, uint8_t flag, bool on)
{
	uint32_t k;

	fk_trace(t->task.mm->fk, "mm %p flag %x of %u..%u: %d", (void *)t->task.mm, flag, at.start,
		 at.end, on);
	for (k = at.start; k < at.end; k++)
		if (t->proc->o[k].flags & O_MAPPED)
			t->proc->o[k].flags = on ? t->proc->o[k].flags | flag
						 : t->proc->o[k].flags & (uint8_t)~flag;
	fk_change(t->task.mm, at,
		  flag == O_NO_ACCESS ? set_no_access
		  : flag == O_WIPE    ? set_wipe
				      : set_no_fork,
		  on);
}

static void step_touch(struct thread *t)
{
	struct world *w = t->proc->world;
	uint32_t page = t->down ? t->at.end - 1 : t->at.start;
	struct fk_page *fp;

	switch (fk_access(&t->task, page, t->write, &fp)) {
	case FK_SLEEPS:
		w->stats.n_faults++;
		return;
	case FK_SEGV:
		w->stats.n_segv++;
		if (t->proc->o[page].flags & O_MAPPED &&
		    !(t->proc->o[page].flags & (O_NO_ACCESS | O_GUARD)))
			world_fail(w, "SIGSEGV on a page that is mapped", t->proc, page);
		break;
	case FK_BUS:
		w->stats.n_bus++;
		if (!w->bus_expected)
			world_fail(w, "SIGBUS", t->proc, page);
		break;
	case FK_OK:
		if (t->proc->o[page].flags & O_GUARD)
			world_fail(w, "a guard page can be touched", t->proc, page);
		program_verify_page(t->proc, page, fp->stamp, t->write ? "write" : "read");
		if (t->write) {
			fp->stamp = w->next_stamp++ * 8 + rng_below(&w->rng, 8);
			oracle_write(t->proc, page, fp->stamp);
		}
		t->write ? w->stats.n_writes++ : w->stats.n_reads++;
		break;
	}
	if (t->down)
		t->at.end--;
	else
		t->at.start++;
	if (t->at.start == t->at.end)
		t->op = OP_NONE;
}

/* The call failed half-way: what it told of is gone for some, and was not zapped. */
static void madvise_fails(struct thread *t)
{
	struct frange at = t->at;
	uint32_t k;

	t->op = OP_NONE;
	for (k = at.start; k < at.end; k++)
		if (t->proc->o[k].flags & O_MAPPED)
			t->proc->o[k].flags |= O_UNSURE;
}

static void madvise_zap(struct thread *t)
{
	uint32_t k;

	t->zap = false;
	t->at.start = fk_zap(t->task.mm, t->part, t->lazy);
	for (k = t->part.start; k < t->at.start; k++)
		oracle_zap(t->proc, k, t->lazy);
	if (t->at.start == t->part.start)
		madvise_fails(t);
}

static void step_madvise(struct thread *t)
{
	int r;

	if (t->zap) {
		madvise_zap(t);
		return;
	}
	t->part = t->at;
	r = t->at.start < t->at.end ? fk_remove_begin(&t->task, &t->part) : -1;
	if (r < 0)
		t->op = OP_NONE;
	else if (r == 0) /* without an event the lock is held all the way: one step */
		madvise_zap(t);
	else
		t->zap = true;
}

static void step_guard(struct thread *t)
{
	uint32_t k;

	t->home_asked = true;
	if (t->proc->space && !t->home_done)
		return;
	for (k = t->at.start; k < t->at.end; k++) {
		struct oracle_page *o = &t->proc->o[k];

		if (o->flags & O_MAPPED)
			*o = (struct oracle_page){ 0, (o->flags & (O_MAPPED | O_NO_ACCESS | O_WIPE |
								   O_NO_FORK)) |
							      O_GUARD };
	}
	fk_guard(t->task.mm, t->at, true);
	t->op = OP_NONE;
}

bool program_is_idle(const struct thread *t)
{
	return !t->exists || t->op == OP_NONE;
}

bool program_step(struct thread *t, bool may_begin)
{
	bool ran = t->task.state == TASK_RUNS;

	if (!t->exists || t->proc->state != PROC_ALIVE || !fk_task_run(&t->task))
		return false;
	if (!ran)
		return true; /* awake again, and nothing done yet: a zap comes later than that */
	switch (t->op) {
	case OP_NONE:
		if (may_begin)
			program_begin_random(t);
		return may_begin;
	case OP_TOUCH:
		step_touch(t);
		return true;
	case OP_MADVISE:
		step_madvise(t);
		return true;
	case OP_WAIT:
		t->op = OP_NONE;
		return true;
	case OP_FORK:
		fork_finish(t);
		return true;
	case OP_GUARD:
		step_guard(t);
		return true;
	}
	return false;
}
