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

/* event.c */
int event_apply(struct space *sp, const struct mem_event *ev);
int event_remap(struct space *sp, const struct mem_event *ev);
/* Apply events that were held back; @force: the first one though its place is taken. */
int event_held(struct space *sp, bool force);
/*
 * Where the order of events left a question, ask the kernel. Return: 0: none is left; -EAGAIN: not yet,
 * and nothing may be served from the map while there are sp->suspects; other errno.
 */
int event_settle(struct space *sp);
/* Forget all pages of @range: slots dropped, residency cleared. */
void event_forget(struct space *sp, struct urange range);

/* fault.c: Return: 0; SPACE_E_DEAD */
int fault_serve(struct space *sp, const struct mem_event *ev);
void fault_wait(struct space *sp, const struct waiting_fault *f);

/* What the program waits for at one address, and how many pages may go with it. */
struct ahead {
	uint64_t start; /* address of the first page */
	uint32_t n;	/* pages, 1.. ; the faulting one is among them */
	int32_t stride; /* pages between them: 1, or the stream's */
};
/* readahead.c: what to install together with the evicted page at @addr */
void readahead_plan(struct space *sp, uint64_t addr, struct ahead *ret);
/* Tell the stream where the next fault is expected. */
void readahead_done(struct space *sp, uint64_t addr, const struct ahead *plan, uint32_t n_done);

/* manage.c: find again what is present. Return: 0; SPACE_E_DEAD; errno */
int space_rescan(struct space *sp);

/* fork.c */
int fork_apply(struct space *sp, struct mem *child_mem);
int fork_follow(struct space *sp,
		const struct mem_event *ev); /* REMAP: for the young children as well */
void fork_settled(struct space *sp);	     /* they need not follow any more */

/* detach.c */
void evict_unreserve(struct space *sp); /* buffer and job of a command that moves nothing */
bool evict_flush(struct space *sp);	/* send a command that only empties a half; false: none */

/* gate.c */
int gate_answer(struct space *sp, const struct uswap_msg_detached *msg);
int gate_tick(struct space *sp);
void gate_agent_gone(struct space *sp);

#endif
