/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * play - starting clients, asking them, running the cases
 */
#include "play.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct test *tests, **tests_end = &tests;

void test_add(struct test *t)
{
	*tests_end = t;
	tests_end = &t->next;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

void poll_pause(void)
{
	poll(NULL, 0, 1);
}

static bool is_wanted(const struct test *t, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], t->name))
			return true;
	return argc < 2;
}

/* Each case in its own process: what one leaves behind does not reach the next. */
int test_main(int argc, char **argv)
{
	int status, n_failed = 0, fd;

	fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (fd < 0 || geteuid()) {
		fprintf(stderr, "no /dev/userfaultfd, or not root\n");
		return 77;
	}
	close(fd);
	signal(SIGPIPE, SIG_IGN);
	for (struct test *t = tests; t; t = t->next) {
		uint64_t start_ns = now_ns();
		pid_t pid;

		if (!is_wanted(t, argc, argv))
			continue;
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			alarm(60);
			t->run();
			exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		n_failed += status != 0;
		printf("%s %s (%llu ms)\n", status ? "FAIL" : "ok  ", t->name,
		       (unsigned long long)(now_ns() - start_ns) / 1000000);
		fflush(stdout);
	}
	return n_failed != 0;
}

static void client_exec(const struct play *p, const char *threshold)
{
	const char *client = getenv("USWAP_TEST_CLIENT"), *preload = getenv("USWAP_TEST_PRELOAD");

	CHECK(client && preload);
	setenv("LD_PRELOAD", preload, 1);
	setenv(USWAP_ENV_SOCKET, p->socket_name, 1);
	setenv(USWAP_ENV_THRESHOLD, threshold, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(client, client, NULL);
	_exit(127);
}

void play_begin(struct play *p, const char *threshold)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int in[2], out[2];

	snprintf(p->socket_name, sizeof(p->socket_name), "@uswap-test-%d-%llx", getpid(),
		 (unsigned long long)now_ns());
	memcpy(addr.sun_path + 1, p->socket_name + 1, strlen(p->socket_name) - 1);
	p->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(p->listen_fd >= 0);
	CHECK(!bind(p->listen_fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(p->socket_name))));
	CHECK(!listen(p->listen_fd, 16));

	CHECK(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
	p->pid = fork();
	CHECK(p->pid >= 0);
	if (!p->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		client_exec(p, threshold);
	}
	close(in[0]);
	close(out[1]);
	p->to = in[1];
	p->from = out[0];
	p->region = strtoull(play_ask(p, NULL, "region"), NULL, 16);
	CHECK(p->region);
}

int play_wait(struct play *p)
{
	uint64_t end_ns = now_ns() + PLAY_WAIT_MS * 1000000ull;
	int status = 0;

	while (!waitpid(p->pid, &status, WNOHANG)) {
		CHECK(now_ns() < end_ns);
		poll_pause();
	}
	p->pid = 0;
	return status;
}

void play_end(struct play *p)
{
	if (p->pid) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	close(p->listen_fd);
	close(p->to);
	close(p->from);
}

void play_tell(struct play *p, const char *command)
{
	CHECK(write(p->to, command, strlen(command)) == (ssize_t)strlen(command));
	CHECK(write(p->to, "\n", 1) == 1);
}

const char *play_ask(struct play *p, struct peer *peer, const char *command)
{
	static char line[256];
	uint64_t end_ns = now_ns() + PLAY_WAIT_MS * 1000000ull;
	size_t n = 0;

	play_tell(p, command);
	for (;;) {
		struct pollfd fds[3] = {
			{ .fd = p->from, .events = POLLIN },
			{ .fd = peer ? peer->main : -1, .events = POLLIN },
			{ .fd = peer ? peer->child_main : -1, .events = POLLIN },
		};

		CHECK(now_ns() < end_ns);
		poll(fds, 3, 100);
		if (fds[1].revents & POLLIN)
			peer_serve(p, peer, peer->main);
		if (fds[2].revents & POLLIN)
			peer_serve(p, peer, peer->child_main);
		if (!(fds[0].revents & (POLLIN | POLLHUP)))
			continue;
		CHECK(n < sizeof(line) - 1 && read(p->from, line + n, 1) == 1);
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return line;
}

pid_t agent_tid(pid_t pid)
{
	char path[64], name[32];
	struct dirent *e;
	pid_t tid = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		size_t n = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", pid, e->d_name);
		f = fopen(path, "re");
		if (f) {
			n = fread(name, 1, sizeof(name) - 1, f);
			fclose(f);
		}
		name[n] = '\0';
		if (!strcmp(name, "uswap-agent\n"))
			tid = atoi(e->d_name);
	}
	if (dir)
		closedir(dir);
	return tid;
}

bool agent_serves(pid_t pid)
{
	pid_t tid = agent_tid(pid);
	char path[64];
	int nr = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	f = tid ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	if (fscanf(f, "%d", &nr) != 1)
		nr = -1; /* it runs */
	fclose(f);
	return nr == SYS_recvmsg;
}

int n_threads(pid_t pid)
{
	struct dirent *e;
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}
