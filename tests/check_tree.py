# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project's own files, for the checks; and how a check reports."""

import os
import subprocess
import sys

BINARY_ENDINGS = (".png", ".gif", ".jpg", ".gz", ".zst", ".bin")


def root():
    return os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), ".."))


def _walk(top):
    for folder, names, files in os.walk(top):
        names[:] = [n for n in names if n not in (".git", "__pycache__", ".cache") and not n.startswith("build")]
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), top)


def files(endings=None):
    """Paths relative to the root: what git knows or would take, or all if this is no checkout."""
    top = root()
    try:
        listed = subprocess.run(
            ["git", "-C", top, "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        names = [n for n in listed.decode().split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = list(_walk(top))
    names = [n for n in names if os.path.isfile(os.path.join(top, n)) and not n.endswith(BINARY_ENDINGS)]
    if endings:
        names = [n for n in names if n.endswith(endings)]
    return sorted(set(names))


def read(name):
    with open(os.path.join(root(), name), encoding="utf-8") as f:
        return f.read()


def finish(what, complaints):
    for line in complaints:
        print(line)
    print(f"{what}: {len(complaints)} complaint(s)")
    sys.exit(1 if complaints else 0)
