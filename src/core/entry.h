/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * entry - the record behind a slot: where the bytes of an evicted page are, and how they are kept
 *
 * Forty bytes in a slab; everything about place and form is one 64-bit word, so that moving the
 * bytes is one atomic store (I14, I15: the form is written here, never derived from a setting).
 *
 * Ownership: a slot's tree owns its entry; the LRU, and the pool's back-references, only refer.
 * Threads:   @where, @hash, @evict_seq: the holder of the slot's pin. @slot: never changes.
 *            The link fields: the app's LRU lock.
 */
#ifndef USWAP_CORE_ENTRY_H
#define USWAP_CORE_ENTRY_H

#include "base/assert.h"
#include "base/atomic.h"
#include "base/slab.h"
#include "core/segment.h"
#include "core/swap.h"

enum entry_form {
	ENTRY_STAGED = 1, /* raw, loc: buffer and page of it */
	ENTRY_FILLED,	  /* one word repeated, in hash[0]; hash[1] proves it */
	ENTRY_RAW,	  /* loc: pool handle, or on file; PAGE_BYTES */
	ENTRY_LZ4,	  /* the same */
	ENTRY_ZSTD,	  /* the same */
};

enum { ENTRY_IDX_MAX = (1 << 29) - 1 };

struct entry {
	uint64_t hash[2];	/* keyed XXH3 of the page */
	_Atomic uint64_t where; /* struct entry_where, packed */
	uint32_t slot;		/* id; the generation is in the slot's word */
	uint32_t evict_seq;	/* struct swap_use */
	/* LRU lock: */
	uint32_t next : 29; /* towards the young end */
	uint32_t list : 3;  /* enum lru_list, 0: none */
	uint32_t prev : 29; /* towards the cold end */
	uint32_t young : 1; /* not passed since it was stored */
	uint32_t : 2;
};
_Static_assert(sizeof(struct entry) == 40, "metadata budget");

struct entry_where {
	uint32_t loc;	      /* by form */
	uint16_t len;	      /* bytes in the pool or on file; 0 when there are none */
	enum entry_form form; /* 3 bits */
	bool kept;	      /* a clean copy: the page is present in the program */
	uint8_t level;	      /* struct swap_use, 3 bits */
	bool on_file;	      /* loc and loc_high: struct segment_loc */
	uint8_t loc_high;     /* 0 in the pool */
	bool lost; /* a read has failed: the hash is that of the page, but its bytes are not to be had */
};

enum {
	WHERE_LEN_SHIFT = 32,
	WHERE_LEN_MASK = 0x1fff,
	WHERE_FORM_SHIFT = 45,
	WHERE_FORM_MASK = 7,
	WHERE_KEPT_SHIFT = 48,
	WHERE_LEVEL_SHIFT = 49,
	WHERE_LEVEL_MASK = 7,
	WHERE_FILE_SHIFT = 52,
	WHERE_HIGH_SHIFT = 53, /* 8 bits */
	WHERE_LOST_SHIFT = 61,
};
_Static_assert(PAGE_BYTES <= WHERE_LEN_MASK, "a raw page fits the length");
_Static_assert((int)SWAP_LEVEL_MAX <= (int)WHERE_LEVEL_MASK, "a level fits");

static inline struct entry_where where_unpack(uint64_t w)
{
	return (struct entry_where){
		.loc = (uint32_t)w,
		.len = (uint16_t)(w >> WHERE_LEN_SHIFT & WHERE_LEN_MASK),
		.form = (enum entry_form)(w >> WHERE_FORM_SHIFT & WHERE_FORM_MASK),
		.kept = w >> WHERE_KEPT_SHIFT & 1,
		.level = (uint8_t)(w >> WHERE_LEVEL_SHIFT & WHERE_LEVEL_MASK),
		.on_file = w >> WHERE_FILE_SHIFT & 1,
		.loc_high = (uint8_t)(w >> WHERE_HIGH_SHIFT),
		.lost = w >> WHERE_LOST_SHIFT & 1,
	};
}

static inline uint64_t where_pack(struct entry_where w)
{
	ASSERT(w.len <= PAGE_BYTES);
	ASSERT(w.on_file || w.loc_high == 0);
	return (uint64_t)w.loc | (uint64_t)w.len << WHERE_LEN_SHIFT |
	       (uint64_t)w.form << WHERE_FORM_SHIFT | (uint64_t)w.kept << WHERE_KEPT_SHIFT |
	       (uint64_t)(w.level & WHERE_LEVEL_MASK) << WHERE_LEVEL_SHIFT |
	       (uint64_t)w.on_file << WHERE_FILE_SHIFT | (uint64_t)w.loc_high << WHERE_HIGH_SHIFT |
	       (uint64_t)w.lost << WHERE_LOST_SHIFT;
}

static inline struct entry *entry_at(const struct slab *entries, uint32_t idx)
{
	return (struct entry *)slab_at(entries, idx);
}

static inline struct entry_where entry_where(const struct entry *e)
{
	return where_unpack(load_relaxed(&e->where)); /* the pin orders */
}

/* pre: the caller holds the slot's pin */
static inline void entry_set_where(struct entry *e, struct entry_where where)
{
	store_release(&e->where, where_pack(where)); /* pairs with recovery */
}

/* pre: as above */
static inline void entry_set_lost(struct entry *e)
{
	struct entry_where where = entry_where(e);

	where.lost = true;
	entry_set_where(e, where);
}

static inline bool where_in_pool(struct entry_where w)
{
	return !w.on_file && (w.form == ENTRY_RAW || w.form == ENTRY_LZ4 || w.form == ENTRY_ZSTD);
}

static inline struct segment_loc where_file_loc(struct entry_where w)
{
	return (struct segment_loc){ (uint64_t)w.loc_high << 32 | w.loc };
}

/* The same bytes at @loc of the file. */
static inline struct entry_where where_on_file(struct entry_where w, struct segment_loc loc)
{
	w.on_file = true;
	w.loc = (uint32_t)loc.v;
	w.loc_high = (uint8_t)(loc.v >> 32);
	return w;
}

/* The same bytes in the pool, at @handle. */
static inline struct entry_where where_at_pool(struct entry_where w, uint32_t handle)
{
	w.on_file = false;
	w.loc = handle;
	w.loc_high = 0;
	return w;
}

#endif
