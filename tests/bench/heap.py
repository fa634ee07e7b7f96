#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Python heap as programs have it: records in dicts, strings, lists, floats.

    heap.py MIB     builds about that much, prints "ready", checks it again when stdin closes
"""

import random
import sys

SYLLABLES = "ka ri to men sol da ver lin ga po tes ra mi nu el".split()
CITIES = ["Bergen", "Lyon", "Porto", "Gdansk", "Turku", "Split", "Cork", "Graz"]
BYTES_PER_RECORD = 1230  # measured with CPython 3.11


def name_make(rand):
    return "".join(rand.choice(SYLLABLES) for _ in range(3)).capitalize()


def record_make(rand, number):
    first, last = name_make(rand), name_make(rand)
    return {
        "id": number,
        "name": f"{first} {last}",
        "mail": f"{first}.{last}{rand.randrange(100)}@example.org".lower(),
        "city": rand.choice(CITIES),
        "score": rand.random(),
        "visits": [rand.randrange(1000) for _ in range(8)],
        "tags": {name_make(rand): rand.randrange(10) for _ in range(2)},
    }


def digest(records):
    total = 0
    for key, record in records.items():
        total = (total * 31 + key + record["id"] + sum(record["visits"])) % (1 << 61)
        total += len(record["name"]) + len(record["mail"])
    return total


def main():
    rand = random.Random(42)
    n_records = int(sys.argv[1]) * (1 << 20) // BYTES_PER_RECORD
    records = {i: record_make(rand, i) for i in range(n_records)}
    before = digest(records)
    print("ready", flush=True)
    sys.stdin.read()
    if digest(records) != before:
        sys.exit("heap.py: WRONG DATA")


if __name__ == "__main__":
    main()
