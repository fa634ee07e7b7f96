/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mem-ops - the kernel's side of one client address space
 *
 * The only way src/space reaches a client's memory, so that the simulator can put a fake kernel
 * behind it. One object per space; the production one (mem-linux) holds the userfaultfd "main",
 * /proc/PID/mem, /proc/PID/pagemap and the agent's socket.
 *
 * Errors: 0 or a negative errno, as the kernel gave it. Addresses are the client's.
 * Threads: the space's owner, except read_mem (any thread).
 */
#ifndef USWAP_SPACE_MEM_OPS_H
#define USWAP_SPACE_MEM_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct uaddr {
	uint64_t v;
};

struct urange {
	uint64_t start; /* page aligned */
	uint64_t end;	/* exclusive */
};

static inline bool urange_overlap(struct urange a, struct urange b)
{
	return a.start < b.end && b.start < a.end;
}

/* What is in both. pre: they overlap */
static inline struct urange urange_and(struct urange a, struct urange b)
{
	return (struct urange){ a.start > b.start ? a.start : b.start,
				a.end < b.end ? a.end : b.end };
}

enum mem_event_type {
	MEM_EVENT_FAULT,
	MEM_EVENT_FORK,
	MEM_EVENT_REMAP,
	MEM_EVENT_REMOVE,
	MEM_EVENT_UNMAP,
};

struct mem_event {
	enum mem_event_type type;
	bool write;    /* FAULT */
	uint32_t tid;  /* FAULT: faulting thread */
	uint64_t addr; /* FAULT: page aligned; REMAP: from; REMOVE, UNMAP: start */
	uint64_t to;   /* REMAP: new address; REMOVE, UNMAP: end */
	uint64_t len;  /* REMAP */
	bool in_order; /* REMAP: no other thread's change can be told of after it; set by event.c */
	bool newest;   /* REMAP, UNMAP: of all that was told about its source; set by event.c */
	bool older;    /* UNMAP: what has come to its range was seen to be there; set by event.c */
	bool known;    /* REMAP: its source was in the regions, or news; set by event.c */
	struct mem *child; /* FORK: the child's memory, owned by the receiver */
	/* FORK that has to wait: the mappings as they were when it was read; set by event.c, malloc'ed */
	struct mem_map *maps;
	uint32_t n_maps;
};

/* One mapping of the client, from the kernel's list. */
struct mem_map {
	struct urange range;
	bool evictable;	 /* private anonymous, readable and writable, not executable, not a stack */
	bool registered; /* known only from mem_maps_flags: "um" */
	bool wipe_on_fork; /* "wf", as above */
	bool dont_fork;	   /* "dc", as above */
	bool locked;	   /* "lo", as above */
	bool huge_page;	   /* "ht", as above */
};

/* What a call takes away. mremap() may take three: what is at the target, what it moves, the rest. */
struct mem_call {
	struct urange range;
	uint32_t tid;
};

struct mem_present {
	struct urange range; /* every page of it is present */
};

struct mem; /* first member of an implementation */

enum { MEM_MAPS_FLAGS = 1 }; /* read_maps: fill in the fields that need VmFlags (slow) */

struct mem_ops {
	/*
	 * Read what main has, up to @n. *ret_n < @n means it was empty at that moment.
	 * -EMFILE: a fork event cannot be taken now, all before it were.
	 */
	int (*read_events)(struct mem *m, struct mem_event *events, uint32_t n, uint32_t *ret_n);
	/* *ret_done bytes were installed, also when an error is returned. Wakes what it installed. */
	int (*copy)(struct mem *m, uint64_t dst, const void *src, uint64_t len, uint64_t *ret_done);
	int (*zero)(struct mem *m, uint64_t dst, uint64_t len, uint64_t *ret_done);
	int (*poison)(struct mem *m, uint64_t dst, uint64_t len);
	int (*wake)(struct mem *m, uint64_t start, uint64_t len);
	int (*register_missing)(struct mem *m, uint64_t start, uint64_t len);
	int (*unregister)(struct mem *m, uint64_t start, uint64_t len);
	int (*register_stage)(struct mem *m, uint64_t start,
			      uint64_t len); /* write protection only */
	/*
	 * 0 if every mapping in the range is registered now and no event is unread; -ENOENT: one is
	 * not; -EAGAIN: events are unread.
	 */
	int (*is_registered)(struct mem *m, uint64_t start, uint64_t len);
	/*
	 * Populated pages of [start, end) (present, or in the kernel's swap) as runs, at most @n;
	 * *ret_next: where to go on.
	 */
	int (*scan)(struct mem *m, uint64_t start, uint64_t end, struct mem_present *runs,
		    uint32_t n, uint32_t *ret_n, uint64_t *ret_next);
	/* All mappings, ascending. *ret_maps is malloc'ed, the caller frees it. */
	int (*read_maps)(struct mem *m, uint32_t flags, struct mem_map **ret_maps, uint32_t *ret_n);
	/* A fault or an event is unread. */
	bool (*is_readable)(struct mem *m);
	/*
	 * Which parts of @ranges no mapping covers, at most @n_max, else -ENOSPC. Unlike
	 * is_registered() it answers while events are unread; registered or not is the same to it.
	 */
	int (*find_gone)(struct mem *m, const struct urange *ranges, uint32_t n,
			 struct urange *gone, uint32_t n_max, uint32_t *ret_n);
	/*
	 * What munmap(), mremap() and mmap(), in which threads are waiting now, take from its place: at
	 * most @n_max, else -ENOSPC. Of *ret_n_running threads it is not known what they are in; one that
	 * waits may not have changed anything yet.
	 */
	int (*find_calls)(struct mem *m, struct mem_call *calls, uint32_t n_max, uint32_t *ret_n,
			  uint32_t *ret_n_running);
	/* Bytes read, short at a hole. Never waits for a fault. */
	ssize_t (*read_mem)(struct mem *m, uint64_t src, void *dst, size_t len);
	/*
	 * Where the kernel or a debugger touches memory and cannot wait: thread control blocks and
	 * stacks, the library's list of mutex pages. At most @n; -ENOSPC: there are more.
	 */
	int (*protected_ranges)(struct mem *m, struct urange *ranges, uint32_t n, uint32_t *ret_n);
	/* Threads of the process, the agent among them; 0: not known. */
	uint32_t (*n_threads)(struct mem *m);
	/*
	 * True if a thread is inside madvise() or something else that may still empty pages, of which the
	 * event was read at @since_ns. May have to be asked several times, a while between.
	 */
	bool (*inside_zap)(struct mem *m, uint64_t since_ns);
	/* 0 while the address space exists; -ESRCH. */
	int (*alive)(struct mem *m);
	/* One message to the agent, without blocking: -EAGAIN, -EPIPE. */
	int (*send)(struct mem *m, const void *msg, size_t len);
	struct mem *(*free)(struct mem *m);
};

struct mem {
	const struct mem_ops *ops;
};

#endif
