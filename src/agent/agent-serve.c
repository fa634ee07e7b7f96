/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-serve - obey the daemon
 *
 * A page leaves in two steps, told by one command of the daemon:
 *
 *     MOVE region -> stage on main      refused while a layout event of main is unread (the gate)
 *     MOVE stage -> trash on aux, then MADV_DONTNEED of the trash: frees without an event
 *
 * MOVE stops at the first page that it cannot take. The agent writes down why and goes on after it,
 * except when the gate is shut: then nothing more can be taken, and what was counted on by the daemon
 * when it wrote the command may no longer be so.
 *
 * MOVE wants both ends alike. mlockall() of the program locks stage and trash as well: they are
 * unlocked when it refuses. For pages that may be executed the stage becomes executable until the
 * end of the command.
 *
 * Nobody waits in the stage or the trash (they are registered for write protection only), so MOVE
 * need not look for somebody to wake.
 *
 * What comes from the daemon is checked as far as this thread must be sure of: the stage is the only
 * destination, and our own memory is never a source. A packet that makes no sense ends the agent;
 * the daemon goes on serving the faults without it.
 */
#include "agent/agent.h"

#include "agent/agent-kernel.h"
#include "agent/agent-sys.h"
#include "agent/agent-wire.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* syscalls: recvmsg sendmsg ioctl madvise munlock mprotect close kill exit_group */

#define SERVE_MAX_HELD 256
#define ADAPT_MAX_VAIN 4 /* pages of a command for which the stage was changed without success */

enum { SERVE_E_LEAVE = 1 }; /* the agent ends */

struct serve {
	struct agent_link link;
	struct uswap_range own;
	struct uswap_range own2;
	uint64_t stage;
	uint64_t trash;
	bool armed;	     /* pages may be gone with the daemon: its end is ours */
	bool unlocked;	     /* in this command */
	bool executable;     /* the stage is */
	uint32_t n_vain;     /* in this command */
	uint64_t adapted_to; /* page for which the stage was changed last */
	uint32_t n_held;     /* uffds of fork children, kept open until their memory is gone */
	int held[SERVE_MAX_HELD];
	struct uswap_msg_detached detached;
	union {
		struct uswap_msg_head head;
		struct uswap_msg_detach detach;
		struct uswap_msg_populate populate;
		uint8_t bytes[USWAP_MSG_MAX_BYTES];
	} msg;
};

static bool overlaps(const struct uswap_range *range, uint64_t start, uint64_t len)
{
	return start < range->start + range->len && range->start < start + len;
}

/* One MOVE. Return: 0; a negative errno. *ret_bytes were moved, in either case. */
static int pages_move(int uffd, uint64_t dst, uint64_t src, uint64_t len, uint64_t mode,
		      uint64_t *ret_bytes)
{
	struct uffdio_move move = {
		.dst = dst,
		.src = src,
		.len = len,
		.mode = mode | UFFDIO_MOVE_MODE_DONTWAKE,
		.move = 0,
	};
	long r;

	do {
		r = sys_3(SYS_ioctl, uffd, UFFDIO_MOVE, &move);
	} while (r == -EINTR && move.move <= 0);
	*ret_bytes = move.move > 0 ? (uint64_t)move.move : 0;
	return (int)r;
}

/* True if it is worth another try. */
static bool stage_unlock(struct serve *s)
{
	if (s->unlocked)
		return false;
	s->unlocked = true;
	return !sys_2(SYS_munlock, s->own2.start, s->own2.len);
}

static bool stage_toggle(struct serve *s)
{
	int prot = PROT_READ | PROT_WRITE | (s->executable ? 0 : PROT_EXEC);

	if (sys_3(SYS_mprotect, s->stage, AGENT_STAGE_BYTES, prot))
		return false;
	s->executable = !s->executable;
	return true;
}

/* MOVE found the stage unlike the page at @page. True if it is worth another try. */
static bool stage_adapt(struct serve *s, uint64_t page)
{
	if (stage_unlock(s))
		return true;
	if (s->adapted_to != page) {
		s->adapted_to = page;
		return s->n_vain < ADAPT_MAX_VAIN && stage_toggle(s);
	}
	/* neither way: read-only, locked, or not memory for us */
	if (++s->n_vain == ADAPT_MAX_VAIN && s->executable)
		stage_toggle(s);
	return false;
}

/*
 * Empty a part of the stage. Pages that cannot be freed stay, the others go. The trash is emptied
 * whatever happens. Return: 0; a negative errno, the first one.
 */
