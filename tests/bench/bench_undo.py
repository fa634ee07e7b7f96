# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes to the machine that are taken back whatever happens.

Every change is written down in a file before it is made. An interrupted run undoes its changes on
the way out; a killed one leaves the file, and the next run undoes them first. One run at a time:
the lock is held to the end of the process.
"""

import fcntl
import json
import os
import subprocess
import sys
import time

STATE_PATH = "/run/uswap-bench.json"
LOCK_PATH = "/run/uswap-bench.lock"


def file_read(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def file_write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(str(text))


def group_remove(path):
    """Remove a memory group; processes left in it are ended first."""
    deadline = time.monotonic() + 10
    while os.path.isdir(path):
        try:
            for pid in file_read(path + "/cgroup.procs").split():
                os.kill(int(pid), 9)
            if os.path.exists(path + "/memory.force_empty"):
                file_write(path + "/memory.force_empty", 0)
            os.rmdir(path)
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                print(f"bench: cannot remove {path}, ignoring", file=sys.stderr)
                return
            time.sleep(0.05)


def swap_off(path):
    if any(line.split()[0] == path for line in file_read("/proc/swaps").splitlines()[1:]):
        subprocess.run(["swapoff", path], check=True)


def zram_remove(number):
    if os.path.exists(f"/sys/block/zram{number}"):
        file_write(f"/sys/block/zram{number}/reset", 1)
        file_write("/sys/class/zram-control/hot_remove", number)


def path_unlink(path):
    if os.path.exists(path):
        os.unlink(path)


ACTIONS = {
    "write": file_write,
    "swapoff": swap_off,
    "zram": zram_remove,
    "unlink": path_unlink,
    "group": group_remove,
}


class Undo:
    """A stack of actions, each undoing one change; kept in a file as well."""

    def __init__(self):
        self.lock = open(LOCK_PATH, "w", encoding="ascii")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("bench: another benchmark is running")
        self.stack = []
        if os.path.exists(STATE_PATH):
            with open(STATE_PATH, encoding="ascii") as f:
                self.stack = json.load(f)
            if self.stack:
                print("bench: undoing what an interrupted run left behind", file=sys.stderr)
            self.to_depth(0)

    def _save(self):
        with open(STATE_PATH + ".new", "w", encoding="ascii") as f:
            json.dump(self.stack, f)
        os.rename(STATE_PATH + ".new", STATE_PATH)

    def push(self, action, *args):
        self.stack.append([action, *args])
        self._save()

    def set_file(self, path, value):
        """Write @value to a kernel setting; the old one comes back."""
        old = file_read(path)
        if old != str(value):
            self.push("write", path, old)
            file_write(path, value)

    def depth(self):
        return len(self.stack)

    def to_depth(self, depth):
        """Undo down to @depth; a failure is told and does not stop the rest."""
        while len(self.stack) > depth:
            action, *args = self.stack[-1]
            try:
                ACTIONS[action](*args)
            except (OSError, subprocess.CalledProcessError) as err:
                print(f"bench: cannot undo {action} {args}: {err}, ignoring", file=sys.stderr)
            self.stack.pop()
            self._save()
