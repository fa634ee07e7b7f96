#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-postgres - a large hash join in a server that gave up root after it was started
. "$(dirname "$0")/lib.sh"
need setpriv awk
PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)
need initdb postgres psql

rows=$(short_or_full 300000 5000000)
as_user=()
if [ "$(id -u)" = 0 ]; then
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	chmod 755 "$work"
	mkdir "$work/pg"
	chown 65534:65534 "$work/pg"
else
	mkdir "$work/pg"
fi

cat >"$work/sql" <<SQL
SET work_mem = '2GB';
SET hash_mem_multiplier = 1;
SET max_parallel_workers_per_gather = 0;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT 'join', count(*), sum(a.v * b.w), sum(length(a.t || b.t))
	FROM a JOIN b ON a.k = b.k;
SELECT 'groups', count(*), sum(n), max(s) FROM
	(SELECT k % 100003 AS g, count(*) AS n, sum(v) AS s FROM a GROUP BY 1) AS x;
EXPLAIN (COSTS OFF) SELECT count(*) FROM a JOIN b ON a.k = b.k;
SQL
cat >"$work/fill" <<SQL
CREATE TABLE a AS SELECT i AS k, i::bigint * 7919 % 1000 AS v, 'text of row ' || i::bigint * 31 % 50021 AS t
	FROM generate_series(1, $rows) AS i;
CREATE TABLE b AS SELECT i::bigint * 3 % $rows AS k, i % 97 AS w, 'other text ' || i || repeat('x', 100) AS t
	FROM generate_series(1, $rows) AS i;
ANALYZE;
SQL

sql()
{
	psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$work/pg" -U postgres postgres "$@"
}

postgres_run()
{
	local data=$work/pg/data server status

	rm -rf "$data"
	${as_user[@]+"${as_user[@]}"} initdb -D "$data" -U postgres -A trust -N \
		>"$work/initdb" 2>&1 || { cat "$work/initdb" >&2; fail "initdb"; }
	${run[@]+"${run[@]}"} ${as_user[@]+"${as_user[@]}"} postgres -D "$data" -k "$work/pg" \
		-c listen_addresses= -c shared_buffers=16MB -c fsync=off -c jit=off \
		-c max_connections=10 -c autovacuum=off >"$work/log.$mode" 2>&1 &
	server=$!
	pids+=("$server")
	wait_until 60 sql -c 'SELECT 1' || { cat "$work/log.$mode" >&2; fail "no answer"; }
	sql -f "$work/fill" || fail "filling"
	sql -f "$work/sql" || { cat "$work/log.$mode" >&2; fail "query"; }
	kill -INT "$(head -n 1 "$data/postmaster.pid")"
	wait "$server"
	status=$?
	grep '^uswap: ' "$work/log.$mode" >&2
	[ "$status" = 0 ] || { cat "$work/log.$mode" >&2; fail "postgres ended with $status"; }
}

modes "$(short_or_full 80 1000)" postgres_run