static int stage_free(struct serve *s, uint32_t free_at, uint32_t n_free)
{
	uint64_t src = s->stage + (uint64_t)free_at * AGENT_PAGE_BYTES;
	uint64_t len = (uint64_t)n_free * AGENT_PAGE_BYTES, at = 0, done;
	int r, first = 0;

	while (at < len) {
		r = pages_move(s->link.aux, s->trash + at, src + at, len - at,
			       UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, &done);
		at += done;
		if (!r)
			break;
		if (r == -EINVAL && (stage_unlock(s) || (s->executable && stage_toggle(s))))
			continue;
		if (!done) {
			if (!first)
				first = r;
			at += AGENT_PAGE_BYTES;
		}
	}
	r = (int)sys_3(SYS_madvise, s->trash, len, MADV_DONTNEED);
	return first ? first : r;
}

static enum uswap_moved moved_of(int r)
{
	switch (r) {
	case -EBUSY:
		return USWAP_MOVE_BUSY;
	case -ENOENT:
		return USWAP_MOVE_HOLE;
	case -EINVAL:
		return USWAP_MOVE_INVALID;
	case -EAGAIN:
		return USWAP_MOVE_EVENTS;
	case -EEXIST:
		return USWAP_MOVE_OCCUPIED;
	default:
		return USWAP_MOVE_OTHER;
	}
}

/*
 * MOVE one run; what became of each page goes to @result. A MOVE must lie within one mapping: where
 * it is refused as a whole it is tried in ever smaller pieces, and in larger ones again behind that.
 * Return: 0; -EAGAIN: the gate is shut.
 */
static int run_detach(struct serve *s, const struct uswap_run *run, uint8_t *result)
{
	uint64_t dst = s->stage + (uint64_t)run->stage_at * AGENT_PAGE_BYTES, done;
	uint32_t i = 0, n = run->n_pages;
	int r;

	while (i < run->n_pages) {
		if (n > run->n_pages - i)
			n = run->n_pages - i;
		r = pages_move(s->link.main, dst + (uint64_t)i * AGENT_PAGE_BYTES,
			       run->start + (uint64_t)i * AGENT_PAGE_BYTES,
			       (uint64_t)n * AGENT_PAGE_BYTES, 0, &done);
		if (done) { /* if not all: the next MOVE tells why */
			for (done /= AGENT_PAGE_BYTES; done; done--)
				result[i++] = USWAP_MOVED;
			n *= 2;
			continue;
		}
		if (r == -EAGAIN)
			return r;
		if (r == -EINVAL && n > 1) {
			n /= 2;
			continue;
		}
		if (r == -EINVAL && stage_adapt(s, run->start + (uint64_t)i * AGENT_PAGE_BYTES))
			continue;
		result[i] = (uint8_t)moved_of(r);
		if (result[i++] == USWAP_MOVE_OTHER && !s->detached.err)
			s->detached.err = -r;
	}
	return 0;
}

static bool detach_is_sane(const struct uswap_msg_detach *m, size_t n_bytes)
{
	uint64_t sum = 0;

	if (n_bytes < offsetof(struct uswap_msg_detach, run) || m->n_runs > USWAP_DETACH_MAX_RUNS ||
	    n_bytes != offsetof(struct uswap_msg_detach, run) + m->n_runs * sizeof(m->run[0]))
		return false;
	if (m->n_free > USWAP_STAGE_HALF_PAGES || m->free_at > USWAP_STAGE_PAGES - m->n_free)
		return false;
	for (uint32_t i = 0; i < m->n_runs; i++) {
		const struct uswap_run *run = &m->run[i];

		if (!run->n_pages || run->n_pages > USWAP_STAGE_HALF_PAGES ||
		    run->stage_at > USWAP_STAGE_PAGES - run->n_pages)
			return false;
		sum += run->n_pages;
	}
	return sum <= USWAP_STAGE_HALF_PAGES;
}

static int detach_serve(struct serve *s, size_t n_bytes)
{
	const struct uswap_msg_detach *m = &s->msg.detach;
	struct uswap_msg_detached *answer = &s->detached;
	bool shut = false;
	uint64_t len;

	if (!detach_is_sane(m, n_bytes))
		return SERVE_E_LEAVE;
	answer->seq = m->seq;
	answer->n_pages = 0;
	answer->err = 0;
	s->unlocked = false;
	s->n_vain = 0;
	s->adapted_to = 0;
	answer->free_err = m->n_free ? -stage_free(s, m->free_at, m->n_free) : 0;

	for (uint32_t i = 0; i < m->n_runs; i++) {
		const struct uswap_run *run = &m->run[i];
		uint8_t *result = answer->result + answer->n_pages;

		len = (uint64_t)run->n_pages * AGENT_PAGE_BYTES;
		for (uint32_t j = 0; j < run->n_pages; j++)
			result[j] = USWAP_MOVE_EVENTS;
		if (overlaps(&s->own, run->start, len) || overlaps(&s->own2, run->start, len))
			for (uint32_t j = 0; j < run->n_pages; j++)
				result[j] = USWAP_MOVE_INVALID;
		else if (!shut)
			shut = run_detach(s, run, result) != 0;
		answer->n_pages += run->n_pages;
	}
	if (s->executable) /* else the next command has to */
		stage_toggle(s);
	answer->head.type = USWAP_MSG_DETACHED;
	answer->head.len = (uint32_t)offsetof(struct uswap_msg_detached, result) + answer->n_pages;
	return wire_send(s->link.sock, answer, answer->head.len, NULL, 0);
}

