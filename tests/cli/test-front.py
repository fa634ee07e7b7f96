#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The front of `uswap run`, with a worker that manages nothing: status, signals, deaths, warnings.

    test-front.py USWAP-FAKE
"""

import contextlib
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

FRONT = None
SUMMARY = "uswap: peak 1.3 MiB of 64 MiB (resident 1.0 + compressed 0.0 + metadata 0.0)" \
    " · 3.0:1 · 1.2k faults, p50 11 us, p99 84 us\n"
CATCH = """
import signal, sys, time
def caught(number, frame):
    print("caught", number, flush=True)
    sys.exit(number)
for number in map(int, sys.argv[1:]):
    signal.signal(number, caught)
print("up", flush=True)
time.sleep(60)
"""


BREED = """
import os, time
for n in range(400):
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        os.setsid()
        if n % 2 and os.fork():
            os._exit(0)
        time.sleep(60)
        os._exit(0)
    if n == 50:
        open(os.environ["FAKE_FILE"], "w").close()
time.sleep(60)
"""


def eventually(condition, what):
    """Wait for a state that needs other processes to run."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"did not happen in time: {what}")


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()[0]


def children(pid):
    """Process ids by name."""
    found = {}
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        for child in f.read().split():
            try:
                with open(f"/proc/{child}/comm", encoding="ascii") as comm:
                    found[comm.read().strip()] = int(child)
            except OSError:
                pass
    return found


