# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# lib - what the scripts of tests/system share
#
#   real-NAME.sh USWAP_BINARY       "plain" instead of a path: run everything without uswap
#
# Each script runs a program four times: plain, with --resident at a quarter of its need, with --limit at
# half of it, and with --limit at an eighth and a swap file; what it prints on stdout must be the same.
# USWAP_FULL=1 is the long form, USWAP_MODES="plain file" a choice.
# Exit status: 0 the same, 1 not, 77 something needed is missing (said on stderr).

set -u
export LC_ALL=C
exec 3>&2 # where failures are said, also from inside a run whose output is kept
mode=""

uswap=${1:?"usage: $0 USWAP_BINARY"}
test_name=$(basename "$0" .sh)
if [ "$uswap" != plain ]; then
	uswap=$(realpath "$uswap")
	[ -x "$uswap" ] || {
		echo "$test_name: $uswap is not there" >&2
		exit 77
	}
fi
# Programs built beside these scripts.
test_bin=${USWAP_TEST_BIN:-$(dirname "$uswap")/tests/system}
full=${USWAP_FULL:-0}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/uswap-$test_name-XXXXXX")
pids=()

clean_up()
{
	local pid

	for pid in ${pids[@]+"${pids[@]}"}; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	if [ -n "${USWAP_KEEP:-}" ]; then
		echo "$test_name: kept $work" >&2
	else
		rm -rf "$work"
	fi
}
trap clean_up EXIT
trap 'exit 1' INT TERM

fail()
{
	[ -z "$mode" ] || tail -n 30 "$work/out.$mode" "$work/err.$mode" >&3 2>/dev/null
	echo "$test_name: FAILED: ${mode:+$mode: }$*" >&3
	exit 1
}

skip()
{
	echo "$test_name: skipped: $*" >&3
	exit 77
}

need()
{
	local program

	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# short_or_full A B: A in the short form, B in the full one
short_or_full()
{
	if [ "$full" = 1 ]; then echo "$2"; else echo "$1"; fi
}

wait_until()	# SECONDS COMMAND…: until it succeeds
{
	local end=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# stats_get FILE NAME: the first figure of that name, at any depth
stats_get()
{
	python3 - "$1" "$2" <<'PYTHON'
import json, sys

def find(value, name):
    if isinstance(value, dict):
        if name in value:
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found = find(item, name)
            if found is not None:
                return found
    return None

print(find(json.load(open(sys.argv[1])), sys.argv[2]))
PYTHON
}

# What stands before a command in $mode, for a program that needs $1 MiB: sets the array run. Half of
# a small need would go into the daemon's buffers: the short form has them on top. With a file less than 8
# MiB is refused.
run_set()
{
	local buffers_mib file_mib

	buffers_mib=$(short_or_full 4 0)
	[ "$mode" != file ] || buffers_mib=$(short_or_full 8 2)
	file_mib=$(($1 / 8 + buffers_mib))
	[ "$file_mib" -ge 8 ] || file_mib=8
	run=()
	if [ "$mode" != plain ] && [ "$uswap" = plain ]; then
		return
	fi
	case $mode in
	plain) ;;
	resident) run=("$uswap" run --resident "$(($1 / 4))M" --stats "$work/stats.$mode" --) ;;
	limit) run=("$uswap" run --limit "$(($1 / 2 + buffers_mib))M" --stats "$work/stats.$mode" --) ;;
	file) run=("$uswap" run --limit "${file_mib}M" --file-size "$(($1 * 4))M"
		--stats "$work/stats.$mode" --) ;;
	*) fail "no mode $mode" ;;
	esac
}

# modes NEED_MIB COMMAND…: the command, or function, once per mode with run and mode set; then compare
# what each wrote to stdout.
modes()
{
	local need_mib=$1 begin status took_ms

	shift
	for mode in ${USWAP_MODES:-plain resident limit file}; do
		run_set "$need_mib"
		begin=${EPOCHREALTIME/./}
		"$@" >"$work/out.$mode" 2>"$work/err.$mode"
		status=$?
		took_ms=$(((${EPOCHREALTIME/./} - begin) / 1000))
		[ "$status" = 0 ] || fail "exit status $status after $took_ms ms"
		echo "$test_name: $mode: $took_ms ms${run[2]+, ${run[2]} ${run[3]}}" \
			"$(grep '^uswap: ' "$work/err.$mode" | tail -n 3)"
		[ "$mode" = plain ] || cmp "$work/out.plain" "$work/out.$mode" >&2 || {
			diff "$work/out.plain" "$work/out.$mode" | head -n 20 >&2
			fail "the output is not that of the plain run"
		}
	done
	mode=""
	echo "$test_name: the same in all runs: $(sha256sum <"$work/out.plain" | cut -c -16)," \
		"$(head -n 1 "$work/out.plain" | cut -c -100)"
}

# managed NEED_MIB COMMAND…: a command that is put under uswap as a whole
managed()
{
	local need_mib=$1

	shift
	modes "$need_mib" prefixed "$@"
}

# Nothing may hang for ever: a run that does is ended with its whole process group.
prefixed()
{
	timeout -k 10 "${USWAP_RUN_SECONDS:-$(short_or_full 240 3000)}" ${run[@]+"${run[@]}"} "$@"
}

# ---- a victim (victim.c) under the present mode ------------------------------------------------

# victim_start MIB: sets victim_pid, victim_addr, victim_pages and front (the process to wait for)
victim_start()
{
	[ -x "$test_bin/victim" ] || skip "$test_bin/victim is not built"
	rm -f "$work/to" "$work/from"
	mkfifo "$work/to" "$work/from"
	${run[@]+"${run[@]}"} "$test_bin/victim" "$1" <"$work/to" >"$work/from" 4>&- 5<&- \
		2>>"$work/err.victim" &
	front=$!
	pids+=("$front")
	exec 4>"$work/to" 5<"$work/from"
	local word

	word=
	read -r -t 60 word victim_pid victim_addr victim_pages <&5
	[ "$word" = ready ] || fail "the victim does not start: $(cat "$work/err.victim")"
}

# victim COMMAND…: sets reply
victim()
{
	echo "$*" >&4
	read -r -t 120 reply <&5 || fail "the victim does not answer to '$*'"
}

victim_stop()
{
	echo quit >&4
	exec 4>&- 5<&-
	wait "$front" || fail "the victim ended with $?: $(cat "$work/err.victim")"
}
