/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-disk - see its header
 */
#include "fake-disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"

enum { PENDING_MAX = 128 };

struct pending {
	struct disk_io *io;
	uint32_t n_steps; /* left */
};

struct fake_queue {
	struct disk_queue queue; /* first */
	struct pending pending[PENDING_MAX];
	uint32_t n;
	int fd; /* always readable */
};

static struct fake_disk *fake_of(const struct disk_queue *queue)
{
	return (struct fake_disk *)queue->disk;
}

static int fake_queue_new(struct disk *disk, const struct disk_queue_options *options,
			  struct disk_queue **ret_queue)
{
	struct fake_queue *q = calloc(1, sizeof(*q));

	(void)disk;
	ASSERT(q && options->depth <= PENDING_MAX);
	q->fd = eventfd(1, EFD_CLOEXEC);
	*ret_queue = &q->queue;
	return 0;
}

static void fake_queue_free(struct disk_queue *queue)
{
	struct fake_queue *q = (struct fake_queue *)queue;

	ASSERT(q->n == 0);
	close(q->fd);
	free(q);
}

static void fake_submit(struct disk_queue *queue, struct disk_io *io)
{
	struct fake_queue *q = (struct fake_queue *)queue;
	struct fake_disk *d = fake_of(queue);

	ASSERT(q->n < PENDING_MAX);
	q->pending[q->n].io = io;
	q->pending[q->n++].n_steps = d->latency ? rng_below(&d->rng, d->latency) : 0;
}

static void fake_flush(struct disk_queue *queue)
{
	(void)queue;
}

/* Blocks of a write take room one after the other. Return: bytes that found some. */
static uint32_t take_room(struct fake_disk *d, uint64_t offset, uint32_t n_bytes)
{
	uint32_t n = 0;
	uint64_t b;

	for (b = offset / FAKE_BLOCK; n < n_bytes; b++, n += FAKE_BLOCK) {
		if (d->has_room[b])
			continue;
		if (d->room_bytes && (d->n_taken + 1) * FAKE_BLOCK > d->room_bytes)
			break;
		d->has_room[b] = 1;
		d->n_taken++;
	}
	return n;
}

static int32_t do_write(struct fake_disk *d, const struct disk_io *io)
{
	uint64_t offset = disk_io_offset(io);
	uint32_t n_bytes = disk_io_left(io), n;

	d->n_writes++;
	if (d->n_writes == d->fail_write_at ||
	    (d->fail_writes_from && d->n_writes >= d->fail_writes_from)) {
		memset(d->bytes + offset, 0x77, n_bytes / 2); /* half of it got there */
		return -d->error;
	}
	if (d->short_one_in && rng_below(&d->rng, d->short_one_in) == 0)
		n_bytes = 1 + rng_below(&d->rng, n_bytes);
	ASSERT(offset + n_bytes <= d->n_bytes);
	n = take_room(d, offset, n_bytes);
	if (n == 0)
		return -ENOSPC;
	if (n > n_bytes)
		n = n_bytes;
	if (d->n_writes != d->lose_write_at)
		memcpy(d->bytes + offset, disk_io_bytes(io), n);
	return (int32_t)n;
}

static int32_t do_read(struct fake_disk *d, const struct disk_io *io)
{
	uint64_t offset = disk_io_offset(io);
	uint32_t n_bytes = disk_io_left(io);

	d->n_reads++;
	if (d->n_reads == d->fail_read_at)
		return -d->error;
	if (offset < d->bad_to && offset + n_bytes > d->bad_from)
		return -EIO;
	if (d->end && offset >= d->end)
		return 0;
	if (d->end && offset + n_bytes > d->end)
		n_bytes = (uint32_t)(d->end - offset);
	if (d->short_one_in && rng_below(&d->rng, d->short_one_in) == 0)
		n_bytes = 1 + rng_below(&d->rng, n_bytes);
	ASSERT(offset + n_bytes <= d->n_bytes);
	memcpy(disk_io_bytes(io), d->bytes + offset, n_bytes);
	return (int32_t)n_bytes;
}

static const int passing[] = { EINTR, EAGAIN, ENOMEM };

static uint32_t fake_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max,
			  bool wait)
{
	struct fake_queue *q = (struct fake_queue *)queue;
	struct fake_disk *d = fake_of(queue);
	uint32_t i, n = 0;
	struct disk_io *io;

	for (i = 0; i < q->n && n < n_max;) {
		if (q->pending[i].n_steps > 0 && !wait) {
			q->pending[i++].n_steps--;
			continue;
		}
		io = q->pending[i].io;
		if (d->again_one_in && rng_below(&d->rng, d->again_one_in) == 0)
			io->step_result = -passing[rng_below(&d->rng, 3)];
		else
			io->step_result = io->is_write ? do_write(d, io) : do_read(d, io);
		ret_ios[n++] = io;
		q->pending[i] = q->pending[--q->n];
	}
	return n;
}

static int fake_fd(const struct disk_queue *queue)
{
	return ((const struct fake_queue *)queue)->fd;
}

static int fake_punch(struct disk *disk, uint64_t offset, uint64_t n_bytes)
{
	struct fake_disk *d = (struct fake_disk *)disk;
	uint64_t b;

	d->n_punches++;
	if (d->punch_error)
		return -d->punch_error;
	memset(d->bytes + offset, 0, n_bytes);
	for (b = offset / FAKE_BLOCK; b < (offset + n_bytes) / FAKE_BLOCK; b++) {
		d->n_taken -= d->has_room[b];
		d->has_room[b] = 0;
	}
	return 0;
}

static const struct disk_ops fake_ops = {
	.name = "fake",
	.queue_new = fake_queue_new,
	.queue_free = fake_queue_free,
	.submit = fake_submit,
	.flush = fake_flush,
	.reap = fake_reap,
	.fd = fake_fd,
	.punch = fake_punch,
};

void fake_disk_init(struct fake_disk *d, uint64_t n_bytes, uint64_t seed)
{
	*d = (struct fake_disk){
		.disk = { .ops = &fake_ops, .block_bytes = FAKE_BLOCK },
		.bytes = malloc(n_bytes),
		.n_bytes = n_bytes,
		.has_room = calloc(n_bytes / FAKE_BLOCK, 1),
		.rng = { seed },
		.error = EIO,
	};
	ASSERT(d->bytes && d->has_room);
	memset(d->bytes, 0xdd, n_bytes);
}

void fake_disk_deinit(struct fake_disk *d)
{
	free(d->bytes);
	free(d->has_room);
}
