/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run-options - the command line of `uswap run`
 *
 * Sizes are first kept as text: what a percentage means, and whether a size is sensible, is decided
 * in one place after all options are known, and each mistake is one line naming the option.
 */
#include "cli/run-options.h"

#include "base/size.h"
#include "cli/command.h"
#include "daemon/policy.h"
#include "daemon/worker.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

enum {
	KEY_STATS = 1000,
	KEY_STATS_INTERVAL,
	KEY_PLACEMENT,
	KEY_NO_READAHEAD,
	KEY_POOL,
	KEY_FILE,
	KEY_FILE_SIZE,
	KEY_FILE_DIR,
	KEY_ENCRYPT,
	KEY_POLICY,
	KEY_WRITE_RATE,
	KEY_WRITE_DAY,
};

#define FILE_DIR_DEFAULT "/var/tmp"

struct run_text {
	const char *limit;
	const char *resident;
	const char *pool;
	const char *file;
	const char *file_size;
	const char *file_dir;
	const char *policy;
	const char *write_rate;
	const char *write_day;
	bool encrypt;
	const char *stats;
	const char *stats_interval;
	const char *placement;
	bool no_readahead;
	bool quiet;
	char **argv;
};

static const struct argp_option run_argp_options[] = {
	{ NULL, 0, NULL, 0, "How much memory:", 1 },
	{ "limit", 'l', "SIZE", 0,
	  "The whole cost of the command in RAM: resident anonymous pages, their compressed copies "
	  "and what uswap needs to keep track of them",
	  0 },
	{ "resident", 'r', "SIZE", 0,
	  "At most this much resident; without --limit the compressed part is unlimited", 0 },
	{ "pool", KEY_POOL, "SIZE", 0, "At most this much compressed", 0 },
	{ NULL, 0, NULL, 0, "What does not fit goes to a file:", 2 },
	{ "file-size", KEY_FILE_SIZE, "SIZE", 0,
	  "Write cold pages, compressed, to a file of at most this size; alone: to one without a "
	  "name, that ends with the command",
	  0 },
	{ "file", KEY_FILE, "FILE", 0, "This file or block device; what is in it is lost", 0 },
	{ "file-dir", KEY_FILE_DIR, "DIR", 0,
	  "Where the unnamed file is made (default " FILE_DIR_DEFAULT ")", 0 },
	{ "encrypt", KEY_ENCRYPT, NULL, 0,
	  "Encrypt what is written, with a key that is nowhere but in memory", 0 },
	{ "policy", KEY_POLICY, "lru|fifo|size|none", 0,
	  "What is written first: the coldest (lru), the oldest, what compresses badly; or nothing",
	  0 },
	{ "write-rate", KEY_WRITE_RATE, "SIZE", 0, "Write at most this much per second", 0 },
	{ "write-day", KEY_WRITE_DAY, "SIZE", 0, "Write at most this much per day", 0 },
	{ NULL, 0, NULL, 0, "What you see:", 3 },
	{ "stats", KEY_STATS, "FILE", 0, "Write figures to FILE as JSON at the end", 0 },
	{ "stats-interval", KEY_STATS_INTERVAL, "SECS", 0, "Write them every SECS seconds as well",
	  0 },
	{ "quiet", 'q', NULL, 0, "No summary line at the end", 0 },
	{ NULL, 0, NULL, 0, "How it is done (the defaults are meant to be right):", 4 },
	{ "placement", KEY_PLACEMENT, "auto|follow|float", 0,
	  "CPU of the thread that serves faults: follow the faulting thread, float, or measure and "
	  "decide (auto)",
	  0 },
	{ "no-readahead", KEY_NO_READAHEAD, NULL, 0, "Bring back only the page asked for", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static const char run_argp_doc[] =
	"Run COMMAND with all its processes under a memory limit.\v"
	"SIZE is a number with K, M, G or T (powers of 1024): 256M, 1.5G; of memory it may be a "
	"percentage of this machine's: 25%.\n"
	"\n"
	"Examples:\n"
	"  uswap run --limit 256M -- redis-server --port 7777\n"
	"  uswap run --limit 25% --stats out.json -- python3 job.py\n"
	"  uswap run --resident 64M -- sort -S 1G big.txt\n"
	"  uswap run --limit 256M --file-size 8G -- python3 large.py\n"
	"\n"
	"The exit status is COMMAND's (128+N if signal N killed it); 125 if uswap itself failed, "
	"126 if COMMAND cannot be executed, 127 if it was not found.";

static error_t run_option_take(int key, char *arg, struct argp_state *state)
{
	struct run_text *text = state->input;

	switch (key) {
	case 'l':
		text->limit = arg;
		break;
	case 'r':
		text->resident = arg;
		break;
	case 'q':
		text->quiet = true;
		break;
	case KEY_POOL:
		text->pool = arg;
		break;
	case KEY_FILE:
		text->file = arg;
		break;
	case KEY_FILE_SIZE:
		text->file_size = arg;
		break;
	case KEY_FILE_DIR:
		text->file_dir = arg;
		break;
	case KEY_ENCRYPT:
		text->encrypt = true;
		break;
	case KEY_POLICY:
		text->policy = arg;
		break;
	case KEY_WRITE_RATE:
		text->write_rate = arg;
		break;
	case KEY_WRITE_DAY:
		text->write_day = arg;
		break;
	case KEY_STATS:
		text->stats = arg;
		break;
	case KEY_STATS_INTERVAL:
		text->stats_interval = arg;
		break;
	case KEY_PLACEMENT:
		text->placement = arg;
		break;
	case KEY_NO_READAHEAD:
		text->no_readahead = true;
		break;
	case ARGP_KEY_ARG:
		/* The command begins; whatever follows is its own. */
		text->argv = &state->argv[state->next - 1];
		state->next = state->argc;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static uint64_t machine_ram_bytes(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		return 0;
	return (uint64_t)info.totalram * info.mem_unit;
}

/* Of something that is not memory: no percentage, and as large as one likes. */
static int disk_option_parse(const char *option, const char *text, uint64_t *ret_bytes)
{
	if (!text)
		return 0;
	if (size_parse(text, 0, ret_bytes)) {
		fprintf(stderr,
			"uswap: %s %s: not a size; give a positive number with K, M, G or T, such "
			"as 512M or 8G\n",
			option, *text ? text : "''");
		return EXIT_OURS;
	}
	return 0;
}

/* Return: 0 or an exit status, after one line. */
static int size_option_parse(const char *option, const char *text, uint64_t *ret_bytes)
{
	uint64_t ram_bytes = machine_ram_bytes(), bytes;
	char ram[32], size[32];

	if (!text)
		return 0;
	if (size_parse(text, ram_bytes, &bytes)) {
		fprintf(stderr,
			"uswap: %s %s: not a size; give a positive number with K, M, G or T, or a "
			"percentage of RAM, such as 256M, 1.5G or 25%%\n",
			option, *text ? text : "''");
		return EXIT_OURS;
	}
	if (ram_bytes && bytes > ram_bytes) {
		size_format(ram, sizeof(ram), ram_bytes);
		size_format(size, sizeof(size), bytes);
		fprintf(stderr, "uswap: %s %s: %s is more than the RAM of this machine (%s)\n",
			option, text, size, ram);
		return EXIT_OURS;
	}
	*ret_bytes = bytes;
	return 0;
}

static int interval_parse(const char *text, uint32_t *ret_ms)
{
	double seconds;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	seconds = strtod(text, &end);
	if (errno || end == text || *end || !isfinite(seconds) || seconds < 0.01 ||
	    seconds > 86400) {
		fprintf(stderr,
			"uswap: --stats-interval %s: not a time between 0.01 and 86400 seconds\n",
			text);
		return EXIT_OURS;
	}
	*ret_ms = (uint32_t)(seconds * 1000.0);
	return 0;
}

static int placement_parse(const char *text, int *ret_placement)
{
	static const struct {
		const char *name;
		int placement;
	} names[] = {
		{ "auto", WORKER_PLACE_AUTO },
		{ "follow", WORKER_PLACE_FOLLOW },
		{ "float", WORKER_PLACE_FLOAT },
	};

	*ret_placement = WORKER_PLACE_AUTO;
	if (!text)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i].name, text)) {
			*ret_placement = names[i].placement;
			return 0;
		}
	}
	fprintf(stderr, "uswap: --placement %s: not one of auto, follow, float\n", text);
	return EXIT_OURS;
}

