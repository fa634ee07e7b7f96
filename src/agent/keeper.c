/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keeper - see keeper.h
 *
 * Taking away is done in one of three ways, by phase (agent.h): a waiting agent is woken and ends
 * within microseconds; an attaching one sees the word within a time slice; an attached one ends at
 * the daemon's order, for which the daemon is asked over a connection of our own.
 *
 * The agent is gone when the kernel has cleared its word *and* no longer knows its id: the word is
 * cleared early in the end of a thread, and unshare(CLONE_NEWUSER) counts threads.
 *
 * The id is also what tells a stranger: a vfork child sees the area of its parent, a child made by
 * the bare system call sees a copy; in neither is the id a thread of the calling process.
 */
#include "agent/keeper.h"

#include "agent/agent-sys.h"
#include "agent/birth.h"
#include "agent/control.h"
#include <stdatomic.h>

/* syscalls: getpid tgkill futex sched_yield clock_gettime */

#define KEEPER_WAIT_NS (2 * SEC_NS)
#define KEEPER_ADDR_END (1ull << 48) /* the daemon knows no page above */

/* Somebody is between pause and resume: the process it is in, so that a fork child is free of it. */
static _Atomic uint32_t keeper_busy;

/* True while the agent is a thread of the calling process. */
static bool agent_exists(const struct agent_area *area)
{
	uint32_t tid = atomic_load(&area->tid);
	long pid = sys_0(SYS_getpid);

	return tid && pid == area->pid && sys_3(SYS_tgkill, pid, tid, 0) != -ESRCH;
}

/* Wait for the end of the thread @tid. */
static void agent_wait_gone(struct agent_area *area, uint32_t tid)
{
	uint64_t end_ns = sys_now_ns() + KEEPER_WAIT_NS;
	long pid = sys_0(SYS_getpid);

	while (atomic_load(&area->tid) && sys_now_ns() < end_ns)
		sys_futex_wait(&area->tid, 0, tid, KEEPER_WAIT_NS / 8);
	while (sys_3(SYS_tgkill, pid, tid, 0) != -ESRCH && sys_now_ns() < end_ns)
		sys_0(SYS_sched_yield);
}

static bool busy_try_take(void)
{
	uint64_t end_ns = sys_now_ns() + KEEPER_WAIT_NS;
	uint32_t pid = (uint32_t)sys_0(SYS_getpid), owner = atomic_load(&keeper_busy);

	do {
		if (owner != pid && atomic_compare_exchange_strong(&keeper_busy, &owner, pid))
			return true;
		sys_0(SYS_sched_yield);
		owner = atomic_load(&keeper_busy);
	} while (sys_now_ns() < end_ns);
	return false;
}

int keeper_pause(enum keeper_take take)
{
	struct agent_area *area = birth_area();
	uint32_t tid, waiting = AGENT_WAITING, attaching = AGENT_ATTACHING;
	int r = 0;

	if (!area || !agent_exists(area))
		return KEEPER_E_ABSENT;
	if (take == KEEPER_TAKE_UNSEALED && atomic_load(&area->phase) == AGENT_ATTACHED)
		return KEEPER_E_ABSENT;
	if (!busy_try_take())
		return KEEPER_E_ABSENT;

	tid = atomic_load(&area->tid);
	if (!tid)
		return 0;
	if (atomic_compare_exchange_strong(&area->phase, &waiting, AGENT_STOPPING))
		sys_3(SYS_futex, &area->phase, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
	else if (!atomic_compare_exchange_strong(&area->phase, &attaching, AGENT_STOPPING))
		r = control_request(area, USWAP_CTL_LEAVE, NULL);
	/* it was told, or is going already; else, as without a free descriptor, it stays */
	if (!r || r == -ESRCH)
		agent_wait_gone(area, tid);
	return 0;
}

void keeper_resume(void)
{
	birth_now(); /* an agent that did not go is still there: then nothing happens */
	atomic_store(&keeper_busy, 0);
}

int keeper_home(uint64_t start, uint64_t len)
{
	struct agent_area *area = birth_area();
	struct uswap_range range;
	uint64_t end = start + len;
	int r;

	if (!area || !atomic_load(&area->managed))
		return 0;
	/* what programs cannot have is refused by the kernel, which then changes nothing there */
	if (!len || end < start || start >= KEEPER_ADDR_END)
		return 0;
	if (end > KEEPER_ADDR_END)
		end = KEEPER_ADDR_END;
	range.start = start & ~(uint64_t)(AGENT_PAGE_BYTES - 1);
	range.len =
		((end + AGENT_PAGE_BYTES - 1) & ~(uint64_t)(AGENT_PAGE_BYTES - 1)) - range.start;
	r = control_request(area, USWAP_CTL_HOME, &range);
	return r == -ESRCH ? 0 : r; /* the daemon does not know us: it holds nothing */
}

/*
 * The list only grows and is filled from the front; its reader ignores zeroes. .n may lag behind a
 * filled place for a moment: the page is not yet used as a mutex then.
 */
void keeper_protect(const void *addr, uint64_t bytes)
{
	bool is_new = false;
	struct agent_area *area = birth_area_get();
	uint64_t page = (uint64_t)addr & ~(uint64_t)(AGENT_PAGE_BYTES - 1);
	struct uswap_protect *list;
	uint64_t n, i, seen;

	if (!area)
		return;
	list = agent_protect(area);
	for (; page < (uint64_t)addr + bytes; page += AGENT_PAGE_BYTES) {
		for (i = 0; i < USWAP_PROTECT_MAX; i++) {
			seen = 0;
			if (__atomic_compare_exchange_n(&list->page_addr[i], &seen, page, false,
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
				is_new = true;
				break;
			}
			if (seen == page)
				break;
		}
		n = __atomic_load_n(&list->n, __ATOMIC_SEQ_CST);
		while (n < i + 1 &&
		       !__atomic_compare_exchange_n(&list->n, &n, i + 1, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST))
			continue;
	}
	if (is_new) /* what is out comes back, and what is about to leave: commands look at the list */
		(void)keeper_home((uint64_t)addr, bytes);
}

void keeper_protect_all(void)
{
	struct agent_area *area = birth_area_get();

	if (area)
		__atomic_store_n(&agent_protect(area)->n, USWAP_PROTECT_MAX + 1, __ATOMIC_SEQ_CST);
}
