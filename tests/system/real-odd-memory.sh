#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-odd-memory - locked pages under a limit are let in, and that is said; what is not locked, what is
# executable, and what was moved about, goes on leaving; what the kernel does without an event, or without
# waiting for a page, is done; where an agent cannot be, the program runs without
. "$(dirname "$0")/lib.sh"
[ -x "$test_bin/odd-memory" ] || skip "$test_bin/odd-memory is not built"

mib=$(short_or_full 64 256)
evicts="all current unlocked exec moved wiped forked"
for what in $evicts emptied joined cleared coroutine filtered; do
	"$test_bin/odd-memory" $what "$mib" >"$work/plain" || skip "mlockall() is refused"
	[ "$uswap" != plain ] || continue
	# a program that waits for room which cannot come waits for ever
	timeout 120 "$uswap" run --limit $((mib / 2))M --stats "$work/stats" -- \
		"$test_bin/odd-memory" $what "$mib" >"$work/out.$what" 2>"$work/err.$what" ||
		fail "$what: exit status $?: $(cat "$work/err.$what")"
	cmp "$work/plain" "$work/out.$what" || fail "$what: another answer"
	[[ " $evicts " = *" $what "* ]] || continue
	# more than half of what they have is outside once, but for what is locked
	evicted=$(stats_get "$work/stats" evictions | grep -o "'pages': [0-9]*" | grep -o '[0-9]*')
	echo "$what: $evicted pages evicted: $(tail -n 1 "$work/err.$what")"
	[ "$evicted" -gt $((mib * 128)) ] || fail "$what: only $evicted pages were evicted"
done
grep -q 'uswap: the limit' "$work/err.all" || fail "nothing says that the limit was exceeded"

# what cannot leave is more than is allowed, of --resident alone, with a limit that is held, and with a file
# that would make room in the pool: all that is left must not be squeezed to nothing for it
for options in "--resident $((mib / 2))M" "--resident $((mib / 4))M --limit $((mib * 2))M" \
	"--resident $((mib / 2))M --file-size 256M"; do
	"$test_bin/odd-memory" most "$mib" >"$work/plain" || skip "mlock() is refused"
	[ "$uswap" != plain ] || continue
	# shellcheck disable=SC2086 # options are words
	timeout 120 "$uswap" run $options --stats "$work/stats" -- \
		"$test_bin/odd-memory" most "$mib" >"$work/out.most" 2>"$work/err.most" ||
		fail "most, $options: exit status $?: $(cat "$work/err.most")"
	cmp "$work/plain" "$work/out.most" || fail "most, $options: another answer"
	echo "most, $options: $(tail -n 1 "$work/err.most")"
	! grep -E 'the limit|does not compress' "$work/err.most" || fail "most, $options: not what is exceeded"
done
[ "$uswap" != plain ] || exit 0
for what in current unlocked exec moved wiped forked; do
	! grep -q 'cannot be held' "$work/err.$what" || fail "the limit was not held: $(cat "$work/err.$what")"
done
