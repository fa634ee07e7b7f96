// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a model thread does next. Small address spaces and few pages, so that threads meet.
 */
#include "base/assert.h"
#include "program.h"

static uint32_t below(struct thread *t, uint32_t n)
{
	return rng_below(&t->proc->world->rng, n);
}

static bool chance(struct thread *t, uint32_t pct)
{
	return below(t, 100) < pct;
}

/* Is a call under way that has not told its thread yet that this is mapped? */
static bool is_busy(const struct proc *p, uint32_t page)
{
	uint32_t k;

	for (k = 0; k < MAX_THREADS; k++)
		if (p->thread[k].exists && p->thread[k].op == OP_WAIT &&
		    page >= p->thread[k].busy.start && page < p->thread[k].busy.end)
			return true;
	return false;
}

/* Does another thread wait to install guards there? */
static bool is_guard_coming(const struct proc *p, struct frange at)
{
	uint32_t k;

	for (k = 0; k < MAX_THREADS; k++)
		if (p->thread[k].exists && p->thread[k].op == OP_GUARD &&
		    p->thread[k].at.start < at.end && at.start < p->thread[k].at.end)
			return true;
	return false;
}

/* Up to @n_max mapped pages somewhere; empty: nothing was found. */
static struct frange pick_mapped(struct thread *t, uint32_t n_max, uint8_t not_flags)
{
	const struct oracle_page *o = t->proc->o;
	uint32_t tries, k;

	for (tries = 0; tries < 64; tries++) {
		uint32_t start = below(t, FK_PROGRAM_PAGES);

		for (k = start; k < FK_PROGRAM_PAGES && k - start < n_max; k++)
			if (!(o[k].flags & O_MAPPED) || o[k].flags & not_flags ||
			    is_busy(t->proc, k))
				break;
		if (k > start)
			return (struct frange){ start, k };
	}
	return (struct frange){ 0, 0 };
}

static struct frange pick_free(struct thread *t, uint32_t n)
{
	struct frange hole = t->proc->hole;
	uint32_t tries;

	for (tries = 0; tries < 16; tries++) {
		uint32_t start = below(t, FK_PROGRAM_PAGES - n);
		struct frange at = { start, start + n };

		if (tries == 0 && chance(t, 60)) {
			if (hole.end < n || hole.end - hole.start < n)
				continue;
			at = (struct frange){ hole.end - n, hole.end };
		}

		if (fk_is_free(t->task.mm, at))
			return at;
	}
	return (struct frange){ 0, 0 };
}

/* What was unmapped last, if all of it is mapped again. */
static struct frange pick_claimed(struct thread *t, uint32_t n_max)
{
	struct frange at = t->proc->hole;
	uint32_t k;

	if (at.end - at.start > n_max)
		at.start = at.end - n_max;
	for (k = at.start; k < at.end; k++)
		if (!(t->proc->o[k].flags & O_MAPPED) || is_busy(t->proc, k))
			return (struct frange){ 0, 0 };
	return at;
}

/*
 * What a fork passes on is read from the parent's mappings after the event was read, when its thread may
 * have returned and changed them again; and not at all if the parent has no agent. Known gaps, not walked
 * into unless asked for.
 */
static bool fork_is_told(const struct thread *t)
{
	uint32_t k;

	if (t->proc->world->flags_race)
		return false;
	for (k = 0; k < MAX_THREADS; k++)
		if (t->proc->thread[k].exists && t->proc->thread[k].op == OP_FORK)
			return true;
	return t->proc->world->in_owner || t->proc->agent.state == AGENT_NONE;
}

/* The same of what is to be moved or unmapped: has it something that a fork does not pass on? */
static bool is_flag_told(const struct thread *t, struct frange at)
{
	uint32_t k;

	for (k = at.start; k < at.end; k++)
		if (t->proc->o[k].flags & (O_WIPE | O_NO_FORK))
			return fork_is_told(t);
	return false;
}

static void begin_touch(struct thread *t)
{
	uint32_t n = chance(t, 40) ? 1 : 1 + below(t, 40);
	struct frange at = pick_mapped(t, n, O_NO_ACCESS | O_GUARD);

	if (at.start == at.end)
		return;
	t->op = OP_TOUCH;
	t->at = at;
	t->write = chance(t, 40);
	t->down = chance(t, 20);
}

static void begin_mmap(struct thread *t)
{
	struct frange at;

	if (chance(t, 70))
		at = pick_free(t, 1 + below(t, 200));
	else
		at = pick_mapped(t, 1 + below(t, 60), 0);
	if (at.start < at.end && !is_flag_told(t, at))
		program_mmap(t, at);
}

static void begin_munmap(struct thread *t)
{
	struct frange at = pick_mapped(t, 1 + below(t, 80), 0);

	if (at.start < at.end && !is_flag_told(t, at))
		program_munmap(t, at);
}

static void begin_madvise(struct thread *t)
{
	struct frange at = pick_mapped(t, 1 + below(t, 60), 0);

	if (at.start < at.end)
		program_madvise(t, at, chance(t, 40));
}

