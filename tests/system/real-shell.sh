#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-shell - a script that starts 500 short processes: same output, and what it costs
#
# Pairs of runs, plain and managed in turn; the median of the ratios is printed. Above 1.1 is a
# warning, in the full form a failure: other work on the machine shows in here.
. "$(dirname "$0")/lib.sh"
need sh

cat >"$work/script" <<'SH'
i=0
while [ $i -lt 250 ]; do
	/bin/true
	/bin/echo "line $i" | { read -r a b; echo "$b $a"; }
	i=$((i + 1))
done
SH

modes 32 prefixed sh "$work/script"

pairs=$(short_or_full 5 11)
for ((i = 0; i < pairs; i++)); do
	for mode in plain limit; do
		run_set 128
		begin=${EPOCHREALTIME/./}
		${run[@]+"${run[@]}"} sh "$work/script" >/dev/null 2>&1 || fail "$mode"
		echo "$mode $((${EPOCHREALTIME/./} - begin))"
	done
done | awk '$1 == "plain" { p = $2 } $1 == "limit" { print $2 / p, p, $2 }' | sort -n >"$work/ratios"
median=$(sed -n "$((pairs / 2 + 1))p" "$work/ratios")
echo "$test_name: 500 processes: managed / plain = ${median%% *} (median of $pairs; us: ${median#* };" \
	"lowest $(head -n 1 "$work/ratios" | cut -d ' ' -f 1)," \
	"highest $(tail -n 1 "$work/ratios" | cut -d ' ' -f 1))"
awk -v r="${median%% *}" 'BEGIN { exit r > 1.1 }' ||
	{ echo "$test_name: above 1.1" >&2; [ "$full" != 1 ] || fail "too slow"; }
