/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-mem - the least client that a space can serve: one range of pages, a stage, a mem_ops table
 *
 * No threads, no events: what fuzz-space is about is the agent's word. A page's content is a stamp;
 * .want says what the program must find, unless somebody lied about the page.
 *
 * Threads: one.
 */
#ifndef USWAP_FUZZ_MEM_H
#define USWAP_FUZZ_MEM_H

#include <stdbool.h>

#include "space/mem-ops.h"
#include "uswap/protocol.h"

#define CLIENT_BASE UINT64_C(0x7f0000100000) /* leaves begin inside of it */
#define CLIENT_PAGES 768u
#define CLIENT_OWN UINT64_C(0x7f8000000000)
#define CLIENT_OWN2 UINT64_C(0x7f8000100000)
#define CLIENT_STAGE (CLIENT_OWN2 + USWAP_PAGE_BYTES)
#define CLIENT_TRASH (CLIENT_STAGE + (USWAP_STAGE_PAGES + 1ull) * USWAP_PAGE_BYTES)

struct fake_page {
	uint64_t stamp;
	bool present;
};

struct fake_client {
	struct mem base; /* first */
	struct fake_page page[CLIENT_PAGES];
	struct fake_page stage[USWAP_STAGE_PAGES];
	uint64_t want[CLIENT_PAGES];
	bool lied[CLIENT_PAGES];     /* its content is the client's own fault */
	bool poisoned[CLIENT_PAGES]; /* SIGBUS */
	bool stage_registered;
	bool dead;
	uint32_t short_at; /* page of the stage that cannot be read; USWAP_STAGE_PAGES: none */
	uint32_t fault_page;
	bool fault; /* one is unread */
	bool send_fails;
	uint32_t n_sent; /* commands without an answer */
	bool freed;
	union {
		struct uswap_msg_head head;
		struct uswap_msg_detach detach;
		struct uswap_msg_populate populate;
		uint8_t bytes[USWAP_MSG_MAX_BYTES];
	} cmd;
};

void client_init(struct fake_client *c);
/* As an honest agent does it, but only the first @n_max pages; the others stay (EVENTS). */
void client_obey(struct fake_client *c, uint32_t n_max, struct uswap_msg_detached *ret);
uint32_t client_cmd_pages(const struct fake_client *c); /* of the runs of a DETACH */
void client_check(const struct fake_client *c); /* what is present is what the program wrote */

#endif
