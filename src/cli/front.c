/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * front - the process the user sees
 *
 * Signals: all that can be caught are blocked and read from a descriptor, so that nothing happens
 * between two instructions. What the terminal sends (SI_KERNEL) reaches the program by itself, being
 * in the same process group; what a process sends to us by kill() is passed on. A stop from the
 * terminal stops us as well, or the shell would not notice.
 *
 * The worker's death: its connections live on in the descriptor table we share, so the agents see no
 * end of file and do not stop their processes. We do: the pages the worker held are gone, and a
 * program that reads on would wait for ever (stop.c).
 */
#include "cli/front.h"

#include "base/atomic.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/launch.h"
#include "cli/run-options.h"
#include "cli/stop.h"
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uswap/protocol.h>

#define SECOND_NS 1000000000ull
#define FINISH_TIMEOUT_NS (20 * SECOND_NS) /* for the last figures */
#define EXIT_TIMEOUT_NS (5 * SECOND_NS)	   /* for giving back the worker's memory */

static int signals_take(struct front *f)
{
	/* Those that say this very process is broken keep their effect. */
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
	struct sigaction standard = { .sa_handler = SIG_DFL };
	sigset_t taken;

	/* Ignored by our parent, SIGCHLD would lose us the exit status. */
	sigaction(SIGCHLD, &standard, &f->inherited_child);
	sigfillset(&taken);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&taken, own[i]);
	if (sigprocmask(SIG_BLOCK, &taken, &f->inherited_mask))
		return -errno;
	f->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	return f->signal_fd < 0 ? -errno : 0;
}

int front_open(struct front *f)
{
	int pair[2], r;

	memset(f, 0, sizeof(*f));
	f->front_fd = f->worker_fd = f->signal_fd = -1;
	memset(f->spare_fds, -1, sizeof(f->spare_fds));
	r = sockets_open(&f->sockets);
	if (r)
		return r;
	f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->shared == MAP_FAILED) {
		f->shared = NULL;
		return -errno;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	f->front_fd = pair[0];
	f->worker_fd = pair[1];
	for (int i = 0; i < STOP_SPARE_FDS; i++)
		f->spare_fds[i] = fcntl(f->front_fd, F_DUPFD_CLOEXEC, 0);
	return signals_take(f);
}

void front_close(struct front *f)
{
	int fds[] = { f->front_fd, f->worker_fd, f->signal_fd };

	/* A worker that goes on shares this table and needs them; the exit of the last user closes. */
	if (!f->worker_pid) {
		sockets_close(&f->sockets);
		for (int i = 0; i < STOP_SPARE_FDS; i++)
			closep(&f->spare_fds[i]);
		for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
			if (fds[i] >= 0)
				close(fds[i]);
		}
	}
	if (f->shared)
		munmap(f->shared, sizeof(*f->shared));
	f->shared = NULL;
}

/* ---- signals -------------------------------------------------------------------------------- */

static void children_reap(struct front *f)
{
	struct rusage usage;
	int status;

	if (f->program_pid && wait4(f->program_pid, &status, WNOHANG, &usage) == f->program_pid) {
		f->program_rss_bytes = (uint64_t)usage.ru_maxrss << 10;
		f->program_status = status;
		f->program_pid = 0;
	}
	if (f->worker_pid && waitpid(f->worker_pid, &status, WNOHANG) == f->worker_pid) {
		f->worker_status = status;
		f->worker_pid = 0;
	}
}

static void signal_pass_on(struct front *f, const struct signalfd_siginfo *info)
{
	siginfo_t with_value = { 0 };

	if (!f->program_pid || (pid_t)info->ssi_pid == f->program_pid)
		return;
	if (info->ssi_code != SI_QUEUE) {
		kill(f->program_pid, (int)info->ssi_signo);
		return;
	}
	with_value.si_signo = (int)info->ssi_signo;
	with_value.si_code = SI_QUEUE;
	with_value.si_pid = (pid_t)info->ssi_pid;
	with_value.si_uid = info->ssi_uid;
	with_value.si_ptr = (void *)(uintptr_t)info->ssi_ptr;
	syscall(SYS_rt_sigqueueinfo, f->program_pid, info->ssi_signo, &with_value);
}

/* Stop like any program that is sent @signo: by its default action, which knows orphaned groups. */
static void stop_ourselves(int signo)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, signo);
	raise(signo);
	sigprocmask(SIG_UNBLOCK, &one, NULL); /* we stop here */
	sigprocmask(SIG_BLOCK, &one, NULL);
}

static void signal_handle(struct front *f, const struct signalfd_siginfo *info)
{
	bool from_process = info->ssi_code <= 0; /* SI_USER, SI_QUEUE, SI_TKILL… */

	switch (info->ssi_signo) {
	case SIGCHLD:
		break; /* looked at after every batch */
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		if (from_process)
			signal_pass_on(f, info);
		stop_ourselves((int)info->ssi_signo);
		break;
	default:
		if (from_process)
			signal_pass_on(f, info);
		/* Before the program runs, the usual ones mean us, wherever they come from. */
		if (!f->program_pid && (info->ssi_signo == SIGINT || info->ssi_signo == SIGTERM ||
					info->ssi_signo == SIGHUP || info->ssi_signo == SIGQUIT))
			f->stop_signal = (int)info->ssi_signo;
	}
}

