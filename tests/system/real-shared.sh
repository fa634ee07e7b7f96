#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-shared - what forked children share with their parent is counted once
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
echo "real-shared: right: $(cat "$work/err")"
