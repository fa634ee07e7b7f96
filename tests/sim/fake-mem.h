/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-mem - struct mem_ops on the fake kernel, and the agent that obeys
 *
 * Before each memory operation the rest of the machine may run (fk->preempt): whatever the owner
 * does in one call can be interrupted by the program between any two operations.
 *
 * Failure injection: each fallible operation counts; fk->fail_at names one that fails with an error
 * the kernel could give there, fk->fail_one_in makes any of them fail now and then.
 *
 * Threads: one.
 */
#ifndef USWAP_SIM_FAKE_MEM_H
#define USWAP_SIM_FAKE_MEM_H

#include "fake-kernel.h"
#include "uswap/protocol.h"

#define FAKE_MAX_PROTECTED 8u

/*
 * AGENT_NONE    no thread
 * AGENT_IDLE    waits for a packet
 * AGENT_FREE    empties a part of the stage, then -> MOVE
 * AGENT_MOVE    one MOVE a step, then -> ANSWER
 * AGENT_TOUCH   populates page after page, then -> ANSWER
 * AGENT_ANSWER  the answer is ready to be sent -> IDLE
 */
enum agent_state { AGENT_NONE, AGENT_IDLE, AGENT_FREE, AGENT_MOVE, AGENT_TOUCH, AGENT_ANSWER };
struct fake_agent {
	enum agent_state state;
	bool stopped; /* by a signal or a debugger */
	bool armed;
	struct fk_task task;
	uint32_t area; /* which of FK_N_AREAS */
	uint32_t n_in;
	union fake_packet {
		struct uswap_msg_head head;
		struct uswap_msg_plain plain;
		struct uswap_msg_detach detach;
		struct uswap_msg_populate populate;
	} in[4]; /* not received yet, oldest first */
	union fake_packet cmd;
	uint32_t run, at; /* of the command: where it is */
	uint32_t n_try;	  /* pages of the next MOVE, at most */
	bool has_answer;  /* sent, not received by the owner */
	union {
		struct uswap_msg_head head;
		struct uswap_msg_detached detached;
		struct uswap_msg_populated populated;
	} answer;
};

struct fake_mem {
	struct mem base; /* first */
	struct fk *fk;
	struct fk_uffd *uffd;
	struct fake_agent *agent; /* whose socket the owner has; NULL: none */
	struct frange protected[FAKE_MAX_PROTECTED];
	uint32_t n_protected;
	bool read_fails; /* the program took away what was moved */
	bool (*inside_zap)(struct fk_mm *mm);
	uint32_t (*n_threads)(struct fk_mm *mm);
};

struct fake_mem *fake_mem_new(struct fk_uffd *u, bool (*inside_zap)(struct fk_mm *mm),
			      uint32_t (*n_threads)(struct fk_mm *mm));
static inline struct fake_mem *fake_mem_of(struct mem *m)
{
	return (struct fake_mem *)(void *)m;
}

/* The page a stamp stands for, and back. A page that is no stamp's page is a torn one: abort. */
void stamp_expand(uint64_t stamp, void *page);
uint64_t stamp_of(const void *page);

/* Map the agent's areas. False: no area is left. */
bool fake_agent_start(struct fake_agent *a, struct fk_mm *mm, struct uswap_msg_hello *ret_hello);
/* It leaves by itself: its areas are unmapped. pre: the stage is not registered */
void fake_agent_leave(struct fake_agent *a);
void fake_agent_kill(struct fake_agent *a); /* in the middle of anything; areas stay mapped */
bool fake_agent_can_run(const struct fake_agent *a);
void fake_agent_step(struct fake_agent *a);

#endif
