/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-kernel - kernel interfaces that are newer than the oldest headers we build with
 *
 * Debian 12 has the headers of Linux 6.1; the agent needs 6.8. Each group vanishes where the
 * system's headers have it.
 */
#ifndef USWAP_AGENT_KERNEL_H
#define USWAP_AGENT_KERNEL_H

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#ifndef UFFDIO_MOVE /* 6.8 */
struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move; /* bytes moved, or a negative errno */
};
#define UFFDIO_MOVE_MODE_DONTWAKE ((__u64)1 << 0)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((__u64)1 << 1)
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

#ifndef USERFAULTFD_IOC_NEW /* 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#ifndef MADV_POPULATE_WRITE /* 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MADV_GUARD_INSTALL /* 6.13 */
#define MADV_GUARD_INSTALL 102
#endif

#endif
