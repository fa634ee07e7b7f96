/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * seal - XXH3, or libsodium's AEADs
 *
 * OpenSSL's AES-256-GCM gains a sixth at most for an average record, but keeps key schedules in
 * ordinary heap memory, and wants a context per thread. libsodium's schedule lies
 * where we say: in guarded, locked memory that is not dumped. Where the CPU has no AES instructions
 * XChaCha20-Poly1305 takes 1.5 us.
 *
 * GCM wants a nonce of 96 bits that never comes twice: 64 of the write, which only counts up, and 32
 * of the place in it. A write that is tried again elsewhere has the same bytes, so the same nonce
 * says the same thing.
 */
#include "core/seal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"
#include "base/random.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

_Static_assert(SEAL_TAG_BYTES == crypto_aead_aes256gcm_ABYTES, "tag of AES-GCM");
_Static_assert(SEAL_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag of XChaCha20");

static int seal_make_key(struct seal *seal)
{
	unsigned char raw[crypto_aead_aes256gcm_KEYBYTES];
	bool is_aes = crypto_aead_aes256gcm_is_available();
	size_t n_bytes = is_aes ? sizeof(crypto_aead_aes256gcm_state) : sizeof(raw);
	int r;

	_Static_assert(sizeof(raw) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "one size");
	/* Locked, guarded and not dumped. It ends at a guard page: aligned, as its size is. */
	_Static_assert(sizeof(crypto_aead_aes256gcm_state) % 16 == 0, "alignment of the schedule");
	seal->key = inject_fail() ? NULL : sodium_malloc(n_bytes);
	if (!seal->key)
		return err_origin(-ENOMEM);
	r = random_fill(raw, sizeof(raw));
	if (r)
		return err_trace(r);
	if (is_aes)
		crypto_aead_aes256gcm_beforenm(seal->key, raw);
	else
		memcpy(seal->key, raw, sizeof(raw));
	sodium_memzero(raw, sizeof(raw));
	sodium_mprotect_readonly(seal->key);
	seal->kind = is_aes ? SEAL_AES : SEAL_CHACHA;
	return 0;
}

int seal_init(struct seal *seal, bool encrypt)
{
	int r;

	*seal = (struct seal)SEAL_INIT;
	r = random_fill(&seal->salt, sizeof(seal->salt));
	if (r)
		return err_trace(r);
	if (!encrypt) {
		seal->kind = SEAL_SUM;
		return 0;
	}
	if (sodium_init() < 0)
		return err_origin(-ENOSYS);
	return err_trace(seal_make_key(seal));
}

void seal_deinit(struct seal *seal)
{
	if (seal->key)
		sodium_free(seal->key); /* wipes it */
	*seal = (struct seal)SEAL_INIT;
}

uint32_t seal_head_bytes(const struct seal *seal)
{
	return seal->kind == SEAL_SUM ? SEAL_SUM_BYTES : SEAL_TAG_BYTES;
}

static uint64_t seal_sum(const struct seal *seal, struct seal_place place, const void *bytes,
			 uint32_t len)
{
	/* The index is at most 16 bits, or all ones: the product keeps pairs apart. */
	uint64_t seed = seal->salt ^ (place.seq * UINT64_C(0x9e3779b97f4a7c15) + place.index);

	return XXH3_64bits_withSeed(bytes, len, seed);
}

/* Long enough for both; AES takes the first 12 bytes. */
struct nonce {
	unsigned char v[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
};

static struct nonce nonce_of(struct seal_place place)
{
	struct nonce nonce = { { 0 } };

	memcpy(nonce.v, &place.seq, sizeof(place.seq));
	memcpy(nonce.v + sizeof(place.seq), &place.index, sizeof(place.index));
	return nonce;
}

void seal_close(const struct seal *seal, struct seal_place place, const void *src, uint32_t len,
		void *record)
{
	uint32_t head = seal_head_bytes(seal);
	uint8_t *bytes = (uint8_t *)record + head;
	struct nonce nonce = nonce_of(place);
	uint64_t sum;

	switch (seal->kind) {
	case SEAL_AES:
		crypto_aead_aes256gcm_encrypt_detached_afternm(bytes, record, NULL, src, len, NULL,
							       0, NULL, nonce.v, seal->key);
		break;
	case SEAL_CHACHA:
		crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
			bytes, record, NULL, src, len, NULL, 0, NULL, nonce.v, seal->key);
		break;
	case SEAL_SUM:
	case SEAL_NONE:
		ASSERT(seal->kind == SEAL_SUM);
		memcpy(bytes, src, len);
		sum = seal_sum(seal, place, bytes, len);
		memcpy(record, &sum, sizeof(sum));
		break;
	}
	memset(bytes + len, 0, record_bytes(seal, len) - head - len);
}

const void *seal_open(const struct seal *seal, struct seal_place place, const void *record,
		      uint32_t len, void *scratch)
{
	const uint8_t *bytes = (const uint8_t *)record + seal_head_bytes(seal);
	struct nonce nonce = nonce_of(place);
	uint64_t sum;
	int r = -1;

	switch (seal->kind) {
	case SEAL_AES:
		r = crypto_aead_aes256gcm_decrypt_detached_afternm(
			scratch, NULL, bytes, len, record, NULL, 0, nonce.v, seal->key);
		break;
	case SEAL_CHACHA:
		r = crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
			scratch, NULL, bytes, len, record, NULL, 0, nonce.v, seal->key);
		break;
	case SEAL_SUM:
	case SEAL_NONE:
		ASSERT(seal->kind == SEAL_SUM);
		memcpy(&sum, record, sizeof(sum));
		return sum == seal_sum(seal, place, bytes, len) ? bytes : NULL;
	}
	return r == 0 ? scratch : NULL;
}
