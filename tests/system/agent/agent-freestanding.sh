#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The agent's objects need nobody and keep nothing; the library needs little.
# Usage: agent-freestanding.sh LIBAGENT LIBRARY

agent=$1
library=$2
command -v nm >/dev/null && command -v readelf >/dev/null || {
	echo "skipped: nm and readelf are needed (binutils)"
	exit 77
}
failed=0

complain()
{
	echo "FAIL $*"
	failed=1
}

defined=$(nm --defined-only "$agent" 2> /dev/null | awk 'NF == 3 { print $3 }' | sort -u)
wanted=$(nm -u "$agent" 2> /dev/null | awk '$1 == "U" { print $2 }' | sort -u)
missing=$(comm -13 <(echo "$defined") <(echo "$wanted") | grep -v '^_GLOBAL_OFFSET_TABLE_$')
[ -n "$defined" ] || complain "no symbols in $agent"
[ -z "$missing" ] || complain "the agent calls from outside:" $missing
kept=$(nm "$agent" 2> /dev/null | awk '$2 ~ /^[bBdDcCgGsS]$/ { print $3 }')
[ -z "$kept" ] || complain "the agent keeps data:" $kept

imports=$(nm -D --undefined-only "$library" | awk '{ sub(/@.*/, "", $2); print $2 }' | sort)
allowed='__errno_location __register_atfork dlerror dlsym pthread_mutexattr_getprotocol pthread_mutexattr_getrobust'
for name in $imports; do
	case " $allowed " in
	*" $name "*) ;;
	*) complain "the library imports $name" ;;
	esac
done
needed=$(readelf -d "$library" | grep NEEDED | grep -vc 'libc\.so\.6')
[ "$needed" = 0 ] || complain "the library needs more than libc"
relocations=$(readelf -rW "$library" | grep -c 'R_.*_RELATIVE\|R_.*_GLOB_DAT\|R_.*_64 ')
[ "$relocations" -le 4 ] || complain "$relocations relocations at start"
readelf -SW "$library" | grep -q '\.tbss\|\.tdata' && complain "thread-local storage"
exit $failed
