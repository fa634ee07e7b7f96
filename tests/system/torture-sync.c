/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-sync - threads, locks and signals on managed memory
 *
 * Layout of worker->managed, one area of private anonymous memory:
 *   page 0..3            iovecs, arguments (torture-io.c)
 *   page SYNC_AT + 2*i   one synchronisation object each, with a page of filler after it
 *   page QUIET_AT..      pages that only the signal handler reads and writes
 *   page ALT_AT..        the signal stack
 *   page STACKS_AT..     stacks of short-lived threads
 * The kernel touches some of these where it cannot wait for a missing page (PI and robust mutexes,
 * thread control blocks): a swap daemon must leave them alone, and nothing here tells it so but the
 * ordinary calls.
 */
#include "torture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SYNC_AT 4u
#define QUIET_AT 24u
#define ALT_AT (QUIET_AT + N_QUIET)
#define ALT_PAGES 16u
#define STACKS_AT (ALT_AT + ALT_PAGES)
#define STACK_PAGES 16u
#define N_STACKS 8u
#define MANAGED_PAGES (STACKS_AT + N_STACKS * STACK_PAGES)
#define TLS_WORDS 512u

enum { OBJ_PLAIN, OBJ_PI, OBJ_ROBUST, OBJ_COND, OBJ_BARRIER, OBJ_SEM, OBJ_COUNT, OBJ_RWLOCK };

static void *object(const struct worker *w, uint32_t i)
{
	return w->managed + (size_t)(SYNC_AT + 2 * i) * PAGE + 64;
}

static volatile uint64_t *counter(const struct worker *w)
{
	return object(w, OBJ_COUNT);
}

/* ---- short-lived threads -------------------------------------------------------------------- */

static __thread uint64_t tls_words[TLS_WORDS];

struct job {
	struct worker *w;
	uint32_t what;
	uint32_t n;
	uint64_t salt;
};

static void *churn_main(void *arg)
{
	const struct job *job = arg;
	uint64_t x = job->salt;

	for (uint32_t i = 0; i < TLS_WORDS; i++) {
		if (tls_words[i])
			fatal("word %u of a new thread's TLS is not zero", i);
		tls_words[i] = mix64(x + i);
	}
	if (job->n & 1)
		sched_yield();
	for (uint32_t i = 0; i < TLS_WORDS; i++) {
		if (tls_words[i] != mix64(x + i))
			fatal("word %u of a thread's TLS changed", i);
	}
	return (void *)(uintptr_t)(x | 1);
}

static void threads_run(struct worker *w, void *(*main)(void *), struct job *jobs, uint32_t n,
			bool own_stacks)
{
	pthread_t threads[N_STACKS];
	pthread_attr_t attr;
	int r;

	for (uint32_t i = 0; i < n; i++) {
		pthread_attr_init(&attr);
		if (own_stacks)
			pthread_attr_setstack(
				&attr, w->managed + (size_t)(STACKS_AT + i * STACK_PAGES) * PAGE,
				STACK_PAGES * PAGE);
		r = pthread_create(&threads[i], &attr, main, &jobs[i]);
		if (r)
			fatal("pthread_create: %s", strerror(r));
		pthread_attr_destroy(&attr);
	}
	for (uint32_t i = 0; i < n; i++) {
		void *ret;

		r = pthread_join(threads[i], &ret);
		if (r || (uintptr_t)ret != (uintptr_t)(jobs[i].salt | 1))
			fatal("pthread_join: %s, result %p", strerror(r), ret);
	}
}

static void jobs_init(struct worker *w, struct job *jobs, uint32_t what, uint32_t n)
{
	for (uint32_t i = 0; i < N_STACKS; i++)
		jobs[i] = (struct job){ .w = w, .what = what, .n = n, .salt = rnd(w) };
}

