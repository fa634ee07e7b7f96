/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-file - real files: which are taken, how they are read and written, what is left
 */
#include "test-common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.h"
#include "store/file.h"

enum { FILE_BYTES = 200 * RIG_SEGMENT, N_PAGES = 1000 };

static char dir[64];
static char path[80];
static struct disk_file file;
static struct rig rig;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "test-file-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/swap", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static int open_path(const char *name)
{
	return disk_file_open(&file, &(struct disk_file_options){ .path = name });
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static off_t size_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return st.st_size;
}

/* What is near the beginning, or at the end, belongs to somebody as well. */
static void test_refused_behind_zeroes(void **state)
{
	static const off_t marks[] = { 4096, 64 << 10, (4 << 20) - 512 };
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		int fd;

		write_file(path, "", 0600);
		fd = open(path, O_WRONLY);
		assert_int_equal(pwrite(fd, "a mark", 6, marks[i]), 6);
		assert_int_equal(ftruncate(fd, 4 << 20), 0);
		close(fd);
		assert_int_equal(open_path(path), FILE_E_DATA);
		assert_int_equal(size_of(path), 4 << 20);
	}
	write_file(path, "", 0600);
	assert_int_equal(truncate(path, 4 << 20), 0);
	assert_int_equal(open_path(path), 0);
	disk_file_close(&file);
}

static void test_refused(void **state)
{
	struct disk_file other;
	char link_name[90];

	(void)state;
	write_file(path, "", 0644);
	assert_int_equal(open_path(path), FILE_E_FOREIGN);
	write_file(path, "a thesis", 0600);
	assert_int_equal(open_path(path), FILE_E_DATA);
	assert_int_equal(size_of(path), 8);
	write_file(path, "", 0600);
	snprintf(link_name, sizeof(link_name), "%s/link", dir);
	assert_int_equal(symlink("swap", link_name), 0);
	assert_int_equal(open_path(link_name), FILE_E_KIND);
	unlink(link_name);
	assert_int_equal(link(path, link_name), 0);
	assert_int_equal(open_path(path), FILE_E_FOREIGN);
	unlink(link_name);
	assert_int_equal(mkfifo(link_name, 0600), 0);
	assert_int_equal(open_path(link_name), FILE_E_KIND);
	unlink(link_name);
	assert_int_equal(open_path("/dev/zero"), FILE_E_KIND);
	assert_int_equal(open_path(dir), FILE_E_KIND);
	assert_true(open_path("no/such/place") < 0);
	assert_int_equal(open_path(path), 0);
	assert_int_equal(disk_file_open(&other, &(struct disk_file_options){ .path = path }),
			 FILE_E_IN_USE);
	disk_file_close(&file);
	/* Left by a daemon that was killed: ours. */
	assert_int_equal(open_path(path), 0);
	close(file.fd);
	assert_true(size_of(path) > 0);
	assert_int_equal(open_path(path), 0);
	disk_file_close(&file);
	assert_int_equal(size_of(path), 0);
	assert_string_not_equal(disk_file_reason(FILE_E_DATA), disk_file_reason(FILE_E_KIND));
}

/* Write, read, drop and write again, with everything real. */
static void run_real(const struct disk_file_options *options, bool encrypt, bool threaded)
{
	uint32_t k, round;

	assert_int_equal(disk_file_open(&file, options), 0);
	printf("%s: %s, %s\n", options->path ? options->path : options->dir, file.disk.ops->name,
	       file.direct_errno ? "by the page cache" : "direct");
	assert_int_equal(rig_begin(&rig, &file.disk, FILE_BYTES, encrypt), 0);
	if (threaded)
		assert_int_equal(store_start(rig.store), 0);
	for (round = 0; round < 3; round++) {
		for (k = 0; k < N_PAGES; k++)
			if (!rig.pages[k].id.v)
				rig_store(&rig, k, 1006 + 16 * (k + round * 999));
		for (k = 0; k < 200; k++) {
			uint32_t n;

			swap_writeback(rig.app, SWAP_WRITEBACK_FIFO, N_PAGES, &n);
			if (threaded)
				usleep(100);
			else
				store_step(rig.store);
		}
		for (k = round % 2 * 50; k < N_PAGES; k += 100)
			assert_int_equal(rig_load(&rig, k, 50), 0);
	}
	for (k = 0; k < N_PAGES; k += 50)
		assert_int_equal(rig_load(&rig, k, 50), 0);
	rig_end(&rig);
	disk_file_close(&file);
}

static void test_named(void **state)
{
	(void)state;
	run_real(&(struct disk_file_options){ .path = path }, false, false);
	assert_int_equal(size_of(path), 0);
	run_real(&(struct disk_file_options){ .path = path, .no_uring = true }, true, false);
	run_real(&(struct disk_file_options){ .path = path, .no_direct = true }, true, true);
	assert_int_equal(size_of(path), 0);
}

static void test_unnamed(void **state)
{
	(void)state;
	run_real(&(struct disk_file_options){ .dir = dir }, true, true);
	run_real(&(struct disk_file_options){ .dir = dir, .no_uring = true, .no_direct = true },
		 false, true);
	/* Of memory: no O_DIRECT on older kernels. */
	if (access("/dev/shm", W_OK) == 0)
		run_real(&(struct disk_file_options){ .dir = "/dev/shm" }, false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_behind_zeroes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unnamed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
