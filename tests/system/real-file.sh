#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-file - the swap file from outside: retired, switched, read by a stranger, full, refused, orphaned
#
#   real-file.sh USWAP_BINARY [PART...]
. "$(dirname "$0")/lib.sh"
shift
need python3 pgrep
[ "$uswap" != plain ] || skip "nothing to do without uswap"
mode=file

ok()
{
	echo "real-file: $part: right"
}

file_figure() { # NAME: a figure of the file, of the daemon of the victim
	"$uswap" status --json "$victim_pid" >"$work/status" || fail "no status"
	python3 -c "import json,sys; print(json.load(open(sys.argv[1]))['file'][sys.argv[2]])" \
		"$work/status" "$1"
}

is_above() { [ "$(file_figure "$1")" -gt "$2" ]; }

victim_on_file()
{
	victim_start 96
	victim touch
	wait_until 20 is_above pages 500 || fail "nothing is in the file: $(cat "$work/status")"
}

part_retire()
{
	run=("$uswap" run --limit 20M --file-size 512M --)
	victim_on_file
	echo spin >&4
	"$uswap" retire "$victim_pid" || fail "retire says $?"
	[ "$(file_figure pages)" = 0 ] || fail "pages are left in the file"
	[ "$(file_figure live_bytes)" = 0 ] || fail "bytes are left in the file"
	kill -9 "$victim_pid" # it never stops by itself
	wait "$front"
	[ $? = 137 ] || fail "a wrong byte, or worse: $(cat "$work/err.victim")"
	exec 4>&- 5<&-
	ok
}

# Somebody overwrites a part of the file: what is lost keeps neither retire nor detach from their end.
part_damaged()
{
	run=("$uswap" run --limit 20M --file "$work/swap" --file-size 512M --)
	victim_on_file
	dd if=/dev/zero of="$work/swap" bs=1M seek=1 count=2 conv=notrunc status=none
	timeout 60 "$uswap" retire "$victim_pid" 2>"$work/err"
	[ $? = 1 ] || fail "retire does not say that pages are lost"
	grep -q 'cannot be read and are lost' "$work/err" || fail "no clear error: $(cat "$work/err")"
	[ "$(file_figure pages)" -gt 0 ] || fail "nothing was lost"
	timeout 60 "$uswap" detach "$victim_pid" || fail "detach says $?"
	echo check >&4
	wait "$front"
	[ $? = 135 ] || fail "not SIGBUS: $(cat "$work/err.victim")"
	exec 4>&- 5<&-
	ok
}

part_policy()
{
	run=("$uswap" run --limit 20M --file-size 512M --policy fifo --)
	victim_on_file
	[ "$(file_figure policy)" = fifo ] || fail "the policy is not the one asked for"
	"$uswap" policy "$victim_pid" none || fail "policy says $?"
	[ "$(file_figure policy)" = none ] || fail "the policy did not change"
	victim touch
	"$uswap" policy "$victim_pid" size || fail "policy says $?"
	victim touch
	victim check
	[ "$reply" = right ] || fail "$reply"
	"$uswap" policy "$victim_pid" best 2>"$work/err" && fail "a policy that does not exist is taken"
	grep -q 'no such policy: best' "$work/err" || fail "no clear error: $(cat "$work/err")"
	victim_stop
	ok
}

# What a stranger finds in the file while the program runs, and after.
# What may have been written when a bound was met: buffers were on their way.
rate_slack=$((6 << 20))

rate_run() # OPTION BOUND: sets written
{
	local i

	run=("$uswap" run --limit 20M --file-size 512M "$1" "$2" --)
	victim_start 96
	for i in 1 2 3; do
		victim touch
	done
	written=$(file_figure written_bytes)
}

rate_end()
{
	victim check
	[ "$reply" = right ] || fail "$reply"
	victim_stop
}

part_rate()
{
	local written ms

	rate_run --write-rate 2M
	ms=$(python3 -c "import json; print(json.load(open('$work/status'))['running_ms'])")
	[ "$written" -le $(((2 << 20) * (ms / 1000 + 1) + rate_slack)) ] ||
		fail "$written bytes were written in $ms ms"
	[ "$(file_figure held_back_by_rate)" -gt 0 ] || fail "the rate was never met"
	rate_end

	rate_run --write-day 4M
	[ "$written" -gt $((2 << 20)) ] || fail "only $written bytes were written"
	[ "$written" -le $(((4 << 20) + rate_slack)) ] || fail "$written bytes were written in a day"
	rate_end
	ok
}

