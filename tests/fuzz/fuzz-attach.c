// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Who connects to the worker and says anything: src/daemon/attach.c itself, on socket pairs.
 *
 * Whatever comes: no descriptor is left open, an agent is believed only after both proofs, a space
 * has one agent at most, every answer keeps to the protocol.
 *
 * Input: one byte a step, and what the step needs.
 */
#include <fcntl.h>

#include "daemon/attach.c"
#include "fuzz-mem.h"
#include "fuzz.h"

#define N_PEERS 3u
#define N_SPACES 4u
#define MAX_STEPS 64u

static struct fuzz_in in;
static struct worker worker;
static struct fake_client memory[N_SPACES];
static struct client clients[N_SPACES];
static uint32_t n_memory;
static int peer[N_PEERS];
static struct conn *conns[N_PEERS];
static uint32_t at_work;
static bool main_proven[N_PEERS];
static bool aux_proven[N_PEERS];

/* ---- the worker around it ------------------------------------------------------------------- */

int mem_linux_new(struct mem **ret_mem, int main_fd, bool api)
{
	close(main_fd);
	if (n_memory == N_SPACES)
		return -EMFILE;
	client_init(&memory[n_memory]);
	*ret_mem = &memory[n_memory++].base;
	return 0;
}

int mem_linux_main_fd(const struct mem *m)
{
	return worker.dev_fd;
}

int mem_linux_bind(struct mem *m, int pid)
{
	return fuzz_u8(&in) % 8 == 7 ? -ESRCH : 0;
}

void mem_linux_unbind(struct mem *m)
{
}

int mem_linux_parent(int pid)
{
	return pid & 1 ? worker.front_pid : 1;
}

void mem_linux_set_agent(struct mem *m, int sock, const struct uswap_msg_hello *hello)
{
	ASSERT(sock == conns[at_work]->watch.fd);
	ASSERT(main_proven[at_work] && aux_proven[at_work]);
}

void mem_linux_no_agent(struct mem *m)
{
}

bool mem_linux_prove(struct mem *m, uint64_t start, uint64_t len)
{
	return main_proven[at_work] = fuzz_u8(&in) % 4 != 3;
}

bool mem_linux_prove_aux(struct mem *m, int aux_fd, uint64_t start, uint64_t len)
{
	ASSERT(fcntl(aux_fd, F_GETFD) >= 0);
	return aux_proven[at_work] = fuzz_u8(&in) % 4 != 3;
}

struct client *client_new(struct worker *w, struct space *sp)
{
	struct client *c = &clients[n_memory - 1];

	*c = (struct client){ .space = sp };
	sp->user = c;
	return c;
}

void client_publish(struct worker *w, struct client *c)
{
	c->managed_at = 1;
}

bool client_rearm(struct worker *w, struct client *c)
{
	return true;
}

bool client_result(struct worker *w, struct client *c, int r)
{
	ASSERT(!r);
	return true;
}

int worker_start_threads(struct worker *w)
{
	return fuzz_u8(&in) % 16 == 15 ? -EAGAIN : 0;
}

int watch_add(struct worker *w, struct watch *watch, uint32_t events)
{
	return 0;
}

char *report_text(struct worker *w)
{
	return strdup("{}");
}

bool writeback_set_policy(struct worker *w, const char *name)
{
	ASSERT(strlen(name) <= USWAP_POLICY_NAME_BYTES);
	return !strcmp(name, "lru");
}

void backing_retire(struct worker *w)
{
	w->backing.retiring = true;
}

bool backing_is_retired(struct worker *w, int *ret_errno)
{
	ASSERT(w->backing.retiring);
	*ret_errno = fuzz_u8(&in) % 2 ? EIO : 0;
	return fuzz_u8(&in) % 4 == 0;
}

static uint64_t host_now_ns(void *user)
{
	return 1;
}

static void no_unpinned(void *user, struct slot_id id)
{
}

