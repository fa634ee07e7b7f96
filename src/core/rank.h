/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rank - the order in which the locks of src/core are taken
 *
 * docs/locking.md says what each protects. Pins are tried before any of these, never under one.
 */
#ifndef USWAP_CORE_RANK_H
#define USWAP_CORE_RANK_H

enum {
	LOCK_RANK_APPS = 90, /* list of apps */
	LOCK_RANK_APP_SLOTS = 100,
	LOCK_RANK_AREA_TABLE = 150,
	LOCK_RANK_AREA = 200, /* an area's tree */
	LOCK_RANK_LRU = 300,
	LOCK_RANK_POOL_CLASS = 400,
	LOCK_RANK_POOL_BLOCKS = 450,
	LOCK_RANK_SEGMENTS = 480,
	LOCK_RANK_BUFS = 500,
};

#endif
