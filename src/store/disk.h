/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk - reads and writes that take their time, behind one table of functions
 *
 * One of the four sources of nondeterminism: io_uring in production, threads with pread and pwrite
 * where that is refused, a disk in memory that can be told to fail in tests.
 *
 * A queue takes requests and gives them back when they are done. Its descriptor is readable when
 * some are, so that whoever sleeps in epoll is woken. Reads of programs and writes of the store have
 * a queue each: none waits behind the other's.
 *
 * Ownership: a request belongs to the queue from disk_submit() until disk_reap() returns it.
 * Threads:   a queue belongs to one thread; disk_punch() may be called by any.
 */
#ifndef USWAP_STORE_DISK_H
#define USWAP_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_io {
	uint64_t offset; /* multiple of the disk's block, as @n_bytes and @bytes are */
	uint8_t *bytes;	 /* inside of the memory that the queue was made with */
	uint32_t n_bytes;
	bool is_write;
	int32_t result; /* bytes done, or a negative errno; the end of a file is a short read */
	struct disk_io *next; /* the queue's */
	void *user;
};

struct disk_queue {
	const struct disk_ops *ops;
	struct disk *disk;
	uint32_t n_flying; /* requests the queue has */
	uint32_t depth;	   /* most it takes */
};

struct disk_queue_options {
	uint32_t depth;
	void *memory; /* of all its requests; registered where that is possible */
	size_t memory_bytes;
};

struct disk_ops {
	const char *name;
	int (*queue_new)(struct disk *disk, const struct disk_queue_options *options,
			 struct disk_queue **ret_queue);
	struct disk_queue *(*queue_free)(struct disk_queue *queue); /* waits for what it has */
	void (*submit)(struct disk_queue *queue, struct disk_io *io);
	uint32_t (*reap)(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max);
	int (*fd)(const struct disk_queue *queue);
	/* Give the room back. Return: 0, or a negative errno. */
	int (*punch)(struct disk *disk, uint64_t offset, uint64_t n_bytes);
};

/* What the implementations begin with. */
struct disk {
	const struct disk_ops *ops;
	uint32_t block_bytes; /* of offsets, lengths and addresses */
};

static inline int disk_queue_new(struct disk *disk, const struct disk_queue_options *options,
				 struct disk_queue **ret_queue)
{
	return disk->ops->queue_new(disk, options, ret_queue);
}

static inline struct disk_queue *disk_queue_free(struct disk_queue *queue)
{
	return queue ? queue->ops->queue_free(queue) : NULL;
}

/* pre: n_flying < depth. Never fails: what goes wrong is the request's result. */
void disk_submit(struct disk_queue *queue, struct disk_io *io);
uint32_t disk_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max);

static inline int disk_queue_fd(const struct disk_queue *queue)
{
	return queue->ops->fd(queue);
}

static inline int disk_punch(struct disk *disk, uint64_t offset, uint64_t n_bytes)
{
	return disk->ops->punch(disk, offset, n_bytes);
}

extern const struct disk_ops disk_uring_ops;  /* disk-uring.c; the disk is a struct disk_file */
extern const struct disk_ops disk_thread_ops; /* disk-thread.c; the same */

#endif
