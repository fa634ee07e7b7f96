#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Add up a meson testlog.json: "PASSED FAILED SKIPPED" on one line. Exit 1 if it holds no test."""

import json
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP", "IGNORED"}


def main():
    passed = failed = skipped = 0
    try:
        with open(sys.argv[1], encoding="utf-8") as log:
            for line in log:
                result = json.loads(line)["result"]
                if result in PASSED:
                    passed += 1
                elif result in SKIPPED:
                    skipped += 1
                else:
                    failed += 1
    except (OSError, ValueError, KeyError):
        sys.exit(1)
    if passed + failed + skipped == 0:
        sys.exit(1)
    print(passed, failed, skipped)


main()
