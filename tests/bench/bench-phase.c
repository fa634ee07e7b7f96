/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-phase - see bench-phase.h
 *
 * Zipf: Gray's method as in YCSB (rank r has weight 1 / r^0.99), with the ranks scattered over
 * the working set by a hash, so hot pages are not neighbours.
 */
#include "bench-phase.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bench-data.h"

#define ZIPF_THETA 0.99

struct zipf {
	double alpha;
	double eta;
	double zeta_n;
	uint64_t n;
};

/* A phase in random order: which page next, and what to do with it. */
struct random_job {
	struct work *w;
	struct zipf *zipf; /* NULL: uniform */
	uint64_t n_ops;
	uint64_t state; /* of the random numbers */
	struct phase_result result;
	int status;
	bool write;
};

int work_init(struct work *w)
{
	size_t table_bytes = w->n_pages * sizeof(*w->version);

	w->pages = mmap(NULL, w->n_pages * BENCH_PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->pages == MAP_FAILED)
		return -errno;
	w->version =
		mmap(NULL, table_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->version == MAP_FAILED) {
		int err = errno;

		munmap(w->pages, w->n_pages * BENCH_PAGE_BYTES);
		return -err;
	}
	mlock(w->version, table_bytes); /* without the permission it is only noisier */
	return 0;
}

void work_deinit(struct work *w)
{
	munmap(w->version, w->n_pages * sizeof(*w->version));
	munmap(w->pages, w->n_pages * BENCH_PAGE_BYTES);
}

static char *work_page(const struct work *w, uint64_t idx)
{
	return w->pages + idx * BENCH_PAGE_BYTES;
}

static struct page_ref work_ref(const struct work *w, uint64_t idx)
{
	return (struct page_ref){ .idx = idx, .version = w->version[idx] };
}

static int work_wrong(const struct work *w, uint64_t idx)
{
	uint64_t head[3];

	memcpy(head, work_page(w, idx), sizeof(head));
	fprintf(stderr,
		"bench-mem: WRONG DATA: page %llu at %p, version %u: found page %llu, version %llu, "
		"first wrong byte at %d\n",
		(unsigned long long)idx, (void *)work_page(w, idx), w->version[idx],
		(unsigned long long)head[0], (unsigned long long)head[1],
		data_page_verify(work_page(w, idx), work_ref(w, idx)));
	return PHASE_E_WRONG;
}

static void zipf_init(struct zipf *z, uint64_t n)
{
	double zeta2 = 1.0 + pow(0.5, ZIPF_THETA);
	double sum = 0;

	for (uint64_t i = 1; i <= n; i++)
		sum += pow(1.0 / (double)i, ZIPF_THETA);
	z->n = n;
	z->zeta_n = sum;
	z->alpha = 1.0 / (1.0 - ZIPF_THETA);
	z->eta = (1.0 - pow(2.0 / (double)n, 1.0 - ZIPF_THETA)) / (1.0 - zeta2 / sum);
}

static uint64_t zipf_next(const struct zipf *z, uint64_t *state)
{
	double u = (double)(rand_next(state) >> 11) * 0x1p-53;
	double uz = u * z->zeta_n;
	uint64_t rank;

	if (uz < 1.0)
		rank = 0;
	else if (uz < 1.0 + pow(0.5, ZIPF_THETA))
		rank = 1;
	else
		rank = (uint64_t)((double)z->n * pow(z->eta * u - z->eta + 1.0, z->alpha));
	rank = rand_next(&rank);
	return rank % z->n;
}

static int phase_fill(struct work *w, struct phase_result *ret)
{
	for (uint64_t i = 0; i < w->n_pages; i++) {
		uint64_t start_ns = bench_now_ns();

		data_page_fill(work_page(w, i), i);
		hist_add(&ret->latency, bench_now_ns() - start_ns);
		w->version[i] = 0;
	}
	return 0;
}

/* Reads every word, as a scan of real data would. */
static int phase_scan(struct work *w, struct phase_result *ret)
{
	uint64_t sum = 0;

	for (uint64_t n = 0; n < w->n_pages * w->n_passes; n++) {
		uint64_t idx = n % w->n_pages;
		const uint64_t *word = (const void *)work_page(w, idx);
		uint64_t start_ns = bench_now_ns();

		for (uint32_t i = 0; i < BENCH_PAGE_BYTES / sizeof(*word); i++)
			sum += word[i];
		hist_add(&ret->latency, bench_now_ns() - start_ns);
		if (!data_page_check(word, work_ref(w, idx)))
			return work_wrong(w, idx);
	}
	__asm__ volatile("" : : "r"(sum));
	return 0;
}

