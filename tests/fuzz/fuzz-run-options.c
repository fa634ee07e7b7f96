// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * run_options_parse() on any command line, on a machine of 8 GiB.
 *
 * Input: the arguments, one a line.
 */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "fuzz.h"

#define RAM_BYTES (UINT64_C(8) << 30)
#define MAX_ARGS 64

static FILE *said;

static int fuzz_sysinfo(struct sysinfo *ret)
{
	*ret = (struct sysinfo){ .totalram = RAM_BYTES / 4096, .mem_unit = 4096 };
	return 0;
}

/* The file itself, with argp kept from ending the process and its lines kept from the terminal. */
#define argp_parse(a, c, v, f, i, in) (argp_parse)(a, c, v, (f) | ARGP_SILENT, i, in)
#define sysinfo(ret) fuzz_sysinfo(ret)
#undef stderr
#define stderr said
#include "cli/run-options.c"

struct args {
	char text[FUZZ_MAX_BYTES];
	char *argv[MAX_ARGS + 3];
	int argc;
};

/* @first goes before the input's own. */
static void args_make(struct args *a, const uint8_t *data, size_t n_bytes, char *first)
{
	static char name[] = "uswap run";
	char *at = a->text, *end;

	if (n_bytes > sizeof(a->text) - 1)
		n_bytes = sizeof(a->text) - 1;
	if (n_bytes)
		memcpy(a->text, data, n_bytes);
	a->text[n_bytes] = '\0';
	a->argc = 0;
	a->argv[a->argc++] = name;
	if (first)
		a->argv[a->argc++] = first;
	for (int n = 0; *at && n < MAX_ARGS; n++) {
		a->argv[a->argc++] = at;
		end = strchr(at, '\n');
		if (!end)
			break;
		*end = '\0';
		at = end + 1;
	}
	a->argv[a->argc] = NULL;
}

/* What the rest of `uswap run` takes for granted. */
static void check_accepted(const struct run_options *o, const struct args *a)
{
	int at = 1;

	while (at < a->argc && o->argv != &a->argv[at])
		at++;
	ASSERT(at < a->argc && at > 1); /* a limit stands before it */
	ASSERT(!a->argv[a->argc]);
	ASSERT(a->argv[at][0] != '-' || !a->argv[at][1] || !strcmp(a->argv[at - 1], "--"));

	ASSERT(o->limit_bytes || o->resident_bytes);
	ASSERT(o->limit_bytes <= RAM_BYTES && o->resident_bytes <= RAM_BYTES);
	ASSERT(o->pool_bytes <= RAM_BYTES);
	ASSERT(!o->limit_bytes || o->limit_bytes >= 4u << 20);
	ASSERT(!o->resident_bytes || o->resident_bytes >= 1u << 20);
	ASSERT(!o->limit_bytes || o->resident_bytes <= o->limit_bytes);
	ASSERT(!o->limit_bytes || o->pool_bytes <= o->limit_bytes);
	ASSERT(!o->stats_interval_ms || o->stats_path);
	ASSERT(!o->stats_interval_ms || o->stats_interval_ms >= 10);
	ASSERT(o->stats_interval_ms <= 86400000);
	ASSERT(o->placement == WORKER_PLACE_AUTO || o->placement == WORKER_PLACE_FOLLOW ||
	       o->placement == WORKER_PLACE_FLOAT);
}

/* One run; a mistake is told in one line, nothing else is. */
static int parse(struct run_options *ret, struct args *a)
{
	char *text = NULL;
	size_t n_bytes = 0;
	struct run_options before;
	int r;

	memset(ret, 0x5a, sizeof(*ret));
	before = *ret;
	said = open_memstream(&text, &n_bytes);
	ASSERT(said);
	r = run_options_parse(ret, a->argc, a->argv);
	fclose(said);
	if (r) {
		ASSERT(r == EXIT_OURS);
		ASSERT(!strncmp(text, "uswap: ", 7));
		ASSERT(strchr(text, '\n') == text + n_bytes - 1);
		ASSERT(!memcmp(ret, &before, sizeof(before)));
	} else {
		ASSERT(!n_bytes);
		check_accepted(ret, a);
	}
	free(text);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	static char quiet[] = "--quiet";
	static struct args plain, quieter;
	struct run_options o, q;

	args_make(&plain, data, n_bytes, NULL);
	args_make(&quieter, data, n_bytes, quiet);
	if (parse(&o, &plain)) {
		ASSERT(parse(&q, &quieter));
		return 0;
	}
	/* an option more, in front, changes what it says and nothing else */
	ASSERT(!parse(&q, &quieter));
	ASSERT(q.quiet);
	ASSERT(o.limit_bytes == q.limit_bytes && o.resident_bytes == q.resident_bytes);
	ASSERT(o.pool_bytes == q.pool_bytes && o.placement == q.placement);
	ASSERT(o.stats_interval_ms == q.stats_interval_ms && o.readahead == q.readahead);
	ASSERT(!strcmp(o.argv[0], q.argv[0]));
	return 0;
}
