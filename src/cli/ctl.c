/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ctl - `uswap status` and `uswap detach`: talk to a daemon that runs
 *
 * Daemons are found through the processes they manage, so no registry of them can go stale.
 */
#include "base/cleanup.h"
#include "base/size.h"
#include "cli/command.h"
#include "cli/control.h"

#include <argp.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uswap/protocol.h>

enum {
	KEY_JSON = 1000,
	STATUS_TIMEOUT_MS = 5000,
	DETACH_TIMEOUT_MS = 120000, /* gigabytes may have to come home */
	DAEMONS_MAX = 64,	    /* shown by a status without PID */
};

struct ctl_options {
	pid_t pid; /* 0: none given */
	bool json;
};

static error_t ctl_option_take(int key, char *arg, struct argp_state *state)
{
	struct ctl_options *o = state->input;
	char *end;
	long pid;

	switch (key) {
	case KEY_JSON:
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		pid = strtol(arg, &end, 10);
		if (o->pid || *end || end == arg || pid <= 0 || pid > INT_MAX)
			argp_error(state, "not one process id: %s", arg);
		o->pid = (pid_t)pid;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- status --------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t n_text = strlen(text), n_end = strlen(end);

	return n_text >= n_end && !strcmp(text + n_text - n_end, end);
}

static void value_print(const char *key, const json_t *value)
{
	char size[32];

	if (json_is_integer(value) && ends_with(key, "_bytes")) {
		size_format(size, sizeof(size), (uint64_t)json_integer_value(value));
		puts(size);
	} else if (json_is_integer(value) && ends_with(key, "_ns")) {
		printf("%.1f us\n", (double)json_integer_value(value) / 1000.0);
	} else if (json_is_string(value)) {
		puts(json_string_value(value));
	} else {
		json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
}

/* One figure a line, groups indented; what the daemon adds later is shown without being known. */
static void figures_print(json_t *json, int indent)
{
	const char *key;
	json_t *value, *item;
	size_t i;

	json_object_foreach(json, key, value)
	{
		if (json_is_object(value)) {
			printf("%*s%s:\n", indent, "", key);
			figures_print(value, indent + 2);
		} else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
			json_array_foreach(value, i, item)
			{
				printf("%*s%s %zu:\n", indent, "", key, i);
				figures_print(item, indent + 2);
			}
		} else {
			printf("%*s%-*s ", indent, "", 32 - indent, key);
			value_print(key, value);
		}
	}
}

static int status_print(const char *name, pid_t pid, bool json)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(closep) int fd = -1;
	json_t *root;
	int r;

	r = control_connect(name, &fd);
	if (!r)
		r = control_request_text(fd, USWAP_CTL_STATUS, pid, STATUS_TIMEOUT_MS, &text);
	if (r)
		return r;
	root = json_loads(text, 0, NULL);
	if (json && root) {
		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (json_is_object(root)) {
		figures_print(root, 0);
	} else {
		puts(text);
	}
	json_decref(root);
	return 0;
}

/* Names of all daemons whose programs we may look at. */
static size_t daemons_find(char (*ret_names)[CONTROL_NAME_BYTES], size_t n_max)
{
	DIR *proc = opendir("/proc");
	char name[CONTROL_NAME_BYTES];
	struct dirent *entry;
	size_t n = 0, i;

	while (proc && n < n_max && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)*entry->d_name) ||
		    control_find((pid_t)atoi(entry->d_name), name, sizeof(name)))
			continue;
		for (i = 0; i < n && strcmp(ret_names[i], name); i++)
			;
		if (i == n)
			strcpy(ret_names[n++], name);
	}
	if (proc)
		closedir(proc);
	return n;
}

static int status_all(bool json)
{
	static char names[DAEMONS_MAX][CONTROL_NAME_BYTES];
	size_t n = daemons_find(names, DAEMONS_MAX), n_shown = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (!json)
			printf("%sdaemon %s\n", n_shown ? "\n" : "", names[i]);
		r = status_print(names[i], 0, json);
		if (!r)
			n_shown++;
		else if (!json)
			puts(control_outcome(r));
	}
	if (!n)
		fputs("uswap: nothing runs under uswap\n", stderr);
	return n_shown ? EXIT_OK : EXIT_FAILED;
}

int status_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "json", KEY_JSON, NULL, 0, "Machine readable", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	static const struct argp argp = {
		options, ctl_option_take,
		"[PID]", "Show the figures of the daemon that manages PID, or of all daemons.",
		NULL,	 NULL,
		NULL
	};
	struct ctl_options o = { 0 };
	char name[CONTROL_NAME_BYTES];
	int r;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return EXIT_USAGE;
	if (!o.pid)
		return status_all(o.json);
	r = control_find(o.pid, name, sizeof(name));
	if (!r)
		r = status_print(name, o.pid, o.json);
	if (!r)
		return EXIT_OK;
	fprintf(stderr, "uswap: process %d: %s\n", (int)o.pid, control_outcome(r));
	return EXIT_FAILED;
}

/* ---- detach --------------------------------------------------------------------------------- */

int detach_command(int argc, char **argv)
{
	static const struct argp argp = {
		NULL,
		ctl_option_take,
		"PID",
		"Bring all pages of PID home and stop managing it.\v"
		"From then on the process counts with all its memory and has "
		"no limit; a core dump of it is complete.",
		NULL,
		NULL,
		NULL
	};
	struct ctl_options o = { 0 };
	_cleanup_(closep) int fd = -1;
	char name[CONTROL_NAME_BYTES];
	int r;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return EXIT_USAGE;
	if (!o.pid) {
		fputs("uswap: which process? uswap detach PID\n", stderr);
		return EXIT_USAGE;
	}
	r = control_find(o.pid, name, sizeof(name));
	if (!r)
		r = control_connect(name, &fd);
	if (!r)
		r = control_request(fd, USWAP_CTL_DETACH, o.pid, DETACH_TIMEOUT_MS);
	if (!r)
		return EXIT_OK;
	fprintf(stderr, "uswap: process %d: %s\n", (int)o.pid, control_outcome(r));
	return EXIT_FAILED;
}
