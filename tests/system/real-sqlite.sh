#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-sqlite - a database in memory: insert, index, join, delete, integrity check
. "$(dirname "$0")/lib.sh"
need sqlite3

rows=$(short_or_full 80000 5000000)
cat >"$work/sql" <<SQL
PRAGMA temp_store = MEMORY;
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, part INTEGER, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
	INSERT INTO item SELECT i, 'name of item ' || (i * 7919 % $rows), i * 31 % 1009, i * 0.25 FROM n;
CREATE INDEX item_name ON item (name);
CREATE INDEX item_part ON item (part, value);
CREATE TABLE part AS SELECT part, count(*) AS n, sum(value) AS total FROM item GROUP BY part;
SELECT 'join', count(*), sum(item.value * part.n) FROM item JOIN part USING (part) WHERE item.id % 3 = 0;
UPDATE item SET name = name || ' changed' WHERE id % 17 = 0;
DELETE FROM item WHERE part % 5 = 2;
SELECT 'left', count(*), sum(id), sum(length(name)), min(name), max(name) FROM item;
SELECT 'order', id, name FROM item ORDER BY name DESC LIMIT 5 OFFSET 1000;
PRAGMA integrity_check;
SQL

sqlite_run()
{
	prefixed sqlite3 :memory: <"$work/sql"
}

modes "$(short_or_full 20 900)" sqlite_run
