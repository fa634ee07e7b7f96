#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-daemon - a command that goes to the background while it is small is managed when it grows
. "$(dirname "$0")/lib.sh"
need python3
[ "$uswap" != plain ] || skip "nothing to do without uswap"

cat >"$work/daemon.py" <<'PY'
import hashlib, os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
time.sleep(1)  # the command has ended long since
pages = [hashlib.shake_128(i.to_bytes(4, "little")).digest(700) + bytes(3300) for i in range(20000)]
digest = hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in pages)).hexdigest()
time.sleep(0.5)
rss = [int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")][0]
with open(sys.argv[1] + ".new", "w") as f:
    print(digest, rss // 1024, file=f)
os.rename(sys.argv[1] + ".new", sys.argv[1])
PY

python3 "$work/daemon.py" "$work/plain" || fail "plain: exit status $?"
"$uswap" run --limit 32M -- python3 "$work/daemon.py" "$work/out" 2>"$work/err" || fail "exit status $?"
worker=$(sed -n 's/.*goes* on (daemon \([0-9]*\)).*/\1/p' "$work/err")
[ -n "$worker" ] || fail "nothing says that a process goes on: $(cat "$work/err")"
wait_until 60 test -e "$work/plain" || fail "plain: no result"
wait_until 60 test -e "$work/out" || fail "no result"
read -r digest _ <"$work/plain"
read -r got mib <"$work/out"
[ "$digest" = "$got" ] || fail "another result"
[ "$mib" -le 40 ] || fail "it was not managed: $mib MiB resident"
gone() { ! kill -0 "$1" 2>/dev/null; }
wait_until 10 gone "$worker" || fail "the daemon is still there"
echo "real-daemon: right, $mib MiB resident of 32 MiB"
