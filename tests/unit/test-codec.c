/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-codec - there and back, and what must be refused
 */
#include "test-common.h"

#include "core/codec.h"
#include "test-pages.h"

static struct codec_ctx *ctx;

static int setup(void **state)
{
	(void)state;
	return codec_ctx_new(&ctx);
}

static int teardown(void **state)
{
	(void)state;
	ctx = codec_ctx_free(ctx);
	return 0;
}

static void check_round_trip(enum entry_form form, int level)
{
	uint8_t page[PAGE_BYTES] __attribute__((aligned(8))), back[PAGE_BYTES], copy[PAGE_BYTES];
	const void *out;
	uint64_t seed;
	uint32_t len;

	for (seed = 0; seed < 64; seed++) {
		page_make(seed, page);
		len = codec_compress(ctx, form, level, page, CODEC_STORE_MAX, &out);
		assert_true(len <= CODEC_STORE_MAX);
		if (seed % 16 == 2)
			assert_int_equal(len, 0); /* noise */
		if (!len)
			continue;
		memcpy(copy, out, len);
		memset(back, 0, sizeof(back));
		assert_true(codec_decompress(ctx, form, copy, len, back));
		assert_memory_equal(page, back, PAGE_BYTES);
		/* Cut short, or garbage: said, never read past. */
		assert_false(codec_decompress(ctx, form, copy, len - 1, back));
		memset(copy, 0xff, len);
		assert_false(codec_decompress(ctx, form, copy, len, back));
	}
}

static void test_round_trips(void **state)
{
	(void)state;
	check_round_trip(ENTRY_LZ4, 0);
	check_round_trip(ENTRY_ZSTD, CODEC_ZSTD_FAST_LEVEL);
	check_round_trip(ENTRY_ZSTD, 3);
	check_round_trip(ENTRY_ZSTD, -5);
	check_round_trip(ENTRY_ZSTD, 12);
}

/* A pattern is found whatever comes before it, and nothing else is taken for one. */
static void test_repeats(void **state)
{
	uint8_t bytes[PAGE_BYTES] __attribute__((aligned(8)));
	uint64_t *page = (uint64_t *)bytes;
	struct rng rng = { 7 };
	uint32_t period, i;
	const void *out;

	(void)state;
	for (period = 2; period <= 16; period *= 2) {
		for (i = 0; i < PAGE_BYTES / 8; i++)
			page[i] = 0x1234567 * (i % period + 1) % 251;
		page[0] = page[1] = 0xfedcba9876543210;
		assert_true(codec_repeats(ctx, page));
		assert_in_range(codec_compress(ctx, ENTRY_LZ4, 0, page, PAGE_BYTES, &out), 1, 160);
	}
	for (i = 0; i < PAGE_BYTES / 8; i++)
		page[i] = rng_below(&rng, 256);
	assert_false(codec_repeats(ctx, page));
	page_make(1006, bytes);
	assert_false(codec_repeats(ctx, bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_repeats),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
