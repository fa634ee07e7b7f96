/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent - the one thread in a client that does what only the owner of an address space may do
 *
 * The area is all that the agent and its keeper (the preload library) share. It is one mapping:
 *
 *     guard | stack, struct agent_area at its top end | struct uswap_protect | guard
 *
 * fork copies it; the agent of a fork child runs on the copy. A second mapping (stage and trash,
 * MADV_DONTFORK) is made at the attach:
 *
 *     guard | stage | guard | trash | guard
 *
 * Ownership: the keeper makes the area, once per address space, and never unmaps it. The agent makes
 * the second mapping and never unmaps one that the daemon may have registered: that would raise an
 * event, which waits for the daemon.
 * Threads:   the keeper's callers and the agent; fields say who writes.
 * Invariant: one agent per process at most: agent_area.tid is not 0 from before the agent's first
 *            instruction until after its last.
 */
#ifndef USWAP_AGENT_AGENT_H
#define USWAP_AGENT_AGENT_H

#include <stdint.h>
#include <sys/un.h>
#include <uswap/protocol.h>

#define AGENT_PAGE_BYTES USWAP_PAGE_BYTES
#define AGENT_STACK_BYTES (6 * AGENT_PAGE_BYTES) /* struct agent_area included */
#define AGENT_OWN_BYTES (AGENT_STACK_BYTES + 3 * AGENT_PAGE_BYTES)
#define AGENT_STAGE_BYTES (USWAP_STAGE_PAGES * AGENT_PAGE_BYTES)
#define AGENT_OWN2_BYTES ((USWAP_STAGE_PAGES + USWAP_STAGE_HALF_PAGES + 3ull) * AGENT_PAGE_BYTES)

/*
 * NONE      - no agent was ever started here (or not since the fork)
 *     -> WAITING    keeper, before the clone
 * WAITING   - the process is too small to be worth a connection; nothing is open
 *     -> ATTACHING  agent_run(), by compare-and-swap
 *     -> STOPPING   keeper_pause(), by compare-and-swap; the agent is woken
 * ATTACHING - talking to the daemon; a keeper who wants it gone is noticed within AGENT_SLICE_MS
 *     -> ATTACHED   agent_attach(), by compare-and-swap
 *     -> STOPPING   keeper_pause(), by compare-and-swap
 * ATTACHED  - sealed off, obeys the daemon, looks at this word no more: only the daemon ends it
 * STOPPING  - the agent ends as soon as it looks
 * Whoever starts the next agent waits for agent_area.tid == 0 first, and sets WAITING.
 */
enum agent_phase {
	AGENT_NONE,
	AGENT_WAITING,
	AGENT_ATTACHING,
	AGENT_ATTACHED,
	AGENT_STOPPING,
};

#define AGENT_SLICE_MS 100	  /* an attaching agent looks at its phase this often */
#define AGENT_ATTACH_MAX_MS 30000 /* and gives up after this */
#define AGENT_THRESHOLD_BYTES (4ull << 20)

struct agent_area {
	_Atomic uint32_t tid; /* the kernel's word: written at clone, cleared at the thread's end */
	_Atomic uint32_t phase;	  /* enum agent_phase; a futex while WAITING */
	_Atomic uint32_t clean;	  /* agent: inherited descriptors are closed */
	_Atomic uint32_t managed; /* agent: the daemon may hold pages of this process. Stays set in
				   * fork children */
	int32_t pid;		  /* keeper: process that the agent was started in */
	uint32_t addr_bytes;	  /* keeper, at start: of .addr */
	uint64_t threshold_bytes; /* keeper, at start; 0: attach at once */
	uint64_t own;		  /* keeper, at start: AGENT_OWN_BYTES from here */
	uint64_t own2;		  /* agent: AGENT_OWN2_BYTES from here; 0: none */
	struct sockaddr_un addr;  /* keeper, at start: the daemon's socket */
};

_Static_assert(sizeof(struct agent_area) % 16 == 0, "the stack ends below it");

static inline struct uswap_protect *agent_protect(const struct agent_area *area)
{
	return (struct uswap_protect *)(area->own + AGENT_PAGE_BYTES + AGENT_STACK_BYTES);
}

/* pre: attached */
static inline uint64_t agent_stage(const struct agent_area *area)
{
	return area->own2 + AGENT_PAGE_BYTES;
}

/*
 * Thread function of the agent; @data is its struct agent_area. Never returns.
 * pre: all signals are blocked; the stack lies in the area; the descriptor table is its own.
 */
void agent_run(void *data) __attribute__((noreturn));

/*
 * Wait until the process is worth attaching. Return: 0; AGENT_E_LEAVE: told to stop, or the program
 * has ended around us.
 */
enum { AGENT_E_LEAVE = 1 };
int agent_wait(struct agent_area *area);

struct agent_link { /* descriptors of an attached agent, in its own table */
	int sock;
	int main;
	int aux;
};

/* Connect and hand over the address space. Return: 0 with *ret_link; a negative errno. */
int agent_attach(struct agent_area *area, struct agent_link *ret_link);

/* Give up every privilege and all system calls but those of agent_serve(). */
void agent_seal(const struct agent_area *area);

/* Obey until the connection ends or the daemon says leave. */
void agent_serve(struct agent_area *area, const struct agent_link *link);

#endif
