#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-fork-snapshot - fork-snapshot with so little memory that its pages do leave
. "$(dirname "$0")/lib.sh"
[ -x "$test_bin/fork-snapshot" ] || skip "$test_bin/fork-snapshot is not built"

managed "$(short_or_full 16 128)" "$test_bin/fork-snapshot" "$(short_or_full 8 128)" \
	"$(short_or_full 1 5)"
grep -h 'pages were away' "$work"/err.*