class Front(unittest.TestCase):
    def start(self, *command, options=("--limit", "64M"), front=(), pass_fds=(),
              **environment):
        return subprocess.Popen(
            [*front, FRONT, "run", *options, "--", *command], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            preexec_fn=os.setpgrp,  # in an orphaned group nothing would stop
            env={"ASAN_OPTIONS": "verify_asan_link_order=0", **os.environ, **environment})

    def run_it(self, *command, **how):
        process = self.start(*command, **how)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def test_status_and_summary(self):
        for status in (0, 7, 255):
            self.assertEqual(self.run_it("sh", "-c", f"exit {status}"), (status, "", SUMMARY))

    def test_quiet(self):
        self.assertEqual(self.run_it("true", options=("--limit", "64M", "--quiet")), (0, "", ""))

    def test_death_by_signal(self):
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
            self.assertEqual(self.run_it("sh", "-c", f"kill -{number} $$")[0], 128 + number)

    def test_environment(self):
        out = self.run_it("sh", "-c", "echo $USWAP_SOCKET $USWAP_THRESHOLD $LD_PRELOAD",
                          LD_PRELOAD="libdl.so.2")[1].split()
        self.assertRegex(out[0], "^@uswap-[0-9a-f]{32}$")
        self.assertEqual(out[1], str(4 << 20))
        self.assertRegex(out[2], "^/.*/libuswap-preload.so:libdl.so.2$")
        out = self.run_it("sh", "-c", "echo $USWAP_THRESHOLD", options=("--limit", "16M"))[1]
        self.assertEqual(out, f"{1 << 20}\n")

    def test_no_descriptor_leaks(self):
        out = self.run_it("ls", "/proc/self/fd")[1].split()
        self.assertEqual(out, ["0", "1", "2", "3"])  # 3: the directory itself

    def test_paths_left_behind_are_removed(self):
        paths = [f"/run/uswap-{os.getpid()}-{name}" for name in ("old", "young", "used")]
        with contextlib.ExitStack() as used:
            for path in paths:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                listener.bind(path)
                listener.listen()
                used.callback(lambda path=path: pathlib.Path(path).unlink(missing_ok=True))
                if path.endswith("used"):
                    used.enter_context(listener)
                else:
                    listener.close()
                if not path.endswith("young"):
                    os.utime(path, (0, 0))
            self.assertEqual(self.run_it("true")[0], 0)
            self.assertEqual([os.path.exists(path) for path in paths], [False, True, True])

    def test_dispositions_and_mask_are_inherited(self):
        show = "grep -E '^Sig(Blk|Ign)' /proc/self/status"
        plain = subprocess.run(["sh", "-c", show], stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(self.run_it("sh", "-c", show)[1], plain.stdout)

    def test_ignored_sigchld_loses_no_status(self):
        front = (sys.executable, "-c", "import os, signal, sys;"
                 "signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])")
        self.assertEqual(self.run_it("sh", "-c", "exit 3", front=front)[0], 3)

    def test_signals_are_passed_on(self):
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2,
                       signal.SIGTERM, signal.SIGRTMIN + 1):
            process = self.start(sys.executable, "-c", CATCH, str(int(number)))
            self.assertEqual(process.stdout.readline(), "up\n")
            process.send_signal(number)
            out, _ = process.communicate(timeout=30)
            self.assertEqual((out, process.returncode), (f"caught {int(number)}\n", int(number)))

    def test_stop_and_continue(self):
        process = self.start(sys.executable, "-c", CATCH, "10")
        process.stdout.readline()
        program = next(p for n, p in children(process.pid).items() if n != "uswap-worker")
        process.send_signal(signal.SIGTSTP)
        eventually(lambda: state(program) == state(process.pid) == "T", "both stop")
        process.send_signal(signal.SIGCONT)
        eventually(lambda: state(program) == "S", "the program goes on")
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 10)

    def test_worker_shares_descriptors_and_has_its_own_session(self):
        process = self.start(sys.executable, "-c", CATCH, "10")
        process.stdout.readline()
        worker = children(process.pid)["uswap-worker"]
        self.assertNotEqual(os.getsid(worker), os.getsid(process.pid))
        if "tsan" not in os.environ.get("FRONT_BUILD", ""):
            self.assertEqual(os.listdir(f"/proc/{worker}/fd"), os.listdir(f"/proc/{process.pid}/fd"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker, number)  # not for it
        process.send_signal(signal.SIGUSR1)
        out, _ = process.communicate(timeout=30)
        self.assertEqual((out, process.returncode), ("caught 10\n", 10))

    def test_worker_dies(self):
        with tempfile.TemporaryDirectory() as folder:
            status, out, err = self.run_it("sh", "-c", "touch $FAKE_FILE; exec sleep 60",
                                           FAKE_WORKER="die", FAKE_FILE=f"{folder}/f")
        self.assertEqual((status, out), (125, ""))
        self.assertEqual(err, "uswap: the daemon died (signal 9); the program was stopped because "
                              "its memory cannot be trusted any more\n")

    def test_worker_dies_and_takes_managed_along(self):
        other = subprocess.Popen(["sleep", "60"])
        with tempfile.TemporaryDirectory() as folder:
            status = self.run_it("sh", "-c", "touch $FAKE_FILE; exec sleep 60",
                                 FAKE_WORKER=f"manage {other.pid}", FAKE_FILE=f"{folder}/f")[0]
        self.assertEqual(status, 125)
        self.assertEqual(other.wait(timeout=30), -9)

    def stop_all(self, command, how="die", front=()):
        """Run @command, which makes $FAKE_FILE; the worker dies. Nobody may hold the pipe then."""
        end, other_end = os.pipe()
        os.set_blocking(end, False)
        with tempfile.TemporaryDirectory() as folder:
            process = self.start(*command, FAKE_WORKER=how, FAKE_FILE=f"{folder}/f",
                                 pass_fds=[other_end], front=front)
            os.close(other_end)
            err = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 125, err)
        self.assertEqual(os.read(end, 1), b"", "a process of the command is alive")
        os.close(end)
        return err

    def test_worker_dies_and_nobody_is_left(self):
        # A child without our environment, an orphan in a session of its own, and the program.
        err = self.stop_all(("sh", "-c", "env -i sleep 60 & (setsid sleep 60 &); sleep 0.2;"
                             "touch $FAKE_FILE; exec sleep 60"))
        self.assertIn("the program was stopped", err)

    def test_worker_dies_with_all_descriptors_in_use(self):
        for drop in ((), ("setpriv", "--bounding-set=-sys_resource")):
            self.stop_all(("sh", "-c", "env -i sleep 60 & (setsid sleep 60 &); sleep 0.2;"
                           "touch $FAKE_FILE; exec sleep 60"), how="full",
                          front=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *drop))

    def test_worker_dies_while_processes_fork(self):
        self.stop_all((sys.executable, "-c", BREED))

    def test_worker_dies_after_the_program(self):
        err = self.stop_all(("sh", "-c", "sleep 60 & exit 125"),
                            how="die late")
        self.assertIn("what the command left behind was stopped", err)

    def test_worker_does_not_start(self):
        with tempfile.TemporaryDirectory() as folder:
            status, out, err = self.run_it("touch", f"{folder}/ran", FAKE_WORKER="fail")
            self.assertFalse(os.path.exists(f"{folder}/ran"))
        self.assertEqual((status, out), (125, ""))
        self.assertEqual(err, "uswap: the daemon could not start (exit status 1)\n")

    def test_worker_gives_no_figures(self):
        status, _, err = self.run_it("true", FAKE_WORKER="silent")
        self.assertEqual((status, err), (0, "uswap: the daemon gave no figures\n"))

    def test_command_refused(self):
        self.assertEqual(self.run_it("no-such-command-at-all"),
                         (127, "", "uswap: no-such-command-at-all: command not found\n"))
        status, _, err = self.run_it("/etc/passwd")
        self.assertEqual((status, err),
                         (126, "uswap: /etc/passwd: cannot be executed: Permission denied\n"))

    def test_odd_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for text, status, said in (("#!/no/such/interpreter\n", 127, "command not found"),
                                       ("\177ELF but no more", 126, "Exec format error"),
                                       ("echo for the shell\n", 0, "peak")):
                name = f"{folder}/{status}"
                with open(name, "w", encoding="ascii") as f:
                    f.write(text)
                os.chmod(name, 0o755)
                got, out, err = self.run_it(name)
                self.assertEqual((got, err.count("\n")), (status, 1), err)
                self.assertIn(said, err)
                self.assertEqual(out, "" if status else "for the shell\n")

    def test_drops_the_library(self):
        process = self.start("env", "-i", "sleep", "60")
        self.addCleanup(process.kill)
        self.assertTrue(select.select([process.stderr], [], [], 30)[0], "no warning")
        self.assertIn("runs unmanaged", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=30)[1]
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertEqual(err.count("\n"), 1, err)

    def test_usage(self):
        for options, words in (
                ((), "no limit given"), (("--limit", "0"), "not a size"),
                (("--limit", "-5"), "not a size"), (("--limit", "99x"), "not a size"),
                (("--limit", "101%"), "more than the RAM"), (("--limit", "9000T"), "more than the RAM"),
                (("--limit", "1K"), "too small"),
                (("--limit", "7M", "--file-size", "64M"), "too small for a file"), (("--limit", "64M", "--resident", "65M"), "larger"),
                (("--limit", "64M", "--placement", "x"), "auto, follow, float"),
                (("--limit", "64M", "--stats", "f", "--stats-interval", "0"), "not a time"),
                (("--limit", "64M", "--stats-interval", "1"), "needs --stats")):
            status, out, err = self.run_it("true", options=options)
            self.assertEqual((status, out, err.count("\n")), (125, "", 1), err)
            self.assertIn(words, err)
        process = subprocess.run([FRONT, "run", "--limit", "64M"], stderr=subprocess.PIPE,
                                 text=True, check=False)
        self.assertEqual(process.returncode, 125)
        self.assertIn("no command given", process.stderr)


def main():
    global FRONT
    FRONT = sys.argv.pop(1)
    doctor = subprocess.run([FRONT, "doctor"], stdout=subprocess.PIPE, text=True, check=False)
    if doctor.returncode:
        print(doctor.stdout)
        print("uswap run cannot work here: skipped")
        sys.exit(77)
    unittest.main()


main()
