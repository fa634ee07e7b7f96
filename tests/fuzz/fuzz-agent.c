// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The agent against a daemon that sends anything: src/agent/agent-serve.c itself, on a kernel made
 * of the input.
 *
 * Whatever comes: pages move only from the program into the stage and from the stage into the trash,
 * the agent's own memory is no source; the answer tells of each page what the kernel said of it; a
 * descriptor is closed once; the process is killed exactly when an armed agent lost its daemon.
 *
 * Input: what the system calls return, in their order.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "fuzz.h"

/* In place of agent/agent-arch.h */
#define USWAP_AGENT_ARCH_H
static long sys_6(long nr, long a, long b, long c, long d, long e, long f);
#define SYS_ARG(x) ((long)(x))
#define sys_1(nr, a) sys_6(nr, SYS_ARG(a), 0, 0, 0, 0, 0)
#define sys_2(nr, a, b) sys_6(nr, SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define sys_3(nr, a, b, c) sys_6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define sys_4(nr, a, b, c, d) sys_6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)
#define sys_5(nr, a, b, c, d, e) \
	sys_6(nr, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)
#include "agent/agent-serve.c"

#define OWN UINT64_C(0x7f1000000000)
#define OWN2 UINT64_C(0x7f2000000000)
#define STAGE (OWN2 + AGENT_PAGE_BYTES)
#define TRASH (STAGE + (USWAP_STAGE_PAGES + 1ull) * AGENT_PAGE_BYTES)
#define STAGE_BYTES ((uint64_t)USWAP_STAGE_PAGES * AGENT_PAGE_BYTES)
#define TRASH_BYTES ((uint64_t)USWAP_STAGE_HALF_PAGES * AGENT_PAGE_BYTES)
#define MAX_FDS 4096
enum { FD_SOCK = 3, FD_MAIN, FD_AUX, FD_FIRST = 10 };

static struct fuzz_in in;
static struct {
	union {
		struct uswap_msg_head head;
		struct uswap_msg_detach detach;
		struct uswap_msg_populate populate;
		uint8_t bytes[USWAP_MSG_MAX_BYTES];
	} msg;	   /* in the agent's hands */
	bool owes; /* an answer to it */
	bool shut; /* a MOVE of this command said EAGAIN */
	bool trash_full;
	uint64_t moved[USWAP_STAGE_HALF_PAGES]; /* sources, in order */
	uint32_t n_moved;
	uint32_t n_done; /* runs populated */
	bool armed, over, killed;
	bool open[MAX_FDS];
	int n_fds, n_open;
} k;

/* ---- packets -------------------------------------------------------------------------------- */

static uint64_t address_make(void)
{
	static const uint64_t bases[] = { 0x10000,
					  OWN,
					  OWN + AGENT_OWN_BYTES,
					  OWN2,
					  STAGE,
					  TRASH,
					  OWN2 + AGENT_OWN2_BYTES,
					  0,
					  UINT64_MAX - 0xfffff };

	return bases[fuzz_u8(&in) % 9] + (uint64_t)(int64_t)(int8_t)fuzz_u8(&in) * 4096;
}

static uint32_t number_make(void)
{
	static const uint32_t few[] = { 0, 1, 2, 255, 256, 257, 511, 512, UINT32_MAX };
	uint8_t v = fuzz_u8(&in);

	return v < 9 ? few[v] : v < 250 ? v % 32 : fuzz_u32(&in);
}

static size_t runs_make(struct uswap_run *runs, uint32_t n_runs, size_t at)
{
	uint32_t n = n_runs % (USWAP_DETACH_MAX_RUNS + 1);

	for (uint32_t i = 0; i < n; i++)
		runs[i] = (struct uswap_run){ address_make(), number_make(), number_make() };
	return at + n * sizeof(*runs);
}

static size_t message_make(void)
{
	uint8_t kind = fuzz_u8(&in);
	size_t len = sizeof(struct uswap_msg_plain);

	memset(&k.msg, 0, sizeof(k.msg));
	switch (kind % 8) {
	case 0:
	case 1:
		k.msg.detach.seq = fuzz_u64(&in);
		k.msg.detach.free_at = number_make();
		k.msg.detach.n_free = number_make();
		k.msg.detach.n_runs = number_make();
		len = runs_make(k.msg.detach.run, k.msg.detach.n_runs,
				offsetof(struct uswap_msg_detach, run));
		k.msg.head.type = USWAP_MSG_DETACH;
		break;
	case 2:
		k.msg.populate.seq = fuzz_u64(&in);
		k.msg.populate.n_runs = number_make();
		len = runs_make(k.msg.populate.run, k.msg.populate.n_runs,
				offsetof(struct uswap_msg_populate, run));
		k.msg.head.type = USWAP_MSG_POPULATE;
		break;
	case 3:
		len = fuzz_take(&in, &k.msg, fuzz_u16(&in) % (sizeof(k.msg) + 1));
		break;
	default:
		k.msg.head.type = (uint32_t[]){ USWAP_MSG_HOLD, USWAP_MSG_HOLD, USWAP_MSG_ARM,
						fuzz_u8(&in) }[kind % 4];
	}
	if (kind % 8 != 3)
		k.msg.head.len = (uint32_t)len;
	if (kind >= 224) /* one that lies */
		len = (len + fuzz_u8(&in) - 128) % (sizeof(k.msg) + 1);
	return len;
}