static int populate_serve(struct serve *s, size_t n_bytes)
{
	const struct uswap_msg_populate *m = &s->msg.populate;
	struct uswap_msg_populated answer = {
		.head = { .type = USWAP_MSG_POPULATED, .len = sizeof(answer) },
	};
	long r = 0;

	if (n_bytes < offsetof(struct uswap_msg_populate, run) ||
	    m->n_runs > USWAP_DETACH_MAX_RUNS ||
	    n_bytes != offsetof(struct uswap_msg_populate, run) + m->n_runs * sizeof(m->run[0]))
		return SERVE_E_LEAVE;
	answer.seq = m->seq;
	while (answer.n_done < m->n_runs) {
		const struct uswap_run *run = &m->run[answer.n_done];
		uint64_t len = (uint64_t)run->n_pages * AGENT_PAGE_BYTES;

		/* The stage and the trash must stay empty, and our stack needs no help. */
		if (overlaps(&s->own, run->start, len) || overlaps(&s->own2, run->start, len))
			r = -EINVAL;
		else
			r = sys_3(SYS_madvise, run->start, len, MADV_POPULATE_WRITE);
		if (r)
			break;
		answer.n_done++;
	}
	answer.err = (int32_t)-r;
	return wire_send(s->link.sock, &answer, sizeof(answer), NULL, 0);
}

/*
 * Close the held descriptors of processes that are gone. A write protection outside of any
 * registered range is ENOENT while the address space lives, and ESRCH after.
 */
static void held_sweep(struct serve *s)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = s->own.start, .len = AGENT_PAGE_BYTES },
	};
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_held; i++) {
		if (sys_3(SYS_ioctl, s->held[i], UFFDIO_WRITEPROTECT, &wp) == -ESRCH)
			sys_close(s->held[i]);
		else
			s->held[n++] = s->held[i];
	}
	s->n_held = n;
}

static void held_add(struct serve *s, int fd)
{
	if (s->n_held == SERVE_MAX_HELD)
		held_sweep(s);
	if (s->n_held < SERVE_MAX_HELD)
		s->held[s->n_held++] = fd;
	else
		sys_close(fd);
}

/* One packet. Return: 0; SERVE_E_LEAVE; a negative errno, the connection is over. */
static int packet_serve(struct serve *s)
{
	int fds[WIRE_MAX_FDS];
	uint32_t n_fds;
	size_t n_bytes = 0;
	int r;

	r = wire_recv(s->link.sock, &s->msg, sizeof(s->msg), &n_bytes, fds, &n_fds);
	if (!r && n_bytes >= sizeof(s->msg.head) && s->msg.head.len == n_bytes &&
	    s->msg.head.type == USWAP_MSG_HOLD && n_fds == 1) {
		held_add(s, fds[0]);
		return 0;
	}
	wire_close_fds(fds, n_fds);
	if (r == -EINTR)
		return 0;
	if (r == -EMSGSIZE)
		return SERVE_E_LEAVE;
	if (r)
		return r;
	if (n_bytes < sizeof(s->msg.head) || s->msg.head.len != n_bytes)
		return SERVE_E_LEAVE;

	switch (s->msg.head.type) {
	case USWAP_MSG_DETACH:
		return detach_serve(s, n_bytes);
	case USWAP_MSG_POPULATE:
		return populate_serve(s, n_bytes);
	case USWAP_MSG_ARM:
		s->armed = true;
		return 0;
	case USWAP_MSG_HOLD: /* the descriptor did not fit into our table */
		return 0;
	default:
		return SERVE_E_LEAVE;
	}
}

void agent_serve(struct agent_area *area, const struct agent_link *link)
{
	struct serve s;
	int r;

	s.link = *link;
	s.own = (struct uswap_range){ .start = area->own, .len = AGENT_OWN_BYTES };
	s.own2 = (struct uswap_range){ .start = area->own2, .len = AGENT_OWN2_BYTES };
	s.stage = agent_stage(area);
	s.trash = s.stage + (USWAP_STAGE_PAGES + 1ull) * AGENT_PAGE_BYTES;
	s.armed = false;
	s.executable = false;
	s.n_held = 0;
	s.detached.reserved = 0;

	do {
		r = packet_serve(&s);
	} while (!r);

	/* Faults would read zeroes from now on. exit_group: the first process of a pid namespace
	 * cannot kill itself. */
	if (r < 0 && s.armed) {
		sys_2(SYS_kill, area->pid, SIGKILL);
		sys_1(SYS_exit_group, 128 + SIGKILL);
	}
}
