#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-machine - machines of other sizes than this one, as far as sysconf() can say so
. "$(dirname "$0")/lib.sh"
need python3
[ "$uswap" != plain ] || skip "nothing to do without uswap"
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
library=$test_bin/libphys-pages.so

on_machine() # PAGES COMMAND…
{
	local pages=$1

	shift
	PHYS_PAGES=$pages LD_PRELOAD=$library "$@"
}

gib=$((1 << 18))
for n in 1 511 512 4096 1048576; do
	on_machine $((n * gib)) "$uswap" run -q --limit 64M -- true || fail "$n GiB: says $?"
	on_machine $((n * gib)) "$uswap" run -q --limit 64M --file-size 64T --file-dir "$work" -- true ||
		fail "$n GiB and a large file: says $?"
done
echo "real-machine: 1 GiB to 1 PiB of RAM: right"

# Far more than four times its RAM can be out, where there is a file.
cat >"$work/fill.py" <<'PY'
import hashlib
blocks = [hashlib.shake_128(bytes([i])).digest(1 << 19) + bytes([i]) * (1 << 19) for i in range(240)]
print(hashlib.sha256(b"".join(hashlib.sha256(b).digest() for b in blocks)).hexdigest())
PY
plain=$(python3 "$work/fill.py")
got=$(on_machine 8192 "$uswap" run --limit 24M --file-size 1G --stats "$work/stats" -- python3 "$work/fill.py" \
	2>"$work/err") || fail "says $?: $(cat "$work/err")"
[ "$got" = "$plain" ] || fail "another result"
python3 -c "
import json, sys
m = json.load(open(sys.argv[1]))['memory']
sys.exit(m['peak_bytes'] > m['limit_bytes'] + (8 << 20))" "$work/stats" ||
	fail "the limit was not held: $(cat "$work/err")"
echo "real-machine: 240 MiB on a machine with 32: right"
