#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pages that compress three times, whatever the codec: a third is random, the rest zeroes.

    pages.py MIB    fills that much, prints "ready", checks some of them when stdin closes
"""

import mmap
import random
import sys

PAGE = 4096
RANDOM_BYTES = 1300
N_BANK = 64
CHECK_STEP = 997


def main():
    rand = random.Random(42)
    bank = [rand.randbytes(RANDOM_BYTES) for _ in range(N_BANK)]
    n_pages = int(sys.argv[1]) * (1 << 20) // PAGE
    memory = mmap.mmap(-1, n_pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def page(i):
        return i.to_bytes(8, "little") + bank[i % N_BANK]

    for i in range(n_pages):
        memory[i * PAGE : i * PAGE + 8 + RANDOM_BYTES] = page(i)
    print("ready", flush=True)
    sys.stdin.read()
    for i in range(0, n_pages, CHECK_STEP):
        if memory[i * PAGE : i * PAGE + 8 + RANDOM_BYTES] != page(i):
            sys.exit(f"pages.py: WRONG DATA in page {i}")


if __name__ == "__main__":
    main()
