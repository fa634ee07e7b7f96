/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * program - model processes with threads, and an oracle that says what each page must contain
 *
 * The oracle knows nothing of uswap, userfaultfds or page tables: one stamp per page, changed at the
 * step in which the kernel makes the change. Where a plain kernel leaves the answer open (a page
 * whose madvise is under way, or given away with MADV_FREE) it allows the old content or zeroes;
 * zeroes once seen stay.
 *
 * Every write first checks what it overwrites, as a write of a few bytes would show it.
 *
 * Threads: one. program_step() is one step of one model thread.
 */
#ifndef USWAP_SIM_PROGRAM_H
#define USWAP_SIM_PROGRAM_H

#include "fake-mem.h"

#define MAX_THREADS 4u
#define MAX_PROCS 6u

enum { /* what is known of a page */
       O_MAPPED = 0x01,
       O_NO_ACCESS = 0x02,
       O_WIPE = 0x04,
       O_NO_FORK = 0x08,
       O_LAZY = 0x10,	/* zeroes at any time until written */
       O_UNSURE = 0x20, /* zeroes or the stamp; the first look decides */
       O_GUARD = 0x40,
       O_WROTE = 0x80, /* written while a madvise on it was under way */
};
struct oracle_page {
	uint64_t stamp;
	uint8_t flags;
};

enum op {
	OP_NONE,
	OP_TOUCH,   /* reads or writes page after page */
	OP_MADVISE, /* mapping after mapping */
	OP_WAIT,    /* a call whose change is made waits for its events */
	OP_FORK,
	OP_GUARD, /* asks for the range to come home, then installs */
};

struct proc;
struct thread {
	struct fk_task task;
	bool exists;
	struct proc *proc;
	enum op op;
	struct frange at; /* what is left of the call's range */
	bool down;	  /* TOUCH: from its end */
	bool write;
	struct frange part; /* MADVISE: the mapping under way */
	bool lazy;	    /* MADVISE: MADV_FREE */
	bool zap;	    /* MADVISE: the event was read, the zap is due */
	struct frange busy; /* WAIT: what the call returns; nobody else knows it yet */
	struct proc *child; /* FORK */
	bool home_asked;    /* GUARD */
	bool home_done;
};

/*
 * PROC_FREE   -> EMBRYO, ALIVE
 * PROC_EMBRYO a fork that has not returned -> ALIVE, DEAD
 * PROC_ALIVE  -> DEAD
 * PROC_DEAD   its space has not been told yet -> FREE
 */
enum proc_state { PROC_FREE, PROC_EMBRYO, PROC_ALIVE, PROC_DEAD };
struct proc {
	enum proc_state state;
	struct world *world;
	uint32_t nr;
	struct fk_mm *mm;
	struct oracle_page o[FK_PROGRAM_PAGES];
	struct thread thread[MAX_THREADS];
	struct fake_agent agent;
	struct space *space; /* the owner's: NULL: not managed */
	bool no_agent;	     /* was detached for good */
	bool home_wanted;    /* `uswap detach` is under way */
	struct frange hole;  /* unmapped last: the kernel gives it out again first */
};

struct program_stats {
	uint64_t n_reads, n_writes, n_faults, n_calls, n_forks, n_exits, n_segv, n_bus;
};

/* All processes, the machine they run on, and what went wrong. */
struct world {
	struct fk fk;
	struct rng rng;
	struct proc proc[MAX_PROCS];
	uint64_t next_stamp;
	struct program_stats stats;
	const char *wrong; /* NULL: nothing yet */
	char detail[256];
	bool in_owner;	    /* inside a memory operation of the owner */
	bool flags_race;    /* MADV_WIPEONFORK and DONTFORK may change while a fork is told of */
	bool bus_expected;  /* a scenario that loses bytes on purpose */
	uint32_t touch_pct; /* share of accesses among the operations */
	uint64_t ops;	    /* OP_* bits of calls that may be made: enum call in program.c */
};

void world_init(struct world *w, uint64_t seed);
void world_deinit(struct world *w);
/* Remember the first thing that went wrong. */
void world_fail(struct world *w, const char *what, const struct proc *p, uint32_t page);

struct proc *proc_start(struct world *w, uint32_t n_threads);
void proc_add_thread(struct proc *p); /* if it can have one more */
void proc_exit(struct proc *p);
void proc_forget(struct proc *p);	/* DEAD, and the owner knows */
bool proc_is_zapping(struct fk_mm *mm); /* a thread is inside madvise() */
uint32_t proc_n_threads(struct fk_mm *mm);
bool proc_zap_pending(const struct proc *p, uint32_t page);

/* One step of @t. @may_begin: it may start another operation. Return: false: nothing to do. */
bool program_step(struct thread *t, bool may_begin);
bool program_is_idle(const struct thread *t);

/* For directed scenarios: begin one operation; program_step() carries it on. */
void program_touch(struct thread *t, uint32_t page, bool write);
void program_madvise(struct thread *t, struct frange at, bool lazy);
void program_munmap(struct thread *t, struct frange at);
void program_mmap(struct thread *t, struct frange at);
void program_mremap(struct thread *t, const struct fk_mremap *m);
void program_fork(struct thread *t);
void program_set_flags(struct thread *t, struct frange at, uint8_t flag, bool on);
/* What is mapped at @page must be what the oracle says, if anything is. */
void program_verify_page(struct proc *p, uint32_t page, uint64_t got, const char *where);

/* program-pick.c: start a random operation. */
void program_begin_random(struct thread *t);

#endif
