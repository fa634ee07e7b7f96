#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How fast a full pool goes to the file, beside fio on the same file.

    tests/bench/drain.py                    needs root, fio, 2 GiB of RAM

A program fills the pool while nothing is written (--policy none), then does nothing. The policy
is switched to lru, which writes what is above its mark; the time from the first byte to the last
counts. fio writes as much to the same file, with as large blocks, as many in flight, O_DIRECT and
io_uring. Both find the file empty. One round is fio, plain, encrypted, each time beginning with
another one.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from statistics import median

from bench_memory import process_tree
from bench_report import MIB, Table, save, spread, verdict
from run import HERE

SEGMENT_KIB = 256  # of the file; WRITES of them are in flight
WRITES = 4
OF_FIO = 0.9
OF_PLAIN = 0.85
POLL_S = 0.002
STILL_S = 0.5  # nothing was written for so long: it is done
KINDS = ("fio", "plain", "encrypted")


class DrainFailed(Exception):
    pass


def written_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("write_bytes"))


def process_name(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()


def thread_ns(pid, name):
    """CPU time of one thread."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as f:
            if f.read().strip() != name:
                continue
        with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0])
    raise DrainFailed(f"no thread {name}")


def watch(daemon, timeout_s):
    """Until nothing comes any more. Return: bytes after the first time some were seen, seconds."""
    began, before = time.monotonic(), written_bytes(daemon)
    first = last = None
    while True:
        time.sleep(POLL_S)
        now, n = time.monotonic(), written_bytes(daemon)
        if n != before:
            first, last, before = first or (now, n), (now, n), n
        if last and now - last[0] > STILL_S:
            return last[1] - first[1], last[0] - first[0]
        if now - began > timeout_s:
            raise DrainFailed("it does not end" if last else "nothing was written")


class Drain:
    def __init__(self, args, scratch):
        self.args = args
        self.file = os.path.join(args.dir, f"uswap-drain-{os.getpid()}")
        self.stats = os.path.join(scratch, "stats.json")
        self.uswap = os.path.abspath(args.uswap or os.path.join(args.build, "uswap"))

    def file_make(self):
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.close(fd)

    def fio(self, n_bytes):
        """As the store does it, the first block left out as well."""
        self.file_make()
        os.truncate(self.file, n_bytes + MIB)
        argv = ["fio", "--name=drain", f"--filename={self.file}", "--rw=write", "--direct=1"]
        argv += [f"--bs={SEGMENT_KIB}k", f"--iodepth={WRITES}", "--ioengine=io_uring"]
        argv += [f"--size={n_bytes}", "--offset=4k", "--fallocate=none", "--output-format=json"]
        out = subprocess.run(argv, check=True, capture_output=True).stdout
        return {"mb_per_s": json.loads(out)["jobs"][0]["write"]["bw_bytes"] / 1e6}

    def argv(self, encrypt):
        size = self.args.size
        argv = [self.uswap, "run", "--quiet", "--limit", f"{size}M", "--resident", "32M"]
        argv += ["--policy", "none", "--file", self.file, "--file-size", f"{2 * size}M"]
        argv += ["--stats", self.stats, *(["--encrypt"] if encrypt else []), "--"]
        # What is stored of it, and what cannot leave, come close to the limit.
        return [*argv, sys.executable, os.path.join(HERE, "pages.py"), str((size - 150) * 3)]

    def uswap_run(self, encrypt):
        self.file_make()
        p = subprocess.Popen(
            self.argv(encrypt),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            if p.stdout.readline() != b"ready\n":
                raise DrainFailed(f"not filled: {p.communicate()[1].decode(errors='replace')}")
            figures = self.drain(p.pid)
            _, errors = p.communicate(timeout=self.args.timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        if p.returncode:
            raise DrainFailed(f"exit status {p.returncode}: {errors.decode(errors='replace')}")
        with open(self.stats, encoding="utf-8") as f:
            pages = json.load(f)["file"]["written_back_pages"]
        figures["us_per_page"] = figures.pop("ns") / 1000 / pages
        return figures

    def drain(self, root):
        pids = process_tree(root)
        daemon = next(pid for pid in pids if process_name(pid) == "uswap-worker")
        program = next(pid for pid in pids if process_name(pid).startswith("python"))
        time.sleep(self.args.settle)
        before = thread_ns(daemon, "uswap-writeback")
        subprocess.run([self.uswap, "policy", str(program), "lru"], check=True)
        n_bytes, seconds = watch(daemon, self.args.timeout)
        return {
            "mb_per_s": n_bytes / seconds / 1e6,
            "bytes": n_bytes,
            "ns": thread_ns(daemon, "uswap-writeback") - before,
        }

    def one(self, kind, n_bytes):
        return self.fio(n_bytes) if kind == "fio" else self.uswap_run(kind == "encrypted")


def rounds_run(drain, n_rounds):
    """kind → one set of figures for each round."""
    results = {kind: [] for kind in KINDS}
    n_bytes = drain.uswap_run(False)["bytes"] // (SEGMENT_KIB << 10) * (SEGMENT_KIB << 10)
    for n_round in range(n_rounds):
        turn = n_round % len(KINDS)
        for kind in KINDS[turn:] + KINDS[:turn]:
            print(f"drain: round {n_round + 1} of {n_rounds}, {kind}", file=sys.stderr)
            results[kind].append(drain.one(kind, n_bytes))
    return n_bytes, results


def report(results):
    def rates(kind):
        return [figures["mb_per_s"] for figures in results[kind]]

    table = Table("writing", "MB/s", "us of thread a page", "ratio", "target", "")
    table.add("fio", spread(rates("fio"), 0), "–", "–", "–", "")
    for kind, of, target in (("plain", "fio", OF_FIO), ("encrypted", "plain", OF_PLAIN)):
        ratio = median(rates(kind)) / median(rates(of))
        cpu = spread([figures["us_per_page"] for figures in results[kind]], 2)
        cells = (f"{ratio:.2f}x {of}", f"{target}x", verdict(ratio >= target))
        table.add(f"uswap, {kind}", spread(rates(kind), 0), cpu, *cells)
    return table


def options_parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default=os.path.join(HERE, "../../build"), help="build directory")
    p.add_argument("--uswap", help="the uswap to run (default: BUILD/uswap)")
    p.add_argument("--size", type=int, default=1024, help="limit in MiB; a fifth is written")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--settle", type=float, default=1, help="seconds between filling and draining")
    p.add_argument("--dir", default="/var/tmp", help="where the file goes")
    p.add_argument("--timeout", type=int, default=60, help="seconds for one drain")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--markdown", metavar="FILE")
    args = p.parse_args()
    if args.size < 512:
        p.error("--size: at least 512")
    if not shutil.which("fio"):
        p.error("fio is not installed")
    return args


def main():
    args = options_parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("drain: ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="uswap-bench-") as scratch:
        drain = Drain(args, scratch)
        try:
            n_bytes, results = rounds_run(drain, args.rounds)
        except (DrainFailed, subprocess.SubprocessError) as err:
            sys.exit(f"drain: {err}")
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(drain.file)
    table = report(results)
    print(f"{n_bytes / MIB:.0f} MiB written in each of {args.rounds} rounds\n")
    print(table.text())
    save(args, results, table.markdown() + "\n")


if __name__ == "__main__":
    main()
