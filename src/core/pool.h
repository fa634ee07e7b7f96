/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pool - compressed bytes in memory, by size class
 *
 * Blocks of 64 KiB, each cut into objects of one size. The sizes are what 64 KiB divides into, a few
 * percent apart, so that neither the end of a block nor the end of an object wastes much. A block
 * begins with a back-reference per object to its entry, by which compaction finds who to ask; for
 * whole pages, which would lose a sixteenth by that, they lie in the block table.
 *
 * A handle is block * 1024 + object; blocks count from 1, so 0 is none.
 *
 * Ownership: an object belongs to the entry it was allocated for, until pool_free().
 * Threads:   any; one lock per class. pool_at() is free: bytes do not move under the pin of their
 *            entry's slot.
 * Invariant: a back-reference is set exactly while the object is allocated, and its entry exists.
 */
#ifndef USWAP_CORE_POOL_H
#define USWAP_CORE_POOL_H

#include "base/arena.h"
#include "base/lock.h"
#include "base/slab.h"
#include "core/slot.h"
#include "core/swap.h"

enum {
	POOL_BLOCK_BYTES = 65536,
	POOL_OBJ_BITS = 10,
	POOL_OBJS_MAX = 1 << POOL_OBJ_BITS,
	POOL_RAW_OBJS = POOL_BLOCK_BYTES / PAGE_BYTES,
	POOL_BLOCKS_MAX = (1 << (32 - POOL_OBJ_BITS)) - 1,
	POOL_CLASSES_MAX = 96,
	POOL_CLASS_RAW = 0,
	POOL_LEN_STEP = 8,
	POOL_LEN_MAX = PAGE_BYTES / 4 * 3, /* or exactly PAGE_BYTES */
};

/* Lists of a class by how full its blocks are; allocation takes from the fullest. */
enum pool_group {
	POOL_G_NONE, /* on no list: full, isolated, or not of this class */
	POOL_G_1,    /* up to a quarter used */
	POOL_G_2,
	POOL_G_3,
	POOL_G_4, /* over three quarters, not full */
	POOL_N_GROUPS,
};

struct pool_block {
	uint32_t next; /* list of the group, or of free blocks */
	uint32_t prev;
	uint16_t n_used;
	uint16_t n_init;    /* objects from here on were never used since the block was taken */
	uint16_t free_head; /* object + 1; 0: none */
	uint8_t class_idx;
	uint8_t group;	  /* enum pool_group */
	uint8_t n_pages;  /* of its memory that were touched */
	uint8_t isolated; /* compaction empties it: nothing is allocated here */
	uint8_t in_use;	  /* belongs to a class */
	uint32_t raw_refs[POOL_RAW_OBJS];
};

struct pool_class {
	struct lock lock;		/* LOCK_RANK_POOL_CLASS; the blocks of the class as well */
	uint32_t obj_bytes;		/* [const] */
	uint32_t n_objs;		/* [const] per block */
	uint32_t head_bytes;		/* [const] back-references */
	uint32_t idx;			/* [const] */
	uint32_t groups[POOL_N_GROUPS]; /* [lock] first block of each list */
	uint32_t n_blocks;		/* [lock] */
	uint32_t n_used;		/* [lock] objects */
} __attribute__((aligned(64)));

struct pool {
	struct pool_class classes[POOL_CLASSES_MAX];
	uint32_t n_classes;				    /* [const] */
	uint8_t class_of[POOL_LEN_MAX / POOL_LEN_STEP + 1]; /* [const] by length in steps */
	struct arena data;		  /* block n at (n - 1) * POOL_BLOCK_BYTES */
	struct arena table;		  /* struct pool_block, n at n */
	struct slab *entries;		  /* [const] */
	struct slot_table *slots;	  /* [const] */
	struct lock blocks_lock;	  /* LOCK_RANK_POOL_BLOCKS */
	uint32_t n_max;			  /* [const] blocks */
	uint32_t n_high;		  /* [blocks_lock] blocks ever made */
	uint32_t dirty;			  /* [blocks_lock] free, with memory */
	uint32_t n_dirty;		  /* [blocks_lock] */
	uint32_t clean;			  /* [blocks_lock] free, without */
	_Atomic uint64_t committed_bytes; /* relaxed: a figure */
	_Atomic uint64_t used_bytes;	  /* relaxed: a figure */
};

enum {
	POOL_E_FULL = 1, /* no block to be had */
	POOL_E_NONE,	 /* nothing worth compacting */
};

int pool_init(struct pool *p, uint32_t n_blocks_max, struct slab *entries, struct slot_table *slots,
	      enum arena_residency residency);
void pool_deinit(struct pool *p);

/* @len <= POOL_LEN_MAX, or PAGE_BYTES. Return: 0; POOL_E_FULL. */
int pool_alloc(struct pool *p, uint32_t len, uint32_t entry_idx, uint32_t *ret_handle);
void pool_free(struct pool *p, uint32_t handle, uint32_t len);
void *pool_at(struct pool *p, uint32_t handle);
uint32_t pool_class_bytes(const struct pool *p, uint32_t len); /* what an object of @len takes */

/* ---- compaction ----------------------------------------------------------------------------- */

/*
 * Isolate a class's emptiest block whose objects fit into others. Classes are tried from
 * *class_cursor on, which is left at the one that was found.
 * Return: 0; POOL_E_NONE.
 */
int pool_isolate(struct pool *p, uint32_t *class_cursor, uint32_t *ret_block);
/* The next used object from *cursor on. Return: 0; POOL_E_NONE. */
int pool_isolated_next(struct pool *p, uint32_t block, uint32_t *cursor, uint32_t *ret_handle,
		       uint32_t *ret_entry_idx, struct slot_ref *ret_slot);
void pool_putback(struct pool *p, uint32_t block); /* end of isolation; frees it if empty */
/* Give back memory of free blocks, but for a small stock. Return: bytes. */
uint64_t pool_trim(struct pool *p);

uint64_t pool_table_bytes(struct pool *p);
void pool_check(struct pool *p); /* O(n): asserts the invariants of blocks and lists */
/* The entry an allocated object belongs to. For checks. */
uint32_t pool_owner(struct pool *p, uint32_t handle);

#endif
