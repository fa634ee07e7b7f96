// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which step comes next: at random, or all that is due.
 */
#include <string.h>

#include "base/assert.h"
#include "owner.h"

static uint32_t below(struct owner *o, uint32_t n)
{
	return rng_below(&o->rng, n);
}

static struct space *pick_space(struct owner *o)
{
	uint32_t n = o->group.n_spaces ? below(o, o->group.n_spaces) : 0;
	struct space *sp;

	list_for_each(sp, &o->group.spaces, link)
		if (!n--)
			return sp;
	return NULL;
}

/* ---- pins of nobody in particular: a compressor, recompression, compaction ------------------- */

static void pin_some(struct owner *o, struct space *sp)
{
	struct held_pin *pin = &o->pins[below(o, OWNER_MAX_PINS)];
	uint64_t addr = fk_addr(below(o, FK_PROGRAM_PAGES));
	struct page_leaf *leaf;
	uint32_t k;

	leaf = page_map_find(&sp->map, addr);
	if (pin->slot.v || !leaf || !leaf->n_slots)
		return;
	for (k = page_in_leaf(addr); k < LEAF_PAGES; k++) {
		struct slot_id id = { leaf->slot[k] };

		if (!id.v)
			continue;
		if (!swap_try_pin(o->swap, id, SWAP_PIN_MOVE))
			pin->slot = id;
		return;
	}
}

static bool unpin_one(struct owner *o, uint32_t k)
{
	struct slot_id id = o->pins[k].slot;

	if (!id.v)
		return false;
	o->pins[k].slot.v = 0;
	swap_unpin(o->swap, id);
	return true;
}

/* ---- inbox ---------------------------------------------------------------------------------- */

static bool tell_unpinned(struct owner *o)
{
	uint32_t ids[OWNER_MAX_UNPINNED];
	uint32_t n = o->n_unpinned;
	uint32_t k;

	memcpy(ids, o->unpinned, n * sizeof(*ids));
	o->n_unpinned = 0;
	for (k = 0; k < n; k++)
		owner_retry(o, (struct slot_id){ ids[k] });
	return n;
}

/* ---- requests of the library and the command line ------------------------------------------- */

/* The library asks for a range to come home before it puts guards there. */
static bool serve_guard(struct owner *o, struct proc *p)
{
	bool worked = false;
	uint32_t k;

	(void)o;
	for (k = 0; k < MAX_THREADS; k++) {
		struct thread *t = &p->thread[k];
		struct urange range = { fk_addr(t->at.start), fk_addr(t->at.end) };

		if (!t->exists || t->op != OP_GUARD || !t->home_asked || t->home_done)
			continue;
		worked = true;
		ASSERT(!region_add(&p->space->no_ahead, range));
		if (p->space->gate == GATE_SHUT || space_bring_home(p->space, range, 256) ||
		    !t->exists)
			continue;
		t->home_done = true;
	}
	return worked;
}

/* `uswap detach` */
static bool serve_detach(struct owner *o, struct proc *p)
{
	struct space *sp = p->space;

	if (!p->home_wanted)
		return false;
	sp->homing = sp->leaving = true;
	if (space_bring_home(sp, (struct urange){ 0, PAGE_MAP_END }, 64) ||
	    p->state != PROC_ALIVE || !space_agent_idle(sp) || space_unmanage(sp))
		return true;
	if (sp->agent && !owner_leave(o, p))
		return true;
	fk_trace(&o->world->fk, "  mm %p detached", (void *)p->mm);
	p->home_wanted = false;
	p->no_agent = true;
	return true;
}

static bool serve_requests(struct owner *o)
{
	bool worked = false;
	uint32_t k;

	for (k = 0; k < MAX_PROCS; k++) {
		struct proc *p = &o->world->proc[k];

		if (!p->space || p->state != PROC_ALIVE)
			continue;
		worked |= serve_guard(o, p);
		worked |= serve_detach(o, p);
	}
	return worked;
}

/* ---- the random walk ------------------------------------------------------------------------ */

static void step_agents(struct owner *o)
{
	struct proc *p = &o->world->proc[below(o, MAX_PROCS)];

	if (p->state != PROC_ALIVE)
		return;
	if (p->space && fake_mem_of(p->space->mem)->agent && p->agent.state == AGENT_NONE) {
		owner_agent_died(o, p);
		return;
	}
	switch (below(o, 60)) {
	case 0:
		(void)owner_leave(o, p);
		break;
	case 1:
		if (p->agent.state != AGENT_NONE && !below(o, 8))
			fake_agent_kill(&p->agent);
		break;
	case 2:
		if (!below(o, 20) && p->space && p->agent.state != AGENT_NONE)
			p->home_wanted = true;
		break;
	case 3:
	case 4:
	case 5:
		(void)owner_attach(o, p);
		break;
	case 6:
		p->agent.stopped ^= true;
		break;
	case 7: /* a debugger comes or goes */
		if (p->space && !p->space->leaving)
			p->space->homing = !p->space->homing && !below(o, 3);
		break;
	default:
		(void)owner_receive(o, p);
	}
}

