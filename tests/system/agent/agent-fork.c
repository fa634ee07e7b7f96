/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-fork - children
 */
#include "play.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SUM "4160 0"

static struct play p;
static struct peer peer, child;

/* A child that does not exec gets an agent of its own; the daemon holds its main already. */
TEST(child_attaches)
{
	struct uswap_msg_detached answer;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 0, 16);
	CHECK(!strcmp(play_ask(&p, &peer, "fork-and-stay"), "0 0"));
	CHECK(peer.child_main >= 0);

	peer_accept(&p, &child);
	CHECK(child.pid != peer.pid);
	peer_welcome(&child, peer.child_main);
	memcpy(child.kept, peer.kept, sizeof(child.kept));
	memcpy(child.have, peer.have, sizeof(child.have));
	child.child_main = peer.child_main = -1;

	/* Pages shared with the parent cannot leave; those served to the child can. */
	CHECK(!strcmp(play_ask(&p, &child, "sum"), SUM));
	peer_detach(&child, p.region, 32, 0, 0, 0, &answer);
	CHECK(answer.result[0] == USWAP_MOVED && answer.result[15] == USWAP_MOVED);
	CHECK(answer.result[16] == USWAP_MOVE_BUSY);
	play_end(&p);
}

TEST(child_of_unattached_parent)
{
	play_begin(&p, "1000000");
	CHECK(!strcmp(play_ask(&p, NULL, "fork-and-stay"), "0 0"));
	EVENTUALLY(n_threads(p.pid) == 2);
	play_end(&p);
}

TEST(child_of_threaded_parent)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "thread"), "0 0"));
	CHECK(!strcmp(play_ask(&p, &peer, "fork-and-stay"), "0 0"));
	peer_accept(&p, &child);
	peer_welcome(&child, peer.child_main);
	EVENTUALLY(n_threads(child.pid) == 2);
	play_end(&p);
}

TEST(child_sees_snapshot)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 0, 32);
	CHECK(!strcmp(play_ask(&p, &peer, "fork-sum"), "0 0"));
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(vfork_child_leaves_agent_alone)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "vfork"), "7 0"));
	CHECK(agent_tid(p.pid));
	peer_take(&p, &peer, 0, 4);
	play_end(&p);
}

MAIN()
