#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-incompressible - random data under a limit that cannot hold it: right answers and a clear report
#
# With --resident the compressed part has no bound and all is well. With --limit the data cannot fit:
# the program must not be killed and must not get a wrong byte, and stderr must say that the limit
# cannot be held.
. "$(dirname "$0")/lib.sh"
[ -x "$test_bin/torture" ] || skip "$test_bin/torture is not built"

managed "$(short_or_full 48 256)" "$test_bin/torture" --threads 2 --count "$(short_or_full 5000 50000)" \
	--size "$(short_or_full 48 256)M" --mix 0,0,0,0,100
if [ "$uswap" != plain ]; then
	grep '^uswap: ' "$work/err.limit" | grep -v '^uswap: peak' | grep -q -i limit ||
		fail "--limit cannot be held, but nothing says so: $(cat "$work/err.limit")"
	grep '^uswap: ' "$work/err.limit"
fi
