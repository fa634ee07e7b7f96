/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preload - the library that makes a program manageable, and programs that cannot take it
 */
#ifndef USWAP_CLI_PRELOAD_H
#define USWAP_CLI_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PRELOAD_NAME "libuswap-preload.so"
#define PRELOAD_PATH_BYTES 4096

enum {
	PRELOAD_E_NOT_FOUND = 1,
};

/* Return: 0 with the absolute path; PRELOAD_E_NOT_FOUND. */
int preload_find(char *ret_path, size_t n_bytes);

bool preload_is_elf(const char *path);

/* True if the file is, or is a script run by, an ELF program without a dynamic loader. */
bool preload_is_static(const char *path);

/* True if the process runs and its maps can be read, but the library is not among them, or does nothing. */
bool preload_is_missing(pid_t pid);

#endif
