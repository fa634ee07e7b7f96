/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * space - one client address space, and the group of spaces under one limit
 *
 * A space is a passive state machine: its owner thread calls in when main is readable, when the
 * agent has answered, when a background thread has read a stage half or dropped a pin. Nothing here
 * blocks, sleeps or starts a thread, so that the simulator can drive it in virtual time.
 *
 * Files: space.c life, gate.c the command in flight, detach.c evictions, clock.c what to evict, event.c
 * layout events, witness.c which of them came last, fault.c service, load.c pages that come back,
 * load-file.c from the file, readahead.c streams, fork.c, manage.c registration, home.c bringing pages
 * back, job.c the background half of an eviction.
 *
 * Threads:   the owner; evict jobs are carried out by compressors, who touch no space.
 * Invariant: a page marked PRESENT lies in a region; a region is registered in the kernel while no
 *            event is unread (R3, R8). Events are read only with the gate open (R1).
 */
#ifndef USWAP_SPACE_SPACE_H
#define USWAP_SPACE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/swap-file.h"
#include "core/swap.h"
#include "space/clock.h"
#include "space/mem-ops.h"
#include "space/page-map.h"
#include "space/region.h"
#include "uswap/protocol.h"

#define AHEAD_MAX_PAGES 64u /* pages installed by one COPY */
#define SPACE_MAX_WAITING 1024u
#define SPACE_MAX_PROTECTED 32768u /* ranges: one for each thread, and what the agent lists */
#define SPACE_N_STREAMS 8u
#define SPACE_MAX_HELD 4096u
#define SPACE_MAX_LEFT 128u
#define WITNESS_MAX_CALLS 32u
#define GROUP_MAX_LOADS 64u  /* loads from the file under way at once */
#define GROUP_MAX_EARLY 8u   /* of these: read ahead of their stream */
#define GROUP_DECODE_BUFS 4u /* of these: decompressed before they are wanted */
#define GROUP_DECODE_BYTES ((size_t)GROUP_DECODE_BUFS * AHEAD_MAX_PAGES * PAGE_BYTES)

struct space;
struct decode_job;
struct evict_job;
struct page_read;

/* Fault latencies, from read() to the end of the ioctl: 4 buckets per power of two of ns. */
#define LATENCY_BUCKETS 160u
struct latency {
	uint64_t n[LATENCY_BUCKETS];
};
void latency_add(struct latency *l, uint64_t ns);
uint64_t latency_ns(const struct latency *l, double quantile); /* 0.5, 0.99; 0: no sample */

struct space_stats {
	uint64_t n_faults;	/* messages served */
	uint64_t n_turns;	/* fault messages that came from another thread than the last one */
	uint64_t n_zero_faults; /* of these: first touches */
	uint64_t n_load_faults; /* of these: from the store */
	uint64_t n_ahead;	/* pages installed by readahead */
	uint64_t n_zero_ahead;	/* zero pages installed ahead of a first touch */
	uint64_t n_evicted;	/* pages moved out */
	uint64_t n_commands;	/* detach commands */
	uint64_t n_hand_leaves; /* leaves that the hand passed */
	uint64_t n_hand_empty;	/* times that it found nothing to evict */
	uint64_t n_file_faults; /* of the loads: had to be read */
	uint64_t n_file_ahead;	/* pages read together with them */
	uint64_t n_file_waits;	/* faults that found too many reads under way */
	uint64_t n_file_early;	/* loads begun before their stream got there */
	uint64_t n_file_joined; /* of these: a fault came for them */
	uint64_t n_parked;	/* faults that found their slot pinned */
	uint64_t n_delayed;	/* faults that waited for room under the limit */
	uint64_t n_again;	/* ioctls refused because of unread events */
	uint64_t n_busy;	/* MOVE refusals: shared by fork or pinned */
	uint64_t n_hole;	/* MOVE found nothing */
	uint64_t n_invalid;	/* MOVE refused the mapping */
	uint64_t n_shared_same; /* evicted pages that were what relatives have in the store */
	uint64_t n_shared_changed; /* and that were not any more */
	uint64_t n_uncounted;	   /* pages that MOVE has moved and not counted */
	uint64_t n_poisoned;	   /* pages whose bytes were lost */
	uint64_t n_held;	   /* layout events that came in the wrong order */
	uint64_t n_forks;
	uint64_t n_revoked;	     /* gates revoked from a stopped agent */
	uint64_t n_overflow;	     /* faults woken to fault again: the waiting list was full */
	uint64_t n_adopted;	     /* faults in registered ranges we had not heard of */
	struct latency latency;	     /* what came from memory, and first touches */
	struct latency file_latency; /* what had to be read */
};

