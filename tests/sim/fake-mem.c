// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * mem_ops of the fake kernel.
 *
 * Errors are those of the real ioctls, in the order in which these look: EAGAIN while the layout
 * changes comes before everything else, ESRCH included.
 */
#include "fake-mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fake-vma.h"

static void enter(struct fake_mem *m)
{
	if (m->fk->preempt)
		m->fk->preempt(m->fk->user);
}

static bool fails(struct fake_mem *m)
{
	struct fk *fk = m->fk;

	if (++fk->n_calls == fk->fail_at ||
	    (fk->fail_one_in && !rng_below(&fk->rng, fk->fail_one_in)))
		return fk->failed = true;
	return false;
}

/* ---- events --------------------------------------------------------------------------------- */

static void take_fault(struct fk_uffd *u, struct mem_event *ev)
{
	struct fk_task *t = u->faults[0];

	memmove(u->faults, u->faults + 1, --u->n_faults * sizeof(struct fk_task *));
	t->told = true;
	fk_trace(t->mm->fk, "  mm %p told fault page %u", (void *)t->mm, fk_page_nr(t->addr));
	*ev = (struct mem_event){
		.type = MEM_EVENT_FAULT, .addr = t->addr, .tid = t->tid, .write = t->write
	};
}

static void take_event(struct fake_mem *m, struct mem_event *ev)
{
	struct fk_uffd *u = m->uffd;
	struct fk_task *t = u->events[0];

	memmove(u->events, u->events + 1, --u->n_events * sizeof(struct fk_task *));
	*ev = t->event[t->at_event];
	if (ev->type == MEM_EVENT_FORK)
		ev->child = &fake_mem_new(t->child[t->at_event]->main, m->inside_zap, m->n_threads)
				     ->base;
	t->state = TASK_EVENT_READ;
	fk_trace(m->fk, "  mm %p read event %d: %d..%d len %d", (void *)u->mm, ev->type,
		 (int)fk_page_nr(ev->addr), (int)fk_page_nr(ev->to), (int)(ev->len / PAGE_BYTES));
}

static bool head_is_fork(const struct fk_uffd *u)
{
	const struct fk_task *t = u->events[0];

	return t->event[t->at_event].type == MEM_EVENT_FORK;
}

static int op_read_events(struct mem *base, struct mem_event *events, uint32_t n, uint32_t *ret_n)
{
	struct fake_mem *m = fake_mem_of(base);
	struct fk_uffd *u = m->uffd;

	*ret_n = 0;
	enter(m);
	while (*ret_n < n) {
		if (u->n_faults) {
			take_fault(u, &events[(*ret_n)++]);
		} else if (u->n_events) {
			if (head_is_fork(u) && (u->no_fds || fails(m)))
				return *ret_n ? 0 : -EMFILE;
			take_event(m, &events[(*ret_n)++]);
		} else {
			break;
		}
		/* a read of many messages is not one step */
		if (!rng_below(&m->fk->rng, 4))
			enter(m);
	}
	return 0;
}

/* ---- pages ---------------------------------------------------------------------------------- */

static int ioctl_begin(struct fake_mem *m)
{
	enter(m);
	if (m->uffd->n_changing)
		return -EAGAIN;
	return m->uffd->mm ? 0 : -ESRCH;
}

static bool page_inside(uint64_t addr, uint64_t len)
{
	return addr >= FK_BASE && addr + len <= fk_addr(FK_PAGES);
}

/* The range must lie in one registered mapping. */
static int range_check(struct fake_mem *m, uint64_t dst, uint64_t len)
{
	struct fk_vma *vma;

	ASSERT(len && len % PAGE_BYTES == 0 && dst % PAGE_BYTES == 0);
	if (!page_inside(dst, len))
		return -ENOENT;
	vma = fk_vma_at(m->uffd->mm, fk_page_nr(dst));
	if (!vma || (!vma->reg && !vma->aux) || fk_page_nr(dst + len - 1) >= vma->at.end)
		return -ENOENT;
	return 0;
}

enum fill { FILL_COPY, FILL_ZERO, FILL_POISON };

static int fill_page(struct fake_mem *m, uint32_t page, enum fill fill, const void *src)
{
	struct fk_mm *mm = m->uffd->mm;
	struct fk_pte *pte = &mm->pte[page];

	if (pte->page || (pte->mark && fill != FILL_COPY))
		return -EEXIST;
	pte->mark = fill == FILL_POISON ? FK_POISON : FK_NONE;
	if (fill != FILL_POISON)
		pte->page = fk_page_alloc(m->fk, fill == FILL_COPY ? stamp_of(src) : 0);
	if (fill == FILL_ZERO)
		m->fk->pages[pte->page].zero = true;
	return 0;
}

