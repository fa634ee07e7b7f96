#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-redis - DEBUG DIGEST, redis-benchmark, BGSAVE: the digests of all runs and of the saved file agree
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli redis-benchmark python3

mib=$(short_or_full 30 600)
sock=$work/redis.sock

cat >"$work/load.py" <<'PYTHON'
# Commands for redis-cli --pipe: strings, hashes and lists of mixed compressibility, $1 MiB of values.
import random, sys

rng = random.Random(7)
words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(2000)]
parts = [b" ".join(rng.choices(words, k=25)) for _ in range(3000)]
parts += [rng.randbytes(150) for _ in range(1000)]
out = sys.stdout.buffer
todo = int(sys.argv[1]) << 20
i = 0

def command(*args):
    out.write(b"*%d\r\n" % len(args))
    for arg in args:
        out.write(b"$%d\r\n%b\r\n" % (len(arg), arg))

while todo > 0:
    value = b"%d:" % i + b"".join(rng.choices(parts, k=rng.randint(1, 8)))
    kind = i % 10
    if kind < 6:
        command(b"SET", b"string:%d" % i, value)
    elif kind < 8:
        command(b"HSET", b"hash:%d" % (i // 100), b"field:%d" % i, value)
    else:
        command(b"RPUSH", b"list:%d" % (i // 500), value)
    todo -= len(value)
    i += 1
    if i % 13 == 0:
        command(b"DEL", b"string:%d" % (i // 2))
PYTHON

cli()
{
	redis-cli -s "$sock" "$@"
}

answers()
{
	[ "$(cli ping)" = PONG ] # and not LOADING, which is no error either
}

# server_start DIR PREFIX…
server_start()
{
	local dir=$1

	shift
	mkdir -p "$dir"
	"$@" redis-server --port 0 --unixsocket "$sock" --save "" --appendonly no --dir "$dir" \
		--enable-debug-command local --daemonize no --loglevel warning \
		>"$dir/log" 2>&1 &
	server=$!
	pids+=("$server")
	wait_until 60 answers || { cat "$dir/log" >&2; fail "redis-server does not answer"; }
}

server_stop()
{
	cli shutdown nosave >/dev/null 2>&1
	wait "$server"
	local status=$?

	grep '^uswap: ' "$1/log" >&2
	[ "$status" = 0 ] || { cat "$1/log" >&2; fail "redis-server ended with $status"; }
}

saved()
{
	cli info persistence | grep -q 'rdb_bgsave_in_progress:0'
}

redis_run()
{
	local dir=$work/db.$mode before after loaded

	server_start "$dir" env ${run[@]+"${run[@]}"}
	python3 "$work/load.py" "$mib" | cli --pipe >"$dir/pipe" || fail "loading: $(cat "$dir/pipe")"
	grep -q 'errors: 0' "$dir/pipe" || fail "loading: $(cat "$dir/pipe")"
	before=$(cli debug digest)
	redis-benchmark -s "$sock" --dbnum 1 -q -n "$(short_or_full 20000 100000)" -r 20000 -d 400 -c 20 \
		-t set,get,lpush,hset,lrange_100 >"$dir/benchmark" 2>&1 || fail "redis-benchmark"
	tr '\r' '\n' <"$dir/benchmark" | grep requests | sed "s/^/$mode: /" >&2
	cli -n 1 flushdb >/dev/null
	cli bgsave >/dev/null || fail "bgsave"
	# while the child saves, the parent goes on writing
	redis-benchmark -s "$sock" --dbnum 1 -q -n 5000 -r 20000 -d 400 -t set >/dev/null 2>&1
	wait_until 300 saved || fail "bgsave does not end"
	[ "$(cli info persistence | tr -d '\r' | sed -n 's/^rdb_last_bgsave_status://p')" = ok ] ||
		{ cat "$dir/log" >&2; fail "bgsave failed"; }
	cli -n 1 flushdb >/dev/null
	after=$(cli debug digest)
	[ "$before" = "$after" ] || fail "digest $before became $after"
	server_stop "$dir"

	# a plain server reads the file
	server_start "$dir" env
	cli -n 1 flushdb >/dev/null # what the benchmark wrote before the snapshot was taken
	loaded=$(cli debug digest)
	server_stop "$dir"
	[ "$loaded" = "$before" ] || fail "digest $before, of the saved file $loaded"
	echo "digest $before"
}

modes $((mib * 3 / 2)) redis_run
