/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture - many threads do everything to anonymous memory and check every byte of it
 *
 *   torture [--threads N] [--seconds S | --count OPS] [--size BYTES] [--seed X]
 *           [--ops name[=weight],-name,…] [--mix ZERO,FILL,TEXT,THIRD,RANDOM] [--verbose]
 *           [--hang SECONDS] [--corrupt OPS]
 *
 * What a thread does depends only on the seed and its number. With --count the closing line
 * "torture: OK seed=… ops=… pages=… digest=…" is the same in each run, under a swap daemon or not;
 * with --seconds the figures tell how far it came. Exit: 0 all bytes right; 1 a wrong byte, reported;
 * 2 usage; killed by SIGABRT: an operation hung.
 *
 * --corrupt zeroes a page behind the back of the test after that many operations: the alarm must
 * ring. --hang: how long one operation may take, 60 by default.
 *
 * Files: torture-page.c contents and shadows, torture-report.c reports and SIGSEGV, torture-range.c
 * layout, torture-mem.c access and advice, torture-shared.c, torture-fork.c, torture-io.c,
 * torture-sync.c the operations.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define N_OPS_MAX 64u
#define BRK_PAGES 1024u
#define SIGNAL_EVERY_NS 20000000ull

struct torture torture = {
	.n_threads = 2,
	.seconds = 10,
	.size_bytes = 256ull << 20,
	.seed = 1,
	.hang_seconds = 60,
	.mix_pct = { 10, 10, 35, 30, 15 },
};
__thread struct worker *self;

static struct {
	const struct op *op;
	uint32_t weight;
	uint64_t n_done;  /* [atomic] */
	uint64_t time_ns; /* [atomic] */
} table[N_OPS_MAX];
static uint32_t n_table, weight_all, weight_simple;

/* ---- operations ----------------------------------------------------------------------------- */

static void table_fill(void)
{
	static const struct op *const lists[] = { range_ops, mem_ops, shared_ops,
						  fork_ops,  io_ops,  sync_ops };

	for (uint32_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (const struct op *op = lists[i]; op->name; op++) {
			table[n_table].op = op;
			table[n_table].weight = op->weight;
			n_table++;
		}
	}
}

/* "a,b=20": only these. "-a,-b": all but these. */
static void table_select(char *list)
{
	if (list[0] != '-') {
		for (uint32_t i = 0; i < n_table; i++)
			table[i].weight = 0;
	}
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		const bool drop = name[0] == '-';
		char *weight = strchr(name, '=');
		uint32_t i;

		if (weight)
			*weight++ = '\0';
		for (i = 0; i < n_table && strcmp(table[i].op->name, name + drop) != 0; i++)
			;
		if (i == n_table) {
			fprintf(stderr, "torture: no operation is called '%s'\n", name + drop);
			exit(2);
		}
		table[i].weight = drop	   ? 0
				  : weight ? (uint32_t)strtoul(weight, NULL, 10)
					   : table[i].op->weight;
	}
}

static void op_run(struct worker *w, uint32_t flags)
{
	uint32_t at = rnd_below(w, flags & OP_SIMPLE ? weight_simple : weight_all), i;
	const char *outer = w->op_name;
	uint64_t start_ns = now_ns();

	for (i = 0; i < n_table; i++) {
		if ((table[i].op->flags & flags) != flags)
			continue;
		if (at < table[i].weight)
			break;
		at -= table[i].weight;
	}
	w->n_ops++;
	__atomic_store_n(&w->op_name, table[i].op->name, __ATOMIC_RELAXED);
	__atomic_store_n(&w->op_start_ns, start_ns, __ATOMIC_RELEASE);
	table[i].op->run(w);
	__atomic_store_n(&w->op_name, outer, __ATOMIC_RELAXED);
	if (!w->in_child) {
		__atomic_fetch_add(&table[i].n_done, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&table[i].time_ns, now_ns() - start_ns, __ATOMIC_RELAXED);
	}
}

void ops_run_simple(struct worker *w, uint32_t n)
{
	for (uint32_t i = 0; i < n && weight_simple; i++)
		op_run(w, OP_SIMPLE);
}

/* ---- workers -------------------------------------------------------------------------------- */

