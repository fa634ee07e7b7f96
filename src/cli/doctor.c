/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * doctor - show every probe, and what to do about the failing ones
 *
 * Exit status: 0 if `uswap run` can work, 1 if not. Warnings do not count.
 */
#include "cli/command.h"
#include "cli/probe.h"

#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_JSON = 1000 };

static error_t doctor_option_take(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	switch (key) {
	case KEY_JSON:
		*json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "no argument expected: %s", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *state_name(enum probe_state state)
{
	static const char *const names[] = {
		[PROBE_OK] = "ok",
		[PROBE_WARN] = "warn",
		[PROBE_FAIL] = "FAIL",
	};

	return names[state];
}

static void table_print(const struct probe *probes, size_t n_probes)
{
	static const char *const colours[] = {
		[PROBE_OK] = "\033[32m",
		[PROBE_WARN] = "\033[33m",
		[PROBE_FAIL] = "\033[1;31m",
	};
	bool colour = isatty(STDOUT_FILENO);

	for (size_t i = 0; i < n_probes; i++) {
		const struct probe *p = &probes[i];

		printf("%s%-4s%s  %-17s %s\n", colour ? colours[p->state] : "",
		       state_name(p->state), colour ? "\033[0m" : "", p->name, p->detail);
		if (*p->advice)
			printf("      %-17s -> %s\n", "", p->advice);
	}
}

static int json_print(const struct probe *probes, size_t n_probes, bool usable)
{
	json_t *list = json_array(), *root;

	for (size_t i = 0; i < n_probes; i++) {
		const struct probe *p = &probes[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s}", "name", p->name, "state",
					p->state == PROBE_FAIL ? "fail" : state_name(p->state),
					"detail", p->detail, "advice", p->advice));
	}
	root = json_pack("{s:b, s:o}", "usable", usable, "checks", list);
	if (!root)
		return EXIT_FAILED;
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return 0;
}

int doctor_command(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "json", KEY_JSON, NULL, 0, "Machine readable", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	static const struct argp argp = { options,
					  doctor_option_take,
					  NULL,
					  "Check whether uswap can work here, and how well.\v"
					  "Exit status: 0 if uswap run can work, 1 if not.",
					  NULL,
					  NULL,
					  NULL };
	struct probe probes[PROBE_MAX];
	bool json = false, usable = true;
	size_t n_probes;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &json))
		return EXIT_USAGE;

	n_probes = probe_all(probes, PROBE_MAX, 0);
	for (size_t i = 0; i < n_probes; i++)
		usable = usable && probes[i].state != PROBE_FAIL;
	if (json) {
		if (json_print(probes, n_probes, usable))
			return EXIT_FAILED;
	} else {
		table_print(probes, n_probes);
		puts(usable ? "\nuswap run can work here."
			    : "\nuswap run cannot work here: see FAIL above.");
	}
	return usable ? EXIT_OK : EXIT_FAILED;
}
