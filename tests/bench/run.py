#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""uswap against zram, zswap and a swap file with the same total RAM, in one run on one machine.

    tests/bench/run.py --quick              a few minutes, small working set
    tests/bench/run.py --markdown out.md    the full run; needs root for the kernel's candidates

See README.md beside this file for what each row means.
"""

import argparse
import collections
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import bench_extra
import bench_redis
import bench_report
from bench_peers import Candidate, SwapFile, Uswap, Zram, Zswap
from bench_run import (
    MEMORY_PHASES,
    RunFailed,
    calibrate,
    calibrate_memory,
    floor_run,
    machine_warm,
    memory_run,
    with_candidate,
)
from bench_undo import Undo

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = ("memory", "redis", "floor", "unpressured", "startup")
FILE_PARTS = ["memory", "floor"]
ALL_CANDIDATES = ("uswap", "zram", "zswap+file", "swap file")
FILE_CANDIDATES = ("uswap", "zswap+file", "swap file")
FULL = {"size": 512, "rounds": 5, "max_seconds": 6, "requests": 100000}
QUICK = {"size": 128, "rounds": 2, "max_seconds": 2, "requests": 20000}
SETUP_ERRORS = (RunFailed, OSError, subprocess.SubprocessError)
GIB = 1 << 30


class Bench:
    """What all parts share."""

    def __init__(self, args, scratch):
        self.build = os.path.abspath(args.build)
        self.uswap = os.path.abspath(args.uswap or os.path.join(self.build, "uswap"))
        self.size = args.size << 20
        self.file = getattr(args, "file", False)
        self.total = self.size // (8 if self.file else 2)
        self.cpu = args.cpu
        self.swap_dir = args.dir
        self.scratch = scratch
        self.timeout_s = args.timeout
        self.notes = collections.Counter()
        self.undo = Undo()

    def tool(self, name):
        for path in (f"{self.build}/tests/bench/{name}", f"{self.build}/{name}"):
            if os.access(path, os.X_OK):
                return path
        sys.exit(f"bench: no {name} in {self.build}: build first, or say --build DIR")

    def note(self, candidate, text):
        self.notes[f"{candidate}: {text}"] += 1
        print(f"bench: {candidate}: {text}", file=sys.stderr)

    @staticmethod
    def json_read(path):
        try:
            with open(path, encoding="utf-8") as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}


def options_parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default=os.path.join(HERE, "../../build"), help="build directory")
    p.add_argument("--uswap", help="the uswap to run (default: BUILD/uswap)")
    p.add_argument("--uswap-args", default="", help="more arguments of uswap run")
    p.add_argument("--size", type=int, help="working set in MiB (default 512)")
    p.add_argument("--rounds", type=int, help="default 5")
    p.add_argument("--quick", action="store_true", help="defaults: 128 MiB, 2 rounds")
    p.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    p.add_argument(
        "--file",
        action="store_true",
        help="a working set eight times the RAM, and a swap file for uswap as well",
    )
    p.add_argument("--candidates", help="default: all that apply")
    p.add_argument("--max-seconds", type=int, help="per phase in random order")
    p.add_argument("--requests", type=int, help="of redis-benchmark, each way")
    p.add_argument("--cpu", type=int, help="keep the workload on this CPU (default: any)")
    p.add_argument("--dir", default="/var/tmp", help="where the swap file goes")
    p.add_argument("--timeout", type=int, default=300, help="seconds for one run")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--markdown", metavar="FILE")
    args = p.parse_args()
    if not args.candidates:
        args.candidates = ",".join(FILE_CANDIDATES if args.file else ALL_CANDIDATES)
    defaults = QUICK if args.quick else FULL
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.only = FILE_PARTS if args.file and args.only == ",".join(PARTS) else args.only.split(",")
    if set(args.only) - set(PARTS):
        p.error(f"--only takes of {','.join(PARTS)}")
    return args


def machine_facts():
    cpu = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "kernel": f"Linux {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "cpu": cpu,
        "date": time.strftime("%Y-%m-%d"),
    }


def candidates_make(bench, args, result):
    """Those that can run; the others go into the result with the reason."""
    more = shlex.split(args.uswap_args)
    if args.file:
        more += ["--file-size", str(4 * bench.size), "--file-dir", bench.swap_dir]
    made = [Uswap(bench, more), Zram(bench), Zswap(bench), SwapFile(bench)]
    wanted = args.candidates.split(",")
    usable = []
    for c in made:
        why = "not asked for" if c.name not in wanted else c.missing()
        if why:
            result["missing"][c.name] = why
        else:
            usable.append(c)
            result["settings"][c.name] = c.settings()
    result["candidates"] = [c.name for c in usable]
    result["rounds"] = {c.name: [] for c in usable}
    return usable


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def part_run(bench, candidate, into, part, work):
    """One candidate's part of a round; a failure is noted and the round goes on."""
    try:
        figures = with_candidate(bench, candidate, bench.total, work)
    except SETUP_ERRORS as err:
        bench.note(candidate.name, f"{part}: {error_text(err)}")
        return
    into[part + " peak"] = figures.pop("peak")
    into.update(figures)