/* Below these the daemon's own tables would be most of the limit. */
#define LIMIT_LEAST (4u << 20)
#define LIMIT_LEAST_WITH_FILE (8u << 20)
#define RESIDENT_LEAST (1u << 20)

/* The limits among each other. */
static int sizes_check(const struct run_options *o)
{
	if (!o->limit_bytes && !o->resident_bytes) {
		fputs("uswap: no limit given: say how much memory the command may use, such as "
		      "--limit 256M or --limit 25%\n",
		      stderr);
		return EXIT_OURS;
	}
	if ((o->limit_bytes && o->limit_bytes < LIMIT_LEAST) ||
	    (o->resident_bytes && o->resident_bytes < RESIDENT_LEAST)) {
		fputs("uswap: the limit is too small: at least --limit 4M or --resident 1M\n",
		      stderr);
		return EXIT_OURS;
	}
	if (o->limit_bytes && o->resident_bytes > o->limit_bytes) {
		fputs("uswap: --resident is larger than --limit\n", stderr);
		return EXIT_OURS;
	}
	if (o->limit_bytes && o->pool_bytes > o->limit_bytes) {
		fputs("uswap: --pool is larger than --limit\n", stderr);
		return EXIT_OURS;
	}
	return 0;
}

static bool is_device(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode);
}

