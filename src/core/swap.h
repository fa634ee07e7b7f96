/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap - evicted pages: slots, their entries, where the bytes are
 *
 * The facade of src/core. A slot is the identity of an evicted page, counted by the region maps that
 * refer to it. Its entry says where and how the bytes are kept. Every function that looks into an
 * entry runs the zswap protocol: pin the slot, lock the area's tree, recheck, use.
 *
 * Life of a page here:
 *   slot_new (count 1, pinned)  ->  swap_put (hash; same-filled, kept copy, or STAGED in a buffer)
 *   -> swap_compress (pool)  ->  swap_load + swap_load_end (erased, or kept as a clean copy)
 *
 * Ownership: the swap owns all entries, bytes and buffers. Callers own counts on slots and pins.
 * Threads:   any. Locks are taken and dropped inside each call; no callback runs under a lock.
 * Invariant: an entry is changed only by the holder of its slot's pin; an entry without a count or a
 *            pin does not exist; bytes handed out by swap_load had the hash that swap_put took.
 */
#ifndef USWAP_CORE_SWAP_H
#define USWAP_CORE_SWAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define STAGE_BUF_PAGES 256u
#define SWAP_MAX_PAGES ((1ULL << 29) - 1) /* what entries can be numbered */

struct swap;	  /* the whole store */
struct swap_app;  /* one app's LRU, codec choice and accounting */
struct codec_ctx; /* compression contexts of one thread */

struct slot_id {
	uint32_t v; /* 0: none */
};

/* Raw pages on their way into the pool: bytes of STAGED entries. */
struct stage_buf {
	uint8_t *pages; /* [const] STAGE_BUF_PAGES pages, page aligned */
	uint32_t idx;	/* [const] */
};

enum swap_codec { SWAP_CODEC_NONE, SWAP_CODEC_LZ4, SWAP_CODEC_ZSTD };

struct swap_options {
	uint64_t max_pages;	    /* most slots that may exist at once; at most SWAP_MAX_PAGES */
	uint32_t n_bufs;	    /* staging buffers of STAGE_BUF_PAGES pages */
	int zstd_level;		    /* of recompression; may be negative */
	bool allow_unlocked_memory; /* go on when the arenas cannot be locked in memory */
	void *user;
	/*
	 * A fault parked on @id may be tried again; sometimes told once too often. Any thread, no
	 * lock held, must not block.
	 */
	void (*on_unpinned)(void *user, struct slot_id id);
	/* A staging buffer became free. Any thread, no lock held, must not block. */
	void (*on_buf_free)(void *user);
};

int swap_new(struct swap **ret_swap, const struct swap_options *options);
struct swap *swap_free(struct swap *s); /* pre: no app left. Return: NULL */

int swap_app_new(struct swap *s, struct swap_app **ret_app);
struct swap_app *swap_app_free(struct swap_app *app); /* pre: no slot left. Return: NULL */

int codec_ctx_new(struct codec_ctx **ret_ctx);		 /* one per thread that stores or loads */
int codec_ctx_new_for_loads(struct codec_ctx **ret_ctx); /* smaller */
struct codec_ctx *codec_ctx_free(struct codec_ctx *ctx);

/* ---- slots ---------------------------------------------------------------------------------- */

enum swap_pin {
	SWAP_PIN_STORE,
	SWAP_PIN_LOAD, /* a sign of warmth to who is refused (I13) */
	SWAP_PIN_MOVE, /* compression, recompression, compaction, writeback */
};

enum {
	SWAP_E_BUSY = 1, /* pinned by somebody else */
	SWAP_E_WARM,	 /* pinned by a load */
	SWAP_E_PARKED,	 /* pinned; on_unpinned(id) will be called */
	SWAP_E_STAGED,	 /* the bytes lie in the buffer; swap_compress() is owed */
	SWAP_E_EMPTY,	 /* the slot has no entry */
	SWAP_E_LOST,	 /* the bytes do not have the hash they were stored with */
	SWAP_E_GONE,	 /* the slot or its entry changed before the pin was had */
	SWAP_E_FULL,	 /* no slot or no room; nothing was changed */
	SWAP_E_BETTER,	 /* nothing to gain */
	SWAP_E_ON_FILE,	 /* the bytes have to be read first: swap_file_extent() */
};

/*
 * A new slot of @app: count 1, pinned (SWAP_PIN_STORE) by the caller, without entry. All that a later
 * swap_put() needs is reserved here, so that swap_put() cannot fail.
 * Return: 0; SWAP_E_FULL.
 */
