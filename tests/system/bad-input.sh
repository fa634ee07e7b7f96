#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# bad-input - what `uswap run` does when it is used wrongly, refused, or hurt
#
#   bad-input.sh USWAP_BINARY [PART…]	parts: usage status signals unmanaged garbage killed client denied ulimit
#
# Every refusal is one line, says what to do, and leaves nothing behind: no process, no command run.
. "$(dirname "$0")/lib.sh"
[ "$uswap" != plain ] || skip "needs uswap itself"
shift
need pgrep python3
mode=resident
n_checks=0

ok()
{
	n_checks=$((n_checks + 1))
}

not_checked()
{
	echo "$test_name: not checked: $*" >&3
}

# expect STATUS PATTERN ARGS…: uswap run ARGS ends so, and stderr has a line that matches
expect()
{
	local want=$1 pattern=$2 status

	shift 2
	timeout "${TORTURE_HANG:-60}" "$uswap" run "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = "$want" ] ||
		{ cat "$work/err" >&3; fail "run $*: status $status, expected $want"; }
	[ -z "$pattern" ] || grep -q -i -E "$pattern" "$work/err" ||
		{ cat "$work/err" >&3; fail "run $*: nothing on stderr matches '$pattern'"; }
	ok
}

# As above, and the command must not have run and one line is enough.
refuse()
{
	rm -f "$work/marker"
	expect "$@" -- touch "$work/marker"
	[ ! -e "$work/marker" ] || fail "run ${*:3}: refused, but the command ran"
	[ "$(wc -l <"$work/err")" = 1 ] || { cat "$work/err" >&3; fail "run ${*:3}: not one line"; }
}

part_usage()
{
	local size

	for size in 0 0M -5M junk 10X "" 5MM 1e M 99999999999999999999G; do
		refuse 125 'not a size' --limit "$size"
		refuse 125 'not a size' --resident "$size"
	done
	refuse 125 'RAM' --limit 100T
	refuse 125 'RAM' --limit 400%
	refuse 125 'limit' # none given
	expect 125 'command' --limit 64M
	expect 127 'not found' --limit 64M -- no-such-command-anywhere
	expect 127 'not found' --limit 64M -- /no/such/path
	echo 'echo hi' >"$work/not-executable"
	expect 126 'cannot be executed|permission' --limit 64M -- "$work/not-executable"
	expect 126 'cannot be executed' --limit 64M -- "$work"
}

part_status()
{
	local status

	for status in 0 1 7 125 255; do
		expect "$status" '' --limit 64M -- sh -c "exit $status"
	done
	expect 143 '' --limit 64M -- sh -c 'kill -TERM $$'
	expect 137 '' --limit 64M -- sh -c 'kill -KILL $$'
	expect 139 '' --limit 64M -- sh -c 'ulimit -c 0; kill -SEGV $$'
	expect 134 '' --limit 64M -- sh -c 'ulimit -c 0; kill -ABRT $$'
	[ "$("$uswap" run --limit 64M -- echo a 'b  c' 2>/dev/null)" = 'a b  c' ] || fail "arguments"
	[ "$(echo text | "$uswap" run --limit 64M -- cat 2>/dev/null)" = text ] || fail "stdin"
	ok
}

part_signals()
{
	local name front status

	cat >"$work/signals.py" <<'PYTHON'
import signal, sys, time

block = bytearray(b"some memory to manage " * 400000)
for name in ("TERM", "INT", "USR1", "HUP"):
    signal.signal(getattr(signal, "SIG" + name), lambda n, _: (print("got", n, flush=True), sys.exit(n)))
print("ready", flush=True)
while True:
    time.sleep(0.05)
PYTHON
	for name in TERM INT USR1 HUP; do
		"$uswap" run --resident 16M -- python3 "$work/signals.py" >"$work/out" 2>"$work/err" &
		front=$!
		pids+=("$front")
		wait_until 20 grep -q ready "$work/out" || fail "no start: $(cat "$work/err")"
		kill -"$name" "$front"
		wait "$front"
		status=$?
		grep -q "got $(kill -l "$name")" "$work/out" || fail "SIG$name did not arrive"
		[ "$status" = "$(kill -l "$name")" ] || fail "SIG$name: status $status"
		ok
	done
}

part_unmanaged()
{
	if [ ! -x "$test_bin/hello-static" ]; then
		not_checked "a static program: $test_bin/hello-static is not built"
	else
		expect 0 'unmanaged' --limit 64M -- "$test_bin/hello-static"
		grep -q 'hello from' "$work/out" || fail "the static program did not run"
	fi
	# It is told a second after the start, or later: the program ends when it is.
	# shellcheck disable=SC2016 # the program's variable
	expect 0 'unmanaged' --limit 64M -- env -i PATH="$PATH" sh -c \
		'until grep -q unmanaged "$0"; do sleep 0.05; done' "$work/err"
	[ "$(grep -c unmanaged "$work/err")" = 1 ] || fail "more than one warning"
	! grep -q 'large enough' "$work/err" || fail "the last line says why, wrongly"
	expect 0 'inside of another' --limit 64M -- "$uswap" run -q --limit 32M -- true
}

