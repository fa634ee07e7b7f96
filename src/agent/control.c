/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control - see control.h
 *
 * The connection lives for one request. It takes a descriptor of the program for that moment; kept
 * open it would be found, and closed, by programs that close all they do not know.
 */
#include "agent/control.h"

#include "agent/agent-sys.h"
#include "agent/agent-wire.h"

/* syscalls: socket setsockopt connect sendmsg recvmsg close getpid clock_gettime */

#define CONTROL_SLICE_MS 250
#define CONTROL_LEAVE_NS (2 * SEC_NS)
#define CONTROL_HOME_NS (60 * SEC_NS) /* gigabytes may have to come home */

static int done_recv(int sock, uint64_t end_ns)
{
	struct uswap_msg_plain msg;
	int fds[WIRE_MAX_FDS];
	uint32_t n_fds;
	size_t n_bytes = 0;
	int r;

	do {
		r = wire_recv(sock, &msg, sizeof(msg), &n_bytes, fds, &n_fds);
		wire_close_fds(fds, n_fds);
	} while ((r == -EAGAIN || r == -EINTR) && sys_now_ns() < end_ns);
	if (r)
		return r == -EAGAIN || r == -EINTR ? -ETIMEDOUT : r;
	if (n_bytes != sizeof(msg) || msg.head.type != USWAP_CTL_DONE || msg.err < 0)
		return -EPROTO;
	return -msg.err;
}

int control_request(const struct agent_area *area, uint32_t type, const struct uswap_range *range)
{
	struct uswap_msg_ctl msg = {
		.head = { .type = type, .len = sizeof(msg) },
		.pid = (int32_t)sys_0(SYS_getpid),
	};
	uint64_t end_ns;
	long sock;
	int r;

	if (range)
		msg.range = *range;
	end_ns = sys_now_ns() + (type == USWAP_CTL_HOME ? CONTROL_HOME_NS : CONTROL_LEAVE_NS);
	sock = sys_3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return (int)sock;
	sys_sock_timeout((int)sock, SO_SNDTIMEO, CONTROL_SLICE_MS);
	sys_sock_timeout((int)sock, SO_RCVTIMEO, CONTROL_SLICE_MS);
	do {
		r = (int)wire_connect((int)sock, &area->addr, area->addr_bytes);
	} while ((r == -EAGAIN || r == -EINTR) && sys_now_ns() < end_ns);
	if (!r)
		r = wire_send((int)sock, &msg, sizeof(msg), NULL, 0);
	if (!r)
		r = done_recv((int)sock, end_ns);
	sys_close((int)sock);
	return r;
}
