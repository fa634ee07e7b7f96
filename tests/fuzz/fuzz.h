/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz - one target is one file with LLVMFuzzerTestOneInput()
 *
 * With -Dfuzz=true (clang) libFuzzer drives it; without, drive.c does, with the corpus and seeded
 * mutations of it. A target asserts more than that nothing crashes: round trips, a naive twin, what
 * the header promises. Its result follows from the input alone.
 *
 * Threads: one.
 */
#ifndef USWAP_FUZZ_H
#define USWAP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#define FUZZ_MAX_BYTES 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* What is left of an input; reading past its end gives zeroes. */
struct fuzz_in {
	const uint8_t *at;
	size_t n_bytes;
};

static inline size_t fuzz_take(struct fuzz_in *in, void *dst, size_t n_bytes)
{
	size_t n = n_bytes < in->n_bytes ? n_bytes : in->n_bytes;

	memset(dst, 0, n_bytes);
	if (n)
		memcpy(dst, in->at, n);
	in->at += n;
	in->n_bytes -= n;
	return n;
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	uint8_t v;

	fuzz_take(in, &v, sizeof(v));
	return v;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint16_t v;

	fuzz_take(in, &v, sizeof(v));
	return v;
}

static inline uint32_t fuzz_u32(struct fuzz_in *in)
{
	uint32_t v;

	fuzz_take(in, &v, sizeof(v));
	return v;
}

static inline uint64_t fuzz_u64(struct fuzz_in *in)
{
	uint64_t v;

	fuzz_take(in, &v, sizeof(v));
	return v;
}

#endif