int swap_slot_new(struct swap_app *app, struct slot_id *ret_id);
void swap_slot_ref(struct swap *s, struct slot_id id); /* pre: the caller owns a count */
/*
 * Give up one count. The last one frees entry and slot, now or, if it is pinned, at the unpin.
 * Never waits.
 */
void swap_slot_unref(struct swap *s, struct slot_id id);

/* Return: 0 pinned; SWAP_E_BUSY; SWAP_E_WARM. pre: the caller owns a count. */
int swap_try_pin(struct swap *s, struct slot_id id, enum swap_pin kind);
/*
 * As above, but who is refused is told by on_unpinned(). Parking and unpinning are atomic against
 * each other: the call either pins or the callback comes later. pre: the caller owns a count.
 * Return: 0; SWAP_E_PARKED.
 */
int swap_pin_or_park(struct swap *s, struct slot_id id, enum swap_pin kind);
void swap_unpin(struct swap *s, struct slot_id id); /* touch neither slot nor entry after this */

/* ---- store ---------------------------------------------------------------------------------- */

struct stage_buf *swap_buf_try_get(struct swap *s); /* NULL: all in use. Post: caller's reference */
void swap_buf_put(struct swap *s, struct stage_buf *buf);

/* What is remembered about a page's use between an eviction and its next fault. */
enum { SWAP_LEVEL_MAX = 6 };
struct swap_use {
	uint32_t evict_seq; /* caller's clock at the eviction */
	uint8_t level; /* 0..SWAP_LEVEL_MAX: how often it came back soon, the caller's figure */
};

/*
 * Give the pinned slot the bytes of page @page_idx of @buf. An entry kept from before is used again
 * if its hash proves it unchanged, else dropped. Pin stays with the caller.
 * pre: pinned by the caller with SWAP_PIN_STORE; caller holds a reference on @buf.
 * Return: 0 all done; SWAP_E_STAGED: the entry refers to the buffer (and holds a reference on it)
 * until swap_compress() or a load.
 */
int swap_put(struct swap *s, struct slot_id id, struct stage_buf *buf, uint32_t page_idx,
	     const struct swap_use *use);

/*
 * The page of a slot is gone, and what was kept of it must not be taken for it: from now on the slot has
 * no entry. pre: pinned by the caller.
 */
void swap_lose(struct swap *s, struct slot_id id);

/*
 * Move a STAGED entry into the pool: pins, rechecks that the slot still has the STAGED entry of this
 * buffer page, compresses, publishes, unpins.
 * @buf, @page_idx: what swap_put() was given; compared, not trusted: the slot may have been loaded,
 *                  freed and reused meanwhile (the caller owns no count any more).
 * Return: 0; SWAP_E_GONE; SWAP_E_WARM; SWAP_E_BUSY (try again); SWAP_E_FULL (stays staged).
 */
int swap_compress(struct swap *s, struct slot_id id, struct stage_buf *buf, uint32_t page_idx,
		  enum swap_codec codec, struct codec_ctx *ctx);

/* ---- load ----------------------------------------------------------------------------------- */

/*
 * The page of the slot, PAGE_BYTES, into @dst; its hash has been checked. Changes nothing.
 * pre: pinned by the caller with SWAP_PIN_LOAD.
 * Return: 0; SWAP_E_EMPTY (a kept copy is not to be loaded either: the page may have been written);
 * SWAP_E_LOST (@dst is undefined); SWAP_E_ON_FILE (go on with swap_file_extent(), pinned as it is).
 * @ret_use may be NULL.
 */
int swap_load(struct swap *s, struct slot_id id, void *dst, struct codec_ctx *ctx,
	      struct swap_use *ret_use);

enum swap_load_end {
	SWAP_LOAD_ABORT, /* the page was not installed: entry and count stay */
	SWAP_LOAD_ERASE, /* installed: give up the caller's count; last one erases the entry */
	SWAP_LOAD_KEEP, /* installed: if the caller's count is the only one, keep the entry as a clean
			  * copy and the count; else as ERASE */
	SWAP_LOAD_KEEP_FILE, /* KEEP what lies in the file, which takes no memory; else ERASE */
};
/*
 * End of a load; unpins. Return: true if the caller still owns its count: ABORT, or a kept copy.
 * A kept entry may be dropped at any time by swap_drop_kept(); the slot stays, without entry.
 */
