#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-odd-calls - calls answer as they do without uswap
. "$(dirname "$0")/lib.sh"
[ -x "$test_bin/odd-calls" ] || skip "$test_bin/odd-calls is not built"
[ "$EUID" = 0 ] || skip "real-time priority and setresuid() need root"

for what in files errors guards full; do
	"$test_bin/odd-calls" $what >"$work/plain" || fail "$what: plain: exit status $?"
	[ "$uswap" != plain ] || continue
	timeout 60 "$uswap" run -q --limit 32M -- "$test_bin/odd-calls" $what >"$work/out" 2>"$work/err" ||
		fail "$what: exit status $?: $(cat "$work/err")"
	diff "$work/plain" "$work/out" || fail "$what: another answer"
	echo "real-odd-calls: $what: right"
done
