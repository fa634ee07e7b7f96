/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-seal - a record opens where it was closed, and nowhere else
 */
#include "test-common.h"

#include <sodium.h>

#include "base/inject.h"
#include "core/seal.h"

enum { LEN_MAX = 4096, ROOM = LEN_MAX + 32, GUARD = 0xcc };

static uint8_t src[LEN_MAX], record[ROOM], scratch[LEN_MAX];

static void fill(uint32_t len)
{
	uint32_t i;

	for (i = 0; i < LEN_MAX; i++)
		src[i] = (uint8_t)(i * 7 + i / 251 + len);
	memset(record, GUARD, sizeof(record));
}

static void close_src(const struct seal *seal, struct seal_place place, uint32_t len)
{
	fill(len);
	seal_close(seal, place, src, len, record);
}

/* A seal whose key is known. Return: false: not on this CPU. */
static bool seal_of(struct seal *seal, enum seal_kind kind, const uint8_t *key)
{
	*seal = (struct seal){ .kind = kind };
	assert_true(sodium_init() >= 0);
	if (kind == SEAL_AES && !crypto_aead_aes256gcm_is_available())
		return false;
	if (kind == SEAL_AES) {
		seal->key = sodium_malloc(sizeof(crypto_aead_aes256gcm_state));
		crypto_aead_aes256gcm_beforenm(seal->key, key);
	} else if (kind == SEAL_CHACHA) {
		seal->key = sodium_malloc(crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
		memcpy(seal->key, key, crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	}
	return true;
}

/* ---- what goes in comes out ----------------------------------------------------------------- */

static void check_tampered(const struct seal *seal, struct seal_place place, uint32_t len)
{
	uint32_t bit, n_bits = (seal_head_bytes(seal) + len) * 8;

	for (bit = 0; bit < n_bits; bit += bit < 128 || bit + 128 >= n_bits ? 1 : 61) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_null(seal_open(seal, place, record, len, scratch));
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* Elsewhere in the segment, in another segment, at the other's place: two numbers, not their sum. */
static void check_elsewhere(const struct seal *seal, struct seal_place place, uint32_t len)
{
	const struct seal_place others[] = {
		{ place.seq + 1, place.index },
		{ place.seq, place.index + 1 },
		{ place.seq + 1, place.index - 1 },
		{ place.seq - 1, place.index + 1 },
		{ place.index, (uint32_t)place.seq },
		{ place.seq + (UINT64_C(1) << 32), place.index },
		{ place.seq, UINT32_MAX },
	};
	uint32_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_null(seal_open(seal, others[i], record, len, scratch));
	if (len > 1) /* as another entry might say */
		assert_null(seal_open(seal, place, record, len - 1, scratch));
}

static void check_seal(const struct seal *seal)
{
	static const uint32_t lens[] = { 1, 7, 8, 16, 17, 100, 1300, 3072, 4081, 4096 };
	struct seal_place place = { .seq = 77, .index = 12 };
	uint32_t i, len, n_bytes;
	const void *out;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		len = lens[i];
		n_bytes = record_bytes(seal, len);
		assert_int_equal(n_bytes % RECORD_UNIT, 0);
		close_src(seal, place, len);
		assert_int_equal(record[n_bytes], GUARD);
		if (seal->kind != SEAL_SUM && len > 8)
			assert_memory_not_equal(record + seal_head_bytes(seal), src, len);
		out = seal_open(seal, place, record, len, scratch);
		assert_non_null(out);
		assert_memory_equal(out, src, len);
		check_elsewhere(seal, place, len);
		check_tampered(seal, place, len);
		/* In place, as footers are opened. */
		out = seal_open(seal, place, record, len, record + seal_head_bytes(seal));
		assert_memory_equal(out, src, len);
	}
}

static void check_kind(bool encrypt)
{
	struct seal seal = SEAL_INIT;

	assert_int_equal(seal_init(&seal, encrypt), 0);
	assert_int_equal(seal.kind == SEAL_SUM, !encrypt);
	check_seal(&seal);
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
	static const uint8_t key[32] = { 5 };
	struct seal seal;

	(void)state;
	assert_true(seal_of(&seal, SEAL_CHACHA, key));
	check_seal(&seal);
	seal_deinit(&seal);
}

/* ---- known answers -------------------------------------------------------------------------- */

static void check_answer(const struct seal *seal, struct seal_place place, uint32_t len,
			 const char *cipher_hex, const char *tag_hex)
{
	uint8_t want[LEN_MAX];
	size_t n;

	memset(record, GUARD, sizeof(record));
	seal_close(seal, place, src, len, record);
	assert_int_equal(
		sodium_hex2bin(want, sizeof(want), tag_hex, strlen(tag_hex), NULL, &n, NULL), 0);
	assert_int_equal(n, SEAL_TAG_BYTES);
	assert_memory_equal(record, want, n);
	assert_int_equal(
		sodium_hex2bin(want, sizeof(want), cipher_hex, strlen(cipher_hex), NULL, &n, NULL),
		0);
	assert_int_equal(n, len);
	assert_memory_equal(record + SEAL_TAG_BYTES, want, n);
}

/* Test cases 14 and 15 of the GCM specification: the nonce is the write's number, then the place. */
static void test_aes_answers(void **state)
{
	static const char plain[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a"
				    "721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aaf"
				    "d255";
	static const uint8_t half[16] = { 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c,
					  0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08 };
	struct seal_place place = { .seq = UINT64_C(0xaddbcefabebafeca), .index = 0x88f8cade };
	uint8_t key[32] = { 0 };
	struct seal seal;

	(void)state;
	if (!seal_of(&seal, SEAL_AES, key)) {
		print_message("AES is not checked: this CPU has no instructions for it\n");
		skip();
	}
	memset(src, 0, sizeof(src));
	check_answer(&seal, (struct seal_place){ 0, 0 }, 16, "cea7403d4d606b6e074ec5d3baf39d18",
		     "d0d1c8a799996bf0265b98b5d48ab919");
	seal_deinit(&seal);
	memcpy(key, half, 16);
	memcpy(key + 16, half, 16);
	assert_true(seal_of(&seal, SEAL_AES, key));
	assert_int_equal(sodium_hex2bin(src, sizeof(src), plain, strlen(plain), NULL, NULL, NULL),
			 0);
	check_answer(&seal, place, 64,
		     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		     "b094dac5d93471bdec1a502270e3cc6c");
	seal_deinit(&seal);
}

/* Of an implementation of its own, which has the answer of draft-irtf-cfrg-xchacha, A.3.1. */
static void test_chacha_answer(void **state)
{
	struct seal_place place = { .seq = UINT64_C(0x0123456789abcdef), .index = 0x2a };
	uint8_t key[32];
	struct seal seal;
	uint32_t i;

	(void)state;
	for (i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	for (i = 0; i < 48; i++)
		src[i] = (uint8_t)i;
	assert_true(seal_of(&seal, SEAL_CHACHA, key));
	check_answer(&seal, place, 48,
		     "3ac831512233b6c8837e8e5c9f079d39f110192c58f9b8628daf089bbf24594f"
		     "4e7d2204467cfa40241b8241c70eb924",
		     "e0fb142bce704bceac75b8ee6d682d1e");
	seal_deinit(&seal);
}

/* ---- the key -------------------------------------------------------------------------------- */

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
		close_src(&a, place, 100);
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
		cmocka_unit_test(test_sum),	      cmocka_unit_test(test_encrypted),
		cmocka_unit_test(test_chacha),	      cmocka_unit_test(test_aes_answers),
		cmocka_unit_test(test_chacha_answer), cmocka_unit_test(test_keys_differ),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