static void no_buf(void *user)
{
}

static void worker_make(void)
{
	static const struct space_host host = { .now_ns = host_now_ns };
	static const struct swap_options options = { .max_pages = 1024,
						     .n_bufs = 2,
						     .allow_unlocked_memory = true,
						     .on_unpinned = no_unpinned,
						     .on_buf_free = no_buf };

	if (worker.swap)
		return;
	log_level_set(LOG_SILENT);
	ASSERT(!swap_new(&worker.swap, &options));
	ASSERT(!space_group_init(&worker.group, worker.swap, &host, NULL, options.max_pages));
	worker.backing.is_open = true;
	worker.dev_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	worker.epoll_fd = -1;
	worker.front_pid = 4711;
	list_init(&worker.conns);
}

/* ---- packets -------------------------------------------------------------------------------- */

static size_t hello_make(struct uswap_msg_hello *m)
{
	*m = (struct uswap_msg_hello){
		.head = { USWAP_MSG_HELLO, sizeof(*m) },
		.version = USWAP_PROTOCOL_VERSION,
		.own = { CLIENT_OWN, 9 * 4096 },
		.own2 = { CLIENT_OWN2, 775 * 4096 },
		.stage = { CLIENT_STAGE, USWAP_STAGE_PAGES * 4096ull },
		.trash = { CLIENT_TRASH, USWAP_STAGE_HALF_PAGES * 4096ull },
	};
	if (fuzz_u8(&in) % 4 == 3)
		fuzz_take(&in, &m->version + fuzz_u8(&in) % 20, 4);
	return sizeof(*m);
}

static size_t ctl_make(struct uswap_msg_ctl *m)
{
	*m = (struct uswap_msg_ctl){ .head = { USWAP_CTL_LEAVE + fuzz_u8(&in) % 8, sizeof(*m) },
				     .pid = fuzz_u8(&in) % 8,
				     .range = { fuzz_u64(&in), fuzz_u64(&in) } };
	if (fuzz_u8(&in) % 2)
		m->range = (struct uswap_range){ CLIENT_BASE, (1 + fuzz_u8(&in)) * 4096ull };
	memset(m->policy, fuzz_u8(&in), sizeof(m->policy)); /* mostly without an end */
	if (fuzz_u8(&in) % 2)
		memcpy(m->policy, "lru", 4);
	return sizeof(*m);
}

static void packet_send(int sock, const void *bytes, size_t len, uint32_t n_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		hdr.msg_control = control.buf;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		*CMSG_FIRSTHDR(&hdr) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
							 .cmsg_level = SOL_SOCKET,
							 .cmsg_type = SCM_RIGHTS };
		for (uint32_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(CMSG_FIRSTHDR(&hdr)) + i * sizeof(int), &worker.dev_fd,
			       sizeof(int));
	}
	ASSERT(sendmsg(sock, &hdr, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len);
}

static void packet_make(int sock)
{
	static union {
		struct uswap_msg_head head;
		struct uswap_msg_hello hello;
		struct uswap_msg_fds fds;
		struct uswap_msg_ctl ctl;
		uint8_t bytes[512];
	} m;
	uint8_t how = fuzz_u8(&in);
	uint32_t n_fds = how >> 5 & 3;
	size_t len;

	memset(&m, 0, sizeof(m));
	switch (how % 8) {
	case 0:
	case 1:
		len = hello_make(&m.hello);
		n_fds = how & 128 ? n_fds : 0;
		break;
	case 2:
	case 3:
		m.fds = (struct uswap_msg_fds){ { USWAP_MSG_FDS, sizeof(m.fds) }, n_fds, 0 };
		len = sizeof(m.fds);
		break;
	case 4:
	case 5:
		len = ctl_make(&m.ctl);
		n_fds = how & 128 ? n_fds : 0;
		break;
	default:
		len = 1 + fuzz_take(&in, m.bytes, fuzz_u8(&in));
		if (how & 8)
			m.head.len = (uint32_t)len;
	}
	packet_send(sock, m.bytes, len, n_fds);
}

