/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-memory - calls that change memory behind the daemon's back
 *
 * The kernel tells a userfaultfd when memory is unmapped, moved or emptied, except by
 * MADV_GUARD_INSTALL (6.13), which empties, and shmat(SHM_REMAP), which replaces. A page of such a
 * range that the daemon holds would come back over what the program put there. So the range comes
 * home first; if that cannot be had, the call fails with EINVAL, as in a kernel without it.
 *
 * Not seen: the same calls made inside libc itself, or by the bare instruction.
 */
#include "agent/wrap.h"

#include "agent/agent-kernel.h"
#include "agent/agent-sys.h"
#include "agent/keeper.h"
#include <limits.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/uio.h>

/* syscalls: madvise process_madvise shmat shmctl getpid process_vm_readv */

long wrap_sys_madvise(long addr, long len, long advice)
{
	if (advice == MADV_GUARD_INSTALL && keeper_home((uint64_t)addr, (uint64_t)len))
		return -EINVAL;
	return sys_3(SYS_madvise, addr, len, advice);
}

/* The kernel allows it for the caller's own memory only. */
long wrap_sys_process_madvise(long pidfd, long iov, long n, long advice, long flags)
{
	struct iovec part, to = { &part, sizeof(part) }, from = { NULL, sizeof(part) };
	long pid = sys_0(SYS_getpid), got;

	for (long i = 0; (int)advice == MADV_GUARD_INSTALL && i < n && n <= IOV_MAX; i++) {
		from.iov_base = (struct iovec *)iov + i;
		got = sys_6(SYS_process_vm_readv, pid, (long)&to, 1, (long)&from, 1, 0);
		if (got == -EFAULT || (got >= 0 && got < (long)sizeof(part)))
			break; /* so the kernel will say */
		if (got < 0 || keeper_home((uint64_t)part.iov_base, part.iov_len))
			return -EINVAL;
	}
	return sys_6(SYS_process_madvise, pidfd, iov, n, advice, flags, 0);
}

long wrap_sys_shmat(long id, long addr, long flags)
{
	struct shmid_ds ds;

	if ((flags & SHM_REMAP) && addr && !sys_3(SYS_shmctl, id, IPC_STAT, &ds) &&
	    keeper_home((uint64_t)addr, ds.shm_segsz))
		return -EINVAL;
	return sys_3(SYS_shmat, id, addr, flags);
}

WRAP_EXPORT int madvise(void *addr, size_t len, int advice)
{
	return (int)wrap_result(wrap_sys_madvise((long)addr, (long)len, advice));
}

WRAP_EXPORT ssize_t process_madvise(int pidfd, const struct iovec *iov, size_t n, int advice,
				    unsigned int flags)
{
	return wrap_result(
		wrap_sys_process_madvise(pidfd, (long)iov, (long)n, advice, (long)flags));
}

WRAP_EXPORT void *shmat(int id, const void *addr, int flags)
{
	return (void *)wrap_result(wrap_sys_shmat(id, (long)addr, flags));
}
