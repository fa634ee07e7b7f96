#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-sort - GNU sort with everything in memory
. "$(dirname "$0")/lib.sh"
need sort awk

mib=$(short_or_full 12 500)
awk -v mib="$mib" 'BEGIN {
	srand(3)
	for (n = 0; n < mib * 1048576; n += length(line) + 1) {
		line = sprintf("%09d %s %d %s", rand() * 1e9, "some text that repeats", rand() * 1e6, "and ends")
		print line
	}
}' >"$work/in"

sorted()
{
	prefixed sort -S $((mib * 4))M --parallel=2 -o "$work/sorted" "$work/in" || return
	sha256sum <"$work/sorted"
}

modes $((mib * 7 / 3)) sorted