/* Wait for signals, or a word of the worker if @with_worker; handle the former. */
static void events_wait(struct front *f, bool with_worker, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{ .fd = f->signal_fd, .events = POLLIN },
		{ .fd = with_worker ? f->front_fd : -1, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	uint64_t now_ns = clock_now_ns();
	int timeout_ms = -1;

	if (until_ns)
		timeout_ms = until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / 1000000) + 1;
	poll(fds, 2, timeout_ms);
	while (read(f->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		signal_handle(f, &info);
	children_reap(f);
}

/* True if the worker has said @word, or is gone. */
static bool worker_said(struct front *f, char word)
{
	char got;

	while (recv(f->front_fd, &got, 1, MSG_DONTWAIT) == 1) {
		if (got == word)
			return true;
	}
	return false;
}

/* ---- the worker ----------------------------------------------------------------------------- */

int front_start_worker(struct front *f, const struct run_options *o)
{
	struct worker_options options = {
		.listen_fd = f->sockets.listen_fd,
		.path_fd = f->sockets.path_fd,
		.socket_path = f->sockets.path,
		.socket_name = f->sockets.name,
		.limit_bytes = o->limit_bytes,
		.resident_bytes = o->resident_bytes,
		.pool_bytes = o->pool_bytes,
		.file_path = o->file_path,
		.file_dir = o->file_dir,
		.file_bytes = o->file_bytes,
		.encrypt = o->encrypt,
		.policy = o->policy,
		.write_rate_bytes = o->write_rate_bytes,
		.write_day_bytes = o->write_day_bytes,
		.stats_path = o->stats_path,
		.stats_interval_ms = o->stats_interval_ms,
		.placement = o->placement,
		.readahead = o->readahead,
		.shared = f->shared,
		.front_fd = f->worker_fd,
	};
	int r;

	r = launch_worker(&options, &f->worker_pid);
	if (r)
		return r;
	while (!worker_said(f, WORKER_SAYS_READY)) {
		if (!f->worker_pid)
			return FRONT_E_WORKER_DIED;
		if (f->stop_signal) {
			kill(f->worker_pid, SIGKILL);
			waitpid(f->worker_pid, NULL, 0);
			f->worker_pid = 0;
			return FRONT_E_SIGNALLED;
		}
		events_wait(f, true, 0);
	}
	return 0;
}

int front_start_program(struct front *f, struct launch *launch, int *ret_errno)
{
	launch->socket_name = f->sockets.name;
	launch->mask = &f->inherited_mask;
	launch->child = &f->inherited_child;
	return launch_program(launch, &f->program_pid, ret_errno);
}

/* Return: true if there was anybody to stop. */
static bool command_stop(struct front *f)
{
	struct stop_options options = {
		.shared = f->shared,
		.socket_name = f->sockets.name,
		.program_pid = f->program_pid,
		.spare_fds = f->spare_fds,
		.ret_status = &f->program_status,
	};
	bool any = stop_command(&options);

	f->program_pid = 0;
	return any;
}

int front_wait(struct front *f, void (*on_second)(struct front *f))
{
	uint64_t second_ns = clock_now_ns() + SECOND_NS;

	while (f->program_pid && f->worker_pid) {
		events_wait(f, false, second_ns);
		if (second_ns && clock_now_ns() >= second_ns && f->program_pid) {
			second_ns = 0;
			on_second(f);
		}
	}
	if (f->worker_pid)
		return 0;
	command_stop(f);
	return FRONT_E_WORKER_DIED;
}

static uint32_t managed_count(const struct front *f)
{
	uint32_t n = 0;

	for (size_t i = 0; i < WORKER_MANAGED_MAX; i++) {
		int pid = load_acquire(&f->shared->managed[i].pid);

		if (pid > 0 && (!kill(pid, 0) || errno != ESRCH))
			n++;
	}
	return n;
}

bool front_finish(struct front *f, uint32_t *ret_n_left)
{
	uint64_t until_ns = clock_now_ns() + FINISH_TIMEOUT_NS;
	bool said = false;

	*ret_n_left = 0;
	if (f->worker_pid)
		shutdown(f->front_fd, SHUT_WR);
	while (!(said = worker_said(f, WORKER_SAYS_DONE)) && f->worker_pid &&
	       clock_now_ns() < until_ns)
		events_wait(f, true, until_ns);
	if (!said)
		said = worker_said(f, WORKER_SAYS_DONE);

	/* The memory should be free again when the command is over. */
	until_ns = clock_now_ns() + EXIT_TIMEOUT_NS;
	while (f->worker_pid && clock_now_ns() < until_ns) {
		uint32_t n_kin = load_acquire(&f->shared->n_kin); /* pairs with kin_is_left() */

		*ret_n_left = managed_count(f);
		if (*ret_n_left < n_kin)
			*ret_n_left = n_kin;
		if (*ret_n_left)
			break;
		events_wait(f, false, clock_now_ns() + SECOND_NS / 20);
	}
	/* An orderly end means that no process is left; another one, that we must see to it. */
	if (!f->worker_pid && f->worker_status && command_stop(f))
		log_warn("the daemon died; what the command left behind was stopped");
	return said;
}
