/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-attach - connect to the daemon and hand over the address space
 *
 * The userfaultfds are made here and not in the daemon because they belong to the address space of
 * their maker; made from the daemon's /dev/userfaultfd they need no privilege.
 *
 * Until the daemon says READY a keeper may want us gone (setuid, unshare…), so every blocking call
 * ends after AGENT_SLICE_MS and the phase is looked at. From then on only the daemon ends the agent.
 *
 * Any failure: all descriptors are closed, the thread ends, the program runs on unmanaged. What was
 * mapped stays mapped: the daemon may have registered it, and munmap would wait for the daemon.
 */
#include "agent/agent.h"

#include "agent/agent-kernel.h"
#include "agent/agent-sys.h"
#include "agent/agent-wire.h"
#include <linux/prctl.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* syscalls: prctl munmap mmap munlock mprotect madvise socket setsockopt connect getpid */

struct own2_layout {
	struct uswap_range all;
	struct uswap_range stage;
	struct uswap_range trash;
};

/*
 * The second mapping. It is made without access first, so that mlockall(MCL_FUTURE) of the program
 * can neither fill nor lock it: MOVE needs an empty destination that is not locked.
 */
static int own2_new(struct agent_area *area, struct own2_layout *ret)
{
	long base;

	if (area->own2) { /* of an agent that left; the daemon has unregistered it */
		sys_2(SYS_munmap, area->own2, AGENT_OWN2_BYTES);
		area->own2 = 0;
	}
	base = sys_6(SYS_mmap, 0, AGENT_OWN2_BYTES, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base < 0 && base > -4096)
		return (int)base;
	area->own2 = (uint64_t)base;

	ret->all.start = (uint64_t)base;
	ret->all.len = AGENT_OWN2_BYTES;
	ret->stage.start = (uint64_t)base + AGENT_PAGE_BYTES;
	ret->stage.len = USWAP_STAGE_PAGES * AGENT_PAGE_BYTES;
	ret->trash.start = ret->stage.start + ret->stage.len + AGENT_PAGE_BYTES;
	ret->trash.len = USWAP_STAGE_HALF_PAGES * AGENT_PAGE_BYTES;

	sys_2(SYS_munlock, base, AGENT_OWN2_BYTES);
	if (sys_3(SYS_madvise, base, AGENT_OWN2_BYTES, MADV_DONTFORK) ||
	    sys_3(SYS_mprotect, ret->stage.start, ret->stage.len, PROT_READ | PROT_WRITE) ||
	    sys_3(SYS_mprotect, ret->trash.start, ret->trash.len, PROT_READ | PROT_WRITE))
		return -ENOMEM;
	/* Not there in a kernel without huge pages. */
	sys_3(SYS_madvise, ret->stage.start, ret->stage.len, MADV_NOHUGEPAGE);
	sys_3(SYS_madvise, ret->trash.start, ret->trash.len, MADV_NOHUGEPAGE);
	return 0;
}

/* True if the keeper still wants us and the daemon's time is not up. */
static bool may_wait(const struct agent_area *area, uint64_t start_ns)
{
	return atomic_load(&area->phase) == AGENT_ATTACHING &&
	       sys_now_ns() - start_ns < AGENT_ATTACH_MAX_MS * MS_NS;
}

static int daemon_connect(const struct agent_area *area, int *ret_sock)
{
	uint64_t start_ns = sys_now_ns();
	long sock, r;

	sock = sys_3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return (int)sock;
	*ret_sock = (int)sock;
	sys_sock_timeout((int)sock, SO_SNDTIMEO, AGENT_SLICE_MS);
	sys_sock_timeout((int)sock, SO_RCVTIMEO, AGENT_SLICE_MS);
	do { /* EAGAIN: many others are before us */
		r = wire_connect((int)sock, &area->addr, area->addr_bytes);
	} while ((r == -EAGAIN || r == -EINTR) && may_wait(area, start_ns));
	return (int)r;
}

