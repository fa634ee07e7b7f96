/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk-uring - a queue that is an io_uring
 *
 * The ring's own descriptor is what the thread sleeps on. Memory and file are registered where the
 * system lets us: the kernel then does not look them up, and pin the pages, for every request. It
 * counts registered memory against RLIMIT_MEMLOCK before 5.12, and any limit may be too low, so both
 * are tried and not needed.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"
#include "store/file.h"

struct uring_queue {
	struct disk_queue queue; /* first */
	struct io_uring ring;
	struct iovec memory[DISK_MEMORIES]; /* registered */
	uint32_t n_memories;		    /* 0: not registered */
	bool has_file;			    /* the file is registered, as number 0 */
};

static struct uring_queue *uring_of(const struct disk_queue *queue)
{
	return (struct uring_queue *)queue;
}

int disk_uring_probe(void)
{
	struct io_uring ring;
	int r = io_uring_queue_init(2, &ring, 0);

	if (r < 0)
		return r; /* expected: seccomp, io_uring_disabled, old kernels */
	io_uring_queue_exit(&ring);
	return 0;
}

static int ring_init(struct io_uring *ring, uint32_t depth)
{
	/* Completions are run when we ask, not by interrupting us (5.19). */
	int r = io_uring_queue_init(depth, ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CLAMP);

	if (r == -EINVAL)
		r = io_uring_queue_init(depth, ring, IORING_SETUP_CLAMP);
	return r < 0 ? err_origin(r) : 0;
}

static int uring_queue_new(struct disk *disk, const struct disk_queue_options *options,
			   struct disk_queue **ret_queue)
{
	struct uring_queue *q = inject_fail() ? NULL : calloc(1, sizeof(*q));
	uint32_t i;
	int r;

	if (!q)
		return err_origin(-ENOMEM);
	r = ring_init(&q->ring, options->depth);
	if (r) {
		free(q);
		return r;
	}
	for (i = 0; i < options->n_memories; i++)
		q->memory[i] = options->memory[i];
	if (io_uring_register_buffers(&q->ring, options->memory, options->n_memories) == 0)
		q->n_memories = options->n_memories;
	q->has_file = io_uring_register_files(&q->ring, &disk_file_of(disk)->fd, 1) == 0;
	*ret_queue = &q->queue;
	return 0;
}

static void uring_queue_free(struct disk_queue *queue)
{
	struct uring_queue *q = uring_of(queue);

	/* A ring is taken apart some time after its end; the file must be free for others now. */
	if (q->has_file)
		(void)io_uring_unregister_files(&q->ring);
	io_uring_queue_exit(&q->ring);
	free(q);
}

/* Which registered memory has these bytes; -1: none. */
static int memory_of(const struct uring_queue *q, const uint8_t *bytes)
{
	uint32_t i;

	for (i = 0; i < q->n_memories; i++)
		if (bytes >= (uint8_t *)q->memory[i].iov_base &&
		    bytes < (uint8_t *)q->memory[i].iov_base + q->memory[i].iov_len)
			return (int)i;
	return -1;
}

static void uring_submit(struct disk_queue *queue, struct disk_io *io)
{
	struct uring_queue *q = uring_of(queue);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
	int fd = q->has_file ? 0 : disk_file_of(queue->disk)->fd;
	uint64_t offset = disk_io_offset(io) + FILE_BLOCK_BYTES;
	int memory = memory_of(q, io->bytes);

	/* The submission ring has as many entries as requests may fly. */
	ASSERT(sqe);
	if (io->is_write && memory >= 0)
		io_uring_prep_write_fixed(sqe, fd, disk_io_bytes(io), disk_io_left(io), offset,
					  memory);
	else if (io->is_write)
		io_uring_prep_write(sqe, fd, disk_io_bytes(io), disk_io_left(io), offset);
	else if (memory >= 0)
		io_uring_prep_read_fixed(sqe, fd, disk_io_bytes(io), disk_io_left(io), offset,
					 memory);
	else
		io_uring_prep_read(sqe, fd, disk_io_bytes(io), disk_io_left(io), offset);
	if (q->has_file)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

static void uring_flush(struct disk_queue *queue)
{
	struct uring_queue *q = uring_of(queue);

	/* What the kernel does not take now (EAGAIN, EBUSY) stays in the ring for the next time. */
	if (io_uring_sq_ready(&q->ring) > 0)
		(void)io_uring_submit(&q->ring);
}

static uint32_t uring_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max,
			   bool wait)
{
	struct io_uring_cqe *cqes[32];
	struct uring_queue *q = uring_of(queue);
	uint32_t i, n;

	if (n_max > 32)
		n_max = 32;
	if (wait) /* not for what the kernel has not taken: that is refused again at once */
		(void)io_uring_submit_and_wait(&q->ring, 1);
	else
		uring_flush(queue);
	if (!wait && io_uring_cq_ready(&q->ring) == 0)
		(void)io_uring_get_events(&q->ring); /* runs what waits for us to ask */
	n = io_uring_peek_batch_cqe(&q->ring, cqes, n_max);
	for (i = 0; i < n; i++) {
		ret_ios[i] = io_uring_cqe_get_data(cqes[i]);
		ret_ios[i]->step_result = cqes[i]->res;
	}
	io_uring_cq_advance(&q->ring, n);
	return n;
}

static int uring_fd(const struct disk_queue *queue)
{
	return uring_of(queue)->ring.ring_fd;
}

const struct disk_ops disk_uring_ops = {
	.name = "io_uring",
	.queue_new = uring_queue_new,
	.queue_free = uring_queue_free,
	.submit = uring_submit,
	.flush = uring_flush,
	.reap = uring_reap,
	.fd = uring_fd,
	.punch = disk_file_punch,
};
