/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-mem - one process that goes through all memory workloads of the benchmark
 *
 * The same binary runs under uswap, in a memory group above kernel swap, and alone. One JSON line
 * per phase on stdout. Exit status: 0; 1 bad usage or system error; 3 wrong data.
 *
 *	bench-mem --size 536870912 --phases fill,read-uniform,scan
 *	bench-mem --warm 2147483648	touch that much memory once, give it back, and end
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "bench-data.h"
#include "bench-phase.h"

enum { EXIT_USAGE = 1, EXIT_WRONG_DATA = 3 };

struct options {
	struct work work;
	char *phases;
	uint64_t warm_bytes;
	int cpu; /* -1: wherever the scheduler likes */
};

static const char usage_text[] =
	"usage: bench-mem [--size BYTES] [--phases LIST] [--ops N] [--passes N] [--threads N]\n"
	"                 [--max-seconds N] [--seed N] [--cpu N] [--warm BYTES]\n"
	"phases: fill scan verify read-uniform read-zipf read-threads write-uniform write-zipf\n";

static const struct option long_options[] = {
	{ "size", required_argument, NULL, 's' },
	{ "phases", required_argument, NULL, 'p' },
	{ "ops", required_argument, NULL, 'o' },
	{ "passes", required_argument, NULL, 'n' },
	{ "threads", required_argument, NULL, 't' },
	{ "seed", required_argument, NULL, 'e' },
	{ "max-seconds", required_argument, NULL, 'm' },
	{ "cpu", required_argument, NULL, 'c' },
	{ "warm", required_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static uint64_t number_parse(const char *text)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || end == text || *text == '-') {
		fprintf(stderr, "bench-mem: not a number: %s\n", text);
		exit(EXIT_USAGE);
	}
	return v;
}

static void usage_exit(int status)
{
	fputs(usage_text, status ? stderr : stdout);
	exit(status);
}

static void option_set(struct options *o, int c, char *value)
{
	switch (c) {
	case 's':
		o->work.n_pages = number_parse(value) / BENCH_PAGE_BYTES;
		break;
	case 'p':
		o->phases = value;
		break;
	case 'o':
		o->work.n_ops = number_parse(value);
		break;
	case 'n':
		o->work.n_passes = (uint32_t)number_parse(value);
		break;
	case 't':
		o->work.n_threads = (uint32_t)number_parse(value);
		break;
	case 'e':
		o->work.seed = number_parse(value);
		break;
	case 'm':
		o->work.max_ns = number_parse(value) * 1000000000u;
		break;
	case 'c':
		o->cpu = (int)number_parse(value);
		break;
	case 'w':
		o->warm_bytes = number_parse(value);
		break;
	default:
		usage_exit(c == 'h' ? 0 : EXIT_USAGE);
	}
}

static void options_parse(struct options *o, int argc, char **argv)
{
	static char all_phases[] = PHASE_DEFAULT_LIST; /* strtok_r() writes into it */
	int c;

	*o = (struct options){ .cpu = -1, .phases = all_phases };
	o->work.n_pages = (512u << 20) / BENCH_PAGE_BYTES;
	o->work.n_passes = 1;
	o->work.n_threads = 4;
	o->work.max_ns = UINT64_MAX;
	o->work.seed = 1;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		option_set(o, c, optarg);
	if (optind != argc || !o->work.n_pages || !o->work.n_threads)
		usage_exit(EXIT_USAGE);
	if (!o->work.n_ops)
		o->work.n_ops = o->work.n_pages;
}

/* Pages the hypervisor took back cost ten times as much at their next first touch. */
static int memory_warm(uint64_t n_bytes)
{
	char *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("bench-mem: warm");
		return EXIT_USAGE;
	}
	for (uint64_t at = 0; at < n_bytes; at += BENCH_PAGE_BYTES)
		*(volatile char *)(p + at) = 1;
	munmap(p, n_bytes);
	return 0;
}

static void result_print(const char *name, const struct phase_result *result)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("{\"phase\":\"%s\",\"ops\":%llu,\"seconds\":%.6f,\"us_per_op\":%.4f,", name,
	       (unsigned long long)result->n_ops, (double)result->elapsed_ns / 1e9,
	       result->n_ops ? (double)result->elapsed_ns / (double)result->n_ops / 1e3 : 0.0);
	hist_print_json(&result->latency);
	printf(",\"user_s\":%.3f,\"system_s\":%.3f}\n",
	       (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
	fflush(stdout);
}

static int phases_run(struct options *o)
{
	static struct phase_result result;
	char *save;

	for (char *name = strtok_r(o->phases, ",", &save); name;
	     name = strtok_r(NULL, ",", &save)) {
		int r = phase_run(&o->work, name, &result);

		if (r == PHASE_E_WRONG)
			return EXIT_WRONG_DATA;
		if (r) {
			fprintf(stderr, "bench-mem: phase %s: %s\n", name,
				r < 0 ? strerror(-r) : "unknown");
			return EXIT_USAGE;
		}
		result_print(name, &result);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o;
	cpu_set_t set;
	int r;

	options_parse(&o, argc, argv);
	if (o.warm_bytes)
		return memory_warm(o.warm_bytes);
	if (o.cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(o.cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			perror("bench-mem: cannot stay on that CPU, ignoring");
	}
	data_init(o.work.seed);
	r = work_init(&o.work);
	if (r) {
		fprintf(stderr, "bench-mem: no memory: %s\n", strerror(-r));
		return EXIT_USAGE;
	}
	r = phases_run(&o);
	work_deinit(&o.work);
	return r;
}
