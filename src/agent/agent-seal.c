/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-seal - make the attached agent worthless to whoever takes it over
 *
 * It shares its memory with a program that may be taken over, and that may later confine itself or
 * give its privileges up. So the thread keeps no capability, and no system call but those that
 * agent_serve() makes, with their arguments checked as far as a filter can. A call that is not
 * allowed ends this thread only: the program is not to suffer for it.
 *
 * A process that is under a filter already keeps that one: it was made for this program, and may
 * forbid what we would do here. The filter asks for no speculation mitigations of its own: they
 * would slow MOVE down and protect nothing, all secrets here are the program's.
 */
#include "agent/agent.h"

#include "agent/agent-kernel.h"
#include "agent/agent-sys.h"
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>

/* syscalls: prctl capset getpid seccomp */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + sizeof(uint32_t))
#define IF_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skip)
#define IF(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), skip, 0)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

/* Little-endian: the low half of an argument comes first. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "offset of the low half");

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1u << 2)
#endif

static void caps_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	bytes_zero(none, sizeof(none));
	sys_2(SYS_capset, &head, none);
}

static void filter_set(uint32_t pid, uint64_t stage)
{
	struct sock_filter code[] = {
		LOAD(arch),
		IF_NOT(AGENT_AUDIT_ARCH, 27),
		LOAD(nr),
		IF(SYS_recvmsg, 26),
		IF(SYS_sendmsg, 25),
		IF(SYS_close, 24),
		IF(SYS_exit, 23),
		IF(SYS_exit_group, 22),
		IF(SYS_munlock, 21),
		IF_NOT(SYS_ioctl, 3),
		LOAD(args[1]),
		IF(UFFDIO_MOVE, 18),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)UFFDIO_WRITEPROTECT, 17, 16),
		IF_NOT(SYS_madvise, 3),
		LOAD(args[2]),
		IF(MADV_DONTNEED, 14),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_POPULATE_WRITE, 13, 12),
		IF_NOT(SYS_mprotect, 6),
		LOAD(args[0]),
		IF_NOT(stage, 9),
		LOAD_HIGH(args[0]),
		IF_NOT(stage >> 32, 7),
		LOAD(args[1]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AGENT_STAGE_BYTES, 6, 5),
		IF_NOT(SYS_kill, 4),
		LOAD(args[0]),
		IF_NOT(pid, 2),
		LOAD(args[1]),
		IF(SIGKILL, 1),
		RETURN(SECCOMP_RET_KILL_THREAD),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	sys_3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog);
}

void agent_seal(const struct agent_area *area)
{
	if (sys_5(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0))
		return;
	caps_drop();
	sys_5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	filter_set((uint32_t)sys_0(SYS_getpid), agent_stage(area));
}
