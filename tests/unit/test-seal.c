/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-seal - a record opens where it was closed, and nowhere else
 */
#include "test-common.h"

#include <sodium.h>

#include "base/inject.h"
#include "core/seal.h"

enum { LEN_MAX = 4096 };

static uint8_t src[LEN_MAX], record[LEN_MAX + 32], scratch[LEN_MAX];

static void fill(uint32_t len)
{
	uint32_t i;

	for (i = 0; i < LEN_MAX; i++)
		src[i] = (uint8_t)(i * 7 + i / 251 + len);
	memset(record, 0xcc, sizeof(record));
}

static void check_kind(bool encrypt)
{
	static const uint32_t lens[] = { 1, 7, 8, 16, 17, 100, 1300, 3072, 4096 };
	struct seal_place place = { .seq = 77, .index = 12 }, other;
	struct seal seal = SEAL_INIT;
	const void *out;
	uint32_t i, bit;

	assert_int_equal(seal_init(&seal, encrypt), 0);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		fill(lens[i]);
		assert_int_equal(record_bytes(&seal, lens[i]) % RECORD_UNIT, 0);
		seal_close(&seal, place, src, lens[i], record);
		assert_int_equal(record[record_bytes(&seal, lens[i])], 0xcc);
		assert_int_equal(
			encrypt && lens[i] > 8,
			lens[i] > 8 && memcmp(record + seal_head_bytes(&seal), src, lens[i]) != 0);
		out = seal_open(&seal, place, record, lens[i], scratch);
		assert_non_null(out);
		assert_memory_equal(out, src, lens[i]);
		other = (struct seal_place){ .seq = place.seq + 1, .index = place.index };
		assert_null(seal_open(&seal, other, record, lens[i], scratch));
		other = (struct seal_place){ .seq = place.seq, .index = place.index + 1 };
		assert_null(seal_open(&seal, other, record, lens[i], scratch));
		for (bit = 0; bit < (seal_head_bytes(&seal) + lens[i]) * 8; bit += 61) {
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_null(seal_open(&seal, place, record, lens[i], scratch));
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		/* In place, as footers are opened. */
		out = seal_open(&seal, place, record, lens[i], record + seal_head_bytes(&seal));
		assert_memory_equal(out, src, lens[i]);
	}
	seal_deinit(&seal);
}

static void test_sum(void **state)
{
	(void)state;
	check_kind(false);
}

static void test_encrypted(void **state)
{
	(void)state;
	check_kind(true);
}

/* What a CPU without AES gets. */
static void test_chacha(void **state)
{
	struct seal_place place = { .seq = 1, .index = 2 };
	struct seal seal = { .kind = SEAL_CHACHA };

	(void)state;
	assert_true(sodium_init() >= 0);
	seal.key = sodium_malloc(crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	memset(seal.key, 5, crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	fill(1000);
	seal_close(&seal, place, src, 1000, record);
	assert_memory_equal(seal_open(&seal, place, record, 1000, scratch), src, 1000);
	record[500] ^= 1;
	assert_null(seal_open(&seal, place, record, 1000, scratch));
	seal_deinit(&seal);
}

/* Two daemons' files do not open for each other, enciphered or not. */
static void test_keys_differ(void **state)
{
	struct seal_place place = { .seq = 1, .index = 2 };
	struct seal a, b;
	int encrypt;

	(void)state;
	for (encrypt = 0; encrypt < 2; encrypt++) {
		assert_int_equal(seal_init(&a, encrypt), 0);
		assert_int_equal(seal_init(&b, encrypt), 0);
		fill(100);
		seal_close(&a, place, src, 100, record);
		assert_null(seal_open(&b, place, record, 100, scratch));
		seal_deinit(&a);
		seal_deinit(&b);
	}
}

static void test_no_memory(void **state)
{
	struct seal seal;

	(void)state;
	inject_arm(1);
	assert_true(seal_init(&seal, true) < 0);
	assert_true(inject_disarm());
	seal_deinit(&seal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),	  cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_chacha),	  cmocka_unit_test(test_keys_differ),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
