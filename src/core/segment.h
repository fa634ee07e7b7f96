/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * segment - what lies where in the swap file: pieces of one size, each filled in memory and written
 * in one go
 *
 * A record (seal.h) is put at the next free place of an open segment, in a buffer. A full segment
 * goes to the disk; until it is there the buffer owns the bytes and serves loads. A segment never
 * changes after that: records die, and when the last one has the segment is free. The numbers of
 * segments are logical: a segment whose write failed is written at another place of the file, and
 * no entry hears of it.
 *
 *   FREE      no record. On a free list: dirty (its old bytes still take room in the file) or clean
 *               -> OPEN      segment_reserve()
 *               -> PUNCHING  segs_punch_begin()
 *               -> BAD       segs_write_end(), which took its place and gave it one that fails
 *   PUNCHING  no record; its room in the file is being given back
 *               -> FREE      segs_punch_end()
 *   OPEN      in a buffer, records are added. One per stream
 *               -> FULL      segment_reserve(): the next record does not fit; segs_flush();
 *                            segs_stop()
 *   FULL      in a buffer, queued; the last records may still be copied in (n_filling)
 *               -> WRITING   segs_write_begin(), when nobody copies any more
 *               -> FREE      segment_drop(): the last record died, nothing to write
 *               -> FAILED    segs_stop()
 *   WRITING   in a buffer, which nobody changes
 *               -> LIVE      segs_write_end(), it is on the disk
 *               -> FULL      segs_write_end(), failed: once more, at another place
 *               -> FAILED    segs_write_end(), and there is no other place
 *               -> FREE      segs_write_end(), the last record died meanwhile
 *               -> BAD       the same, and its place cannot be written
 *   LIVE      on the disk; with a buffer only while somebody reads that
 *               -> CLEANING  segs_clean_begin()
 *               -> FREE      segment_drop(): the last record died
 *   CLEANING  on the disk; one thread moves its records elsewhere
 *               -> LIVE      segs_clean_end(): some had to stay
 *               -> FREE      segs_clean_end(): none did
 *   FAILED    in a buffer, which is all there is: its records go back to the pool
 *               -> FREE      segs_failed_end(): none is left
 *               -> BAD       the same, and its place cannot be written
 *   BAD       never used again
 *
 * Whoever finds the last record gone in a state that somebody works on leaves the segment to him.
 *
 * Ownership: the table owns segments and buffers. A record is owned by the one entry that says so; who
 *            holds the pin of its slot keeps the segment from being used again.
 * Threads:   any; one lock, under which nothing is copied and nothing called.
 * Invariant: n_live and live_bytes are what the entries on file add up to, but for records between
 *            reserve and commit; a number of a write is given out once.
 */
#ifndef USWAP_CORE_SEGMENT_H
#define USWAP_CORE_SEGMENT_H

#include "base/arena.h"
#include "base/lock.h"
#include "core/seal.h"
#include "core/slot.h"

enum {
	SEGMENT_BYTES_MIN = 16 << 10,
	SEGMENT_BYTES_MAX = 1 << 20,
	SEGMENT_UNIT_BITS = 40, /* of a location: segment and unit in it */
	SEGMENT_BUFS_MIN = 3,	/* one per stream, and one that is written */
	SEGMENT_BUFS_MAX = 64,
	SEGMENT_RESERVE = 2, /* free segments only the cleaner may open */
	SEGMENT_TRIES = 3,   /* places a write is tried at */
};

/* Where a file entry's record lies: segment * units per segment + unit. Fits 40 bits. */
struct segment_loc {
	uint64_t v;
};

enum segment_state {
	SEGMENT_FREE,
	SEGMENT_PUNCHING,
	SEGMENT_OPEN,
	SEGMENT_FULL,
	SEGMENT_WRITING,
	SEGMENT_LIVE,
	SEGMENT_CLEANING,
	SEGMENT_FAILED,
	SEGMENT_BAD,
	SEGMENT_N_STATES,
};

/* Who writes: what is cleaned lives longer than what was just evicted, so they do not mix. */
enum segment_stream { SEGMENT_FROM_POOL, SEGMENT_FROM_CLEANER, SEGMENT_N_STREAMS };

struct segment {
	uint64_t seq;	   /* number of its write; 0: never filled */
	uint32_t physical; /* its place in the file */
	uint32_t next;	   /* list of its state; 0: end */
	uint32_t prev;
	uint32_t n_live;     /* records */
	uint32_t live_bytes; /* of the file, heads and padding included */
	uint32_t fill_bytes; /* what live_bytes would be if all were alive; set when it is closed */
	uint16_t n_filling;  /* records reserved and not committed */
	uint8_t state;	     /* enum segment_state */
	uint8_t buf;	     /* 1..; 0: none */
	uint8_t n_tries;     /* places its write failed at */
	uint8_t list;	     /* enum segment_list */
	uint8_t sealed; /* the footer is in the buffer; set by who writes it, without the lock */
	uint8_t no_clean : 1; /* its footer cannot be read */
	uint8_t dirty : 1;    /* its place has room in the file */
	uint8_t stuck : 1;    /* what is left of it cannot be read at all */
	uint8_t bad_place : 1;
};
_Static_assert(sizeof(struct segment) == 40, "metadata budget: a 6,500th of the file");

