/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-page - contents made from (id, version), and the shadow that says which
 *
 * Kinds cover what a compressor meets: all zero, one word repeated, text-like, about 3:1, random.
 * The last three begin with a header (magic, id, version, seed), so that a wrong page tells where it
 * came from. Nothing in a page depends on its address: mremap must not change it.
 */
#include "torture.h"

#include <string.h>
#include <time.h>

#define MAGIC 0x31454752554f5454ull

uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

uint64_t rnd(struct worker *w)
{
	w->rng += 0x9e3779b97f4a7c15ull;
	return mix64(w->rng);
}

uint32_t rnd_below(struct worker *w, uint32_t n)
{
	return (uint32_t)(((rnd(w) >> 32) * n) >> 32);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- contents ------------------------------------------------------------------------------- */

/* clang-format off */
static const char text_words[64][9] = {
	"memory  ", "page    ", "fault   ", "the     ", "of      ", "and     ", "swap    ", "cold    ",
	"thread  ", "lock    ", "tree    ", "entry   ", "slot    ", "to      ", "in      ", "is      ",
	"segment ", "region  ", "pin     ", "a       ", "that    ", "with    ", "which   ", "not     ",
	"kernel  ", "process ", "space   ", "for     ", "it      ", "on      ", "by      ", "from    ",
	"pool    ", "codec   ", "writer  ", "are     ", "be      ", "was     ", "this    ", "an      ",
	"stage   ", "trash   ", "agent   ", "or      ", "as      ", "at      ", "when    ", "then    ",
	"limit   ", "cache   ", "queue   ", "one     ", "two     ", "no      ", "all     ", "each    ",
	"{\"id\": ", "\"name\":", "null,   ", "true}, ", "0.0000, ", "1000000,", "\n       ", "        ",
};
/* clang-format on */

static void words_random(uint64_t *p, uint32_t from, uint64_t x)
{
	for (uint32_t i = from; i < PAGE_WORDS; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = x ^ (x >> 29);
	}
}

static void words_text(uint64_t *p, uint32_t from, uint64_t x)
{
	uint64_t bits = 0;

	for (uint32_t i = from; i < PAGE_WORDS; i++) {
		if (i % 8 == 0 || !bits) {
			x = mix64(x);
			bits = x | (1ull << 63);
		}
		memcpy(&p[i], text_words[bits & 63], 8);
		bits >>= 6;
	}
}

/* 20 of 64 bytes are random, the others repeat. */
static void words_third(uint64_t *p, uint32_t from, uint64_t x)
{
	const uint64_t constant = mix64(x);

	for (uint32_t i = from; i < PAGE_WORDS; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		if (i % 8 < 2)
			p[i] = x ^ (x >> 29);
		else if (i % 8 == 2)
			p[i] = x >> 32;
		else
			p[i] = constant;
	}
}

static uint64_t content_seed(const struct shadow *sh)
{
	return mix64(torture.seed ^ mix64((uint64_t)sh->src_id << 32 | sh->src_version));
}

void page_make(const struct shadow *sh, uint8_t *dst)
{
	uint64_t *p = (uint64_t *)(void *)dst;
	const uint64_t x = content_seed(sh);

	if (sh->kind == KIND_ZERO) {
		memset(dst, 0, PAGE);
	} else if (sh->kind == KIND_FILL) {
		for (uint32_t i = 0; i < PAGE_WORDS; i++)
			p[i] = x;
	} else {
		p[0] = MAGIC;
		p[1] = (uint64_t)sh->src_id << 32 | sh->src_version;
		p[2] = torture.seed;
		p[3] = sh->kind;
		if (sh->kind == KIND_TEXT)
			words_text(p, 4, x);
		else if (sh->kind == KIND_THIRD)
			words_third(p, 4, x);
		else
			words_random(p, 4, x);
	}
	for (uint32_t i = 0; i < sh->n_patches; i++)
		p[sh->patch[i].word] = mix64(sh->patch[i].salt);
}

enum page_kind kind_pick(uint64_t random)
{
	uint32_t pct = (uint32_t)(random % 100);

	for (uint32_t kind = 0; kind < N_KINDS; kind++) {
		if (pct < torture.mix_pct[kind])
			return (enum page_kind)kind;
		pct -= torture.mix_pct[kind];
	}
	return KIND_RANDOM;
}

/* ---- shadows -------------------------------------------------------------------------------- */

static uint32_t shadow_sum(const struct shadow *sh)
{
	struct shadow copy = *sh;
	uint64_t words[sizeof(copy) / 8], x = 0x5ad0;

	copy.check = 0;
	memcpy(words, &copy, sizeof(words));
	for (uint32_t i = 0; i < sizeof(words) / 8; i++)
		x = (x ^ words[i]) * 0xff51afd7ed558ccdull, x ^= x >> 32;
	return (uint32_t)x | 1;
}

void shadow_seal(struct shadow *sh)
{
	sh->check = shadow_sum(sh);
}

struct shadow *shadow_get(struct worker *w, const struct range *r, uint32_t idx)
{
	struct shadow *sh = &r->sh[idx];

	if (sh->check != shadow_sum(sh))
		fatal("thread %u: the shadow of page %u is damaged: the test itself is broken",
		      w->idx, idx);
	return sh;
}

void shadow_set_zero(struct worker *w, const struct range *r, uint32_t at, uint32_t n)
{
	for (uint32_t i = at; i < at + n; i++) {
		struct shadow *sh = &r->sh[i];

		sh->kind = KIND_ZERO;
		sh->state = STATE_DATA;
		sh->n_patches = 0;
		sh->src_id = sh->id;
		sh->src_version = sh->next_version++;
		sh->last_op = w->n_ops;
		shadow_seal(sh);
	}
}

void shadow_set_state(struct worker *w, const struct range *r, uint32_t at, uint32_t n,
		      enum page_state state)
{
	for (uint32_t i = at; i < at + n; i++) {
		struct shadow *sh = shadow_get(w, r, i);

		sh->state = (uint8_t)state;
		sh->last_op = w->n_ops;
		shadow_seal(sh);
	}
}

/* @dst's page now holds what @src's page held. */
void shadow_copy(struct worker *w, struct shadow *dst, const struct shadow *src)
{
	dst->src_id = src->src_id;
	dst->src_version = src->src_version;
	dst->kind = src->kind;
	dst->state = src->state;
	dst->n_patches = src->n_patches;
	memcpy(dst->patch, src->patch, sizeof(dst->patch));
	dst->last_op = w->n_ops;
	shadow_seal(dst);
}

/* ---- pages ---------------------------------------------------------------------------------- */

uint8_t *page_at(const struct range *r, uint32_t idx)
{
	return r->base + (size_t)idx * PAGE;
}

void page_write(struct worker *w, struct range *r, uint32_t idx, enum page_kind kind)
{
	struct shadow *sh = shadow_get(w, r, idx);

	sh->kind = (uint8_t)kind;
	sh->state = STATE_DATA;
	sh->n_patches = 0;
	sh->src_id = sh->id;
	sh->src_version = sh->next_version++;
	sh->last_op = w->n_ops;
	shadow_seal(sh);
	page_make(sh, w->gen);
	memcpy(page_at(r, idx), w->gen, PAGE);
}

static bool page_is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, PAGE - 1) == 0;
}

