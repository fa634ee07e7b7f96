#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-core - after `uswap detach PID` a core file holds every page; and so does one made by gcore
. "$(dirname "$0")/lib.sh"

core_run()
{
	local core status

	victim_start "$(short_or_full 32 256)"
	victim touch
	victim away
	echo "$mode: $reply of $victim_pages pages" >&2
	if [ "$mode" != plain ] && [ "$uswap" != plain ]; then
		timeout 60 "$uswap" detach "$victim_pid" || fail "uswap detach: status $?"
	fi
	victim away
	echo "$reply"
	victim touch
	victim check
	echo "$reply"
	if command -v gcore >/dev/null; then
		timeout 120 gcore -o "$work/gcore" "$victim_pid" >"$work/gcore.log" 2>&1 ||
			{ cat "$work/gcore.log" >&2; fail "gcore"; }
		"$test_bin/victim" --core "$work/gcore.$victim_pid" "$victim_addr" "$victim_pages" ||
			fail "the file of gcore is not complete"
	fi
	echo abort >&4
	exec 4>&- 5<&-
	wait "$front"
	status=$?
	echo "status $status"
	core=$(find "$work/cores" -type f | head -n 1)
	if [ -n "$core" ]; then
		"$test_bin/victim" --core "$core" "$victim_addr" "$victim_pages" ||
			fail "the core file is not complete"
	fi
	rm -rf "$work"/gcore.* "$work/cores"/*
}

mkdir "$work/cores"
cd "$work/cores" || exit 1
ulimit -c unlimited
case $(cat /proc/sys/kernel/core_pattern) in
*[\|/]*) ulimit -c 0 ;; # goes elsewhere: only gcore is looked at
esac
modes "$(short_or_full 32 256)" core_run
