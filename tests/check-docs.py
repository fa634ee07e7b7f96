#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the documents name must exist: commands, options, files, functions, tests, links."""

import os
import re

import check_tree

RULES = [f"R{n}" for n in range(1, 12)] + [f"I{n}" for n in range(1, 16)] + ["I18"]


def exists(name):
    return os.path.exists(os.path.join(check_tree.root(), name))


def commands_of_cli():
    return set(re.findall(r'^\t\{ ?"([a-z]+)", "uswap ', check_tree.read("src/cli/main.c"), re.M)) | {"help"}


def commands_of_bootstrap():
    return set(re.findall(r"^([a-z]+)\)", check_tree.read("bootstrap"), re.M))


def check_commands(name, text):
    found = []
    known = commands_of_cli()
    for block in re.findall(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", text, re.S):
        for line in "".join(block).split("\n"):
            for word in re.findall(r"(?:^|[\s;&|(/])uswap ([a-z]+)\b", line):
                if word not in known:
                    found.append(f"{name}: no such command: uswap {word}")
            for word in re.findall(r"\./bootstrap ([a-z]+)", line):
                if word not in commands_of_bootstrap():
                    found.append(f"{name}: no such command: ./bootstrap {word}")
            found += check_paths(name, line)
    for line in re.findall(r"^(?: {4}|\t)\s*(\S.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        found += check_paths(name, line) + check_command_line(name, line)
    return found


def check_paths(name, line):
    return [f"{name}: no such file: {path}"
            for path in re.findall(r"(?:^|[\s(])((?:tests|src|docs|include)/[\w./-]*\w)", line)
            if not exists(path) and not path.endswith("-")]


def options_in(sources, pattern):
    texts = [check_tree.read(s) for s in sources if exists(s)]
    return {"--help"} | {f"--{o}" for text in texts for o in re.findall(pattern, text, re.M)}


def options_of(program, command):
    """What a program takes, as its source says: None if there is no such program or command."""
    if program == "./bootstrap":
        return {"--help"} if command in commands_of_bootstrap() else None
    if re.fullmatch(r"build[\w-]*/uswap", program):
        if command not in commands_of_cli():
            return None
        parts = ("run-options",) if command == "run" else ("ctl", "ctl-file", "doctor")
        return options_in([f"src/cli/{part}.c" for part in parts], r'^\t+\{ ?"([a-z-]+)",')
    if program.startswith("tests/"):
        return options_in([program], r'"--([a-z-]+)"') if exists(program) else None
    folder, target = program.split("/", 1)[1].rpartition("/")[::2]
    text = check_tree.read(f"{folder}/meson.build") if exists(f"{folder}/meson.build") else ""
    if not exists(f"{folder}/{target}.c") and f"'{target}'" not in text:
        return None
    return options_in([f"{folder}/{target}.c"], r'"(?:--)?([a-z-]+)"')


def check_command_line(name, line):
    """A line that begins with a program of ours, up to a pipe, a comment or what the program runs."""
    words = re.split(r"\s(?:[|;&#>]|--\s)|\s{4,}", line)[0].split()
    if not re.match(r"\./bootstrap$|tests/[\w./-]+\.(?:py|sh)$|build[\w-]*/", words[0]):
        return []
    command = words[1] if len(words) > 1 else ""
    known = options_of(words[0], command)
    if known is None:
        return [f"{name}: no such program or command: {words[0]} {command}"]
    found = [f"{name}: {words[0]} has no option {word}"
             for word in re.findall(r"--[a-z][a-z-]*", " ".join(words[1:])) if word not in known]
    if words[0] == "./bootstrap" and command in ("test", "full"):
        stages = re.findall(r"^stage_([a-z]+)\(\)", check_tree.read("bootstrap"), re.M)
        found += [f"{name}: ./bootstrap has no stage {word}"
                  for word in words[2:] if word.isalpha() and word not in stages]
    return found


def functions_in(folder):
    names = [n for n in check_tree.files((".c", ".h")) if n.startswith(folder)]
    return {function for n in names for function in re.findall(r"\b(\w+)\(", check_tree.read(n))}


def check_functions(name, known):
    """What a document calls a function of ours is one."""
    return [f"{name}: no such function in src/: {function}()"
            for function in sorted(set(re.findall(r"`(\w+)\(\)`", check_tree.read(name))) - known)]


def check_links(name, text):
    found = []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not exists(os.path.join(os.path.dirname(name), target)):
            found.append(f"{name}: dead link: {target}")
    return found


def check_options():
    """The man page and the parser agree."""
    table = check_tree.read("src/cli/run-options.c")
    parsed = set(re.findall(r'^\t\{ ?"([a-z-]+)",', table, re.M)) - {"auto", "follow", "float"}
    page = check_tree.read("docs/man/uswap-run.1").replace("\\-", "-").split(".SH EXAMPLES")[0]
    shown = set(re.findall(r"--([a-z][a-z-]+)", page)) - {"help", "usage", "version"}
    found = [f"docs/man/uswap-run.1: option --{o} is not described" for o in sorted(parsed - shown)]
    found += [f"docs/man/uswap-run.1: there is no option --{o}" for o in sorted(shown - parsed)]
    for shell in ("uswap.bash", "_uswap", "uswap.fish"):
        text = check_tree.read(f"src/cli/completion/{shell}")
        found += [f"src/cli/completion/{shell}: option --{o} is missing"
                  for o in sorted(parsed) if not re.search(rf"(?:--|-l ){o}\b", text)]
    return found


def check_protocol():
    """Each rule has a row; each function and file of a row exists."""
    name = "docs/protocol.md"
    rows = dict(re.findall(r"^\| ([RI]\d+) \|(.*)$", check_tree.read(name), re.M))
    known = functions_in("")
    found = [f"{name}: no row for {rule}" for rule in RULES if rule not in rows]
    for rule, row in rows.items():
        for function in re.findall(r"`(\w+)\(\)`", row):
            if function not in known:
                found.append(f"{name}: {rule}: no such function: {function}()")
        for path, case in re.findall(r"`(tests/[\w./-]+)(?::(\w+))?`", row):
            if not exists(path):
                found.append(f"{name}: {rule}: no such file: {path}")
            elif case and not re.search(rf"\b{case}\b", check_tree.read(path)):
                found.append(f"{name}: {rule}: no such test: {path}:{case}")
    return found


def main():
    complaints = check_options()
    for name in check_tree.files((".md",)):
        text = check_tree.read(name)
        complaints += check_links(name, text) + check_commands(name, text)
    known = functions_in("src/")
    for name in ("docs/design.md", "docs/model.md", "docs/locking.md"):
        complaints += check_functions(name, known)
    if exists("docs/protocol.md"):
        complaints += check_protocol()
    check_tree.finish("docs", complaints)


main()