part_secret()
{
	local file=$work/secret.img found option

	cat >"$work/secret.py" <<'PYTHON'
import os, sys, time

MARK = bytes((i * 73 + 11) % 251 for i in range(64))
pages = [bytearray(os.urandom(2000)) + MARK + os.urandom(2032) for i in range(12000)]
for turn in range(2):
    assert all(page[2000:2064] == MARK for page in pages)

def look():
    found = n_bytes = 0
    with open(sys.argv[1], "rb") as file:
        tail = b""
        while chunk := file.read(1 << 16):
            n_bytes += len(chunk) - chunk.count(0)
            found += (tail + chunk).count(MARK)
            tail = chunk[-63:]
    return found, n_bytes

# Until enough has been written to look at.
found, n_bytes = look()
end = time.monotonic() + 30
while (n_bytes <= 1000000 or not found and sys.argv[2] == "plain") and time.monotonic() < end:
    time.sleep(0.05)
    found, n_bytes = look()
assert all(page[2000:2064] == MARK for page in pages)
print(found, n_bytes)
PYTHON
	for option in "" --encrypt; do
		"$uswap" run --limit 24M --file "$file" --file-size 512M $option -- \
			python3 "$work/secret.py" "$file" "${option:-plain}" >"$work/out" 2>"$work/err.file" ||
			fail "exit status $?: $(cat "$work/err.file")"
		read -r found bytes <"$work/out"
		[ "$bytes" -gt 1000000 ] || fail "nothing was written: $(cat "$work/out")"
		if [ -z "$option" ]; then
			[ "$found" -gt 0 ] || fail "the test cannot see what is not encrypted"
		else
			[ "$found" = 0 ] || fail "$found marks can be read in the file"
		fi
		[ "$(stat -c %a "$file")" = 600 ] || fail "the file's mode is $(stat -c %a "$file")"
		[ "$(stat -c %s "$file")" = 0 ] || fail "the file has $(stat -c %s "$file") bytes after the end"
	done
	ok
}

part_refused()
{
	local said

	expect() # STATUS WORDS OPTION...
	{
		local status=$1 words=$2
		shift 2
		said=$("$uswap" run --limit 32M "$@" -- true 2>&1)
		[ $? = "$status" ] || fail "$*: not refused: $said"
		grep -q "$words" <<<"$said" || fail "$*: no clear error: $said"
		[ "$(wc -l <<<"$said")" = 1 ] || fail "$*: more than one error: $said"
	}

	mkdir "$work/dir"
	echo data >"$work/theirs"
	touch "$work/open"
	chmod 644 "$work/open"
	ln -s "$work/none" "$work/link"
	expect 125 'how large' --file "$work/new.img"
	expect 125 'not a size' --file-size 0
	expect 125 'not a size' --file-size much
	expect 125 'too small' --file-size 1M
	expect 125 'not one of' --file-size 64M --policy best
	expect 125 'there is no file' --encrypt
	expect 125 'cannot be used' --file "$work/dir" --file-size 64M
	expect 125 'cannot be used' --file "$work/theirs" --file-size 64M
	expect 125 'cannot be used' --file "$work/open" --file-size 64M
	expect 125 'cannot be used' --file "$work/link" --file-size 64M
	expect 125 'cannot be used' --file-dir "$work/nowhere" --file-size 64M
	[ "$(cat "$work/theirs")" = data ] || fail "a refused file was changed"
	run=("$uswap" run --limit 20M --file "$work/one.img" --file-size 256M --)
	victim_start 64
	expect 125 'cannot be used' --file "$work/one.img" --file-size 64M
	victim touch
	victim check
	[ "$reply" = right ] || fail "$reply"
	victim_stop
	ok
}

# The daemon is killed while pages lie in the file: nobody reads zeroes.
part_killed()
{
	local worker status

	run=("$uswap" run --limit 20M --file "$work/killed.img" --file-size 512M --)
	victim_on_file
	worker=$(pgrep -x uswap-worker -P "$front")
	echo spin >&4
	sleep 0.3
	kill -9 "$worker"
	wait "$front"
	status=$?
	read -r -t 10 reply <&5 && fail "the victim says: $reply"
	exec 4>&- 5<&-
	[ "$status" = 125 ] || fail "status $status"
	kill -0 "$victim_pid" 2>/dev/null && fail "the program runs on without its daemon"
	[ -e "$work/killed.img" ] || fail "the file is gone"
	"$uswap" run --limit 32M --file "$work/killed.img" --file-size 64M -- true ||
		fail "what a killed daemon left cannot be used again"
	ok
}