static int fill_range(struct fake_mem *m, uint64_t dst, uint64_t len, enum fill fill,
		      const uint8_t *src, uint64_t *ret_done)
{
	uint64_t stop = len;
	int r;

	*ret_done = 0;
	r = ioctl_begin(m);
	if (!r && fails(m)) {
		stop = rng_below(&m->fk->rng, (uint32_t)(len / PAGE_BYTES)) * (uint64_t)PAGE_BYTES;
		r = stop ? 0 : rng_below(&m->fk->rng, 2) ? -ENOMEM : -EAGAIN;
	}
	if (!r)
		r = range_check(m, dst, len);
	while (!r && *ret_done < stop) {
		r = fill_page(m, fk_page_nr(dst + *ret_done), fill, src ? src + *ret_done : NULL);
		if (!r)
			*ret_done += PAGE_BYTES;
	}
	if (*ret_done)
		fk_wake(m->uffd, dst, dst + *ret_done);
	fk_trace(m->fk, "  mm %p fill %d page %u n %u: %d, %u done", (void *)m->uffd->mm, fill,
		 fk_page_nr(dst), (uint32_t)(len / PAGE_BYTES), r,
		 (uint32_t)(*ret_done / PAGE_BYTES));
	return *ret_done && *ret_done < len ? -EAGAIN : r;
}

static int op_copy(struct mem *m, uint64_t dst, const void *src, uint64_t len, uint64_t *ret_done)
{
	return fill_range(fake_mem_of(m), dst, len, FILL_COPY, src, ret_done);
}

static int op_zero(struct mem *m, uint64_t dst, uint64_t len, uint64_t *ret_done)
{
	return fill_range(fake_mem_of(m), dst, len, FILL_ZERO, NULL, ret_done);
}

static int op_poison(struct mem *m, uint64_t dst, uint64_t len)
{
	uint64_t done;

	return fill_range(fake_mem_of(m), dst, len, FILL_POISON, NULL, &done);
}

static int op_wake(struct mem *base, uint64_t start, uint64_t len)
{
	struct fake_mem *m = fake_mem_of(base);

	enter(m);
	fk_trace(m->fk, "  mm %p wake %u..%u", (void *)m->uffd->mm, fk_page_nr(start),
		 fk_page_nr(start + len));
	fk_wake(m->uffd, start, start + len);
	return 0;
}

/* ---- registration --------------------------------------------------------------------------- */

static void set_missing(struct fk_vma *vma, bool on)
{
	vma->reg = on ? FK_MISSING : FK_UNREGISTERED;
}

static void set_wp(struct fk_vma *vma, bool on)
{
	vma->reg = on ? FK_WP : FK_UNREGISTERED;
}

static struct frange frange_of(uint64_t start, uint64_t len)
{
	ASSERT(page_inside(start, len));
	return (struct frange){ fk_page_nr(start), fk_page_nr(start + len) };
}

static int registration(struct mem *base, uint64_t start, uint64_t len,
			void (*fn)(struct fk_vma *vma, bool on), bool on)
{
	struct fake_mem *m = fake_mem_of(base);
	struct frange at = frange_of(start, len);
	struct fk_vma *vma;

	enter(m);
	if (!m->uffd->mm)
		return -ESRCH;
	if (fails(m))
		return -ENOMEM;
	vma = fk_vma_next(m->uffd->mm, at.start);
	if (!vma || vma->at.start >= at.end)
		return -EINVAL;
	if (vma->aux)
		return -EBUSY;
	fk_change(m->uffd->mm, at, fn, on);
	fk_trace(m->fk, "  mm %p register %u..%u: %d", (void *)m->uffd->mm, at.start, at.end, on);
	if (!on)
		fk_wake(m->uffd, start, start + len);
	return 0;
}

static int op_register_missing(struct mem *m, uint64_t start, uint64_t len)
{
	return registration(m, start, len, set_missing, true);
}

static int op_register_stage(struct mem *m, uint64_t start, uint64_t len)
{
	return registration(m, start, len, set_wp, true);
}

static int op_unregister(struct mem *m, uint64_t start, uint64_t len)
{
	return registration(m, start, len, set_missing, false);
}

static int op_is_registered(struct mem *base, uint64_t start, uint64_t len)
{
	struct fake_mem *m = fake_mem_of(base);
	struct fk_vma *vma;
	uint64_t at = start;
	int r = ioctl_begin(m);

	if (r)
		return r;
	if (fails(m))
		return -EAGAIN;
	r = -ENOENT;
	while (page_inside(at, PAGE_BYTES) && at < start + len) {
		vma = fk_vma_next(m->uffd->mm, fk_page_nr(at));
		if (!vma || fk_addr(vma->at.start) >= start + len)
			break;
		if (!vma->reg)
			return -ENOENT;
		r = 0;
		at = fk_addr(vma->at.end);
	}
	return r;
}

