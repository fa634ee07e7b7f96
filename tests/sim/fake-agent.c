// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The agent: src/agent/agent-serve.c step by step, with a pause between any two of its ioctls.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "fake-mem.h"
#include "fake-vma.h"

#define OWN_PAGES 2u
#define STAGE_AT (OWN_PAGES + 1u) /* one guard page before each part, one at the end */
#define TRASH_AT (STAGE_AT + USWAP_STAGE_PAGES + 1u)

static uint32_t area_page(const struct fake_agent *a, uint32_t at)
{
	return FK_PROGRAM_PAGES + a->area * FK_AREA_PAGES + at;
}

static struct uswap_range range_of(const struct fake_agent *a, uint32_t at, uint32_t n)
{
	return (struct uswap_range){ fk_addr(area_page(a, at)), (uint64_t)n * PAGE_BYTES };
}

static void area_map(struct fake_agent *a, uint32_t at, uint32_t n, bool aux)
{
	struct fk_vma vma = { .at = { area_page(a, at), area_page(a, at) + n },
			      .no_fork = true,
			      .aux = aux,
			      .agent = true,
			      .kin = 1000 + at };

	vma_insert(a->task.mm, &vma);
}

bool fake_agent_start(struct fake_agent *a, struct fk_mm *mm, struct uswap_msg_hello *ret_hello)
{
	*a = (struct fake_agent){ .state = AGENT_NONE };
	for (a->area = 0; a->area < FK_N_AREAS; a->area++)
		if (fk_is_free(mm, (struct frange){ area_page(a, 0), area_page(a, FK_AREA_PAGES) }))
			break;
	if (a->area == FK_N_AREAS)
		return false;
	fk_task_start(&a->task, mm);
	area_map(a, 0, OWN_PAGES, false);
	area_map(a, STAGE_AT, USWAP_STAGE_PAGES, false);
	area_map(a, TRASH_AT, USWAP_STAGE_HALF_PAGES, true);
	a->state = AGENT_IDLE;
	*ret_hello = (struct uswap_msg_hello){
		.head = { USWAP_MSG_HELLO, sizeof(*ret_hello) },
		.version = USWAP_PROTOCOL_VERSION,
		.own = range_of(a, 0, OWN_PAGES),
		.own2 = range_of(a, STAGE_AT - 1, USWAP_STAGE_PAGES + USWAP_STAGE_HALF_PAGES + 3),
		.stage = range_of(a, STAGE_AT, USWAP_STAGE_PAGES),
		.trash = range_of(a, TRASH_AT, USWAP_STAGE_HALF_PAGES),
	};
	return true;
}

void fake_agent_leave(struct fake_agent *a)
{
	struct fk_mm *mm = a->task.mm;
	struct frange at = { area_page(a, 0), area_page(a, FK_AREA_PAGES) };
	uint32_t k;

	ASSERT(!vma_any_registered(mm, at)); /* its munmap() would wait for the daemon */
	for (k = at.start; k < at.end; k++)
		fk_pte_clear(mm, k);
	vma_remove(mm, at);
	fake_agent_kill(a);
}

void fake_agent_kill(struct fake_agent *a)
{
	if (a->state != AGENT_NONE)
		fk_task_end(&a->task);
	a->state = AGENT_NONE;
}

bool fake_agent_can_run(const struct fake_agent *a)
{
	if (a->state == AGENT_NONE || a->stopped || a->task.state != TASK_RUNS)
		return false;
	return a->state != AGENT_IDLE || a->n_in;
}

static void receive(struct fake_agent *a)
{
	a->cmd = a->in[0];
	memmove(a->in, a->in + 1, --a->n_in * sizeof(a->in[0]));
	a->run = a->at = 0;
	a->n_try = USWAP_STAGE_HALF_PAGES;
	switch (a->cmd.head.type) {
	case USWAP_MSG_ARM:
		a->armed = true;
		return;
	case USWAP_MSG_DETACH:
		ASSERT(!a->has_answer); /* one command at a time */
		a->answer.detached = (struct uswap_msg_detached){ .seq = a->cmd.detach.seq };
		a->state = a->cmd.detach.n_free ? AGENT_FREE : AGENT_MOVE;
		return;
	case USWAP_MSG_POPULATE:
		ASSERT(!a->has_answer);
		a->answer.populated =
			(struct uswap_msg_populated){ .head = { USWAP_MSG_POPULATED,
								sizeof(a->answer.populated) },
						      .seq = a->cmd.populate.seq };
		a->state = AGENT_TOUCH;
		return;
	default:
		ASSERT(false);
	}
}

