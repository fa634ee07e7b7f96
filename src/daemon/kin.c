// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * kin - see kin.h
 *
 * syscalls: openat getdents64 read
 */
#include "daemon/kin.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uswap/protocol.h>

#include "base/cleanup.h"

static int proc_open(const char *pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* @mark: a variable and its value. */
static bool environ_holds(const char *pid, const char *mark)
{
	static char buf[64 << 10];
	_cleanup_(closep) int fd = proc_open(pid, "environ");
	size_t mark_len = strlen(mark), kept = 0;
	ssize_t len;

	while (fd >= 0 && (len = read(fd, buf + kept, sizeof(buf) - kept)) > 0) {
		size_t n = kept + (size_t)len;

		if (memmem(buf, n, mark, mark_len))
			return true;
		kept = n < mark_len ? n : mark_len - 1; /* it may lie across two reads */
		memmove(buf, buf + n - kept, kept);
	}
	return false;
}

bool kin_is(pid_t pid, const char *socket_name)
{
	char mark[128], number[16];

	snprintf(mark, sizeof(mark), USWAP_ENV_SOCKET "=%s", socket_name);
	snprintf(number, sizeof(number), "%d", (int)pid);
	return environ_holds(number, mark);
}

uint32_t kin_count(const char *socket_name, pid_t after)
{
	const pid_t self = getpid();
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char mark[128];
	uint32_t n = 0;

	if (!dir)
		return 0;
	snprintf(mark, sizeof(mark), USWAP_ENV_SOCKET "=%s", socket_name);
	while ((entry = readdir(dir))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (isdigit((unsigned char)entry->d_name[0]) && pid > after && pid != self)
			n += environ_holds(entry->d_name, mark);
	}
	closedir(dir);
	return n;
}

pid_t kin_after(void)
{
	_cleanup_(closep) int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	char buf[128] = "";
	int last = 0;

	/* the last field is the number given out last */
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) <= 0 ||
	    sscanf(buf, "%*s %*s %*s %*s %d", &last) != 1)
		return 0;
	return last >= getpid() ? getpid() : 0;
}