static int op_alive(struct mem *m)
{
	return fake_mem_of(m)->uffd->mm ? 0 : -ESRCH;
}

/* ---- looking -------------------------------------------------------------------------------- */

/* Page @page after the run @last, NULL for none: one run, or the next one. */
static bool run_grows(struct urange *last, uint32_t page)
{
	if (!last || last->end != fk_addr(page))
		return false;
	last->end += PAGE_BYTES;
	return true;
}

static int op_scan(struct mem *base, uint64_t start, uint64_t end, struct mem_present *runs,
		   uint32_t n, uint32_t *ret_n, uint64_t *ret_next)
{
	struct fake_mem *m = fake_mem_of(base);
	struct frange at = frange_of(start, end - start);
	uint32_t k;

	*ret_n = 0;
	enter(m);
	if (!m->uffd->mm)
		return -ESRCH;
	if (fails(m))
		return -ENOMEM;
	for (k = at.start; k < at.end; k++) {
		const struct fk_pte *pte = &m->uffd->mm->pte[k];

		if (!pte->page && !pte->mark) /* a mark counts as swapped */
			continue;
		if (run_grows(*ret_n ? &runs[*ret_n - 1].range : NULL, k))
			continue;
		if (*ret_n == n)
			break;
		runs[(*ret_n)++].range = (struct urange){ fk_addr(k), fk_addr(k + 1) };
	}
	*ret_next = fk_addr(k);
	return 0;
}

static int op_read_maps(struct mem *base, uint32_t flags, struct mem_map **ret_maps,
			uint32_t *ret_n)
{
	struct fake_mem *m = fake_mem_of(base);
	struct mem_map *maps;
	uint32_t k;

	enter(m);
	if (!m->uffd->mm)
		return -ESRCH;
	if (!flags && fails(m)) /* with flags it is a fork's, which may not fail */
		return -ENOMEM;
	maps = calloc(m->uffd->mm->n_vmas + 1, sizeof(*maps));
	ASSERT(maps);
	for (k = 0; k < m->uffd->mm->n_vmas; k++) {
		const struct fk_vma *vma = &m->uffd->mm->vma[k];

		maps[k].range = (struct urange){ fk_addr(vma->at.start), fk_addr(vma->at.end) };
		maps[k].evictable = !vma->no_access;
		maps[k].registered = flags && vma->reg == FK_MISSING;
		maps[k].wipe_on_fork = flags && vma->wipe;
		maps[k].dont_fork = flags && vma->no_fork;
	}
	*ret_maps = maps;
	*ret_n = m->uffd->mm->n_vmas;
	return 0;
}

static bool op_is_readable(struct mem *base)
{
	struct fake_mem *m = fake_mem_of(base);

	enter(m);
	return m->uffd->n_faults || m->uffd->n_events;
}

static int op_find_gone(struct mem *base, const struct urange *ranges, uint32_t n,
			struct urange *gone, uint32_t n_max, uint32_t *ret_n)
{
	struct fake_mem *m = fake_mem_of(base);
	uint32_t k;

	*ret_n = 0;
	enter(m);
	if (!m->uffd->mm)
		return -ESRCH;
	if (fails(m))
		return -ENOMEM;
	for (k = 0; k < n; k++) {
		uint32_t page = fk_page_nr(ranges[k].start);

		for (; page < fk_page_nr(ranges[k].end); page++) {
			if (fk_vma_at(m->uffd->mm, page) ||
			    run_grows(*ret_n ? &gone[*ret_n - 1] : NULL, page))
				continue;
			if (*ret_n == n_max)
				return -ENOSPC;
			gone[(*ret_n)++] = (struct urange){ fk_addr(page), fk_addr(page + 1) };
		}
	}
	return 0;
}

static bool has_call(const struct mem_call *calls, uint32_t n, const struct mem_call *call)
{
	while (n--)
		if (calls[n].tid == call->tid && calls[n].range.start == call->range.start &&
		    calls[n].range.end == call->range.end)
			return true;
	return false;
}

/* Post: @calls has what @t has taken, of *ret_n more than before. */
static int task_calls(const struct fk_task *t, struct mem_call *calls, uint32_t n_max,
		      uint32_t *ret_n)
{
	uint32_t i;

	for (i = 0; i < t->n_events; i++) {
		const struct mem_event *ev = &t->event[i];
		const bool is_remap = ev->type == MEM_EVENT_REMAP;
		const struct mem_call call = { { ev->addr, is_remap ? ev->addr + ev->len : ev->to },
					       t->tid };

		if ((!is_remap && ev->type != MEM_EVENT_UNMAP) || has_call(calls, *ret_n, &call))
			continue;
		if (*ret_n == n_max)
			return -ENOSPC;
		calls[(*ret_n)++] = call;
	}
	return 0;
}

