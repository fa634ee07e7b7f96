/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swap-impl - what the files behind swap.h share
 *
 *   swap.c           construction, apps, figures
 *   swap-slot.c      slots: giving out, counts, pins, the end of a slot
 *   swap-store.c     put, compress
 *   swap-load.c      load and its end
 *   swap-upkeep.c    kept copies, recompression, compaction
 *   swap-file.c      the file: attach, what its owner asks for
 *   swap-writeback.c pool to file
 *   swap-clean.c     file to file, file to pool
 *   swap-check.c     the walker
 */
#ifndef USWAP_CORE_SWAP_IMPL_H
#define USWAP_CORE_SWAP_IMPL_H

#include "base/list.h"
#include "base/lock.h"
#include "base/slab.h"
#include "core/area.h"
#include "core/buf.h"
#include "core/entry.h"
#include "core/hash.h"
#include "core/lru.h"
#include "core/pool.h"
#include "core/segment.h"
#include "core/slot.h"
#include "core/swap.h"

/* Relaxed throughout: figures. Those that go up and down are sums of what pin holders did. */
struct app_figures {
	_Atomic uint64_t n_pages;
	_Atomic uint64_t n_staged;
	_Atomic uint64_t n_filled;
	_Atomic uint64_t n_raw;
	_Atomic uint64_t n_zstd;
	_Atomic uint64_t n_file;
	_Atomic uint64_t n_kept;
	_Atomic uint64_t n_file_kept;
	_Atomic uint64_t stored_bytes;
	_Atomic uint64_t kept_bytes;
	_Atomic uint64_t file_bytes;
	_Atomic uint64_t n_put;
	_Atomic uint64_t n_put_unchanged;
	_Atomic uint64_t n_put_changed;
	_Atomic uint64_t n_load;
	_Atomic uint64_t n_load_file;
	_Atomic uint64_t n_lost;
	_Atomic uint64_t n_writeback;
	_Atomic uint64_t writeback_bytes;
	_Atomic uint64_t n_writeback_warm;
	_Atomic uint64_t n_writeback_busy;
	_Atomic uint64_t n_writeback_full;
	_Atomic uint64_t n_rehomed;
	_Atomic uint64_t compressed_in_bytes;
	_Atomic uint64_t compressed_out_bytes;
};

struct swap {
	struct swap_options options; /* [const] */
	struct slab entries;	     /* one reserved per slot */
	struct slot_table slots;
	struct area_table areas;
	struct pool pool;
	struct bufs bufs;
	struct hash hash;
	struct segs segs;
	_Atomic uint32_t compacting; /* 1: a thread is in swap_compact() */
	_Atomic uint32_t rehoming;   /* 1: a thread is in swap_file_rehome() */
	struct lock apps_lock;	     /* LOCK_RANK_APPS */
	struct list apps;	     /* [apps_lock] */
	uint32_t n_apps_ever;	     /* [apps_lock] */
};

struct swap_app {
	struct swap *swap; /* [const] */
	struct list node;  /* [swap's apps_lock] */
	uint32_t nr;	   /* [const] 1.. */
	struct lru lru;
	struct lock slots_lock; /* LOCK_RANK_APP_SLOTS; the "slots" part of the app's areas too */
	struct list areas;	/* [slots_lock] with a free slot; the first one is taken from */
	struct list areas_full; /* [slots_lock] */
	uint32_t n_slots;	/* [slots_lock] */
	uint32_t n_reserved;	/* [slots_lock] entries reserved for slots to come */
	struct app_figures figures;
};

/* ---- swap-slot.c ---------------------------------------------------------------------------- */

/*
 * The steps that end every use of a slot: what slot_unpin() and slot_drop() said is owed. May free
 * entry and slot; touch neither after.
 */
void slot_settle(struct swap *s, struct slot_id id, uint32_t owed);
/* Unpin after a piece of work; pre: no lock is held. */
static inline void slot_done(struct swap *s, struct slot_id id)
{
	slot_settle(s, id, slot_unpin(&s->slots, id, 0));
}

/* ---- swap-store.c --------------------------------------------------------------------------- */

/* Make an entry of a pinned slot exist (I9), or end it (I10). @e is filled in but for its links. */
void entry_publish(struct swap *s, struct area *area, uint32_t idx, enum lru_list list);
void entry_erase(struct swap *s, struct area *area, uint32_t idx);
/* Free what an entry's bytes take: pool object or reference on a buffer. */
void entry_release_bytes(struct swap *s, struct entry_where where);
/* Add (+1) or take away (-1) an entry kept like this in the app's figures. */
void figures_count(struct swap_app *app, struct entry_where where, int sign);
/* A pinned entry's bytes are somewhere else now: publish, count, release the old ones. */
void entry_rehome(struct swap *s, struct swap_app *app, struct entry *e, struct entry_where where);

/* ---- swap-load.c ---------------------------------------------------------------------------- */

/* Bytes of a pinned entry into @dst, checked. Return: 0; SWAP_E_LOST; SWAP_E_ON_FILE. */
int entry_read(struct swap *s, const struct entry *e, void *dst, struct codec_ctx *ctx);

/* ---- swap-upkeep.c -------------------------------------------------------------------------- */

/*
 * Pin who was picked and prove that it is still the same (I1). Return: 0, pinned, and *ret_area;
 * SWAP_E_BUSY; SWAP_E_WARM; SWAP_E_GONE.
 */
int pick_pin(struct swap *s, struct slot_ref slot, uint32_t entry_idx, struct area **ret_area);
/* End a kept copy of a slot that the caller has pinned. */
void kept_erase(struct swap *s, struct area *area, uint32_t idx);

#endif
