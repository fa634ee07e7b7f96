/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-attach - coming, staying and ending of an agent, and what it leaves alone
 */
#include "play.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUM "4160 0"

static struct play p;
static struct peer peer;

/* The value of "@name:\t…" in the status of an agent's thread. */
static unsigned long long status_of(pid_t pid, pid_t tid, const char *name)
{
	char path[64], line[256];
	unsigned long long v = ~0ull;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	f = fopen(path, "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			v = strtoull(line + strlen(name) + 1, NULL,
				     !strncmp(name, "Cap", 3) || !strncmp(name, "Sig", 3) ? 16
											  : 10);
	fclose(f);
	return v;
}

TEST(sealed)
{
	pid_t tid;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	tid = agent_tid(p.pid);
	EVENTUALLY(status_of(p.pid, tid, "Seccomp") == 2);
	CHECK(!status_of(p.pid, tid, "CapPrm") && !status_of(p.pid, tid, "CapEff"));
	CHECK(status_of(p.pid, tid, "NoNewPrivs") == 1);
	/* All but SIGKILL and SIGSTOP. */
	CHECK(status_of(p.pid, tid, "SigBlk") == 0xfffffffffffbfeffull);
	/* The program itself is as before. */
	CHECK(status_of(p.pid, p.pid, "Seccomp") == 0 && status_of(p.pid, p.pid, "CapEff"));
	CHECK(status_of(p.pid, p.pid, "NoNewPrivs") == 0 && !status_of(p.pid, p.pid, "SigBlk"));
	play_end(&p);
}

TEST(own_descriptors_only)
{
	char path[128], link[128];
	int n_sockets = 0, n_uffds = 0, n_others = 0;
	struct dirent *e;
	DIR *dir;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", p.pid, agent_tid(p.pid));
	dir = opendir(path);
	CHECK(dir);
	while ((e = readdir(dir))) {
		ssize_t n;

		if (e->d_name[0] == '.')
			continue;
		n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		CHECK(n > 0);
		link[n] = '\0';
		if (!strncmp(link, "socket:", 7))
			n_sockets++;
		else if (!strcmp(link, "anon_inode:[userfaultfd]"))
			n_uffds++;
		else
			n_others++;
	}
	closedir(dir);
	CHECK(n_sockets == 1 && n_uffds == 2 && n_others == 0);
	/* The program has none of them. */
	snprintf(path, sizeof(path), "/proc/%d/fd", p.pid);
	dir = opendir(path);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.') {
			ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

			CHECK(n > 0);
			CHECK(strncmp(link, "anon_inode", 10));
		}
	closedir(dir);
	play_end(&p);
}

TEST(program_closes_everything)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "close-all"), "0 0"));
	peer_take(&p, &peer, 0, PLAY_PAGES);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(small_is_left_alone)
{
	struct pollfd fd;

	play_begin(&p, "1000000000");
	fd = (struct pollfd){ .fd = p.listen_fd, .events = POLLIN };
	CHECK(poll(&fd, 1, 300) == 0);
	CHECK(n_threads(p.pid) == 2);
	play_end(&p);
}

TEST(grown_is_attached)
{
	play_begin(&p, "100000"); /* the region alone is 256 KiB */
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 0, 8);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(refused)
{
	play_begin(&p, "0");
	peer_accept(&p, &peer);
	peer_send(&peer, USWAP_MSG_REFUSED, -1);
	CHECK(peer_is_gone(&peer));
	EVENTUALLY(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "sum"), SUM));
	play_end(&p);
}

TEST(daemon_ends_during_attach)
{
	play_begin(&p, "0");
	peer_accept(&p, &peer);
	close(peer.sock);
	EVENTUALLY(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "sum"), SUM));
	play_end(&p);
}

TEST(leave)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 0, 16);
	peer_send(&peer, USWAP_MSG_LEAVE, -1);
	CHECK(peer_is_gone(&peer));
	EVENTUALLY(n_threads(p.pid) == 1);
	/* The daemon goes on serving. */
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(end_of_file_unarmed)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	close(peer.sock);
	EVENTUALLY(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(end_of_file_armed)
{
	int status;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_send(&peer, USWAP_MSG_ARM, -1);
	peer_take(&p, &peer, 0, 1);
	close(peer.sock);
	status = play_wait(&p);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	play_end(&p);
}

static void garbage_send(const void *bytes, size_t n)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(send(peer.sock, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
	CHECK(peer_is_gone(&peer));
	EVENTUALLY(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	peer_close(&peer);
	play_end(&p);
}

TEST(garbage)
{
	static struct uswap_msg_detach detach;
	static char big[3 * USWAP_MSG_MAX_BYTES];

	memset(big, 0x41, sizeof(big));
	garbage_send("x", 1);
	garbage_send(big, 100);
	garbage_send(big, sizeof(big));

	detach = (struct uswap_msg_detach){ .head = { USWAP_MSG_DETACH, sizeof(detach.head) } };
	garbage_send(&detach, sizeof(detach.head));
	detach.head.len = sizeof(detach);
	detach.n_runs = USWAP_DETACH_MAX_RUNS + 1;
	garbage_send(&detach, sizeof(detach));
	detach.n_runs = USWAP_DETACH_MAX_RUNS; /* of no pages */
	garbage_send(&detach, sizeof(detach));
	detach.n_runs = 0;
	detach.head.len = offsetof(struct uswap_msg_detach, run);
	detach.free_at = USWAP_STAGE_PAGES;
	detach.n_free = 1;
	garbage_send(&detach, detach.head.len);
	detach.free_at = 0;
	detach.n_free = USWAP_STAGE_PAGES;
	garbage_send(&detach, detach.head.len);
}

TEST(stage_overrun)
{
	struct uswap_msg_detach msg = {
		.head = { USWAP_MSG_DETACH,
			  offsetof(struct uswap_msg_detach, run) + sizeof(msg.run[0]) },
		.n_runs = 1,
		.run = { { .n_pages = 2, .stage_at = USWAP_STAGE_PAGES - 1 } },
	};

	garbage_send(&msg, msg.head.len);
}

TEST(many_held_descriptors)
{
	struct uswap_msg_detached answer;
	int fd;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 600; i++)
		peer_send(&peer, USWAP_MSG_HOLD, fd);
	peer_detach(&peer, p.region, 4, 0, 0, 0, &answer);
	CHECK(answer.result[0] == USWAP_MOVED);
	play_end(&p);
}

TEST(exec_ends_it)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	play_tell(&p, "exec");
	CHECK(peer_is_gone(&peer));
	play_end(&p);
}

TEST(exit_ends_it)
{
	int status;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	play_tell(&p, "exit");
	status = play_wait(&p);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	CHECK(peer_is_gone(&peer));
	play_end(&p);
}

TEST(main_thread_ends)
{
	int status;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	play_tell(&p, "main-exit");
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	peer_take(&p, &peer, 0, 16);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_tell(&p, "exit");
	status = play_wait(&p);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	play_end(&p);
}

/* The only thread of the program ends by the bare system call: the waiting agent must not live on. */
TEST(last_thread)
{
	play_begin(&p, "1000000000");
	play_tell(&p, "bare-exit");
	play_wait(&p);
	play_end(&p);
}

MAIN()