/* @from cut down to one mapping. */
static struct frange one_mapping(struct thread *t, struct frange from)
{
	struct fk_vma *vma = fk_vma_at(t->task.mm, from.start);

	ASSERT(vma);
	if (vma->at.end < from.end)
		from.end = vma->at.end;
	return from;
}

/* The end of the mapping below of what was unmapped last, to grow into it again. */
static struct frange below_hole(struct thread *t)
{
	const uint32_t end = t->proc->hole.start;
	const uint32_t start = end ? end - 1 : 0;

	if (start == end || !(t->proc->o[start].flags & O_MAPPED) || is_busy(t->proc, start))
		return (struct frange){ 0, 0 };
	return (struct frange){ start, end };
}

static void begin_mremap(struct thread *t)
{
	struct frange from = pick_mapped(t, 1 + below(t, 60), 0), at;
	uint32_t n = from.end - from.start;
	struct fk_mremap m;
	bool in_place;
	uint32_t how;

	if (!n)
		return;
	from = one_mapping(t, from);
	n = from.end - from.start;
	m = (struct fk_mremap){ .from = from };
	how = below(t, 5);
	in_place = how < 2;
	switch (how) {
	case 0: /* shrink in place */
		m.to = (struct frange){ from.start, from.start + 1 + below(t, n) };
		break;
	case 1: /* grow in place */
		at = below_hole(t);
		if (at.start < at.end && chance(t, 50)) {
			m.from = from = at;
			n = t->proc->hole.end - at.end;
		} else {
			n = 20;
		}
		m.to = (struct frange){ from.start, from.end + 1 + below(t, n) };
		if (m.to.end > FK_PROGRAM_PAGES ||
		    !fk_is_free(t->task.mm, (struct frange){ from.end, m.to.end }))
			return;
		break;
	case 2: /* MREMAP_FIXED over something */
		m.to = pick_mapped(t, n, 0);
		if (chance(t, 50)) /* claimed with mmap() before */
			m.to = pick_claimed(t, n);
		break;
	default: /* to a free place: as it is, larger or smaller */
		/* with late events or several threads a known gap: docs/protocol.md */
		m.dont_unmap = chance(t, 30) && !t->task.mm->fk->late_events &&
			       proc_n_threads(t->task.mm) == 1;
		m.to = pick_free(t, m.dont_unmap || chance(t, 40) ? n : 1 + below(t, 2 * n));
	}
	if (is_guard_coming(t->proc, m.to) || /* known gaps: docs/protocol.md */
	    is_flag_told(t, from) || is_flag_told(t, m.to))
		return;
	if (m.to.start == m.to.end || (!in_place && m.to.start < from.end && m.to.end > from.start))
		return;
	program_mremap(t, &m);
}

static void begin_flags(struct thread *t)
{
	struct frange at = pick_mapped(t, 1 + below(t, 40), 0);
	static const uint8_t flags[] = { O_NO_ACCESS, O_WIPE, O_NO_FORK };
	uint8_t flag = flags[below(t, 3)];

	if (at.start < at.end && (flag == O_NO_ACCESS || !fork_is_told(t)))
		program_set_flags(t, at, flag, chance(t, 40));
}

static void begin_guard(struct thread *t)
{
	struct frange at = pick_mapped(t, 1 + below(t, 4), 0);
	uint32_t k;

	if (at.start == at.end)
		return;
	if (chance(t, 60)) {
		t->op = OP_GUARD;
		t->at = at;
		t->home_asked = t->home_done = false;
		return;
	}
	fk_guard(t->task.mm, at, false);
	for (k = at.start; k < at.end; k++)
		t->proc->o[k].flags &= (uint8_t)~O_GUARD;
}

static void pin_toggle(struct thread *t)
{
	struct frange at = pick_mapped(t, 1, 0);
	uint32_t k;

	if (at.start == at.end)
		return;
	k = t->task.mm->pte[at.start].page;
	if (k && !t->task.mm->fk->pages[k].zero)
		t->task.mm->fk->pages[k].pinned ^= true;
}

static void begin_exit(struct thread *t)
{
	t->proc->world->stats.n_exits++;
	proc_exit(t->proc);
}

void program_begin_random(struct thread *t)
{
	static const struct {
		void (*fn)(struct thread *t);
		uint32_t weight;
	} calls[] = {
		{ begin_mmap, 22 },   { begin_munmap, 10 }, { begin_madvise, 22 },
		{ begin_mremap, 20 }, { begin_flags, 10 },  { program_fork, 8 },
		{ begin_guard, 3 },   { pin_toggle, 4 },    { begin_exit, 1 },
	};
	struct world *w = t->proc->world;
	uint32_t k, total = 0, at;

	if (chance(t, w->touch_pct)) {
		begin_touch(t);
		return;
	}
	for (k = 0; k < sizeof(calls) / sizeof(calls[0]); k++)
		total += w->ops >> k & 1 ? calls[k].weight : 0;
	if (!total)
		return;
	at = below(t, total);
	for (k = 0;; k++) {
		uint32_t weight = w->ops >> k & 1 ? calls[k].weight : 0;

		if (at < weight)
			break;
		at -= weight;
	}
	w->stats.n_calls++;
	calls[k].fn(t);
}
