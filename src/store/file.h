/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file - the swap file itself: which one may be used, how it is opened, what is left of it
 *
 * Either a path that the user names, a regular file or a block device, or an unnamed file in a
 * directory. What is named must not be a link, must belong to who runs the daemon and be private, and
 * must be empty, all zeroes at its beginning, or ours from before; it is locked, so that a second
 * daemon is refused. Nothing in it can be read afterwards: an unnamed file goes with the process, a
 * named one is cut to nothing, a device is discarded as far as it can. A daemon that is killed leaves
 * what was written in a named one; encryption is the answer to that.
 *
 * Its first block says what it is; the store's offsets begin after it.
 *
 * Ownership: the file owns its descriptor.
 * Threads:   opened before there are others, closed after.
 */
#ifndef USWAP_STORE_FILE_H
#define USWAP_STORE_FILE_H

#include "store/disk.h"

enum { FILE_BLOCK_BYTES = 4096 };

struct disk_file {
	struct disk disk; /* first */
	int fd;		  /* [const] */
	bool is_device;	  /* [const] */
	bool is_named;	  /* [const] */
	uint64_t n_bytes; /* [const] of a device, for the store; 0: a file, which grows */
	int direct_errno; /* [const] why the page cache is not passed by; 0: it is */
	int uring_errno;  /* [const] why there is no io_uring; 0: there is */
};
#define DISK_FILE_INIT   \
	{                \
		.fd = -1 \
	}

struct disk_file_options {
	const char *path; /* of a file or device; NULL: an unnamed one in @dir */
	const char *dir;
	bool no_uring;	/* for tests */
	bool no_direct; /* for tests */
};

enum {
	FILE_E_IN_USE = 1, /* another process has it locked or mounted */
	FILE_E_KIND,	   /* neither a regular file nor a block device; a link */
	FILE_E_FOREIGN, /* belongs to somebody else, or others may read it, or it has two names */
	FILE_E_DATA,	/* has something in it that is not ours */
};

/*
 * Return: 0; FILE_E_…; a negative errno. What was refused on the way is in @f: the caller says so.
 * syscalls: openat fstat flock fcntl ftruncate fallocate ioctl pread64 pwrite64 io_uring_setup
 */
int disk_file_open(struct disk_file *f, const struct disk_file_options *options);
const char *disk_file_reason(int e);	   /* words for FILE_E_… */
void disk_file_close(struct disk_file *f); /* takes DISK_FILE_INIT. pre: no queue left */

static inline struct disk_file *disk_file_of(struct disk *disk)
{
	return (struct disk_file *)disk;
}

/* ---- implementations ------------------------------------------------------------------------ */

extern const struct disk_ops disk_uring_ops;  /* disk-uring.c */
extern const struct disk_ops disk_thread_ops; /* disk-thread.c */

int disk_uring_probe(void); /* Return: 0; a negative errno: refused here */
int disk_file_punch(struct disk *disk, uint64_t offset, uint64_t n_bytes);

#endif
