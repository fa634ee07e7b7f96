# SPDX-License-Identifier: LGPL-2.1-or-later
"""redis under a candidate: a data set as large as the working set, then redis-benchmark."""

import os
import random
import shutil
import socket
import subprocess
import time

from bench_run import Run, RunFailed

VALUE_BYTES = 1024
KEY_COST_BYTES = 1376  # value, key and bookkeeping of one entry as redis 7 with jemalloc keeps them
KEY_RANDOM = "key:__rand_int__"
N_CLIENTS = 16


def missing():
    for tool in ("redis-server", "redis-benchmark"):
        if not shutil.which(tool):
            return f"no {tool}"
    return None


def values_make():
    """Values that lz4 compresses about three times: few hard bytes between what repeats."""
    rand = random.Random(1)
    words = [b"name", b"value", b"session", b"address", b"message", b"content", b"default"]
    values = []
    for _ in range(2048):
        text = b""
        while len(text) < VALUE_BYTES:
            text += b'{"%s":"%s","id":%d,"hash":"%016x","state":"default"},' % (
                rand.choice(words),
                rand.choice(words),
                rand.randrange(1000),
                rand.getrandbits(64) if rand.random() < 0.5 else 0,
            )
        values.append(text[:VALUE_BYTES])
    return values


VALUES = values_make()


def value_of(key_idx):
    return VALUES[key_idx * 2654435761 % len(VALUES)]


def key_of(key_idx):
    return b"key:%012d" % key_idx  # as redis-benchmark -r names them


class Redis:
    """A server under a candidate, reached by a Unix socket."""

    def __init__(self, bench, candidate):
        self.bench = bench
        self.path = os.path.join(bench.scratch, "redis.sock")
        self.n_keys = bench.size // KEY_COST_BYTES
        command = [shutil.which("redis-server"), "--port", "0", "--unixsocket", self.path]
        command += ["--save", "", "--appendonly", "no", "--dir", bench.scratch]
        self.run = Run(candidate, command, stdout=subprocess.DEVNULL)
        try:
            self.socket = self.connect()
        except BaseException:
            self.run.kill()
            raise

    def connect(self):
        deadline = time.monotonic() + 20
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(self.path)
                s.settimeout(120)
                return s
            except OSError as err:
                s.close()
                if self.run.process.poll() is not None:
                    self.run.finish(1)
                if time.monotonic() > deadline:
                    raise RunFailed("redis-server does not answer") from err
                time.sleep(0.02)

    def replies_read(self, n_lines):
        got = 0
        while got < n_lines:
            data = self.socket.recv(1 << 16)
            if not data:
                self.run.finish(10)
                raise RunFailed("redis-server closed the connection")
            got += data.count(b"\n")

    def load(self):
        """Set all keys, in batches."""
        batch = 512
        for start in range(0, self.n_keys, batch):
            keys = range(start, min(start + batch, self.n_keys))
            self.socket.sendall(
                b"".join(
                    b"*3\r\n$3\r\nSET\r\n$16\r\n%s\r\n$%d\r\n%s\r\n"
                    % (key_of(i), VALUE_BYTES, value_of(i))
                    for i in keys
                )
            )
            self.replies_read(len(keys))

    def check(self, n_samples):
        """Read some keys back; what was loaded must still be there."""
        rand = random.Random(2)
        f = self.socket.makefile("rb")
        for _ in range(n_samples):
            i = rand.randrange(self.n_keys)
            self.socket.sendall(b"*2\r\n$3\r\nGET\r\n$16\r\n%s\r\n" % key_of(i))
            head = f.readline()
            if head != b"$%d\r\n" % VALUE_BYTES or f.read(VALUE_BYTES + 2)[:-2] != value_of(i):
                raise RunFailed(f"WRONG DATA: redis key {i}")

    def benchmark(self, n_requests, *request):
        """us per request, and latencies in us. Keys are random; they all exist."""
        command = ["redis-benchmark", "-s", self.path, "-r", str(self.n_keys), "--csv"]
        command += ["-n", str(n_requests), "-c", str(N_CLIENTS), *request]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=self.bench.timeout_s, check=False,
        )
        # the first field is the request itself, its quotes not escaped
        figures = [word.strip('"') for word in done.stdout.decode().strip().rsplit(",", 7)[1:]]
        if done.returncode or len(figures) != 7:
            if self.run.process.poll() is not None:
                self.run.finish(10)
            raise RunFailed(f"redis-benchmark: exit status {done.returncode}")
        rps, _mean_ms, _min_ms, p50_ms, _p95_ms, p99_ms, _max_ms = map(float, figures)
        return {"us_per_op": 1e6 / rps, "p50_us": 1e3 * p50_ms, "p99_us": 1e3 * p99_ms}

    def stop(self):
        """Returns the peak (resident, pool)."""
        self.socket.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
        peak = self.run.finish(60)[1]
        self.socket.close()
        return {"resident": peak[0], "pool": peak[1]}

    def kill(self):
        self.socket.close()
        self.run.kill()


def redis_run(bench, candidate, n_requests):
    """Load, GET, SET under @candidate; without @n_requests only load."""
    server = Redis(bench, candidate)
    try:
        server.load()
        result = {}
        if n_requests:
            result["redis-get"] = server.benchmark(n_requests, "GET", KEY_RANDOM)
            server.check(1000)
            result["redis-set"] = server.benchmark(n_requests, "SET", KEY_RANDOM, VALUES[0])
        result["peak"] = server.stop()
    except BaseException:
        server.kill()
        raise
    stats = candidate.stats()
    if stats:
        result["stats"] = stats
    return result