enum wait_why {
	WAIT_PIN,    /* on .slot; retried by space_unpinned() */
	WAIT_DETACH, /* on the answer of the agent */
	WAIT_ROOM,   /* on memory under the limit */
	WAIT_RETRY,  /* an ioctl said EAGAIN */
	WAIT_LOADS,  /* on one of the loads from the file */
};
struct waiting_fault {
	uint64_t addr;
	uint64_t since_ns;
	struct slot_id slot;
	uint32_t tid;
	enum wait_why why;
	bool write;
};

/* Pages of [range): either still there, or moved to .to. See event_remap(). */
struct doubt {
	struct urange range;
	uint64_t to;
};

/* What the owner of a group does for its spaces. Called by the owner thread only. */
struct space_host {
	/* Hand a job to the compressors. */
	void (*post_job)(void *user, struct evict_job *job);
	/* A fork child appeared: watch its main. The space belongs to the group. */
	void (*forked)(void *user, struct space *parent, struct space *child);
	uint64_t (*now_ns)(void *user);
	/*
	 * Begin to read the records of @reads, ascending in the file. Return: how many were taken, from
	 * the first on; each comes back by space_read_done(), never from inside of this call. NULL:
	 * there is no file.
	 */
	uint32_t (*read)(void *user, struct page_read **reads, uint32_t n);
	/* The record of a read that has come is not needed any more. */
	void (*release)(void *user, struct page_read *read);
	/*
	 * Have another thread decompress @job: decode_job_step() until it is false, then
	 * decode_job_leave(). Return: false: not now. NULL: there is no such thread.
	 */
	bool (*post_decode)(void *user, struct decode_job *job);
	/* Return: true: no thread has it nor will have it; false: one has, or had. */
	bool (*unpost_decode)(void *user, struct decode_job *job);
};

/* What the program waits for at one address, and how many pages may go with it. */
struct ahead {
	uint64_t start; /* address of the first page */
	uint32_t n;	/* pages, 1.. ; the faulting one is among them */
	int32_t stride; /* pages between them: 1, or the stream's */
};

/* One page of a load from the file. The host has it from read() on until space_read_done(). */
struct page_read {
	struct swap_extent extent; /* where its record lies */
	const void *record; /* set by the host before space_read_done(); NULL: it cannot be read */
	void *host;	    /* the host's */
	struct file_load *load;
	struct slot_id slot; /* pinned; v == 0: not part of the load */
	enum {
		READ_NONE,   /* its bytes are in memory */
		READ_FLYING, /* the host has it */
		READ_DONE,   /* .record is lent to us */
	} state;
	bool is_decoded; /* .result is what swap_load_ahead() returned, .use what it gave */
	int result;
	struct swap_use use;
};

/*
 * The pages of an early load that has all its records, being decompressed. Whoever takes part takes one
 * page after the other, so that the owner can help when a fault comes for them, and waits at most for
 * the page that the other thread is at.
 *
 * Ownership: the load's. From post_decode() on a thread may be in it, until unpost_decode() says that
 * none is, or that thread has left.
 */
struct decode_job {
	struct list link; /* the host's */
	struct swap *swap;
	struct page_read *reads; /* of the load */
	uint8_t *pages;		 /* page k of the plan at k; NULL: the load is not decoded early */
	_Atomic uint32_t next;	 /* of .reads: nobody has begun with it */
	_Atomic uint32_t state;	 /* DECODE_LEFT, DECODE_WANTED */
	bool posted;		 /* [owner] */
};

