/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-fork - children that check their snapshot, whatever the parent does
 *
 * A child works on a copy of its worker struct and of all shadows, made just before fork() in
 * MAP_SHARED memory that the parent drops again. A child that finds a wrong page reports like a
 * thread and exits with 1; one that hangs dies by SIGALRM; both end the parent with a report.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker *snapshot_new(struct worker *w)
{
	const size_t bytes = sizeof(*w) + w->n_shadows * sizeof(struct shadow);
	struct worker *snap =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (snap == MAP_FAILED)
		fatal("mmap of a snapshot: %s", strerror(errno));
	*snap = *w;
	snap->shadows = (struct shadow *)(void *)(snap + 1);
	memcpy(snap->shadows, w->shadows, w->n_shadows * sizeof(struct shadow));
	for (uint32_t i = 0; i < w->n_ranges; i++)
		snap->ranges[i].sh = snap->shadows + (w->ranges[i].sh - w->shadows);
	if (w->busy)
		snap->busy = &snap->ranges[w->busy - w->ranges];
	for (uint32_t i = 0; i < N_SPANS; i++) {
		if (w->spans[i].r)
			snap->spans[i].r = &snap->ranges[w->spans[i].r - w->ranges];
	}
	snap->in_child = true;
	return snap;
}

void snapshot_free(struct worker *snap)
{
	munmap(snap, sizeof(*snap) + snap->n_shadows * sizeof(struct shadow));
}

pid_t fork_child(struct worker *w, struct worker **ret_snap)
{
	struct worker *snap = snapshot_new(w);
	pid_t pid = fork();

	if (pid < 0)
		fatal("fork: %s", strerror(errno));
	if (pid == 0) {
		self = snap;
		alarm(torture.hang_seconds * 5 / 6 + 1);
		*ret_snap = snap;
		return 0;
	}
	snapshot_free(snap);
	__atomic_store_n(&w->child_pid, pid, __ATOMIC_RELAXED);
	return pid;
}

void child_wait(struct worker *w, pid_t pid, const char *what)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			fatal("waitpid: %s", strerror(errno));
	}
	__atomic_store_n(&w->child_pid, 0, __ATOMIC_RELAXED);
	if (WIFSIGNALED(status))
		fatal("%s: child %d died by signal %d (%s)%s", what, pid, WTERMSIG(status),
		      strsignal(WTERMSIG(status)), WTERMSIG(status) == SIGALRM ? ": it hung" : "");
	if (WEXITSTATUS(status))
		fatal("%s: child %d ended with status %d", what, pid, WEXITSTATUS(status));
}

static void verify_some(struct worker *w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct span s = span_pick(w, 8);

		span_verify(w, &s);
	}
}

static void pipe_make(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		fatal("pipe: %s", strerror(errno));
}

/* Both sides go on as if nothing had happened. */
static void run_fork_both(struct worker *w)
{
	const uint32_t n = 20 + rnd_below(w, 200);
	struct worker *c;
	pid_t pid;

	note(w, "fork-both", NULL, n);
	pid = fork_child(w, &c);
	if (pid == 0) {
		verify_some(c, 20);
		ops_run_simple(c, n);
		verify_some(c, 100);
		_exit(0);
	}
	ops_run_simple(w, n);
	child_wait(w, pid, "fork-both");
}

/* A child of a child; in half of the cases the one between is gone before it looks. */
static void run_fork_tree(struct worker *w)
{
	const bool orphan = rnd_below(w, 2);
	struct worker *c, *g;
	pid_t pid, grand;
	int fds[2];
	char byte = 0;

	note(w, "fork-tree", NULL, orphan);
	pipe_make(fds);
	pid = fork_child(w, &c);
	if (pid == 0) {
		ops_run_simple(c, 20);
		grand = fork_child(c, &g);
		if (grand == 0) {
			ops_run_simple(g, 20);
			verify_some(g, 100);
			_exit(write(fds[1], "k", 1) == 1 ? 0 : 2);
		}
		if (!orphan) {
			ops_run_simple(c, 20);
			child_wait(c, grand, "fork-tree, grandchild");
			verify_some(c, 50);
		}
		_exit(0);
	}
	close(fds[1]);
	ops_run_simple(w, 20);
	child_wait(w, pid, "fork-tree");
	if (TEMP_FAILURE_RETRY(read(fds[0], &byte, 1)) != 1 || byte != 'k')
		fatal("fork-tree: the grandchild did not get to its end");
	close(fds[0]);
}

