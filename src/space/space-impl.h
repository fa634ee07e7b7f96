/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * space-impl - what the files of src/space call of each other; nobody else includes this
 */
#ifndef USWAP_SPACE_SPACE_IMPL_H
#define USWAP_SPACE_SPACE_IMPL_H

#include "space/space.h"

static inline uint64_t space_now_ns(const struct space *sp)
{
	return sp->group->host->now_ns(sp->group->user);
}

/* page-map changes that keep the group's resident count */
void space_page_arrived(struct space *sp, struct page_leaf *leaf, uint32_t i, uint8_t credit,
			uint8_t level);
void space_page_left(struct space *sp, struct page_leaf *leaf, uint32_t i);

/* The slot of a present page is a copy that was kept, or none: it is of no use any more. */
static inline void space_drop_kept(struct space *sp, struct page_leaf *leaf, uint32_t i)
{
	struct slot_id id = page_take_slot(&sp->map, leaf, i);

	if (id.v)
		swap_slot_unref(sp->group->swap, id);
}

/* Not all that was read of main is applied: the map may say what is not so. */
static inline bool space_is_unsettled(const struct space *sp)
{
	return sp->suspects.n || sp->n_held;
}

/* What a REMAP, REMOVE or UNMAP takes something from. */
static inline struct urange event_source(const struct mem_event *ev)
{
	return (struct urange){ ev->addr,
				ev->type == MEM_EVENT_REMAP ? ev->addr + ev->len : ev->to };
}

/* Where a REMAP moves that to. */
static inline struct urange event_target(const struct mem_event *ev)
{
	return (struct urange){ ev->to, ev->to + ev->len };
}

/* event.c */
int event_apply(struct space *sp, const struct mem_event *ev);
bool event_is_alone(struct space *sp); /* events come in the order of what they tell of */
int event_remap(struct space *sp, const struct mem_event *ev);
/* Perhaps @ev, a REMAP, is about @sp as well: the kernel is asked as soon as it answers. */
int event_doubt(struct space *sp, const struct mem_event *ev);
/* Apply events that were held back; @force: the first one though its place is taken. */
int event_held(struct space *sp, bool force);
/*
 * Where the order of events left a question, ask the kernel. Return: 0: none is left; -EAGAIN: not yet,
 * and nothing may be served from the map while there are sp->suspects; other errno.
 */
int event_settle(struct space *sp);
/* Forget all pages of @range: slots dropped, residency cleared. Return: how many were present. */
uint64_t event_forget(struct space *sp, struct urange range);

/* witness.c. pre: something is unread. To be called before one message is read. */
void witness_look(struct space *sp);
/*
 * Of @ev, a REMAP or UNMAP that was read next, before it is applied: what had arrived in its source was
 * gone when witness_look() looked, and by no other call than its own.
 */
bool witness_is_newest(struct space *sp, const struct mem_event *ev);
/* Of @ev, an UNMAP, as above: some of what had arrived in its range was there still. To be asked first. */
bool witness_is_older(struct space *sp, const struct mem_event *ev);
void witness_forget(struct space *sp); /* no call is under way */

/* fault.c: Return: 0; SPACE_E_DEAD */
int fault_serve(struct space *sp, const struct mem_event *ev);
void fault_wait(struct space *sp, const struct waiting_fault *f);
void fault_wait_for(struct space *sp, const struct waiting_fault *f, enum wait_why why);
/*
 * What the error @err of an ioctl that installed nothing at @f means. Return: 0 the fault is answered
 * or waits; SPACE_E_DEAD; -EEXIST for the caller to finish.
 */
int fault_refused(struct space *sp, const struct waiting_fault *f, int err);
/*
 * Room under the limit for @n pages at once? A program that allocates faster than pages can leave
 * waits here; what is already out of the program is always let in, page by page, so that every
 * program makes progress.
 */
bool room_for(const struct space_group *g, uint32_t n);
bool room_for_fault(struct space_group *g); /* for one page, if need be of the early loads' */

static inline uint64_t ahead_addr(const struct ahead *plan, uint32_t k)
{
	return plan->start + (uint64_t)((int64_t)k * plan->stride) * PAGE_BYTES;
}

/* load.c: pages of a plan, pinned, their bytes at .pages in this order. */
struct load_run {
	const uint8_t *pages;
	struct slot_id slot[AHEAD_MAX_PAGES];
	uint8_t level[AHEAD_MAX_PAGES];
	uint32_t n;
	bool waited; /* for the disk */
};
enum {
	LOAD_E_AGAIN = 2, /* events are unread; nothing was changed */
};
/* The slot of an evicted page, @id, has to come back to where @f waits. Return: 0; SPACE_E_DEAD. */
int load_begin(struct space *sp, const struct waiting_fault *f, struct slot_id id);
/*
 * Install @run, the pages of @plan, and end the loads. @f NULL: nobody waits for them. Return: 0;
 * SPACE_E_DEAD; LOAD_E_AGAIN, only if @may_repeat: the pins stay with the caller.
 */
int load_finish(struct space *sp, const struct waiting_fault *f, const struct ahead *plan,
		const struct load_run *run, bool may_repeat);
