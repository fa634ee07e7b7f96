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

/* /proc/PID/stat, see proc_pid_stat(5) */
#define FLAG_EXITING 0x00000004u
#define FLAG_KERNEL_THREAD 0x00200000u
#define STAT_ENV_START 50 /* number of the field */

static int proc_open(const char *pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/*
 * In the middle of an exec: it has left the old memory, and where its environment lies in the new one is
 * not written down yet. Threads of the kernel, and who is ending, have no memory at all.
 */
static bool is_in_exec(const char *pid)
{
	_cleanup_(closep) int fd = proc_open(pid, "stat");
	unsigned long long env_start;
	char buf[1024], state;
	const char *at;
	unsigned flags;
	ssize_t len;

	if (fd < 0 || (len = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return false;
	buf[len] = '\0';
	at = strrchr(buf, ')'); /* the name before it may hold anything */
	if (!at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return false;
	if (state == 'Z' || state == 'X' || flags & (FLAG_EXITING | FLAG_KERNEL_THREAD))
		return false;
	for (int field = 2; at && field < STAT_ENV_START; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, " %llu", &env_start) == 1 && !env_start;
}

/* @mark: a variable and its value. */
static enum kin environ_look(const char *pid, const char *mark)
{
	static char buf[64 << 10];
	_cleanup_(closep) int fd = proc_open(pid, "environ");
	size_t mark_len = strlen(mark), kept = 0;
	bool any = false;
	ssize_t len;

	if (fd < 0)
		return KIN_NO;
	while ((len = read(fd, buf + kept, sizeof(buf) - kept)) > 0) {
		size_t n = kept + (size_t)len;

		any = true;
		if (memmem(buf, n, mark, mark_len))
			return KIN_YES;
		kept = n < mark_len ? n : mark_len - 1; /* it may lie across two reads */
		memmove(buf, buf + n - kept, kept);
	}
	return any ? KIN_NO : KIN_UNSURE;
}

/*
 * An exec exchanges the memory that an open file of environ means: a second look, if the first may have
 * fallen between the two.
 */
static enum kin mark_look(const char *pid, const char *mark)
{
	enum kin kin = environ_look(pid, mark);

	if (kin != KIN_UNSURE)
		return kin;
	if (is_in_exec(pid))
		return KIN_UNSURE;
	kin = environ_look(pid, mark);
	if (kin == KIN_UNSURE && !is_in_exec(pid))
		return KIN_NO; /* it has an empty one */
	return kin;
}

enum kin kin_look(pid_t pid, const char *socket_name)
{
	char mark[128], number[16];

	snprintf(mark, sizeof(mark), USWAP_ENV_SOCKET "=%s", socket_name);
	snprintf(number, sizeof(number), "%d", (int)pid);
	return mark_look(number, mark);
}

uint32_t kin_count(const char *socket_name, pid_t after, bool *ret_unsure)
{
	const pid_t self = getpid();
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char mark[128];
	uint32_t n = 0;

	*ret_unsure = false;
	if (!dir)
		return 0;
	snprintf(mark, sizeof(mark), USWAP_ENV_SOCKET "=%s", socket_name);
	while ((entry = readdir(dir))) {
		pid_t pid = (pid_t)atoi(entry->d_name);
		enum kin kin = KIN_NO;

		if (isdigit((unsigned char)entry->d_name[0]) && pid > after && pid != self)
			kin = mark_look(entry->d_name, mark);
		n += kin == KIN_YES;
		*ret_unsure |= kin == KIN_UNSURE;
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
