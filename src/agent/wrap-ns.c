/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-ns - unshare and setns
 *
 * Some namespaces may only be entered by a process with one thread and an unshared fs structure, and
 * in the others the agent would stay behind. It goes before the call and is started again after it.
 * A new pid or time namespace takes no more threads of this process: then there is no agent until
 * the next fork.
 */
#include "agent/wrap.h"

#include "agent/agent-sys.h"
#include "agent/keeper.h"
#include <sched.h>

/* syscalls: unshare setns sched_yield */

/*
 * For the kernel the agent is out of the thread list a few instructions after its id is gone; the
 * refusal (EINVAL; EUSERS never) may then be about a thread that is no more.
 */
#define NS_RETRIES 100

static long ns_call(long nr, long a, long b)
{
	uint32_t n = 0;
	long r;

	if (keeper_pause(KEEPER_TAKE_ANY))
		return sys_2(nr, a, b);
	do {
		r = sys_2(nr, a, b);
		if (r != -EINVAL)
			break;
		sys_0(SYS_sched_yield);
	} while (++n < NS_RETRIES);
	keeper_resume();
	return r;
}

long wrap_sys_unshare(long flags)
{
	/* These are the caller's own, and the agent has neither. */
	if (!(flags & ~(long)(CLONE_FILES | CLONE_SYSVSEM)))
		return sys_1(SYS_unshare, flags);
	return ns_call(SYS_unshare, flags, 0);
}

long wrap_sys_setns(long fd, long type)
{
	return ns_call(SYS_setns, fd, type);
}

WRAP_EXPORT int unshare(int flags)
{
	return (int)wrap_result(wrap_sys_unshare(flags));
}

WRAP_EXPORT int setns(int fd, int type)
{
	return (int)wrap_result(wrap_sys_setns(fd, type));
}
