#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-unshare - namespaces, and programs that give up root: the agent must be away for a moment
. "$(dirname "$0")/lib.sh"
need unshare setpriv
unshare -U -r true || skip "user namespaces are not allowed here"

snapshot=("$test_bin/fork-snapshot" "$(short_or_full 8 32)" 1 "$(short_or_full 7 1)")
need_mib=$(short_or_full 16 32)
managed "$need_mib" unshare -U -r "${snapshot[@]}"
managed "$need_mib" unshare -U -m -p -f -r "${snapshot[@]}"
if unshare -n true; then # abstract socket names are left behind
	managed "$need_mib" unshare -n "${snapshot[@]}"
	managed "$need_mib" unshare -U -r -n "${snapshot[@]}"
else
	echo "not checked: network namespaces are not allowed here"
fi
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups \
	test -x "$test_bin/fork-snapshot"; then
	managed "$need_mib" setpriv --reuid=65534 --regid=65534 --clear-groups "${snapshot[@]}"
fi
# A program that has grown, and is managed, before it asks for the namespace.
need python3
cat >"$work/late.py" <<'PYTHON'
import ctypes, hashlib, os, sys

blocks = [bytes([i % 251]) * 3000 + os.urandom(0) + str(i).encode() * 200 for i in range(6000)]
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000):
    print("unshare:", os.strerror(ctypes.get_errno()))
    sys.exit(1)
more = [block[::-1] for block in blocks]
print("late", hashlib.sha256(b"".join(blocks + more)).hexdigest())
PYTHON
managed 64 "$(python3 -c 'import sys; print(sys.executable)')" "$work/late.py"