static void worker_open_file(struct worker *w)
{
	const char *dir = getenv("TMPDIR");
	char path[256];

	snprintf(path, sizeof(path), "%s/torture-XXXXXX", dir ? dir : "/var/tmp");
	w->file_fd = mkostemp(path, O_DIRECT | O_CLOEXEC);
	if (w->file_fd >= 0)
		unlink(path);
}

static struct worker *worker_new(uint32_t idx, uint32_t n_pages)
{
	const uint32_t n_max = n_pages / N_RANGES / 3 * 4, n_brk = idx == 0 ? BRK_PAGES : 0;
	const uint64_t n_shadows = (uint64_t)n_max * N_RANGES + n_brk + N_QUIET;
	const size_t bytes = sizeof(struct worker) + n_shadows * sizeof(struct shadow);
	struct worker *w =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (w == MAP_FAILED)
		fatal("mmap of a worker: %s", strerror(errno));
	w->idx = idx;
	w->rng = mix64(torture.seed * 1000 + idx);
	w->n_shadows = n_shadows;
	w->shadows = (struct shadow *)(void *)(w + 1);
	w->n_ranges = N_RANGES;
	for (uint32_t i = 0; i < N_RANGES; i++) {
		w->ranges[i].n_max = n_max;
		w->ranges[i].slot = NO_SLOT;
	}
	for (uint32_t i = 0; i < N_RANGES; i++)
		range_init(w, i, n_max, w->shadows + (uint64_t)i * n_max);
	if (n_brk)
		brk_init(w, w->shadows + (uint64_t)N_RANGES * n_max, n_brk);
	w->quiet.sh = w->shadows + (uint64_t)N_RANGES * n_max + n_brk;
	sync_init(w);
	worker_open_file(w);
	return w;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	self = w;
	w->tid = (int32_t)syscall(SYS_gettid);
	sync_thread_begin(w);
	while (torture.count ? w->n_ops < torture.count
			     : !__atomic_load_n(&torture.stop, __ATOMIC_RELAXED)) {
		op_run(w, 0);
		if (w->n_ops == torture.corrupt_at)
			memset(page_at(&w->ranges[3], 77), 0, PAGE);
	}
	__atomic_store_n(&w->op_name, "final check", __ATOMIC_RELAXED);
	__atomic_store_n(&w->op_start_ns, now_ns(), __ATOMIC_RELEASE);
	worker_verify_all(w);
	w->n_ops++; /* a step of its own for the watchdog */
	__atomic_store_n(&w->op_start_ns, 0, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- the watchdog --------------------------------------------------------------------------- */

/* Until all threads are done: time out, hang, and a signal to one of them now and then. */
static void watch(pthread_t *threads, uint64_t start_ns)
{
	const struct timespec nap = { .tv_nsec = SIGNAL_EVERY_NS };
	uint64_t x = torture.seed;

	for (uint32_t n_running = torture.n_threads; n_running;) {
		uint64_t now;

		nanosleep(&nap, NULL);
		monitor_beat();
		now = now_ns();
		if (now - start_ns > (uint64_t)torture.seconds * 1000000000ull)
			__atomic_store_n(&torture.stop, 1, __ATOMIC_RELAXED);
		n_running = 0;
		for (uint32_t i = 0; i < torture.n_threads; i++) {
			struct worker *w = torture.workers[i];
			uint64_t began = __atomic_load_n(&w->op_start_ns, __ATOMIC_ACQUIRE);

			n_running += began != 0;
			if (began && now > began &&
			    now - began > torture.hang_seconds * 1000000000ull)
				report_hang(w);
		}
		x = mix64(x);
		if (n_running == torture.n_threads)
			pthread_kill(threads[x % torture.n_threads], SIGUSR1);
	}
}

/* ---- main ----------------------------------------------------------------------------------- */

static void usage(void) __attribute__((noreturn));
static void usage(void)
{
	fprintf(stderr,
		"usage: torture [--threads N] [--seconds S | --count OPS] [--size BYTES] "
		"[--seed X]\n"
		"               [--ops LIST] [--mix Z,F,T,3,R] [--verbose] [--hang S] [--corrupt OPS]\n"
		"operations:");
	for (uint32_t i = 0; i < n_table; i++)
		fprintf(stderr, " %s=%u", table[i].op->name, table[i].op->weight);
	fprintf(stderr, "\n");
	exit(2);
}

static uint64_t size_of(const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);

	return *end == 'G' ? v << 30 : *end == 'M' ? v << 20 : *end == 'K' ? v << 10 : v;
}

static void options_read(int argc, char **argv)
{
	static const struct option options[] = {
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 'b' },
		{ "seed", required_argument, NULL, 'x' },
		{ "ops", required_argument, NULL, 'o' },
		{ "mix", required_argument, NULL, 'm' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "hang", required_argument, NULL, 'h' },
		{ "corrupt", required_argument, NULL, 'z' },
		{ NULL, 0, NULL, 0 },
	};
	uint32_t *m = torture.mix_pct;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			torture.n_threads = (uint32_t)atoi(optarg);
		else if (c == 's')
			torture.seconds = (uint32_t)atoi(optarg);
		else if (c == 'c')
			torture.count = strtoull(optarg, NULL, 10);
		else if (c == 'b')
			torture.size_bytes = size_of(optarg);
		else if (c == 'x')
			torture.seed = strtoull(optarg, NULL, 10);
		else if (c == 'o')
			table_select(optarg);
		else if (c == 'h')
			torture.hang_seconds = (uint32_t)atoi(optarg);
		else if (c == 'z')
			torture.corrupt_at = strtoull(optarg, NULL, 10);
		else if (c == 'v')
			torture.verbose = true;
		else if (c != 'm' ||
			 sscanf(optarg, "%u,%u,%u,%u,%u", m, m + 1, m + 2, m + 3, m + 4) != 5)
			usage();
	}
	if (optind != argc || !torture.n_threads || torture.n_threads > THREADS_MAX)
		usage();
	for (uint32_t i = 0; i < n_table; i++) {
		weight_all += table[i].weight;
		weight_simple += table[i].op->flags & OP_SIMPLE ? table[i].weight : 0;
	}
}

