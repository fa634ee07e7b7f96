/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file - opened in two steps: looked at first, then opened for good
 *
 * O_PATH opens without any effect, not even on a device or a pipe. What it found is judged, and then
 * the same inode is opened by way of /proc/self/fd: nobody can put something else in its place in
 * between.
 *
 * The first block is written at once. That tells in the same go whether O_DIRECT works: some file
 * systems take the flag and refuse the write.
 */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define CHECK_BYTES (1ULL << 20)

static const char head_text[] = "uswap swap file 1\n";

static int head_buffer_new(uint8_t **ret_block)
{
	*ret_block = aligned_alloc(FILE_BLOCK_BYTES, FILE_BLOCK_BYTES);
	if (!*ret_block)
		return err_origin(-ENOMEM);
	memset(*ret_block, 0, FILE_BLOCK_BYTES);
	return 0;
}

/* Are there only zeroes from @offset on, as far as is looked? Return: 0; FILE_E_DATA; a negative errno. */
static int zeroes_check(int fd, uint64_t offset, uint8_t *block)
{
	uint64_t end = offset + CHECK_BYTES;
	uint32_t i;
	ssize_t n;

	for (; offset < end; offset += (uint64_t)n) {
		n = pread(fd, block, FILE_BLOCK_BYTES, (off_t)offset);
		if (n < 0)
			return err_origin(-errno);
		if (!n)
			return 0;
		for (i = 0; i < (size_t)n; i++)
			if (block[i])
				return FILE_E_DATA;
	}
	return 0;
}

/*
 * May what is in it be overwritten? File systems, volumes and partition tables have their marks near the
 * beginning, not always at it, or at the end. Return: 0; FILE_E_DATA; a negative errno.
 */
static int content_check(int fd)
{
	_cleanup_(freep) uint8_t *block = NULL;
	off_t n_bytes = lseek(fd, 0, SEEK_END);
	ssize_t n;
	int r;

	if (n_bytes < 0)
		return err_origin(-errno);
	r = head_buffer_new(&block);
	if (r)
		return r;
	n = pread(fd, block, FILE_BLOCK_BYTES, 0);
	if (n < 0)
		return err_origin(-errno);
	if (memcmp(block, head_text, sizeof(head_text)) == 0)
		return 0;
	r = zeroes_check(fd, 0, block);
	if (!r && n_bytes > (off_t)CHECK_BYTES)
		r = zeroes_check(fd, (uint64_t)n_bytes - CHECK_BYTES, block);
	return r;
}

static int head_write(int fd)
{
	_cleanup_(freep) uint8_t *block = NULL;
	ssize_t n;
	int r;

	r = head_buffer_new(&block);
	if (r)
		return r;
	memcpy(block, head_text, sizeof(head_text));
	n = pwrite(fd, block, FILE_BLOCK_BYTES, 0);
	if (n == FILE_BLOCK_BYTES)
		return 0;
	return n < 0 ? -errno : -EIO; /* the caller may have an answer: not an origin yet */
}

static int judge(const struct stat *st)
{
	if (S_ISBLK(st->st_mode))
		return 0; /* who may open it for writing is the system's business */
	if (!S_ISREG(st->st_mode))
		return FILE_E_KIND;
	if (st->st_uid != geteuid() || (st->st_mode & 077) || st->st_nlink != 1)
		return FILE_E_FOREIGN;
	return 0;
}

/* Open what @path_fd stands for. */
static int reopen(int path_fd, bool is_device, int *ret_fd)
{
	char name[40];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
	/* O_EXCL on a device: not while it is mounted or part of something. */
	fd = open(name, O_RDWR | O_CLOEXEC | (is_device ? O_EXCL : 0));
	if (fd < 0)
		return errno == EBUSY ? FILE_E_IN_USE : err_origin(-errno);
	*ret_fd = fd;
	return 0;
}

