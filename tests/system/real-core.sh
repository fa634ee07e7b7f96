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
	if [ -n "$with_gcore" ]; then
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
	if [ -n "$with_core" ]; then
		core=$(find "$work/cores" -type f | head -n 1)
		[ -n "$core" ] || fail "the kernel wrote no core file"
		"$test_bin/victim" --core "$core" "$victim_addr" "$victim_pages" ||
			fail "the core file is not complete"
	fi
	rm -rf "$work"/gcore.* "$work/cores"/*
}

mkdir "$work/cores"
cd "$work/cores" || exit 1
with_core=1
with_gcore=1
pattern=$(cat /proc/sys/kernel/core_pattern)
case $pattern in
*[\|/]*)
	with_core=
	why="core files go elsewhere ($pattern)"
	;;
*)
	ulimit -c unlimited 2>/dev/null || { with_core=; why="core files are limited to $(ulimit -H -c) blocks"; }
	;;
esac
command -v gcore >/dev/null || with_gcore=
if [ -z "$with_core" ]; then
	ulimit -c 0
	echo "$test_name: not checked: the kernel's core file: $why" >&2
fi
[ -n "$with_gcore" ] || echo "$test_name: not checked: a core file of gcore, which is not installed" >&2
[ -n "$with_core$with_gcore" ] || skip "nothing makes a core file here"
modes "$(short_or_full 32 256)" core_run
