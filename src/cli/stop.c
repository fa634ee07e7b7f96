/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stop - see stop.h
 *
 * Who belongs to the command: our own children (the program, and whom we adopt from now on, being
 * the subreaper), the processes the worker published, every process that was started with our
 * socket's name in its environment, and the children of all these. A round reads the process table,
 * marks those, and kills them; rounds go on until one finds nobody alive, because a process may have
 * forked between being seen and being killed, and of one in the middle of an exec nothing can be told
 * yet. A fork that waits for the dead worker is cancelled by the kill: its child never runs.
 *
 * A process may have none of these marks: orphaned before, and with its environment overwritten by
 * a title. It has our userfaultfd, though, and an ioctl tells whether its address space is alive.
 * Then we do not end either: it waits for ever for the first missing page it touches, and that fault
 * names it. The worker may have read that fault before it died; woken, the thread raises it again.
 *
 * The worker may have run out of descriptors: some are set aside for us, as without any we see nobody. And
 * our own limit may be lower than what is in the table.
 *
 * Numbers of processes are used again: one is killed through a descriptor, after a second look at
 * the time it was started.
 *
 * syscalls: prctl openat getdents64 readlinkat read pidfd_open pidfd_send_signal kill wait4 poll
 * ioctl (UFFDIO_WRITEPROTECT, UFFDIO_WAKE)
 */
#include "cli/stop.h"

#include "base/atomic.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/preload.h"
#include "daemon/kin.h"
#include "daemon/worker.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uswap/protocol.h>

#define ROUND_MS 10
#define PATIENCE_NS (5ull * 1000000000) /* then we say whom we wait for */

/* Asked of a userfaultfd to see whether its address space lives. Above mmap_min_addr. */
#define PROBE_ADDR 0x200000ull
#define ADDR_END 0x7ffffffff000ull /* where programs have memory unless they ask for more */

struct process {
	pid_t pid;
	pid_t parent;
	uint64_t start; /* in clock ticks: with the pid it is unique */
	bool doomed;
};

struct table {
	struct process *of; /* by pid, ascending */
	size_t n;
	size_t n_max;
};

/* ---- the process table ---------------------------------------------------------------------- */

static int proc_open(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Return: bytes of the beginning of a file that fits @buf, terminated; 0 if it cannot be seen. */
static size_t proc_read(pid_t pid, const char *name, char *buf, size_t n_bytes)
{
	_cleanup_(closep) int fd = proc_open(pid, name);
	ssize_t len = fd < 0 ? 0 : read(fd, buf, n_bytes - 1);

	if (len < 0)
		len = 0;
	buf[len] = '\0';
	return (size_t)len;
}

/* False: gone, or dead and only not waited for yet. */
static bool process_read(pid_t pid, struct process *ret_p)
{
	char buf[1024], state;
	unsigned long long start;
	const char *at;
	int parent;
	long n_threads;

	if (!proc_read(pid, "stat", buf, sizeof(buf)))
		return false;
	at = strrchr(buf, ')'); /* the name before it may hold anything */
	if (!at || sscanf(at + 1,
			  " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld "
			  "%*d %llu",
			  &state, &parent, &n_threads, &start) != 4)
		return false;
	/* A first thread that has ended before the others looks dead as well. */
	if (state == 'X' || (state == 'Z' && n_threads < 2))
		return false;
	*ret_p = (struct process){ .pid = pid, .parent = parent, .start = start };
	return true;
}

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* False: no memory or no descriptor for all of it. Empty without /proc. */
static bool table_read(struct table *t)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool complete = true;

	t->n = 0;
	if (!dir)
		return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (t->n == t->n_max) {
			size_t n_max = t->n_max ? 2 * t->n_max : 1024;
			struct process *of = reallocarray(t->of, n_max, sizeof(*of));

			complete = of;
			if (!complete)
				break;
			t->of = of;
			t->n_max = n_max;
		}
		if (process_read((pid_t)strtol(entry->d_name, NULL, 10), &t->of[t->n]))
			t->n++;
	}
	closedir(dir);
	if (t->n)
		qsort(t->of, t->n, sizeof(*t->of), by_pid);
	return complete;
}

static struct process *table_find(const struct table *t, pid_t pid)
{
	struct process key = { .pid = pid };

	return t->n ? bsearch(&key, t->of, t->n, sizeof(*t->of), by_pid) : NULL;
}

/* ---- who belongs to the command ------------------------------------------------------------- */

/* A published number may have been given to another process since; a descriptor tells. */
static bool is_published(const struct worker_managed *m, int *ret_pid)
{
	int pidfd = load_relaxed(&m->pidfd); /* relaxed: its writer is dead */

	*ret_pid = load_acquire(&m->pid);
	if (*ret_pid <= 0)
		return false;
	return pidfd <= 0 || !syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) || errno != ESRCH;
}

