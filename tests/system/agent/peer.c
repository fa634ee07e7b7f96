/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer - the daemon's side of one agent, by hand
 */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, PLAY_WAIT_MS) == 1;
}

static int packet_accept(struct play *p, pid_t *ret_pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int sock;

	CHECK(is_readable(p->listen_fd));
	sock = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(sock >= 0 && !getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	*ret_pid = cred.pid;
	CHECK(is_readable(sock));
	return sock;
}

void peer_accept(struct play *p, struct peer *peer)
{
	char path[64];

	memset(peer, 0, sizeof(*peer));
	peer->main = peer->aux = peer->child_main = -1;
	peer->sock = packet_accept(p, &peer->pid);
	CHECK(recv(peer->sock, &peer->hello, sizeof(peer->hello), 0) == sizeof(peer->hello));
	CHECK(peer->hello.head.type == USWAP_MSG_HELLO);
	CHECK(peer->hello.version == USWAP_PROTOCOL_VERSION);
	CHECK(peer->hello.stage.len == USWAP_STAGE_PAGES * PAGE);
	CHECK(peer->hello.trash.len == USWAP_STAGE_HALF_PAGES * PAGE);
	snprintf(path, sizeof(path), "/proc/%d/mem", peer->pid);
	peer->mem = open(path, O_RDWR | O_CLOEXEC);
	CHECK(peer->mem >= 0);
}

static void fds_send(int sock, uint32_t type, const int *fds, uint32_t n_fds)
{
	struct uswap_msg_plain msg = {
		.head = { .type = type, .len = sizeof(msg) },
		.n_fds = n_fds,
	};
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	if (n_fds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
	}
	CHECK(sendmsg(sock, &mh, MSG_NOSIGNAL) == sizeof(msg));
}

static void fds_recv(struct peer *peer, uint32_t n_expected, int *fds)
{
	struct uswap_msg_fds msg;
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cm;

	CHECK(is_readable(peer->sock));
	CHECK(recvmsg(peer->sock, &mh, MSG_CMSG_CLOEXEC) == sizeof(msg));
	CHECK(msg.head.type == USWAP_MSG_FDS && msg.n_fds == n_expected);
	cm = CMSG_FIRSTHDR(&mh);
	CHECK(cm && cm->cmsg_len == CMSG_LEN(n_expected * sizeof(int)));
	memcpy(fds, CMSG_DATA(cm), n_expected * sizeof(int));
}

static void uffd_register(int uffd, uint64_t start, uint64_t len, uint64_t mode)
{
	struct uffdio_register reg = { .range = { start, len }, .mode = mode };

	CHECK(!ioctl(uffd, UFFDIO_REGISTER, &reg));
}

static void uffd_api(int uffd, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	CHECK(!ioctl(uffd, UFFDIO_API, &api));
}

void peer_welcome(struct peer *peer, int held_main)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fds[2] = { dev, held_main };

	CHECK(dev >= 0);
	fds_send(peer->sock, USWAP_MSG_WELCOME, fds, held_main < 0 ? 1 : 2);
	close(dev);
	fds_recv(peer, held_main < 0 ? 2 : 1, fds);
	if (held_main < 0) {
		peer->main = fds[0];
		peer->aux = fds[1];
		uffd_api(peer->main, UFFD_FEATURE_MOVE | UFFD_FEATURE_EVENT_FORK |
					     UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
					     UFFD_FEATURE_EVENT_UNMAP |
					     UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	} else {
		peer->main = held_main;
		peer->aux = fds[0];
	}
	uffd_api(peer->aux, UFFD_FEATURE_MOVE | UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	uffd_register(peer->main, peer->hello.stage.start, peer->hello.stage.len,
		      UFFDIO_REGISTER_MODE_WP);
	uffd_register(peer->aux, peer->hello.trash.start, peer->hello.trash.len,
		      UFFDIO_REGISTER_MODE_WP);
	fds_send(peer->sock, USWAP_MSG_READY, NULL, 0);
	EVENTUALLY(agent_serves(peer->pid));
}

void peer_register(struct peer *peer, uint64_t start, uint64_t len)
{
	uffd_register(peer->main, start, len, UFFDIO_REGISTER_MODE_MISSING);
}

void peer_attach(struct play *p, struct peer *peer)
{
	peer_accept(p, peer);
	peer_welcome(peer, -1);
	peer_register(peer, p->region, PLAY_PAGES * PAGE);
}

void peer_close(struct peer *peer)
{
	close(peer->sock);
	close(peer->mem);
	close(peer->main);
	close(peer->aux);
	peer->main = -1;
}

void peer_send(struct peer *peer, uint32_t type, int fd)
{
	fds_send(peer->sock, type, &fd, fd >= 0);
}

bool peer_recv(struct peer *peer, void *buf, size_t max_bytes, ssize_t *ret_n)
{
	if (!is_readable(peer->sock))
		return false;
	*ret_n = recv(peer->sock, buf, max_bytes, MSG_DONTWAIT);
	return *ret_n >= 0 || errno == ECONNRESET;
}

bool peer_is_gone(struct peer *peer)
{
	char c[USWAP_MSG_MAX_BYTES];
	ssize_t n = -1;

	return peer_recv(peer, c, sizeof(c), &n) && n <= 0;
}

void peer_detach(struct peer *peer, uint64_t start, uint32_t n_pages, uint32_t stage_at,
		 uint32_t free_at, uint32_t n_free, struct uswap_msg_detached *ret)
{
	struct uswap_msg_detach msg = {
		.head = { .type = USWAP_MSG_DETACH },
		.seq = ++peer->seq,
		.free_at = free_at,
		.n_free = n_free,
		.n_runs = n_pages ? 1 : 0,
		.run = { { .start = start, .n_pages = n_pages, .stage_at = stage_at } },
	};
	ssize_t n;

	msg.head.len = (uint32_t)(offsetof(struct uswap_msg_detach, run) +
				  msg.n_runs * sizeof(msg.run[0]));
	CHECK(send(peer->sock, &msg, msg.head.len, MSG_NOSIGNAL) == (ssize_t)msg.head.len);
	CHECK(peer_recv(peer, ret, sizeof(*ret), &n));
	CHECK(n == (ssize_t)offsetof(struct uswap_msg_detached, result) + (ssize_t)n_pages);
	CHECK(ret->head.type == USWAP_MSG_DETACHED && ret->head.len == (uint32_t)n);
	CHECK(ret->seq == peer->seq && ret->n_pages == n_pages);
}

void peer_take(struct play *p, struct peer *peer, uint32_t first, uint32_t n)
{
	struct uswap_msg_detached answer;

	peer_detach(peer, p->region + first * PAGE, n, 0, 0, 0, &answer);
	for (uint32_t i = 0; i < n; i++) {
		CHECK(answer.result[i] == USWAP_MOVED);
		CHECK(pread(peer->mem, peer->kept[first + i], PAGE,
			    (off_t)(peer->hello.stage.start + i * PAGE)) == (ssize_t)PAGE);
		peer->have[first + i] = true;
	}
	peer_detach(peer, 0, 0, 0, 0, n, &answer);
	CHECK(!answer.free_err);
}

static void fault_serve(struct play *p, struct peer *peer, int uffd, uint64_t addr)
{
	static const uint8_t zeroes[USWAP_PAGE_BYTES];
	uint64_t i = (addr - p->region) / PAGE;
	struct uffdio_copy copy = { .dst = addr & ~(PAGE - 1), .len = PAGE };

	CHECK(i < PLAY_PAGES);
	copy.src = (uint64_t)(peer->have[i] ? peer->kept[i] : zeroes);
	CHECK(!ioctl(uffd, UFFDIO_COPY, &copy) || errno == EEXIST || errno == EAGAIN);
}

bool peer_serve(struct play *p, struct peer *peer, int uffd)
{
	struct uffd_msg msg;

	if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		return false;
	switch (msg.event) {
	case UFFD_EVENT_PAGEFAULT:
		fault_serve(p, peer, uffd, msg.arg.pagefault.address);
		break;
	case UFFD_EVENT_FORK:
		peer->child_main = (int)msg.arg.fork.ufd;
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		for (uint64_t a = msg.arg.remove.start; a < msg.arg.remove.end; a += PAGE)
			if (a >= p->region && a < p->region + PLAY_PAGES * PAGE)
				peer->have[(a - p->region) / PAGE] = false;
		break;
	default:
		break;
	}
	return true;
}

void control_accept(struct play *p, struct uswap_msg_ctl *ret_msg, int *ret_sock)
{
	pid_t pid;

	*ret_sock = packet_accept(p, &pid);
	CHECK(recv(*ret_sock, ret_msg, sizeof(*ret_msg), 0) == sizeof(*ret_msg));
	CHECK(ret_msg->head.type >= USWAP_CTL_LEAVE && ret_msg->pid == pid);
}

void control_done(int sock, int err)
{
	struct uswap_msg_plain msg = {
		.head = { .type = USWAP_CTL_DONE, .len = sizeof(msg) },
		.err = err,
	};

	CHECK(send(sock, &msg, sizeof(msg), MSG_NOSIGNAL) == sizeof(msg));
	close(sock);
}
