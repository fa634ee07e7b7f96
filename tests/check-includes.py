#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The direction of includes: base <- core <- store, space <- daemon <- cli; agent stands alone."""

import re

import check_tree

MAY_USE = {
    "base": {"base"},
    "core": {"base", "core"},
    "store": {"base", "core", "store"},
    "space": {"base", "core", "space"},
    "daemon": {"base", "core", "store", "space", "daemon"},
    "cli": {"base", "daemon", "cli"},
    "agent": {"agent"},
}
# What of the public headers a layer may see; the others know nothing of the wire.
MAY_SPEAK = {"agent", "space", "daemon", "cli"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def complaints_of(name):
    layer = name.split("/")[1]
    if layer not in MAY_USE:
        return [f"{name}: src/{layer} is not a layer"]
    found = []
    for quote, target in INCLUDE.findall(check_tree.read(name)):
        folder = target.split("/")[0] if "/" in target else None
        if quote == "<":
            if folder == "uswap" and layer not in MAY_SPEAK:
                found.append(f"{name}: {layer} may not include <{target}>")
            continue
        if target.startswith("uswap/"):
            if layer not in MAY_SPEAK:
                found.append(f'{name}: {layer} may not include "{target}"')
        elif folder is None:
            if layer != "agent":
                found.append(f'{name}: "{target}": say the layer, as in "{layer}/{target}"')
        elif folder not in MAY_USE[layer]:
            found.append(f'{name}: {layer} may not include "{target}"')
    return found


def cycles(headers):
    """Headers that include each other in a ring."""
    graph = {}
    for name in headers:
        targets = [t for q, t in INCLUDE.findall(check_tree.read(name)) if q == '"' and "/" in t]
        graph[name] = [f"src/{t}" for t in targets if f"src/{t}" in headers]
    state, found = {}, []

    def visit(name, path):
        state[name] = "open"
        for target in graph[name]:
            if state.get(target) == "open":
                found.append(f"{target}: includes itself by way of {' '.join(path + [name])}")
            elif target not in state:
                visit(target, path + [name])
        state[name] = "done"

    for name in graph:
        if name not in state:
            visit(name, [])
    return found


def main():
    sources = [n for n in check_tree.files((".c", ".h", ".S")) if n.startswith("src/")]
    complaints = [c for name in sources for c in complaints_of(name)]
    complaints += cycles({n for n in sources if n.endswith(".h")})
    check_tree.finish("includes", complaints)


main()
