#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-full - the store on a block device, and on a real file system that is too small for its file
#
# Usage: real-full.sh STRESS-STORE
set -u

skip()
{
	echo "skipped: $*"
	exit 77
}

stress=$(realpath "$1")
((EUID == 0)) || skip "not root: cannot mount"
command -v mkfs.ext4 >/dev/null || skip "mkfs.ext4 is missing"
dir=$(mktemp -d)
device=""
cleanup()
{
	mountpoint -q "$dir/mnt" && umount "$dir/mnt"
	[[ -z $device ]] || losetup -d "$device"
	rm -rf "$dir"
}
trap cleanup EXIT

truncate -s 6M "$dir/disk"
device=$(losetup --find --show "$dir/disk" 2>/dev/null) || { device=""; skip "no loop device"; }
USWAP_TEST_PATH=$device "$stress" || exit 1
# Nobody's data: refused, and left as it is.
echo "a thesis" | dd of="$device" conv=notrunc status=none
USWAP_TEST_PATH=$device "$stress" >/dev/null 2>&1 && { echo "a device with data was taken"; exit 1; }
[[ $(head -c 8 "$device") == "a thesis" ]] || { echo "data on a device was overwritten"; exit 1; }

mkdir "$dir/mnt"
truncate -s 3M "$dir/image"
mkfs.ext4 -q -m 0 -O ^has_journal "$dir/image" || skip "mkfs.ext4 does not work here"
mount -o loop "$dir/image" "$dir/mnt" 2>/dev/null || skip "no loop device"

USWAP_TEST_DIR=$dir/mnt USWAP_TEST_FULL=1 "$stress" || exit 1
# Nothing of it is left.
[[ -z $(find "$dir/mnt" -type f) ]] || { echo "a file was left behind"; exit 1; }
