/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * protocol - what a program's agent and the daemon say to each other
 *
 * Transport: one SOCK_SEQPACKET connection per attached process, one message per packet. The agent
 * is the client. Descriptors travel as SCM_RIGHTS with the message that names them. No memory is
 * shared between the two, so neither can change a message after the other has checked it.
 *
 * Life of a connection:
 *
 *   agent  -> USWAP_MSG_HELLO      who it is, where its stage and trash lie
 *   daemon -> USWAP_MSG_WELCOME    fds: [/dev/userfaultfd] or [/dev/userfaultfd, main]
 *                                  the second form: the daemon holds this space's main already (fork
 *                                  child, or an agent that left and came back)
 *   agent  -> USWAP_MSG_FDS        fds: [main, aux] (n_fds 2), or [aux] if main came from the daemon
 *   daemon -> USWAP_MSG_READY      both descriptors work and belong to the peer's address space
 *   then, at most one command in flight:
 *   daemon -> USWAP_MSG_DETACH     agent -> USWAP_MSG_DETACHED
 *   daemon -> USWAP_MSG_POPULATE   agent -> USWAP_MSG_POPULATED
 *   daemon -> USWAP_MSG_HOLD       fd of a fork child's main: keep it open; no answer
 *   daemon -> USWAP_MSG_ARM        no answer; from now on an end of file on the socket is fatal
 *   daemon -> USWAP_MSG_LEAVE      the agent ends its thread; no answer
 *   daemon -> USWAP_MSG_REFUSED    the agent ends its thread; .err says why; no answer
 *
 * An end of file: if ARMed, pages of the process are in the hands of a dead daemon; the agent kills
 * the process (a dead program is better than one that reads zeroes). If not, it only ends itself.
 *
 * The control connection (CLI and preload library) uses the same socket and types >= 64.
 *
 * All integers are in host order: both ends are on one machine. Sizes are bytes unless named
 * pages. A page is 4096 bytes everywhere in this protocol.
 */
#ifndef USWAP_PROTOCOL_H
#define USWAP_PROTOCOL_H

#include <stdint.h>

#define USWAP_PROTOCOL_VERSION 1u
#define USWAP_PAGE_BYTES 4096u
#define USWAP_STAGE_HALF_PAGES 256u /* pages one command may move */
#define USWAP_STAGE_HALVES 2u
#define USWAP_STAGE_PAGES (USWAP_STAGE_HALF_PAGES * USWAP_STAGE_HALVES)
#define USWAP_MSG_MAX_BYTES 8192u
#define USWAP_POLICY_NAME_BYTES 16u

/* Environment that makes children started by exec attach by themselves. */
#define USWAP_ENV_SOCKET "USWAP_SOCKET" /* "@name": abstract; else a path */
/*
 * An abstract name is one of a network namespace: from within another one the same daemon is reached by
 * this prefix and what follows the '@', if it could listen there.
 */
#define USWAP_SOCKET_PREFIX "/run/"
#define USWAP_ENV_THRESHOLD "USWAP_THRESHOLD" /* decimal bytes of anonymous memory; attach above */

enum uswap_msg_type {
	USWAP_MSG_HELLO = 1,
	USWAP_MSG_WELCOME,
	USWAP_MSG_FDS,
	USWAP_MSG_READY,
	USWAP_MSG_DETACH,
	USWAP_MSG_DETACHED,
	USWAP_MSG_POPULATE,
	USWAP_MSG_POPULATED,
	USWAP_MSG_HOLD,
	USWAP_MSG_ARM,
	USWAP_MSG_LEAVE,
	USWAP_MSG_REFUSED,

	USWAP_CTL_LEAVE = 64, /* the library asks: take the agent of my process away (setuid…) */
	USWAP_CTL_DETACH,     /* bring all pages of .pid home and stop managing it */
	USWAP_CTL_STATUS,     /* answer: USWAP_CTL_TEXT, JSON */
	USWAP_CTL_HOME,	      /* bring .start/.len of my process home (MADV_GUARD_INSTALL…) */
	USWAP_CTL_DONE,	      /* answer to a request; .err 0 or an errno */
	USWAP_CTL_TEXT,
	USWAP_CTL_POLICY, /* writeback by the policy named in .policy from now on */
	USWAP_CTL_RETIRE, /* empty the swap file into memory; answered when it is */
};

struct uswap_msg_head {
	uint32_t type; /* enum uswap_msg_type */
	uint32_t len;  /* of the whole message, this head included */
};

/* A range of the client's addresses; all zero: none. Page aligned. */
struct uswap_range {
	uint64_t start;
	uint64_t len;
};

