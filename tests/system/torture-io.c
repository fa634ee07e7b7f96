/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * torture-io - system calls into and out of memory that may be away
 *
 * The kernel copies from and to the worker's pages: pipes, sockets, files (buffered and O_DIRECT),
 * vectors whose iovec array itself lies in managed memory, the arguments of a new program. Each call
 * must neither fail with EFAULT nor come back short because a page is away; it must still fail with
 * EFAULT where a plain program would.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_PAGES 256u

extern char **environ;

static void bytes_write(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t done = TEMP_FAILURE_RETRY(write(fd, p, n));

		if (done <= 0)
			fatal("write of %zu bytes from %p: %s", n, (const void *)p,
			      strerror(errno));
		p += done;
		n -= (size_t)done;
	}
}

static void bytes_read(int fd, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t done = TEMP_FAILURE_RETRY(read(fd, p, n));

		if (done <= 0)
			fatal("read of %zu bytes to %p: %s", n, (void *)p,
			      done ? strerror(errno) : "end of file");
		p += done;
		n -= (size_t)done;
	}
}

static void fds_make(int fds[2], bool is_socket)
{
	if (is_socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)
		      : pipe2(fds, O_CLOEXEC))
		fatal("%s: %s", is_socket ? "socketpair" : "pipe", strerror(errno));
}

