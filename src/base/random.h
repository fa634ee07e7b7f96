/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * random - bytes nobody can guess
 *
 * One of the four sources of nondeterminism: a simulator puts its own seed behind it.
 * Threads: any; random_source_set() before there are others.
 */
#ifndef USWAP_BASE_RANDOM_H
#define USWAP_BASE_RANDOM_H

#include <stddef.h>

int random_fill(void *dst, size_t n_bytes); /* Return: 0, or a negative errno */

typedef void random_fn(void *user, void *dst, size_t n_bytes);
void random_source_set(random_fn *fn, void *user); /* NULL: getrandom() again */

#endif
