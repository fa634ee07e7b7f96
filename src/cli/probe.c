/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe - what uswap cannot do without
 *
 * The kernel is asked for what it can do, not for its version: distributions move features between
 * versions. The version is shown because that is what a user can change.
 */
#include "cli/probe.h"

#include "base/size.h"
#include "cli/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Newer than the headers of the oldest distribution we build on; values from Linux 6.8. */
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#define FEATURE_POISON (1ull << 14)
#define FEATURE_MOVE (1ull << 16)

#define FEATURES_EVENTS                                                                   \
	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | \
	 UFFD_FEATURE_EVENT_UNMAP)
#define FEATURES_NEEDED (FEATURES_EVENTS | FEATURE_POISON | FEATURE_MOVE)

enum { CAP_BIT_IPC_LOCK = 14, CAP_BIT_SYS_PTRACE = 19, CAP_BIT_SYS_RESOURCE = 24 };

struct scan_arg { /* struct pm_scan_arg of Linux 6.7 */
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_PRESENT (1u << 3)

bool probe_read_line(const char *path, char *ret_line, size_t n_bytes)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(ret_line, (int)n_bytes, f) != NULL;
	fclose(f);
	if (ok)
		ret_line[strcspn(ret_line, "\n")] = '\0';
	return ok;
}

static bool capability_has(unsigned int bit)
{
	uint64_t effective = 0;
	char line[128];
	FILE *f;

	f = fopen("/proc/self/status", "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1)
			break;
	}
	fclose(f);
	return effective & (1ull << bit);
}

/* A fresh userfaultfd by way of the device, as the worker makes them. -1 with errno. */
static int uffd_new(void)
{
	int device, fd, saved;

	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -1;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	saved = errno;
	close(device);
	errno = saved;
	return fd;
}

static void probe_device(struct probe *p, uint64_t lock_bytes)
{
	int fd = uffd_new();

	p->name = "/dev/userfaultfd";
	if (fd >= 0) {
		close(fd);
		snprintf(p->detail, sizeof(p->detail), "usable");
		return;
	}
	p->state = PROBE_FAIL;
	snprintf(p->detail, sizeof(p->detail), "%s", strerror(errno));
	if (errno == ENOENT)
		snprintf(p->advice, sizeof(p->advice),
			 "needs Linux 6.8 with CONFIG_USERFAULTFD=y; in a container give it the "
			 "device /dev/userfaultfd");
	else
		snprintf(p->advice, sizeof(p->advice),
			 "run as root (sudo uswap run ...), or give your user access: "
			 "setfacl -m u:NAME:rw /dev/userfaultfd");
}

static void probe_kernel(struct probe *p, uint64_t lock_bytes)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct utsname uts;
	int fd;

	p->name = "kernel";
	uname(&uts);
	snprintf(p->detail, sizeof(p->detail), "Linux %s", uts.release);
	fd = uffd_new();
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
		p->state = PROBE_FAIL;
		snprintf(p->detail, sizeof(p->detail), "Linux %s: no userfaultfd: %s", uts.release,
			 strerror(errno));
		snprintf(p->advice, sizeof(p->advice),
			 "needs CONFIG_USERFAULTFD=y and a container that allows the system call");
	} else if ((api.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		p->state = PROBE_FAIL;
		snprintf(p->detail, sizeof(p->detail), "Linux %s: userfaultfd lacks%s%s%s",
			 uts.release, api.features & FEATURE_MOVE ? "" : " MOVE",
			 api.features & FEATURE_POISON ? "" : " POISON",
			 (api.features & FEATURES_EVENTS) == FEATURES_EVENTS ? "" : " EVENTS");
		snprintf(p->advice, sizeof(p->advice), "boot Linux 6.8 or newer");
	}
	if (fd >= 0)
		close(fd);
}

static void probe_fork_events(struct probe *p, uint64_t lock_bytes)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK };
	int fd = uffd_new();

	p->name = "CAP_SYS_PTRACE";
	if (capability_has(CAP_BIT_SYS_PTRACE) && (fd < 0 || !ioctl(fd, UFFDIO_API, &api))) {
		snprintf(p->detail, sizeof(p->detail), "present");
	} else {
		p->state = PROBE_FAIL;
		snprintf(p->detail, sizeof(p->detail),
			 "missing: the kernel would not tell the daemon of fork()");
		snprintf(p->advice, sizeof(p->advice),
			 "run as root (sudo uswap run ...), or once: "
			 "setcap cap_sys_ptrace,cap_ipc_lock+ep uswap");
	}
	if (fd >= 0)
		close(fd);
}

