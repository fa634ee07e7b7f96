// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The client's threads: where their control blocks lie, what they are doing, where they run.
 *
 * The kernel touches a thread's control block where it cannot wait for a missing page: at its exit
 * it clears the tid in it and walks the robust list (R11). get_robust_list() tells from outside
 * where the list head is; with glibc that is inside struct pthread, at the top of the thread's
 * stack. What is just below, the live end of the stack, stays as well.
 *
 * syscalls: getdents64 get_robust_list openat read pread64
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "space/mem-impl.h"

#define BLOCK_BELOW_BYTES 32768u /* live end of the stack, static TLS */
#define BLOCK_ABOVE_BYTES 4096u	 /* struct pthread is 2.3 KiB; the list head is in its first KiB */
#define NR_MMAP 9
#define NR_MUNMAP 11
#define NR_MREMAP 25
#define NR_MADVISE 28
#define NR_PROCESS_MADVISE 440

/* Return: bytes; -errno. */
static ssize_t read_and_close(int fd, char *buf, size_t n_bytes)
{
	ssize_t n;

	n = read(fd, buf, n_bytes - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n >= 0)
		buf[n] = 0;
	return n;
}

ssize_t mem_proc_read(const struct mem_linux *m, const char *name, char *buf, size_t n_bytes)
{
	int fd = openat(m->proc_fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return read_and_close(fd, buf, n_bytes);
}

int mem_each_thread(struct mem_linux *m, int (*fn)(struct mem_linux *m, int tid, void *user),
		    void *user)
{
	char buf[4096] __attribute__((aligned(8)));
	int r;

	if (m->task_fd < 0)
		return -ESRCH;
	if (lseek(m->task_fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, m->task_fd, buf, sizeof(buf));
		long at;

		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		for (at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);

			at += d->d_reclen;
			if (!isdigit((unsigned char)d->d_name[0]))
				continue;
			r = fn(m, atoi(d->d_name), user);
			if (r)
				return r;
		}
	}
}

/* The thread that is asked has no memory any more: it has ended. */
static bool mm_is_gone(const struct mem_linux *m)
{
	char size;

	return pread(m->statm_fd, &size, 1, 0) != 1 || size == '0';
}

