#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-python - large dicts, processes that share them by fork, growth far beyond the limit
. "$(dirname "$0")/lib.sh"
need python3
python=$(python3 -c 'import sys; print(sys.executable)')

cat >"$work/dicts.py" <<'PYTHON'
import hashlib, random, sys

n = int(sys.argv[1])
rng = random.Random(5)
table = {i: (f"name-{i}", [rng.random() for _ in range(4)], {"k": i % 97}) for i in range(n)}
for i in rng.sample(range(n), n // 4):
    table[i] = (table[i][0] * 3, [x * 2 for x in table[i][1]], {"new": i})
for i in rng.sample(range(n), n // 8):
    table.pop(i)
digest = hashlib.sha256()
for i in rng.sample(sorted(table), len(table)):
    digest.update(repr(table[i]).encode())
print("dicts", len(table), digest.hexdigest())
PYTHON
cat >"$work/fork.py" <<'PYTHON'
import hashlib, multiprocessing, random, sys

n = int(sys.argv[1])
rng = random.Random(6)
table = [f"{i}:{rng.random()}" * 3 for i in range(n)]

def work(part):
    digest = hashlib.sha256()
    own = {}
    for i in range(part, n, 8):
        digest.update(table[i].encode())
        own[i] = table[i] + "x"
    for i in own:
        digest.update(own[i].encode())
    return part, digest.hexdigest()

context = multiprocessing.get_context("fork")
for turn in range(2):
    with context.Pool(4) as pool:
        for part, text in pool.map(work, range(8)):
            print("fork", turn, part, text)
    table = [text[1:] + text[0] for text in table]
print("fork", hashlib.sha256("".join(table).encode()).hexdigest())
PYTHON
cat >"$work/outgrow.py" <<'PYTHON'
# As fast as it can to four times the limit, and back over all of it.
import hashlib, random, sys

rng = random.Random(8)
few = ["%06x" % rng.getrandbits(24) for _ in range(100)]
words = rng.choices(few, k=5000)
base = " ".join(words).encode()[:32768]
blocks = []
for i in range(int(sys.argv[1]) * 32):
    blocks.append(bytearray(base))
    blocks[-1][:8] = i.to_bytes(8, "little")
digest = hashlib.sha256()
for i, block in enumerate(blocks):
    assert int.from_bytes(block[:8], "little") == i
    digest.update(block[:512])
print("outgrow", len(blocks), digest.hexdigest())
PYTHON

managed "$(short_or_full 30 1200)" "$python" "$work/dicts.py" "$(short_or_full 30000 2000000)"
managed "$(short_or_full 72 600)" "$python" "$work/fork.py" "$(short_or_full 60000 3000000)"
managed "$(short_or_full 72 1024)" "$python" "$work/outgrow.py" "$(short_or_full 128 2048)"
# It cannot be held, and the reason given is the right one.
if [ -e "$work/err.limit" ] && [ "$full" != 1 ]; then
	grep -q 'cannot be held: the data does not compress enough' "$work/err.limit" ||
		fail "outgrow under --limit: no reason, or the wrong one: $(cat "$work/err.limit")"
fi

# Mapped, filled and unmapped again and again, and then more than before: what has gone hides nothing new.
cat >"$work/refill.py" <<'PYTHON'
import mmap, sys

def fill(mib):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, mib << 20, 4096):
        m[page:page + 16] = b"%016d" % page
    return m

for i in range(6):
    fill(int(sys.argv[1])).close()
m = fill(int(sys.argv[2]))
print("refill", sum(m[page] for page in range(0, len(m), 4096)))
PYTHON
managed 120 "$python" "$work/refill.py" 60 160
if [ "$uswap" != plain ] && [ -s "$work/stats.limit" ]; then
	over=$(stats_get "$work/stats.limit" peak_over_bytes)
	[ "$over" -le $((8 << 20)) ] || fail "refill: $over bytes above the limit"
fi
