#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Programs under the preload library while nobody listens: each says what it says without it.
# Usage: agent-programs.sh LIBRARY. What is not installed is named and passed over.

library=$1
export USWAP_SOCKET=@uswap-test-nobody
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

# same NAME COMMAND…: output and exit status with and without the library
same()
{
	local name=$1 plain ours plain_status ours_status
	shift
	if ! command -v "$1" > /dev/null; then
		echo "skip $name: not installed"
		return
	fi
	plain=$("$@" 2>&1 < /dev/null)
	plain_status=$?
	for threshold in 0 4194304; do
		ours=$(LD_PRELOAD=$library USWAP_THRESHOLD=$threshold "$@" 2>&1 < /dev/null)
		ours_status=$?
		if [ "$plain" != "$ours" ] || [ $plain_status != $ours_status ]; then
			echo "FAIL $name ($plain_status, $ours_status): $plain | $ours"
			failed=1
			return
		fi
	done
	echo "ok   $name"
}

cat > "$dir/a.c" << 'END'
#include <stdio.h>
int main(void) { printf("%d\n", __GNUC__ > 3); return 7; }
END
cat > "$dir/A.java" << 'END'
public class A { public static void main(String[] a) throws Exception {
	Thread[] t = new Thread[8];
	for (int i = 0; i < 8; i++) (t[i] = new Thread(() -> { byte[] b = new byte[1 << 20]; b[5] = 1; })).start();
	for (Thread x : t) x.join();
	System.out.println("java " + t.length); } }
END
cat > "$dir/a.py" << 'END'
import hashlib, multiprocessing, os, subprocess, threading
def work(n):
    return hashlib.sha256(b"x" * n).hexdigest()
data = [str(i) * 3 for i in range(300000)]
threads = [threading.Thread(target=work, args=(100000,)) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(0, 50000, 10000)))
print(subprocess.check_output(["echo", "child"]), len(data))
print(subprocess.run(["id", "-u"], user=65534, stdout=subprocess.PIPE).stdout if os.getuid() == 0 else "")
END

same "bash" bash -c 'x=$(seq 1 1000 | sort -rn | head -3 | tr "\n" " "); echo "$x"; (exit 3)'
same "sh" sh -c 'for i in 1 2 3; do echo $i | cat; done; exit 5'
same "signals" bash -c 'trap "echo usr" USR1; kill -USR1 $$; (kill -TERM $BASHPID); echo $?'
same "python" python3 "$dir/a.py"
same "gcc" bash -c "gcc -O2 -o $dir/a $dir/a.c && $dir/a"
same "make" bash -c "printf 'all:\n\t@echo made\n' > $dir/Makefile; make -s -C $dir"
same "java" java -Xmx128m "$dir/A.java"
same "node" node -e 'let a=[];for(let i=0;i<3e5;i++)a.push({i});
	require("child_process").execFile("echo",["x"],(e,o)=>console.log(o.trim(),a.length))'
same "redis" bash -c "redis-server --port 0 --unixsocket $dir/s --save '' --daemonize no > /dev/null &
	pid=\$!; for i in \$(seq 200); do [ -S $dir/s ] && break; sleep 0.05; done
	redis-cli -s $dir/s set a b; redis-cli -s $dir/s get a; redis-cli -s $dir/s shutdown nosave
	wait \$pid; echo \$?; rm -f $dir/s"
same "setpriv" setpriv --reuid=65534 --regid=65534 --clear-groups id
same "unshare" unshare -U -r id -u
same "bwrap" bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all echo sandboxed
same "su" su -s /bin/sh nobody -c 'id -u'
same "gdb" bash -c "gdb -nx -q -batch -ex run -ex 'print 6 * 7' /bin/true 2>&1 | grep -E '= 42|exited normally' |
	sed 's/process [0-9]*/process/'"
same "strace" bash -c 'strace -f -e trace=none -o /dev/null sh -c "echo traced"'
same "perl" perl -e 'my $p = fork; if (!$p) { $< = $> = 65534; exit 4 } waitpid $p, 0; print $? >> 8'

exit $failed
