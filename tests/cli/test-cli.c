/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-cli - the parts of the command line that need no daemon
 */
#include "cli/launch.h"
#include "cli/preload.h"
#include "cli/run-options.h"
#include "cli/summary.h"
#include "daemon/worker.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

int worker_main(const struct worker_options *o)
{
	return 0;
}

static void test_counts(void **state)
{
	static const struct {
		uint64_t count;
		const char *text;
	} cases[] = {
		{ 0, "0" },	     { 999, "999" },	     { 1000, "1.0k" },	 { 9949, "9.9k" },
		{ 9950, "10k" },     { 182345, "182k" },     { 999499, "999k" }, { 999500, "1.0M" },
		{ 34000000, "34M" }, { 1000000000, "1.0G" },
	};
	char buf[16];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		count_format(buf, sizeof(buf), cases[i].count);
		assert_string_equal(buf, cases[i].text);
	}
}

static void test_summary(void **state)
{
	struct worker_summary s = {
		.peak_bytes = 133587763,
		.peak_resident_bytes = 61ull << 20,
		.peak_stored_bytes = 64ull << 20,
		.peak_meta_bytes = 2411724,
		.raw_bytes = 310,
		.stored_bytes = 100,
		.n_faults = 182345,
		.fault_p50_ns = 11234,
		.fault_p99_ns = 84321,
	};
	char buf[512];

	summary_format(buf, sizeof(buf), &s, 128ull << 20, 0);
	assert_string_equal(buf, "peak 127.4 MiB of 128 MiB (resident 61.0 + compressed 64.0 + "
				 "metadata 2.3) · 3.1:1 · 182k faults, p50 11 us, p99 84 us");
	s.stored_bytes = s.n_faults = 0;
	summary_format(buf, sizeof(buf), &s, 0, 0);
	assert_string_equal(buf, "peak 127.4 MiB (resident 61.0 + compressed 64.0 + metadata 2.3) "
				 "· 0 faults");
	s.peak_resident_bytes = 0; /* tables and buffers only */
	summary_format(buf, sizeof(buf), &s, 128ull << 20, 128ull << 20);
	assert_string_equal(buf, "nothing was managed: no process grew large enough");
	summary_format(buf, sizeof(buf), &s, 128ull << 20, 200ull << 20);
	assert_non_null(strstr(buf, "grew to 200.0 MiB: what it has is shared memory"));
	/* A line that does not fit is cut, not written past its end. */
	s.peak_resident_bytes = 1;
	memset(buf, 'x', sizeof(buf));
	summary_format(buf, 20, &s, 128ull << 20, 0);
	assert_int_equal(buf[19], '\0');
	assert_int_equal(buf[20], 'x');
}

static void test_resolve(void **state)
{
	char path[4096];

	assert_int_equal(setenv("PATH", "/no/such/folder:/usr/bin:/bin", 1), 0);
	assert_int_equal(launch_resolve("sh", path, sizeof(path)), 0);
	assert_int_equal(path[0], '/');
	assert_int_equal(launch_resolve("/bin/sh", path, sizeof(path)), 0);
	assert_int_equal(launch_resolve("", path, sizeof(path)), LAUNCH_E_NOT_FOUND);
	assert_int_equal(launch_resolve("no-such-command", path, sizeof(path)), LAUNCH_E_NOT_FOUND);
	assert_int_equal(launch_resolve("/etc/passwd", path, sizeof(path)),
			 LAUNCH_E_NOT_EXECUTABLE);
	assert_int_equal(launch_resolve("/", path, sizeof(path)), LAUNCH_E_NOT_EXECUTABLE);
	assert_int_equal(launch_resolve("sh", path, 4), LAUNCH_E_NOT_FOUND);
	/* Found without the right to execute it, then not at all: the first is worth more. */
	assert_int_equal(setenv("PATH", "/etc:/no/such/folder", 1), 0);
	assert_int_equal(launch_resolve("passwd", path, sizeof(path)), LAUNCH_E_NOT_EXECUTABLE);
}

static void file_write(const char *path, const void *bytes, size_t n_bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n_bytes), n_bytes);
	close(fd);
}

static void test_static(void **state)
{
	char dir[] = "/tmp/uswap-test-XXXXXX";
	char path[64], script[128];
	unsigned char elf[64] = "\177ELF\002\001\001"; /* 64 bits, no program headers */

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/static", dir);
	file_write(path, elf, sizeof(elf));
	assert_true(preload_is_static(path));
	assert_false(preload_is_static("/bin/sh"));
	assert_false(preload_is_static("/no/such/file"));

	snprintf(script, sizeof(script), "#! %s -x\n", path);
	snprintf(path, sizeof(path), "%s/script", dir);
	file_write(path, script, strlen(script));
	assert_true(preload_is_static(path));
	snprintf(script, sizeof(script), "#!%s\n", path); /* its own interpreter: ends */
	file_write(path, script, strlen(script));
	assert_false(preload_is_static(path));
	file_write(path, "#!", 2);
	assert_false(preload_is_static(path));
	elf[4] = 1; /* another class: its loader cannot load our library */
	file_write(path, elf, sizeof(elf));
	assert_true(preload_is_static(path));

	unlink(path);
	snprintf(path, sizeof(path), "%s/static", dir);
	unlink(path);
	rmdir(dir);
}

static int options_parse(struct run_options *o, char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return run_options_parse(o, argc, argv);
}

static void test_options(void **state)
{
	char *all[] = { "uswap run",	    "--limit=64M", "-r",	  "32M",
			"--pool",	    "16M",	   "--stats",	  "f",
			"--stats-interval", "0.5",	   "--placement", "float",
			"--no-readahead",   "-q",	   "--",	  "cmd",
			"--limit",	    "x",	   NULL };
	char *some[] = { "uswap run", "-l", "1.5G", "cmd", "-x", NULL };
	char *none[] = { "uswap run", "cmd", NULL };
	struct run_options o;

	assert_int_equal(options_parse(&o, all), 0);
	assert_int_equal(o.limit_bytes, 64 << 20);
	assert_int_equal(o.resident_bytes, 32 << 20);
	assert_int_equal(o.pool_bytes, 16 << 20);
	assert_string_equal(o.stats_path, "f");
	assert_int_equal(o.stats_interval_ms, 500);
	assert_int_equal(o.placement, WORKER_PLACE_FLOAT);
	assert_false(o.readahead);
	assert_true(o.quiet);
	assert_string_equal(o.argv[0], "cmd");
	assert_string_equal(o.argv[1], "--limit"); /* the command's own */
	assert_string_equal(o.argv[2], "x");
	assert_null(o.argv[3]);

	assert_int_equal(options_parse(&o, some), 0);
	assert_int_equal(o.limit_bytes, 3ull << 29);
	assert_int_equal(o.placement, WORKER_PLACE_AUTO);
	assert_true(o.readahead);
	assert_false(o.quiet);
	assert_string_equal(o.argv[1], "-x");

	assert_int_equal(options_parse(&o, none), 125);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),	cmocka_unit_test(test_summary),
		cmocka_unit_test(test_resolve), cmocka_unit_test(test_static),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
