/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk-thread - a queue that is a few threads with pread and pwrite
 *
 * For systems that refuse io_uring: containers, hardened kernels. An eventfd says that something is
 * done.
 *
 * The mutex is a leaf: nothing is taken under it, and no system call but the eventfd's is made.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"
#include "store/file.h"

enum { THREADS_MAX = 4, THREAD_STACK_BYTES = 64 << 10 };

struct io_list {
	struct disk_io *first;
	struct disk_io **last;
};

struct thread_queue {
	struct disk_queue queue; /* first */
	pthread_mutex_t mutex;	 /* below all others */
	pthread_cond_t has_todo;
	pthread_cond_t has_done;
	struct io_list todo; /* [mutex] */
	struct io_list done; /* [mutex] */
	bool stop;	     /* [mutex] */
	int fd;		     /* [const] of the disk */
	int event_fd;	     /* [const] */
	uint32_t n_threads;
	pthread_t threads[THREADS_MAX];
};

static struct thread_queue *thread_queue_of(const struct disk_queue *queue)
{
	return (struct thread_queue *)queue;
}

static void io_push(struct io_list *l, struct disk_io *io)
{
	io->next = NULL;
	*l->last = io;
	l->last = &io->next;
}

static struct disk_io *io_pop(struct io_list *l)
{
	struct disk_io *io = l->first;

	if (!io)
		return NULL;
	l->first = io->next;
	if (!l->first)
		l->last = &l->first;
	return io;
}

static int32_t io_do(int fd, const struct disk_io *io)
{
	off_t offset = (off_t)(disk_io_offset(io) + FILE_BLOCK_BYTES);
	ssize_t n;

	if (io->is_write)
		n = pwrite(fd, disk_io_bytes(io), disk_io_left(io), offset);
	else
		n = pread(fd, disk_io_bytes(io), disk_io_left(io), offset);
	return n < 0 ? -errno : (int32_t)n;
}

static void *thread_main(void *arg)
{
	struct thread_queue *q = arg;
	struct disk_io *io;
	ssize_t n;

	pthread_mutex_lock(&q->mutex);
	for (;;) {
		io = io_pop(&q->todo);
		if (!io && q->stop)
			break;
		if (!io) {
			pthread_cond_wait(&q->has_todo, &q->mutex);
			continue;
		}
		pthread_mutex_unlock(&q->mutex);
		io->step_result = io_do(q->fd, io);
		pthread_mutex_lock(&q->mutex);
		io_push(&q->done, io);
		pthread_cond_signal(&q->has_done);
		n = write(q->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
		ASSERT(n == sizeof(uint64_t)); /* far from full: it is emptied at every reap */
	}
	pthread_mutex_unlock(&q->mutex);
	return NULL;
}

static void thread_queue_free(struct disk_queue *queue)
{
	struct thread_queue *q = thread_queue_of(queue);
	uint32_t i;

	pthread_mutex_lock(&q->mutex);
	q->stop = true;
	pthread_cond_broadcast(&q->has_todo);
	pthread_mutex_unlock(&q->mutex);
	for (i = 0; i < q->n_threads; i++)
		pthread_join(q->threads[i], NULL);
	if (q->event_fd >= 0)
		close(q->event_fd);
	pthread_cond_destroy(&q->has_todo);
	pthread_cond_destroy(&q->has_done);
	pthread_mutex_destroy(&q->mutex);
	free(q);
}

static int threads_start(struct thread_queue *q, uint32_t n)
{
	pthread_attr_t attr;
	int r;

	r = pthread_attr_init(&attr);
	ASSERT(r == 0);
	/* Sanitizers want more than this; then it is what the system gives. */
	(void)pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	while (q->n_threads < n) {
		r = inject_fail()
			    ? EAGAIN
			    : pthread_create(&q->threads[q->n_threads], &attr, thread_main, q);
		if (r)
			break;
		q->n_threads++;
	}
	pthread_attr_destroy(&attr);
	return q->n_threads > 0 ? 0 : err_origin(-r); /* one is enough */
}

static int thread_queue_new(struct disk *disk, const struct disk_queue_options *options,
			    struct disk_queue **ret_queue)
{
	struct thread_queue *q = inject_fail() ? NULL : calloc(1, sizeof(*q));
	int r = 0;

	if (!q)
		return err_origin(-ENOMEM);
	pthread_mutex_init(&q->mutex, NULL);
	pthread_cond_init(&q->has_todo, NULL);
	pthread_cond_init(&q->has_done, NULL);
	q->todo.last = &q->todo.first;
	q->done.last = &q->done.first;
	q->fd = disk_file_of(disk)->fd;
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->event_fd < 0)
		r = err_origin(-errno);
	if (!r)
		r = threads_start(q, options->depth < THREADS_MAX ? options->depth : THREADS_MAX);
	if (r) {
		thread_queue_free(&q->queue);
		return r;
	}
	*ret_queue = &q->queue;
	return 0;
}

static void thread_submit(struct disk_queue *queue, struct disk_io *io)
{
	struct thread_queue *q = thread_queue_of(queue);

	pthread_mutex_lock(&q->mutex);
	io_push(&q->todo, io);
	pthread_cond_signal(&q->has_todo);
	pthread_mutex_unlock(&q->mutex);
}

static void thread_flush(struct disk_queue *queue)
{
	(void)queue; /* begun already */
}

static uint32_t thread_reap(struct disk_queue *queue, struct disk_io **ret_ios, uint32_t n_max,
			    bool wait)
{
	struct thread_queue *q = thread_queue_of(queue);
	uint64_t count;
	uint32_t n = 0;
	ssize_t got;

	pthread_mutex_lock(&q->mutex);
	while (wait && !q->done.first)
		pthread_cond_wait(&q->has_done, &q->mutex);
	while (n < n_max && q->done.first)
		ret_ios[n++] = io_pop(&q->done);
	/* Under the mutex: what is pushed after this makes it readable again. */
	if (!q->done.first) {
		got = read(q->event_fd, &count, sizeof(count));
		(void)got; /* nothing to read is fine */
	}
	pthread_mutex_unlock(&q->mutex);
	return n;
}

static int thread_fd(const struct disk_queue *queue)
{
	return thread_queue_of(queue)->event_fd;
}

const struct disk_ops disk_thread_ops = {
	.name = "threads",
	.queue_new = thread_queue_new,
	.queue_free = thread_queue_free,
	.submit = thread_submit,
	.flush = thread_flush,
	.reap = thread_reap,
	.fd = thread_fd,
	.punch = disk_file_punch,
};
