/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-size - sizes as people write them
 */
#include "test-common.h"

#include <errno.h>

#include "base/size.h"

static const struct {
	const char *text;
	uint64_t whole_bytes;
	int r;
	uint64_t bytes;
} cases[] = {
	{ "1", 0, 0, 1 },
	{ "65536", 0, 0, 65536 },
	{ "256M", 0, 0, UINT64_C(256) << 20 },
	{ "256m", 0, 0, UINT64_C(256) << 20 },
	{ "4KiB", 0, 0, 4096 },
	{ "4kb", 0, 0, 4096 },
	{ "12B", 0, 0, 12 },
	{ "1.5G", 0, 0, UINT64_C(3) << 29 },
	{ "0.5K", 0, 0, 512 },
	{ "2T", 0, 0, UINT64_C(2) << 40 },
	{ "25%", 1000, 0, 250 },
	{ "12.5%", 1000, 0, 125 },
	{ "18446744073709551615", 0, 0, UINT64_MAX },
	{ "", 0, -EINVAL, 0 },
	{ "0", 0, -EINVAL, 0 },
	{ "0%", 1000, -EINVAL, 0 },
	{ "0.00001K", 0, -EINVAL, 0 },
	{ "-1", 0, -EINVAL, 0 },
	{ "+1", 0, -EINVAL, 0 },
	{ " 1", 0, -EINVAL, 0 },
	{ "1 ", 0, -EINVAL, 0 },
	{ "1 M", 0, -EINVAL, 0 },
	{ "1.", 0, -EINVAL, 0 },
	{ ".5G", 0, -EINVAL, 0 },
	{ "1,5G", 0, -EINVAL, 0 },
	{ "0x10", 0, -EINVAL, 0 },
	{ "1e3", 0, -EINVAL, 0 },
	{ "inf", 0, -EINVAL, 0 },
	{ "nan", 0, -EINVAL, 0 },
	{ "M", 0, -EINVAL, 0 },
	{ "1X", 0, -EINVAL, 0 },
	{ "1MM", 0, -EINVAL, 0 },
	{ "1i", 0, -EINVAL, 0 },
	{ "25%%", 1000, -EINVAL, 0 },
	{ "25%", 0, -EINVAL, 0 },
	{ "18446744073709551616", 0, -ERANGE, 0 },
	{ "99999999999999999999999", 0, -ERANGE, 0 },
	{ "16777216T", 0, -ERANGE, 0 },
	{ "18446744073709551615.5K", 0, -ERANGE, 0 },
};

static void test_parse(void **state)
{
	uint64_t bytes;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bytes = 77;
		r = size_parse(cases[i].text, cases[i].whole_bytes, &bytes);
		if (r != cases[i].r || bytes != (r ? 77 : cases[i].bytes))
			fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long)bytes);
	}
}

static void expect_text(uint64_t bytes, const char *text)
{
	char buf[16];

	size_format(buf, sizeof(buf), bytes);
	assert_string_equal(buf, text);
}

static void test_format(void **state)
{
	(void)state;
	expect_text(0, "0 B");
	expect_text(1023, "1023 B");
	expect_text(1024, "1.0 KiB");
	expect_text(1536, "1.5 KiB");
	expect_text((UINT64_C(1) << 20) - 1, "1.0 MiB");
	expect_text(12897485, "12.3 MiB");
	expect_text(UINT64_C(128) << 20, "128.0 MiB");
	expect_text(UINT64_C(5) << 40, "5.0 TiB");
	expect_text(UINT64_MAX, "16.0 EiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