static void fds_close(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* @n pages of @to now hold what those of @from hold. */
static void span_copied(struct worker *w, struct span *to, const struct span *from)
{
	for (uint32_t i = 0; i < to->n; i++)
		shadow_copy(w, &to->r->sh[to->at + i], &from->r->sh[from->at + i]);
	span_verify(w, to);
}

static bool spans_pick_two(struct worker *w, struct span *a, struct span *b, uint32_t n_max)
{
	*a = span_pick(w, n_max);
	*b = span_pick(w, n_max);
	a->n = b->n = a->n < b->n ? a->n : b->n;
	return a->r != b->r || a->at + a->n <= b->at || b->at + b->n <= a->at;
}

/* Out of one span into a pipe or socket, and from there into another. */
static void run_pipe(struct worker *w)
{
	struct span from, to;
	const bool is_socket = rnd_below(w, 2), apart = spans_pick_two(w, &from, &to, 15);
	int fds[2];

	note(w, "pipe-from", &from, is_socket);
	note(w, "pipe-to", &to, is_socket);
	if (!apart)
		return;
	span_settle(w, &from);
	fds_make(fds, is_socket);
	bytes_write(fds[1], page_at(from.r, from.at), (size_t)from.n * PAGE);
	bytes_read(fds[0], page_at(to.r, to.at), (size_t)to.n * PAGE);
	fds_close(fds);
	span_copied(w, &to, &from);
}

/* The iovecs point to single pages in falling order and lie in managed memory themselves. */
static void run_vector(struct worker *w)
{
	struct iovec *iov = (struct iovec *)(void *)w->managed;
	struct span s = span_pick(w, 15), to;
	const bool into = rnd_below(w, 2);
	int fds[2];
	ssize_t n;

	to = span_pick(w, 1);
	note(w, "vector", &s, into);
	span_settle(w, &s);
	for (uint32_t i = 0; i < s.n; i++)
		iov[i] = (struct iovec){ page_at(s.r, s.at + s.n - 1 - i), PAGE };
	fds_make(fds, false);
	n = TEMP_FAILURE_RETRY(writev(fds[1], iov, (int)s.n));
	if (n != (ssize_t)s.n * PAGE)
		fatal("writev of %u pages: %zd, %s", s.n, n, strerror(errno));
	if (into && (to.r != s.r || to.at < s.at || to.at >= s.at + s.n)) {
		/* first page of the stream into a page of ours, cut in two vectors */
		iov[0] = (struct iovec){ page_at(to.r, to.at), 1000 };
		iov[1] = (struct iovec){ page_at(to.r, to.at) + 1000, PAGE - 1000 };
		n = TEMP_FAILURE_RETRY(readv(fds[0], iov, 2));
		if (n != PAGE)
			fatal("readv of one page: %zd, %s", n, strerror(errno));
		shadow_copy(w, &to.r->sh[to.at], &s.r->sh[s.at + s.n - 1]);
		page_verify(w, to.r, to.at);
	} else {
		bytes_read(fds[0], w->io, PAGE);
		page_verify_bytes(w, s.r, s.at + s.n - 1, w->io, "writev");
	}
	for (uint32_t i = 1; i < s.n; i++) {
		bytes_read(fds[0], w->io, PAGE);
		page_verify_bytes(w, s.r, s.at + s.n - 1 - i, w->io, "writev");
	}
	fds_close(fds);
}

/* O_DIRECT where the file system has it: the pages are pinned while the disk works. */
static void run_file(struct worker *w)
{
	struct span from, to;
	const bool apart = spans_pick_two(w, &from, &to, 32), preadv_too = rnd_below(w, 2);
	const off_t at = (off_t)rnd_below(w, FILE_PAGES - 32) * PAGE;
	size_t bytes = (size_t)from.n * PAGE;

	note(w, "file-from", &from, (uint32_t)(at / PAGE));
	note(w, "file-to", &to, preadv_too);
	if (w->file_fd < 0 || !apart)
		return;
	span_settle(w, &from);
	if (TEMP_FAILURE_RETRY(pwrite(w->file_fd, page_at(from.r, from.at), bytes, at)) !=
	    (ssize_t)bytes)
		fatal("pwrite of %zu bytes from %p: %s", bytes, (void *)page_at(from.r, from.at),
		      strerror(errno));
	if (preadv_too) {
		struct iovec iov[2] = { { page_at(to.r, to.at), PAGE },
					{ page_at(to.r, to.at) + PAGE, bytes - PAGE } };

		if (TEMP_FAILURE_RETRY(preadv(w->file_fd, iov, from.n > 1 ? 2 : 1, at)) !=
		    (ssize_t)bytes)
			fatal("preadv of %zu bytes: %s", bytes, strerror(errno));
	} else if (TEMP_FAILURE_RETRY(pread(w->file_fd, page_at(to.r, to.at), bytes, at)) !=
		   (ssize_t)bytes) {
		fatal("pread of %zu bytes to %p: %s", bytes, (void *)page_at(to.r, to.at),
		      strerror(errno));
	}
	span_copied(w, &to, &from);
}

/* Where a plain program gets EFAULT or a short count, so must this one. */
static void run_efault(struct worker *w)
{
	struct span s = span_pick_layout(w, 2);
	const bool protect = rnd_below(w, 2);
	uint8_t *p = page_at(s.r, s.at), *bad = p + (size_t)(s.n - 1) * PAGE;
	int fds[2];
	ssize_t n;

	note(w, "efault", &s, protect);
	range_home(w, s.r);
	p = page_at(s.r, s.at);
	bad = p + (size_t)(s.n - 1) * PAGE;
	span_settle(w, &s);
	fds_make(fds, false);
	if (protect ? mprotect(bad, PAGE, PROT_NONE) : munmap(bad, PAGE))
		fatal("mprotect or munmap of %p: %s", (void *)bad, strerror(errno));
	n = write(fds[1], bad, 100);
	if (n != -1 || errno != EFAULT)
		fatal("write from %p, not readable: %zd, %s", (void *)bad, n, strerror(errno));
	if (s.n == 2) {
		n = write(fds[1], p, 2 * PAGE);
		if (n != PAGE)
			fatal("write of two pages at %p, the second not readable: %zd, %s",
			      (void *)p, n, strerror(errno));
		n = read(fds[0], bad, PAGE);
		if (n != -1 || errno != EFAULT)
			fatal("read to %p, not writable: %zd, %s", (void *)bad, n, strerror(errno));
	}
	fds_close(fds);
	if (protect) {
		if (mprotect(bad, PAGE, PROT_READ | PROT_WRITE))
			fatal("mprotect of %p: %s", (void *)bad, strerror(errno));
	} else {
		if (mmap(bad, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			 0) != bad)
			fatal("mmap at %p: %s", (void *)bad, strerror(errno));
		shadow_set_zero(w, s.r, s.at + s.n - 1, 1);
	}
	span_verify(w, &s);
}

/* Program name, arguments and file actions come from managed memory; the page goes through cat. */
static void run_spawn(struct worker *w)
{
	struct span s = span_pick(w, 4);
	posix_spawn_file_actions_t actions;
	char **argv = (char **)(void *)(w->managed + PAGE);
	char *text = (char *)w->managed + 2 * PAGE;
	int to[2], from[2], r;
	pid_t pid;

	note(w, "spawn", &s, 0);
	span_settle(w, &s);
	strcpy(text, "cat");
	strcpy(text + 8, "-");
	argv[0] = text;
	argv[1] = text + 8;
	argv[2] = NULL;
	fds_make(to, false);
	fds_make(from, false);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, to[0], 0);
	posix_spawn_file_actions_adddup2(&actions, from[1], 1);
	r = posix_spawnp(&pid, text, &actions, NULL, argv, environ);
	if (r)
		fatal("posix_spawnp: %s", strerror(r));
	posix_spawn_file_actions_destroy(&actions);
	__atomic_store_n(&w->child_pid, pid, __ATOMIC_RELAXED);
	close(to[0]);
	close(from[1]);
	bytes_write(to[1], page_at(s.r, s.at), (size_t)s.n * PAGE);
	close(to[1]);
	bytes_read(from[0], w->io, (size_t)s.n * PAGE);
	close(from[0]);
	child_wait(w, pid, "spawn");
	for (uint32_t i = 0; i < s.n; i++)
		page_verify_bytes(w, s.r, s.at + i, w->io + i * PAGE, "through cat");
}

const struct op io_ops[] = {
	{ "pipe", 15, OP_SIMPLE, run_pipe }, { "vector", 10, OP_SIMPLE, run_vector },
	{ "file", 5, 0, run_file },	     { "efault", 5, OP_SIMPLE, run_efault },
	{ "spawn", 1, 0, run_spawn },	     { NULL, 0, 0, NULL },
};
