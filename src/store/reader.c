/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reader - buffers with a list of records each
 *
 * A disk reads whole blocks, so a buffer is read from the block in which the first record begins to
 * the block in which the last one ends. Records a little apart are read together as well: a few
 * blocks more cost less than one more request.
 */
#include "store/reader.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/inject.h"
#include "base/list.h"

#define DIRECT_ALIGN 4096u /* of memory, for O_DIRECT */

struct reader_buf {
	struct disk_io io;
	struct reader_read *reads; /* that are read with it, in order; lent ones are not here */
	struct reader_read **last;
	uint32_t n_reads; /* lent ones included; 0: free */
	bool is_extra;	  /* made for one record that is read again, and freed after it */
	struct reader_buf *next_free;
	struct list link; /* of an extra one: reader->extra */
};

struct read_list {
	struct reader_read *first;
	struct reader_read **last;
};

struct reader {
	struct disk_queue *queue;
	uint64_t block_mask;
	uint32_t buf_bytes;
	uint8_t *memory;
	struct reader_buf *free;
	struct read_list done;	/* not reaped yet */
	struct read_list again; /* to be read alone */
	struct list extra;
	bool extra_flies; /* one at a time */
	uint32_t n_held;
	struct reader_stats stats;
	struct reader_buf bufs[READER_BUFS];
};

DEFINE_CLEANUP(struct reader *, reader_free)

static void list_reset(struct read_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_push(struct read_list *l, struct reader_read *read)
{
	read->next = NULL;
	*l->last = read;
	l->last = &read->next;
}

static struct reader_read *list_pop(struct read_list *l)
{
	struct reader_read *read = l->first;

	if (!read)
		return NULL;
	l->first = read->next;
	if (!l->first)
		l->last = &l->first;
	return read;
}

int reader_new(struct reader **ret_reader, struct disk *disk, uint32_t buf_bytes)
{
	_cleanup_(reader_freep) struct reader *r = inject_fail() ? NULL : calloc(1, sizeof(*r));
	struct disk_queue_options options = { .depth = READER_BUFS + 1, /* the extra one */
					      .n_memories = 1 };
	uint32_t i;
	int e;

	if (!r)
		return err_origin(-ENOMEM);
	list_reset(&r->done);
	list_reset(&r->again);
	list_init(&r->extra);
	r->block_mask = disk->block_bytes - 1;
	r->buf_bytes = buf_bytes;
	r->memory =
		inject_fail() ? NULL : aligned_alloc(DIRECT_ALIGN, (size_t)READER_BUFS * buf_bytes);
	if (!r->memory)
		return err_origin(-ENOMEM);
	options.memory[0] = (struct iovec){ r->memory, (size_t)READER_BUFS * buf_bytes };
	for (i = READER_BUFS; i-- > 0;) {
		r->bufs[i].io.bytes = r->memory + (size_t)i * buf_bytes;
		r->bufs[i].io.user = &r->bufs[i];
		r->bufs[i].next_free = r->free;
		r->free = &r->bufs[i];
	}
	e = disk_queue_new(disk, &options, &r->queue);
	if (e)
		return err_trace(e);
	*ret_reader = TAKE_PTR(r);
	return 0;
}

static uint64_t block_down(const struct reader *r, uint64_t offset)
{
	return offset & ~r->block_mask;
}

static uint64_t block_up(const struct reader *r, uint64_t offset)
{
	return (offset + r->block_mask) & ~r->block_mask;
}

static void buf_set(const struct reader *r, struct reader_buf *b, const struct reader_read *first)
{
	uint64_t end = block_up(r, first->extent.offset + first->extent.n_bytes);

	b->reads = NULL;
	b->last = &b->reads;
	b->io.offset = block_down(r, first->extent.offset);
	b->io.n_bytes = (uint32_t)(end - b->io.offset);
	ASSERT(b->io.n_bytes <= r->buf_bytes);
}

/* pre: one is free */
static struct reader_buf *buf_take(struct reader *r, const struct reader_read *first)
{
	struct reader_buf *b = r->free;

	ASSERT(b && b->n_reads == 0);
	r->free = b->next_free;
	buf_set(r, b, first);
	return b;
}

/*
 * All buffers may be lent to loads that wait for a record which has to be read again, and give none
 * back before. Return: NULL: no memory; tried again when a buffer comes back.
 */
static struct reader_buf *buf_make_extra(struct reader *r, const struct reader_read *read)
{
	struct reader_buf *b = inject_fail() ? NULL : calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	buf_set(r, b, read);
	b->is_extra = true;
	b->io.user = b;
	b->io.bytes = aligned_alloc(DIRECT_ALIGN, b->io.n_bytes);
	if (!b->io.bytes) {
		free(b);
		return NULL;
	}
	list_init(&b->link);
	list_append(&r->extra, &b->link);
	r->extra_flies = true;
	return b;
}

/* Read @read with the others of @b if it fits. */
static bool buf_extend(const struct reader *r, struct reader_buf *b, const struct reader_read *read)
{
	uint64_t end = block_up(r, read->extent.offset + read->extent.n_bytes);

	if (read->extent.offset < b->io.offset || end - b->io.offset > r->buf_bytes)
		return false;
	if (end - b->io.offset > b->io.n_bytes)
		b->io.n_bytes = (uint32_t)(end - b->io.offset);
	return true;
}

static void buf_add(struct reader_buf *b, struct reader_read *read)
{
	read->buf = b;
	read->record = NULL;
	read->next = NULL;
	*b->last = read;
	b->last = &read->next;
	b->n_reads++;
}

static void buf_begin(struct reader *r, struct reader_buf *b)
{
	r->stats.n_ios++;
	r->stats.n_bytes += b->io.n_bytes;
	disk_submit(r->queue, &b->io);
}

static void extra_free(struct reader_buf *b)
{
	list_unlink(&b->link);
	free(b->io.bytes);
	free(b);
}

static void buf_drop_read(struct reader *r, struct reader_buf *b)
{
	ASSERT(b->n_reads > 0);
	if (--b->n_reads > 0)
		return;
	if (b->is_extra) {
		extra_free(b);
		return;
	}
	b->next_free = r->free;
	r->free = b;
}

struct reader *reader_free(struct reader *r)
{
	struct reader_buf *b, *tmp;

	if (!r)
		return NULL;
	disk_queue_free(r->queue);
	list_for_each_safe(b, tmp, &r->extra, link)
		extra_free(b);
	free(r->memory);
	free(r);
	return NULL;
}

uint32_t reader_submit(struct reader *r, struct reader_read *const *reads, uint32_t n)
{
	struct reader_buf *b = NULL;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (b && !buf_extend(r, b, reads[i])) {
			buf_begin(r, b);
			b = NULL;
		}
		if (!b && !r->free)
			break;
		if (!b)
			b = buf_take(r, reads[i]);
		reads[i]->is_again = false;
		buf_add(b, reads[i]);
	}
	if (b)
		buf_begin(r, b);
	r->n_held += i;
	r->stats.n_reads += i;
	return i;
}