# Everything a stranger may send: the victim goes on and has its pages.
part_garbage()
{
	local name

	run_set 64
	victim_start 64
	victim touch
	name=$(tr '\0' '\n' <"/proc/$victim_pid/environ" | sed -n 's/^USWAP_SOCKET=//p')
	[ -n "$name" ] || fail "no USWAP_SOCKET in the environment"
	python3 - "$name" "$victim_pid" <<'PYTHON' >&3 || fail "the garbage could not be sent"
import array, os, random, socket, struct, sys

name = sys.argv[1]
address = "\0" + name[1:] if name.startswith("@") else name
rng = random.Random(1)
victim = int(sys.argv[2])

def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(5)
    s.connect(address)
    return s

def send(packet, n_fds=0):
    s = connect()
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(n_fds)]
    try:
        s.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        s.settimeout(0.02)
        try:
            s.recv(10000)
        except OSError:
            pass
    except OSError:
        pass
    for fd in fds:
        os.close(fd)
    s.close()

for i in range(100):
    send(rng.randbytes(rng.randint(1, 9000)), rng.randint(0, 3) * (i % 3 == 0))
for kind in list(range(0, 20)) + list(range(60, 75)) + [0xffffffff]:
    for body in (b"", b"\0" * 200, b"\xff" * 200, rng.randbytes(200)):
        send(struct.pack("=II", kind, 8 + len(body)) + body)
        send(struct.pack("=II", kind, 0xffffffff) + body, 2)
# A hello with addresses of its own choosing, then descriptors that are no userfaultfds.
for start in (0, 4096, 2 ** 47 - 4096, 2 ** 64 - 4096):
    hello = struct.pack("=IIII", 1, 120, 1, 0) + struct.pack("=QQ", start, 2 ** 63) * 4
    hello += struct.pack("=QQ", start, start)
    s = connect()
    try:
        s.send(struct.pack("=II", 1, len(hello)) + hello[8:])
        s.settimeout(0.1)
        s.recv(10000)
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]
        s.sendmsg([struct.pack("=IIII", 3, 16, 2, 0)],
                  [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        s.recv(10000)
    except OSError:
        pass
    s.close()
open_ones = [connect() for _ in range(50)]
for s in open_ones:
    s.close()
PYTHON
	victim check
	[ "$reply" = right ] || fail "after garbage: $reply"
	victim touch
	victim check
	[ "$reply" = right ] || fail "after garbage and touching: $reply"
	victim_stop
	ok
}

# What the pipe at stdin holds at this moment; "end": nobody has its other end; "open": somebody has.
pipe_look()
{
	python3 -c '
import os
os.set_blocking(0, False)
try:
    print(os.read(0, 100).decode() or "end")
except BlockingIOError:
    print("open")'
}

# The daemon dies by kill -9 while its programs use their memory: when the front ends they are gone,
# every one of them, and none ever saw a page of zeroes (a victim that does ends with status 9 and says
# so). All of them hold the pipe that is read here: its end is the proof.
part_killed()
{
	local worker status round

	for round in 1 2 3; do
		run_set 64
		: >"$work/err.victim"
		victim_start 64
		victim touch
		if [ "$round" != 1 ]; then
			victim breed
			[ "$reply" = bred ] || fail "no orphan: $reply"
		fi
		worker=$(pgrep -x uswap-worker -P "$front")
		[ -n "$worker" ] || fail "no uswap-worker under process $front"
		[ "$round" = 3 ] || echo spin >&4
		sleep "0.$round"
		kill -9 "$worker"
		wait "$front"
		status=$?
		reply=$(pipe_look <&5)
		case $reply in
		end) ;;
		open) fail "a process of the command is alive after uswap has ended" ;;
		*) fail "the victim says: $reply" ;;
		esac
		exec 4>&- 5<&-
		[ "$status" = 125 ] || fail "the daemon was killed: status $status"
		grep -q 'the daemon died (signal 9)' "$work/err.victim" ||
			fail "no message: $(cat "$work/err.victim")"
		kill -0 "$victim_pid" 2>/dev/null && fail "the program runs on without its daemon"
		ok
	done
}

# Clients die at any moment; their neighbours must not notice.
part_client()
{
	cat >"$work/dying.sh" <<'SH'
for delay in 0.05 0.1 0.2 0.4 0.7 1; do
	"$1/torture" --threads 2 --seconds 60 --size 32M >/dev/null 2>&1 &
	pid=$!
	sleep $delay
	kill -9 $pid
	wait $pid 2>/dev/null
done
exec "$1/fork-snapshot" 16
SH
	expect 0 '' --resident 24M -- bash "$work/dying.sh" "$test_bin"
	grep -q 'fork-snapshot: OK' "$work/out" || fail "the neighbour: $(cat "$work/out" "$work/err")"
}

