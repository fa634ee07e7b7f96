/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-seccomp - a program that confines itself
 *
 * Two dangers. A thread outside of the filter, in the same memory, is a way around it: a sealed agent
 * is none (agent-seal.c), one that still waits to attach must go and come back under the filter. And
 * a filter for all threads (TSYNC) is refused by the kernel while a sealed agent is there, and may
 * kill the program for what an agent does.
 *
 * So the filter is read before an agent is started under it: it is run, here, on each system call
 * that an agent makes. One that would not be allowed or politely refused means: no agent in this
 * process and its forks any more; what the daemon holds is served, nothing is evicted.
 */
#include "agent/wrap.h"

#include "agent/agent-kernel.h"
#include "agent/agent-sys.h"
#include "agent/birth.h"
#include "agent/filter-run.h"
#include "agent/keeper.h"
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>

int prctl(int option, ...);

#ifndef SECCOMP_FILTER_FLAG_TSYNC
#define SECCOMP_FILTER_FLAG_TSYNC 1
#endif

/* What an agent under a filter calls, from before its birth to its end; as far as filters look at it. */
static const struct agent_call {
	uint16_t nr;
	uint32_t arg[3];
} agent_calls[] = {
	{ SYS_mprotect, { 0, 0, PROT_READ | PROT_WRITE } },
	{ SYS_rt_sigaction, { 32 } },
	{ SYS_timer_create, { CLOCK_PROCESS_CPUTIME_ID } },
	{ SYS_timer_settime, { 0 } },
	{ SYS_timer_delete, { 0 } },
	{ SYS_rt_sigreturn, { 0 } },
	{ SYS_rt_sigprocmask, { 2 } },
	{ SYS_clone,
	  { CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
	    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID } },
	{ SYS_tgkill, { 0 } },
	{ SYS_close_range, { 0, ~0u, CLOSE_RANGE_UNSHARE } },
	{ SYS_futex, { 0, FUTEX_WAIT | FUTEX_PRIVATE_FLAG } },
	{ SYS_restart_syscall, { 0 } },
	{ SYS_clock_gettime, { CLOCK_MONOTONIC } },
	{ SYS_getrusage, { 0 } },
	{ SYS_openat, { (uint32_t)AT_FDCWD, 0, O_RDONLY | O_CLOEXEC } },
	{ SYS_read, { 0 } },
	{ SYS_close, { 0 } },
	{ SYS_mmap, { 0, 0, PROT_NONE } },
	{ SYS_munmap, { 0 } },
	{ SYS_munlock, { 0 } },
	{ SYS_madvise, { 0, 0, MADV_DONTFORK } },
	{ SYS_madvise, { 0, 0, MADV_NOHUGEPAGE } },
	{ SYS_madvise, { 0, 0, MADV_DONTNEED } },
	{ SYS_madvise, { 0, 0, MADV_POPULATE_WRITE } },
	{ SYS_socket, { AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC } },
	{ SYS_setsockopt, { 0, SOL_SOCKET, SO_RCVTIMEO } },
	{ SYS_setsockopt, { 0, SOL_SOCKET, SO_SNDTIMEO } },
	{ SYS_connect, { 0 } },
	{ SYS_sendmsg, { 0, 0, MSG_NOSIGNAL } },
	{ SYS_recvmsg, { 0, 0, MSG_CMSG_CLOEXEC } },
	{ SYS_ioctl, { 0, (uint32_t)USERFAULTFD_IOC_NEW } },
	{ SYS_ioctl, { 0, (uint32_t)UFFDIO_MOVE } },
	{ SYS_ioctl, { 0, (uint32_t)UFFDIO_WRITEPROTECT } },
	{ SYS_prctl, { PR_GET_SECCOMP } },
	{ SYS_prctl, { PR_SET_NAME } },
	{ SYS_getpid, { 0 } },
	{ SYS_kill, { 0, SIGKILL } },
	{ SYS_exit, { 0 } },
	{ SYS_exit_group, { 0 } },
};

static bool filter_spares_agent(const struct sock_fprog *prog)
{
	struct seccomp_data data;
	uint32_t action;

	for (size_t i = 0; i < sizeof(agent_calls) / sizeof(agent_calls[0]); i++) {
		bytes_zero(&data, sizeof(data));
		data.nr = agent_calls[i].nr;
		data.arch = AGENT_AUDIT_ARCH;
		data.instruction_pointer = (uint64_t)&agent_run;
		for (int j = 0; j < 3; j++)
			data.args[j] = agent_calls[i].arg[j];
		if (filter_run(prog->filter, prog->len, &data, &action))
			return false;
		action &= SECCOMP_RET_ACTION_FULL;
		if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG &&
		    action != SECCOMP_RET_ERRNO)
			return false;
	}
	return true;
}

/* @args is what the kernel was given for SECCOMP_SET_MODE_FILTER, and it found it valid. */
static void filter_settle(long args)
{
	if (!args || !filter_spares_agent((const struct sock_fprog *)args))
		birth_forbid();
}

struct confine {
	bool paused;  /* an agent was taken away */
	bool put_off; /* one was still to come; its timer might not be allowed to ring */
};

static struct confine confine_begin(enum keeper_take take)
{
	return (struct confine){
		.put_off = birth_put_off(),
		.paused = !keeper_pause(take),
	};
}

static void confine_end(const struct confine *c)
{
	if (c->paused)
		keeper_resume();
	else if (c->put_off)
		birth_now();
}

long wrap_sys_seccomp(long op, long flags, long args)
{
	bool tsync = op == SECCOMP_SET_MODE_FILTER && (flags & SECCOMP_FILTER_FLAG_TSYNC);
	struct confine c;
	long r;

	if (op != SECCOMP_SET_MODE_FILTER && op != SECCOMP_SET_MODE_STRICT)
		return sys_3(SYS_seccomp, op, flags, args);

	c = confine_begin(tsync ? KEEPER_TAKE_ANY : KEEPER_TAKE_UNSEALED);
	r = sys_3(SYS_seccomp, op, flags, args);
	/* With TSYNC a positive result is a thread that cannot follow; a listener is a descriptor. */
	if (op == SECCOMP_SET_MODE_STRICT ? !r : r >= 0 && !(tsync && r > 0))
		filter_settle(op == SECCOMP_SET_MODE_FILTER ? args : 0);
	confine_end(&c);
	return r;
}

long wrap_sys_prctl_seccomp(long mode, long args)
{
	struct confine c = confine_begin(KEEPER_TAKE_UNSEALED);
	long r = sys_5(SYS_prctl, PR_SET_SECCOMP, mode, args, 0, 0);

	if (!r)
		filter_settle(mode == SECCOMP_MODE_FILTER ? args : 0);
	confine_end(&c);
	return r;
}

WRAP_EXPORT int prctl(int option, ...)
{
	long a, b, c, d;
	va_list ap;

	va_start(ap, option);
	a = va_arg(ap, long);
	b = va_arg(ap, long);
	c = va_arg(ap, long);
	d = va_arg(ap, long);
	va_end(ap);
	if (option == PR_SET_SECCOMP)
		return (int)wrap_result(wrap_sys_prctl_seccomp(a, b));
	return (int)wrap_result(sys_5(SYS_prctl, option, a, b, c, d));
}