/*
 * Pages on their way from the file into one space. Owned by the group: the space may end meanwhile.
 *
 * free      on group->loads_free
 *     -> reading  load_file_begin(), load_file_home(), load_early()
 * reading   .n_flying > 0, on group->loads
 *     -> ready    space_read_done() of the last one
 *     -> early    the same, and it is LOAD_FOR_STREAM
 * early     .n_flying == 0; its pages wait for the first fault on one of them, and are decompressed
 *     -> ready    load_file_join()
 *     -> reading  the same, while another thread is at one of its pages: space_decoded() ends it
 *     -> free     nobody came for EARLY_KEEP_NS, or what it holds is needed
 * ready     .n_flying == 0; installed at once, or when no event is unread any more
 *     -> free
 */
enum load_for {
	LOAD_FOR_FAULT,	 /* .fault waits for it */
	LOAD_FOR_NOBODY, /* its fault waits elsewhere: what is read comes home */
	LOAD_FOR_HOME,	 /* as above, and what cannot be had is poisoned as if a fault waited */
	LOAD_FOR_STREAM, /* a fault is expected; load_file_join() makes it LOAD_FOR_FAULT */
};
struct file_load {
	struct list link;
	struct space *space; /* NULL: it has ended, or wants the pages no more */
	enum load_for why;
	/* LOAD_FOR_FAULT: this one. Else .addr: which page it is about, and while a stream's load
	 * waits for its fault, .since_ns: when it landed */
	struct waiting_fault fault;
	bool ready;
	bool waited; /* the fault waits for the disk */
	struct ahead plan;
	uint32_t n_flying;
	uint32_t n_room; /* pages that have their room already */
	struct decode_job decode;
	struct page_read read[AHEAD_MAX_PAGES]; /* by page of the plan */
};

/*
 * Whose compressed copies are kept when they are loaded: a page that has one, and is still the same when it
 * leaves, is not compressed again. In the pool copies take memory; in the file they take none, but the
 * page is on the disk again then and not in the pool, where a page that was wanted once is better than
 * the coldest one.
 */
enum keep_copies {
	KEEP_NONE,
	KEEP_STREAMS, /* what readahead brought: it is passed through, and rarely wanted again */
	KEEP_ALL,
};

/* All spaces of one app that one owner thread serves. */
struct space_group {
	struct swap *swap;
	struct swap_app *app;
	struct page_map_arenas arenas;
	struct codec_ctx *codec;
	const struct space_host *host;
	void *user;
	struct list spaces;
	uint32_t n_spaces;
	_Atomic uint32_t n_jobs; /* in the hands of compressors, who count them down */

	int64_t room_pages; /* that may become resident before the limit is reached; set by the
				 * controller, counted down by installs, up by evictions */
	bool limit_off;	    /* never delay a fault */
	enum keep_copies keep_pool, keep_file; /* of what is loaded from there */
	bool keep_shared; /* and of what relatives have there as well: it costs nothing */
	bool readahead;
	uint32_t early_window; /* a stream with a window of so many pages is read ahead of */
	uint32_t evict_seq;    /* pages evicted so far */
	uint64_t n_resident;   /* sum of the page maps' n_present */

	struct file_load *loads_mem; /* GROUP_MAX_LOADS; NULL: the host has no file */
	struct list loads_free;
	struct list loads;   /* from the file, under way */
	uint64_t n_loading;  /* pages of them: they have their room already */
	uint32_t n_early;    /* of them: LOAD_FOR_STREAM */
	uint8_t *decode_mem; /* GROUP_DECODE_BUFS times AHEAD_MAX_PAGES pages; NULL: as above */
	uint8_t *decode_free[GROUP_DECODE_BUFS];
	uint32_t n_decode_free;