part_denied()
{
	if [ "$(id -u)" != 0 ]; then
		not_checked "what uswap says without rights: only root has some to give up"
		return
	fi
	if ! command -v setpriv >/dev/null || ! command -v prlimit >/dev/null; then
		not_checked "what uswap says without rights: setpriv or prlimit is not installed"
		return
	fi
	local copy=$work/bin/uswap caps=(--inh-caps=-all --bounding-set=-all) status

	mkdir "$work/bin"
	cp "$uswap" "$copy"
	chmod 755 "$work" "$work/bin" "$copy"
	setpriv --reuid=65534 --regid=65534 --clear-groups "${caps[@]}" "$copy" run --limit 64M -- \
		touch "$work/marker" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = 125 ] || { cat "$work/err" >&3; fail "without rights: status $status"; }
	grep -q -i -E 'root|capab|CAP_|userfaultfd|sudo' "$work/err" ||
		{ cat "$work/err" >&3; fail "without rights: not said what to do"; }
	[ ! -e "$work/marker" ] || fail "without rights: the command ran"
	[ "$(wc -l <"$work/err")" = 1 ] || { cat "$work/err" >&3; fail "without rights: not one line"; }
	ok
	prlimit --memlock=65536:65536 setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock \
		"$uswap" run --limit 64M -- touch "$work/marker" >"$work/out" 2>"$work/err"
	status=$?
	if [ "$status" = 125 ]; then # refused, or gone on with a warning: both say it
		[ ! -e "$work/marker" ] || fail "memlock: refused, but the command ran"
	elif [ "$status" != 0 ]; then
		cat "$work/err" >&3
		fail "memlock: status $status"
	fi
	grep -q -i -E 'memlock|lock' "$work/err" ||
		{ cat "$work/err" >&3; fail "memlock: nothing said"; }
	ok
	setpriv --inh-caps=-sys_ptrace --bounding-set=-sys_ptrace "$uswap" run --limit 64M -- \
		touch "$work/marker2" >"$work/out" 2>"$work/err"
	status=$?
	if [ "$status" != 125 ] || [ -e "$work/marker2" ] || ! grep -q -i ptrace "$work/err"; then
		cat "$work/err" >&3
		fail "without CAP_SYS_PTRACE: status $status"
	fi
	ok
}

run_in() # GROUP COMMAND…
{
	# shellcheck disable=SC2016
	timeout 60 bash -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' bash "$@" \
		>"$work/out" 2>"$work/err"
}

# Enough tasks for front, worker, program and agent, and none for the threads that the daemon starts with the
# first agent: the program runs on without being managed, which is said.
part_tasks()
{
	local group=/sys/fs/cgroup/pids most status

	[ -d "$group" ] || group=/sys/fs/cgroup
	group=$group/uswap-bad-input-$$
	if ! mkdir "$group" 2>/dev/null || ! echo 3 2>/dev/null >"$group/pids.max"; then
		rmdir "$group" 2>/dev/null
		not_checked "what uswap says without threads: there is no pids cgroup to be had"
		return
	fi
	for most in 3 4 5 6 7 8 9; do # a sanitizer has threads of its own
		echo "$most" >"$group/pids.max"
		run_in "$group" "$uswap" run --limit 16M -- true && break
	done
	echo $((most + 1)) >"$group/pids.max"
	run_in "$group" "$uswap" run --limit 16M -- "$test_bin/odd-memory" current 32
	status=$?
	rmdir "$group"
	[ "$status" = 0 ] || { cat "$work/err" >&3; fail "without threads: status $status"; }
	cmp "$work/out" <("$test_bin/odd-memory" current 32) || fail "without threads: another answer"
	grep -q 'no threads can be had' "$work/err" || { cat "$work/err" >&3; fail "without threads: not said"; }
	ok
}

# Limits of the shell are meant for the program: the daemon goes on, or says which it may not lift.
part_ulimit()
{
	local limits without=()

	command -v setpriv >/dev/null && without=(setpriv --bounding-set=-sys_resource)
	for limits in '-S -v 40000000' '-S -f 8192' '-f 65536'; do
		# shellcheck disable=SC2016,SC2086
		"${without[@]}" bash -c 'ulimit '"$limits"'; exec "$@"' bash "$uswap" run --resident 16M -- \
			"$test_bin/odd-memory" current 96 >"$work/out" 2>"$work/err" ||
			{ cat "$work/err" >&3; fail "ulimit $limits: status $?"; }
		cmp "$work/out" <("$test_bin/odd-memory" current 96) || fail "ulimit $limits: another answer"
		ok
	done
	grep -q 'ulimit -f holds for the daemon' "$work/err" || [ -z "${without[*]}" ] ||
		fail "nothing is said of a limit that stays"
	"${without[@]}" bash -c 'ulimit -v 300000; exec "$@"' bash "$uswap" run --limit 64M -- true \
		>"$work/out" 2>"$work/err"
	grep -q 'ulimit -v holds for the daemon' "$work/err" || [ -z "${without[*]}" ] ||
		fail "nothing is said of a limit that stays: $(cat "$work/err")"
	ok
}

for part in "${@:-usage status signals unmanaged garbage killed client denied ulimit tasks}"; do
	for one in $part; do
		n_before=$n_checks
		"part_$one"
		[ "$n_checks" = "$n_before" ] ||
			echo "$test_name: $one: right ($n_checks checks so far)"
	done
done
[ "$n_checks" != 0 ] || skip "nothing was checked"
