/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slot - the identity of an evicted page: how many maps refer to it, and who works on it
 *
 * One 64-bit word per slot, in an arena, indexed by slot id and never freed:
 *
 *   bits  0..31  count of the region maps that refer to the slot
 *   bits 32..34  pin: none, or what its only holder does
 *   bit  35      waiter: somebody parked and is told at the unpin
 *   bit  36      kept: the entry is a clean copy of a page that is present
 *   bits 48..63  generation, one higher each time the id is given out again
 *
 * States of a word:
 *
 *   FREE      count 0, no pin       -> LIVE pinned   slot_open()
 *   LIVE      count > 0, no pin     -> LIVE pinned   slot_try_pin…()
 *                                   -> CLOSING       slot_drop() of the last count
 *   LIVE      count > 0, pinned     -> LIVE          slot_unpin()
 *                                   -> ORPHAN        slot_drop() of the last count
 *   ORPHAN    count 0, pinned       -> CLOSING       slot_unpin()
 *   CLOSING   count 0, pin CLOSE    -> FREE          slot_close(), by who was told SLOT_LAST
 *
 * Since count and pin are one word, exactly one thread is told that it was the last; it owns the
 * slot alone, so a pin is exclusive before anything can find it (I18).
 *
 * Threads: any; each function is one atomic step.
 */
#ifndef USWAP_CORE_SLOT_H
#define USWAP_CORE_SLOT_H

#include "base/arena.h"
#include "core/swap.h"

/* An id and the generation it had: what one may hold without a count. */
struct slot_ref {
	struct slot_id id;
	uint16_t gen;
};

struct slot_table {
	struct arena arena; /* _Atomic uint64_t per id */
};

enum {			/* bits of a result; 0: nothing left to do */
       SLOT_LAST = 1,	/* the slot is CLOSING and the caller must free its entry and close it */
       SLOT_WAITER = 2, /* somebody parked: call on_unpinned(), after the close if SLOT_LAST */
};

int slot_table_init(struct slot_table *t, uint32_t n_max, enum arena_residency residency);
void slot_table_deinit(struct slot_table *t);

void slot_open(struct slot_table *t,
	       struct slot_id id); /* pre: FREE; post: count 1, pinned STORE */
void slot_close(struct slot_table *t, struct slot_id id); /* pre: CLOSING, without entry */

void slot_hold(struct slot_table *t, struct slot_id id); /* count + 1; pre: caller owns a count */
uint32_t slot_drop(struct slot_table *t, struct slot_id id); /* count - 1; SLOT_LAST or 0 */

/* Return: 0; SWAP_E_BUSY; SWAP_E_WARM; SWAP_E_GONE: FREE or ORPHAN. */
int slot_try_pin(struct slot_table *t, struct slot_id id, enum swap_pin kind);
/* As above; SWAP_E_GONE also for another generation. */
int slot_try_pin_ref(struct slot_table *t, struct slot_ref ref, enum swap_pin kind);
int slot_pin_or_park(struct slot_table *t, struct slot_id id, enum swap_pin kind);
/* Gives @n_drop counts up in the same step. Return: bits SLOT_LAST, SLOT_WAITER. */
uint32_t slot_unpin(struct slot_table *t, struct slot_id id, uint32_t n_drop);

void slot_set_kept(struct slot_table *t, struct slot_id id, bool kept); /* pre: pinned by caller */
uint32_t slot_count(struct slot_table *t, struct slot_id id);
struct slot_ref slot_ref_of(struct slot_table *t, struct slot_id id);
bool slot_is_pinned(struct slot_table *t, struct slot_id id);
bool slot_is_kept(struct slot_table *t, struct slot_id id);

#endif
