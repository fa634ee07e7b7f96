#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-valgrind - a program that cannot have an agent runs as it does without us, and that is said once
. "$(dirname "$0")/lib.sh"
need valgrind perl

# shellcheck disable=SC2016 # perl's variables
USWAP_MODES="plain limit"
managed 64 valgrind -q --tool=none perl -e 'my $x = "uswap " x 5e6; sleep 3; print length($x), "\n"'
[ "$uswap" = plain ] ||
	[ "$(grep -c 'under valgrind' "$work/err.limit")" = 1 ] || fail "no word about it, or too many"
