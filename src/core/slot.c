/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slot - one word, one step
 *
 * Every change is a compare-and-swap of the whole word. A successful pin acquires what the last
 * unpin released: entry and bytes need no other ordering between one holder and the next.
 *
 * Parking: the waiter bit is set in the same step that finds the pin, and cleared in the same step
 * that takes the pin away. So either the pin is had, or its holder sees the bit: no wake-up is lost.
 */
#include "core/slot.h"

#include "base/assert.h"
#include "base/error.h"

#define COUNT_MASK UINT64_C(0xffffffff)
#define PIN_SHIFT 32
#define PIN_MASK (UINT64_C(7) << PIN_SHIFT)
#define WAITER (UINT64_C(1) << 35)
#define KEPT (UINT64_C(1) << 36)
#define GEN_SHIFT 48

enum {		     /* values of the pin field */
       PIN_NONE = 0, /* SWAP_PIN_* + 1 in between */
       PIN_LOAD = SWAP_PIN_LOAD + 1,
       PIN_CLOSE = 7,
};
_Static_assert(SWAP_PIN_MOVE + 1 < PIN_CLOSE, "kinds fit the field");

static _Atomic uint64_t *slot_word(struct slot_table *t, struct slot_id id)
{
	ASSERT(id.v != 0);
	return (_Atomic uint64_t *)arena_at(&t->arena, (size_t)id.v * sizeof(uint64_t));
}

static uint32_t word_pin(uint64_t w)
{
	return (uint32_t)((w & PIN_MASK) >> PIN_SHIFT);
}

static uint32_t word_count(uint64_t w)
{
	return (uint32_t)(w & COUNT_MASK);
}

static uint64_t word_with_pin(uint64_t w, uint32_t pin)
{
	return (w & ~PIN_MASK) | ((uint64_t)pin << PIN_SHIFT);
}

int slot_table_init(struct slot_table *t, uint32_t n_max, enum arena_residency residency)
{
	return err_trace(
		arena_init(&t->arena, &(struct arena_options){
					      .name = "uswap-slots",
					      .reserve_bytes = (size_t)n_max * sizeof(uint64_t),
					      .residency = residency,
				      }));
}

void slot_table_deinit(struct slot_table *t)
{
	arena_deinit(&t->arena);
}

void slot_open(struct slot_table *t, struct slot_id id)
{
	_Atomic uint64_t *word = slot_word(t, id);
	uint64_t w = load_acquire(word); /* pairs with slot_close() */

	/* A stranger only reads a FREE word: nobody else can change it now. */
	ASSERT(word_count(w) == 0 && word_pin(w) == PIN_NONE);
	w = word_with_pin(w, SWAP_PIN_STORE + 1) + 1;
	store_release(word, w); /* pairs with the pins of others */
}

void slot_close(struct slot_table *t, struct slot_id id)
{
	_Atomic uint64_t *word = slot_word(t, id);
	uint64_t w = load_relaxed(word); /* CLOSING: ours alone */

	ASSERT(word_count(w) == 0 && word_pin(w) == PIN_CLOSE);
	w = ((w >> GEN_SHIFT) + 1) << GEN_SHIFT;
	store_release(word, w); /* pairs with slot_open() */
}

void slot_hold(struct slot_table *t, struct slot_id id)
{
	uint64_t w = fetch_add_acq_rel(slot_word(t, id), 1);

	ASSERT(word_count(w) > 0 && word_count(w) < UINT32_MAX);
	/* A kept copy has one owner: fork drops kept slots from the parent's maps first. */
	ASSERT(!(w & KEPT) || word_pin(w) != PIN_NONE);
}

uint32_t slot_drop(struct slot_table *t, struct slot_id id)
{
	_Atomic uint64_t *word = slot_word(t, id);
	uint64_t w = load_relaxed(word); /* the swap below decides */
	uint64_t new;

	do {
		ASSERT(word_count(w) > 0);
		new = w - 1;
		if (word_count(new) == 0 && word_pin(new) == PIN_NONE)
			new = word_with_pin(new, PIN_CLOSE);
	} while (!try_swap_acq_rel(word, &w, new)); /* pairs with the unpins of others */
	return word_pin(new) == PIN_CLOSE ? SLOT_LAST : 0;
}

