/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-birth - when a process gets its agent, and when it gets none
 *
 * The client is told not to use CPU time on its own: until "burn" its agent is still to come.
 */
#include "play.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEVER "1000000000000"
#define SIGNAL_OF_BIRTH 32 /* libc's SIGCANCEL */

static struct play p;

static void idle_begin(void)
{
	setenv("AGENT_CLIENT_IDLE", "1", 1);
	play_begin(&p, NEVER);
}

TEST(none_while_idle)
{
	idle_begin();
	CHECK(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "burn"), "0 0"));
	EVENTUALLY(n_threads(p.pid) == 2);
	play_end(&p);
}

TEST(none_in_idle_child)
{
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "fork-idle"), "0 0"));
	CHECK(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "reap"), "0 0"));
	play_end(&p);
}

TEST(hastened_by_first_thread)
{
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "thread"), "0 0"));
	CHECK(n_threads(p.pid) == 3);
	play_end(&p);
}

TEST(survives_cancelled_thread)
{
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "cancel"), "0 0"));
	CHECK(n_threads(p.pid) == 2);
	CHECK(!strcmp(play_ask(&p, NULL, "burn"), "0 0"));
	CHECK(n_threads(p.pid) == 2);
	play_end(&p);
}

/* As posix_spawn() leaves it, in whose child libc ignores the signal. */
TEST(signal_ignored_from_the_start)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} ignore = { .handler = SIG_IGN }, old;

	CHECK(!syscall(SYS_rt_sigaction, SIGNAL_OF_BIRTH, &ignore, &old, sizeof(old.mask)));
	idle_begin();
	CHECK(!syscall(SYS_rt_sigaction, SIGNAL_OF_BIRTH, &old, NULL, sizeof(old.mask)));
	CHECK(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "burn"), "0 0"));
	EVENTUALLY(n_threads(p.pid) == 2);
	CHECK(!strcmp(play_ask(&p, NULL, "cancel"), "0 0"));
	play_end(&p);
}

/* libc's handler is in the way of our signal in a child of a program that cancels threads. */
TEST(child_of_canceller)
{
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "cancel"), "0 0"));
	CHECK(!strcmp(play_ask(&p, NULL, "fork-threads"), "2 0"));
	play_end(&p);
}

TEST(vfork_child_does_not_disturb)
{
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "vfork"), "7 0"));
	CHECK(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "burn"), "0 0"));
	EVENTUALLY(n_threads(p.pid) == 2);
	play_end(&p);
}

TEST(exec_forgets_it)
{
	idle_begin();
	play_tell(&p, "exec"); /* cat: a timer left over would kill it */
	CHECK(!strcmp(play_ask(&p, NULL, "echoed"), "echoed"));
	play_end(&p);
}

/* The agent comes before the request and can cancel nothing; after it no second one comes. */
TEST(mq_notify)
{
	idle_begin();
	CHECK(atoi(play_ask(&p, NULL, "mq-begin")) > 0);
	CHECK(n_threads(p.pid) == 2);
	CHECK(!strcmp(play_ask(&p, NULL, "setuid"), "0 0"));
	CHECK(n_threads(p.pid) == 1);
	CHECK(!strcmp(play_ask(&p, NULL, "mq-send"), "1 0"));
	CHECK(!strcmp(play_ask(&p, NULL, "burn"), "0 0"));
	CHECK(n_threads(p.pid) == 1);
	play_end(&p);
}

TEST(put_off_by_seccomp)
{
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "seccomp-deadly"), "0 0"));
	CHECK(!strcmp(play_ask(&p, NULL, "burn"), "0 0"));
	CHECK(n_threads(p.pid) == 1);
	play_end(&p);
	idle_begin();
	CHECK(!strcmp(play_ask(&p, NULL, "seccomp"), "0 0"));
	EVENTUALLY(n_threads(p.pid) == 2);
	play_end(&p);
}

MAIN()
