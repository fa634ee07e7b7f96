#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-shared - what forked children share with their parent is counted once, and stored once
. "$(dirname "$0")/lib.sh"
need python3
[ "$uswap" != plain ] || skip "nothing to do without uswap"

cat >"$work/family.py" <<'PY'
import os, time
memory = bytearray(os.urandom(1 << 20)) * 48
time.sleep(0.3)
for _ in range(5):
    if not os.fork():
        time.sleep(2)
        os._exit(memory[-1] != memory[(1 << 20) - 1])
print([os.wait()[1] for _ in range(5)])
PY
"$uswap" run --limit 160M --stats "$work/stats" -- python3 "$work/family.py" >"$work/out" 2>"$work/err" ||
	fail "exit status $?: $(cat "$work/err")"
[ "$(cat "$work/out")" = '[0, 0, 0, 0, 0]' ] || fail "$(cat "$work/out")"
python3 - "$work/stats" <<-'PY' || fail "48 MiB of a family of six do not fit into 160: $(cat "$work/err")"
	import json, sys
	stats = json.load(open(sys.argv[1]))
	sys.exit(stats["evictions"]["pages"] > 0 or stats["memory"]["peak_bytes"] > 160 << 20)
PY
echo "real-shared: family: $(cat "$work/err")"

# What has left is stored once for all who read it: of seven who each bring all of it back, again and again, each
# would have a copy of its own in the store when it leaves again. What one of them has changed is its own.
cat >"$work/readers.py" <<'PY'
import mmap, os, random
rng = random.Random(5)
pages = [rng.randbytes(1000) + bytes(3096) for _ in range(256)]
memory = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for i in range(len(memory) >> 12):
    memory[i << 12:(i + 1) << 12] = pages[i & 255]

def right(changed):
    for i in range(len(memory) >> 12):
        page = memory[i << 12:(i + 1) << 12]
        if changed and not i % 64:
            page = pages[i & 255][:7] + page[7:]
        if page != pages[i & 255]:
            return False
    return True

for child in range(6):
    if not os.fork():
        ok = right(False)
        if child == 3:
            for i in range(0, len(memory) >> 12, 64):
                memory[(i << 12) + 6] ^= 255
        ok = right(child == 3) and ok
        os._exit(not (right(child == 3) and ok))
print([os.wait()[1] for _ in range(6)], right(False))
PY
timeout 300 "$uswap" run --limit 48M --stats "$work/stats" -- python3 "$work/readers.py" >"$work/out" 2>"$work/err" ||
	fail "readers: exit status $?: $(cat "$work/err")"
[ "$(cat "$work/out")" = '[0, 0, 0, 0, 0, 0] True' ] || fail "readers: $(cat "$work/out")"
python3 - "$work/stats" <<-'PY' || fail "readers of the same 64 MiB are not held to 48: $(cat "$work/err")"
	import json, sys
	stats = json.load(open(sys.argv[1]))
	sys.exit(stats["memory"]["peak_bytes"] > 72 << 20)
PY
echo "real-shared: readers: $(cat "$work/err")"