/* Ask @tid from now on, if it has memory. Return: 1: it has; 0. */
static int mm_try_thread(struct mem_linux *m, int tid, void *user)
{
	char path[32], size;
	int fd;

	(void)user;
	snprintf(path, sizeof(path), "task/%d/statm", tid);
	fd = openat(m->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (pread(fd, &size, 1, 0) != 1 || size == '0') {
		close(fd);
		return 0;
	}
	close(m->statm_fd);
	m->statm_fd = fd;
	m->mm_tid = tid;
	return 1;
}

static void mm_follow(struct mem_linux *m)
{
	if (mm_is_gone(m))
		(void)mem_each_thread(m, mm_try_thread, NULL);
}

int mem_proc_open(struct mem_linux *m, const char *name)
{
	char path[64];
	int fd;

	mm_follow(m);
	if (m->mm_tid)
		snprintf(path, sizeof(path), "task/%d/%s", m->mm_tid, name);
	fd = openat(m->proc_fd, m->mm_tid ? path : name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

struct ranges {
	struct urange *at;
	uint32_t n;
	uint32_t n_max;
};

static int ranges_push(struct ranges *ranges, uint64_t start, uint64_t end)
{
	if (ranges->n == ranges->n_max)
		return -ENOSPC;
	ranges->at[ranges->n++] =
		(struct urange){ start & ~(uint64_t)(USWAP_PAGE_BYTES - 1),
				 (end + USWAP_PAGE_BYTES - 1) & ~(uint64_t)(USWAP_PAGE_BYTES - 1) };
	return 0;
}

static int thread_block(struct mem_linux *m, int tid, void *user)
{
	void *head = NULL;
	size_t len;

	(void)m;
	if (syscall(SYS_get_robust_list, tid, &head, &len))
		return errno == ESRCH ? 0 : -errno;
	if (!head) /* the agent, or a thread that just begins: its block is in use, so it is young */
		return 0;
	return ranges_push(user, (uint64_t)head - BLOCK_BELOW_BYTES,
			   (uint64_t)head + BLOCK_ABOVE_BYTES);
}

/* Pages of PI and robust mutexes, which the library has listed. */
static int mutex_pages(struct mem_linux *m, struct ranges *ranges)
{
	struct uswap_protect list;
	uint64_t k;
	ssize_t len;
	int r = 0;

	if (!m->protect_addr)
		return 0;
	len = m->base.ops->read_mem(&m->base, m->protect_addr, &list, sizeof(list));
	if (len != sizeof(list))
		return -ENOSPC; /* the client took it away: nothing is known, nothing leaves */
	if (list.n > USWAP_PROTECT_MAX)
		return -ENOSPC;
	for (k = 0; !r && k < list.n; k++)
		r = ranges_push(ranges, list.page_addr[k], list.page_addr[k] + USWAP_PAGE_BYTES);
	return r;
}

int mem_protected_ranges(struct mem *base, struct urange *at, uint32_t n, uint32_t *ret_n)
{
	struct mem_linux *m = mem_linux_of(base);
	struct ranges ranges = { at, 0, n };
	int r = mem_each_thread(m, thread_block, &ranges);

	if (!r)
		r = mutex_pages(m, &ranges);
	*ret_n = ranges.n;
	return r;
}

/* utime of a thread in clock ticks: it grows only in user mode. Return: 0; -ESRCH: it has ended; -errno. */
static int thread_utime(const struct mem_linux *m, int tid, uint64_t *ret)
{
	char path[64], buf[1024];
	const char *at;
	ssize_t n;
	int field;

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	n = mem_proc_read(m, path, buf, sizeof(buf));
	if (n <= 0)
		return n ? (int)n : -EIO;
	at = strrchr(buf, ')');
	for (field = 2; at && field < 14; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, " %" SCNu64, ret) == 1 ? 0 : -EIO;
}

/*
 * A worker of io_uring makes calls for others, madvise() among them. It is known by having no registers of
 * user mode: @call, what the kernel says of the call it is in, is that of who made it.
 */
static bool worker_is_busy(const struct mem_linux *m, int tid, const char *call)
{
	static const char no_registers[] = " 0x0 0x0\n";
	const size_t len = strlen(call), n_tail = sizeof(no_registers) - 1;
	char path[64], where[64];
	ssize_t n;

	if (len < n_tail || strcmp(call + len - n_tail, no_registers))
		return false;
	snprintf(path, sizeof(path), "task/%d/wchan", tid);
	n = mem_proc_read(m, path, where, sizeof(where));
	if (n <= 0)
		return n != -ESRCH;
	return strcmp(where, "io_wq_worker") && strcmp(where, "io_sq_thread");
}

struct zap_check {
	bool inside;
	uint32_t n;
	struct {
		int tid;
		uint64_t utime;
	} running[MEM_MAX_ZAP_THREADS];
};

/*
 * A thread that waits in another call, or for a fault, is not in madvise(), unless it works for io_uring.
 * One that runs may be; once its user time has grown since a look after the event it has left whatever call
 * it was in (by two ticks: with accounting by ticks one may be charged wrongly).
 */
static int thread_zap(struct mem_linux *m, int tid, void *user)
{
	struct zap_check *check = user;
	char path[64], buf[256];
	uint64_t utime = 0;
	uint32_t k;
	ssize_t n;
	long nr;
	int r;

	snprintf(path, sizeof(path), "task/%d/syscall", tid);
	n = mem_proc_read(m, path, buf, sizeof(buf));
	if (n == -ESRCH)
		return 0; /* it has ended */
	if (n <= 0) {
		check->inside = true; /* nobody says */
		return 0;
	}
	if (strncmp(buf, "running", 7)) {
		nr = atol(buf);
		check->inside |=
			nr == NR_MADVISE || nr == NR_PROCESS_MADVISE || worker_is_busy(m, tid, buf);
		return 0;
	}
	r = thread_utime(m, tid, &utime);
	if (r) {
		check->inside |= r != -ESRCH;
		return 0;
	}
	for (k = 0; k < m->zap.n; k++)
		if (m->zap.thread[k].tid == tid && utime > m->zap.thread[k].utime + 1)
			return 0;
	check->inside = true;
	for (k = 0; k < m->zap.n; k++)
		if (m->zap.thread[k].tid == tid)
			utime = m->zap.thread[k].utime; /* keep the older mark */
	if (check->n < MEM_MAX_ZAP_THREADS) {
		check->running[check->n].tid = tid;
		check->running[check->n++].utime = utime;
	}
	return 0;
}

bool mem_inside_zap(struct mem *base, uint64_t since_ns)
{
	struct mem_linux *m = mem_linux_of(base);
	struct zap_check check;
	uint32_t k;

	/* marks from before say nothing of a call that came since */
	if (m->zap.since_ns != since_ns)
		m->zap.n = 0;
	m->zap.since_ns = since_ns;
	check.inside = false;
	check.n = 0;
	if (mem_each_thread(m, thread_zap, &check))
		return true;
	m->zap.n = check.inside ? check.n : 0;
	for (k = 0; k < m->zap.n; k++) {
		m->zap.thread[k].tid = check.running[k].tid;
		m->zap.thread[k].utime = check.running[k].utime;
	}
	return check.inside;
}

struct call_search {
	struct mem_call *calls;
	uint32_t n, n_max;
	uint32_t n_running;
};

static int call_takes(struct call_search *search, int tid, uint64_t start, uint64_t len)
{
	const uint64_t end =
		(start + len + USWAP_PAGE_BYTES - 1) & ~(uint64_t)(USWAP_PAGE_BYTES - 1);

	if (search->n == search->n_max)
		return -ENOSPC;
	search->calls[search->n++] = (struct mem_call){ { start, end }, (uint32_t)tid };
	return 0;
}

/* mremap() tells of the parts one by one: what was at the target, what moves, the tail that it cuts off. */
static int mremap_takes(struct call_search *search, int tid, const uint64_t arg[5])
{
	const uint64_t at = arg[0], len = arg[1], new_len = arg[2], flags = arg[3], to = arg[4];
	int r = 0;

	if (flags & MREMAP_FIXED)
		r = call_takes(search, tid, to, new_len);
	if (!r && new_len < len)
		r = call_takes(search, tid, at + new_len, len - new_len);
	if (!r && (new_len >= len || flags & MREMAP_FIXED))
		r = call_takes(search, tid, at, new_len < len ? new_len : len);
	return r;
}

static int thread_call(struct mem_linux *m, int tid, void *user)
{
	struct call_search *search = user;
	char path[64], buf[256];
	uint64_t arg[5];
	ssize_t n;
	int nr;

	snprintf(path, sizeof(path), "task/%d/syscall", tid);
	n = mem_proc_read(m, path, buf, sizeof(buf));
	if (n < 0)
		return n == -ESRCH ? 0 : (int)n;
	if (sscanf(buf, "%d %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &nr, &arg[0],
		   &arg[1], &arg[2], &arg[3], &arg[4]) != 6) {
		search->n_running++;
		return 0;
	}
	if (nr == NR_MREMAP)
		return mremap_takes(search, tid, arg);
	if (nr == NR_MUNMAP || (nr == NR_MMAP && arg[3] & MAP_FIXED))
		return call_takes(search, tid, arg[0], arg[1]);
	return 0;
}

int mem_find_calls(struct mem *m, struct mem_call *calls, uint32_t n_max, uint32_t *ret_n,
		   uint32_t *ret_n_running)
{
	struct call_search search = { .calls = calls, .n_max = n_max };
	int r = mem_each_thread(mem_linux_of(m), thread_call, &search);

	*ret_n = search.n;
	*ret_n_running = search.n_running;
	return r;
}

int mem_linux_thread_cpu(const struct mem *base, uint32_t tid)
{
	const struct mem_linux *m = (const struct mem_linux *)(const void *)base;
	char path[64], buf[1024];
	const char *at;
	int field, cpu;

	snprintf(path, sizeof(path), "task/%u/stat", tid);
	if (mem_proc_read(m, path, buf, sizeof(buf)) <= 0)
		return -1;
	at = strrchr(buf, ')');
	for (field = 2; at && field < 39; field++)
		at = strchr(at + 1, ' ');
	return at && sscanf(at, " %d", &cpu) == 1 ? cpu : -1;
}

int mem_linux_parent(int pid)
{
	char path[32], buf[512];
	const char *at;
	int parent = 0;
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, sizeof(buf) - 1);
		close(fd);
	}
	if (n <= 0)
		return 0;
	buf[n] = 0;
	at = strrchr(buf, ')');
	return at && sscanf(at + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static int thread_is_agent(struct mem_linux *m, int tid, void *user)
{
	char path[64], buf[64];

	snprintf(path, sizeof(path), "task/%d/comm", tid);
	if (mem_proc_read(m, path, buf, sizeof(buf)) > 0 && !strcmp(buf, "uswap-agent\n")) {
		*(int *)user = tid;
		return 1;
	}
	return 0;
}

int mem_linux_agent_tid(struct mem *base)
{
	int tid = 0;

	(void)mem_each_thread(mem_linux_of(base), thread_is_agent, &tid);
	return tid;
}

static uint64_t status_field(const char *buf, const char *name)
{
	const char *at = strstr(buf, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

int mem_linux_sample(struct mem *base, uint32_t flags, struct mem_sample *ret)
{
	struct mem_linux *m = mem_linux_of(base);
	uint64_t resident, shared;
	char buf[4096];
	ssize_t n;
	int fd;

	*ret = (struct mem_sample){ 0 };
	mm_follow(m);
	n = pread(m->statm_fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ESRCH;
	buf[n] = 0;
	if (sscanf(buf, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2)
		return -EPROTO;
	ret->anon_pages = resident > shared ? resident - shared : 0;
	if (flags & MEM_SAMPLE_STATUS && mem_proc_read(m, "status", buf, sizeof(buf)) > 0) {
		ret->traced = status_field(buf, "\nTracerPid:");
		ret->lone_agent =
			status_field(buf, "\nThreads:") == 2 && strstr(buf, "\nState:\tZ");
	}
	if (!(flags & MEM_SAMPLE_PSS))
		return 0;
	fd = mem_proc_open(m, "smaps_rollup");
	if (fd >= 0 && read_and_close(fd, buf, sizeof(buf)) > 0)
		ret->pss_anon_pages = status_field(buf, "\nPss_Anon:") * 1024 / USWAP_PAGE_BYTES;
	return 0;
}
