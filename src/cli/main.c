/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * main - dispatch to the sub-commands
 *
 * Nothing is done here but finding the command; options belong to each command's own parser.
 */
#include "cli/command.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct command {
	const char *name;
	const char *title; /* what its parser calls itself */
	int (*main)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
	{ "run", "uswap run", run_command, "run a command under a memory limit" },
	{ "status", "uswap status", status_command,
	  "what a running daemon holds, as JSON or text" },
	{ "detach", "uswap detach", detach_command, "bring a process's pages home for good" },
	{ "policy", "uswap policy", policy_command, "change what goes to the swap file first" },
	{ "retire", "uswap retire", retire_command, "empty the swap file into memory" },
	{ "doctor", "uswap doctor", doctor_command, "check kernel, permissions and limits" },
};

static void usage_print(FILE *to)
{
	fputs("Usage: uswap COMMAND [OPTION...] [ARG...]\n"
	      "Puts unmodified programs under a memory limit without kernel swap.\n"
	      "\n"
	      "Commands:\n",
	      to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "  uswap run --limit 256M -- redis-server     an example\n"
	      "  uswap COMMAND --help                       options of one command\n"
	      "  uswap --version\n",
	      to);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static char help_option[] = "--help";
	const struct command *command;
	char *help_argv[3];

	if (argc < 2) {
		usage_print(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("uswap " USWAP_VERSION);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    (!strcmp(argv[1], "help") && argc == 2)) {
		usage_print(stdout);
		return EXIT_OK;
	}

	if (!strcmp(argv[1], "help")) {
		command = command_find(argv[2]);
		if (command) {
			help_argv[0] = (char *)command->title;
			help_argv[1] = help_option;
			help_argv[2] = NULL;
			return command->main(2, help_argv);
		}
		argv++;
	} else {
		command = command_find(argv[1]);
	}
	if (!command) {
		fprintf(stderr, "uswap: no such command: %s (uswap --help lists them)\n", argv[1]);
		return EXIT_USAGE;
	}
	argv[1] = (char *)command->title;
	return command->main(argc - 1, argv + 1);
}