struct uswap_msg_hello {
	struct uswap_msg_head head;
	uint32_t version;
	uint32_t reserved;
	struct uswap_range own;	  /* stack, control page, stage, trash and their guards: the agent's
				   * own memory; the daemon never registers or evicts inside it,
				   * apart from stage and trash. stage and trash lie inside own2 */
	struct uswap_range own2;  /* second area of the agent (stage, trash, guards) */
	struct uswap_range stage; /* USWAP_STAGE_PAGES pages */
	struct uswap_range trash; /* USWAP_STAGE_HALF_PAGES pages */
	uint64_t protect_addr;	  /* struct uswap_protect: pages that must stay resident; 0: none */
};

/*
 * Lies in the client at .protect_addr, written by the preload library, read by the daemon through
 * /proc/PID/mem before each eviction: pages of PI and robust mutexes, where the kernel cannot wait
 * for a missing page. n may exceed USWAP_PROTECT_MAX: then the list was too short and the daemon
 * must not evict from this process any more.
 */
#define USWAP_PROTECT_MAX 510u
struct uswap_protect {
	uint64_t n;
	uint64_t reserved;
	uint64_t page_addr[USWAP_PROTECT_MAX];
};

struct uswap_msg_fds {
	struct uswap_msg_head head;
	uint32_t n_fds; /* 2: main, aux; 1: aux */
	uint32_t reserved;
};

/* WELCOME, READY, ARM, LEAVE, HOLD and REFUSED carry only this. */
struct uswap_msg_plain {
	struct uswap_msg_head head;
	uint32_t n_fds;
	int32_t err; /* REFUSED, CTL_DONE: positive errno */
};

struct uswap_run {
	uint64_t start;	   /* address in the program */
	uint32_t n_pages;  /* 1.. */
	uint32_t stage_at; /* page index in the stage where the run goes */
};

/*
 * First empties pages [free_at, free_at + n_free) of the stage (MOVE to the trash on aux, then
 * MADV_DONTNEED of the trash), then MOVEs the runs into the stage on main. The runs' stage indexes
 * lie in one half and the sum of their pages is at most USWAP_STAGE_HALF_PAGES.
 */
#define USWAP_DETACH_MAX_RUNS 256u
struct uswap_msg_detach {
	struct uswap_msg_head head;
	uint64_t seq;
	uint32_t free_at;
	uint32_t n_free; /* 0: nothing to free */
	uint32_t n_runs; /* 0: only free */
	uint32_t reserved;
	struct uswap_run run[USWAP_DETACH_MAX_RUNS]; /* only n_runs are sent */
};

/*
 * One byte per page of the command, in the order of its runs. What MOVE refused may lie in the stage all
 * the same (gate.c): the daemon looks.
 */
enum uswap_moved {
	USWAP_MOVED = 0,
	USWAP_MOVE_BUSY,    /* EBUSY: shared by fork, or pinned */
	USWAP_MOVE_HOLE,    /* ENOENT: nothing there */
	USWAP_MOVE_INVALID, /* EINVAL: not a mapping MOVE takes from */
	USWAP_MOVE_EVENTS, /* EAGAIN: layout events are unread; this page and all later ones stay */
	USWAP_MOVE_OTHER,  /* anything else: .err has the first such errno */
	USWAP_MOVE_OCCUPIED, /* EEXIST: the stage page is not empty */
};
struct uswap_msg_detached {
	struct uswap_msg_head head;
	uint64_t seq;
	uint32_t n_pages;
	int32_t err;	  /* of the first USWAP_MOVE_OTHER, positive errno; 0: none */
	int32_t free_err; /* positive errno of the freeing part; 0: freed */
	uint32_t reserved;
	uint8_t result[USWAP_STAGE_HALF_PAGES]; /* enum uswap_moved; only n_pages are sent */
};

/* MADV_POPULATE_WRITE of each run: makes pages that a fork left shared exclusive again. */
struct uswap_msg_populate {
	struct uswap_msg_head head;
	uint64_t seq;
	uint32_t n_runs;
	uint32_t reserved;
	struct uswap_run run[USWAP_DETACH_MAX_RUNS]; /* stage_at unused */
};
struct uswap_msg_populated {
	struct uswap_msg_head head;
	uint64_t seq;
	uint32_t n_done; /* runs done before the first error */
	int32_t err;	 /* positive errno; 0: all done */
};

/* The body of every request above. The daemon checks the peer's credentials. */
struct uswap_msg_ctl {
	struct uswap_msg_head head;
	int32_t pid;
	uint32_t reserved;
	struct uswap_range range;	      /* CTL_HOME */
	char policy[USWAP_POLICY_NAME_BYTES]; /* CTL_POLICY: zero terminated */
};

_Static_assert(sizeof(struct uswap_msg_detach) <= USWAP_MSG_MAX_BYTES, "command fits a packet");
_Static_assert(sizeof(struct uswap_protect) == USWAP_PAGE_BYTES, "one page");

#endif
