/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-move - what the agent answers to DETACH and POPULATE
 */
#include "play.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUM "4160 0" /* the client's region untouched */

#ifndef UFFDIO_POISON
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

static struct play p;
static struct peer peer;
static struct uswap_msg_detached answer;

static void detach(uint32_t first, uint32_t n, uint32_t stage_at)
{
	peer_detach(&peer, p.region + first * PAGE, n, stage_at, 0, 0, &answer);
}

static bool all_are(uint32_t first, uint32_t n, uint8_t result)
{
	for (uint32_t i = first; i < first + n; i++)
		if (answer.result[i] != result)
			return false;
	return true;
}

TEST(round_trip)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 0, PLAY_PAGES);
	for (uint32_t i = 0; i < PLAY_PAGES; i++)
		CHECK(peer.kept[i][0] == i + 1 && peer.kept[i][USWAP_PAGE_BYTES - 1] == i + 1);
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(both_halves)
{
	uint8_t byte;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	detach(0, 4, 0);
	CHECK(all_are(0, 4, USWAP_MOVED));
	/* The second half takes pages while the first is full; then the first is freed on the way. */
	detach(4, 4, USWAP_STAGE_HALF_PAGES);
	CHECK(all_are(0, 4, USWAP_MOVED));
	peer_detach(&peer, p.region + 8 * PAGE, 4, 0, 0, 4, &answer);
	CHECK(all_are(0, 4, USWAP_MOVED) && !answer.free_err);
	CHECK(pread(peer.mem, &byte, 1, (off_t)peer.hello.stage.start) == 1 && byte == 9);
	CHECK(pread(peer.mem, &byte, 1,
		    (off_t)(peer.hello.stage.start + USWAP_STAGE_HALF_PAGES * PAGE)) == 1 &&
	      byte == 5);
	play_end(&p);
}

TEST(hole)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 2, 3);
	detach(0, 8, 0);
	CHECK(all_are(0, 2, USWAP_MOVED) && all_are(2, 3, USWAP_MOVE_HOLE));
	CHECK(all_are(5, 3, USWAP_MOVED));
	play_end(&p);
}

TEST(occupied)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	detach(0, 1, 1);
	detach(1, 4, 0);
	CHECK(answer.result[0] == USWAP_MOVED && answer.result[1] == USWAP_MOVE_OCCUPIED);
	CHECK(all_are(2, 2, USWAP_MOVED));
	play_end(&p);
}

TEST(invalid)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "read-only"), "0 0"));
	detach(6, 5, 0);
	CHECK(all_are(0, 2, USWAP_MOVED) && answer.result[2] == USWAP_MOVE_INVALID);
	CHECK(all_are(3, 2, USWAP_MOVED));
	play_end(&p);
}

TEST(own_memory_is_refused)
{
	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_detach(&peer, peer.hello.own.start + PAGE, 6, 0, 0, 0, &answer);
	CHECK(all_are(0, 6, USWAP_MOVE_INVALID));
	peer_detach(&peer, peer.hello.stage.start, 2, 8, 0, 0, &answer);
	CHECK(all_are(0, 2, USWAP_MOVE_INVALID));
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

TEST(busy_then_populate)
{
	struct uswap_msg_populate msg = {
		.head = { .type = USWAP_MSG_POPULATE },
		.seq = 77,
		.n_runs = 1,
		.run = { { .start = 0, .n_pages = PLAY_PAGES } },
	};
	struct uswap_msg_populated done;
	ssize_t n;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	CHECK(!strcmp(play_ask(&p, &peer, "fork-idle"), "0 0"));
	detach(0, 4, 0);
	CHECK(all_are(0, 4, USWAP_MOVE_BUSY));
	CHECK(!strcmp(play_ask(&p, &peer, "reap"), "0 0"));
	detach(0, 4, 0);
	CHECK(all_are(0, 4, USWAP_MOVE_BUSY));

	msg.run[0].start = p.region;
	msg.head.len = offsetof(struct uswap_msg_populate, run) + sizeof(msg.run[0]);
	CHECK(send(peer.sock, &msg, msg.head.len, 0) == (ssize_t)msg.head.len);
	CHECK(peer_recv(&peer, &done, sizeof(done), &n) && n == sizeof(done));
	CHECK(done.head.type == USWAP_MSG_POPULATED && done.seq == 77);
	CHECK(done.n_done == 1 && !done.err);
	detach(0, 4, 0);
	CHECK(all_are(0, 4, USWAP_MOVED));
	play_end(&p);
}

TEST(gate)
{
	struct pollfd fd;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	play_tell(&p, "zap");
	fd = (struct pollfd){ .fd = peer.main, .events = POLLIN };
	CHECK(poll(&fd, 1, PLAY_WAIT_MS) == 1);
	detach(10, 8, 0);
	CHECK(all_are(0, 8, USWAP_MOVE_EVENTS));
	CHECK(peer_serve(&p, &peer, peer.main));
	CHECK(!strcmp(play_ask(&p, &peer, "burn"), "0 0")); /* the answer to zap */
	detach(10, 8, 0);
	CHECK(all_are(0, 8, USWAP_MOVED));
	play_end(&p);
}

TEST(other_has_its_errno)
{
	struct uffdio_poison poison = { .range = { .len = PAGE } };

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	peer_take(&p, &peer, 1, 1);
	poison.range.start = p.region + PAGE;
	CHECK(!ioctl(peer.main, UFFDIO_POISON, &poison));
	detach(0, 3, 0);
	CHECK(answer.result[0] == USWAP_MOVED && answer.result[2] == USWAP_MOVED);
	CHECK(answer.result[1] == USWAP_MOVE_OTHER && answer.err == EFAULT);
	play_end(&p);
}

/* The stage is registered again only after the old answer has come. */
TEST(stage_revoked)
{
	struct uffdio_range stage;

	play_begin(&p, "0");
	peer_attach(&p, &peer);
	stage = (struct uffdio_range){ peer.hello.stage.start, peer.hello.stage.len };
	CHECK(!ioctl(peer.main, UFFDIO_UNREGISTER, &stage));
	detach(0, 4, 0);
	CHECK(all_are(0, 4, USWAP_MOVE_INVALID));
	CHECK(!strcmp(play_ask(&p, &peer, "sum"), SUM));
	play_end(&p);
}

MAIN()
