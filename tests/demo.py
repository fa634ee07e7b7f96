#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Show uswap at work: the same Python program plain, and with half of the memory it needs.

    tests/demo.py USWAP        run both, compare what they computed
    tests/demo.py --work       the program itself
"""

import hashlib
import random
import subprocess
import sys
import time

DOCUMENTS = 60_000
SENTENCES = 2_000
WORDS = "page slot entry pool agent stage trash gate fault drain limit zone ladder segment".split()


def work():
    """Build a few hundred MB of objects, work on some of them, digest them all."""
    rng = random.Random(7)
    sentences = [f'<p class="sentence" data-source="catalogue">{" ".join(rng.choices(WORDS, k=6))} {n}</p>'
                 for n in range(SENTENCES)]
    documents = [{"id": i, "text": "\n".join(rng.choices(sentences, k=40)), "reads": 0}
                 for i in range(DOCUMENTS)]
    print("built", len(documents), "documents", flush=True)
    # Like most programs: some are in use all the time, most hardly ever.
    for _ in range(5 * DOCUMENTS):
        document = documents[int(DOCUMENTS * rng.random() ** 20)]
        document["reads"] += document["text"].endswith("7</p>")
        if document["reads"] % 50 == 49:
            document["text"] = rng.choice(sentences) + document["text"][90:]
    digest = hashlib.sha256()
    for document in documents:
        digest.update(f"{document['id']} {document['reads']} {document['text']}\n".encode())
    print("digest", digest.hexdigest(), flush=True)


def peak_bytes(pid_status):
    for line in pid_status.split("\n"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def run(argv):
    """Output lines, lines of standard error, seconds, peak resident bytes of the plain program."""
    start = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while True:
        try:
            out, err = child.communicate(timeout=0.05)
            break
        except subprocess.TimeoutExpired:
            try:
                with open(f"/proc/{child.pid}/status", encoding="ascii") as status:
                    peak = max(peak, peak_bytes(status.read()))
            except OSError:
                pass
    seconds = time.monotonic() - start
    if child.returncode:
        sys.exit(f"demo: {' '.join(argv)}: exit status {child.returncode}\n{err}")
    return out.split("\n"), [line for line in err.split("\n") if line], seconds, peak


def digest_of(lines):
    return next(line.split()[1] for line in lines if line.startswith("digest"))


def main():
    if sys.argv[1:] == ["--work"]:
        work()
        return
    uswap = sys.argv[1] if len(sys.argv) > 1 else "build/uswap"
    program = [sys.executable, __file__, "--work"]

    print(f"1. plain:  python3 {__file__} --work")
    lines, _, plain_s, need = run(program)
    plain = digest_of(lines)
    print(f"   {plain_s:.1f} s, {need / 2**20:.0f} MiB resident, digest {plain[:16]}")

    limit = f"{need // 2 // 2**20}M"
    print(f"2. with half of that:  {uswap} run --limit {limit} -- python3 {__file__} --work")
    lines, messages, limited_s, _ = run([uswap, "run", "--limit", limit, "--"] + program)
    limited = digest_of(lines)
    print(f"   {limited_s:.1f} s, digest {limited[:16]}")
    for message in messages:
        print(f"   {message}")

    if plain != limited:
        sys.exit("demo: the digests differ: uswap broke the program")
    print(f"\nSame result in {limit.replace('M', ' MiB')} instead of {need / 2**20:.0f} MiB,"
          f" {limited_s / plain_s:.2f} times the time.")


main()