static void run_churn(struct worker *w)
{
	const uint32_t n = 1 + rnd_below(w, N_STACKS), own_stacks = rnd_below(w, 2);
	struct job jobs[N_STACKS];

	note(w, "churn", NULL, n);
	jobs_init(w, jobs, 0, n);
	threads_run(w, churn_main, jobs, n, own_stacks);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static void check(int r, const char *what)
{
	if (r)
		fatal("%s: %s", what, strerror(r));
}

static void count_under(pthread_mutex_t *mutex, struct worker *w)
{
	check(pthread_mutex_lock(mutex), "pthread_mutex_lock");
	*counter(w) += 1;
	check(pthread_mutex_unlock(mutex), "pthread_mutex_unlock");
}

/* Pairs of threads take turns; jobs with an even salt wait for odd values and the other way round. */
static void turns_take(const struct job *job)
{
	pthread_mutex_t *mutex = object(job->w, OBJ_PLAIN);
	pthread_cond_t *cond = object(job->w, OBJ_COND);

	check(pthread_mutex_lock(mutex), "pthread_mutex_lock");
	for (uint32_t i = 0; i < job->n; i++) {
		while (*counter(job->w) % 2 != job->salt % 2)
			check(pthread_cond_wait(cond, mutex), "pthread_cond_wait");
		*counter(job->w) += 1;
		check(pthread_cond_broadcast(cond), "pthread_cond_broadcast");
	}
	check(pthread_mutex_unlock(mutex), "pthread_mutex_unlock");
}

static void *game_main(void *arg)
{
	const struct job *job = arg;
	struct worker *w = job->w;

	switch (job->what) {
	case OBJ_PLAIN:
	case OBJ_PI:
		for (uint32_t i = 0; i < job->n; i++)
			count_under(object(w, job->what), w);
		break;
	case OBJ_ROBUST: /* dies while it holds the lock */
		check(pthread_mutex_lock(object(w, OBJ_ROBUST)), "pthread_mutex_lock, robust");
		*counter(w) += 1;
		break;
	case OBJ_COND:
		turns_take(job);
		break;
	case OBJ_BARRIER:
		for (uint32_t i = 0; i < job->n; i++) {
			int r = pthread_barrier_wait(object(w, OBJ_BARRIER));

			if (r && r != PTHREAD_BARRIER_SERIAL_THREAD)
				check(r, "pthread_barrier_wait");
			if (r)
				*counter(w) += 1;
		}
		break;
	case OBJ_SEM:
		for (uint32_t i = 0; i < job->n; i++) {
			while (sem_wait(object(w, OBJ_SEM)))
				;
			*counter(w) += 1;
			sem_post(object(w, OBJ_SEM));
		}
		break;
	default:
		for (uint32_t i = 0; i < job->n; i++) {
			check(pthread_rwlock_wrlock(object(w, OBJ_RWLOCK)),
			      "pthread_rwlock_wrlock");
			*counter(w) += 1;
			check(pthread_rwlock_unlock(object(w, OBJ_RWLOCK)),
			      "pthread_rwlock_unlock");
		}
		break;
	}
	return (void *)(uintptr_t)(job->salt | 1);
}

static void game_play(struct worker *w, const char *name, uint32_t what, uint32_t expected_per_turn)
{
	const uint32_t n = 1 + rnd_below(w, 30);
	struct job jobs[N_STACKS];

	note(w, name, NULL, n);
	jobs_init(w, jobs, what, n);
	for (uint32_t i = 0; i < N_STACKS; i++)
		jobs[i].salt = (jobs[i].salt & ~1ull) | (i & 1);
	*counter(w) = 0;
	threads_run(w, game_main, jobs, 4, n & 1);
	if (*counter(w) != (uint64_t)expected_per_turn * n)
		fatal("%s: counted %lu, expected %u", name, *counter(w), expected_per_turn * n);
}

static void run_mutex(struct worker *w)
{
	game_play(w, "mutex", OBJ_PLAIN, 4);
}
static void run_pi(struct worker *w)
{
	game_play(w, "pi-mutex", OBJ_PI, 4);
}
static void run_cond(struct worker *w)
{
	game_play(w, "cond", OBJ_COND, 4);
}
static void run_barrier(struct worker *w)
{
	game_play(w, "barrier", OBJ_BARRIER, 1);
}
static void run_sem(struct worker *w)
{
	game_play(w, "semaphore", OBJ_SEM, 4);
}
static void run_rwlock(struct worker *w)
{
	game_play(w, "rwlock", OBJ_RWLOCK, 4);
}

/* The owner is gone; the kernel must have marked the mutex, or this waits for ever. */
static void run_robust(struct worker *w)
{
	pthread_mutex_t *mutex = object(w, OBJ_ROBUST);
	struct job job = { .w = w, .what = OBJ_ROBUST, .salt = rnd(w) };
	const bool own_stack = rnd_below(w, 2);
	int r;

	note(w, "robust", NULL, 0);
	*counter(w) = 0;
	threads_run(w, game_main, &job, 1, own_stack);
	r = pthread_mutex_lock(mutex);
	if (r != EOWNERDEAD)
		fatal("lock of a robust mutex with a dead owner: %s", strerror(r));
	check(pthread_mutex_consistent(mutex), "pthread_mutex_consistent");
	if (*counter(w) != 1)
		fatal("robust: counted %lu", *counter(w));
	check(pthread_mutex_unlock(mutex), "pthread_mutex_unlock");
}

/* ---- signals -------------------------------------------------------------------------------- */

/* Runs on a signal stack in managed memory; reads, and sometimes rewrites, managed pages. */
static void on_usr1(int sig)
{
	const int saved_errno = errno;
	struct worker *w = self;
	struct shadow *sh;
	uint32_t idx;

	(void)sig;
	if (!w || w->in_child)
		return;
	w->signal_rng = mix64(w->signal_rng + 1);
	idx = (uint32_t)(w->signal_rng % N_QUIET);
	sh = shadow_get(w, &w->quiet, idx);
	page_make(sh, w->signal_gen);
	memcpy(w->signal_got, page_at(&w->quiet, idx), PAGE);
	if (memcmp(w->signal_gen, w->signal_got, PAGE) != 0)
		report_page(w, &w->quiet, idx, w->signal_gen, w->signal_got, "in a signal handler");
	if (w->signal_rng >> 62 == 0) {
		sh->src_version = sh->next_version++;
		sh->kind = (uint8_t)kind_pick(w->signal_rng >> 8);
		shadow_seal(sh);
		page_make(sh, w->signal_gen);
		memcpy(page_at(&w->quiet, idx), w->signal_gen, PAGE);
	}
	__atomic_store_n(&w->n_signals, w->n_signals + 1, __ATOMIC_RELAXED);
	errno = saved_errno;
}

static void run_signal(struct worker *w)
{
	const uint32_t n = 1 + rnd_below(w, 4), before = w->n_signals;

	note(w, "signal", NULL, n);
	if (w->in_child)
		return;
	for (uint32_t i = 0; i < n; i++)
		pthread_kill(pthread_self(), SIGUSR1);
	if (__atomic_load_n(&w->n_signals, __ATOMIC_RELAXED) - before < n)
		fatal("%u signals raised, fewer arrived", n);
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void mutexes_init(struct worker *w)
{
	pthread_mutexattr_t attr;

	check(pthread_mutex_init(object(w, OBJ_PLAIN), NULL), "pthread_mutex_init");
	pthread_mutexattr_init(&attr);
	check(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), "setprotocol");
	check(pthread_mutex_init(object(w, OBJ_PI), &attr), "pthread_mutex_init, PI");
	pthread_mutexattr_destroy(&attr);
	pthread_mutexattr_init(&attr);
	check(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), "setrobust");
	check(pthread_mutex_init(object(w, OBJ_ROBUST), &attr), "pthread_mutex_init, robust");
	pthread_mutexattr_destroy(&attr);
}