int load_poison(struct space *sp,
		const struct waiting_fault *f); /* pre: the map has a slot there */

uint8_t load_level(const struct space_group *g,
		   const struct swap_use *use); /* of a page that came back */

/* home.c */
bool home_is_gone(struct space *sp, uint64_t addr, int r); /* nothing is where COPY gave @r */
/* The bytes of the page at @addr, which is out, are lost: poison it. False: not now. */
bool home_lost(struct space *sp, uint64_t addr);

/* load-file.c */
int load_file_init(struct space_group *g);
void load_file_deinit(struct space_group *g);
/*
 * Read the pages of @plan that lie in the file. pre: the slot at f->addr is pinned; the pin is consumed.
 * Return: 0; SPACE_E_DEAD.
 */
int load_file_begin(struct space *sp, const struct waiting_fault *f, const struct ahead *plan);
/* Begin to bring the page at @addr home, and those behind it. pre: its slot is pinned; consumed. */
void load_file_home(struct space *sp, uint64_t addr);
/* Early loads are given up: the one that has @id, or all, for what they hold. */
void load_early_give_way(struct space_group *g, struct slot_id id);
void load_early_drop(struct space_group *g);
/*
 * If the page @id at f->addr was read ahead of its stream: @f gets it from there. False: it was not,
 * and if an early load keeps anybody else from @id, that load is given up.
 */
bool load_file_join(struct space *sp, const struct waiting_fault *f, struct slot_id id,
		    int *ret_err);
void load_file_tick(struct space *sp);	    /* give up what was read too early */
int load_file_retry(struct space *sp);	    /* install what had to wait. Return: as above */
void load_file_space_end(struct space *sp); /* what is read for it is not needed any more */

/* decode.c */
/* All records of an early load are there: have them decompressed, if there is a thread and a buffer. */
void decode_post(struct file_load *l, struct space_group *g);
/*
 * Before anything is done with the pages of a load: they are the owner's again, or it flies until
 * space_decoded(). @wanted: decompress the rest; a page that is not .is_decoded was never begun.
 */
void decode_settle(struct file_load *l, struct space_group *g, bool wanted);
void decode_end(struct file_load *l, struct space_group *g); /* give the buffer back */

/* readahead.c: what to install together with the evicted page at @addr */
void readahead_plan(struct space *sp, uint64_t addr, struct ahead *ret);
/* How many windows of the stream of the last fault, at @addr, are worth reading early. */
uint32_t readahead_depth(struct space *sp, uint64_t addr);
/*
 * What that stream will want next, or behind @behind. Return: where it will fault; 0: nothing that is
 * worth reading early.
 */
uint64_t readahead_next(struct space *sp, uint64_t addr, const struct ahead *behind);
/* What is read for the fault there. pre: readahead_next() returned @next for @addr. */
void readahead_window(struct space *sp, uint64_t addr, uint64_t next, struct ahead *ret);
/*
 * The fault at @addr gets an early load, of @plan: its stream goes on behind that. @waits: it came before
 * the load was there, so more of them have to be under way.
 */
void readahead_joined(struct space *sp, uint64_t addr, const struct ahead *plan, bool waits);
void readahead_too_early(struct space *sp, uint64_t addr); /* nobody came there in time */
void readahead_too_far(struct space *sp); /* what early loads hold is missing elsewhere */
/* Tell the stream where the next fault is expected. */
void readahead_done(struct space *sp, uint64_t addr, const struct ahead *plan, uint32_t n_done);

/*
 * manage.c. A REMOVE was applied, and its thread may still have to empty the pages: what is present does
 * not stay so.
 */
bool manage_inside_zap(struct space *sp);
/* Find again what is present. pre: !manage_inside_zap(). Return: 0; SPACE_E_DEAD; errno */
int space_rescan(struct space *sp);

/* fork.c */
int fork_apply(struct space *sp, const struct mem_event *ev); /* consumes what @ev owns */
/* @ev will be applied later: keep what the parent's mappings say now. Return: 0; -errno */
int fork_note_flags(struct space *sp, struct mem_event *ev);
int fork_follow(struct space *sp,
		const struct mem_event *ev); /* REMAP: for the young children as well */
/* Its own event has changed [start, end). Return: 0; -ENOMEM */
int fork_note_own(struct space *sp, struct urange range);
void fork_settled(struct space *sp);   /* they need not follow any more */
void fork_grow_up(struct space *sp);   /* ask whether it still has to follow its parent */
void fork_space_end(struct space *sp); /* they follow its own parent, if it is young itself */

/* detach.c */
void evict_release(struct space *sp);	    /* the victims are ordinary pages again, or gone */
void evict_copies_failed(struct space *sp); /* a POPULATE that may have done nothing */
void evict_unreserve(struct space *sp);	    /* buffer and job of a command that moves nothing */
bool evict_flush(struct space *sp); /* send a command that only empties a half; false: none */

/* gate.c */
int gate_answer(struct space *sp, const struct uswap_msg_detached *msg);
int gate_tick(struct space *sp);
void gate_agent_gone(struct space *sp);

#endif
