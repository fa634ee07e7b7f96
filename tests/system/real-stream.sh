#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-stream - what is read in streams leaves by the copy that was kept of it, unless it has changed
. "$(dirname "$0")/lib.sh"

[ -x "$test_bin/stream" ] || skip "$test_bin/stream is not built"
mib=$(short_or_full 96 768)
managed "$mib" "$test_bin/stream" "$mib" "$(short_or_full 10 40)"
[ "$uswap" != plain ] || exit 0
need python3
for mode in ${USWAP_MODES:-plain resident limit file}; do
	case $mode in
	resident | limit) ;;
	*) continue ;;
	esac
	for name in put_unchanged put_changed; do
		[ "$(stats_get "$work/stats.$mode" $name)" -gt 100 ] ||
			fail "$name: $(stats_get "$work/stats.$mode" $name)"
	done
done
