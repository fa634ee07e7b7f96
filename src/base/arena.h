/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * arena - memory that grows in place and outlives the process that fills it
 *
 * A memfd mapped once over its whole reserve, so that addresses never change. What lies inside
 * refers to other things by index or offset, never by pointer: whoever holds the descriptor can map
 * it somewhere else and go on. Bytes below arena_size() may be touched; new ones read as zero.
 *
 * Ownership: the arena owns mapping and descriptor.
 * Threads:   any. arena_grow() serialises itself; arena_at() is free.
 * Invariant: arena_size() never shrinks.
 */
#ifndef USWAP_BASE_ARENA_H
#define USWAP_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/lock.h"

enum arena_residency {
	ARENA_LOCK_TRY,	 /* lock what is touched in memory, go on without if that is refused */
	ARENA_LOCK_MUST, /* growth fails if it is refused */
	ARENA_LOCK_NONE,
};

struct arena_options {
	const char *name;     /* static text; shows in /proc/PID/maps */
	size_t reserve_bytes; /* the most it can ever have */
	size_t step_bytes;    /* grows by multiples of this; 0: 1 MiB */
	enum arena_residency residency;
};

struct arena {
	uint8_t *base;	      /* [const] */
	size_t reserve_bytes; /* [const] page aligned */
	size_t step_bytes;    /* [const] */
	_Atomic size_t size;  /* [lock] to write; acquire pairs with the release in arena_grow() */
	struct lock lock;     /* LOCK_RANK_ARENA */
	enum arena_residency residency; /* [const] */
	_Atomic int lock_errno;		/* why memory is not locked, 0: it is; relaxed, a figure */
	int fd;				/* [const] */
};
#define ARENA_INIT                     \
	{                              \
		.base = NULL, .fd = -1 \
	}

enum {
	ARENA_E_FULL = 1, /* more than was reserved */
};

/* Return: 0, or a negative errno. */
int arena_init(struct arena *a, const struct arena_options *options);
void arena_deinit(struct arena *a); /* takes ARENA_INIT and half-built ones */
/* Make [0, @bytes) usable. Return: 0; ARENA_E_FULL; a negative errno. syscalls: ftruncate mlock2 */
int arena_grow(struct arena *a, size_t bytes);
/* Give the memory of whole pages in a range back; they read as zero after. syscalls: fallocate */
void arena_punch(struct arena *a, size_t offset, size_t bytes);

static inline size_t arena_size(struct arena *a)
{
	return load_acquire(&a->size);
}

static inline void *arena_at(const struct arena *a, size_t offset)
{
	return a->base + offset;
}

#endif
