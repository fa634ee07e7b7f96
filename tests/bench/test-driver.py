#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The driver's own logic: undoing, reports, verdicts. Changes nothing outside a scratch folder.

    test-driver.py BENCH_MEM
"""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import bench_report
import bench_undo
from bench_peers import Candidate
from bench_run import MEMORY_PHASES, RunFailed, Run, figure_find, phases_parse

BENCH_MEM = sys.argv.pop(1)


class FakeBench:
    size = 4 << 20
    timeout_s = 30


def result_make(own_us):
    phase = {"us_per_op": own_us, "p50_us": 1.0, "p99_us": 2.0, "slow_p50_us": 3.0}
    rival = {**phase, "us_per_op": 20.0}
    peak = {"resident": 1 << 20, "pool": 1 << 20}
    rounds = {
        "uswap": [{"fill": phase, "memory peak": peak}],
        "zram": [{"fill": rival, "memory peak": peak}],
    }
    return {"candidates": ["uswap", "zram"], "rounds": rounds, "total_bytes": 2 << 20, "file": False}


class Report(unittest.TestCase):
    def test_ratio_and_verdict(self):
        met = bench_report.speed_table(result_make(10.0)).rows[1]
        self.assertEqual(met[-3:], ("2.00x zram", "1.3x", "met"))
        missed = bench_report.speed_table(result_make(16.0)).rows[1]
        self.assertEqual(missed[-3:], ("1.25x zram", "1.3x", "MISSED"))

    def test_absent_candidate_is_a_dash(self):
        result = result_make(10.0)
        result["rounds"]["uswap"] = []
        row = bench_report.speed_table(result).rows[1]
        self.assertEqual(row[1], "–")
        self.assertEqual(row[-1], "")

    def test_memory(self):
        row = bench_report.memory_table(result_make(1.0)).rows[1]
        self.assertEqual(row, ("uswap, memory", "1", "1", "2", "100 %", "met"))

    def test_speed_over_the_limit_does_not_count(self):
        result = result_make(10.0)
        result["rounds"]["uswap"][0]["memory peak"] = {"resident": 9 << 20, "pool": 2 << 20}
        self.assertIn("VOID", bench_report.speed_table(result).rows[1][-1])
        self.assertEqual(bench_report.memory_table(result).rows[1][-1], "MISSED")

    def test_figure_find(self):
        self.assertEqual(figure_find({"a": {"b": 3}, "c": 4}, "b"), 3)
        self.assertIsNone(figure_find({"a": {"b": 3}}, "d"))


class UndoFiles(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        bench_undo.STATE_PATH = self.scratch.name + "/state"
        bench_undo.LOCK_PATH = self.scratch.name + "/lock"
        self.setting = self.scratch.name + "/setting"
        bench_undo.file_write(self.setting, "old")

    def tearDown(self):
        self.scratch.cleanup()

    def test_setting_comes_back(self):
        undo = bench_undo.Undo()
        undo.set_file(self.setting, "new")
        self.assertEqual(bench_undo.file_read(self.setting), "new")
        undo.to_depth(0)
        self.assertEqual(bench_undo.file_read(self.setting), "old")
        undo.lock.close()

    def test_next_run_undoes_a_killed_one(self):
        undo = bench_undo.Undo()
        undo.set_file(self.setting, "new")
        undo.lock.close()  # as the kernel does for a killed process
        after = bench_undo.Undo()
        self.assertEqual(bench_undo.file_read(self.setting), "old")
        self.assertEqual(after.depth(), 0)
        after.lock.close()


class Running(unittest.TestCase):
    def test_phases(self):
        phases = ",".join(MEMORY_PHASES)
        command = [BENCH_MEM, "--size", str(FakeBench.size), "--phases", phases]
        run = Run(Candidate(FakeBench()), command, stdout=subprocess.PIPE)
        out, _ = run.finish(30)
        self.assertEqual(list(phases_parse(out)), MEMORY_PHASES)

    def test_failure_is_told(self):
        run = Run(Candidate(FakeBench()), [BENCH_MEM, "--phases", "nonsense"])
        with self.assertRaisesRegex(RunFailed, "nonsense"):
            run.finish(30)


if __name__ == "__main__":
    unittest.main()
