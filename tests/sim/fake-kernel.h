/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-kernel - address spaces and userfaultfds of Linux 6.18, as far as uswap leans on them
 *
 * What is true to the kernel, because the rules R1..R8 exist for it:
 *   - A layout event is queued with its thread blocked. From the change on, and until that thread has
 *     run again after the event was read, COPY, ZEROPAGE, POISON, WRITEPROTECT and MOVE on this
 *     userfaultfd are EAGAIN.
 *   - REMOVE comes before the zap: the thread zaps when it runs again. UNMAP, REMAP and FORK come
 *     after the fact.
 *   - One read returns faults before older events. A fault is told once; its thread sleeps until a
 *     WAKE (or COPY...) covers its address, whatever becomes of the mapping.
 *   - Nothing is told of: memory growing in place, guards, protection, flags, the kernel freeing what
 *     MADV_FREE gave it.
 *
 * A page's content is a 64-bit stamp; fake-mem expands it to 4 KiB where bytes cross the border.
 *
 * Ownership: the kernel owns mms and pages; an mm lives until fk_mm_free(), a uffd as long as its
 *            fake mem. Tasks are embedded in what they belong to.
 * Threads:   one. Every function here is one indivisible step of the kernel.
 */
#ifndef USWAP_SIM_FAKE_KERNEL_H
#define USWAP_SIM_FAKE_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "space/mem-ops.h"
#include "test-pages.h"

#define FK_BASE \
	0x7f0000180000ULL /* inside of a leaf: leaf borders fall into the program's memory */
#define FK_PROGRAM_PAGES 2560u
#define FK_AREA_PAGES 776u /* one agent's own, stage and trash */
#define FK_N_AREAS 3u
#define FK_PAGES (FK_PROGRAM_PAGES + FK_N_AREAS * FK_AREA_PAGES)
#define FK_MAX_VMAS 512u
#define FK_MAX_TASKS 96u

struct frange { /* pages of an address space, by number from FK_BASE */
	uint32_t start;
	uint32_t end; /* exclusive */
};

static inline uint64_t fk_addr(uint32_t page)
{
	return FK_BASE + (uint64_t)page * PAGE_BYTES;
}

static inline uint32_t fk_page_nr(uint64_t addr)
{
	return (uint32_t)((addr - FK_BASE) / PAGE_BYTES);
}

struct fk_page {
	uint64_t stamp;
	uint32_t refs; /* page tables that map it; 0: free */
	uint32_t next_free;
	bool exclusive; /* MOVE takes it */
	bool zero;	/* the shared zero page: a write replaces it */
	bool lazy;	/* MADV_FREE, not written since: the kernel may drop it */
	bool pinned;	/* I/O in flight */
};

enum fk_mark { FK_NONE, FK_GUARD, FK_POISON };
struct fk_pte {
	uint32_t page;	   /* 0: none */
	enum fk_mark mark; /* only without a page */
};

enum fk_reg { FK_UNREGISTERED, FK_WP, FK_MISSING };
struct fk_vma {
	struct frange at;
	enum fk_reg reg; /* with main */
	bool aux;	 /* registered with aux */
	bool no_access;	 /* PROT_NONE */
	bool wipe;	 /* MADV_WIPEONFORK */
	bool no_fork;	 /* MADV_DONTFORK */
	bool agent;	 /* belongs to an agent */
	uint32_t kin;	 /* mappings of different kin do not merge */
};

struct fk;
struct fk_mm;

struct fk_uffd {
	struct fk_mm *mm; /* NULL: the address space is gone */
	uint32_t n_changing;
	struct fk_task *faults[FK_MAX_TASKS]; /* not read yet, oldest first */
	uint32_t n_faults;
	struct fk_task *events[FK_MAX_TASKS]; /* as above */
	uint32_t n_events;
	bool no_fds; /* a fork event cannot be read: EMFILE */
	uint32_t n_refs;
};

struct fk_mm {
	struct fk *fk;
	bool dead;
	struct fk_uffd *main; /* NULL: never had one */
	struct fk_vma vma[FK_MAX_VMAS];
	uint32_t n_vmas;
	struct fk_pte pte[FK_PAGES];
	void *user; /* the process */
};

/*
 * TASK_RUNS       -> FAULT (told or not), EVENT_LATE, EVENT
 * TASK_FAULT      -> RUNS  by a wake
 * TASK_EVENT_LATE the change is made, the event not queued yet (fk->late_events)
 *                 -> EVENT when it runs
 * TASK_EVENT      -> EVENT_READ by a read
 * TASK_EVENT_READ -> RUNS, or the next event of the same call, when it runs
 */
