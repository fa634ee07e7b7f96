/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mem-impl - shared by the mem-*.c files of the production mem-ops; nobody else includes this
 */
#ifndef USWAP_SPACE_MEM_IMPL_H
#define USWAP_SPACE_MEM_IMPL_H

#include <stdio.h>

#include "space/mem-linux.h"

#define MEM_MAX_ZAP_THREADS 256u

struct mem_linux {
	struct mem base; /* first */
	int main_fd;
	int pid;     /* 0: not bound */
	int proc_fd; /* /proc/PID, a directory */
	int mem_fd;
	int pagemap_fd;
	int statm_fd;	/* of the process, or of .mm_tid */
	int mm_tid;	/* the thread asked about memory, as the main thread has ended; 0 */
	int task_fd;	/* /proc/PID/task, a directory */
	int agent_sock; /* borrowed; -1: none */
	uint64_t protect_addr;
	struct {
		uint64_t since_ns; /* what was asked about */
		uint32_t n;
		struct {
			int tid;
			uint64_t utime;
		} thread[MEM_MAX_ZAP_THREADS];
	} zap; /* threads that were running when inside_zap() was asked last */
};

static inline struct mem_linux *mem_linux_of(struct mem *m)
{
	return (struct mem_linux *)(void *)m;
}

/* mem-maps.c */
int mem_read_maps(struct mem *m, uint32_t flags, struct mem_map **ret_maps, uint32_t *ret_n);
int mem_find_gone(struct mem *m, const struct urange *ranges, uint32_t n, struct urange *gone,
		  uint32_t n_max, uint32_t *ret_n);
/* VmFlags of the mapping that contains @addr contain @flag ("uw"). Return: 1; 0; -errno. */
int mem_map_has_flag(struct mem_linux *m, uint64_t addr, const char *flag);

/* mem-threads.c */
int mem_protected_ranges(struct mem *m, struct urange *ranges, uint32_t n, uint32_t *ret_n);
bool mem_inside_zap(struct mem *m, uint64_t since_ns);
int mem_find_calls(struct mem *m, struct mem_call *calls, uint32_t n_max, uint32_t *ret_n,
		   uint32_t *ret_n_running);
/* Call @fn for each thread id; stops when it returns other than 0. Return: that, or -errno. */
int mem_each_thread(struct mem_linux *m, int (*fn)(struct mem_linux *m, int tid, void *user),
		    void *user);
/* Read a small file below /proc/PID. Return: bytes, NUL-terminated; -errno. */
ssize_t mem_proc_read(const struct mem_linux *m, const char *name, char *buf, size_t n_bytes);
/*
 * Open a file below /proc/PID that is about the memory of the process. The main thread may have
 * ended before the others: the kernel says nothing of its memory then, so a living one is asked.
 * Return: fd; -errno.
 */
int mem_proc_open(struct mem_linux *m, const char *name);

#endif
