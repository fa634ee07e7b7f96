// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The single steps. What waits for a pin is told by on_unpinned(), as in the worker, through an inbox
 * that is emptied at another step.
 */
#include "owner.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "base/clock.h"

#define GROUP_PAGES 60000u

static void on_unpinned(void *user, struct slot_id id)
{
	struct owner *o = user;

	ASSERT(o->n_unpinned < OWNER_MAX_UNPINNED);
	o->unpinned[o->n_unpinned++] = id.v;
}

static void on_buf_free(void *user)
{
	(void)user;
}

static void host_post_job(void *user, struct evict_job *job)
{
	struct owner *o = user;

	list_append(&o->puts, &job->link);
}

static void host_forked(void *user, struct space *parent, struct space *child)
{
	struct owner *o = user;
	struct fk_mm *mm = fake_mem_of(child->mem)->uffd->mm;

	(void)parent;
	if (!mm) { /* it is dead already: nobody to know it by */
		child->user = NULL;
		return;
	}
	child->user = mm->user;
	((struct proc *)mm->user)->space = child;
	(void)o;
}

static uint64_t host_now_ns(void *user)
{
	return ((struct owner *)user)->now_ns;
}

static const struct space_host owner_host = {
	.post_job = host_post_job,
	.forked = host_forked,
	.now_ns = host_now_ns,
};
static const struct space_host owner_host_file = {
	.post_job = host_post_job,
	.forked = host_forked,
	.now_ns = host_now_ns,
	.read = owner_file_read,
	.release = owner_file_release,
	.post_decode = owner_post_decode,
	.unpost_decode = owner_unpost_decode,
};

static uint64_t clock_fake(void *user)
{
	return ((struct owner *)user)->now_ns;
}

void owner_init(struct owner *o, struct world *w, uint64_t seed)
{
	struct swap_options options = {
		.max_pages = seed % 5 ? GROUP_PAGES : 700, /* some stores are soon full */
		.n_bufs = 1 + (uint32_t)(seed % 4),
		.zstd_level = 3,
		.allow_unlocked_memory = true,
		.user = o,
		.on_unpinned = on_unpinned,
		.on_buf_free = on_buf_free,
	};

	*o = (struct owner){ .world = w, .rng = { seed ^ 0x0a11 }, .now_ns = 1000000000 };
	list_init(&o->puts);
	list_init(&o->staged);
	list_init(&o->decodes);
	clock_source_set(clock_fake, o);
	ASSERT(!swap_new(&o->swap, &options));
	ASSERT(!codec_ctx_new(&o->codec));
	if (seed % 4)
		owner_file_init(o);
	ASSERT(!space_group_init(&o->group, o->swap, seed % 4 ? &owner_host_file : &owner_host, o,
				 GROUP_PAGES));
	o->group.room_pages = 1 << 20;
}

void owner_deinit(struct owner *o)
{
	ASSERT(list_is_empty(&o->puts) && list_is_empty(&o->staged));
	space_group_deinit(&o->group);
	owner_file_deinit(o);
	codec_ctx_free(o->codec);
	o->swap = swap_free(o->swap);
	clock_source_set(NULL, NULL);
}

/* ---- life of a space ------------------------------------------------------------------------ */

static void space_gone(struct owner *o, struct space *sp)
{
	struct proc *p = proc_of(sp);

	(void)o;
	if (fake_mem_of(sp->mem)->agent) {
		fake_mem_of(sp->mem)->agent = NULL;
		space_agent_gone(sp);
	}
	space_free(sp);
	if (p) {
		p->space = NULL;
		if (p->state == PROC_DEAD)
			proc_forget(p);
	}
}

bool owner_result(struct owner *o, struct space *sp, int r)
{
	ASSERT(r == 0 || r == SPACE_E_DEAD || o->world->fk.failed);
	if (r != SPACE_E_DEAD)
		return true;
	space_gone(o, sp);
	return false;
}

bool owner_attach(struct owner *o, struct proc *p)
{
	struct uswap_msg_hello hello;
	struct fake_mem *m;

	if (p->state != PROC_ALIVE || p->agent.state != AGENT_NONE || p->no_agent)
		return false;
	if (p->space && (p->space->gate != GATE_OPEN || fake_mem_of(p->space->mem)->agent))
		return false;
	if (!fake_agent_start(&p->agent, p->mm, &hello))
		return false;
	if (!p->space) {
		m = fake_mem_new(p->mm->main ? p->mm->main : fk_uffd_new(p->mm), proc_is_zapping,
				 proc_n_threads);
		ASSERT(!space_new(&p->space, &o->group, &m->base));
		p->space->user = p;
	}
	fake_mem_of(p->space->mem)->agent = &p->agent;
	if (!space_agent_ready(p->space, &hello)) {
		p->space->pid = (int)p->nr + 1;
		return true;
	}
	/* refused: as if it had never come */
	fake_mem_of(p->space->mem)->agent = NULL;
	if (p->state == PROC_ALIVE)
		fake_agent_leave(&p->agent);
	return false;
}