def calibrate_one(bench, args, candidate, part):
    """Group size for one part: redis keeps its data otherwise than the memory workloads."""

    def redis_peak(c):
        return bench_redis.redis_run(bench, c, args.requests)["peak"]

    if part == "memory":
        calibrate_memory(bench, candidate, bench.total)
    else:
        calibrate(bench, candidate, bench.total, redis_peak)
    if candidate.total_scale != 1.0:
        progress(f"{candidate.name}, {part}: group of {candidate.total_scale:.3f} of the total")
    return candidate.total_scale


def calibrate_all(bench, args, usable, parts, result):
    """part and name → group size; who cannot even do that leaves @usable, with the reason."""
    scales = {}
    for c in list(usable):
        try:
            for part in parts:
                scales[part, c.name] = calibrate_one(bench, args, c, part)
        except SETUP_ERRORS as err:
            result["missing"][c.name] = error_text(err)
            usable.remove(c)
    return scales


def error_text(err):
    told = getattr(err, "stderr", None)
    return told.decode(errors="replace").strip() if told else str(err)


def rounds_run(bench, args, usable, result):
    """Round robin: each round starts with another candidate."""
    parts = [part for part in ("memory", "redis") if part in args.only]
    why = bench_redis.missing()
    if "redis" in parts and why:
        parts.remove("redis")
        result["missing"]["redis rows"] = why
    scales = calibrate_all(bench, args, usable, parts, result)
    work = {
        "memory": lambda c: memory_run(bench, c, MEMORY_PHASES, max_seconds=args.max_seconds),
        "redis": lambda c: bench_redis.redis_run(bench, c, args.requests),
    }
    for n in range(args.rounds):
        if "floor" in args.only:
            floor = floor_run(bench)
            if floor:
                result["floor"].append(floor)
        shift = n % max(len(usable), 1)
        for c in usable[shift:] + usable[:shift]:
            into = {}
            for part in parts:
                progress(f"round {n + 1} of {args.rounds}: {c.name}: {part}")
                machine_warm(bench, bench.size)
                c.total_scale = scales[part, c.name]
                part_run(bench, c, into, part, work[part])
            result["rounds"][c.name].append(into)


def extras_run(bench, args, usable, result):
    uswap = next((c for c in usable if c.name == "uswap"), None)
    if not uswap:
        return
    plain = Candidate(bench)
    parts = {
        "unpressured": lambda: bench_extra.unpressured(bench, plain, uswap, args.rounds),
        "startup": lambda: bench_extra.startup(plain, uswap, bench.size, args.rounds),
    }
    for name, part in parts.items():
        if name not in args.only:
            continue
        progress(name)
        try:
            result[name] = part()
        except SETUP_ERRORS as err:
            bench.note("uswap", f"{name}: {error_text(err)}")


def bench_run(bench, args):
    result = {
        "machine": machine_facts(),
        "command": shlex.join(["tests/bench/run.py", *sys.argv[1:]]),
        "size": bench.size,
        "total_bytes": bench.total,
        "file": args.file,
        "n_rounds": args.rounds,
        "missing": {},
        "settings": {},
        "floor": [],
        "notes": bench.notes,
    }
    usable = candidates_make(bench, args, result)
    machine_warm(bench, max(2 * GIB, 2 * bench.size))
    rounds_run(bench, args, usable, result)
    extras_run(bench, args, usable, result)
    return result


def main():
    args = options_parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="uswap-bench-") as scratch:
        bench = Bench(args, scratch)
        try:
            result = bench_run(bench, args)
        finally:
            bench.undo.to_depth(0)
    print(bench_report.as_text(result))
    bench_report.save(args, result, bench_report.as_markdown(result))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