/*
 * Who waits is seen. A task whose event was read runs: it is not. A task between its change and the queue,
 * or woken because another's event was read, is, and that is not always so in the real kernel: known gaps
 * (docs/protocol.md).
 */
static int op_find_calls(struct mem *base, struct mem_call *calls, uint32_t n_max, uint32_t *ret_n,
			 uint32_t *ret_n_running)
{
	struct fake_mem *m = fake_mem_of(base);
	uint32_t k;
	int r = 0;

	*ret_n = *ret_n_running = 0;
	enter(m);
	if (fails(m))
		return -ENOSPC;
	for (k = 0; !r && k < m->fk->n_tasks; k++) {
		const struct fk_task *t = m->fk->tasks[k];

		if (t->mm != m->uffd->mm)
			continue;
		if (t->state == TASK_RUNS || t->state == TASK_EVENT_READ)
			++*ret_n_running;
		else
			r = task_calls(t, calls, n_max, ret_n);
	}
	return r;
}

static ssize_t op_read_mem(struct mem *base, uint64_t src, void *dst, size_t len)
{
	struct fake_mem *m = fake_mem_of(base);
	size_t done;

	if (!m->uffd->mm || m->read_fails)
		return 0;
	for (done = 0; done < len; done += PAGE_BYTES) {
		uint32_t page = fk_page_nr(src + done);
		struct fk_vma *vma = fk_vma_at(m->uffd->mm, page);
		uint32_t k = m->uffd->mm->pte[page].page;

		if (!vma || (!k && vma->reg == FK_MISSING))
			break;
		ASSERT(vma->agent); /* R9: never what may be out, for which we would wait ourselves */
		stamp_expand(k ? m->fk->pages[k].stamp : 0, (uint8_t *)dst + done);
	}
	return (ssize_t)done;
}

static int op_protected_ranges(struct mem *base, struct urange *ranges, uint32_t n, uint32_t *ret_n)
{
	struct fake_mem *m = fake_mem_of(base);

	*ret_n = 0;
	enter(m);
	if (fails(m))
		return -ENOSPC;
	for (; *ret_n < m->n_protected && *ret_n < n; ++*ret_n)
		ranges[*ret_n] = (struct urange){ fk_addr(m->protected[*ret_n].start),
						  fk_addr(m->protected[*ret_n].end) };
	return 0;
}

/* As long as nobody has its pid, nobody knows. */
static uint32_t op_n_threads(struct mem *base)
{
	struct fake_mem *m = fake_mem_of(base);

	enter(m);
	if (fails(m) || !m->agent || !m->uffd->mm)
		return 0;
	return m->n_threads(m->uffd->mm) + (m->agent->state != AGENT_NONE);
}

static bool op_inside_zap(struct mem *base, uint64_t since_ns)
{
	struct fake_mem *m = fake_mem_of(base);

	(void)since_ns; /* the fake kernel knows */
	enter(m);
	return fails(m) || (m->uffd->mm && m->inside_zap && m->inside_zap(m->uffd->mm));
}

static int op_send(struct mem *base, const void *msg, size_t len)
{
	struct fake_mem *m = fake_mem_of(base);
	struct fake_agent *a = m->agent;

	enter(m);
	if (!a || a->state == AGENT_NONE)
		return -EPIPE;
	if (fails(m) || a->n_in == 4)
		return -EAGAIN;
	ASSERT(len <= sizeof(a->in[0]));
	memcpy(&a->in[a->n_in++], msg, len);
	return 0;
}

static struct mem *op_free(struct mem *base)
{
	fk_uffd_unref(fake_mem_of(base)->uffd);
	free(base);
	return NULL;
}

static const struct mem_ops fake_ops = {
	.read_events = op_read_events,
	.copy = op_copy,
	.zero = op_zero,
	.poison = op_poison,
	.wake = op_wake,
	.register_missing = op_register_missing,
	.unregister = op_unregister,
	.register_stage = op_register_stage,
	.is_registered = op_is_registered,
	.scan = op_scan,
	.read_maps = op_read_maps,
	.is_readable = op_is_readable,
	.find_gone = op_find_gone,
	.find_calls = op_find_calls,
	.read_mem = op_read_mem,
	.protected_ranges = op_protected_ranges,
	.n_threads = op_n_threads,
	.inside_zap = op_inside_zap,
	.alive = op_alive,
	.send = op_send,
	.free = op_free,
};

struct fake_mem *fake_mem_new(struct fk_uffd *u, bool (*inside_zap)(struct fk_mm *mm),
			      uint32_t (*n_threads)(struct fk_mm *mm))
{
	struct fake_mem *m = calloc(1, sizeof(*m));

	ASSERT(m);
	m->base.ops = &fake_ops;
	m->fk = u->mm->fk;
	m->uffd = u;
	m->inside_zap = inside_zap;
	m->n_threads = n_threads;
	u->n_refs++;
	return m;
}