static void fds_make(struct msghdr *mh, uint32_t n)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(mh);
	int fd;

	if (!n || k.n_fds + n > MAX_FDS) {
		mh->msg_controllen = 0;
		return;
	}
	ASSERT(mh->msg_controllen >= CMSG_SPACE(n * sizeof(int)));
	mh->msg_controllen = CMSG_SPACE(n * sizeof(int));
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (uint32_t i = 0; i < n; i++) {
		k.open[k.n_fds] = true;
		k.n_open++;
		fd = FD_FIRST + k.n_fds++;
		memcpy(CMSG_DATA(cm) + i * sizeof(int), &fd, sizeof(fd));
	}
}

static long receive(struct msghdr *mh)
{
	uint8_t how = fuzz_u8(&in);
	size_t len;

	ASSERT(!k.owes && !k.trash_full && !k.over);
	ASSERT(mh->msg_iovlen == 1 && mh->msg_iov->iov_len == sizeof(k.msg));
	mh->msg_flags = 0;
	if (!in.n_bytes || how == 255) {
		k.over = true;
		mh->msg_controllen = 0;
		return how & 1 ? 0 : -ECONNRESET;
	}
	if (how == 254)
		return -EINTR;
	len = message_make();
	memcpy(mh->msg_iov->iov_base, &k.msg, len);
	fds_make(mh, how % 8 > 4 ? 0 : how % 8);
	if (how == 253) /* longer than any */
		mh->msg_flags = MSG_TRUNC;
	k.n_moved = k.n_done = 0;
	k.shut = false;
	k.owes = len >= sizeof(k.msg.head) && k.msg.head.len == len && how != 253 &&
		 (k.msg.head.type == USWAP_MSG_DETACH || k.msg.head.type == USWAP_MSG_POPULATE);
	k.armed |= len >= sizeof(k.msg.head) && k.msg.head.len == len && how != 253 &&
		   k.msg.head.type == USWAP_MSG_ARM;
	if (!len && how != 253) /* an empty packet looks like the end */
		k.over = true;
	return (long)len;
}

static void check_detached(const struct uswap_msg_detached *m, size_t len)
{
	const struct uswap_msg_detach *cmd = &k.msg.detach;
	uint32_t n = 0, n_moved = 0;

	ASSERT(k.msg.head.type == USWAP_MSG_DETACH && m->seq == cmd->seq);
	ASSERT(m->n_pages <= USWAP_STAGE_HALF_PAGES);
	ASSERT(len == offsetof(struct uswap_msg_detached, result) + m->n_pages);
	for (uint32_t r = 0; r < cmd->n_runs; r++)
		for (uint32_t i = 0; i < cmd->run[r].n_pages; i++, n++) {
			ASSERT(m->result[n] <= USWAP_MOVE_OCCUPIED);
			if (m->result[n] != USWAP_MOVED)
				continue;
			ASSERT(n_moved < k.n_moved);
			ASSERT(k.moved[n_moved] == cmd->run[r].start + (uint64_t)i * 4096);
			n_moved++;
		}
	ASSERT(n == m->n_pages && n_moved == k.n_moved);
	ASSERT(m->err >= 0 && m->free_err >= 0);
}

static long answer(const struct msghdr *mh)
{
	const struct uswap_msg_head *head = mh->msg_iov->iov_base;
	uint8_t how = fuzz_u8(&in);

	ASSERT(k.owes && !k.trash_full);
	ASSERT(mh->msg_iovlen == 1 && head->len == mh->msg_iov->iov_len && !mh->msg_controllen);
	if (head->type == USWAP_MSG_DETACHED) {
		check_detached((const void *)head, head->len);
	} else {
		const struct uswap_msg_populated *m = (const void *)head;

		ASSERT(head->type == USWAP_MSG_POPULATED && head->len == sizeof(*m));
		ASSERT(m->seq == k.msg.populate.seq && m->n_done == k.n_done && m->err >= 0);
		ASSERT(m->err || m->n_done == k.msg.populate.n_runs);
	}
	if (how == 255)
		return -EINTR;
	k.owes = false;
	if (how == 254)
		k.over = true;
	return how == 254 ? -EPIPE : (long)head->len;
}

/* ---- memory --------------------------------------------------------------------------------- */

static bool is_inside(uint64_t at, uint64_t len, uint64_t start, uint64_t n_bytes)
{
	return at >= start && len <= n_bytes && at - start <= n_bytes - len;
}

static bool touches(uint64_t at, uint64_t len, uint64_t start, uint64_t n_bytes)
{
	return at < start + n_bytes && start < at + len;
}

