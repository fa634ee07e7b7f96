/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * play - a daemon small enough to be driven step by step against a real preloaded client
 *
 * A test starts a client (client.c) under the preload library, accepts its agent, and plays the
 * daemon's part by hand. Whatever takes longer than PLAY_WAIT_MS fails the test.
 *
 * Usage: TEST(name) { … } for each case, MAIN() at the end. Without arguments all cases run, else
 * the named ones. Exit: 0; 1; 77 when the kernel or the permissions are missing.
 */
#ifndef USWAP_TESTS_AGENT_PLAY_H
#define USWAP_TESTS_AGENT_PLAY_H

#include "agent/agent-kernel.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <uswap/protocol.h>

#define PLAY_WAIT_MS 10000
#define PLAY_PAGES 64u
#define PAGE ((uint64_t)USWAP_PAGE_BYTES)

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};
void test_add(struct test *t);
int test_main(int argc, char **argv);

#define TEST(id)                                                          \
	static void test_##id(void);                                      \
	__attribute__((constructor)) static void test_add_##id(void)      \
	{                                                                 \
		static struct test t = { .name = #id, .run = test_##id }; \
		test_add(&t);                                             \
	}                                                                 \
	static void test_##id(void)
#define MAIN()                                \
	int main(int argc, char **argv)       \
	{                                     \
		return test_main(argc, argv); \
	}

struct play { /* the daemon's listening socket and its client */
	int listen_fd;
	char socket_name[64];
	pid_t pid;	 /* of the client */
	int to;		 /* the client's standard input */
	int from;	 /* and output */
	uint64_t region; /* PLAY_PAGES pages of the client; page i holds the byte i + 1 */
};

struct peer { /* an attached agent */
	int sock;
	int main;
	int aux;
	int mem; /* /proc/PID/mem */
	pid_t pid;
	struct uswap_msg_hello hello;
	uint64_t seq;
	int child_main;				    /* of the last FORK event; -1 */
	uint8_t kept[PLAY_PAGES][USWAP_PAGE_BYTES]; /* pages of the region that we hold */
	bool have[PLAY_PAGES];
};

/* Listen, start a client that attaches at @threshold. Post: the client has filled its region. */
void play_begin(struct play *p, const char *threshold);
/* Kill what is left of the client. */
void play_end(struct play *p);
/* The client's answer to @command, one line. With @peer its faults and events are served meanwhile. */
const char *play_ask(struct play *p, struct peer *peer, const char *command);
void play_tell(struct play *p, const char *command);
/* waitpid() of the client; the status. */
int play_wait(struct play *p);

/* Accept an agent up to its HELLO. */
void peer_accept(struct play *p, struct peer *peer);
/* From WELCOME to READY. @held_main: the main of a fork child that we hold; -1: it makes one. */
void peer_welcome(struct peer *peer, int held_main);
/* Both; region, stage and trash are registered. */
void peer_attach(struct play *p, struct peer *peer);
void peer_register(struct peer *peer, uint64_t start, uint64_t len);
void peer_close(struct peer *peer);

void peer_send(struct peer *peer, uint32_t type, int fd);
/* True if a packet or the end of file came; *ret_n bytes of it (0: the end). */
bool peer_recv(struct peer *peer, void *buf, size_t max_bytes, ssize_t *ret_n);
/* True once the agent's end of the connection is closed. */
bool peer_is_gone(struct peer *peer);

/* One run, or freeing only (n_pages 0). The answer goes to @ret. */
void peer_detach(struct peer *peer, uint64_t start, uint32_t n_pages, uint32_t stage_at,
		 uint32_t free_at, uint32_t n_free, struct uswap_msg_detached *ret);
/* Take @n pages of the region from page @first to our side, and empty the stage. */
void peer_take(struct play *p, struct peer *peer, uint32_t first, uint32_t n);
/* Read what main has; serve the faults in the region from what we hold. True if there was any. */
bool peer_serve(struct play *p, struct peer *peer, int uffd);

void control_accept(struct play *p, struct uswap_msg_ctl *ret_msg, int *ret_sock);
void control_done(int sock, int err);

/* The thread of @pid that is an attached agent; 0: none. */
pid_t agent_tid(pid_t pid);
bool agent_serves(pid_t pid); /* it is attached, has sealed itself, and waits for a command */
/* Number of threads. */
int n_threads(pid_t pid);
uint64_t now_ns(void);
/* Call @cond again and again until it is true or PLAY_WAIT_MS have passed. */
#define EVENTUALLY(cond)                                                 \
	do {                                                             \
		uint64_t end_ns_ = now_ns() + PLAY_WAIT_MS * 1000000ull; \
		while (!(cond) && now_ns() < end_ns_)                    \
			poll_pause();                                    \
		CHECK(cond);                                             \
	} while (0)
void poll_pause(void);

#endif