static void span_change(struct worker *w, struct span *s, uint32_t how)
{
	uint8_t *p = page_at(s->r, s->at);
	const size_t bytes = (size_t)s->n * PAGE;

	switch (how) {
	case 0:
		madvise(p, bytes, MADV_FREE);
		shadow_set_state(w, s->r, s->at, s->n, STATE_FREED);
		break;
	case 1:
		madvise(p, bytes, MADV_FREE);
		shadow_set_state(w, s->r, s->at, s->n, STATE_FREED);
		span_fill(w, s);
		break;
	case 2:
		madvise(p, bytes, MADV_DONTNEED);
		shadow_set_zero(w, s->r, s->at, s->n);
		break;
	case 3:
		if (mmap(p, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != p)
			fatal("mmap at %p: %s", (void *)p, strerror(errno));
		shadow_set_zero(w, s->r, s->at, s->n);
		break;
	case 4:
		span_fill(w, s);
		break;
	default:
		for (uint32_t i = s->at; i < s->at + s->n; i++)
			page_write_word(w, s->r, i, how * 31, how + i);
		break;
	}
}

/* The parent changes pages in every way; the child looks only then, and must see none of it. */
static void run_fork_snapshot(struct worker *w)
{
	const uint32_t n_ops = rnd_below(w, 60), first = rnd_below(w, 6);
	struct worker *c;
	int fds[2];
	char byte;
	pid_t pid;

	note(w, "fork-snap", NULL, n_ops);
	for (uint32_t i = 0; i < N_SPANS; i++) {
		w->spans[i] = span_pick(w, 64);
		if (i % 3 == 0) /* loaded before the fork, the others as they are */
			span_verify(w, &w->spans[i]);
	}
	pipe_make(fds);
	pid = fork_child(w, &c);
	if (pid == 0) {
		close(fds[1]);
		if (TEMP_FAILURE_RETRY(read(fds[0], &byte, 1)) != 1)
			_exit(2);
		for (uint32_t i = 0; i < N_SPANS; i++)
			span_verify(c, &c->spans[i]);
		verify_some(c, 100);
		_exit(0);
	}
	close(fds[0]);
	for (uint32_t i = 0; i < N_SPANS; i++)
		span_change(w, &w->spans[i], (first + i) % 6);
	ops_run_simple(w, n_ops);
	if (write(fds[1], "g", 1) != 1)
		fatal("fork-snap: the child is gone early");
	close(fds[1]);
	memset(w->spans, 0, sizeof(w->spans));
	child_wait(w, pid, "fork-snap");
}

static void run_fork_advice(struct worker *w)
{
	struct span s = span_pick_layout(w, 64);
	const bool wipe = rnd_below(w, 2);
	uint8_t *p = page_at(s.r, s.at);
	struct worker *c;
	pid_t pid;

	note(w, wipe ? "fork-wipe" : "fork-dont", &s, 0);
	if (madvise(p, (size_t)s.n * PAGE, wipe ? MADV_WIPEONFORK : MADV_DONTFORK))
		fatal("madvise(%s): %s", wipe ? "WIPEONFORK" : "DONTFORK", strerror(errno));
	pid = fork_child(w, &c);
	if (pid == 0) {
		struct span in_child = { .r = &c->ranges[s.r - w->ranges], .at = s.at, .n = s.n };

		if (wipe) {
			shadow_set_zero(c, in_child.r, s.at, s.n);
			span_verify(c, &in_child);
			span_fill(c, &in_child);
			span_verify(c, &in_child);
		} else if (!touch_faults(c, p + (size_t)(s.n - 1) * PAGE, false)) {
			fatal("%p is there in spite of MADV_DONTFORK", (void *)p);
		}
		for (uint32_t i = 0; i < 50; i++) {
			struct span other;

			c->busy = in_child.r;
			other = span_pick(c, 8);
			span_verify(c, &other);
		}
		_exit(0);
	}
	span_verify(w, &s);
	child_wait(w, pid, "fork-advice");
	if (madvise(s.r->base, (size_t)s.r->n_pages * PAGE, wipe ? MADV_KEEPONFORK : MADV_DOFORK))
		fatal("madvise(%s): %s", wipe ? "KEEPONFORK" : "DOFORK", strerror(errno));
	span_verify(w, &s);
}

/* A child reads, and writes, the parent's memory by process_vm_readv and process_vm_writev. */
static void run_fork_vm(struct worker *w)
{
	struct span s = span_pick(w, 16);
	const enum page_kind kind = kind_pick(rnd(w));
	struct worker *c;
	pid_t pid;

	note(w, "fork-vm", &s, kind);
	span_settle(w, &s);
	pid = fork_child(w, &c);
	if (pid == 0) {
		struct iovec local = { c->io, (size_t)s.n * PAGE };
		struct iovec remote = { page_at(s.r, s.at), (size_t)s.n * PAGE };
		struct range *r = &c->ranges[s.r - w->ranges];

		if (process_vm_readv(getppid(), &local, 1, &remote, 1, 0) != (ssize_t)local.iov_len)
			fatal("process_vm_readv: %s", strerror(errno));
		for (uint32_t i = 0; i < s.n; i++)
			page_verify_bytes(c, r, s.at + i, c->io + i * PAGE, "process_vm_readv");
		page_write(c, r, s.at, kind); /* the parent makes the same version */
		local = (struct iovec){ c->gen, PAGE };
		remote.iov_len = PAGE;
		if (process_vm_writev(getppid(), &local, 1, &remote, 1, 0) != PAGE)
			fatal("process_vm_writev: %s", strerror(errno));
		_exit(0);
	}
	child_wait(w, pid, "fork-vm");
	{
		struct shadow *sh = shadow_get(w, s.r, s.at);

		sh->kind = (uint8_t)kind;
		sh->n_patches = 0;
		sh->src_id = sh->id;
		sh->src_version = sh->next_version++;
		shadow_seal(sh);
	}
	span_verify(w, &s);
}

/* The whole process stops for a moment; nobody may wait for it for ever. */
static void run_stop(struct worker *w)
{
	const uint32_t us = rnd_below(w, 20000);
	struct worker *c;
	pid_t pid;

	note(w, "stop", NULL, us);
	pid = fork_child(w, &c);
	if (pid == 0) {
		pid_t parent = getppid();

		if (kill(parent, SIGSTOP))
			_exit(2);
		usleep(us);
		_exit(kill(parent, SIGCONT) ? 2 : 0);
	}
	ops_run_simple(w, 50);
	child_wait(w, pid, "stop");
}

const struct op fork_ops[] = {
	{ "fork-both", 1, 0, run_fork_both },
	{ "fork-tree", 1, 0, run_fork_tree },
	{ "fork-snap", 2, 0, run_fork_snapshot },
	{ "fork-advice", 1, 0, run_fork_advice },
	{ "fork-vm", 1, 0, run_fork_vm },
	{ "stop", 1, 0, run_stop },
	{ NULL, 0, 0, NULL },
};