	struct urange *protected; /* SPACE_MAX_PROTECTED, for space_evict() */
	uint8_t *scratch;	  /* AHEAD_MAX_PAGES pages for loads */
	uint8_t *zeroes;	  /* AHEAD_MAX_PAGES pages of zeroes */
	bool is_warm;		  /* these two have been touched */
	struct space_stats stats;
};
int space_group_init(struct space_group *g, struct swap *swap, const struct space_host *host,
		     void *user, uint64_t max_pages);
void space_group_deinit(struct space_group *g); /* pre: no space left */

/*
 * GATE_OPEN     no command in flight; main is read
 *     -> SHUT     space_evict(): detach command sent
 * GATE_SHUT     the agent may be moving pages; main is not read
 *     -> OPEN     space_answer()
 *     -> REVOKED  space_tick(): no answer for REVOKE_NS; the stage is unregistered
 *     -> OPEN     space_agent_gone(): what lies in the stage is found by a scan
 * GATE_REVOKED  main is read; a late MOVE fails; no command may be sent
 *     -> OPEN     space_answer(): the old answer came; the stage is registered again
 *     -> OPEN     space_agent_gone()
 */
enum gate { GATE_OPEN, GATE_SHUT, GATE_REVOKED };

/*
 * HALF_FREE     empty
 *     -> MOVING   space_evict()
 * HALF_MOVING   runs of the command in flight go there
 *     -> FREE     answer: nothing was moved
 *     -> FULL     answer: the pages were copied into a buffer of ours, the stage still has them
 * HALF_FULL     read; a later command empties it
 *     -> EMPTYING evict_flush(), or space_evict() that fills the other half
 * HALF_EMPTYING being emptied by the command in flight
 *     -> FREE     answer
 *     -> FULL     the agent could not, or was not there any more
 */
enum half_state { HALF_FREE, HALF_MOVING, HALF_FULL, HALF_EMPTYING };
struct stage_half {
	enum half_state state;
	uint32_t n_used; /* pages from its start that may be occupied */
};

struct stream {
	uint64_t last;	    /* page number of the last fault */
	uint64_t next;	    /* where the next fault of the stream is expected */
	int32_t stride;	    /* pages; 0: not known yet */
	uint32_t window;    /* pages to install; 0: not established */
	bool is_slow;	    /* what was read ahead of it was not wanted in time */
	uint8_t more_early; /* windows to read ahead, beside the next */
	uint32_t used;	    /* clock value of the last use */
};

struct victim {
	uint64_t addr;
	struct slot_id slot;
	bool fresh; /* the slot was made for this eviction: not in the map yet */
	uint8_t level;
};

/* What was seen before an event was read: witness.c. */
struct witness {
	struct region_set gone; /* something had come there, and is not there now */
	struct mem_call call[WITNESS_MAX_CALLS]; /* that have not told all, for what we know */
	uint32_t n_calls;
	bool has_looked; /* for the event that is read next, and at all that had come */
	bool is_blind;	 /* the kernel did not say */
};

struct space {
	struct list link; /* [owner] group->spaces */
	struct space_group *group;
	struct mem *mem;
	int pid; /* 0: fork child without agent */
	bool dead;
	bool agent;	/* READY: commands may be sent */
	bool armed;	/* the agent was told that pages are out */
	bool homing;	/* pages come home and stay: traced, or leaving */
	bool leaving;	/* `uswap detach`: never managed again */
	bool unchecked; /* regions are inherited and not yet compared with the kernel's (R8) */

	struct page_map map;
	struct region_set regions;
	struct region_set no_ahead; /* ranges with guard pages, which come and go without an event:
				     * nothing is evicted, only what faults is installed (R3) */
	struct region_set wiped; /* empty in a child (WIPEONFORK), as our parent's mappings said */
	struct urange own[2];	 /* the agent's memory */
	struct urange stage;
	struct urange trash;

