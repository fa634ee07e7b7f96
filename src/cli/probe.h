/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe - what this machine and this user can give uswap
 *
 * One probe per property, each with what to do when it fails. `uswap doctor` shows them all;
 * `uswap run` asks for the required ones before it starts anything. Nothing is changed by a probe.
 */
#ifndef USWAP_CLI_PROBE_H
#define USWAP_CLI_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum probe_state {
	PROBE_OK,
	PROBE_WARN, /* works, but slower or with less */
	PROBE_FAIL, /* uswap run refuses */
};

struct probe {
	const char *name;
	enum probe_state state;
	char detail[200]; /* what was found */
	char advice[320]; /* what to do; empty if nothing */
};

enum { PROBE_MAX = 32 };

/*
 * @lock_bytes: memory the daemon will have to lock; 0: not known yet.
 * Return: how many probes were filled in.
 */
size_t probe_all(struct probe *ret_probes, size_t n_max, uint64_t lock_bytes);
/* Only what `uswap run` cannot do without. True if all hold; else the first that does not. */
bool probe_required(struct probe *ret_failed, uint64_t lock_bytes);

/* One line of /proc or /sys without the newline. False if it cannot be read. */
bool probe_read_line(const char *path, char *ret_line, size_t n_bytes);

/* probe-system.c: the ones that never fail, only warn */
void probe_map_count(struct probe *p);
void probe_cgroup(struct probe *p);
void probe_thp(struct probe *p);
void probe_haltpoll(struct probe *p);
void probe_kernel_swap(struct probe *p);
void probe_io_uring(struct probe *p);

#endif
