# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of one program under one candidate, with its memory sampled; and the memory workloads."""

import json
import os
import signal
import subprocess
import sys
import tempfile

from bench_memory import Sampler

MEMORY_PHASES = [
    "fill",
    "read-uniform",
    "read-zipf",
    "scan",
    "read-threads",
    "write-uniform",
    "write-zipf",
    "verify",
]
MAX_TRIES = 3


class RunFailed(Exception):
    """The program did not end well; the text says how."""


class OomKilled(RunFailed):
    """Version 1 groups are known to give up with swap space left: worth another try."""


class Run:
    """A program that runs under a candidate which has been set up."""

    def __init__(self, candidate, command, **popen):
        self.candidate = candidate
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            candidate.argv(command),
            preexec_fn=candidate.enter,
            start_new_session=True,
            stderr=self.errors,
            **popen,
        )
        self.watch = Sampler(candidate.sampler(self.process.pid))
        self.watch.start()

    def errors_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()

    def kill(self):
        """End it and whatever it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.watch.stop()
        for stream in (self.errors, self.process.stdin, self.process.stdout):
            if stream:
                stream.close()

    def finish(self, timeout_s):
        """Wait for the end. Returns (stdout, peak); raises RunFailed."""
        try:
            out, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as err:
            self.kill()
            raise RunFailed(f"not done after {timeout_s} s") from err
        except BaseException:
            self.kill()
            raise
        peak = self.watch.stop()
        code = self.process.returncode
        errors = self.errors_text()
        self.errors.close()
        if code:
            if self.candidate.n_oom_kills():
                raise OomKilled("OOM-killed by the memory group")
            raise RunFailed(f"exit status {code}: {errors[-500:]}")
        return out, peak


def with_candidate(bench, candidate, total_bytes, work):
    """Set up, work(candidate), tear down; tries again after an OOM kill, with a note."""
    for n_try in range(MAX_TRIES):
        depth = bench.undo.depth()
        try:
            candidate.setup(total_bytes)
            return work(candidate)
        except OomKilled as err:
            bench.note(candidate.name, str(err))
            if n_try == MAX_TRIES - 1:
                raise
        finally:
            bench.undo.to_depth(depth)
    raise AssertionError("unreachable")


def memory_command(bench, phases, **options):
    command = [bench.tool("bench-mem"), "--size", str(bench.size), "--phases", ",".join(phases)]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    if bench.cpu is not None:
        command += ["--cpu", str(bench.cpu)]
    return command


def phases_parse(out):
    phases = {}
    for line in out.decode().splitlines():
        value = json.loads(line)
        phases[value["phase"]] = value
    return phases


def memory_run(bench, candidate, phases, **options):
    """Run bench-mem under @candidate. Returns phase → figures, with "peak"."""
    run = Run(candidate, memory_command(bench, phases, **options), stdout=subprocess.PIPE)
    out, peak = run.finish(bench.timeout_s)
    result = phases_parse(out)
    result["peak"] = {"resident": peak[0], "pool": peak[1]}
    stats = candidate.stats()
    if stats:
        result["stats"] = stats
    return result


def machine_warm(bench, n_bytes):
    """First touch of memory the hypervisor has taken back costs ten times as much as later ones."""
    subprocess.run([bench.tool("bench-mem"), "--warm", str(n_bytes)], check=True)


def calibrate(bench, candidate, total_bytes, work):
    """Find the size of the memory group for which resident + pool peaks at @total_bytes.

    The pool is outside the group (or shrinks what is left inside it), so the right size follows
    from how well the data compresses: shrinking the group by x grows the pool by x / ratio.
    """
    if candidate.total_scale == 1.0:
        return
    for _ in range(4):
        peak = with_candidate(bench, candidate, total_bytes, work)
        total = peak["resident"] + peak["pool"]
        error = total_bytes - total
        if abs(error) < 0.01 * total_bytes:
            break
        evicted = max(bench.size - peak["resident"], bench.size // 16)
        ratio = min(max(peak["pool"] / evicted, 0.05), 0.9)
        scale = candidate.total_scale + error / (1 - ratio) / total_bytes
        candidate.total_scale = min(max(scale, 0.05), 1.5)
    else:
        print(f"bench: {candidate.name}: total off by {error / total_bytes:+.1%}", file=sys.stderr)


def calibrate_memory(bench, candidate, total_bytes):
    """For the memory workloads, with a short run of the phases that fill the pool most."""

    def work(c):
        phases = ["fill", "read-uniform", "write-uniform"]
        return memory_run(bench, c, phases, ops=bench.size // 4096 // 2, max_seconds=3)["peak"]

    calibrate(bench, candidate, total_bytes, work)


def figure_find(stats, *names):
    """The first of @names anywhere in nested figures; None if there is none."""
    for name in names:
        if name in stats:
            return stats[name]
    for value in stats.values():
        if isinstance(value, dict):
            found = figure_find(value, *names)
            if found is not None:
                return found
    return None


def floor_run(bench):
    """Raw fault round trip and codec times. Returns name → figures; {} where not permitted."""
    done = subprocess.run(
        [bench.tool("bench-floor")], stdout=subprocess.PIPE, timeout=120, check=False
    )
    if done.returncode == 77:
        return {}
    done.check_returncode()
    values = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return {f"{value['floor']} {value['name']}": value for value in values}
