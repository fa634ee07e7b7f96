/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-report - what is said when something is wrong, and the signal handlers
 *
 * The first thread that finds a wrong byte reports and ends the process with 1; others that come
 * meanwhile sleep. Nothing here allocates: the heap may be what is broken.
 *
 * Hangs are seen by the main thread, and if that hangs itself by a monitor: a process forked at the
 * very beginning, too small to be managed, that shares nothing but a heartbeat.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static int reporting;

static void report_begin(void)
{
	if (__atomic_exchange_n(&reporting, 1, __ATOMIC_SEQ_CST)) {
		for (;;)
			pause();
	}
}

static void report_end(void) __attribute__((noreturn));
static void report_end(void)
{
	/* TORTURE_CORE=1: die with a core, which keeps the state for a debugger. */
	if (getenv("TORTURE_CORE"))
		abort();
	_exit(1);
}

static void notes_print(const struct worker *w)
{
	uint64_t first = w->n_notes > N_NOTES ? w->n_notes - N_NOTES : 0;

	dprintf(2, "  last operations of thread %u (number, name, range, page, pages, detail):\n",
		w->idx);
	for (uint64_t i = first; i < w->n_notes; i++) {
		const struct note *n = &w->notes[i % N_NOTES];

		dprintf(2, "    %8lu %-12s r%u %6u +%-5u %u\n", n->op, n->name, n->range, n->at,
			n->n, n->extra);
	}
}

void fatal(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_begin();
	dprintf(2, "torture: FAILED seed=%lu: %s\n", torture.seed, text);
	if (self) {
		dprintf(2, "  thread %u%s in operation %lu (%s)\n", self->idx,
			self->in_child ? ", a fork child," : "", self->n_ops,
			self->op_name ? self->op_name : "none");
		notes_print(self);
	}
	report_end();
}

static const char *const kind_names[N_KINDS] = { "zero", "fill", "text", "third", "random" };

/* What lies in the page instead, as far as its own bytes tell. */
static void found_describe(const struct worker *w, const struct shadow *sh, const uint8_t *found)
{
	const uint64_t *p = (const uint64_t *)(const void *)found;
	uint32_t n_zero = 0;
	uint8_t *other =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (uint32_t i = 0; i < PAGE; i++)
		n_zero += found[i] == 0;
	dprintf(2,
		"  found header: %016lx id %08x version %u seed %lu kind %lu; %u of 4096 bytes zero\n",
		p[0], (uint32_t)(p[1] >> 32), (uint32_t)p[1], p[2], p[3], n_zero);
	if (n_zero == PAGE) {
		dprintf(2, "  the page is all zeroes\n");
		return;
	}
	if (other == MAP_FAILED)
		return;
	if ((uint32_t)(p[1] >> 32) == sh->id && (uint32_t)p[1] < sh->next_version) {
		dprintf(2, "  its header is that of this page, version %u, %u writes old\n",
			(uint32_t)p[1], sh->next_version - (uint32_t)p[1] - 1);
		return;
	}
	for (uint64_t i = 0; i < w->n_shadows; i++) {
		if (&w->shadows[i] == sh)
			continue;
		page_make(&w->shadows[i], other);
		if (memcmp(other, found, PAGE) == 0) {
			dprintf(2, "  it is the present content of page id %08x\n",
				w->shadows[i].id);
			return;
		}
	}
	for (uint32_t back = 1; back < 2000; back++) {
		for (uint32_t kind = 0; kind < N_KINDS; kind++) {
			struct shadow old = *sh;

			old.src_id = sh->id;
			old.src_version = sh->next_version - back;
			old.kind = (uint8_t)kind;
			old.n_patches = 0;
			page_make(&old, other);
			if (kind != KIND_ZERO && memcmp(other, found, PAGE) == 0) {
				dprintf(2, "  it is version %u of this page, %u writes old\n",
					old.src_version, back);
				return;
			}
		}
	}
	dprintf(2, "  it is no present page of this thread and no old version of this one\n");
}

void report_page(struct worker *w, const struct range *r, uint32_t idx, const uint8_t *expected,
		 const uint8_t *found, const char *how)
{
	const struct shadow *sh = &r->sh[idx];
	uint32_t first = PAGE, n_wrong = 0;

	report_begin();
	for (uint32_t i = 0; i < PAGE; i++) {
		if (expected[i] != found[i]) {
			first = first == PAGE ? i : first;
			n_wrong++;
		}
	}
	dprintf(2, "torture: FAILED seed=%lu: wrong page at %p, offset %u (%u bytes wrong): %s\n",
		torture.seed, (void *)page_at(r, idx), first, n_wrong, how);
	dprintf(2, "  thread %u tid %d%s, operation %lu (%s), range %ld page %u of %u\n", w->idx,
		w->tid, w->in_child ? " (in a fork child)" : "", w->n_ops,
		w->op_name ? w->op_name : "none", (long)(r - w->ranges), idx, r->n_pages);
	dprintf(2,
		"  expected: page id %08x content (%08x, version %u) kind %s patches %u state %u, "
		"changed last by operation %lu\n",
		sh->id, sh->src_id, sh->src_version, kind_names[sh->kind % N_KINDS], sh->n_patches,
		sh->state, sh->last_op);
	if (first < PAGE) {
		first &= ~7u;
		dprintf(2, "  at %u: expected %016lx found %016lx\n", first,
			*(const uint64_t *)(const void *)(expected + first),
			*(const uint64_t *)(const void *)(found + first));
	}
	found_describe(w, sh, found);
	if (!w->expect_addr)
		dprintf(2, "  a second look at the page: %s\n",
			memcmp(page_at(r, idx), expected, PAGE) == 0 ? "RIGHT" : "wrong again");
	notes_print(w);
	report_end();
}

