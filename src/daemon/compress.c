// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Background threads: compressors, which take evictions from the stage to the pool, and upkeep,
 * which uses idle time: recompression of cold pages, compaction, dropping of kept copies.
 *
 * A compressor gives new pages their entries before it goes on compressing older ones, and in between
 * decompresses what a stream will want next. There is one for each CPU but the one that serves faults.
 *
 * syscalls: setpriority
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "daemon/worker-impl.h"

#define IDLE_NS (300ULL * 1000 * 1000)
#define UPKEEP_NS (20ULL * 1000 * 1000)
#define RECOMPRESS_BATCH 64u
#define COMPACT_BATCH_BYTES (1ULL << 20)
#define COMPRESS_BATCH 16u /* pages, about 0.1 ms: how long a put may wait */
#define BEHIND_JOBS 3u	   /* as many evictions wait: compression is what they wait for */
#define BEHIND_NS (5ULL * 1000 * 1000) /* after a fault had to wait for room */
#define RETRY_NS (200ULL * 1000)

void compress_post(struct worker *w, struct evict_job *job)
{
	struct compress_pool *p = &w->compress;

	pthread_mutex_lock(&p->lock);
	list_append(&p->puts, &job->link);
	pthread_mutex_unlock(&p->lock);
	pthread_cond_signal(&p->ready);
}

static struct evict_job *take_job(struct list *jobs)
{
	struct evict_job *job = list_first(jobs, struct evict_job, link);

	if (job)
		list_unlink(&job->link);
	return job;
}

static struct decode_job *take_decode(struct list *jobs)
{
	struct decode_job *job = list_first(jobs, struct decode_job, link);

	if (job)
		list_unlink(&job->link);
	return job;
}

/* One of them, or none: stop. */
struct task {
	struct evict_job *put;
	struct decode_job *decode;
	struct evict_job *compress;
};

/* Pages to put come first: until then faults on them wait. Then what a fault will want soon. */
static bool next_task(struct compress_pool *p, struct task *ret)
{
	*ret = (struct task){ 0 };
	pthread_mutex_lock(&p->lock);
	while (list_is_empty(&p->puts) && list_is_empty(&p->decode) &&
	       list_is_empty(&p->compress) && !p->stop)
		pthread_cond_wait(&p->ready, &p->lock);
	ret->put = take_job(&p->puts);
	if (!ret->put)
		ret->decode = take_decode(&p->decode);
	if (!ret->put && !ret->decode)
		ret->compress = take_job(&p->compress);
	pthread_mutex_unlock(&p->lock);
	return ret->put || ret->decode || ret->compress;
}

bool compress_post_decode(void *user, struct decode_job *job)
{
	struct compress_pool *p = &((struct worker *)user)->compress;

	if (!p->beside)
		return false;
	pthread_mutex_lock(&p->lock);
	list_append(&p->decode, &job->link);
	pthread_mutex_unlock(&p->lock);
	pthread_cond_signal(&p->ready);
	return true;
}

bool compress_unpost_decode(void *user, struct decode_job *job)
{
	struct compress_pool *p = &((struct worker *)user)->compress;
	bool waited;

	pthread_mutex_lock(&p->lock);
	waited = list_is_linked(&job->link);
	list_unlink(&job->link);
	pthread_mutex_unlock(&p->lock);
	return waited;
}

static void decode(struct worker *w, struct decode_job *job, struct codec_ctx *ctx)
{
	while (decode_job_step(job, ctx))
		;
	if (decode_job_leave(job))
		inbox_decoded(&w->inbox, job);
}

static void requeue(struct compress_pool *p, struct evict_job *job, bool first)
{
	pthread_mutex_lock(&p->lock);
	if (first)
		list_prepend(&p->compress, &job->link);
	else
		list_append(&p->compress, &job->link);
	pthread_mutex_unlock(&p->lock);
}

/* zstd, then, rather than LZ4. Relaxed: hints. */
static bool space_before_time(const struct worker *w)
{
	if (load_relaxed(&w->tight))
		return true;
	return load_relaxed(&w->spills) && load_relaxed(&w->group.n_jobs) < BEHIND_JOBS &&
	       clock_now_ns() - load_relaxed(&w->waited_ns) > BEHIND_NS;
}

