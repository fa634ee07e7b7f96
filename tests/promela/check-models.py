#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Check the Promela models with spin, and that each check can fail.

A model (MODEL.pml) says in comments how it is run, and what each of its mutations breaks:

    * RUN name: -DOPTION=... ...
    #define NAME 7    /* caught by: property... [in run] */

Unchanged, every run must search all states and find nothing. With -DMUTATION=7 the run (the first one, if none
is named) must report that property; "deadlock" is an end in which somebody still waits. A property that no
mutation breaks is a failure, too.

usage: check-models.py [--cc CC] [--only NAME] MODEL.pml...
Exit status: 0, 1 something is wrong, 77 spin is missing
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

RUN = re.compile(r"^ \* RUN ([\w-]+): (.*)$", re.M)
MUTATION = re.compile(r"^#define (\w+) (\d+)\s*/\* caught by: ([\w ]+?)(?: in ([\w-]+))? \*/", re.M)
MUST = re.compile(r"\bmust\(.*, (\w+)\)")
MEMORY_MB = 1000
DEPTH = 100000


class Failed(Exception):
    pass


def command(args, where):
    done = subprocess.run(args, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(args)}: {done.stdout.strip()[-2000:]}")
    return done.stdout


def property_of(complaint):
    """The name by which must() failed."""
    if complaint == "invalid end state":
        return "deadlock"
    name = re.fullmatch(r"assertion violated \(.*\|\|(\w+)\)", complaint)
    return name.group(1) if name else complaint


def search(model, options, mutation, cc, n_complaints=1):
    """Run the model. Returns (names of broken properties, states, depth, seconds, memory in MB)."""
    with tempfile.TemporaryDirectory(prefix="uswap-model-") as where:
        command(["spin", "-a", f"-DMUTATION={mutation}", *options, os.path.abspath(model)], where)
        # the search of a mutation ends early: its compilation is what takes time
        command([cc, "-O0" if mutation else "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", "-o", "pan",
                 "pan.c"], where)
        start = time.monotonic()
        out = command(["./pan", f"-m{DEPTH}", f"-c{n_complaints}"], where)
        seconds = time.monotonic() - start
    states = int(re.search(r"(\d+) states, stored", out).group(1))
    depth = int(re.search(r"depth reached (\d+)", out).group(1))
    memory = float(re.search(r"([\d.]+)\ttotal actual memory usage", out).group(1))
    complaints = re.findall(r"^pan:\d+: (.*) \(at depth", out, re.M)
    if not complaints and not re.search(r"errors: 0$", out, re.M):
        raise Failed(f"pan said something else:\n{out}")
    if not complaints and re.search(r"max search depth too small|reached -DMEMLIM|out of memory|Search not completed", out):
        raise Failed(f"the search was not complete:\n{out}")
    return [property_of(c) for c in complaints], states, depth, seconds, memory


def check(model, cc, only):
    with open(model, encoding="utf-8") as f:
        text = f.read()
    name = os.path.basename(model)
    runs = {run: options.split() for run, options in RUN.findall(text)}
    mutations = MUTATION.findall(text)
    wrong = []
    if not runs or not mutations:
        return [f"{name}: no RUN line, or no mutation"]
    unbroken = set(MUST.findall(text)) | {"deadlock"}
    unbroken -= {one for _, _, caught_by, _ in mutations for one in caught_by.split()}
    wrong += [f"{name}: no mutation breaks {one}" for one in sorted(unbroken)]

    for run, options in runs.items():
        if only and only != run:
            continue
        found, states, depth, seconds, memory = search(model, options, 0, cc)
        print(f"{name}: {run}: {states} states, depth {depth}, {seconds:.1f} s, {memory:.0f} MB:"
              f" {' '.join(found) or 'nothing found'}", flush=True)
        wrong += [f"{name}: {run}: {one}" for one in found]
    for mutation, number, caught_by, run in mutations:
        if only and only != mutation:
            continue
        run = run or next(iter(runs))
        expected = caught_by.split()
        # where several are named the first is reported first, and the others soon after it
        found, states, depth, seconds, _ = search(model, runs[run], int(number), cc, 1 if len(expected) == 1 else 2000)
        found = list(dict.fromkeys(found))
        print(f"{name}: {run}: {mutation.lower()}: {' '.join(found) or 'nothing'} after {states} states,"
              f" depth {depth}, {seconds:.1f} s", flush=True)
        if found[:1] != expected[:1] or not set(expected) <= set(found):
            wrong.append(f"{name}: {mutation.lower()}: should be {caught_by}")
    return wrong


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--only", help="one run or one mutation")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    if not shutil.which("spin"):
        print("skipped: spin is not installed")
        return 77
    wrong = []
    for model in args.models:
        try:
            wrong += check(model, args.cc, args.only)
        except Failed as failure:
            wrong.append(f"{os.path.basename(model)}: {failure}")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