static void proc_print(int pid, int tid, const char *name)
{
	char path[64], text[512];
	ssize_t n;
	int fd;

	if (tid)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	else
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0) {
		text[n] = '\0';
		dprintf(2, "    %s: %s%s", path, text, text[n - 1] == '\n' ? "" : "\n");
	}
}

void report_hang(const struct worker *w)
{
	const int child = __atomic_load_n(&w->child_pid, __ATOMIC_RELAXED);

	report_begin();
	dprintf(2,
		"torture: HANG seed=%lu: thread %u tid %d is in operation %lu (%s) since more than "
		"%u s\n",
		torture.seed, w->idx, w->tid, w->n_ops, w->op_name, torture.hang_seconds);
	proc_print(getpid(), w->tid, "wchan");
	proc_print(getpid(), w->tid, "syscall");
	if (child) {
		dprintf(2, "  it waits for child %d\n", child);
		proc_print(child, 0, "wchan");
		proc_print(child, 0, "syscall");
	}
	notes_print(w);
	abort();
}

/* ---- the monitor ---------------------------------------------------------------------------- */

static uint64_t *heartbeat; /* [atomic] in MAP_SHARED memory */

void monitor_beat(void)
{
	__atomic_fetch_add(heartbeat, 1, __ATOMIC_RELAXED);
}

static void monitor_report(pid_t pid)
{
	static const char *const names[] = { "comm", "wchan", "syscall" };
	char path[64];
	struct dirent *entry;
	DIR *dir;

	dprintf(2,
		"torture: HANG seed=%lu: the main thread has not run for %u s; all threads of %d:\n",
		torture.seed, torture.hang_seconds, pid);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		for (uint32_t i = 0; i < 3 && atoi(entry->d_name); i++)
			proc_print(pid, atoi(entry->d_name), names[i]);
	}
}

void monitor_start(void)
{
	const pid_t parent = getpid();
	uint64_t seen = 0, now;

	heartbeat = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (heartbeat == MAP_FAILED)
		fatal("mmap: %s", strerror(errno));
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint32_t n_still = 0; getppid() == parent;) {
		sleep(1);
		now = __atomic_load_n(heartbeat, __ATOMIC_RELAXED);
		n_still = now == seen && now ? n_still + 1 : 0;
		seen = now;
		if (n_still > torture.hang_seconds) {
			monitor_report(parent);
			kill(parent, SIGKILL);
		}
	}
	_exit(0);
}

/* ---- SIGSEGV and SIGBUS --------------------------------------------------------------------- */

static void on_fault(int sig, siginfo_t *info, void *context)
{
	const uintptr_t addr = (uintptr_t)info->si_addr;
	struct worker *w = self;

	(void)context;
	if (w && sig == SIGSEGV && w->expect_addr &&
	    (addr & ~(uintptr_t)(PAGE - 1)) == w->expect_addr)
		siglongjmp(w->expect_jmp, 1);
	report_begin();
	dprintf(2, "torture: FAILED seed=%lu: unexpected signal %d code %d at %p\n", torture.seed,
		sig, info->si_code, info->si_addr);
	if (w) {
		dprintf(2, "  thread %u tid %d%s in operation %lu (%s)\n", w->idx, w->tid,
			w->in_child ? ", a fork child," : "", w->n_ops, w->op_name);
		for (uint32_t i = 0; i < w->n_ranges; i++) {
			const struct range *r = &w->ranges[i];
			const uintptr_t base = (uintptr_t)r->base;

			if (addr >= base && addr < base + (uintptr_t)r->n_pages * PAGE)
				dprintf(2, "  range %u page %lu\n", i, (addr - base) / PAGE);
		}
		notes_print(w);
	}
	report_end();
}

bool touch_faults(struct worker *w, uint8_t *addr, bool write)
{
	volatile bool faulted = true;

	w->expect_addr = (uintptr_t)addr & ~(uintptr_t)(PAGE - 1);
	if (sigsetjmp(w->expect_jmp, 1) == 0) {
		if (write)
			*(volatile uint8_t *)addr = 0xee;
		else
			(void)*(volatile uint8_t *)addr;
		faulted = false;
	}
	w->expect_addr = 0;
	return faulted;
}

void handlers_install(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}
