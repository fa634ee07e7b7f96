/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run-options - the command line of `uswap run`, parsed and checked against this machine
 *
 * Ownership: strings and argv are borrowed from main()'s argv.
 */
#ifndef USWAP_CLI_RUN_OPTIONS_H
#define USWAP_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct run_options {
	uint64_t limit_bytes;	 /* 0: none given, --resident alone */
	uint64_t resident_bytes; /* 0: the controller decides */
	uint64_t pool_bytes;	 /* 0: the controller decides */
	const char *file_path;	 /* swap file or device; NULL: an unnamed one if .file_bytes */
	const char *file_dir;
	uint64_t file_bytes; /* 0: no file, or as large as the device */
	bool encrypt;
	const char *policy;	    /* name, checked */
	uint64_t write_rate_bytes;  /* per second; 0: no bound */
	uint64_t write_day_bytes;   /* per day; 0: no bound */
	const char *stats_path;	    /* NULL: none */
	uint32_t stats_interval_ms; /* 0: once, at the end */
	int placement;		    /* enum of daemon/worker.h */
	bool readahead;
	bool quiet;  /* no summary line, no warnings about unmanaged programs */
	char **argv; /* command and its arguments, NULL terminated */
};

/*
 * Parse and check. Prints one line and returns an exit status when the user made a mistake; ends the
 * process for --help, as argp does. Return: 0 or the exit status.
 */
int run_options_parse(struct run_options *ret, int argc, char **argv);

#endif