/* Who a record belonged to when it was written; a footer is an array of these. */
struct segment_ref {
	uint32_t slot;
	uint16_t gen;
	uint16_t unit; /* in its segment */
};
_Static_assert(sizeof(struct segment_ref) == 8, "on disk");

enum segment_list {
	SEGMENT_L_NONE,
	SEGMENT_L_CLEAN,
	SEGMENT_L_DIRTY,
	SEGMENT_L_FULL,
	SEGMENT_L_FAILED,
	SEGMENT_N_LISTS
};

struct segment_buf {
	uint8_t *bytes;		  /* [const] */
	struct segment_ref *refs; /* [const] room; content: who reserves, then who writes */
	uint32_t n_refs;	  /* [lock] */
	uint32_t end_unit;	  /* [lock] first unused */
	uint32_t n_readers;	  /* [lock] */
	uint32_t next_free;	  /* [lock] index + 1 */
};

struct segs {
	struct lock lock;	/* LOCK_RANK_SEGMENTS */
	struct seal seal;	/* [const] */
	struct arena table;	/* struct segment, n at n */
	struct arena data;	/* buffers */
	struct arena ref_data;	/* their refs */
	uint32_t segment_bytes; /* [const] power of two; 0: there is no file */
	uint32_t unit_bits;	/* [const] */
	uint32_t n_max;		/* [const] segments */
	uint32_t n_bufs;	/* [const] */
	struct segment_buf bufs[SEGMENT_BUFS_MAX];
	uint32_t free_buf;		       /* [lock] index + 1; 0: none */
	uint32_t n_bufs_free;		       /* [lock] */
	uint32_t n_high;		       /* [lock] segments ever used */
	uint32_t open[SEGMENT_N_STREAMS];      /* [lock] 0: none */
	uint32_t n_listed[SEGMENT_N_LISTS];    /* [lock] */
	uint32_t head[SEGMENT_N_LISTS];	       /* [lock] */
	uint32_t tail[SEGMENT_N_LISTS];	       /* [lock] */
	uint32_t n_in_state[SEGMENT_N_STATES]; /* [lock] */
	uint64_t seq;			       /* [lock] last one given out */
	uint64_t live_bytes;		       /* [lock] of all */
	uint64_t n_live;		       /* [lock] */
	uint64_t n_stuck;		       /* [lock] of these: in stuck segments */
	uint32_t clean_cursor;		       /* [lock] */
	bool no_growth;			       /* [lock] the disk is full: only dirty ones open */
	bool stopped;			       /* [lock] nothing opens any more */
	bool retiring;			       /* [lock] stopped, and all are emptied */
	void *user;			       /* [const] */
	void (*on_work)(void *user);	       /* [const] see swap-file.h */
};

#define SEGS_INIT                                                                                  \
	{                                                                                          \
		.seal = SEAL_INIT, .table = ARENA_INIT, .data = ARENA_INIT, .ref_data = ARENA_INIT \
	}

struct segs_options {
	uint64_t max_bytes;
	uint32_t segment_bytes;
	uint32_t n_bufs;
	bool encrypt;
	enum arena_residency residency;
	void *user;
	void (*on_work)(void *user);
};

enum {
	SEGMENT_E_NO_BUF = 1, /* all buffers wait for the disk */
	SEGMENT_E_NO_ROOM,    /* no free segment, or stopped */
	SEGMENT_E_NONE,	      /* nothing to do */
};

int segs_init(struct segs *t, const struct segs_options *options);
void segs_deinit(struct segs *t); /* takes SEGS_INIT and half-built ones */

static inline uint32_t segment_of(const struct segs *t, struct segment_loc loc)
{
	return (uint32_t)(loc.v >> t->unit_bits);
}

static inline uint32_t segment_unit(const struct segs *t, struct segment_loc loc)
{
	return (uint32_t)(loc.v & ((UINT64_C(1) << t->unit_bits) - 1));
}

/* ---- records -------------------------------------------------------------------------------- */

/* Room for a record, in a buffer. */
struct segment_place {
	struct segment_loc loc;
	struct seal_place seal;
	uint8_t *bytes;
};

/*
 * Room for the record of @len bytes of pinned @slot. Post: it counts as live, and the segment is
 * not written until segment_commit().
 * Return: 0; SEGMENT_E_NO_BUF; SEGMENT_E_NO_ROOM.
 */
int segment_reserve(struct segs *t, enum segment_stream stream, uint32_t len, struct slot_ref slot,
		    struct segment_place *ret_place);
void segment_commit(struct segs *t,
		    struct segment_loc loc); /* the record is there, its entry says so */
void segment_drop(struct segs *t, struct segment_loc loc, uint32_t len); /* the record is dead */

/* Where to read a record; pre: the pin of its slot is held. */
struct segment_view {
	const uint8_t *record; /* in the buffer, until segment_view_end(); NULL: on disk */
	uint64_t offset;       /* in the file */
	struct seal_place seal;
};
void segment_view_begin(struct segs *t, struct segment_loc loc, struct segment_view *ret_view);
void segment_view_end(struct segs *t, struct segment_loc loc, const struct segment_view *view);
/* False: something in its segment could not be read when it was cleaned. pre: as above */
bool segment_is_sound(struct segs *t, struct segment_loc loc);

static inline struct segment *segment_at(const struct segs *t, uint32_t segment)
{
	return (struct segment *)arena_at(&t->table, (size_t)segment * sizeof(struct segment));
}

void segs_check(struct segs *t); /* O(n): asserts lists, states, buffers */

#endif
