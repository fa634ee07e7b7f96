#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must not stand in any file: paths of one machine, hosts, loose ends, broken formatting."""

import re

import check_tree

# Put together here so that this file does not complain about itself.
HOSTS = ["py" + "pi.org", "npm" + "js.org", "npm" + "js.com", "crates" + ".io", "rubygems" + ".org",
         "proxy.golang" + ".org", "files.pythonhosted" + ".org"]
RULES = [
    (re.compile(r"(?<![\w.$})*/-])/(?:work|home|root|Users)/\w"), "a path of one machine"),
    (re.compile(r"/tmp/b-\w"), "a path of one machine"),
    (re.compile("|".join(re.escape(h) for h in HOSTS)), "a package registry"),
    (re.compile(r"^(?:<{7}|>{7}|={7})(?:\s|$)", re.M), "a merge conflict"),
    (re.compile(r"\b(?:FIX" + r"ME|XX" + r"X)\b(?!X)"), "a loose end"),
    (re.compile(r"\bTO" + r"DO\b(?!\s*\(#\d+\)| #\d+)"), "a loose end without an issue number"),
    (re.compile(r"[ \t]+$", re.M), "blanks at the end of a line"),
    (re.compile(r"\r"), "a carriage return"),
]
WITHOUT = {"LICENSE"}
WIDTH = 108  # code is held to 100 by clang-format; a comment may end a word later


def width(line):
    return len(line.expandtabs(8))


def function_lengths(name, text, limit=70):
    """Longest bodies: from a '{' to a '}' in the first column."""
    found, start = [], None
    for number, line in enumerate(text.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > limit:
                found.append(f"{name}:{start}: a function of {number - start - 1} lines")
            start = None
    return found


def main():
    complaints = []
    for name in check_tree.files():
        if name in WITHOUT:
            continue
        text = check_tree.read(name)
        for pattern, what in RULES:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                complaints.append(f"{name}:{line}: {what}: {match.group(0)!r}")
        if text and not text.endswith("\n"):
            complaints.append(f"{name}: no newline at the end")
        if name.endswith((".c", ".h")):
            complaints += [f"{name}:{n}: {width(line)} columns"
                           for n, line in enumerate(text.split("\n"), 1) if width(line) > WIDTH]
            complaints += function_lengths(name, text)
            if name.startswith("src/") and text.count("\n") > 700:
                complaints.append(f"{name}: {text.count(chr(10))} lines: split it")
    check_tree.finish("words", complaints)


main()