bool swap_load_end(struct swap *s, struct slot_id id, enum swap_load_end end);

/*
 * End of a load of a slot that others refer to as well: installed; unpins, and the caller keeps its count,
 * as a clean copy that costs nothing while the others need the entry. An entry of which there are only such
 * copies stays until they are given up.
 * Return: false: there is nobody else, and nothing was done: swap_load_end() is still owed.
 */
bool swap_load_share(struct swap *s, struct slot_id id);
/* May the slot be given to swap_put() by the owner of one count? False: see swap_same(). */
bool swap_is_own(struct swap *s, struct slot_id id);
/*
 * Is page @page_idx of @buf what the slot's entry says, which others may refer to as well? Then the count
 * that the caller kept by swap_load_share() is that of an evicted page again, and nothing has to be stored.
 * Return: false: it is another, or the slot is pinned, or has no entry: the count is as it was.
 */
bool swap_same(struct swap *s, struct slot_id id, const struct stage_buf *buf, uint32_t page_idx,
	       const struct swap_use *use);
/* Nobody but the caller refers to the slot; it may still have what it was shared for. */
bool swap_is_alone(struct swap *s, struct slot_id id);

/* ---- upkeep, by background threads ---------------------------------------------------------- */

/* Free kept copies in the pool, oldest first, until at least @n_bytes are free. Return: bytes freed. */
uint64_t swap_drop_kept(struct swap_app *app, uint64_t n_bytes);
/*
 * Recompress up to @n_pages of the coldest LZ4 entries of @app with zstd. Return: pages looked at;
 * 0: nothing left to do.
 */
uint32_t swap_recompress(struct swap_app *app, uint32_t n_pages, struct codec_ctx *ctx);
/*
 * Empty sparse pool blocks, moving at most @n_bytes, and give their memory back to the system.
 * Return: bytes of memory given back; 0: nothing worth doing.
 */
uint64_t swap_compact(struct swap *s, uint64_t n_bytes);

/* ---- figures -------------------------------------------------------------------------------- */

struct swap_app_stats {
	uint64_t n_pages;      /* entries, kept ones not included */
	uint64_t n_staged;     /* of these: still raw in a buffer */
	uint64_t n_filled;     /* of these: same-filled, no bytes */
	uint64_t n_raw;	       /* of these: incompressible, stored as they are */
	uint64_t n_zstd;       /* of these: zstd */
	uint64_t n_file;       /* of these: on file */
	uint64_t n_kept;       /* clean copies of pages that are present in the program */
	uint64_t n_file_kept;  /* of these: on file */
	uint64_t stored_bytes; /* compressed bytes in the pool, of all entries but the kept ones */
	uint64_t kept_bytes;   /* compressed bytes in the pool of kept ones */
	uint64_t file_bytes;   /* compressed bytes on file, kept ones included */
	uint64_t n_put;	       /* counters from here on, since the start */
	uint64_t n_put_unchanged; /* kept copy used again, nothing compressed */
	uint64_t n_put_changed;	  /* kept copy of no use: the page is another */
	uint64_t n_load;
	uint64_t n_load_file;	   /* of these: read from the file */
	uint64_t n_lost;	   /* pages whose bytes failed their hash, or could not be read */
	uint64_t n_writeback;	   /* pages moved from the pool to the file */
	uint64_t writeback_bytes;  /* compressed */
	uint64_t n_writeback_warm; /* sweeps ended because a load was met */
	uint64_t n_writeback_busy; /* pages passed over: pinned, gone, or not in the pool */
	uint64_t n_writeback_full; /* sweeps ended because no buffer or segment was free */
	uint64_t n_rehomed;	   /* pages moved back from the file into the pool */
	uint64_t compressed_in_bytes;  /* bytes given to a codec by swap_compress() */
	uint64_t compressed_out_bytes; /* what they became (raw included) */
};
void swap_app_stats_get(struct swap_app *app, struct swap_app_stats *ret);

struct swap_stats {
	uint64_t pool_bytes;	  /* memory the pool's blocks take, committed */
	uint64_t pool_used_bytes; /* compressed bytes in them */
	uint64_t meta_bytes;	  /* slots, trees, entries, block tables: committed */
	uint64_t buf_bytes;	  /* staging buffers */
	uint32_t n_bufs_free;
};
void swap_stats_get(struct swap *s, struct swap_stats *ret);

/* O(n): assert every invariant. pre: no other thread is inside the swap. */
void swap_check(struct swap *s);

#endif