	enum gate gate;
	/* Layout events that came before one that happened earlier: see event.c */
	struct mem_event *held; /* SPACE_MAX_HELD at most */
	uint32_t n_held, n_held_max;
	struct urange left[SPACE_MAX_LEFT]; /* moved away, their UNMAP is still to come */
	uint32_t n_left;
	struct space
		*born_of; /* a fork of it, and not all of its events from before may have come */
	bool has_kin;	  /* it was born by a fork, or has forked */
	uint64_t born_ns; /* when its fork was applied */
	uint32_t n_young; /* spaces that are born of this one */
	struct region_set own_moves; /* while .born_of: what its own events took away or brought */
	struct region_set born_with; /* the same of those it was born of, before that */
	struct region_set arrived;   /* targets of REMAPs, until nothing is on its way any more */
	struct region_set news;	     /* registered by us since nothing was on its way */
	struct region_set suspects;  /* unmapped by an event that may be older than what is there */
	struct witness witness;
	bool moves;	      /* one of several threads has used mremap(): look before each read */
	struct doubt *doubts; /* of suspects: where else their pages may be */
	uint32_t n_doubts, n_doubts_max;

	bool populating; /* a POPULATE command is in flight; the gate is open */
	uint64_t seq;	 /* of the last command */
	uint64_t sent_ns;
	uint32_t half_sent; /* which half the command in flight fills or empties */
	struct stage_half half[USWAP_STAGE_HALVES];
	struct victim victims[USWAP_STAGE_HALF_PAGES];
	uint32_t n_victims;
	struct stage_buf *buf; /* reserved for the command in flight */
	struct evict_job *job; /* as above */
	struct uswap_msg_detach cmd;

	uint64_t hand; /* clock hand: address */
	struct clock clock;
	uint64_t unstick_at;	/* address: space_unstick() goes on there */
	uint64_t n_unknown;	/* pages emptied or moved by the program since the last rescan */
	uint64_t unknown_ns;	/* when that happened last */
	uint64_t removed_ns;	/* last REMOVE; 0: nobody can be inside of its call any more */
	uint64_t last_zero_end; /* where the last zero window ended */
	uint32_t zero_window;

	struct stream streams[SPACE_N_STREAMS];
	uint32_t stream_clock;

	struct waiting_fault *waiting; /* SPACE_MAX_WAITING */
	uint32_t n_waiting;
	uint32_t n_ready;  /* loads from the file that wait to be installed */
	uint32_t last_tid; /* thread of the last fault: placement */
	uint64_t last_fault_ns;
	int agent_tid; /* the owner's, for placement; 0: not known */

	uint64_t rss_anon_pages;	/* last sample */
	uint64_t shared_pages;		/* of these: counted at a relative */
	uint64_t managed_rss_pages;	/* not known to us after its mappings were last read */
	uint64_t managed_unknown_pages; /* the same, if what was emptied is not resident */
	uint64_t manage_ns;
	uint64_t unshare_ns; /* last POPULATE */
	uint64_t unstick_ns; /* not before: space_unstick() */
	uint64_t unstick_wait_ns;
	uint64_t n_stuck_before, n_unstuck; /* the last one */
	uint64_t evict_after_ns;	    /* nothing could be chosen: not before */
	void *user;			    /* the owner's */
};

/* @mem is consumed, also on failure. A space starts without agent. */
int space_new(struct space **ret_space, struct space_group *group, struct mem *mem);
struct space *space_free(struct space *sp); /* Return: NULL. Takes NULL */

/* An agent is ready. @hello has been checked against nothing yet. Return: 0; -EPROTO; errno. */
int space_agent_ready(struct space *sp, const struct uswap_msg_hello *hello);
void space_agent_gone(struct space *sp);
bool space_agent_idle(const struct space *sp); /* no command in flight */

enum {
	SPACE_E_DEAD = 1, /* the address space is gone: call space_free() */
};

/*
 * Read main until it is empty, or long enough; apply layout events, serve faults. Return: 0;
 * SPACE_E_DEAD.
 */