static void figures_print(uint64_t start_ns)
{
	uint64_t n_ops = 0, n_checked = 0, digest = 0;

	for (uint32_t i = 0; i < torture.n_threads; i++) {
		n_ops += torture.workers[i]->n_ops - 1;
		n_checked += torture.workers[i]->n_checked;
		digest ^= torture.workers[i]->digest * (i + 1);
	}
	for (uint32_t i = 0; torture.verbose && i < n_table; i++) {
		if (table[i].n_done)
			fprintf(stderr, "  %-12s %9lu times, %8.1f us each\n", table[i].op->name,
				table[i].n_done,
				(double)table[i].time_ns / 1000.0 / (double)table[i].n_done);
	}
	if (torture.verbose)
		fprintf(stderr, "  %.1f s\n", (double)(now_ns() - start_ns) / 1e9);
	printf("torture: OK seed=%lu ops=%lu pages=%lu digest=%016lx\n", torture.seed, n_ops,
	       n_checked, digest);
}

int main(int argc, char **argv)
{
	const uint64_t start_ns = now_ns();
	pthread_t threads[THREADS_MAX];
	uint32_t n_pages;

	table_fill();
	options_read(argc, argv);
	n_pages = (uint32_t)(torture.size_bytes / PAGE);
	if (n_pages / 8 * 7 / torture.n_threads < N_RANGES * 128) {
		fprintf(stderr, "torture: --size is too small for %u threads\n", torture.n_threads);
		return 2;
	}
	monitor_start();
	handlers_install();
	shared_init(n_pages / 8);
	for (uint32_t i = 0; i < torture.n_threads; i++)
		torture.workers[i] = worker_new(i, n_pages / 8 * 7 / torture.n_threads);
	for (uint32_t i = 0; i < torture.n_threads; i++) {
		torture.workers[i]->op_start_ns = now_ns();
		if (pthread_create(&threads[i], NULL, worker_main, torture.workers[i]))
			fatal("pthread_create: %s", strerror(errno));
	}
	watch(threads, start_ns);
	for (uint32_t i = 0; i < torture.n_threads; i++)
		pthread_join(threads[i], NULL);
	{
		const uint64_t n_checked = torture.workers[0]->n_checked;

		shared_verify_all(torture.workers[0]);
		torture.workers[0]->n_checked = n_checked;
	}
	figures_print(start_ns);
	return 0;
}
