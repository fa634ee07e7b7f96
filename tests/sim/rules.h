/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rules - directed interleavings, one per danger that a rule of docs/protocol.md exists for
 *
 * Every scenario drives the production code step by step to the moment in question, and ends with the
 * machine at rest, checked as after a random walk. The name says the rule.
 *
 * Threads: one.
 */
#ifndef USWAP_SIM_RULES_H
#define USWAP_SIM_RULES_H

#include "sim-check.h"

#define RIG_FIRST 100u /* the program's memory: [RIG_FIRST, RIG_FIRST + RIG_PAGES) */
#define RIG_PAGES 64u
#define RIG_SPARE 1000u /* free addresses */

struct rig {
	struct sim s;
	struct proc *p;
	struct thread *t[3];
	struct space *sp;
};

/* One process, three threads, RIG_PAGES written pages, an agent, all of it registered. */
struct rig *rig_new(void);
void rig_free(struct rig *r); /* comes to rest, checks, ends everything */

bool rig_run(struct thread *t); /* until idle (true) or asleep (false) */
void rig_touch(struct rig *r, struct thread *t, uint32_t page, bool write); /* served to its end */
/* @t makes a call that is told of as it goes; nothing is settled. */
void rig_mremap(struct rig *r, struct thread *t, const struct fk_mremap *m);
void rig_told(struct rig *r, struct thread *t); /* what it is in is told of to its end */
/* The mapping grows by 8 pages, of which the table does not know. */
void rig_grow(struct thread *t);
struct proc *rig_fork(struct rig *r, struct thread *t); /* of r->sp, served to its end */
void rig_agent(struct rig *r);				/* the agent does all it can */
void rig_serve(struct rig *r); /* main is read, what waits is tried again */
/* The command for the first @n pages that may leave. Post: sent, not received. */
void rig_command(struct rig *r, uint32_t n);
void rig_evict(struct rig *r, uint32_t n);     /* all the way into the pool */
bool rig_is_out(struct rig *r, uint32_t page); /* evicted, for all the space knows */
bool rig_is_present(struct rig *r, uint32_t page);
/* The slot of an evicted page, pinned as a background thread would. */
struct slot_id rig_pin(struct rig *r, uint32_t page);
void rig_unpin(struct rig *r, struct slot_id id); /* and tells who was parked */
void rig_pass(struct rig *r, uint64_t ms);
extern uint64_t rig_n_allocations; /* of the production code and the fake kernel, so far */
struct frange rig_range(uint32_t first, uint32_t n); /* from RIG_FIRST */

struct rule {
	const char *name;
	void (*fn)(void);
};
extern const struct rule rules_file[];	 /* loads from the file */
extern const struct rule rules_layout[]; /* R1, R2 */
extern const struct rule rules_page[];	 /* R3 to R11 */

#endif
