/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * size - amounts of memory as people write them
 *
 * "256M", "1.5G", "25%", "65536". K, M, G and T are binary and may be followed by "iB" or "B"; the
 * case does not matter. No sign, no blanks, no exponent, whatever the locale.
 */
#ifndef USWAP_BASE_SIZE_H
#define USWAP_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/*
 * @whole_bytes: what 100 % is; 0: a percentage is refused.
 * Return: 0; -EINVAL: not a size, or nothing (0); -ERANGE: does not fit. *ret_bytes only if 0.
 */
int size_parse(const char *text, uint64_t whole_bytes, uint64_t *ret_bytes);

/* "12.3 MiB" into @buf; cut if it does not fit. 16 bytes are enough for any. */
void size_format(char *buf, size_t buf_bytes, uint64_t bytes);

#endif
