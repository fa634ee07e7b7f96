/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-syscall - libc's syscall(), for those who make the calls of wrap.h by number
 *
 * Whatever is not ours must be as if we were not there: vfork and clone return twice to the caller's
 * frame, so there must be no frame of ours in between, and all six arguments go through untouched.
 * Hence assembly: a bit table decides between the bare instruction and syscall_ours(), which is
 * entered by a jump with the registers as the caller left them.
 */
#include "agent/wrap.h"

#include "agent/agent-sys.h"
#include "agent/birth.h"
#include "agent/keeper.h"
#include <linux/prctl.h>

#define SYSCALL_TABLE_BITS 512

#ifdef SYS_fork
#define NR_FORK SYS_fork
#else
#define NR_FORK (SYSCALL_TABLE_BITS - 1) /* no call has it */
#endif

/* One bit per system call that is ours; used by name from the assembly. */
#define OURS(nr, word) ((nr) / 64 == (word) ? 1ull << ((nr) % 64) : 0)
#define OURS_WORD(word)                                                                      \
	(OURS(SYS_madvise, word) | OURS(SYS_shmat, word) | OURS(SYS_setuid, word) |          \
	 OURS(SYS_setgid, word) | OURS(SYS_setreuid, word) | OURS(SYS_setregid, word) |      \
	 OURS(SYS_setgroups, word) | OURS(SYS_setresuid, word) | OURS(SYS_setresgid, word) | \
	 OURS(SYS_capset, word) | OURS(SYS_prctl, word) | OURS(SYS_mq_notify, word) |        \
	 OURS(SYS_unshare, word) | OURS(SYS_setns, word) | OURS(SYS_seccomp, word) |         \
	 OURS(SYS_process_madvise, word) | OURS(SYS_set_tid_address, word) | OURS(NR_FORK, word))

extern const uint64_t syscall_table[SYSCALL_TABLE_BITS / 64];
__attribute__((used, visibility("hidden")))
const uint64_t syscall_table[SYSCALL_TABLE_BITS / 64] = {
	OURS_WORD(0), OURS_WORD(1), OURS_WORD(2), OURS_WORD(3),
	OURS_WORD(4), OURS_WORD(5), OURS_WORD(6), OURS_WORD(7),
};

long syscall_ours(long nr, long a, long b, long c, long d, long e, long f);
long syscall_failed(long r);

/* libc's handlers are not called; ours is. */
static long fork_run(void)
{
	long r = sys_0(NR_FORK);

	if (!r)
		birth_fork_child();
	return r;
}

static long ours_run(long nr, long a, long b, long c, long d, long e, long f)
{
	switch (nr) {
	case SYS_madvise:
		return wrap_sys_madvise(a, b, (int)c);
	case SYS_process_madvise:
		return wrap_sys_process_madvise((int)a, b, c, (int)d, (long)(unsigned int)e);
	case SYS_set_tid_address:
		keeper_protect((const void *)a, sizeof(int)); /* see wrap-thread.c */
		break;
	case NR_FORK:
		return fork_run();
	case SYS_shmat:
		return wrap_sys_shmat((int)a, b, (int)c);
	case SYS_capset:
		return wrap_sys_capset(a, b);
	case SYS_unshare:
		return wrap_sys_unshare((long)(unsigned long)a);
	case SYS_setns:
		return wrap_sys_setns(a, b);
	case SYS_seccomp:
		return wrap_sys_seccomp((unsigned int)a, (unsigned int)b, c);
	case SYS_prctl:
		if ((int)a == PR_SET_SECCOMP)
			return wrap_sys_prctl_seccomp(b, c);
		break;
	case SYS_mq_notify:
		if (b)
			birth_hasten_last();
		break;
	default:
		return wrap_sys_creds(nr, a, b, c);
	}
	return sys_6(nr, a, b, c, d, e, f);
}

__attribute__((used, visibility("hidden"))) long syscall_ours(long nr, long a, long b, long c,
							      long d, long e, long f)
{
	return wrap_result(ours_run(nr, a, b, c, d, e, f));
}

__attribute__((used, visibility("hidden"))) long syscall_failed(long r)
{
	return wrap_result(r);
}

#if defined(__x86_64__)

__asm__(".text\n"
	".p2align 4\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n\t"
	".cfi_startproc\n\t"
	"endbr64\n\t"
	"cmp $512, %rdi\n\t" /* SYSCALL_TABLE_BITS */
	"jae 1f\n\t"
	"lea syscall_table(%rip), %rax\n\t"
	"bt %rdi, (%rax)\n\t"
	"jc syscall_ours\n"
	"1:\n\t"
	"mov %rdi, %rax\n\t"
	"mov %rsi, %rdi\n\t"
	"mov %rdx, %rsi\n\t"
	"mov %rcx, %rdx\n\t"
	"mov %r8, %r10\n\t"
	"mov %r9, %r8\n\t"
	"mov 8(%rsp), %r9\n\t"
	"syscall\n\t"
	"cmp $-4095, %rax\n\t"
	"jae 2f\n\t"
	"ret\n"
	"2:\n\t"
	"mov %rax, %rdi\n\t"
	"jmp syscall_failed\n\t"
	".cfi_endproc\n\t"
	".size syscall, .-syscall\n");

#elif defined(__aarch64__)

__asm__(".text\n"
	".p2align 4\n"
	".globl syscall\n"
	".type syscall, %function\n"
	"syscall:\n\t"
	".cfi_startproc\n\t"
	"hint #34\n\t"	   /* bti c */
	"cmp x0, #512\n\t" /* SYSCALL_TABLE_BITS */
	"b.hs 1f\n\t"
	"adrp x8, syscall_table\n\t"
	"add x8, x8, :lo12:syscall_table\n\t"
	"lsr x9, x0, #6\n\t"
	"ldr x8, [x8, x9, lsl #3]\n\t"
	"lsr x8, x8, x0\n\t" /* by x0 modulo 64 */
	"tbnz x8, #0, syscall_ours\n"
	"1:\n\t"
	"mov x8, x0\n\t"
	"mov x0, x1\n\t"
	"mov x1, x2\n\t"
	"mov x2, x3\n\t"
	"mov x3, x4\n\t"
	"mov x4, x5\n\t"
	"mov x5, x6\n\t"
	"svc #0\n\t"
	"cmn x0, #4095\n\t"
	"b.hs syscall_failed\n\t"
	"ret\n\t"
	".cfi_endproc\n\t"
	".size syscall, .-syscall\n");

#endif