static struct reader_buf *buf_again(struct reader *r, const struct reader_read *read)
{
	if (r->free)
		return buf_take(r, read);
	return r->extra_flies ? NULL : buf_make_extra(r, read);
}

/* Records that were read together with one that cannot be: each alone. */
static void read_again(struct reader *r)
{
	struct reader_buf *b;

	if (!r->again.first)
		return;
	while (r->again.first && (b = buf_again(r, r->again.first))) {
		buf_add(b, list_pop(&r->again));
		buf_begin(r, b);
	}
	disk_flush(r->queue);
}

void reader_flush(struct reader *r)
{
	read_again(r); /* there may be memory for it now */
	disk_flush(r->queue);
}

/* Each record of a buffer has arrived, or has not. */
static void buf_end(struct reader *r, struct reader_buf *b)
{
	struct reader_read *read, *next;
	bool failed = b->io.result;

	r->stats.n_errors += failed;
	if (b->is_extra)
		r->extra_flies = false;
	read = b->reads;
	b->reads = NULL;
	for (; read; read = next) {
		next = read->next;
		if (!failed) {
			read->record = b->io.bytes + (read->extent.offset - b->io.offset);
			list_push(&r->done, read);
			continue;
		}
		read->buf = NULL;
		list_push(read->is_again ? &r->done : &r->again, read);
		read->is_again = true;
		buf_drop_read(r, b); /* with the last one it may be gone */
	}
}

static uint32_t reap(struct reader *r, struct reader_read **ret_reads, uint32_t n_max, bool wait)
{
	struct disk_io *ios[READER_BUFS];
	uint32_t i, n;

	if (wait)
		n = disk_reap_wait(r->queue, ios, READER_BUFS);
	else
		n = disk_reap(r->queue, ios, READER_BUFS);
	for (i = 0; i < n; i++)
		buf_end(r, ios[i]->user);
	read_again(r);
	for (n = 0; n < n_max && r->done.first; n++)
		ret_reads[n] = list_pop(&r->done);
	return n;
}

uint32_t reader_reap(struct reader *r, struct reader_read **ret_reads, uint32_t n_max)
{
	return reap(r, ret_reads, n_max, false);
}

uint32_t reader_reap_wait(struct reader *r, struct reader_read **ret_reads, uint32_t n_max)
{
	uint32_t n = reap(r, ret_reads, n_max, false);

	ASSERT(r->n_held > 0);
	while (n == 0)
		n = reap(r, ret_reads, n_max, true);
	return n;
}

void reader_release(struct reader *r, struct reader_read *read)
{
	ASSERT(r->n_held > 0);
	r->n_held--;
	if (read->buf)
		buf_drop_read(r, read->buf);
	read->buf = NULL;
	read->record = NULL;
	read_again(r);
}

int reader_fd(const struct reader *r)
{
	return disk_queue_fd(r->queue);
}

uint32_t reader_n_held(const struct reader *r)
{
	return r->n_held;
}

void reader_stats_get(const struct reader *r, struct reader_stats *ret)
{
	*ret = r->stats;
}