void owner_agent_died(struct owner *o, struct proc *p)
{
	(void)o;
	fake_mem_of(p->space->mem)->agent = NULL;
	p->agent.has_answer = false;
	space_agent_gone(p->space);
}

bool owner_leave(struct owner *o, struct proc *p)
{
	struct space *sp = p->space;

	(void)o;
	if (!sp || !sp->agent || p->agent.state != AGENT_IDLE || !space_agent_idle(sp))
		return false;
	if (sp->mem->ops->unregister(sp->mem, sp->stage.start, sp->stage.end - sp->stage.start))
		return false;
	if (p->state != PROC_ALIVE) /* it died in between */
		return false;
	fake_agent_leave(&p->agent);
	owner_agent_died(o, p);
	return true;
}

/* ---- what wakes the owner ------------------------------------------------------------------- */

static bool is_readable(const struct space *sp)
{
	const struct fk_uffd *u = fake_mem_of(sp->mem)->uffd;

	return u->n_faults || u->n_events;
}

void owner_service(struct owner *o, struct space *sp)
{
	if (is_readable(sp) || !fake_mem_of(sp->mem)->uffd->mm)
		(void)owner_result(o, sp, space_service(sp));
}

bool owner_receive(struct owner *o, struct proc *p)
{
	struct fake_agent *a = &p->agent;
	int r;

	if (!p->space || !a->has_answer || fake_mem_of(p->space->mem)->agent != a)
		return false;
	a->has_answer = false;
	r = space_answer(p->space, &a->answer, a->answer.head.len);
	if (r < 0 && o->world->fk.failed) { /* an injected failure may cost the agent */
		fake_agent_kill(a);
		owner_agent_died(o, p);
		return true;
	}
	if (r < 0)
		world_fail(o->world, "an honest agent's answer was refused", p, 0);
	else
		(void)owner_result(o, p->space, r);
	return true;
}

void owner_tick(struct owner *o, struct space *sp)
{
	(void)owner_result(o, sp, space_tick(sp));
}

uint32_t owner_evict(struct owner *o, struct space *sp, uint32_t n)
{
	(void)o;
	return space_can_evict(sp) ? space_evict(sp, n) : 0;
}

void owner_manage(struct owner *o, struct space *sp)
{
	if (sp->homing || !sp->agent)
		return;
	if (sp->unchecked && !owner_result(o, sp, space_check_regions(sp)))
		return;
	(void)owner_result(o, sp, space_manage(sp));
}

void owner_retry(struct owner *o, struct slot_id id)
{
	struct space *sp, *tmp;

	list_for_each_safe(sp, tmp, &o->group.spaces, link)
		if (id.v ? sp->n_waiting : space_has_retry(sp))
			(void)owner_result(o, sp, space_retry(sp, id));
}

/* ---- background threads --------------------------------------------------------------------- */

static struct evict_job *pick_job(struct owner *o, struct list *jobs)
{
	struct evict_job *job = list_first(jobs, struct evict_job, link);

	/* several threads: the order of jobs is not kept */
	if (job && !rng_below(&o->rng, 3))
		job = list_entry(jobs->prev, struct evict_job, link);
	return job;
}

bool owner_put(struct owner *o)
{
	struct evict_job *job = pick_job(o, &o->puts);

	if (!job)
		return false;
	list_unlink(&job->link);
	evict_job_put(job);
	list_append(&o->staged, &job->link);
	return true;
}

bool owner_compress(struct owner *o)
{
	struct evict_job *job = pick_job(o, &o->staged);
	enum swap_codec codec = rng_below(&o->rng, 4) ? SWAP_CODEC_LZ4 : SWAP_CODEC_ZSTD;

	if (!job)
		return false;
	if (evict_job_compress(job, 1 + rng_below(&o->rng, 24), codec, o->codec))
		return true;
	list_unlink(&job->link);
	evict_job_free(job);
	atomic_fetch_sub(&o->group.n_jobs, 1);
	return true;
}