/*
 * After the write a FREED page is definite again: old content or zeroes, with the new word in it.
 * Which of the two is found by looking.
 */
static void freed_page_patched(struct worker *w, struct range *r, uint32_t idx)
{
	struct shadow *sh = shadow_get(w, r, idx), zero = *sh;

	sh->state = STATE_DATA;
	shadow_seal(sh);
	memcpy(w->got, page_at(r, idx), PAGE);
	page_make(sh, w->gen);
	if (memcmp(w->got, w->gen, PAGE) == 0)
		return;
	zero.state = STATE_DATA;
	zero.kind = KIND_ZERO;
	zero.patch[0] = sh->patch[sh->n_patches - 1];
	zero.n_patches = 1;
	page_make(&zero, w->gen);
	if (memcmp(w->got, w->gen, PAGE) != 0)
		report_page(w, r, idx, w->gen, w->got,
			    "a word written after MADV_FREE: neither old content nor zeroes");
	*sh = zero;
	shadow_seal(sh);
}

void page_write_word(struct worker *w, struct range *r, uint32_t idx, uint32_t word, uint32_t salt)
{
	struct shadow *sh = shadow_get(w, r, idx);
	const bool freed = sh->state == STATE_FREED;
	uint64_t value;

	if (sh->n_patches == N_PATCHES) {
		page_write(w, r, idx, kind_pick(salt));
		return;
	}
	sh->patch[sh->n_patches].word = 4 + word % (PAGE_WORDS - 4);
	sh->patch[sh->n_patches].salt = salt;
	value = mix64(salt);
	*(volatile uint64_t *)(void *)(page_at(r, idx) + 8 * sh->patch[sh->n_patches].word) = value;
	sh->n_patches++;
	sh->last_op = w->n_ops;
	shadow_seal(sh);
	if (freed)
		freed_page_patched(w, r, idx);
}

static void freed_page_verify(struct worker *w, struct range *r, uint32_t idx)
{
	/* The kernel may drop the page in the middle of a look: then the next look sees zeroes. */
	for (uint32_t look = 0; look < 2; look++) {
		memcpy(w->got, page_at(r, idx), PAGE);
		if (memcmp(w->got, w->gen, PAGE) == 0)
			return;
		if (page_is_zero(w->got)) {
			shadow_set_zero(w, r, idx, 1);
			return;
		}
	}
	report_page(w, r, idx, w->gen, w->got, "after MADV_FREE: neither old content nor zeroes");
}

void page_verify(struct worker *w, struct range *r, uint32_t idx)
{
	const struct shadow *sh = shadow_get(w, r, idx);

	w->n_checked++;
	page_make(sh, w->gen);
	if (sh->state == STATE_FREED) {
		freed_page_verify(w, r, idx);
		return;
	}
	memcpy(w->got, page_at(r, idx), PAGE);
	if (memcmp(w->got, w->gen, PAGE) != 0)
		report_page(w, r, idx, w->gen, w->got, "read");
}

void page_verify_bytes(struct worker *w, struct range *r, uint32_t idx, const uint8_t *bytes,
		       const char *how)
{
	w->n_checked++;
	page_make(shadow_get(w, r, idx), w->gen);
	if (memcmp(bytes, w->gen, PAGE) != 0)
		report_page(w, r, idx, w->gen, bytes, how);
}

void note(struct worker *w, const char *name, const struct span *s, uint32_t extra)
{
	struct note *n = &w->notes[w->n_notes++ % N_NOTES];

	n->op = w->n_ops;
	n->name = name;
	n->range = s ? (uint32_t)(s->r - w->ranges) : 0;
	n->at = s ? s->at : 0;
	n->n = s ? s->n : 0;
	n->extra = extra;
	w->digest = mix64(w->digest ^ ((uint64_t)n->at << 32 | n->n) ^ ((uint64_t)n->range << 56) ^
			  (uint64_t)(unsigned char)name[0] << 48 ^ (uint64_t)extra << 16);
}