/* One MOVE stage -> trash; at the end the trash is emptied. */
static void step_free(struct fake_agent *a)
{
	const struct uswap_msg_detach *m = &a->cmd.detach;
	struct fk_move move = { .dst = area_page(a, TRASH_AT) + a->at,
				.src = area_page(a, STAGE_AT) + m->free_at + a->at,
				.n = m->n_free - a->at,
				.aux = true,
				.holes = true };
	uint32_t k, done;
	int r = fk_move(a->task.mm, &move, &done);

	a->at += done;
	if (r && !done) {
		if (!a->answer.detached.free_err)
			a->answer.detached.free_err = -r;
		a->at++;
	}
	if (r && a->at < m->n_free)
		return;
	for (k = 0; k < m->n_free; k++)
		fk_pte_clear(a->task.mm, area_page(a, TRASH_AT) + k);
	a->at = 0;
	a->state = AGENT_MOVE;
}

static enum uswap_moved moved_of(int r)
{
	switch (r) {
	case -EBUSY:
		return USWAP_MOVE_BUSY;
	case -ENOENT:
		return USWAP_MOVE_HOLE;
	case -EINVAL:
		return USWAP_MOVE_INVALID;
	case -EAGAIN:
		return USWAP_MOVE_EVENTS;
	case -EEXIST:
		return USWAP_MOVE_OCCUPIED;
	default:
		return USWAP_MOVE_OTHER;
	}
}

static void answer_detach(struct fake_agent *a)
{
	struct uswap_msg_detached *d = &a->answer.detached;

	d->head.type = USWAP_MSG_DETACHED;
	d->head.len = (uint32_t)offsetof(struct uswap_msg_detached, result) + d->n_pages;
	a->state = AGENT_ANSWER;
}

static void next_run(struct fake_agent *a)
{
	const struct uswap_run *run = &a->cmd.detach.run[a->run++];

	a->answer.detached.n_pages += run->n_pages;
	a->at = 0;
	a->n_try = USWAP_STAGE_HALF_PAGES;
}

/* The gate is shut: this page and all later ones stay. */
static void shut(struct fake_agent *a)
{
	const struct uswap_msg_detach *m = &a->cmd.detach;

	for (; a->run < m->n_runs; next_run(a))
		for (; a->at < m->run[a->run].n_pages; a->at++)
			a->answer.detached.result[a->answer.detached.n_pages + a->at] =
				USWAP_MOVE_EVENTS;
	answer_detach(a);
}

static void step_move(struct fake_agent *a)
{
	const struct uswap_run *run = &a->cmd.detach.run[a->run];
	struct uswap_msg_detached *d = &a->answer.detached;
	struct fk_move move;
	uint32_t done;
	int r;

	if (a->run == a->cmd.detach.n_runs) {
		answer_detach(a);
		return;
	}
	move = (struct fk_move){ .dst = area_page(a, STAGE_AT) + run->stage_at + a->at,
				 .src = fk_page_nr(run->start) + a->at,
				 .n = run->n_pages - a->at };
	if (move.n > a->n_try)
		move.n = a->n_try;
	ASSERT(move.src + move.n <= area_page(a, 0) || move.src >= area_page(a, FK_AREA_PAGES));
	r = fk_move(a->task.mm, &move, &done);
	if (!done && r == -EAGAIN) {
		shut(a);
		return;
	}
	if (!done && r == -EINVAL && move.n > 1) { /* it may cross the end of a mapping */
		a->n_try = move.n / 2;
		return;
	}
	if (done)
		a->n_try = move.n * 2;
	else
		d->result[d->n_pages + a->at++] = (uint8_t)moved_of(r);
	for (; done; done--)
		d->result[d->n_pages + a->at++] = USWAP_MOVED;
	if (a->at == run->n_pages)
		next_run(a);
}

/* MADV_POPULATE_WRITE, a page a step: it may wait for a fault like anybody. */
static void step_touch(struct fake_agent *a)
{
	const struct uswap_msg_populate *m = &a->cmd.populate;
	struct fk_page *page;

	if (a->run == m->n_runs) {
		a->state = AGENT_ANSWER;
		return;
	}
	switch (fk_access(&a->task, fk_page_nr(m->run[a->run].start) + a->at, true, &page)) {
	case FK_OK:
		break;
	case FK_SLEEPS:
		return;
	default:
		a->answer.populated.err = ENOMEM;
		a->state = AGENT_ANSWER;
		return;
	}
	if (++a->at == m->run[a->run].n_pages) {
		a->run++;
		a->at = 0;
		a->answer.populated.n_done++;
	}
}

void fake_agent_step(struct fake_agent *a)
{
	switch (a->state) {
	case AGENT_NONE:
		return;
	case AGENT_IDLE:
		receive(a);
		return;
	case AGENT_FREE:
		step_free(a);
		return;
	case AGENT_MOVE:
		step_move(a);
		return;
	case AGENT_TOUCH:
		step_touch(a);
		return;
	case AGENT_ANSWER:
		a->has_answer = true;
		a->state = AGENT_IDLE;
		return;
	}
}
