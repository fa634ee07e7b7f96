/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk - what all queues have in common: a request is done, or it has an error
 */
#include "store/disk.h"

#include <errno.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"

enum { REAP_MAX = 32 };

int disk_queue_new(struct disk *disk, const struct disk_queue_options *options,
		   struct disk_queue **ret_queue)
{
	int r;

	ASSERT(options->depth > 0 && options->n_memories <= DISK_MEMORIES);
	if (inject_fail())
		return err_origin(-ENOMEM);
	r = disk->ops->queue_new(disk, options, ret_queue);
	if (r)
		return err_trace(r);
	(*ret_queue)->ops = disk->ops;
	(*ret_queue)->disk = disk;
	(*ret_queue)->depth = options->depth;
	(*ret_queue)->n_flying = 0;
	return 0;
}

void disk_submit(struct disk_queue *queue, struct disk_io *io)
{
	ASSERT(queue->n_flying < queue->depth);
	ASSERT(io->n_bytes > 0 && io->n_bytes % queue->disk->block_bytes == 0);
	ASSERT(io->offset % queue->disk->block_bytes == 0);
	queue->n_flying++;
	io->n_done = 0;
	io->n_retries = 0;
	io->next = NULL;
	queue->ops->submit(queue, io);
}

void disk_flush(struct disk_queue *queue)
{
	queue->ops->flush(queue);
}

/* After a step. Return: true: done or failed, false: it goes on. */
static bool io_settle(const struct disk_queue *queue, struct disk_io *io)
{
	int32_t r = io->step_result;

	io->result = 0;
	if (r > 0 && (uint32_t)r <= disk_io_left(io)) {
		io->n_done += (uint32_t)r;
		if (io->n_done == io->n_bytes)
			return true;
		io->result = -EIO; /* unless the next step gets further */
		/* Where it stopped the next one must be able to begin. */
		if (io->n_done % queue->disk->block_bytes == 0)
			return io->n_retries++ >= DISK_RETRIES;
		io->n_done -= (uint32_t)r;
		return io->n_retries++ >= DISK_RETRIES;
	}
	/* Nothing was read or written: the end of the file is where it should not be. */
	io->result = r < 0 ? r : -EIO;
	if (r == -EINTR || r == -EAGAIN || r == -ENOMEM)
		return io->n_retries++ >= DISK_RETRIES;
	return true;
}

static uint32_t queue_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max,
			   bool wait)
{
	struct disk_io *ios[REAP_MAX];
	uint32_t i, n, n_done = 0;
	bool again = false;

	n = queue->ops->reap(queue, ios, n_max < REAP_MAX ? n_max : REAP_MAX, wait);
	for (i = 0; i < n; i++) {
		if (io_settle(queue, ios[i])) {
			ret_ios[n_done++] = ios[i];
		} else {
			queue->ops->submit(queue, ios[i]);
			again = true;
		}
	}
	if (again)
		queue->ops->flush(queue);
	queue->n_flying -= n_done;
	return n_done;
}

uint32_t disk_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max)
{
	return queue_reap(queue, ret_ios, n_max, false);
}

uint32_t disk_reap_wait(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max)
{
	disk_flush(queue);
	return queue_reap(queue, ret_ios, n_max, true);
}

struct disk_queue *disk_queue_free(struct disk_queue *queue)
{
	struct disk_io *ios[REAP_MAX];

	if (!queue)
		return NULL;
	queue->ops->flush(queue);
	while (queue->n_flying > 0)
		queue_reap(queue, ios, REAP_MAX, true);
	queue->ops->queue_free(queue);
	return NULL;
}