static int hello_send(const struct agent_area *area, int sock, const struct own2_layout *own2)
{
	struct uswap_msg_hello hello = {
		.head = { .type = USWAP_MSG_HELLO, .len = sizeof(hello) },
		.version = USWAP_PROTOCOL_VERSION,
		.own = { .start = area->own, .len = AGENT_OWN_BYTES },
		.own2 = own2->all,
		.stage = own2->stage,
		.trash = own2->trash,
		.protect_addr = (uint64_t)agent_protect(area),
	};

	return wire_send(sock, &hello, sizeof(hello), NULL, 0);
}

/* The daemon's next word, which must be @type. Its descriptors are the caller's, also on failure. */
static int word_recv(struct agent_area *area, int sock, uint32_t type, int *fds,
		     uint32_t *ret_n_fds)
{
	uint64_t start_ns = sys_now_ns();
	struct uswap_msg_plain msg;
	size_t n_bytes = 0;
	int r;

	do {
		r = wire_recv(sock, &msg, sizeof(msg), &n_bytes, fds, ret_n_fds);
	} while ((r == -EAGAIN || r == -EINTR) && may_wait(area, start_ns));
	if (r)
		return r;
	if (n_bytes != sizeof(msg) || msg.head.len != n_bytes || msg.head.type != type)
		return -EPROTO;
	return 0;
}

static int fds_send(int sock, const struct agent_link *link, bool main_is_ours)
{
	struct uswap_msg_fds msg = {
		.head = { .type = USWAP_MSG_FDS, .len = sizeof(msg) },
		.n_fds = main_is_ours ? 2 : 1,
	};
	int fds[2] = { link->main, link->aux };

	return wire_send(sock, &msg, sizeof(msg), main_is_ours ? fds : fds + 1, msg.n_fds);
}

static int uffd_new(int dev)
{
	return (int)sys_3(SYS_ioctl, dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
}

/* From WELCOME to READY. Descriptors that were made are in @link, also on failure. */
static int space_hand_over(struct agent_area *area, struct agent_link *link)
{
	int fds[WIRE_MAX_FDS];
	uint32_t n_fds = 0;
	bool main_is_ours;
	int r;

	r = word_recv(area, link->sock, USWAP_MSG_WELCOME, fds, &n_fds);
	if (r || n_fds < 1 || n_fds > 2) {
		wire_close_fds(fds, n_fds);
		return r ? r : -EPROTO;
	}
	main_is_ours = n_fds == 1;
	link->main = main_is_ours ? uffd_new(fds[0]) : fds[1];
	link->aux = uffd_new(fds[0]);
	sys_close(fds[0]);
	if (link->main < 0 || link->aux < 0)
		return -EBADF;
	r = fds_send(link->sock, link, main_is_ours);
	if (r)
		return r;

	n_fds = 0;
	r = word_recv(area, link->sock, USWAP_MSG_READY, fds, &n_fds);
	wire_close_fds(fds, n_fds);
	return r;
}

static void link_close(struct agent_link *link)
{
	if (link->sock >= 0)
		sys_close(link->sock);
	if (link->main >= 0)
		sys_close(link->main);
	if (link->aux >= 0)
		sys_close(link->aux);
}

int agent_attach(struct agent_area *area, struct agent_link *ret_link)
{
	struct agent_link link = { .sock = -1, .main = -1, .aux = -1 };
	uint32_t phase = AGENT_ATTACHING;
	struct own2_layout own2;
	int r;

	r = daemon_connect(area, &link.sock);
	if (!r)
		r = own2_new(area, &own2);
	if (!r)
		r = hello_send(area, link.sock, &own2);
	if (!r)
		r = space_hand_over(area, &link);
	if (r) {
		link_close(&link);
		return r;
	}

	sys_5(SYS_prctl, PR_SET_NAME, "uswap-agent", 0, 0, 0);
	sys_sock_timeout(link.sock, SO_RCVTIMEO, 0);
	sys_sock_timeout(link.sock, SO_SNDTIMEO, 0);
	agent_seal(area);

	atomic_store(&area->managed, 1);
	if (!atomic_compare_exchange_strong(&area->phase, &phase, AGENT_ATTACHED)) {
		link_close(&link);
		return -ECANCELED;
	}
	*ret_link = link;
	return 0;
}
