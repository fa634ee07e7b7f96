#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stored bytes against raw: how small idle data gets, uswap beside zram with lz4.

    tests/bench/stored.py                   a Python heap and redis, one minute idle each

Both candidates leave the program the same resident memory; the rest is evicted, then nothing
happens for a minute, in which uswap may compress cold pages again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

from bench_memory import process_rss, process_tree
from bench_peers import Uswap, Zram
from bench_redis import Redis
from bench_redis import missing as redis_missing
from bench_report import MIB, Table, save, verdict
from bench_run import Run, RunFailed, figure_find, machine_warm, with_candidate
from run import HERE, Bench

TARGET = 1.4
OVERHEAD_MAX = 0.1


class UswapResident(Uswap):
    """Resident memory given, pool unlimited."""

    def argv(self, command):
        own = [self.bench.uswap, "run", "--resident", str(self.limit_bytes), "--stats"]
        own += [self.stats_path, "--stats-interval", "1", *self.extra_args]
        return [*own, "--", *command]

    def stored(self, root_pid):
        """Bytes of the evicted pages: raw, compressed, and with everything the daemon needs."""
        stats = self.stats()
        daemon = 0
        for pid in process_tree(root_pid):
            rss = process_rss(pid)
            if rss and rss[0].startswith("uswap"):
                daemon = max(daemon, rss[1] + rss[2])
        return {
            "raw": figure_find(stats, "raw_bytes"),
            "compressed": figure_find(stats, "stored_bytes"),
            "used": figure_find(stats, "pool_bytes", "pool_committed_bytes") or daemon,
            "metadata": figure_find(stats, "meta_bytes", "metadata_bytes") or 0,
        }


class ZramResident(Zram):
    total_scale = 1.0

    def stored(self, _root_pid):
        raw, compressed, used = self.mm_stat()
        return {"raw": raw, "compressed": compressed, "used": used}


class Heap:
    """heap.py under a candidate."""

    def __init__(self, bench, candidate):
        mib = str(bench.size // MIB)
        command = [sys.executable, os.path.join(HERE, "heap.py"), mib]
        self.run = Run(candidate, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.bench = bench

    def load(self):
        if self.run.process.stdout.readline() != b"ready\n":
            self.run.finish(10)
            raise RunFailed("heap.py did not get ready")

    def stop(self):
        self.run.finish(self.bench.timeout_s)  # closes its stdin

    def kill(self):
        self.run.kill()


def stored_run(bench, candidate, program, idle_s):
    server = program(bench, candidate)
    try:
        server.load()
        time.sleep(idle_s)
        figures = candidate.stored(server.run.process.pid)
        server.stop()
    except BaseException:
        server.kill()
        raise
    return figures


def cell(figures, name):
    value = (figures or {}).get(name)
    return f"{value / MIB:.1f}" if value else "–"


def ratio_of(figures, name):
    if not figures or not figures.get(name) or not figures.get("raw"):
        return None
    return figures["raw"] / figures[name]


def overhead_verdict(own):
    """Fragmentation and metadata as part of what is stored."""
    overhead = (own["used"] + own["metadata"]) / own["compressed"] - 1
    return (
        f"uswap's fragmentation + metadata are {overhead:.1%} of the stored bytes "
        f"(target {OVERHEAD_MAX:.0%}: {verdict(overhead < OVERHEAD_MAX)})"
    )


def report(results):
    table = Table("MiB after idling", "raw", "compressed", "raw : compressed", "used", "raw : used")
    verdicts = []
    for program, by_candidate in results.items():
        for name, figures in by_candidate.items():
            ratios = [ratio_of(figures, x) for x in ("compressed", "used")]
            shown = [f"{r:.2f}" if r else "–" for r in ratios]
            cells = [cell(figures, x) for x in ("raw", "compressed", "used")]
            table.add(f"{program}, {name}", cells[0], cells[1], shown[0], cells[2], shown[1])
        own = ratio_of(by_candidate.get("uswap"), "compressed")
        rival = ratio_of(by_candidate.get("zram"), "compressed")
        if own and rival:
            met = verdict(own / rival >= TARGET)
            verdicts.append(
                f"{program}: {own / rival:.2f}x better than zram lz4 (target {TARGET}x: {met})"
            )
        if own:
            verdicts.append(f"{program}: {overhead_verdict(by_candidate['uswap'])}")
    return table, verdicts


def options_parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default=os.path.join(HERE, "../../build"), help="build directory")
    p.add_argument("--uswap", help="the uswap to run (default: BUILD/uswap)")
    p.add_argument("--size", type=int, default=256, help="of each data set, in MiB")
    p.add_argument("--idle", type=int, default=60, help="seconds before measuring")
    p.add_argument("--dir", default="/var/tmp")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--markdown", metavar="FILE")
    p.set_defaults(cpu=None, timeout=300)
    return p.parse_args()


def measure(bench, args):
    programs = {"python heap": Heap, "redis": Redis}
    if redis_missing():
        print(f"not run: redis: {redis_missing()}")
        del programs["redis"]
    machine_warm(bench, 2 * bench.size)
    results = {name: {} for name in programs}
    for c in (UswapResident(bench), ZramResident(bench)):
        why = c.missing()
        if why:
            print(f"not run: {c.name}: {why}")
            continue
        for name, program in programs.items():
            def work(candidate, program=program):
                return stored_run(bench, candidate, program, args.idle)

            try:
                results[name][c.name] = with_candidate(bench, c, bench.size // 8, work)
            except RunFailed as err:
                bench.note(c.name, f"{name}: {err}")
    return results


def main():
    args = options_parse()
    with tempfile.TemporaryDirectory(prefix="uswap-bench-") as scratch:
        bench = Bench(args, scratch)
        try:
            results = measure(bench, args)
        finally:
            bench.undo.to_depth(0)
    table, verdicts = report(results)
    print(f"{args.size} MiB each, {args.size // 8} MiB resident, {args.idle} s idle\n")
    print("\n".join([table.text(), "", *verdicts]))
    save(args, results, "\n\n".join([table.markdown(), *verdicts]) + "\n")


if __name__ == "__main__":
    main()
