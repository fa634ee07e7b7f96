/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mem-linux - the real kernel behind mem-ops: one client, by userfaultfd and /proc
 *
 * Life: a fork child's memory begins with its userfaultfd only (mem_linux_new), served but without a
 * pid; mem_linux_bind() adds what needs /proc/PID once the process is known.
 *
 * Ownership: the object owns every descriptor given to it, apart from the agent's socket.
 */
#ifndef USWAP_SPACE_MEM_LINUX_H
#define USWAP_SPACE_MEM_LINUX_H

#include "space/mem-ops.h"
#include "uswap/protocol.h"

/* @main_fd is consumed, also on failure. @api: run UFFDIO_API (not for a fork child's). */
int mem_linux_new(struct mem **ret_mem, int main_fd, bool api);
int mem_linux_main_fd(const struct mem *m);
/* Open /proc/@pid's files. Bound to the address space the process has now. */
int mem_linux_bind(struct mem *m, int pid);
void mem_linux_unbind(struct mem *m);
int mem_linux_parent(int pid); /* pid of the parent; 0: unknown */
void mem_linux_set_agent(struct mem *m, int sock, const struct uswap_msg_hello *hello);
void mem_linux_no_agent(struct mem *m);

/*
 * True if registering [start, len) on @m shows in the mappings of the process @m is bound to: then
 * its userfaultfd and its pid are one address space. Leaves the range registered for write
 * protection.
 */
bool mem_linux_prove(struct mem *m, uint64_t start, uint64_t len);
/* As above for a userfaultfd that is not yet part of a mem: runs UFFDIO_API for MOVE. */
bool mem_linux_prove_aux(struct mem *m, int aux_fd, uint64_t start, uint64_t len);

struct mem_sample {
	uint64_t anon_pages;
	uint64_t pss_anon_pages; /* only with @pss */
	bool traced;		 /* only with @status */
	bool lone_agent;	 /* only with @status: no thread but the agent is left */
};
enum { MEM_SAMPLE_STATUS = 1, MEM_SAMPLE_PSS = 2 };
int mem_linux_sample(struct mem *m, uint32_t flags, struct mem_sample *ret);
/* The agent's thread, by its name; 0: not found. For scheduling only: a program could lie. */
int mem_linux_agent_tid(struct mem *m);
/* CPU on which thread @tid ran last; -1: unknown. */
int mem_linux_thread_cpu(const struct mem *m, uint32_t tid);

#endif
