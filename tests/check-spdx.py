#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each file says its licence in its first lines."""

import check_tree

TAG = "SPDX-" + "License-Identifier: LGPL-2.1-or-later"
WITHOUT = {"LICENSE"}


def main():
    complaints = []
    for name in check_tree.files():
        if name in WITHOUT:
            continue
        head = check_tree.read(name).split("\n")[:5]
        if not any(TAG in line for line in head):
            complaints.append(f"{name}: no SPDX line")
    check_tree.finish("spdx", complaints)


main()