/* False: of some process it cannot be told yet. */
static bool table_doom(struct table *t, const struct stop_options *o)
{
	pid_t self = getpid();
	bool again = true, sure = true;
	int pid;

	for (size_t i = 0; i < t->n; i++) {
		struct process *p = &t->of[i];
		enum kin kin = KIN_NO;

		if (p->pid != self)
			kin = p->parent == self ? KIN_YES : kin_look(p->pid, o->socket_name);
		p->doomed = kin == KIN_YES;
		sure = sure && kin != KIN_UNSURE;
	}
	for (size_t i = 0; i < WORKER_MANAGED_MAX; i++) {
		struct process *p = NULL;

		if (is_published(&o->shared->managed[i], &pid))
			p = table_find(t, pid);
		if (p)
			p->doomed = true;
	}
	while (again) { /* as often as the family has generations */
		again = false;
		for (size_t i = 0; i < t->n; i++) {
			const struct process *parent;

			if (t->of[i].doomed || t->of[i].pid == self)
				continue;
			parent = table_find(t, t->of[i].parent);
			if (parent && parent->doomed)
				t->of[i].doomed = again = true;
		}
	}
	return sure;
}

static void process_kill(const struct process *p)
{
	_cleanup_(closep) int pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	struct process now;

	if (!process_read(p->pid, &now) || now.start != p->start)
		return;
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	else
		kill(p->pid, SIGKILL);
}

/* Return: processes of the command that were alive. */
static size_t table_kill(const struct table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (!t->of[i].doomed)
			continue;
		process_kill(&t->of[i]);
		n++;
	}
	return n;
}

/* ---- address spaces without a known process ------------------------------------------------- */

/*
 * Kill the process of thread @tid, which waits for a page that is gone. Seen from a namespace of its
 * own the number may mean somebody else here: it must be one of ours, asleep in a fault.
 */
static void faulting_kill(pid_t tid)
{
	char where[64];

	if (tid > 1 && proc_read(tid, "wchan", where, sizeof(where)) &&
	    !strcmp(where, "handle_userfault") && !preload_is_missing(tid))
		kill(tid, SIGKILL);
}

/* True if the address space of userfaultfd @fd is alive. Who faults in it is killed. */
static bool space_kill(int fd)
{
	/* Taking away a protection that nobody uses, where nothing is registered. */
	struct uffdio_writeprotect probe = { .range = { PROBE_ADDR, USWAP_PAGE_BYTES } };
	struct uffdio_range all = { PROBE_ADDR, ADDR_END - PROBE_ADDR };
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	/* EINVAL: handed over, but never set up. */
	if (ioctl(fd, UFFDIO_WRITEPROTECT, &probe) && (errno == ESRCH || errno == EINVAL))
		return false;
	(void)ioctl(fd, UFFDIO_WAKE, &all);
	/* A fork event read here leaves one more descriptor in the table, for the next round. */
	while (poll(&pollfd, 1, 0) == 1 && pollfd.revents == POLLIN &&
	       read(fd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg)) {
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			faulting_kill((pid_t)msg.arg.pagefault.feat.ptid);
	}
	return true;
}

/* Return: userfaultfds in our table whose address space is alive. */
static size_t spaces_kill(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[64];
	size_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (len < 0)
			continue;
		target[len] = '\0';
		if (!strcmp(target, "anon_inode:[userfaultfd]"))
			n += space_kill((int)strtol(entry->d_name, NULL, 10));
	}
	closedir(dir);
	return n;
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void dead_reap(const struct stop_options *o)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == o->program_pid)
			*o->ret_status = status;
	}
}

static void spare_fd_close(int *fd)
{
	closep(fd);
	*fd = -1;
}

bool stop_command(const struct stop_options *o)
{
	uint64_t say_ns = clock_now_ns() + PATIENCE_NS;
	struct table table = { 0 };
	size_t n_processes, n_spaces;
	uint64_t unsure_ns = 0; /* since when it is all that is left */
	bool complete, sure, any = false;

	(void)limit_raise_files();
	for (int i = 0; i < STOP_SPARE_FDS; i++)
		spare_fd_close(&o->spare_fds[i]);
	/* From now on nobody who loses a parent can get away from us. */
	prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
	if (o->program_pid) /* our child, not waited for: the number is its own */
		kill(o->program_pid, SIGKILL);
	for (;;) {
		complete = table_read(&table);
		sure = table_doom(&table, o);
		n_processes = table_kill(&table);
		n_spaces = spaces_kill();
		dead_reap(o);
		if (complete && !n_processes && !n_spaces) {
			uint64_t now_ns = clock_now_ns();

			if (!unsure_ns)
				unsure_ns = now_ns;
			if (sure || now_ns - unsure_ns > KIN_UNSURE_NS)
				break;
			poll(NULL, 0, 1);
			continue;
		}
		unsure_ns = 0;
		any = true;
		if (say_ns && clock_now_ns() > say_ns) {
			log_warn(
				"the daemon died; waiting for %zu processes and %zu descriptors of "
				"the command to end",
				n_processes, n_spaces);
			say_ns = 0;
		}
		poll(NULL, 0, ROUND_MS);
	}
	free(table.of);
	return any;
}