void sync_init(struct worker *w)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = SA_RESTART | SA_ONSTACK };

	w->managed = mmap(NULL, MANAGED_PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->managed == MAP_FAILED)
		fatal("mmap: %s", strerror(errno));
	mutexes_init(w);
	check(pthread_cond_init(object(w, OBJ_COND), NULL), "pthread_cond_init");
	check(pthread_barrier_init(object(w, OBJ_BARRIER), NULL, 4), "pthread_barrier_init");
	check(pthread_rwlock_init(object(w, OBJ_RWLOCK), NULL), "pthread_rwlock_init");
	if (sem_init(object(w, OBJ_SEM), 0, 1))
		fatal("sem_init: %s", strerror(errno));

	w->quiet.base = w->managed + QUIET_AT * PAGE;
	w->quiet.n_pages = w->quiet.n_max = N_QUIET;
	for (uint32_t i = 0; i < N_QUIET; i++) {
		w->quiet.sh[i].id = w->idx << 24 | 0xfu << 20 | i;
		w->quiet.sh[i].next_version = 1;
	}
	shadow_set_zero(w, &w->quiet, 0, N_QUIET);
	for (uint32_t i = 0; i < N_QUIET; i++)
		page_write(w, &w->quiet, i, kind_pick(rnd(w)));
	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR1, &sa, NULL);
}

void sync_thread_begin(struct worker *w)
{
	stack_t stack = { .ss_sp = w->managed + ALT_AT * PAGE, .ss_size = ALT_PAGES * PAGE };

	if (sigaltstack(&stack, NULL))
		fatal("sigaltstack: %s", strerror(errno));
}

const struct op sync_ops[] = {
	{ "churn", 6, 0, run_churn },
	{ "mutex", 2, 0, run_mutex },
	{ "pi", 2, 0, run_pi },
	{ "robust", 2, 0, run_robust },
	{ "cond", 2, 0, run_cond },
	{ "barrier", 2, 0, run_barrier },
	{ "semaphore", 2, 0, run_sem },
	{ "rwlock", 2, 0, run_rwlock },
	{ "signal", 10, OP_SIMPLE, run_signal },
	{ NULL, 0, 0, NULL },
};
