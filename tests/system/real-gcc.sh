#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-gcc - gcc -O2 of a large generated file: the object file is the same
. "$(dirname "$0")/lib.sh"
need gcc awk

awk -v n="$(short_or_full 120 2500)" 'BEGIN {
	print "extern int sink(int, int);"
	for (i = 0; i < n; i++) {
		printf "static int f%d(int a, int b)\n{\n\tint t[16], s = %d;\n", i, i
		print "\tfor (int i = 0; i < 16; i++)\n\t\tt[i] = a * i + b;"
		for (k = 0; k < 8; k++)
			printf "\tif (a > %d)\n\t\ts += t[(b + %d) & 15] * %d;\n\telse\n\t\ts ^= sink(s, %d);\n", \
				(i * 7 + k) % 100, k, i % 31 + k, k
		print "\treturn s;\n}"
	}
	print "int all(int a);\nint all(int a)\n{\n\tint s = 0;"
	for (i = 0; i < n; i++)
		printf "\ts += f%d(a, s);\n", i
	print "\treturn s;\n}"
}' >"$work/big.c"

compile()
{
	prefixed gcc -O2 -w -c "$work/big.c" -o "$work/$mode.o" || return
	sha256sum <"$work/$mode.o"
}

modes "$(short_or_full 60 500)" compile