int space_service(struct space *sp);
/* Until it was empty; a fork event that cannot be read for want of descriptors stays. Return: as above */
int space_service_all(struct space *sp);
/* A message of the agent. Return: 0; SPACE_E_DEAD; -EPROTO: end this agent. */
int space_answer(struct space *sp, const void *msg, size_t len);
/* Serve again what waited for @id (v == 0: everything that waits for anything but a pin). */
int space_retry(struct space *sp, struct slot_id id);
bool space_has_retry(const struct space *sp); /* something waits that nobody will announce */
/* A record has come: read->record. Return: the space that turned out to be dead, or NULL. */
struct space *space_read_done(struct space_group *g, struct page_read *read);
/* The thread that was in @job has left it, and decode_job_leave() was true. Return: as above. */
struct space *space_decoded(struct space_group *g, struct decode_job *job);
/* Now and then (10 ms): revoke a gate, rescan, empty idle halves. Return: 0; SPACE_E_DEAD. */
int space_tick(struct space *sp);

/*
 * Send a detach command for up to @n_max pages. Return: pages in the command; 0: none could be
 * chosen or the space cannot take a command now.
 */
uint32_t space_evict(struct space *sp, uint32_t n_max);
bool space_can_evict(const struct space *sp);
/* Present pages that MOVE has not refused. */
static inline uint64_t space_movable_pages(const struct space *sp)
{
	return sp->map.n_present - sp->map.n_stuck;
}
/* From now on the agent stops its process when we are gone. Return: 0; -errno. */
int space_arm(struct space *sp);
/* Make pages that forks left shared exclusive again: one command. Return: pages. */
uint32_t space_unshare(struct space *sp, uint32_t n_max);
/* Give up what present pages have in the store together with relatives: nobody may need it. */
void space_drop_shares(struct space *sp);
/* About @n_max refused pages that a copy would not help may be tried again: unlocked? Return: pages. */
uint32_t space_unstick(struct space *sp, uint32_t n_max);

/* Register what is not yet: whole mappings (R10). Return: 0; SPACE_E_DEAD; errno. */
int space_manage(struct space *sp);
/* Compare inherited regions with the kernel's (R8). Return: 0; SPACE_E_DEAD. */
int space_check_regions(struct space *sp);

/* Load up to @n_max evicted pages of @range. Return: pages that are still out in it. */
uint64_t space_bring_home(struct space *sp, struct urange range, uint32_t n_max);
/* All is home: unregister everything. pre: no slot in the map. Return: 0; -EBUSY. */
int space_unmanage(struct space *sp);

void space_check(struct space *sp); /* O(n): asserts the invariants */

/*
 * One eviction's pages between the stage and the pool. The owner has copied them out of the client
 * before it read main again: a fork may make the client's relatives depend on them, and the client
 * may exit. From here on they have nothing to do with the client.
 *
 * JOB_PUT       slots pinned, without entry  -> evict_job_put()
 * JOB_COMPRESS  entries STAGED in the buffer, slots free -> evict_job_compress() until it returns 0
 */
struct evict_job {
	struct list link; /* queue of whoever has it */
	struct space_group *group;
	struct stage_buf *buf;
	uint32_t evict_seq;
	uint32_t n;
	uint32_t next;	 /* JOB_COMPRESS: where to go on */
	uint32_t n_left; /* JOB_COMPRESS: pages before .next that could not be compressed */
	struct {
		struct slot_id slot;
		uint16_t page_idx; /* in the buffer */
		uint8_t level;
	} page[USWAP_STAGE_HALF_PAGES];
};
struct evict_job *evict_job_new(void);
/* Give the slots their bytes and drop the pins. */
void evict_job_put(struct evict_job *job);
/*
 * Compress up to @n_max pages. Return: pages still to do, pinned ones included; 0: all done, the
 * buffer was given back.
 */
uint32_t evict_job_compress(struct evict_job *job, uint32_t n_max, enum swap_codec codec,
			    struct codec_ctx *ctx);
struct evict_job *evict_job_free(struct evict_job *job); /* Return: NULL */

/* decode.c: for the thread that a job was posted to. Return: false: there is nothing left to begin. */
bool decode_job_step(struct decode_job *job, struct codec_ctx *ctx);
/*
 * The last thing it does with a job. Return: true: the owner waits, and is to call space_decoded();
 * false: the job may be gone already.
 */
bool decode_job_leave(struct decode_job *job);

#endif
