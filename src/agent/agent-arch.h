/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-arch - system calls and the birth of a thread, per processor
 *
 * The agent runs without libc: it shares the thread pointer of whoever started it, so errno and
 * everything else that lives in thread-local storage belong to somebody else. All of src/agent makes
 * its system calls through these functions; they return a negative errno, as the kernel does.
 *
 * Threads: any.
 */
#ifndef USWAP_AGENT_ARCH_H
#define USWAP_AGENT_ARCH_H

#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)

#define AGENT_AUDIT_ARCH 0xc000003eu /* AUDIT_ARCH_X86_64 */

static inline long sys_6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/*
 * clone(2) of a thread that runs @fn(@arg) on @stack_top (16-byte aligned) and never returns. The
 * kernel writes its id to @tid before it runs and 0 after it has ended, if @flags ask for that.
 * The child leaves this block only by @fn: nothing of the caller's frame is used on its side.
 */
static inline long sys_clone_thread(unsigned long flags, void *stack_top, _Atomic uint32_t *tid,
				    void (*fn)(void *), void *arg)
{
	register long r10 __asm__("r10") = (long)tid;
	register long r8 __asm__("r8") = 0; /* no CLONE_SETTLS */
	register long r9 __asm__("r9") = (long)fn;
	register long r12 __asm__("r12") = (long)arg;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%eax, %%eax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t" /* end of the chain of frames */
			 "mov %%r12, %%rdi\n\t"
			 "call *%%r9\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(SYS_clone), "D"(flags), "S"(stack_top), "d"(tid), "r"(r10), "r"(r8),
			   "r"(r9), "r"(r12)
			 : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

#define AGENT_AUDIT_ARCH 0xc00000b7u /* AUDIT_ARCH_AARCH64 */

static inline long sys_6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

/* As above; here the kernel takes the thread pointer before the child's word. */
static inline long sys_clone_thread(unsigned long flags, void *stack_top, _Atomic uint32_t *tid,
				    void (*fn)(void *), void *arg)
{
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)stack_top;
	register long x2 __asm__("x2") = (long)tid;
	register long x3 __asm__("x3") = 0; /* no CLONE_SETTLS */
	register long x4 __asm__("x4") = (long)tid;
	register long x5 __asm__("x5") = (long)fn;
	register long x6 __asm__("x6") = (long)arg;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t" /* end of the chain of frames */
			 "mov x0, x6\n\t"
			 "blr x5\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x6)
			 : "memory");
	return x0;
}

#else
#error "no system call interface for this processor"
#endif

#define SYS_ARG(x) ((long)(x))
#define sys_0(nr) sys_6(nr, 0, 0, 0, 0, 0, 0)
#define sys_1(nr, a) sys_6(nr, SYS_ARG(a), 0, 0, 0, 0, 0)
#define sys_2(nr, a, b) sys_6(nr, SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define sys_3(nr, a, b, c) sys_6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define sys_4(nr, a, b, c, d) sys_6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)
#define sys_5(nr, a, b, c, d, e) \
	sys_6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)

#endif