# A file that is too small: slower, reported, and right.
part_full()
{
	run=("$uswap" run --limit 20M --file-size 16M --)
	victim_start 192
	victim touch
	victim touch
	victim check
	[ "$reply" = right ] || fail "$reply"
	victim_stop
	grep -q 'cannot be held' "$work/err.victim" || fail "nothing says so: $(cat "$work/err.victim")"
	ok
}

# What is not held is 34 to 140 MiB above; a slow daemon on a busy machine is 9 above for some ms.
bounds_held() # WHICH MIB LOCKED ROUNDS MORE OPTION…: the figure WHICH stays at MIB or below
{
	local which=$1 mib=$2 locked=$3 rounds=$4 more=$5

	shift 5
	timeout 200 "$uswap" run --stats "$work/stats" "$@" -- \
		python3 "$work/bounds.py" "$locked" "$rounds" "$more" >"$work/out" 2>"$work/err" ||
		fail "$*: says $?: $(cat "$work/err")"
	python3 - "$work/stats" "$which" "$mib" <<-'PY' || fail "$*: not held: $(cat "$work/err")"
		import json, sys
		sys.exit(json.load(open(sys.argv[1]))["memory"][sys.argv[2]] > int(sys.argv[3]) << 20)
	PY
}

# The file takes what must leave, whatever else bounds the pool: --pool, locked memory, clean copies.
part_bounds()
{
	cat >"$work/bounds.py" <<-'PY'
		import ctypes, mmap, os, sys
		locked, rounds, more = (int(a) for a in sys.argv[1:])
		keep = []
		if locked:
		    memory = mmap.mmap(-1, locked << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
		    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
		    if ctypes.CDLL(None, use_errno=True).mlock(ctypes.c_void_p(at), ctypes.c_size_t(locked << 20)):
		        sys.exit(f"mlock: {os.strerror(ctypes.get_errno())}")
		def fill(mib):
		    for _ in range(mib * 256):
		        keep.append(os.urandom(1400) + bytes(2500))
		fill(192)
		for _ in range(rounds):
		    assert sum(len(k) + k[-1] for k in keep) == 3900 * len(keep)
		fill(more)
	PY
	bounds_held peak_bytes 64 0 0 0 --limit 48M --pool 10M --file-size 512M
	bounds_held peak_resident_bytes 56 0 0 0 --resident 40M --pool 12M --file-size 512M
	if [ "$EUID" = 0 ]; then
		bounds_held peak_bytes 80 32 0 0 --limit 64M --file-size 512M
	else
		echo "real-file: bounds: skipped: locked memory needs root" >&3
	fi
	bounds_held peak_resident_bytes 104 0 3 24 --resident 96M --pool 60M
	ok
}

# A disk that becomes full under the file.
part_disk()
{
	local dir=$work/small

	[ "$EUID" = 0 ] || { echo "real-file: disk: skipped: mounting needs root" >&3; return; }
	command -v mkfs.ext4 >/dev/null || { echo "real-file: disk: skipped: no mkfs.ext4" >&3; return; }
	mkdir "$dir"
	truncate -s 24M "$work/small.img"
	mkfs.ext4 -q -O ^has_journal "$work/small.img"
	mount -o loop "$work/small.img" "$dir" 2>/dev/null ||
		{ echo "real-file: disk: skipped: no loop device" >&3; return; }
	run=("$uswap" run --limit 20M --file-dir "$dir" --file-size 512M --)
	(
		victim_start 128
		victim touch
		victim touch
		victim check
		[ "$reply" = right ] || fail "$reply"
		wait_until 10 is_above disk_full 0 || fail "the disk was not full"
		victim_stop
	)
	local status=$?
	umount "$dir"
	[ "$status" = 0 ] || exit 1
	ok
}

for part in "${@:-retire damaged policy rate secret refused killed full disk bounds}"; do
	for part in $part; do
		: >"$work/err.victim"
		"part_$part"
	done
done
