#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-sanitizer - programs that bring gcc's AddressSanitizer, which wants to be the first library of all
. "$(dirname "$0")/lib.sh"
need gcc

cat >"$work/program.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Is anything in the care of uswap? */
static int is_managed(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	int found = 0;
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "VmFlags:", 8) && strstr(line, " um");
	if (f)
		fclose(f);
	return found;
}

int main(int argc, char **argv)
{
	size_t n = (size_t)atoi(argv[argc - 1]) << 20, i;
	unsigned char *a = malloc(n), *b;
	unsigned long sum = 0;

	for (i = 0; i < n; i++)
		a[i] = (unsigned char)(i * 2654435761u >> 24);
	for (i = 0; getenv("USWAP_SOCKET") && i < 3000 && !is_managed(); i++)
		usleep(10000);
	b = malloc(n);
	memset(b, 3, n);
	for (i = 0; i < n; i++)
		sum = sum * 31 + a[i] + b[i];
	printf("%lx\n", sum);
	free(a);
	free(b);
	return 0;
}
C
gcc -O1 -fsanitize=address "$work/program.c" -o "$work/program" 2>"$work/gcc" ||
	skip "gcc has no AddressSanitizer here: $(head -n 1 "$work/gcc")"
ASAN_OPTIONS=detect_leaks=0
export ASAN_OPTIONS
mib=$(short_or_full 48 256)
managed $((mib * 2)) "$work/program" "$mib"
[ "$uswap" = plain ] || ! grep -q 'nothing was managed' "$work/err.limit" || fail "it was not managed"
