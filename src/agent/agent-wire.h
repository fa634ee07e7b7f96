/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-wire - one packet with its descriptors, either way
 *
 * Ownership: received descriptors belong to the caller, also when the packet is refused.
 * Threads:   the agent.
 */
#ifndef USWAP_AGENT_AGENT_WIRE_H
#define USWAP_AGENT_AGENT_WIRE_H

#include "agent/agent-sys.h"
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <uswap/protocol.h>

#define WIRE_MAX_FDS 4

union wire_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(WIRE_MAX_FDS * sizeof(int))];
};

/* Connect to the daemon at @addr, from whatever network namespace. Return: 0; a negative errno. */
static inline long wire_connect(int sock, const struct sockaddr_un *addr, uint32_t n_bytes)
{
	static const char prefix[] = USWAP_SOCKET_PREFIX;
	const uint32_t before = offsetof(struct sockaddr_un, sun_path) + 1; /* the name */
	struct sockaddr_un by_path = { .sun_family = AF_UNIX };
	long r = sys_3(SYS_connect, sock, addr, n_bytes);

	if (r != -ECONNREFUSED || addr->sun_path[0] || n_bytes <= before ||
	    sizeof(prefix) + n_bytes - before > sizeof(by_path.sun_path))
		return r;
	bytes_copy(by_path.sun_path, prefix, sizeof(prefix) - 1);
	bytes_copy(by_path.sun_path + sizeof(prefix) - 1, addr->sun_path + 1, n_bytes - before);
	return sys_3(SYS_connect, sock, &by_path, sizeof(by_path));
}

/* Return: 0; a negative errno. pre: n_fds <= WIRE_MAX_FDS. */
static inline int wire_send(int sock, const void *msg, size_t len, const int *fds, uint32_t n_fds)
{
	struct iovec iov = { .iov_base = (void *)msg, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union wire_control control;
	struct cmsghdr *cm;
	long r;

	if (n_fds) {
		bytes_zero(&control, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		bytes_copy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
	}
	do {
		r = sys_3(SYS_sendmsg, sock, &mh, MSG_NOSIGNAL);
	} while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}

/*
 * Return: 0 with *ret_n_bytes of packet and *ret_n_fds descriptors; -EPIPE at the end of file;
 * -EAGAIN when the socket's time-out passed; -EMSGSIZE.
 */
static inline int wire_recv(int sock, void *msg, size_t max_bytes, size_t *ret_n_bytes, int *fds,
			    uint32_t *ret_n_fds)
{
	struct iovec iov = { .iov_base = msg, .iov_len = max_bytes };
	union wire_control control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cm;
	long r;

	*ret_n_fds = 0;
	r = sys_3(SYS_recvmsg, sock, &mh, MSG_CMSG_CLOEXEC);
	if (r < 0)
		return (int)r;

	cm = mh.msg_controllen ? CMSG_FIRSTHDR(&mh) : NULL;
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
		*ret_n_fds = (uint32_t)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		bytes_copy(fds, CMSG_DATA(cm), *ret_n_fds * sizeof(int));
	}
	if (mh.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if (!r)
		return -EPIPE;
	*ret_n_bytes = (size_t)r;
	return 0;
}

static inline void wire_close_fds(const int *fds, uint32_t n_fds)
{
	for (uint32_t i = 0; i < n_fds; i++)
		sys_close(fds[i]);
}

#endif