/* What came back: whole messages of the protocol, descriptors where it says so. */
static void answers_check(int sock)
{
	uint64_t buf[USWAP_MSG_MAX_BYTES / 8];
	const struct uswap_msg_plain *m = (const void *)buf;
	int fds[MAX_CONN_FDS];
	uint32_t n_fds;
	ssize_t n;

	while ((n = recv_packet(sock, buf, sizeof(buf), fds, &n_fds)) > 0) {
		close_fds(fds, n_fds);
		ASSERT(m->head.len == (uint64_t)n);
		ASSERT(n_fds == 0 || m->head.type == USWAP_MSG_WELCOME);
		if (m->head.type == USWAP_CTL_TEXT)
			continue;
		ASSERT(n == sizeof(*m) && m->n_fds == n_fds && m->err >= 0);
		ASSERT(m->head.type != USWAP_MSG_REFUSED || m->err);
		ASSERT(m->head.type != USWAP_MSG_WELCOME || n_fds);
	}
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void connect_peer(uint32_t i)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int pair[2];

	ASSERT(conn && !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	conn->watch = (struct watch){ pair[0], conn_ready };
	conn->pid = 1 + fuzz_u8(&in) % 8;
	conn->uid = fuzz_u8(&in) % 2 ? 0 : 1000;
	list_append(&worker.conns, &conn->link);
	peer[i] = pair[1];
	main_proven[i] = aux_proven[i] = false;
	conns[i] = conn;
}

static void look_for_gone(void)
{
	for (uint32_t i = 0; i < N_PEERS; i++) {
		struct conn *conn;
		bool there = false;

		if (!conns[i])
			continue;
		list_for_each(conn, &worker.conns, link)
			there |= conn == conns[i];
		answers_check(peer[i]);
		if (there)
			continue;
		close(peer[i]);
		conns[i] = NULL;
	}
}

static void check(void)
{
	struct conn *conn;
	struct space *sp;

	list_for_each(conn, &worker.conns, link) {
		ASSERT((conn->state == CONN_AGENT) ==
		       (conn->client && conn->client->agent == conn));
		if (conn->request == REQUEST_HOME)
			ASSERT(conn->range.start < conn->range.end &&
			       conn->range.end <= PAGE_MAP_END);
	}
	list_for_each(sp, &worker.group.spaces, link) {
		struct client *c = sp->user;

		ASSERT(sp->agent == (c->agent != NULL));
		ASSERT(!c->agent || memory[c - clients].stage_registered);
		space_check(sp);
	}
}

static void step(void)
{
	uint8_t what = fuzz_u8(&in);
	uint32_t i = what % N_PEERS;

	at_work = i;
	if (!conns[i])
		connect_peer(i);
	if (what >= 240) {
		shutdown(peer[i], SHUT_WR);
		conn_ready(&worker, &conns[i]->watch, EPOLLIN);
	} else if (what >= 216) {
		attach_requests(&worker);
	} else {
		packet_make(peer[i]);
		conn_ready(&worker, &conns[i]->watch, EPOLLIN);
	}
	look_for_gone();
	check();
}

static int lowest_fd(void)
{
	int fd = dup(worker.dev_fd);

	ASSERT(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	int before;

	in = (struct fuzz_in){ data, n_bytes };
	worker_make();
	before = lowest_fd();
	n_memory = 0;
	for (uint32_t n = 0; n < MAX_STEPS && in.n_bytes; n++)
		step();
	while (!list_is_empty(&worker.conns))
		conn_free(&worker, list_first(&worker.conns, struct conn, link));
	look_for_gone();
	while (!list_is_empty(&worker.group.spaces))
		space_free(list_first(&worker.group.spaces, struct space, link));
	ASSERT(lowest_fd() == before);
	return 0;
}
