#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-musl - a dynamically linked program of another C library runs as it does without us, by itself and
# from a shell that is managed
. "$(dirname "$0")/lib.sh"
need musl-gcc

cat >"$work/program.c" <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *thread_main(void *arg)
{
	return memset(arg, 7, 32 << 20);
}

int main(void)
{
	char *bytes = malloc(32 << 20);
	pthread_t thread;
	pid_t child;
	int status;

	pthread_create(&thread, NULL, thread_main, bytes);
	pthread_join(thread, NULL);
	madvise(bytes, 4096, MADV_WILLNEED);
	child = fork();
	if (!child)
		_exit(bytes[100]);
	waitpid(child, &status, 0);
	printf("musl %d %d\n", bytes[32 << 10], WEXITSTATUS(status));
	return 0;
}
C
musl-gcc -O1 "$work/program.c" -o "$work/program" || fail "it does not compile"
USWAP_MODES="plain limit"
managed 16 "$work/program"
managed 16 sh -c "'$work/program'; '$work/program'"
[ "$uswap" = plain ] || grep -q 'nothing was managed, though' "$work/err.limit" || fail "no word about it"
