// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * size_parse() against a twin that works in decimal, and size_format() read back.
 *
 * Input: 8 bytes for the whole of a percentage and the amount to print, then the text.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/size.h"
#include "fuzz.h"

typedef unsigned __int128 wide;

#define TOO_MUCH ((wide)1 << 100)

/* The text as the header describes it. False: not a size. */
struct twin {
	wide whole;    /* TOO_MUCH: at least that */
	wide billions; /* of the fraction */
	bool percent;
	uint32_t shift;
};

static bool twin_digits(const char **text, struct twin *t)
{
	size_t n = strspn(*text, "0123456789");

	if (!n)
		return false;
	for (; n; n--, (*text)++)
		t->whole =
			t->whole >= TOO_MUCH / 10 ? TOO_MUCH : t->whole * 10 + (wide)(**text - '0');
	if (**text != '.')
		return true;
	n = strspn(++*text, "0123456789");
	if (!n)
		return false;
	for (uint32_t k = 0; k < 9; k++)
		t->billions = t->billions * 10 + (k < n ? (wide)((*text)[k] - '0') : 0);
	*text += n;
	return true;
}

static bool twin_unit(const char *text, struct twin *t)
{
	static const char *const units[] = { "",    "b", "k",  "kb",  "kib", "m",  "mb",
					     "mib", "g", "gb", "gib", "t",   "tb", "tib" };

	t->percent = !strcmp(text, "%");
	if (t->percent)
		return true;
	for (uint32_t k = 0; k < sizeof(units) / sizeof(units[0]); k++)
		if (!strcasecmp(text, units[k])) {
			t->shift = k < 2 ? 0 : 10 * ((k - 2) / 3 + 1);
			return true;
		}
	return false;
}

static int twin_parse(const char *text, uint64_t whole_bytes, uint64_t *ret_bytes)
{
	struct twin t = { 0 };
	wide unit, bytes;

	if (!twin_digits(&text, &t) || !twin_unit(text, &t))
		return -EINVAL;
	if (t.percent && !whole_bytes)
		return -EINVAL;
	if (t.whole > UINT64_MAX)
		return -ERANGE;
	unit = t.percent ? whole_bytes : (wide)1 << t.shift;
	bytes = t.whole * unit + t.billions * unit / 1000000000u;
	if (t.percent)
		bytes /= 100;
	if (!bytes)
		return -EINVAL;
	if (bytes > UINT64_MAX)
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

static void check_parse(const char *text, uint64_t whole_bytes)
{
	uint64_t bytes = 77, want = 77;
	int r = size_parse(text, whole_bytes, &bytes);
	int want_r = twin_parse(text, whole_bytes, &want);

	/* digits without end may be refused before the rest is seen */
	ASSERT(r == want_r || (r == -ERANGE && want_r == -EINVAL));
	ASSERT(bytes == want);
	ASSERT(r || bytes);
}

/* What is printed is the amount to a twentieth of its unit, and fits where the header says. */
static void check_format(uint64_t bytes)
{
	char text[16], cut[5] = "zzzz", *unit;
	uint64_t back, shift;

	size_format(text, sizeof(text), bytes);
	ASSERT(strlen(text) < sizeof(text) - 1);
	size_format(cut, 4, bytes);
	ASSERT(!strncmp(cut, text, 3) && !cut[3] && !cut[4]);

	unit = strchr(text, ' ');
	ASSERT(unit && unit > text);
	memmove(unit, unit + 1, strlen(unit));
	if (!bytes || *unit == 'P' || *unit == 'E') /* not among what people type */
		return;
	shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : *unit == 'T' ? 40 : 0;
	ASSERT(shift || bytes < 1024);
	ASSERT(!size_parse(text, 0, &back));
	ASSERT((back > bytes ? back - bytes : bytes - back) <= (UINT64_C(1) << shift) / 20 + 1);
	ASSERT(strtoull(text, NULL, 10) < 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	struct fuzz_in in = { data, n_bytes };
	uint64_t whole_bytes = fuzz_u64(&in);
	char text[256];
	uint64_t bytes;

	text[fuzz_take(&in, text, sizeof(text) - 1)] = '\0';
	check_parse(text, whole_bytes);
	check_parse(text, 0);
	check_format(whole_bytes);
	check_format(whole_bytes >> (text[0] & 63));
	if (!size_parse(text, whole_bytes, &bytes))
		check_format(bytes);
	return 0;
}
