/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-leave - calls around which the agent goes away, and the other wrapped functions
 */
#include "play.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUM "4160 0"

static struct play p;
static struct peer peer;

/* The client's call asks for the agent to go; we let it, and the call's answer must be @expected. */
static void leave_around(const char *command, const char *expected)
{
	struct uswap_msg_ctl msg;
	int control;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 0, 16);
	play_tell(&p, command);
	control_accept(&p, &msg, &control);
	CHECK(msg.head.type == USWAP_CTL_LEAVE);
	peer_send(&peer, USWAP_MSG_LEAVE, -1);
	CHECK(peer_is_gone(&peer));
	control_done(control, 0);
	CHECK(!strcmp(play_ask(&p, &peer, "burn"), expected)); /* the answer to @command */
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), "0 0"));     /* and to burn */
	CHECK(!strcmp(play_ask(&p, &peer, "burn"), SUM));
}

/* And comes back: the space is known, so main comes from us. */
static void comes_back(void)
{
	int main = peer.main;
	struct peer again;
	struct uffdio_range stage = { peer.hello.stage.start, peer.hello.stage.len };

	CHECK(!ioctl(main, UFFDIO_UNREGISTER, &stage));
	peer_accept(&p, &again);
	CHECK(again.pid == p.pid);
	peer_welcome(&again, main);
	memcpy(again.kept, peer.kept, sizeof(again.kept));
	again.child_main = -1;
	peer_take(&p, &again, 20, 4);
	play_tell(&p, "sum");
	CHECK(!strcmp(play_ask(&p, &again, "sum"), "0 0")); /* of the last burn */
	CHECK(!strcmp(play_ask(&p, &again, "sum"), SUM));
}

TEST(setuid)
{
	leave_around("setuid", "0 0");
	comes_back();
	play_end(&p);
}

TEST(raw_setuid)
{
	leave_around("raw-setuid", "0 0");
	comes_back();
	play_end(&p);
}

/* What can be got back is not given up. */
TEST(seteuid_and_setgid_keep_it)
{
	pid_t tid;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	tid = agent_tid(p.pid);
	CHECK(!strcmp(play_ask(&p, &peer, "seteuid"), "0 0"));
	CHECK(!strcmp(play_ask(&p, &peer, "setgid"), "0 0"));
	CHECK(agent_tid(p.pid) == tid);
	play_end(&p);
}

TEST(setuid_while_waiting)
{
	play_begin(&p, "1000000000");
	EVENTUALLY(n_threads(p.pid) == 2);
	CHECK(!strcmp(play_ask(&p, NULL, "setuid"), "0 0"));
	EVENTUALLY(n_threads(p.pid) == 2);
	play_end(&p);
}

/* The daemon has accepted and says nothing: the agent sees within a slice that it is to go. */
TEST(setuid_while_attaching)
{
	play_begin(&p, "0");
	peer_accept(&p, &peer);
	CHECK(!strcmp(play_ask(&p, NULL, "setuid"), "0 0"));
	CHECK(peer_is_gone(&peer));
	play_end(&p);
}

TEST(unshare_user)
{
	leave_around("unshare-user", "0 0");
	comes_back();
	play_end(&p);
}

TEST(unshare_user_while_waiting)
{
	play_begin(&p, "1000000000");
	EVENTUALLY(n_threads(p.pid) == 2);
	CHECK(!strcmp(play_ask(&p, NULL, "unshare-user"), "0 0"));
	play_end(&p);
}

TEST(unshare_by_number)
{
	leave_around("unshare-net", "0 0");
	play_end(&p);
}

TEST(unshare_files_keeps_it)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "unshare-files"), "0 0"));
	CHECK(agent_tid(p.pid));
	play_end(&p);
}

/* A daemon that never answers delays the call and does not prevent it. */
TEST(leave_unanswered)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "setuid"), "0 0"));
	CHECK(agent_tid(p.pid));
	play_end(&p);
}

TEST(seccomp_of_one_thread_keeps_it)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "seccomp"), "0 0"));
	peer_take(&p, &peer, 0, 16);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(seccomp_of_all_threads)
{
	leave_around("seccomp-tsync", "0 0");
	comes_back();
	play_end(&p);
}

/* A filter that would kill the process for an agent: there is no agent any more. */
TEST(seccomp_deadly)
{
	leave_around("seccomp-deadly", "0 0");
	EVENTUALLY(n_threads(p.pid) == 1);
	play_tell(&p, "sum");
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), "0 0"));
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(mq_notify)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(atoi(play_ask(&p, &peer, "mq-begin")) > 0);
	peer_send(&peer, USWAP_MSG_LEAVE, -1);
	EVENTUALLY(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, &peer, "mq-send"), "1 0"));
	play_end(&p);
}

static uint64_t protect_word(uint32_t i)
{
	uint64_t v;

	CHECK(pread(peer.mem, &v, sizeof(v), (off_t)(peer.hello.protect_addr + i * sizeof(v))) ==
	      sizeof(v));
	return v;
}

/* @command, at which @n_pages from @start on come home. Its answer is the next. */
static void home_asked(const char *command, uint64_t start, uint64_t n_pages, int err)
{
	struct uswap_msg_ctl msg;
	int control;

	play_tell(&p, command);
	control_accept(&p, &msg, &control);
	CHECK(msg.head.type == USWAP_CTL_HOME);
	CHECK(msg.range.start == start && msg.range.len == n_pages * PAGE);
	control_done(control, err);
}

TEST(mutex_pages)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(protect_word(0) == 0);
	CHECK(!strcmp(play_ask(&p, &peer, "mutex-plain"), "0 0"));
	CHECK(protect_word(0) == 0);
	/* It lies across two pages; the second time nothing is new. */
	home_asked("mutex-pi", p.region + 2 * PAGE, 2, 0);
	CHECK(!strcmp(play_ask(&p, &peer, "mutex-robust"), "0 0")); /* the answer to mutex-pi */
	CHECK(!strcmp(play_ask(&p, &peer, "mutex-plain"), "0 0"));  /* to mutex-robust */
	CHECK(protect_word(0) == 2);
	CHECK(protect_word(2) == p.region + 2 * PAGE && protect_word(3) == p.region + 3 * PAGE);
	play_end(&p);
}

static void home_around(const char *command, int err, const char *expected)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	home_asked(command, p.region + 4 * PAGE, 1, err);
	CHECK(!strcmp(play_ask(&p, &peer, "burn"), expected)); /* the answer to @command */
	play_end(&p);
}

TEST(guard_pages)
{
	home_around("guard", 0, "0 0");
	home_around("raw-guard", 0, "0 0");
	home_around("guard", EIO, "-1 22");
}

MAIN()