static int lock_and_empty(struct disk_file *f)
{
	uint64_t n_bytes;
	int r;

	if (flock(f->fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? FILE_E_IN_USE : err_origin(-errno);
	r = content_check(f->fd);
	if (r)
		return r;
	if (!f->is_device)
		return ftruncate(f->fd, 0) ? err_origin(-errno) : 0;
	if (ioctl(f->fd, BLKGETSIZE64, &n_bytes))
		return err_origin(-errno);
	if (n_bytes <= FILE_BLOCK_BYTES)
		return err_origin(-ENOSPC);
	f->n_bytes = n_bytes - FILE_BLOCK_BYTES;
	return 0;
}

static int open_named(struct disk_file *f, const char *path)
{
	_cleanup_(closep) int path_fd = -1;
	struct stat st;
	int r;

	f->is_named = true;
	path_fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0 && errno == ENOENT) {
		f->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		return f->fd < 0 ? err_origin(-errno) : lock_and_empty(f);
	}
	if (path_fd < 0)
		return err_origin(-errno);
	if (fstat(path_fd, &st))
		return err_origin(-errno);
	r = judge(&st);
	if (r)
		return r;
	f->is_device = S_ISBLK(st.st_mode);
	r = reopen(path_fd, f->is_device, &f->fd);
	return r ? r : lock_and_empty(f);
}

static int open_unnamed(struct disk_file *f, const char *dir)
{
	_cleanup_(freep) char *name = NULL;

	f->fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (f->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return err_origin(-errno);
	/* A file system without O_TMPFILE: a name for as long as it takes to remove it. */
	if (asprintf(&name, "%s/.uswap-XXXXXX", dir) < 0) {
		name = NULL;
		return err_origin(-ENOMEM);
	}
	f->fd = mkostemp(name, O_CLOEXEC);
	if (f->fd < 0)
		return err_origin(-errno);
	unlink(name);
	return 0;
}

/* Pass the page cache by if the file system lets us. Post: the first block is written. */
static int make_direct(struct disk_file *f, bool wanted)
{
	int flags = fcntl(f->fd, F_GETFL), r;

	f->direct_errno = wanted ? 0 : EOPNOTSUPP;
	if (wanted && fcntl(f->fd, F_SETFL, flags | O_DIRECT))
		f->direct_errno = errno;
	r = head_write(f->fd);
	if (r == -EINVAL && f->direct_errno == 0) {
		f->direct_errno = EINVAL;
		fcntl(f->fd, F_SETFL, flags);
		r = head_write(f->fd);
	}
	return r ? err_origin(r) : 0;
}

int disk_file_open(struct disk_file *f, const struct disk_file_options *options)
{
	int r;

	*f = (struct disk_file)DISK_FILE_INIT;
	f->disk.block_bytes = FILE_BLOCK_BYTES;
	r = options->path ? open_named(f, options->path) : open_unnamed(f, options->dir);
	if (!r)
		r = make_direct(f, !options->no_direct);
	if (r) {
		/* Nothing of it was ours yet. */
		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
		return r;
	}
	r = options->no_uring ? -EOPNOTSUPP : disk_uring_probe();
	f->uring_errno = -r;
	f->disk.ops = r ? &disk_thread_ops : &disk_uring_ops;
	return 0;
}

const char *disk_file_reason(int e)
{
	switch (e) {
	case FILE_E_IN_USE:
		return "it is in use";
	case FILE_E_KIND:
		return "it is neither a regular file nor a block device";
	case FILE_E_FOREIGN:
		return "it must belong to you alone: owner, mode 0600, one name";
	case FILE_E_DATA:
		return "it has data in it that is not a swap file's: empty it first";
	default:
		return "unknown reason";
	}
}

int disk_file_punch(struct disk *disk, uint64_t offset, uint64_t n_bytes)
{
	struct disk_file *f = disk_file_of(disk);
	uint64_t range[2] = { offset + FILE_BLOCK_BYTES, n_bytes };
	int r;

	if (f->is_device)
		r = ioctl(f->fd, BLKDISCARD, range);
	else
		r = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
			      (off_t)range[1]);
	return r ? -errno : 0; /* not every file system can: the caller knows what to do */
}

void disk_file_close(struct disk_file *f)
{
	if (f->fd < 0)
		return;
	/* Best effort, all of it: there is nobody left to tell. */
	if (f->is_device)
		(void)disk_file_punch(&f->disk, 0, f->n_bytes);
	else if (ftruncate(f->fd, 0))
		(void)disk_file_punch(&f->disk, 0, INT64_MAX - FILE_BLOCK_BYTES);
	/* An io_uring that had it registered lets go of it only some time after its own end. */
	(void)flock(f->fd, LOCK_UN);
	close(f->fd);
	*f = (struct disk_file)DISK_FILE_INIT;
}
