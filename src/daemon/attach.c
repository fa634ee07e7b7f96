// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Connections: agents that attach, and requests of the command line and the preload library.
 *
 * An agent is believed nothing that can be proven: the process is the socket's peer, and that its
 * userfaultfds belong to this process's address space is seen in the kernel's list of its mappings
 * when we register the stage by them. A fork child brings no userfaultfd; it is found among the
 * children without agent by the same proof.
 *
 * syscalls: accept4 getsockopt recvmsg sendmsg
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "daemon/worker-impl.h"

#define MAX_CONN_FDS 2u
#define HOME_BATCH_PAGES 256u

void conn_free(struct worker *w, struct conn *conn)
{
	if (conn->client && conn->client->agent == conn) {
		conn->client->agent = NULL;
		mem_linux_no_agent(conn->client->space->mem);
		space_agent_gone(conn->client->space);
		client_rearm(w, conn->client);
	}
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, conn->watch.fd, NULL);
	close(conn->watch.fd);
	list_unlink(&conn->link);
	free(conn);
}

static int send_plain(int sock, uint32_t type, int err, const int *fds, uint32_t n_fds)
{
	struct uswap_msg_plain msg = { { type, sizeof(msg) }, n_fds, err };
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_CONN_FDS)];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { &msg, sizeof(msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *cmsg;

		hdr.msg_control = control.buf;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&hdr);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	return sendmsg(sock, &hdr, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Return: bytes; 0: end of file; -errno. At most MAX_CONN_FDS descriptors, the caller's. */
static ssize_t recv_packet(int sock, void *buf, size_t len, int *fds, uint32_t *ret_n_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_CONN_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, len };
	struct msghdr hdr = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(sock, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*ret_n_fds = 0;
	if (n < 0)
		return -errno;
	for (cmsg = CMSG_FIRSTHDR(&hdr); cmsg; cmsg = CMSG_NXTHDR(&hdr, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		*ret_n_fds = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(cmsg), *ret_n_fds * sizeof(int));
	}
	return n;
}

static void close_fds(const int *fds, uint32_t n)
{
	while (n)
		close(fds[--n]);
}

static void refuse(struct worker *w, struct conn *conn, int err)
{
	(void)send_plain(conn->watch.fd, USWAP_MSG_REFUSED, err, NULL, 0);
	conn_free(w, conn);
}

/* ---- attach --------------------------------------------------------------------------------- */

/* A space that waits for an agent and whose main belongs to the peer's address space. */
static struct client *find_waiting(struct worker *w, struct conn *conn)
{
	struct space *sp, *tmp;

	list_for_each_safe(sp, tmp, &w->group.spaces, link) {
		struct client *c = sp->user;
		int old_pid = sp->pid;

		if (c->agent || sp->gate != GATE_OPEN || (old_pid && old_pid != conn->pid))
			continue;
		/* an unread event could make regions look as if they were there still */
		if (!client_result(w, c, space_service_all(sp)))
			continue;
		/* The proof registers the stage by this main, whosever it is, and takes that back:
		 * never where pages of somebody else may be out. */
		if (region_overlaps(&sp->regions, (struct urange){ conn->hello.stage.start,
								   conn->hello.stage.start +
									   conn->hello.stage.len }))
			continue;
		if (mem_linux_bind(sp->mem, conn->pid))
			continue;
		if (mem_linux_prove(sp->mem, conn->hello.stage.start, conn->hello.stage.len)) {
			sp->pid = conn->pid;
			return c;
		}
		if (!old_pid || mem_linux_bind(sp->mem, old_pid))
			mem_linux_unbind(sp->mem);
	}
	return NULL;
}

/* A user whose processes are ours to manage anyway. */
static bool may_attach(const struct worker *w, const struct conn *conn)
{
	const struct space *sp;
	int pid = conn->pid;

	if (!conn->uid || conn->uid == geteuid())
		return true;
	list_for_each(sp, &w->group.spaces, link)
		if (sp->pid == conn->pid)
			return true;
	while (pid > 1 && pid != w->front_pid) /* what the command started, whoever it became */
		pid = mem_linux_parent(pid);
	return pid == w->front_pid;
}

/*
 * Descriptors are given out from the lowest on. The last quarter is for fork children, which take one each
 * and cannot be refused.
 */
static bool has_descriptors(struct worker *w, const struct conn *conn)
{
	if ((uint64_t)conn->watch.fd < w->max_fds / 4 * 3)
		return true;
	if (!w->warned_fds)
		log_warn("%" PRIu64
			 " descriptors are not enough: more processes run unmanaged (to have "
			 "more: ulimit -Hn, LimitNOFILE=)",
			 w->max_fds);
	w->warned_fds = true;
	return false;
}

static int start_hello(struct worker *w, struct conn *conn)
{
	int fds[2] = { w->dev_fd, -1 };
	uint32_t n_fds = 1;
	int r;

	if (!may_attach(w, conn))
		return -EPERM;
	if (!has_descriptors(w, conn))
		return -EMFILE;
	if (conn->hello.version != USWAP_PROTOCOL_VERSION)
		return -EPROTONOSUPPORT;
	r = worker_start_threads(w);
	if (r)
		return r;
	conn->client = find_waiting(w, conn);
	if (conn->client) {
		fds[1] = mem_linux_main_fd(conn->client->space->mem);
		n_fds = 2;
	}
	conn->state = CONN_HELLO;
	return send_plain(conn->watch.fd, USWAP_MSG_WELCOME, 0, fds, n_fds);
}

/* A process seen for the first time: its userfaultfd is new. @main_fd is consumed. */
static int new_space(struct worker *w, struct conn *conn, int main_fd)
{
	struct space *sp;
	struct mem *mem;
	int r;

	r = mem_linux_new(&mem, main_fd, true);
	if (r)
		return r;
	r = mem_linux_bind(mem, conn->pid);
	if (!r && !mem_linux_prove(mem, conn->hello.stage.start, conn->hello.stage.len))
		r = -EPERM;
	if (r) {
		mem->ops->free(mem);
		return r;
	}
	r = space_new(&sp, &w->group, mem);
	if (r)
		return r;
	sp->pid = conn->pid;
	conn->client = client_new(w, sp);
	if (!conn->client) {
		space_free(sp);
		return -ENOMEM;
	}
	return 0;
}

static int finish_attach(struct worker *w, struct conn *conn, const struct uswap_msg_fds *msg,
			 int *fds, uint32_t n_fds)
{
	bool ours = conn->client;
	int aux;
	int r = 0;

	if (n_fds != (ours ? 1u : 2u) || msg->n_fds != n_fds) {
		close_fds(fds, n_fds);
		return -EPROTO;
	}
	aux = fds[n_fds - 1];
	if (!ours)
		r = new_space(w, conn, fds[0]);
	if (!r && !mem_linux_prove_aux(conn->client->space->mem, aux, conn->hello.trash.start,
				       conn->hello.trash.len))
		r = -EPERM;
	/* the agent's own copy keeps aux registered; ours was only for the proof. Were it the last
	 * one, the trash would merely fail to take pages. */
	close(aux);
	if (r)
		return r;
	if (conn->client->agent) /* a second agent was faster */
		return -EEXIST;
	mem_linux_set_agent(conn->client->space->mem, conn->watch.fd, &conn->hello);
	r = space_agent_ready(conn->client->space, &conn->hello);
	if (r) {
		mem_linux_no_agent(conn->client->space->mem);
		return r;
	}
	conn->client->agent = conn;
	conn->state = CONN_AGENT;
	if (!conn->client->managed_at)
		client_publish(w, conn->client);
	r = send_plain(conn->watch.fd, USWAP_MSG_READY, 0, NULL, 0);
	conn->client->space->agent_tid = 0;
	if (!r)
		r = space_arm(conn->client->space);
	w->budget.sample_ns = 0;
	return r;
}

void agent_hold(struct client *c, int main_fd)
{
	(void)send_plain(c->agent->watch.fd, USWAP_MSG_HOLD, 0, &main_fd, 1);
}

void agent_dismiss(struct worker *w, struct client *c)
{
	struct space *sp = c->space;
	struct conn *conn = c->agent;

	if (!conn)
		return;
	ASSERT(space_agent_idle(sp));
	/* registered on main its munmap() would raise an event that the agent cannot wait for */
	sp->mem->ops->unregister(sp->mem, sp->stage.start, sp->stage.end - sp->stage.start);
	(void)send_plain(conn->watch.fd, USWAP_MSG_LEAVE, 0, NULL, 0);
	conn_free(w, conn);
}

/* ---- requests ------------------------------------------------------------------------------- */

/*
 * The space of a process. A fork child without agent is known by the thread that faulted last; one
 * that has not faulted yet is not known at all: then *ret_unsure.
 */
static struct client *find_pid(struct worker *w, int pid, bool *ret_unsure)
{
	struct space *sp;

	*ret_unsure = false;
	list_for_each(sp, &w->group.spaces, link) {
		if (sp->pid == pid || (!sp->pid && sp->last_tid == (uint32_t)pid))
			return sp->user;
		*ret_unsure |= !sp->pid;
	}
	return NULL;
}

static void answer(struct worker *w, struct conn *conn, int err)
{
	(void)send_plain(conn->watch.fd, USWAP_CTL_DONE, err, NULL, 0);
	conn->request = REQUEST_NONE;
	conn->client = NULL;
	(void)w;
}

static int send_status(struct worker *w, struct conn *conn)
{
	char *text = report_text(w);
	size_t len = text ? strlen(text) : 0;
	struct uswap_msg_head *msg;
	int r;

	if (!text)
		return -ENOMEM;
	msg = malloc(sizeof(*msg) + len + 1);
	if (!msg) {
		free(text);
		return -ENOMEM;
	}
	*msg = (struct uswap_msg_head){ USWAP_CTL_TEXT, (uint32_t)(sizeof(*msg) + len + 1) };
	memcpy(msg + 1, text, len + 1);
	r = send(conn->watch.fd, msg, msg->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	free(msg);
	free(text);
	return r;
}

/* Requests about the swap file, not about a process. */
static void start_file_request(struct worker *w, struct conn *conn, const struct uswap_msg_ctl *msg)
{
	char name[USWAP_POLICY_NAME_BYTES + 1] = "";

	if (!w->backing.is_open) {
		answer(w, conn, ENOTBLK);
	} else if (msg->head.type == USWAP_CTL_POLICY) {
		memcpy(name, msg->policy, USWAP_POLICY_NAME_BYTES);
		answer(w, conn, writeback_set_policy(w, name) ? 0 : EINVAL);
	} else {
		backing_retire(w);
		conn->request = REQUEST_RETIRE;
	}
}

static int start_request(struct worker *w, struct conn *conn, const struct uswap_msg_ctl *msg)
{
	struct client *c;
	bool own = msg->head.type == USWAP_CTL_LEAVE || msg->head.type == USWAP_CTL_HOME;
	bool unsure;

	conn->state = CONN_CONTROL;
	if (!own && conn->uid && conn->uid != geteuid()) {
		answer(w, conn, EPERM);
		return 0;
	}
	if (msg->head.type == USWAP_CTL_STATUS)
		return send_status(w, conn);
	if (msg->head.type == USWAP_CTL_POLICY || msg->head.type == USWAP_CTL_RETIRE) {
		start_file_request(w, conn, msg);
		return 0;
	}
	c = find_pid(w, own ? conn->pid : msg->pid, &unsure);
	if (!c) {
		/* pages of the range may be out: guard pages are refused, as by an older kernel */
		if (msg->head.type == USWAP_CTL_HOME && unsure)
			answer(w, conn, EINVAL);
		else
			answer(w, conn, own ? 0 : ESRCH);
		return 0;
	}
	conn->client = c;
	switch (msg->head.type) {
	case USWAP_CTL_LEAVE:
		conn->request = REQUEST_LEAVE;
		return 0;
	case USWAP_CTL_DETACH:
		conn->request = REQUEST_DETACH;
		c->space->homing = true;
		c->space->leaving = true;
		return 0;
	case USWAP_CTL_HOME:
		if (msg->range.start % PAGE_BYTES || msg->range.len % PAGE_BYTES ||
		    !msg->range.len || msg->range.start + msg->range.len > PAGE_MAP_END ||
		    msg->range.start + msg->range.len < msg->range.start) {
			answer(w, conn, EINVAL);
			return 0;
		}
		conn->range =
			(struct urange){ msg->range.start, msg->range.start + msg->range.len };
		conn->request = REQUEST_HOME;
		return region_add(&c->space->no_ahead, conn->range);
	default:
		return -EPROTO;
	}
}

/* Return: true if the request is done. */
static bool go_on(struct worker *w, struct conn *conn)
{
	struct client *c = conn->client;

	if (conn->request == REQUEST_RETIRE) {
		int err;

		if (!backing_is_retired(w, &err))
			return false;
		answer(w, conn, err);
		return true;
	}
	if (!c) {
		answer(w, conn, 0); /* the process has ended: nothing of it is out */
		return true;
	}
	switch (conn->request) {
	case REQUEST_LEAVE:
		if (!space_agent_idle(c->space))
			return false;
		agent_dismiss(w, c);
		break;
	case REQUEST_DETACH:
		if (space_bring_home(c->space, (struct urange){ 0, PAGE_MAP_END },
				     HOME_BATCH_PAGES) ||
		    !space_agent_idle(c->space) || space_unmanage(c->space))
			return false;
		agent_dismiss(w, c);
		break;
	case REQUEST_HOME:
		if (c->space->gate == GATE_SHUT ||
		    space_bring_home(c->space, conn->range, HOME_BATCH_PAGES))
			return false;
		break;
	case REQUEST_RETIRE:
	case REQUEST_NONE:
		return false;
	}
	answer(w, conn, 0);
	return true;
}

void attach_requests(struct worker *w)
{
	struct conn *conn;
	bool again = true;

	/* a request that ends may have ended an agent's connection: begin anew */
	while (again) {
		again = false;
		list_for_each(conn, &w->conns, link)
			if (conn->request != REQUEST_NONE && go_on(w, conn)) {
				again = true;
				break;
			}
	}
}

/* ---- packets -------------------------------------------------------------------------------- */

/* A packet in a state other than CONN_AGENT. Return: 0; -errno: end the connection. */
static int packet(struct worker *w, struct conn *conn, const void *msg, size_t len, int *fds,
		  uint32_t n_fds)
{
	const struct uswap_msg_head *head = msg;

	if (len < sizeof(*head) || head->len != len)
		goto bad;
	if (conn->state == CONN_NEW && head->type == USWAP_MSG_HELLO && !n_fds &&
	    len == sizeof(conn->hello)) {
		memcpy(&conn->hello, msg, sizeof(conn->hello));
		return start_hello(w, conn);
	}
	if (conn->state == CONN_HELLO && head->type == USWAP_MSG_FDS &&
	    len == sizeof(struct uswap_msg_fds))
		return finish_attach(w, conn, msg, fds, n_fds);
	if ((conn->state == CONN_NEW || conn->state == CONN_CONTROL) &&
	    head->type >= USWAP_CTL_LEAVE && len == sizeof(struct uswap_msg_ctl) && !n_fds &&
	    conn->request == REQUEST_NONE)
		return start_request(w, conn, msg);
bad:
	close_fds(fds, n_fds);
	return -EPROTO;
}

static void agent_packet(struct worker *w, struct conn *conn, const void *msg, size_t len)
{
	struct client *c = conn->client;
	int r = space_answer(c->space, msg, len);

	if (r < 0) {
		log_warn("process %d: its agent does not keep to the protocol, no longer evicted "
			 "from",
			 c->space->pid);
		conn_free(w, conn);
		return;
	}
	if (!client_result(w, c, r))
		return;
	if (!client_rearm(w, c))
		return;
	/* main became readable while the gate was shut */
	client_result(w, c, space_service(c->space));
}

static void conn_ready(struct worker *w, struct watch *watch, uint32_t events)
{
	struct conn *conn = (struct conn *)(void *)watch;
	uint64_t buf[USWAP_MSG_MAX_BYTES / 8];
	int fds[MAX_CONN_FDS];
	uint32_t n_fds;
	ssize_t n = recv_packet(watch->fd, buf, sizeof(buf), fds, &n_fds);
	int r;

	(void)events;
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		close_fds(fds, n_fds);
		conn_free(w, conn);
		return;
	}
	if (conn->state == CONN_AGENT) {
		close_fds(fds, n_fds);
		agent_packet(w, conn, buf, (size_t)n);
		return;
	}
	r = packet(w, conn, buf, (size_t)n, fds, n_fds);
	if (r)
		refuse(w, conn, r < 0 ? -r : EPROTO);
}

void attach_accept(struct worker *w, struct watch *watch, uint32_t events)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct conn *conn;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	if (!conn || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
		free(conn);
		close(fd);
		return;
	}
	conn->watch = (struct watch){ fd, conn_ready };
	conn->pid = cred.pid;
	conn->uid = cred.uid;
	list_append(&w->conns, &conn->link);
	if (watch_add(w, &conn->watch, EPOLLIN))
		conn_free(w, conn);
}