enum fk_task_state { TASK_RUNS, TASK_FAULT, TASK_EVENT_LATE, TASK_EVENT, TASK_EVENT_READ };
struct fk_task {
	struct fk_mm *mm;
	uint32_t tid;
	enum fk_task_state state;
	uint64_t addr; /* FAULT */
	bool write;
	bool told; /* the fault was read */
	struct mem_event event[4];
	struct fk_mm *child[4]; /* of a FORK */
	uint32_t n_events, at_event;
	uint64_t since_round; /* when it went to sleep: for the bound on waiting */
};

struct fk {
	struct rng rng;
	struct fk_page *pages;
	uint32_t n_pages, free_page;
	struct fk_task *tasks[FK_MAX_TASKS];
	uint32_t n_tasks;
	uint32_t next_tid;
	uint32_t miscount_one_in; /* MOVE loses count on the way, as in Linux 6.18; 0: never */
	bool late_events; /* another thread's event may overtake one whose change came first */
	uint64_t round;
	void (*preempt)(void *user); /* called before each memory operation: others may run */
	void *user;
	bool trace;
	/* failure injection, by fake-mem */
	uint64_t n_calls;     /* fallible calls so far */
	uint64_t fail_at;     /* 0: none */
	uint32_t fail_one_in; /* 0: never */
	bool failed;
};

void fk_init(struct fk *fk, uint64_t seed);
void fk_deinit(struct fk *fk);

struct fk_mm *fk_mm_new(struct fk *fk);
void fk_mm_exit(struct fk_mm *mm); /* every task of it is gone, ioctls say ESRCH */
void fk_mm_free(struct fk_mm *mm); /* pre: exited */
struct fk_uffd *fk_uffd_new(struct fk_mm *mm);
void fk_uffd_unref(struct fk_uffd *u);

void fk_task_start(struct fk_task *t, struct fk_mm *mm);
void fk_task_end(struct fk_task *t);
/* A task in EVENT_LATE or EVENT_READ goes on. Return: true if it runs now. */
bool fk_task_run(struct fk_task *t);
void fk_task_signal(struct fk_task *t); /* a sleeper in a fault faults again */
void fk_wake(struct fk_uffd *u, uint64_t start, uint64_t end);

enum fk_result { FK_OK, FK_SLEEPS, FK_SEGV, FK_BUS };
/* One access. FK_OK: *ret_page is mapped, and exclusive if @write. FK_SLEEPS: in a fault. */
enum fk_result fk_access(struct fk_task *t, uint32_t page, bool write, struct fk_page **ret_page);

struct fk_vma *fk_vma_at(struct fk_mm *mm, uint32_t page);
struct fk_vma *fk_vma_next(struct fk_mm *mm, uint32_t page); /* the first that ends after it */
bool fk_is_free(struct fk_mm *mm, struct frange at);

/* Calls of the program. Those that return bool: true if the thread waits for its events now. */
bool fk_mmap(struct fk_task *t, struct frange at, const struct fk_vma *like);
bool fk_munmap(struct fk_task *t, struct frange at);
struct fk_mremap {
	struct frange from; /* inside of one mapping */
	struct frange to;   /* in place: same start */
	bool dont_unmap;
};
bool fk_mremap(struct fk_task *t, const struct fk_mremap *m);
/* The child is not told to anybody, and does not run, before the event was read. */
bool fk_fork(struct fk_task *t, struct fk_mm **ret_child);
/*
 * First half of a madvise on the first mapping of *at: *at becomes the part of it that this step is
 * about. Return: 0: go on with fk_zap(); 1: after the event; -1: nothing is mapped there.
 */
int fk_remove_begin(struct fk_task *t, struct frange *at);
/*
 * The zap itself, on what is mapped now. @lazy: MADV_FREE. Return: where it ended; the mapping may
 * have been split since, then the call goes on from there. @at.start: nothing is mapped any more.
 */
uint32_t fk_zap(struct fk_mm *mm, struct frange at, bool lazy);
void fk_guard(struct fk_mm *mm, struct frange at, bool install);
/* Set what @fn sets in every mapping of the range; splits and merges, tells nobody. */
void fk_change(struct fk_mm *mm, struct frange at, void (*fn)(struct fk_vma *vma, bool on),
	       bool on);
bool fk_reclaim_lazy(struct fk_mm *mm, uint32_t page); /* true: it was dropped */

/*
 * UFFDIO_MOVE. Return: 0; -errno. *ret_done pages were moved in either case; with fk->miscount_one_in
 * perhaps more.
 */
struct fk_move {
	uint32_t dst, src, n;
	bool aux;   /* by aux, which has no events */
	bool holes; /* ALLOW_SRC_HOLES */
};
int fk_move(struct fk_mm *mm, const struct fk_move *m, uint32_t *ret_done);

/* With fk->trace: one line. Page numbers, so that lines of different layers can be compared. */
__attribute__((format(printf, 2, 3))) void fk_trace(const struct fk *fk, const char *fmt, ...);
uint32_t fk_page_alloc(struct fk *fk, uint64_t stamp);
void fk_pte_clear(struct fk_mm *mm, uint32_t page);

#endif
