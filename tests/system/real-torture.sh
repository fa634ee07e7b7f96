#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-torture - the torture test under uswap: same digest as plain
#
#   real-torture.sh USWAP_BINARY [THREADS…]
. "$(dirname "$0")/lib.sh"
shift
[ -x "$test_bin/torture" ] || skip "$test_bin/torture is not built"

size_mib=$(short_or_full 64 512)
mix=15,15,40,25,5 # about 3:1, so that half of it can hold all of it
for threads in "${@:-2}"; do
	seed=${TORTURE_SEED:-$threads}
	if [ "$full" = 1 ]; then # ten minutes each, by time
		for mode in resident limit file; do
			run_set "$size_mib"
			${run[@]+"${run[@]}"} "$test_bin/torture" --threads "$threads" \
				--seconds "${TORTURE_SECONDS:-600}" --size "${size_mib}M" \
				--seed "$seed" --mix "$mix" --verbose || fail "$mode, $threads threads: status $?"
		done
	else
		managed "$size_mib" "$test_bin/torture" --threads "$threads" \
			--count $((${TORTURE_COUNT:-24000} / threads)) --size "${size_mib}M" --seed "$seed" \
			--mix "$mix" --hang "${TORTURE_HANG:-60}"
	fi
done