static void probe_memlock(struct probe *p, uint64_t lock_bytes)
{
	char have[32], need[32];
	struct rlimit limit;

	p->name = "locked memory";
	if (capability_has(CAP_BIT_IPC_LOCK) || capability_has(CAP_BIT_SYS_RESOURCE)) {
		snprintf(p->detail, sizeof(p->detail), "unlimited (by capability)");
		return;
	}
	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		limit.rlim_max = 0;
	if (limit.rlim_max == RLIM_INFINITY) {
		snprintf(p->detail, sizeof(p->detail), "unlimited");
		return;
	}
	size_format(have, sizeof(have), limit.rlim_max);
	snprintf(p->detail, sizeof(p->detail), "at most %s", have);
	if (limit.rlim_max >= lock_bytes && limit.rlim_max >= 64u << 20)
		return;
	size_format(need, sizeof(need), lock_bytes > 64u << 20 ? lock_bytes : 64u << 20);
	p->state = PROBE_FAIL;
	snprintf(p->advice, sizeof(p->advice),
		 "the daemon locks its memory and needs %s: raise the limit (ulimit -l, "
		 "LimitMEMLOCK= or limits.conf) or give uswap CAP_IPC_LOCK",
		 need);
}

static void probe_pagemap_scan(struct probe *p, uint64_t lock_bytes)
{
	uint64_t region[3]; /* struct page_region: start, end, categories */
	uintptr_t page = (uintptr_t)region & ~(uintptr_t)4095;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = page,
		.end = page + 4096,
		.vec = (uintptr_t)region,
		.vec_len = 1,
		.category_mask = SCAN_PRESENT,
		.return_mask = SCAN_PRESENT,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	p->name = "PAGEMAP_SCAN";
	if (fd >= 0 && ioctl(fd, SCAN_IOCTL, &arg) >= 0) {
		snprintf(p->detail, sizeof(p->detail), "works");
	} else if (fd < 0 && errno == EACCES) {
		/* Given capabilities by setcap, we may not look at ourselves; at others we may. */
		snprintf(p->detail, sizeof(p->detail), "not checked");
	} else {
		p->state = PROBE_FAIL;
		snprintf(p->detail, sizeof(p->detail), "%s", strerror(errno));
		snprintf(p->advice, sizeof(p->advice),
			 "boot Linux 6.8 or newer; /proc must be mounted");
	}
	if (fd >= 0)
		close(fd);
}

static void probe_preload(struct probe *p, uint64_t lock_bytes)
{
	char path[PRELOAD_PATH_BYTES];

	p->name = "preload library";
	if (!preload_find(path, sizeof(path))) {
		snprintf(p->detail, sizeof(p->detail), "%.180s", path);
		return;
	}
	p->state = PROBE_FAIL;
	snprintf(p->detail, sizeof(p->detail), PRELOAD_NAME " was not found");
	snprintf(p->advice, sizeof(p->advice),
		 "install uswap completely, or keep the library beside the program; the path may "
		 "hold neither space nor colon");
}

static void probe_nofile(struct probe *p, uint64_t lock_bytes)
{
	struct rlimit limit;

	p->name = "open files";
	if (getrlimit(RLIMIT_NOFILE, &limit))
		limit.rlim_max = 0;
	snprintf(p->detail, sizeof(p->detail), "at most %" PRIu64, (uint64_t)limit.rlim_max);
	if (limit.rlim_max >= 1024)
		return;
	p->state = limit.rlim_max >= 128 ? PROBE_WARN : PROBE_FAIL;
	snprintf(p->advice, sizeof(p->advice),
		 "each managed process takes about six descriptors: ulimit -Hn 4096, LimitNOFILE=");
}

static void (*const required[])(struct probe *p, uint64_t lock_bytes) = {
	probe_kernel,  probe_device, probe_fork_events, probe_pagemap_scan,
	probe_memlock, probe_nofile, probe_preload,
};

static void (*const optional[])(struct probe *p) = {
	probe_map_count, probe_cgroup, probe_thp, probe_haltpoll, probe_kernel_swap, probe_io_uring,
};

size_t probe_all(struct probe *ret_probes, size_t n_max, uint64_t lock_bytes)
{
	size_t n = 0;

	memset(ret_probes, 0, n_max * sizeof(*ret_probes));
	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]) && n < n_max; i++)
		required[i](&ret_probes[n++], lock_bytes);
	for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]) && n < n_max; i++)
		optional[i](&ret_probes[n++]);
	return n;
}

bool probe_required(struct probe *ret_failed, uint64_t lock_bytes)
{
	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		memset(ret_failed, 0, sizeof(*ret_failed));
		required[i](ret_failed, lock_bytes);
		if (ret_failed->state == PROBE_FAIL)
			return false;
	}
	return true;
}
