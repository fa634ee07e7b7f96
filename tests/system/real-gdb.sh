#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-gdb - a debugger attaches, reads and writes memory that is away, detaches
#
# A debugger's access fails while a page is not there; once a program is traced its pages come home,
# so the reads are repeated for a while. How often is said.
. "$(dirname "$0")/lib.sh"
need gdb

cat >"$work/script.py" <<'PYTHON'
import os, time

inferior = gdb.selected_inferior()
addr = int(os.environ["VICTIM_ADDR"], 16)
pages = int(os.environ["VICTIM_PAGES"])
failures = 0

def patiently(action):
    global failures
    end = time.time() + 30
    while True:
        try:
            return action()
        except gdb.MemoryError:
            failures += 1
            if time.time() > end:
                raise
            time.sleep(0.02)

for page in range(0, pages, pages // 50):
    at = addr + page * 4096
    data = bytes(patiently(lambda: inferior.read_memory(at, 4096)))
    print("read", page, hash(int.from_bytes(data[:64], "little")))
    patiently(lambda: inferior.write_memory(at + 800, (page + 7).to_bytes(8, "little")))
print("end", flush=True)
open(os.environ["VICTIM_NOTE"], "w").write("%d accesses failed at first\n" % failures)
PYTHON

gdb_run()
{
	local page

	victim_start "$(short_or_full 32 256)"
	victim touch
	victim away
	echo "$mode: $reply of $victim_pages pages" >&2
	VICTIM_ADDR=$victim_addr VICTIM_PAGES=$victim_pages VICTIM_NOTE=$work/note \
		timeout 120 gdb -nx -batch -p "$victim_pid" -ex "source $work/script.py" -ex detach \
		>"$work/gdb" 2>&1 || { cat "$work/gdb" >&2; fail "gdb ended with $?"; }
	grep -q '^end' "$work/gdb" || { cat "$work/gdb" >&2; fail "gdb did not get to its end"; }
	grep '^read' "$work/gdb"
	cat "$work/note" >&2
	victim check
	echo "$reply"
	for ((page = 0; page < victim_pages; page += victim_pages / 50)); do
		victim word "$page"
		echo "$page $reply"
	done
	victim_stop
}

modes "$(short_or_full 32 256)" gdb_run
grep -h -e away -e failed "$work"/err.*
