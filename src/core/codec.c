/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * codec - LZ4 and zstd, a page at a time
 *
 * zstd without magic number and content size: both are known here, and five bytes a page are half
 * a percent. Contexts are made and warmed when a thread starts, so that nothing here allocates
 * later.
 */
#define ZSTD_STATIC_LINKING_ONLY /* for the names of the frame format parameters */
#include "core/codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/inject.h"

#define SAMPLE_BYTES 512
#define SAMPLE_RATIO 6
#define LZ4_ACCELERATION 2 /* a sixth faster than 1 on a page; costs under 1 % of ratio */

struct codec_ctx {
	uint8_t page[PAGE_BYTES];
	uint8_t out[PAGE_BYTES];
	/* NULL in a context for loads: */
	void *lz4_state;
	ZSTD_CCtx *zstd_fast; /* always at CODEC_ZSTD_FAST_LEVEL */
	ZSTD_CCtx *zstd_slow; /* at @slow_level */
	ZSTD_DCtx *zstd_load;
	int slow_level;
};

DEFINE_CLEANUP(struct codec_ctx *, codec_ctx_free)

static ZSTD_CCtx *zstd_new(int level)
{
	ZSTD_CCtx *cctx = inject_fail() ? NULL : ZSTD_createCCtx();

	if (!cctx)
		return NULL;
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_format, ZSTD_f_zstd1_magicless);
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, 0);
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 0);
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level);
	return cctx;
}

static int stores_init(struct codec_ctx *ctx)
{
	size_t r;

	ctx->slow_level = ZSTD_CLEVEL_DEFAULT;
	ctx->lz4_state = malloc((size_t)LZ4_sizeofState());
	ctx->zstd_fast = zstd_new(CODEC_ZSTD_FAST_LEVEL);
	ctx->zstd_slow = zstd_new(ctx->slow_level);
	if (!ctx->lz4_state || !ctx->zstd_fast || !ctx->zstd_slow)
		return err_origin(-ENOMEM);
	r = ZSTD_compress2(ctx->zstd_fast, ctx->out, PAGE_BYTES, ctx->page, PAGE_BYTES);
	if (!ZSTD_isError(r))
		r = ZSTD_compress2(ctx->zstd_slow, ctx->out, PAGE_BYTES, ctx->page, PAGE_BYTES);
	return ZSTD_isError(r) ? err_origin(-ENOMEM) : 0;
}

static int ctx_new(struct codec_ctx **ret_ctx, bool stores)
{
	_cleanup_(codec_ctx_freep) struct codec_ctx *ctx = NULL;
	int r = 0;

	if (inject_fail())
		return err_origin(-ENOMEM);
	ctx = aligned_alloc(64, (sizeof(*ctx) + 63) / 64 * 64);
	if (!ctx)
		return err_origin(-ENOMEM);
	memset(ctx, 0, sizeof(*ctx));
	ctx->zstd_load = ZSTD_createDCtx();
	if (!ctx->zstd_load || ZSTD_isError(ZSTD_DCtx_setParameter(ctx->zstd_load, ZSTD_d_format,
								   ZSTD_f_zstd1_magicless)))
		return err_origin(-ENOMEM);
	if (stores)
		r = stores_init(ctx);
	if (!r)
		*ret_ctx = TAKE_PTR(ctx);
	return r;
}

int codec_ctx_new(struct codec_ctx **ret_ctx)
{
	return ctx_new(ret_ctx, true);
}

int codec_ctx_new_for_loads(struct codec_ctx **ret_ctx)
{
	return ctx_new(ret_ctx, false);
}

struct codec_ctx *codec_ctx_free(struct codec_ctx *ctx)
{
	if (!ctx)
		return NULL;
	free(ctx->lz4_state);
	ZSTD_freeCCtx(ctx->zstd_fast);
	ZSTD_freeCCtx(ctx->zstd_slow);
	ZSTD_freeDCtx(ctx->zstd_load);
	free(ctx);
	return NULL;
}

static uint32_t zstd_compress(struct codec_ctx *ctx, int level, const void *src, uint32_t max_bytes)
{
	ZSTD_CCtx *cctx = ctx->zstd_fast;
	size_t n;

	if (level != CODEC_ZSTD_FAST_LEVEL) {
		cctx = ctx->zstd_slow;
		if (level != ctx->slow_level) {
			ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level);
			ctx->slow_level = level;
		}
	}
	n = ZSTD_compress2(cctx, ctx->out, max_bytes, src, PAGE_BYTES);
	return ZSTD_isError(n) ? 0 : (uint32_t)n;
}

uint32_t codec_compress(struct codec_ctx *ctx, enum entry_form form, int zstd_level,
			const void *src, uint32_t max_bytes, const void **ret_out)
{
	int n;

	ASSERT(max_bytes <= PAGE_BYTES);
	*ret_out = ctx->out;
	if (form == ENTRY_ZSTD)
		return zstd_compress(ctx, zstd_level, src, max_bytes);
	ASSERT(form == ENTRY_LZ4);
	n = LZ4_compress_fast_extState(ctx->lz4_state, src, (char *)ctx->out, PAGE_BYTES,
				       (int)max_bytes, LZ4_ACCELERATION);
	return n > 0 ? (uint32_t)n : 0;
}

bool codec_repeats(struct codec_ctx *ctx, const void *src)
{
	char sample[2 * SAMPLE_BYTES];

	/* from two places: the first words of a page are often a header */
	memcpy(sample, (const char *)src + SAMPLE_BYTES, SAMPLE_BYTES);
	memcpy(sample + SAMPLE_BYTES, (const char *)src + PAGE_BYTES / 2 + SAMPLE_BYTES,
	       SAMPLE_BYTES);
	return LZ4_compress_fast_extState(ctx->lz4_state, sample, (char *)ctx->out, sizeof(sample),
					  sizeof(sample) / SAMPLE_RATIO, LZ4_ACCELERATION) > 0;
}

bool codec_decompress(struct codec_ctx *ctx, enum entry_form form, const void *src, uint32_t len,
		      void *dst)
{
	if (form == ENTRY_ZSTD)
		return ZSTD_decompressDCtx(ctx->zstd_load, dst, PAGE_BYTES, src, len) == PAGE_BYTES;
	ASSERT(form == ENTRY_LZ4);
	return LZ4_decompress_safe(src, dst, (int)len, PAGE_BYTES) == (int)PAGE_BYTES;
}

void *codec_page(struct codec_ctx *ctx)
{
	return ctx->page;
}

void *codec_scratch(struct codec_ctx *ctx)
{
	return ctx->out;
}
