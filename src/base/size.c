/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * size - parse and print amounts of memory
 *
 * By hand and in integers: strtod() depends on the locale and takes "inf", "0x1p3" and blanks.
 */
#include "base/size.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>

enum { FRACTION_DIGITS_MAX = 9 };

/* A decimal number as whole + fraction / scale. */
struct decimal {
	uint64_t whole;
	uint64_t fraction;
	uint64_t scale; /* power of ten */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int decimal_parse(const char **text, struct decimal *ret)
{
	struct decimal d = { .scale = 1 };
	const char *p = *text;
	int n_digits = 0;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++)
		if (__builtin_mul_overflow(d.whole, 10u, &d.whole) ||
		    __builtin_add_overflow(d.whole, (uint64_t)(*p - '0'), &d.whole))
			return -ERANGE;
	if (*p == '.') {
		p++;
		if (!is_digit(*p))
			return -EINVAL;
		for (; is_digit(*p); p++) {
			if (++n_digits > FRACTION_DIGITS_MAX)
				continue; /* too fine to matter */
			d.fraction = d.fraction * 10 + (uint64_t)(*p - '0');
			d.scale *= 10;
		}
	}
	*text = p;
	*ret = d;
	return 0;
}

/* The shift of a unit, -1: not a unit. */
static int unit_shift(const char *unit)
{
	static const char letters[] = "kmgt";
	int i;

	if (!*unit || !strcasecmp(unit, "b"))
		return 0;
	for (i = 0; letters[i]; i++)
		if ((unit[0] | 0x20) == letters[i])
			break;
	if (!letters[i])
		return -1;
	if (unit[1] && strcasecmp(unit + 1, "b") && strcasecmp(unit + 1, "ib"))
		return -1;
	return 10 * (i + 1);
}

int size_parse(const char *text, uint64_t whole_bytes, uint64_t *ret_bytes)
{
	unsigned __int128 bytes;
	struct decimal d;
	uint64_t unit;
	int r, shift;

	r = decimal_parse(&text, &d);
	if (r)
		return r;
	if (text[0] == '%' && !text[1]) {
		if (!whole_bytes)
			return -EINVAL;
		unit = whole_bytes;
	} else {
		shift = unit_shift(text);
		if (shift < 0)
			return -EINVAL;
		unit = UINT64_C(1) << shift;
	}
	bytes = (unsigned __int128)d.whole * unit + (unsigned __int128)d.fraction * unit / d.scale;
	if (text[0] == '%')
		bytes /= 100;
	if (bytes == 0)
		return -EINVAL;
	if (bytes > UINT64_MAX)
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

void size_format(char *buf, size_t buf_bytes, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t tenths;
	unsigned int i = 1, shift;

	if (bytes < 1024) {
		snprintf(buf, buf_bytes, "%llu B", (unsigned long long)bytes);
		return;
	}
	while (i + 1 < sizeof(units) / sizeof(units[0]) && bytes >> (10 * (i + 1)))
		i++;
	for (;;) {
		shift = 10 * i;
		tenths = (uint64_t)((((unsigned __int128)bytes * 10) +
				     ((unsigned __int128)1 << (shift - 1))) >>
				    shift);
		if (tenths < 10240 || i + 1 == sizeof(units) / sizeof(units[0]))
			break;
		i++; /* 1023.97 KiB is 1.0 MiB */
	}
	snprintf(buf, buf_bytes, "%llu.%llu %s", (unsigned long long)(tenths / 10),
		 (unsigned long long)(tenths % 10), units[i]);
}
