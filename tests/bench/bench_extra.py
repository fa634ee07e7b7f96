# SPDX-License-Identifier: LGPL-2.1-or-later
"""What uswap costs where it has nothing to do: an unpressured program, and short ones."""

import subprocess
import time

from bench_run import Run, memory_run

UNPRESSURED_PHASES = ["fill", "read-uniform", "scan", "write-uniform", "read-zipf"]
N_SHORT = 500
N_WHOLE = 20
SHORT_LOOP = (
    "a=$EPOCHREALTIME; for ((i = 0; i < %d; i++)); do /bin/true; done; "
    'echo "$a $EPOCHREALTIME"' % N_SHORT
)


def unpressured_once(bench, candidate, limit_bytes):
    """Seconds of each phase of a program that never comes near the limit."""
    candidate.setup(limit_bytes)
    n_ops = 16 * (bench.size // 4096)
    result = memory_run(bench, candidate, UNPRESSURED_PHASES, ops=n_ops, passes=8)
    return {phase: result[phase]["us_per_op"] for phase in UNPRESSURED_PHASES} | {
        "total": sum(result[phase]["seconds"] for phase in UNPRESSURED_PHASES)
    }


def unpressured(bench, plain, uswap, n_rounds):
    """Triples plain, uswap, plain: the two plain runs around each uswap run are the noise."""
    limit_bytes = 4 * bench.size
    triples = []
    for _ in range(n_rounds):
        before = unpressured_once(bench, plain, limit_bytes)
        under = unpressured_once(bench, uswap, limit_bytes)
        after = unpressured_once(bench, plain, limit_bytes)
        triples.append((before, under, after))
    result = {}
    for phase in [*UNPRESSURED_PHASES, "total"]:
        result[phase] = {
            "ratio": [2 * u[phase] / (b[phase] + a[phase]) for b, u, a in triples],
            "noise": [a[phase] / b[phase] for b, u, a in triples],
        }
    return result


def short_loop_us(candidate, limit_bytes):
    """us per process of a shell loop over /bin/true, timed by the shell itself."""
    candidate.setup(limit_bytes)
    run = Run(candidate, ["bash", "-c", SHORT_LOOP], stdout=subprocess.PIPE)
    out, _ = run.finish(120)
    begin, end = (float(word) for word in out.split())
    return (end - begin) * 1e6 / N_SHORT


def whole_us(candidate, limit_bytes):
    """us of one complete run of `true`, for uswap with daemon start and end."""
    candidate.setup(limit_bytes)
    command = candidate.argv(["/bin/true"])
    begin = time.monotonic()
    for _ in range(N_WHOLE):
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return (time.monotonic() - begin) * 1e6 / N_WHOLE


def startup(plain, uswap, limit_bytes, n_rounds):
    result = {"short plain": [], "short uswap": [], "whole plain": [], "whole uswap": []}
    for _ in range(n_rounds):
        for candidate, name in ((plain, "plain"), (uswap, "uswap")):
            result[f"short {name}"].append(short_loop_us(candidate, limit_bytes))
            result[f"whole {name}"].append(whole_us(candidate, limit_bytes))
    return result
