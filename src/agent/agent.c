/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent - life of the thread
 *
 * Freestanding: no libc, no thread-local storage, no .data, no .bss. Whatever it needs lies in the
 * area or on its stack. Its first act is to leave the program's descriptors for an empty table of its
 * own, so that a program that closes all descriptors does not close the agent's. It is not started with
 * a table of its own: until it ran for the first time that would hold all files of the program, and keep
 * their locks, ports and pipes from going when the program closes them. It holds on to nothing else of
 * the program: CLONE_FS makes it follow chdir and chroot, CLONE_SYSVSEM leaves semaphore adjustments to
 * the program's threads. Exec and exit kill it.
 *
 * Before Linux 6.12 the first 64 files are copied, and closed again, in that call. This is not always
 * without effect: POSIX locks belong to the program's table and stay, but a message queue forgets its
 * notification when any thread of the process that asked for it closes a descriptor of the queue. The
 * keeper sees to that (wrap-mqueue.c).
 */
#include "agent/agent.h"

#include "agent/agent-sys.h"
#include <linux/close_range.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The compiler may call these for assignments and initialisers; libc's must not be reached. */
__attribute__((visibility("hidden"))) void *memset(void *dst, int c, size_t n);
__attribute__((visibility("hidden"))) void *memcpy(void *restrict dst, const void *restrict src,
						   size_t n);

void *memset(void *dst, int c, size_t n)
{
	uint8_t *p = dst;

	while (n--)
		*p++ = (uint8_t)c;
	return dst;
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	bytes_copy(dst, src, n);
	return dst;
}

void agent_run(void *data)
{
	struct agent_area *area = data;
	struct agent_link link;
	uint32_t phase = AGENT_WAITING;
	bool is_clean;

	is_clean = !sys_3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE);
	atomic_store(&area->clean, 1);

	if (is_clean && !agent_wait(area) &&
	    atomic_compare_exchange_strong(&area->phase, &phase, AGENT_ATTACHING) &&
	    !agent_attach(area, &link))
		agent_serve(area, &link);

	for (;;)
		sys_1(SYS_exit, 0);
}