/* Some of its pages. */
static void compress(struct worker *w, struct evict_job *job, struct codec_ctx *ctx)
{
	const struct timespec pause = { 0, (long)RETRY_NS };
	uint32_t n_before = job->n - job->next;
	enum swap_codec codec = space_before_time(w) ? SWAP_CODEC_ZSTD : SWAP_CODEC_LZ4;
	uint32_t n_left = evict_job_compress(job, COMPRESS_BATCH, codec, ctx);

	if (n_left) {
		requeue(&w->compress, job, n_left < n_before);
		if (n_left >= n_before) /* all pinned by others: they stay served raw */
			nanosleep(&pause, NULL);
		return;
	}
	evict_job_free(job);
	atomic_fetch_sub(&w->group.n_jobs, 1);
}

static void *compressor_main(void *arg)
{
	struct worker *w = arg;
	struct codec_ctx *ctx;
	struct task task;

	prctl(PR_SET_NAME, "uswap-compress");
	/* faults wait for what this thread makes room for; it may be refused */
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -10);
	if (codec_ctx_new(&ctx))
		abort(); /* nothing evicted would ever become free */
	while (next_task(&w->compress, &task)) {
		if (task.put) {
			evict_job_put(task.put);
			requeue(&w->compress, task.put, false);
		} else if (task.decode) {
			decode(w, task.decode, ctx);
		} else {
			compress(w, task.compress, ctx);
		}
	}
	codec_ctx_free(ctx);
	return NULL;
}

static bool is_stopping(struct compress_pool *p)
{
	bool stop;

	pthread_mutex_lock(&p->lock);
	stop = p->stop;
	pthread_mutex_unlock(&p->lock);
	return stop;
}

/* Nothing to do for a while; the end of the daemon does not wait for that. */
static void upkeep_rest(struct compress_pool *p)
{
	struct timespec until = clock_deadline(UPKEEP_NS);

	pthread_mutex_lock(&p->lock);
	if (!p->stop)
		(void)pthread_cond_timedwait(&p->rest, &p->lock, &until);
	pthread_mutex_unlock(&p->lock);
}

/*
 * Is there time for recompression? What goes to the file goes as it is, and who writes it wants a CPU; so
 * do evictions that wait. Relaxed: hints.
 */
static bool may_recompress(const struct worker *w)
{
	uint64_t busy_ns = load_relaxed(&w->busy_ns);
	uint64_t moved_ns = load_relaxed(&w->writeback.moved_ns);

	if (clock_now_ns() - (moved_ns > busy_ns ? moved_ns : busy_ns) > IDLE_NS)
		return true;
	return load_relaxed(&w->tight) ||
	       (space_before_time(w) && !load_relaxed(&w->writeback.wanted));
}

static void *upkeep_main(void *arg)
{
	struct worker *w = arg;
	struct codec_ctx *ctx;

	prctl(PR_SET_NAME, "uswap-upkeep");
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 15);
	if (codec_ctx_new(&ctx))
		return NULL; /* slower and larger, not wrong */
	while (!is_stopping(&w->compress)) {
		uint64_t drop = atomic_exchange(&w->drop_kept_bytes, 0);
		uint64_t worked;

		report_write_posted(w);
		if (drop)
			swap_drop_kept(w->group.app, drop);
		worked = swap_compact(w->swap, COMPACT_BATCH_BYTES);
		if (may_recompress(w))
			worked += swap_recompress(w->group.app, RECOMPRESS_BATCH, ctx);
		else
			worked = 0;
		if (!worked)
			upkeep_rest(&w->compress);
	}
	codec_ctx_free(ctx);
	return NULL;
}

void compress_init(struct worker *w)
{
	struct compress_pool *p = &w->compress;
	pthread_condattr_t attr;

	p->worker = w;
	p->beside = w->place.n_cpus > 1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->ready, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->rest, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&p->puts);
	list_init(&p->compress);
	list_init(&p->decode);
}

int compress_start(struct worker *w)
{
	struct compress_pool *p = &w->compress;
	uint32_t n = w->place.n_cpus > 1 ? w->place.n_cpus - 1 : 1;

	if (n > WORKER_MAX_COMPRESSORS)
		n = WORKER_MAX_COMPRESSORS;
	for (p->n_threads = 0; p->n_threads < n; p->n_threads++) {
		int r = pthread_create(&p->threads[p->n_threads], NULL, compressor_main, w);

		if (r)
			return err_origin(-r);
	}
	p->upkeep_runs = !pthread_create(&p->upkeep, NULL, upkeep_main, w);
	return 0;
}

void compress_stop(struct worker *w)
{
	struct compress_pool *p = &w->compress;
	uint32_t k;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	pthread_cond_broadcast(&p->ready);
	pthread_cond_broadcast(&p->rest);
	for (k = 0; k < p->n_threads; k++)
		pthread_join(p->threads[k], NULL);
	if (p->upkeep_runs)
		pthread_join(p->upkeep, NULL);
}
