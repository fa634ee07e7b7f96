/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture - shared types of the memory torture test
 *
 * Each worker thread owns ranges of anonymous memory and a shadow record per page that says what the
 * page must contain. Contents are made from (page id, version), so a record of 64 bytes is enough to
 * check all 4096. Records, worker structs and scratch buffers lie in MAP_SHARED memory, which a swap
 * daemon for private anonymous memory does not manage; each record carries its own checksum.
 *
 * Ownership: a range belongs to one worker. A fork child works on a snapshot of its worker.
 * Threads:   one per worker; the shared arena is under one lock per page (torture-shared.c).
 * Invariant: outside an operation every page of a range is mapped, readable and writable, and holds
 *            what its shadow says.
 */
#ifndef USWAP_TORTURE_H
#define USWAP_TORTURE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096u
#define PAGE_WORDS (PAGE / 8u)
#define N_RANGES 6u
#define N_SLOTS (N_RANGES + 3u)
#define NO_SLOT UINT32_MAX
#define N_PATCHES 4u
#define N_NOTES 20u
#define N_QUIET 24u
#define N_SPANS 8u
#define IO_PAGES 64u
#define THREADS_MAX 64u

enum page_kind { KIND_ZERO, KIND_FILL, KIND_TEXT, KIND_THIRD, KIND_RANDOM, N_KINDS };

/* DATA:  the bytes made from kind, source and patches
 * FREED: MADV_FREE: those, or all zeroes; once zeroes, always zeroes
 * HOLE:  not mapped; only inside an operation */
enum page_state { STATE_DATA, STATE_FREED, STATE_HOLE };

struct shadow {
	uint32_t id;	       /* of this record; never changes */
	uint32_t next_version; /* of the next write through this record; only grows */
	uint32_t src_id;       /* the content was written as (src_id, src_version) */
	uint32_t src_version;
	uint8_t kind;
	uint8_t state;
	uint8_t n_patches;
	uint8_t reserved;
	uint32_t check; /* over all other fields */
	struct {
		uint32_t word;
		uint32_t salt;
	} patch[N_PATCHES]; /* single words written later; in order */
	uint64_t last_op;   /* number of the operation that changed it last */
};
_Static_assert(sizeof(struct shadow) == 64, "one cache line");

struct range {
	uint8_t *base;
	struct shadow *sh; /* n_max records */
	uint32_t n_pages;  /* mapped at the moment */
	uint32_t n_max;
	uint32_t slot; /* NO_SLOT: where the kernel put it */
	bool brk;      /* the program break: only moves by brk() */
};

struct span {
	struct range *r;
	uint32_t at;
	uint32_t n;
};

struct note {
	uint64_t op;
	const char *name;
	uint32_t range, at, n, extra;
};

struct worker {
	uint32_t idx;
	bool in_child;
	uint64_t rng;
	uint64_t n_ops;
	uint64_t n_checked;		   /* pages compared */
	uint64_t digest;		   /* of what was done, not of addresses */
	struct range ranges[N_RANGES + 1]; /* the last one: program break, worker 0 only */
	uint32_t n_ranges;
	struct range *busy; /* not to be picked at the moment */
	struct shadow *shadows;
	uint64_t n_shadows;
	struct note notes[N_NOTES];
	uint64_t n_notes;

	const char *op_name;  /* [atomic, watchdog reads] */
	uint64_t op_start_ns; /* [atomic, watchdog reads] 0: idle */
	int32_t child_pid;    /* [atomic, watchdog reads] waited for */
	int32_t tid;

	uintptr_t expect_addr; /* page on which SIGSEGV is expected; 0: none */
	sigjmp_buf expect_jmp;

	uint8_t *managed;   /* private anonymous: sync objects, stacks, signal stack, quiet pages */
	struct range quiet; /* touched by signal handlers only */
	uint32_t n_signals;
	uint64_t signal_rng;

	int file_fd; /* O_DIRECT; -1: not available */
	struct span spans[N_SPANS];

	uint8_t gen[PAGE] __attribute__((aligned(4096)));
	uint8_t got[PAGE];
	uint8_t signal_gen[PAGE];
	uint8_t signal_got[PAGE];
	uint8_t io[IO_PAGES * PAGE];
};

