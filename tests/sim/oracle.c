// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The oracle: what each page must contain, by the meaning of the calls alone.
 */
#include "oracle.h"

#include <stdio.h>
#include <string.h>

static bool covers(struct frange at, uint32_t page)
{
	return page >= at.start && page < at.end;
}

bool proc_zap_pending(const struct proc *p, uint32_t page)
{
	uint32_t k;

	for (k = 0; k < MAX_THREADS; k++)
		if (p->thread[k].exists && p->thread[k].op == OP_MADVISE &&
		    covers(p->thread[k].at, page))
			return true;
	return false;
}

uint32_t proc_n_threads(struct fk_mm *mm)
{
	const struct proc *p = mm->user;
	uint32_t k, n = 0;

	for (k = 0; k < MAX_THREADS; k++)
		n += p->thread[k].exists;
	return n;
}

bool proc_is_zapping(struct fk_mm *mm)
{
	const struct proc *p = mm->user;
	uint32_t k;

	for (k = 0; k < MAX_THREADS; k++)
		if (p->thread[k].exists && p->thread[k].op == OP_MADVISE)
			return true;
	return false;
}

void program_verify_page(struct proc *p, uint32_t page, uint64_t got, const char *where)
{
	struct oracle_page *o = &p->o[page];

	if (got == o->stamp) {
		o->flags &= (uint8_t)~O_UNSURE;
		return;
	}
	if (!got && (o->flags & (O_LAZY | O_UNSURE) || proc_zap_pending(p, page))) {
		o->stamp = 0;
		o->flags &= (uint8_t) ~(O_LAZY | O_UNSURE);
		return;
	}
	world_fail(p->world, where, p, page);
	snprintf(p->world->detail, sizeof(p->world->detail),
		 "process %u page %u (%#llx): is %llx, must be %llx (flags %x)", p->nr, page,
		 (unsigned long long)fk_addr(page), (unsigned long long)got,
		 (unsigned long long)o->stamp, o->flags);
}

void oracle_write(struct proc *p, uint32_t page, uint64_t stamp)
{
	struct oracle_page *o = &p->o[page];

	o->stamp = stamp;
	o->flags &= (uint8_t) ~(O_LAZY | O_UNSURE);
	if (proc_zap_pending(p, page))
		o->flags |= O_WROTE;
}

/* The zap of @t has reached @page; @t's own range no longer covers it. */
void oracle_zap(struct proc *p, uint32_t page, bool lazy)
{
	struct oracle_page *o = &p->o[page];

	if (!(o->flags & O_MAPPED) || o->flags & O_GUARD)
		return;
	if (lazy) {
		o->flags |= O_LAZY;
	} else if (o->flags & O_WROTE) { /* either may have come first */
		o->flags |= O_UNSURE;
	} else {
		o->stamp = 0;
		o->flags &= (uint8_t) ~(O_LAZY | O_UNSURE);
	}
	if (!proc_zap_pending(p, page))
		o->flags &= (uint8_t)~O_WROTE;
}

/* A page seen through a second place (moved, forked) while a madvise on it is under way. */
static struct oracle_page oracle_snapshot(const struct proc *p, uint32_t page)
{
	struct oracle_page o = p->o[page];

	if (proc_zap_pending(p, page))
		o.flags |= O_UNSURE;
	o.flags &= (uint8_t)~O_WROTE;
	return o;
}

void oracle_fork(const struct proc *p, struct proc *child)
{
	uint32_t k;

	for (k = 0; k < FK_PROGRAM_PAGES; k++) {
		child->o[k] = oracle_snapshot(p, k);
		if (p->o[k].flags & O_NO_FORK)
			child->o[k] = (struct oracle_page){ 0 };
		else if (p->o[k].flags & O_WIPE)
			child->o[k] = (struct oracle_page){
				0, p->o[k].flags & (O_MAPPED | O_NO_ACCESS | O_WIPE)
			};
	}
}

void oracle_unmap(struct proc *p, struct frange at)
{
	memset(&p->o[at.start], 0, (at.end - at.start) * sizeof(p->o[0]));
}

void oracle_remap(struct proc *p, const struct fk_mremap *m)
{
	uint32_t n_from = m->from.end - m->from.start;
	uint32_t n_to = m->to.end - m->to.start;
	uint8_t flags = p->o[m->from.start].flags & (O_MAPPED | O_NO_ACCESS | O_WIPE | O_NO_FORK);
	uint32_t k;

	for (k = 0; k < n_to; k++) {
		if (m->to.start == m->from.start && k < n_from)
			continue;
		p->o[m->to.start + k] = k < n_from ? oracle_snapshot(p, m->from.start + k)
						   : (struct oracle_page){ 0, flags };
		if (proc_zap_pending(p, m->to.start + k)) /* a madvise of what was there before */
			p->o[m->to.start + k].flags |= O_WROTE;
	}
	for (k = m->to.start == m->from.start ? n_to : 0; k < n_from; k++)
		p->o[m->from.start + k] = (struct oracle_page){ 0, m->dont_unmap ? flags : 0 };
}
