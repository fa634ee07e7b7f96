# SPDX-License-Identifier: LGPL-2.1-or-later
"""The candidates: uswap, and the kernel's three ways to put memory elsewhere.

A candidate is set up before each of its runs and torn down after it, so that interleaved runs
never meet. setup() changes the machine through Undo only.
"""

import os
import shutil
import subprocess

from bench_memory import MemoryGroup, TreeMemory, cgroup_version
from bench_undo import file_read, file_write

ZSWAP = "/sys/module/zswap/parameters"
PAGE_CLUSTER = "/proc/sys/vm/page-cluster"
SWAP_PRIORITY = "32767"


class Candidate:
    """Base: a program under no limit."""

    name = "plain"
    total_scale = 1.0  # of the asked total, to make the measured peak equal to it

    def __init__(self, bench):
        self.bench = bench

    def missing(self):
        """None, or why this candidate cannot run here."""
        return None

    def settings(self):
        return ""

    def setup(self, limit_bytes):
        pass

    def argv(self, command):
        return command

    def enter(self):
        pass

    def sampler(self, pid):
        return TreeMemory(pid).sample

    def n_oom_kills(self):
        return 0

    def stats(self):
        """The candidate's own figures after a run, or an empty dict."""
        return {}


class Uswap(Candidate):
    name = "uswap"

    def __init__(self, bench, extra_args=()):
        super().__init__(bench)
        self.extra_args = list(extra_args)
        self.limit_bytes = 0
        self.stats_path = os.path.join(bench.scratch, "stats.json")

    def missing(self):
        if not os.access(self.bench.uswap, os.X_OK):
            return f"{self.bench.uswap} has not been built"
        return None

    def settings(self):
        return " ".join(["uswap run --limit TOTAL", *self.extra_args])

    def setup(self, limit_bytes):
        self.limit_bytes = limit_bytes
        if os.path.exists(self.stats_path):
            os.unlink(self.stats_path)

    def argv(self, command):
        own = [self.bench.uswap, "run", "--limit", str(self.limit_bytes)]
        return [*own, "--stats", self.stats_path, *self.extra_args, "--", *command]

    def stats(self):
        return self.bench.json_read(self.stats_path)


class KernelSwap(Candidate):
    """A program in a memory group, above one swap device."""

    page_cluster = 0
    needs = ("swapon", "swapoff", "mkswap")

    def __init__(self, bench):
        super().__init__(bench)
        self.group = None

    def missing(self):
        if os.geteuid() != 0:
            return "needs root"
        if not cgroup_version():
            return "no memory controller"
        for tool in self.needs:
            if not shutil.which(tool):
                return f"no {tool}"
        if not os.path.exists("/proc/swaps"):
            return "kernel without swap"
        return None

    def settings(self):
        limit = "memory.limit_in_bytes" if cgroup_version() == 1 else "memory.max"
        return f"{limit}, vm.page-cluster {self.page_cluster}, {self.device_settings()}"

    def device_settings(self):
        raise NotImplementedError

    def device_setup(self, n_bytes):
        raise NotImplementedError

    def setup(self, limit_bytes):
        undo = self.bench.undo
        undo.set_file(PAGE_CLUSTER, self.page_cluster)
        device = self.device_setup(4 * self.bench.size)
        subprocess.run(["mkswap", device], check=True, capture_output=True)
        undo.push("swapoff", device)
        subprocess.run(
            ["swapon", "-p", SWAP_PRIORITY, device], check=True, capture_output=True
        )
        group_bytes = int(limit_bytes * self.total_scale) & ~4095
        self.group = MemoryGroup(undo, f"uswap-bench-{os.getpid()}", group_bytes)

    def enter(self):
        self.group.enter()

    def sampler(self, pid):
        return lambda: (self.group.anon_bytes(), self.pool_bytes())

    def n_oom_kills(self):
        return self.group.n_oom_kills()

    def pool_bytes(self):
        return 0

    def swap_file_make(self, n_bytes):
        """A swap file without holes."""
        path = os.path.join(self.bench.swap_dir, f"uswap-bench-{os.getpid()}.swap")
        self.bench.undo.push("unlink", path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.posix_fallocate(fd, 0, n_bytes)
        os.close(fd)
        return path


class Zram(KernelSwap):
    name = "zram"
    total_scale = 0.5

    def __init__(self, bench):
        super().__init__(bench)
        self.number = None

    def missing(self):
        if not os.path.exists("/sys/class/zram-control/hot_add"):
            return "kernel without zram, or its module is not loaded"
        return super().missing()

    def device_settings(self):
        return "zram comp_algorithm lz4"

    def device_setup(self, n_bytes):
        self.number = int(file_read("/sys/class/zram-control/hot_add"))
        self.bench.undo.push("zram", self.number)
        file_write(f"/sys/block/zram{self.number}/comp_algorithm", "lz4")
        file_write(f"/sys/block/zram{self.number}/disksize", n_bytes)
        return f"/dev/zram{self.number}"

    def mm_stat(self):
        """(original bytes, compressed bytes, bytes used with fragmentation)"""
        stat = file_read(f"/sys/block/zram{self.number}/mm_stat").split()
        return tuple(int(word) for word in stat[:3])

    def pool_bytes(self):
        return self.mm_stat()[2]


class Zswap(KernelSwap):
    name = "zswap+file"
    total_scale = 0.5

    def missing(self):
        if not os.path.isdir(ZSWAP):
            return "kernel without zswap"
        return super().missing() or self.missing_file()

    def compressor(self):
        """lz4 where the kernel has it, like zram; else what is set."""
        try:
            crypto = file_read("/proc/crypto")
        except OSError:
            crypto = ""
        return "lz4" if ": lz4\n" in crypto else file_read(ZSWAP + "/compressor")

    def device_settings(self):
        percent = self.pool_percent()
        return f"zswap compressor {self.compressor()}, max_pool_percent {percent}, swap file"

    def pool_percent(self):
        """Of the machine's RAM. With a file the pool has to be small, or nothing is written."""
        return "1" if self.bench.file else file_read(ZSWAP + "/max_pool_percent")

    def missing_file(self):
        """With one percent of the RAM for the pool, is there room for it in the total?"""
        least = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 100
        if self.bench.file and least > self.bench.total * 2 // 3:
            return f"its smallest pool, {least >> 20} MiB, is too much of the total: a larger --size"
        return None

    def device_setup(self, n_bytes):
        self.bench.undo.set_file(ZSWAP + "/compressor", self.compressor())
        self.bench.undo.set_file(ZSWAP + "/max_pool_percent", self.pool_percent())
        self.bench.undo.set_file(ZSWAP + "/enabled", "Y")
        return self.swap_file_make(n_bytes)

    def pool_bytes(self):
        return self.group.zswap_bytes()


class SwapFile(KernelSwap):
    name = "swap file"
    page_cluster = 3

    def device_settings(self):
        return "swap file"

    def device_setup(self, n_bytes):
        if os.path.isdir(ZSWAP):
            self.bench.undo.set_file(ZSWAP + "/enabled", "N")
        return self.swap_file_make(n_bytes)