static int phase_verify(struct work *w, struct phase_result *ret)
{
	for (uint64_t i = 0; i < w->n_pages; i++) {
		uint64_t start_ns = bench_now_ns();

		if (data_page_verify(work_page(w, i), work_ref(w, i)) >= 0)
			return work_wrong(w, i);
		hist_add(&ret->latency, bench_now_ns() - start_ns);
	}
	return 0;
}

static bool job_touch(struct random_job *job, uint64_t idx)
{
	struct work *w = job->w;
	char *page = work_page(w, idx);

	if (!data_page_check(page, work_ref(w, idx)))
		return false;
	if (job->write) {
		w->version[idx]++;
		data_page_update(page, work_ref(w, idx));
	}
	return true;
}

static void *job_run(void *user)
{
	struct random_job *job = user;
	uint64_t begin_ns = bench_now_ns();
	uint64_t now_ns = begin_ns;

	for (uint64_t n = 0; n < job->n_ops && now_ns - begin_ns < job->w->max_ns; n++) {
		uint64_t idx = job->zipf ? zipf_next(job->zipf, &job->state)
					 : rand_below(&job->state, job->w->n_pages);
		uint64_t start_ns = bench_now_ns();

		if (!job_touch(job, idx)) {
			job->status = work_wrong(job->w, idx);
			break;
		}
		now_ns = bench_now_ns();
		hist_add(&job->result.latency, now_ns - start_ns);
	}
	return NULL;
}

static int phase_random(struct work *w, struct zipf *zipf, bool write, struct phase_result *ret)
{
	static struct random_job job;

	job = (struct random_job){
		.w = w, .zipf = zipf, .write = write, .n_ops = w->n_ops, .state = w->seed++
	};
	job_run(&job);
	ret->latency = job.result.latency;
	return job.status;
}

static int phase_threads(struct work *w, struct phase_result *ret)
{
	enum { MAX_THREADS = 64 };
	static struct random_job job[MAX_THREADS];
	pthread_t thread[MAX_THREADS];
	uint32_t n = w->n_threads < MAX_THREADS ? w->n_threads : MAX_THREADS;
	uint32_t n_started = 0;
	int r = 0;

	for (; n_started < n && r == 0; n_started++) {
		job[n_started] = (struct random_job){ .w = w,
						      .n_ops = w->n_ops / n,
						      .state = w->seed++ * 7919 + n_started };
		r = -pthread_create(&thread[n_started], NULL, job_run, &job[n_started]);
		if (r)
			break;
	}
	for (uint32_t i = 0; i < n_started; i++) {
		pthread_join(thread[i], NULL);
		hist_merge(&ret->latency, &job[i].result.latency);
		if (job[i].status && !r)
			r = job[i].status;
	}
	return r;
}

static int phase_dispatch(struct work *w, const char *name, struct phase_result *ret)
{
	static struct zipf zipf;

	if (zipf.n != w->n_pages && strstr(name, "zipf"))
		zipf_init(&zipf, w->n_pages);
	ret->elapsed_ns = bench_now_ns();

	if (!strcmp(name, "fill"))
		return phase_fill(w, ret);
	if (!strcmp(name, "scan"))
		return phase_scan(w, ret);
	if (!strcmp(name, "verify"))
		return phase_verify(w, ret);
	if (!strcmp(name, "read-uniform"))
		return phase_random(w, NULL, false, ret);
	if (!strcmp(name, "read-zipf"))
		return phase_random(w, &zipf, false, ret);
	if (!strcmp(name, "write-uniform"))
		return phase_random(w, NULL, true, ret);
	if (!strcmp(name, "write-zipf"))
		return phase_random(w, &zipf, true, ret);
	if (!strcmp(name, "read-threads"))
		return phase_threads(w, ret);
	return PHASE_E_UNKNOWN;
}

int phase_run(struct work *w, const char *name, struct phase_result *ret_result)
{
	int r;

	memset(ret_result, 0, sizeof(*ret_result));
	r = phase_dispatch(w, name, ret_result);
	ret_result->elapsed_ns = bench_now_ns() - ret_result->elapsed_ns;
	ret_result->n_ops = ret_result->latency.n;
	return r;
}
