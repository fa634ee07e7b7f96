/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * seal - what makes bytes on a disk trustworthy: a checksum, or a cipher with a tag
 *
 * A record is a head, then the bytes, then zeroes up to a multiple of RECORD_UNIT. The head is eight
 * bytes of XXH3, or the 16-byte tag of an AEAD under which the bytes are enciphered. Both depend on
 * where the record was meant to lie and on the number of the write, so a record that is misplaced,
 * left over from an earlier write, or another segment's does not open.
 *
 * The key is made at the start, lies in memory that is locked and kept out of core dumps, and is gone
 * with the process. A nonce is the number of the write and the record's place in it: neither is ever
 * used twice under one key.
 *
 * Ownership: the seal owns its key.
 * Threads:   any; nothing changes after seal_init().
 */
#ifndef USWAP_CORE_SEAL_H
#define USWAP_CORE_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECORD_UNIT = 16, SEAL_TAG_BYTES = 16, SEAL_SUM_BYTES = 8 };

enum seal_kind {
	SEAL_NONE, /* not initialised */
	SEAL_SUM,  /* checksum, bytes as they are */
	SEAL_AES,  /* AES-256-GCM */
	SEAL_CHACHA,
};

struct seal {
	enum seal_kind kind; /* [const] */
	uint64_t salt;	     /* [const] of the checksum: files of two daemons do not mix */
	void *key;	     /* [const] locked memory; the key, or for AES its schedule */
};
#define SEAL_INIT                                         \
	{                                                 \
		.kind = SEAL_NONE, .salt = 0, .key = NULL \
	}

/* What a record is bound to. */
struct seal_place {
	uint64_t seq;	/* number of the write of its segment; never used twice */
	uint32_t index; /* of the record in it, as the segment counts */
};

/* Return: 0, or a negative errno: no random bytes, no memory that can be locked. */
int seal_init(struct seal *seal, bool encrypt);
void seal_deinit(struct seal *seal); /* takes SEAL_INIT */

uint32_t seal_head_bytes(const struct seal *seal);
/* Bytes a record of @len bytes takes, head and padding included. */
static inline uint32_t record_bytes(const struct seal *seal, uint32_t len)
{
	return (seal_head_bytes(seal) + len + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
}

/* Make a record of @len bytes at @src. @record has room for record_bytes(). They do not overlap. */
void seal_close(const struct seal *seal, struct seal_place place, const void *src, uint32_t len,
		void *record);
/*
 * The bytes of a record, which are in it, or deciphered at @scratch (@len bytes).
 * Return: NULL: it is not what was closed for this place.
 */
const void *seal_open(const struct seal *seal, struct seal_place place, const void *record,
		      uint32_t len, void *scratch);

#endif