enum {
	OP_SIMPLE = 1, /* fast and without other processes: may run nested and in a fork child */
};
struct op {
	const char *name;
	uint32_t weight;
	uint32_t flags;
	void (*run)(struct worker *w);
};

struct torture {
	uint64_t seed;
	uint32_t n_threads;
	uint32_t seconds;
	uint64_t count; /* operations per thread; 0: by time */
	uint64_t size_bytes;
	uint32_t hang_seconds;
	uint64_t corrupt_at; /* 0: never */
	bool verbose;
	uint32_t mix_pct[N_KINDS];
	struct worker *workers[THREADS_MAX];
	int32_t stop; /* [atomic] */
};
extern struct torture torture;
extern __thread struct worker *self;

/* torture-page.c: contents, shadows, the report */
uint64_t rnd(struct worker *w);
uint32_t rnd_below(struct worker *w, uint32_t n);
uint64_t mix64(uint64_t x);
uint64_t now_ns(void);
void page_make(const struct shadow *sh, uint8_t *dst);
enum page_kind kind_pick(uint64_t random);
struct shadow *shadow_get(struct worker *w, const struct range *r, uint32_t idx);
void shadow_seal(struct shadow *sh);
void shadow_set_zero(struct worker *w, const struct range *r, uint32_t at, uint32_t n);
void shadow_set_state(struct worker *w, const struct range *r, uint32_t at, uint32_t n,
		      enum page_state state);
void shadow_copy(struct worker *w, struct shadow *dst, const struct shadow *src);
uint8_t *page_at(const struct range *r, uint32_t idx);
void page_write(struct worker *w, struct range *r, uint32_t idx, enum page_kind kind);
void page_write_word(struct worker *w, struct range *r, uint32_t idx, uint32_t word, uint32_t salt);
void page_verify(struct worker *w, struct range *r, uint32_t idx);
/* @bytes came from the page by another way (system call): compare them. pre: not FREED */
void page_verify_bytes(struct worker *w, struct range *r, uint32_t idx, const uint8_t *bytes,
		       const char *how);
void note(struct worker *w, const char *name, const struct span *s, uint32_t extra);

/* torture-report.c */
void report_page(struct worker *w, const struct range *r, uint32_t idx, const uint8_t *expected,
		 const uint8_t *found, const char *how) __attribute__((noreturn));
void report_hang(const struct worker *w) __attribute__((noreturn));
void fatal(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void handlers_install(void);
void monitor_start(void); /* before memory is taken */
void monitor_beat(void);  /* the main thread is alive */
/* True if touching the page raised SIGSEGV. */
bool touch_faults(struct worker *w, uint8_t *addr, bool write);

/* torture-range.c: where ranges lie */
void range_init(struct worker *w, uint32_t range_idx, uint32_t n_max, struct shadow *sh);
void range_home(struct worker *w, struct range *r);
struct span span_pick(struct worker *w, uint32_t n_max);
struct span span_pick_layout(struct worker *w, uint32_t n_max); /* not the program break */
void span_settle(struct worker *w, const struct span *s);	/* post: no page of it is FREED */
void span_fill(struct worker *w, const struct span *s);
void span_verify(struct worker *w, const struct span *s);
void worker_verify_all(struct worker *w);
extern const struct op range_ops[];
extern const struct op mem_ops[];
extern const struct op shared_ops[];
extern const struct op fork_ops[];
extern const struct op io_ops[];
extern const struct op sync_ops[];

void brk_init(struct worker *w, struct shadow *sh, uint32_t n_max); /* torture-mem.c */
void shared_init(uint32_t n_pages);				    /* torture-shared.c */
void shared_verify_all(struct worker *w);

/* torture-sync.c: the worker's memory outside its ranges */
void sync_init(struct worker *w);
void sync_thread_begin(struct worker *w);

/* torture-fork.c */
struct worker *snapshot_new(struct worker *w);
void snapshot_free(struct worker *snap);
/* 0 in the child, where self is a snapshot; the pid in the parent. */
pid_t fork_child(struct worker *w, struct worker **ret_snap);
void child_wait(struct worker *w, pid_t pid, const char *what);

/* torture.c */
void ops_run_simple(struct worker *w, uint32_t n);

#endif