static void check_source(uint64_t at, uint64_t len)
{
	if (at + len < at) /* refused by the kernel */
		return;
	ASSERT(!touches(at, len, OWN, AGENT_OWN_BYTES));
	ASSERT(!touches(at, len, OWN2, AGENT_OWN2_BYTES));
}

/* Return: pages moved, or an errno of which the kernel has some. */
static long move_result(uint64_t n_pages)
{
	static const int errs[] = { EBUSY, ENOENT, EINVAL, EAGAIN, EEXIST, ENOMEM, ESRCH, EINTR };
	uint8_t how = fuzz_u8(&in);

	if (how < 16)
		return -errs[how % 8];
	if (how < 32)
		return (long)(1 + fuzz_u8(&in) % n_pages);
	return (long)n_pages;
}

static long move(int fd, struct uffdio_move *m)
{
	uint64_t n_pages = m->len / 4096;
	long n;

	ASSERT(m->len && m->len % 4096 == 0 && m->move <= 0 && m->mode & UFFDIO_MOVE_MODE_DONTWAKE);
	if (fd == FD_AUX) {
		ASSERT(is_inside(m->src, m->len, STAGE, STAGE_BYTES));
		ASSERT(is_inside(m->dst, m->len, TRASH, TRASH_BYTES));
		k.trash_full = true;
	} else {
		ASSERT(fd == FD_MAIN && !k.shut);
		ASSERT(is_inside(m->dst, m->len, STAGE, STAGE_BYTES));
		check_source(m->src, m->len);
	}
	n = m->src + m->len < m->src || m->src % 4096 ? -EINVAL : move_result(n_pages);
	if (n < 0) {
		m->move = n;
		k.shut |= fd == FD_MAIN && n == -EAGAIN;
		return n;
	}
	m->move = (int64_t)n * 4096;
	for (long i = 0; fd == FD_MAIN && i < n; i++) {
		ASSERT(k.n_moved < USWAP_STAGE_HALF_PAGES);
		k.moved[k.n_moved++] = m->src + (uint64_t)i * 4096;
	}
	return (uint64_t)n == n_pages ? 0 : -EAGAIN;
}

static long advise(uint64_t at, uint64_t len, int advice)
{
	uint8_t how = fuzz_u8(&in);

	if (advice == MADV_DONTNEED) {
		ASSERT(at == TRASH && len && len <= TRASH_BYTES);
		k.trash_full = false;
		return how == 255 ? -ENOMEM : 0;
	}
	ASSERT(advice == MADV_POPULATE_WRITE && k.msg.head.type == USWAP_MSG_POPULATE);
	check_source(at, len);
	if (how > 250 || at + len < at)
		return how == 255 ? -EFAULT : -EINVAL;
	k.n_done++;
	return 0;
}

static long close_fd(int fd)
{
	ASSERT(fd >= FD_FIRST && fd < FD_FIRST + k.n_fds && k.open[fd - FD_FIRST]);
	k.open[fd - FD_FIRST] = false;
	k.n_open--;
	return 0;
}

static long sys_6(long nr, long a, long b, long c, long d, long e, long f)
{
	(void)d;
	(void)e;
	(void)f;
	ASSERT(!k.killed || nr == SYS_exit_group);
	switch (nr) {
	case SYS_recvmsg:
		ASSERT(a == FD_SOCK);
		return receive((struct msghdr *)b);
	case SYS_sendmsg:
		ASSERT(a == FD_SOCK);
		return answer((const struct msghdr *)b);
	case SYS_madvise:
		return advise((uint64_t)a, (uint64_t)b, (int)c);
	case SYS_munlock:
		ASSERT((uint64_t)a == OWN2 && (uint64_t)b == AGENT_OWN2_BYTES);
		return fuzz_u8(&in) & 1 ? -EPERM : 0;
	case SYS_mprotect:
		ASSERT((uint64_t)a == OWN2 + AGENT_PAGE_BYTES && (uint64_t)b == AGENT_STAGE_BYTES);
		return fuzz_u8(&in) & 1 ? -EACCES : 0;
	case SYS_close:
		return close_fd((int)a);
	case SYS_kill:
		k.killed = true;
		return 0;
	case SYS_exit_group:
		return 0;
	case SYS_ioctl:
		if ((unsigned long)b == UFFDIO_MOVE)
			return move((int)a, (struct uffdio_move *)c);
		ASSERT((unsigned long)b == UFFDIO_WRITEPROTECT && k.open[a - FD_FIRST]);
		return fuzz_u8(&in) & 1 ? -ESRCH : -ENOENT;
	}
	ASSERT(!"a system call that its filter forbids");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	static const struct agent_link link = { FD_SOCK, FD_MAIN, FD_AUX };
	struct agent_area area = { .own = OWN, .own2 = OWN2, .pid = 4711 };

	in = (struct fuzz_in){ data, n_bytes };
	memset(&k, 0, sizeof(k));
	agent_serve(&area, &link);
	ASSERT(k.killed == (k.armed && k.over));
	ASSERT(k.n_open <= SERVE_MAX_HELD);
	return 0;
}
