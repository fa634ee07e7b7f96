/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file - the swap file itself: which one may be used, how it is opened, what is left of it
 *
 * Either a path that the user names, a regular file or a block device, or an unnamed file in a
 * directory. What is named is opened without following a link, must belong to who runs the daemon,
 * must be private, and is locked: a second daemon is refused. Nothing in it can be read afterwards: an unnamed
 * file goes with the process, a named one is cut to nothing, a device is discarded as far as it can.
 *
 * Ownership: the file owns its descriptor.
 * Threads:   none here; opened before, closed after all others.
 */
#ifndef USWAP_STORE_FILE_H
#define USWAP_STORE_FILE_H

#include "store/disk.h"

struct disk_file {
	struct disk disk; /* first */
	int fd;		  /* [const] */
	bool is_direct;	  /* [const] the page cache is passed by */
	bool is_device;	  /* [const] */
	bool is_named;	  /* [const] */
	uint64_t n_bytes; /* [const] of a device; 0: a file, which grows */
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
	FILE_E_IN_USE = 1, /* another process has it locked */
	FILE_E_KIND,	   /* neither a regular file nor a block device, or a link */
	FILE_E_FOREIGN,	   /* belongs to somebody else, or others may read or write it */
	FILE_E_MOUNTED,	   /* a device that something else uses */
};

/*
 * Return: 0; FILE_E_…, with *ret_why; a negative errno. Writes at most one line each when O_DIRECT
 * or io_uring are refused. syscalls: openat fstat flock ftruncate fallocate ioctl io_uring_setup
 */
int disk_file_open(struct disk_file *f, const struct disk_file_options *options,
		   const char **ret_why);
void disk_file_close(struct disk_file *f); /* takes DISK_FILE_INIT. pre: no queue left */

#endif
