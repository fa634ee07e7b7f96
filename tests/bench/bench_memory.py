# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the memory of a candidate is: memory groups, /proc, and a thread that samples both."""

import os
import threading
import time

from bench_undo import file_read, file_write

V1_ROOT = "/sys/fs/cgroup/memory"
V2_ROOT = "/sys/fs/cgroup"


def cgroup_version():
    """1 or 2: which hierarchy has the memory controller; 0: none."""
    controllers = V2_ROOT + "/cgroup.controllers"
    if os.path.exists(controllers) and "memory" in file_read(controllers).split():
        return 2
    return 1 if os.path.exists(V1_ROOT + "/memory.limit_in_bytes") else 0


def stat_read(path, wanted):
    """The @wanted lines of a "name value" file as a dict."""
    values = dict.fromkeys(wanted, 0)
    with open(path, encoding="ascii") as f:
        for line in f:
            name, value = line.split()[:2]
            if name in values:
                values[name] = int(value)
    return values


class MemoryGroup:
    """One memory cgroup with a limit, for one run."""

    def __init__(self, undo, name, limit_bytes):
        self.version = cgroup_version()
        self.path = f"{V1_ROOT if self.version == 1 else V2_ROOT}/{name}"
        if self.version == 2:
            file_write(V2_ROOT + "/cgroup.subtree_control", "+memory")
        undo.push("group", self.path)
        os.mkdir(self.path)
        limit_file = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        file_write(f"{self.path}/{limit_file}", limit_bytes)

    def enter(self):
        """For preexec_fn: the calling process goes into the group."""
        file_write(self.path + "/cgroup.procs", os.getpid())

    def anon_bytes(self):
        """Anonymous memory in RAM, pages on their way to or from swap included."""
        if self.version == 1:
            stat = stat_read(
                self.path + "/memory.stat", ["rss", "inactive_anon", "active_anon"]
            )
            return max(stat["rss"], stat["inactive_anon"] + stat["active_anon"])
        stat = stat_read(self.path + "/memory.stat", ["anon", "swapcached"])
        return max(stat["anon"], stat["swapcached"])

    def zswap_bytes(self):
        """The group's own share of zswap; with version 1 the kernel only knows the sum."""
        if self.version == 2:
            return stat_read(self.path + "/memory.stat", ["zswap"])["zswap"]
        return zswap_pool_bytes()

    def n_oom_kills(self):
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return stat_read(f"{self.path}/{name}", ["oom_kill"])["oom_kill"]


def zswap_pool_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("Zswap:"):
                return int(line.split()[1]) * 1024
    return 0


def process_parents():
    """pid → parent of every process."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            pass
    return parents


def process_tree(root):
    """@root and all its descendants."""
    parents = process_parents()
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def process_rss(pid):
    """(name, anonymous bytes, shared memory bytes) in RAM; None when it has gone."""
    values = {"Name:": "", "RssAnon:": 0, "RssShmem:": 0}
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            for line in f:
                word = line.split()
                if word[0] == "Name:":
                    values["Name:"] = word[1]
                elif word[0] in values:
                    values[word[0]] = int(word[1]) * 1024
    except OSError:
        return None
    return values["Name:"], values["RssAnon:"], values["RssShmem:"]


class TreeMemory:
    """What uswap's processes use: the program's anonymous memory, and the daemon's everything."""

    REFRESH_S = 0.25

    def __init__(self, root_pid):
        self.root_pid = root_pid
        self.pids = []
        self.next_refresh = 0.0

    def sample(self):
        """(resident, pool): pool is all of the daemon, metadata and idle buffers included."""
        if time.monotonic() >= self.next_refresh:
            self.pids = process_tree(self.root_pid)
            self.next_refresh = time.monotonic() + self.REFRESH_S
        resident = own = shared = 0
        for pid in self.pids:
            rss = process_rss(pid)
            if rss is None:
                continue
            if rss[0].startswith("uswap"):
                own += rss[1]
                shared = max(shared, rss[2])  # supervisor and worker map the same arenas
            else:
                resident += rss[1]
        return resident, own + shared


class Sampler(threading.Thread):
    """Calls @sample every few milliseconds and keeps the sample with the highest sum."""

    PERIOD_S = 0.02

    def __init__(self, sample):
        super().__init__(daemon=True)
        self.sample = sample
        self.done = threading.Event()
        self.peak = (0, 0)
        self.last = (0, 0)

    def run(self):
        while not self.done.wait(self.PERIOD_S):
            try:
                self.last = self.sample()
            except (OSError, ValueError):
                continue
            if sum(self.last) > sum(self.peak):
                self.peak = self.last

    def stop(self):
        self.done.set()
        self.join()
        return self.peak
