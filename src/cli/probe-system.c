/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe-system - settings of the machine that make uswap faster or slower
 *
 * None of these stops uswap; each says what it costs and how to change it.
 */
#include "cli/probe.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void probe_map_count(struct probe *p)
{
	char line[32];

	p->name = "vm.max_map_count";
	if (!probe_read_line("/proc/sys/vm/max_map_count", line, sizeof(line))) {
		snprintf(p->detail, sizeof(p->detail), "unknown");
		return;
	}
	snprintf(p->detail, sizeof(p->detail), "%s", line);
	if (atol(line) >= 65530)
		return;
	p->state = PROBE_WARN;
	snprintf(p->advice, sizeof(p->advice),
		 "programs with many mappings may reach it: sysctl vm.max_map_count=262144");
}

void probe_cgroup(struct probe *p)
{
	p->name = "cgroups";
	if (!access("/sys/fs/cgroup/cgroup.controllers", F_OK))
		snprintf(p->detail, sizeof(p->detail), "version 2");
	else if (!access("/sys/fs/cgroup/memory", F_OK))
		snprintf(p->detail, sizeof(p->detail),
			 "version 1: no memory.high, uswap slows programs down by itself");
	else
		snprintf(p->detail, sizeof(p->detail),
			 "no memory group: uswap slows programs down by itself");
}

void probe_thp(struct probe *p)
{
	char line[64];
	char *mode, *end;

	p->name = "huge pages";
	if (!probe_read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line))) {
		snprintf(p->detail, sizeof(p->detail), "none");
		return;
	}
	mode = strchr(line, '[');
	end = mode ? strchr(mode, ']') : NULL;
	if (end)
		*end = '\0';
	snprintf(p->detail, sizeof(p->detail), "%s", end ? mode + 1 : line);
	if (strcmp(p->detail, "always"))
		return;
	p->state = PROBE_WARN;
	snprintf(p->advice, sizeof(p->advice),
		 "memory a program asked for but never touched counts as resident: "
		 "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

static bool machine_is_virtual(void)
{
	bool found = false;
	char line[4096];
	FILE *f;

	f = fopen("/proc/cpuinfo", "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "flags", 5) && strstr(line, " hypervisor");
	fclose(f);
	return found;
}

void probe_haltpoll(struct probe *p)
{
	char driver[64] = "none", poll_ns[32] = "";

	p->name = "halt polling";
	if (!machine_is_virtual()) {
		snprintf(p->detail, sizeof(p->detail), "not a virtual machine");
		return;
	}
	probe_read_line("/sys/devices/system/cpu/cpuidle/current_driver", driver, sizeof(driver));
	probe_read_line("/sys/module/haltpoll/parameters/guest_halt_poll_ns", poll_ns,
			sizeof(poll_ns));
	snprintf(p->detail, sizeof(p->detail), "virtual machine, idle driver %s%s%s", driver,
		 *poll_ns ? ", guest_halt_poll_ns " : "", poll_ns);
	if (!strcmp(driver, "haltpoll") && atol(poll_ns) > 0)
		return;
	p->state = PROBE_WARN;
	snprintf(p->advice, sizeof(p->advice),
		 "waking a thread on another CPU may cost 50 to 120 us here instead of 15: "
		 "%secho 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns",
		 strcmp(driver, "haltpoll") ? "modprobe haltpoll force=1; " : "");
}

static bool zram_swaps(void)
{
	bool found = false;
	char line[256];
	FILE *f;

	f = fopen("/proc/swaps", "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "/dev/zram", 9);
	fclose(f);
	return found;
}

void probe_kernel_swap(struct probe *p)
{
	char line[16] = "";
	bool zram, zswap;

	p->name = "kernel swap";
	zram = zram_swaps();
	zswap = probe_read_line("/sys/module/zswap/parameters/enabled", line, sizeof(line)) &&
		*line == 'Y';
	snprintf(p->detail, sizeof(p->detail), "zram %s, zswap %s", zram ? "active" : "off",
		 zswap ? "active" : "off");
	if (!zram && !zswap)
		return;
	p->state = PROBE_WARN;
	snprintf(p->advice, sizeof(p->advice),
		 "harmless, but a page may be compressed twice when the whole machine is short of "
		 "memory");
}

void probe_io_uring(struct probe *p)
{
	struct io_uring_params params;
	long fd;

	p->name = "io_uring";
	memset(&params, 0, sizeof(params));
	fd = syscall(SYS_io_uring_setup, 1, &params);
	if (fd >= 0) {
		close((int)fd);
		snprintf(p->detail, sizeof(p->detail), "available");
		return;
	}
	p->state = PROBE_WARN;
	snprintf(p->detail, sizeof(p->detail), "%s", strerror(errno));
	snprintf(p->advice, sizeof(p->advice),
		 "without it threads read and write a swap file, and each read wakes one more: "
		 "sysctl kernel.io_uring_disabled=0; in a container, a seccomp filter that allows "
		 "it");
}