static void step_upkeep(struct owner *o)
{
	switch (below(o, 8)) {
	case 0:
		swap_drop_kept(o->group.app, 1 + below(o, 100000));
		break;
	case 1:
		swap_recompress(o->group.app, 1 + below(o, 16), o->codec);
		break;
	case 2:
		swap_compact(o->swap, 1 + below(o, 100000));
		break;
	default:
		unpin_one(o, below(o, OWNER_MAX_PINS));
	}
}

static void step_limits(struct owner *o)
{
	struct space_group *g = &o->group;

	g->keep_pool = (enum keep_copies)below(o, 3);
	g->keep_file = (enum keep_copies)below(o, 3);
	g->limit_off = !below(o, 3);
	g->readahead = below(o, 8);
	g->keep_shared = below(o, 4);
	g->early_window = 4 << below(o, 4);
	g->room_pages = below(o, 3) ? 1 << 20 : (int64_t)below(o, 40) - 10;
}

static void step_protect(struct owner *o, struct space *sp)
{
	struct fake_mem *m = fake_mem_of(sp->mem);
	uint32_t start = below(o, FK_PROGRAM_PAGES - 8);

	m->protected[below(o, FAKE_MAX_PROTECTED)] =
		(struct frange){ start, start + below(o, 8) + 1 };
	m->n_protected = below(o, FAKE_MAX_PROTECTED);
}

static void step_space(struct owner *o, struct space *sp)
{
	uint32_t what = below(o, 100);

	if (what < 50)
		owner_service(o, sp);
	else if (what < 72)
		owner_evict(o, sp, below(o, 16) ? 1 + below(o, 24) : 256);
	else if (what < 76)
		owner_manage(o, sp);
	else if (what < 84)
		owner_tick(o, sp);
	else if (what < 86)
		space_unshare(sp, 1 + below(o, 64));
	else if (what < 87)
		space_unstick(sp, 1 + below(o, 64));
	else if (what < 89 && sp->homing && sp->gate != GATE_SHUT)
		(void)space_bring_home(sp, (struct urange){ 0, PAGE_MAP_END }, 1 + below(o, 64));
	else if (what < 90)
		step_protect(o, sp);
	else if (what < 92)
		pin_some(o, sp);
	else
		owner_retry(o, (struct slot_id){ 0 });
}

void owner_step_random(struct owner *o)
{
	struct space *sp = pick_space(o);
	uint32_t what = below(o, 100);

	o->n_steps++;
	o->quiet = false;
	o->now_ns += below(o, 200) ? below(o, 50000) : below(o, 300000000);
	if (what < 50 && sp)
		step_space(o, sp);
	else if (what < 70)
		step_agents(o);
	else if (what < 78)
		(void)owner_put(o);
	else if (what < 85)
		(void)owner_compress(o);
	else if (what < 92)
		owner_file_step(o);
	else if (what < 94)
		step_upkeep(o);
	else if (what < 97)
		(void)tell_unpinned(o);
	else if (what < 98)
		step_limits(o);
	else
		(void)serve_requests(o);
}

/* ---- all that is due ------------------------------------------------------------------------ */

static bool round_agents(struct owner *o)
{
	bool worked = false;
	uint32_t k;

	for (k = 0; k < MAX_PROCS; k++) {
		struct proc *p = &o->world->proc[k];

		if (p->state != PROC_ALIVE || !p->space)
			continue;
		if (fake_mem_of(p->space->mem)->agent && p->agent.state == AGENT_NONE) {
			owner_agent_died(o, p);
			worked = true;
		}
		worked |= owner_receive(o, p);
	}
	return worked;
}

bool owner_round(struct owner *o)
{
	struct space *sp, *tmp;
	bool worked = false;
	uint32_t k;

	o->n_steps++;
	o->now_ns += 1000000;
	o->group.limit_off = true;
	o->quiet = true;
	for (k = 0; k < OWNER_MAX_PINS; k++)
		worked |= unpin_one(o, k);
	worked |= owner_put(o);
	worked |= owner_compress(o);
	worked |= owner_file_round(o);
	worked |= tell_unpinned(o);
	worked |= round_agents(o);
	list_for_each_safe(sp, tmp, &o->group.spaces, link) {
		const struct fk_uffd *u = fake_mem_of(sp->mem)->uffd;

		worked |= u->n_faults || u->n_events;
		owner_service(o, sp);
	}
	owner_retry(o, (struct slot_id){ 0 });
	list_for_each_safe(sp, tmp, &o->group.spaces, link) {
		if (sp->homing && sp->map.n_slots && sp->gate != GATE_SHUT)
			(void)space_bring_home(sp, (struct urange){ 0, PAGE_MAP_END }, 512);
		if (o->n_steps % 8 == 0)
			owner_tick(o, sp);
	}
	worked |= serve_requests(o);
	return worked;
}

bool owner_is_idle(const struct owner *o)
{
	const struct space *sp;

	if (!list_is_empty(&o->puts) || !list_is_empty(&o->staged) || o->n_reads ||
	    o->group.n_early || !list_is_empty(&o->decodes) || o->decoding)
		return false;
	list_for_each(sp, &o->group.spaces, link) {
		const struct fk_uffd *u = fake_mem_of(sp->mem)->uffd;

		if (u->n_faults || u->n_events || sp->gate == GATE_SHUT || sp->populating ||
		    sp->n_ready)
			return false;
	}
	return true;
}
