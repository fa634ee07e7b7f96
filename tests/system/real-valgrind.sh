#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-valgrind - a program that cannot have an agent runs as it does without us, and that is said once
. "$(dirname "$0")/lib.sh"
need valgrind perl

# It is said a second after the start, or later: the program is there until then.
valgrind_run()
{
	local said=""

	[ "$mode" = plain ] || [ "$uswap" = plain ] || said=$work/err.$mode
	# shellcheck disable=SC2016 # perl's variables
	prefixed valgrind -q --tool=none perl -e '
		my $x = "uswap " x 5e6;
		for (my $n = 0; $ARGV[0] && $n < 600; $n++) {
			open(my $file, "<", $ARGV[0]);
			last if grep(/under valgrind/, <$file>);
			select(undef, undef, undef, 0.1);
		}
		print length($x), "\n"' "$said"
}

USWAP_MODES="plain limit"
modes 64 valgrind_run
[ "$uswap" = plain ] ||
	[ "$(grep -c 'under valgrind' "$work/err.limit")" = 1 ] || fail "no word about it, or too many"
