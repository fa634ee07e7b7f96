/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * command - the sub-commands of uswap
 *
 * Each is a main() of its own: argv[0] is "uswap NAME", the result is the exit status.
 */
#ifndef USWAP_CLI_COMMAND_H
#define USWAP_CLI_COMMAND_H

/* What uswap itself exits with; `uswap run` otherwise passes the program's status through. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_OURS = 125,	   /* run: uswap failed, not the program */
	EXIT_NOT_EXECUTABLE = 126, /* run: found, but cannot be executed */
	EXIT_NOT_FOUND = 127,	   /* run: no such command */
};

int run_command(int argc, char **argv);
int status_command(int argc, char **argv);
int detach_command(int argc, char **argv);
int policy_command(int argc, char **argv);
int retire_command(int argc, char **argv);
int doctor_command(int argc, char **argv);

#endif