static int file_options_parse(struct run_options *o, const struct run_text *text)
{
	const uint64_t least_bytes = 4u << 20;
	bool any = text->file || text->file_size;
	int r;

	r = disk_option_parse("--file-size", text->file_size, &o->file_bytes);
	if (!r)
		r = disk_option_parse("--write-rate", text->write_rate, &o->write_rate_bytes);
	if (!r)
		r = disk_option_parse("--write-day", text->write_day, &o->write_day_bytes);
	if (r)
		return r;
	if (!any && (text->file_dir || text->encrypt || text->policy || text->write_rate ||
		     text->write_day)) {
		fputs("uswap: there is no file: say how large it may become, such as --file-size "
		      "8G\n",
		      stderr);
		return EXIT_OURS;
	}
	if (text->file && text->file_dir) {
		fputs("uswap: --file-dir is for a file without a name; --file names it\n", stderr);
		return EXIT_OURS;
	}
	if (text->file && !text->file_size && !is_device(text->file)) {
		fprintf(stderr, "uswap: --file %s: how large may it become? --file-size 8G\n",
			text->file);
		return EXIT_OURS;
	}
	if (o->file_bytes && o->file_bytes < least_bytes) {
		fputs("uswap: the file is too small: at least --file-size 4M\n", stderr);
		return EXIT_OURS;
	}
	if (any && o->limit_bytes && o->limit_bytes < LIMIT_LEAST_WITH_FILE) {
		fputs("uswap: the limit is too small for a file, whose buffers are in it: at least "
		      "--limit 8M\n",
		      stderr);
		return EXIT_OURS;
	}
	if (text->policy && !policy_find(text->policy)) {
		fprintf(stderr, "uswap: --policy %s: not one of lru, fifo, size, none\n",
			text->policy);
		return EXIT_OURS;
	}
	o->file_path = text->file;
	o->file_dir = text->file_dir ? text->file_dir : FILE_DIR_DEFAULT;
	o->encrypt = text->encrypt;
	o->policy = text->policy;
	return 0;
}

int run_options_parse(struct run_options *ret, int argc, char **argv)
{
	static const struct argp argp = { run_argp_options,
					  run_option_take,
					  "[--] COMMAND [ARG...]",
					  run_argp_doc,
					  NULL,
					  NULL,
					  NULL };
	struct run_options o = { .readahead = true };
	struct run_text text = { 0 };
	int r;

	argp_err_exit_status = EXIT_OURS;
	r = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &text);
	if (r) {
		fprintf(stderr, "uswap: %s\n", strerror(r));
		return EXIT_OURS;
	}

	r = size_option_parse("--limit", text.limit, &o.limit_bytes);
	if (!r)
		r = size_option_parse("--resident", text.resident, &o.resident_bytes);
	if (!r)
		r = size_option_parse("--pool", text.pool, &o.pool_bytes);
	if (!r)
		r = file_options_parse(&o, &text);
	if (!r)
		r = interval_parse(text.stats_interval, &o.stats_interval_ms);
	if (!r)
		r = placement_parse(text.placement, &o.placement);
	if (!r)
		r = sizes_check(&o);
	if (r)
		return r;
	if (text.stats_interval && !text.stats) {
		fputs("uswap: --stats-interval needs --stats FILE\n", stderr);
		return EXIT_OURS;
	}
	if (!text.argv) {
		fputs("uswap: no command given: uswap run --limit 256M -- COMMAND [ARG...]\n",
		      stderr);
		return EXIT_OURS;
	}
	o.stats_path = text.stats;
	o.readahead = !text.no_readahead;
	o.quiet = text.quiet;
	o.argv = text.argv;
	*ret = o;
	return 0;
}
