/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk - reads and writes that take their time, behind one table of functions
 *
 * One of the four sources of nondeterminism: io_uring in production, threads with pread and pwrite
 * where that is refused, a disk in memory that can be told to fail in tests.
 *
 * A queue takes requests and gives them back when they are done. Its descriptor is readable when
 * some are, so that whoever sleeps in epoll is woken. Reads of programs and writes of the store have
 * a queue each: none waits behind the other's. A request that comes back short, or was interrupted,
 * goes on where it stopped; it ends done or with an error, nothing in between.
 *
 * Ownership: a request belongs to the queue from disk_submit() until disk_reap() returns it.
 * Threads:   a queue belongs to one thread; disk_punch() may be called by any.
 */
#ifndef USWAP_STORE_DISK_H
#define USWAP_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	DISK_RETRIES = 8, /* of a request that is interrupted, or comes back short */
	DISK_MEMORIES = 2,
};

struct disk_io {
	uint64_t offset; /* multiple of the disk's block, as @n_bytes and @bytes are */
	uint8_t *bytes;	 /* inside of the queue's memory */
	uint32_t n_bytes;
	bool is_write;
	int32_t result; /* out: 0, or a negative errno */
	void *user;
	/* The queue's: */
	uint32_t n_done;
	uint32_t n_retries;
	int32_t step_result; /* of the last system call */
	struct disk_io *next;
};

struct disk_queue {
	const struct disk_ops *ops; /* [const] */
	struct disk *disk;	    /* [const] */
	uint32_t depth;		    /* [const] most requests it takes */
	uint32_t n_flying;	    /* requests it has */
};

struct disk_queue_options {
	uint32_t depth;
	/* All of its requests' bytes lie in these; registered where that is possible. */
	struct iovec memory[DISK_MEMORIES];
	uint32_t n_memories;
};

struct disk_ops {
	const char *name;
	int (*queue_new)(struct disk *disk, const struct disk_queue_options *options,
			 struct disk_queue **ret_queue);
	void (*queue_free)(struct disk_queue *queue); /* pre: nothing flies */
	/* One step: what is left of the request. It may begin only at the flush. */
	void (*submit)(struct disk_queue *queue, struct disk_io *io);
	void (*flush)(struct disk_queue *queue);
	/* @wait: until there is one. Sets step_result. */
	uint32_t (*reap)(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max,
			 bool wait);
	int (*fd)(const struct disk_queue *queue);
	/* Give room back. Return: 0, or a negative errno. */
	int (*punch)(struct disk *disk, uint64_t offset, uint64_t n_bytes);
};

/* What the implementations begin with. */
struct disk {
	const struct disk_ops *ops; /* [const] */
	uint32_t block_bytes;	    /* [const] of offsets, lengths and addresses */
};

/* What is left to do of a request. */
static inline uint64_t disk_io_offset(const struct disk_io *io)
{
	return io->offset + io->n_done;
}

static inline uint8_t *disk_io_bytes(const struct disk_io *io)
{
	return io->bytes + io->n_done;
}

static inline uint32_t disk_io_left(const struct disk_io *io)
{
	return io->n_bytes - io->n_done;
}

int disk_queue_new(struct disk *disk, const struct disk_queue_options *options,
		   struct disk_queue **ret_queue);
struct disk_queue *disk_queue_free(struct disk_queue *queue); /* waits for what flies */

/* pre: n_flying < depth. Never fails: what goes wrong is the request's result. */
void disk_submit(struct disk_queue *queue, struct disk_io *io);
void disk_flush(struct disk_queue *queue); /* begin all that was submitted */
uint32_t disk_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max);
/* As above, but waits for a step: of a request or a part of one. pre: something flies */
uint32_t disk_reap_wait(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max);

static inline int disk_queue_fd(const struct disk_queue *queue)
{
	return queue->ops->fd(queue);
}

static inline int disk_punch(struct disk *disk, uint64_t offset, uint64_t n_bytes)
{
	return disk->ops->punch(disk, offset, n_bytes);
}

#endif
