/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap - functions of libc that the library stands in front of
 *
 * Each wrap-*.c replaces a few of them and says why. All do what libc's do, with the same errno,
 * before anything else; a program that never calls them never pays for them.
 *
 * Where libc's function is nothing but the system call, the wrapper makes the system call. Where it
 * does more (set*id tells the other threads) the next one in line is called; it is looked up at the
 * first use, and once more before a fork: between fork and exec of a threaded program the dynamic
 * linker's lock may be held for ever.
 *
 * Threads: any, and vfork children.
 */
#ifndef USWAP_AGENT_WRAP_H
#define USWAP_AGENT_WRAP_H

#include <stddef.h>

#define WRAP_EXPORT __attribute__((visibility("default")))

enum wrap_next {
	WRAP_SETUID,
	WRAP_SETGID,
	WRAP_SETEUID,
	WRAP_SETEGID,
	WRAP_SETREUID,
	WRAP_SETREGID,
	WRAP_SETRESUID,
	WRAP_SETRESGID,
	WRAP_SETGROUPS,
	WRAP_INITGROUPS,
	WRAP_MUTEX_INIT,
	WRAP_MQ_NOTIFY,
	WRAP_THREAD_CREATE,
	WRAP_CLONE,
	WRAP_SETCONTEXT,
	WRAP_SWAPCONTEXT,
	WRAP_N,
};

typedef void wrap_fn(void);

/* The function that would have been called without us. NULL with ENOSYS in errno: there is none. */
wrap_fn *wrap_next(enum wrap_next which);

/* Turn what the kernel returned into libc's convention. */
long wrap_result(long r);

/* The bare calls, by whatever name they came. They return as the kernel does. */
long wrap_sys_creds(long nr, long a, long b, long c);
long wrap_sys_capset(long head, long data);
long wrap_sys_unshare(long flags);
long wrap_sys_setns(long fd, long type);
long wrap_sys_seccomp(long op, long flags, long args);
long wrap_sys_prctl_seccomp(long mode, long args);
long wrap_sys_madvise(long addr, long len, long advice);
long wrap_sys_process_madvise(long pidfd, long iov, long n, long advice, long flags);
long wrap_sys_shmat(long id, long addr, long flags);

#endif
