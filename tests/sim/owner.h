/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * owner - the daemon's part of the simulation: owner thread, compressors, upkeep, the swap file
 *
 * Drives the production code of src/space and src/core the way the worker does, one call a step, in
 * an order that the caller chooses. The worker's own loop is not in it; what it guarantees is kept:
 * main is read only while the gate is not shut, an agent leaves only when space_agent_idle(), a fault
 * that is announced by nobody is tried again.
 *
 * Threads: one.
 */
#ifndef USWAP_SIM_OWNER_H
#define USWAP_SIM_OWNER_H

#include "program.h"
#include "space/space.h"
#include "test-disk.h"

#define OWNER_MAX_UNPINNED 4096u
#define OWNER_MAX_READS 512u
#define OWNER_MAX_WRITES 4u
#define OWNER_MAX_PINS 8u

/* A pin that some background thread holds for a while. */
struct held_pin {
	struct slot_id slot; /* v == 0: none */
};

struct owner {
	struct world *world;
	struct rng rng;
	struct swap *swap;
	struct space_group group;
	struct codec_ctx *codec; /* of the background threads */
	uint64_t now_ns;
	struct list puts;   /* jobs whose pages are not in the store yet */
	struct list staged; /* jobs whose pages are to be compressed */
	uint32_t unpinned[OWNER_MAX_UNPINNED];
	uint32_t n_unpinned;
	struct held_pin pins[OWNER_MAX_PINS];
	uint64_t n_steps;
	/* owner-file.c */
	struct test_disk disk; /* .bytes NULL: there is no file */
	struct page_read *reads[OWNER_MAX_READS];
	uint32_t n_reads;
	uint32_t n_reads_max; /* and records lent: what there are buffers for */
	uint32_t n_lent;      /* records that were read and not released */
	struct list decodes;
	struct decode_job *decoding; /* the other thread is in it */
	bool decoder_sleeps;	     /* for directed scenarios */
	struct swap_file_job writes[OWNER_MAX_WRITES];
	uint32_t n_writes;
	bool read_fails; /* for directed scenarios */
	bool quiet;	 /* nothing goes wrong */
};

void owner_init(struct owner *o, struct world *w, uint64_t seed);
void owner_deinit(struct owner *o); /* pre: no process is left */

/* One random step of the owner or of a background thread. */
void owner_step_random(struct owner *o);
/* One round of everything that is due, without starting anything. Return: true if it did something. */
bool owner_round(struct owner *o);
bool owner_is_idle(const struct owner *o);

/* The single steps, for directed scenarios. */
bool owner_attach(struct owner *o, struct proc *p);
void owner_service(struct owner *o, struct space *sp);
bool owner_receive(struct owner *o, struct proc *p);
void owner_tick(struct owner *o, struct space *sp);
uint32_t owner_evict(struct owner *o, struct space *sp, uint32_t n);
void owner_manage(struct owner *o, struct space *sp);
bool owner_put(struct owner *o);      /* a compressor gives one job's slots their bytes */
bool owner_compress(struct owner *o); /* and compresses some pages */
void owner_retry(struct owner *o, struct slot_id id);
bool owner_leave(struct owner *o, struct proc *p); /* the agent goes; false: not now */
void owner_agent_died(struct owner *o, struct proc *p);
/* What a space call returned. False: the space has ended. */
bool owner_result(struct owner *o, struct space *sp, int r);

/* owner-file.c */
void owner_file_init(struct owner *o);
void owner_file_deinit(struct owner *o); /* pre: nothing is under way */
void owner_file_step(struct owner *o);	 /* a random one, if there is a file */
bool owner_file_round(struct owner *o);	 /* all that is under way comes back, and nothing fails */
int owner_file_load(struct owner *o, struct slot_id id, void *dst); /* as swap_load(), for checks */
uint32_t owner_file_read(void *user, struct page_read **reads, uint32_t n);
void owner_file_release(void *user, struct page_read *read);
bool owner_post_decode(void *user, struct decode_job *job);
bool owner_unpost_decode(void *user, struct decode_job *job);
/* The other thread begins with a job, goes on for @n_pages, or leaves it. False: it has none. */
bool owner_decode(struct owner *o, uint32_t n_pages);

static inline struct proc *proc_of(const struct space *sp)
{
	return sp->user;
}

#endif