/* One attempt on the word @w: 0 with *ret_new, or why not. */
static int word_try_pin(uint64_t w, enum swap_pin kind, uint64_t *ret_new)
{
	if (word_count(w) == 0)
		return SWAP_E_GONE;
	if (word_pin(w) != PIN_NONE)
		return word_pin(w) == PIN_LOAD ? SWAP_E_WARM : SWAP_E_BUSY;
	*ret_new = word_with_pin(w, kind + 1u);
	return 0;
}

int slot_try_pin(struct slot_table *t, struct slot_id id, enum swap_pin kind)
{
	_Atomic uint64_t *word = slot_word(t, id);
	uint64_t w = load_relaxed(word); /* the swap below decides */
	uint64_t new;
	int r;

	do {
		r = word_try_pin(w, kind, &new);
		if (r)
			return r;
	} while (!try_swap_acq_rel(word, &w, new)); /* pairs with slot_unpin() */
	return 0;
}

int slot_try_pin_ref(struct slot_table *t, struct slot_ref ref, enum swap_pin kind)
{
	_Atomic uint64_t *word = slot_word(t, ref.id);
	uint64_t w = load_relaxed(word); /* the swap below decides */
	uint64_t new;
	int r;

	do {
		if ((uint16_t)(w >> GEN_SHIFT) != ref.gen)
			return SWAP_E_GONE;
		r = word_try_pin(w, kind, &new);
		if (r)
			return r;
	} while (!try_swap_acq_rel(word, &w, new)); /* pairs with slot_unpin() */
	return 0;
}

int slot_pin_or_park(struct slot_table *t, struct slot_id id, enum swap_pin kind)
{
	_Atomic uint64_t *word = slot_word(t, id);
	uint64_t w = load_relaxed(word); /* the swap below decides */
	uint64_t new;

	do {
		ASSERT(word_count(w) > 0);
		new = word_pin(w) == PIN_NONE ? word_with_pin(w, kind + 1u) : w | WAITER;
	} while (!try_swap_acq_rel(word, &w, new)); /* pairs with slot_unpin() */
	return word_pin(w) == PIN_NONE ? 0 : SWAP_E_PARKED;
}

uint32_t slot_unpin(struct slot_table *t, struct slot_id id, uint32_t n_drop)
{
	_Atomic uint64_t *word = slot_word(t, id);
	uint64_t w = load_relaxed(word); /* the swap below decides */
	uint64_t new;

	do {
		ASSERT(word_pin(w) != PIN_NONE && word_pin(w) != PIN_CLOSE);
		ASSERT(word_count(w) >= n_drop);
		new = (w & ~WAITER) - n_drop;
		new = word_with_pin(new, word_count(new) == 0 ? PIN_CLOSE : PIN_NONE);
	} while (!try_swap_acq_rel(word, &w, new)); /* pairs with every pin */
	return (word_pin(new) == PIN_CLOSE ? SLOT_LAST : 0) | (w & WAITER ? SLOT_WAITER : 0);
}

void slot_set_kept(struct slot_table *t, struct slot_id id, bool kept)
{
	uint64_t w;

	if (kept)
		w = fetch_or_acq_rel(slot_word(t, id), KEPT);
	else
		w = fetch_and_acq_rel(slot_word(t, id), ~KEPT);
	ASSERT(word_pin(w) != PIN_NONE);
}

uint32_t slot_count(struct slot_table *t, struct slot_id id)
{
	return word_count(load_acquire(slot_word(t, id))); /* pairs with slot_drop() */
}

struct slot_ref slot_ref_of(struct slot_table *t, struct slot_id id)
{
	/* Relaxed: the caller knows that the slot cannot be closed meanwhile. */
	return (struct slot_ref){ .id = id,
				  .gen = (uint16_t)(load_relaxed(slot_word(t, id)) >> GEN_SHIFT) };
}

bool slot_is_pinned(struct slot_table *t, struct slot_id id)
{
	return word_pin(load_acquire(slot_word(t, id))) != PIN_NONE; /* pairs with slot_unpin() */
}

bool slot_is_kept(struct slot_table *t, struct slot_id id)
{
	return load_acquire(slot_word(t, id)) & KEPT; /* pairs with slot_set_kept() */
}
