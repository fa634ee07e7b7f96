/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * codec - one page smaller, and back
 *
 * Ownership: a context belongs to one thread.
 * Threads:   the context's own.
 */
#ifndef USWAP_CORE_CODEC_H
#define USWAP_CORE_CODEC_H

#include <stdbool.h>

#include "core/entry.h"
#include "core/swap.h"

enum {
	CODEC_STORE_MAX = PAGE_BYTES / 4 * 3, /* what does not save a quarter is stored raw */
	CODEC_ZSTD_FAST_LEVEL = -1,	      /* of swap_compress() */
};

/*
 * Compress the page @src into the context's buffer. @zstd_level is for ENTRY_ZSTD only.
 * Return: bytes, at *ret_out until the next call; 0: more than @max_bytes.
 */
uint32_t codec_compress(struct codec_ctx *ctx, enum entry_form form, int zstd_level,
			const void *src, uint32_t max_bytes, const void **ret_out);
/*
 * Is this page one pattern over and over? LZ4 makes next to nothing of it in half a microsecond; zstd at
 * level -1 takes the zeroes inside of the pattern for what repeats, and stores a quarter.
 */
bool codec_repeats(struct codec_ctx *ctx, const void *src);
/* Return: false if @src does not decompress to exactly one page. @dst is undefined then. */
bool codec_decompress(struct codec_ctx *ctx, enum entry_form form, const void *src, uint32_t len,
		      void *dst);
void *codec_page(struct codec_ctx *ctx);    /* a page of scratch memory */
void *codec_scratch(struct codec_ctx *ctx); /* another, which codec_compress() overwrites */

#endif
