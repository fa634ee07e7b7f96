#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-bwrap - bubblewrap: new user, mount and process namespaces around a managed program
. "$(dirname "$0")/lib.sh"
need bwrap
bwrap --ro-bind / / --dev /dev --proc /proc --unshare-user --unshare-pid true ||
	skip "bwrap does not work here"

managed "$(short_or_full 16 32)" bwrap --ro-bind / / --dev /dev --proc /proc --unshare-user \
	--unshare-pid --unshare-ipc --die-with-parent "$test_bin/fork-snapshot" \
	"$(short_or_full 8 32)" 1 "$(short_or_full 7 1)"
managed 48 bwrap --ro-bind / / --dev /dev --proc /proc --unshare-user \
	--unshare-pid "$test_bin/torture" --threads 2 --size 48M --count "$(short_or_full 3000 20000)" \
	--mix 15,15,40,25,5
