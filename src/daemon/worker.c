// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The owner thread: one loop over userfaultfds, agents, requests and the words of other threads.
 *
 * Everything that changes a client's memory happens here (R1). A round of the loop serves what is
 * ready, takes what the compressors finished, and pumps: evictions are sent, waiting faults looked
 * at again. It sleeps only in epoll, and only as long as nothing waits that nobody will announce.
 *
 * syscalls: epoll_ctl epoll_wait epoll_pwait2 timerfd_settime eventfd2 read write pidfd_open setrlimit
 * mlockall
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limit.h"
#include "base/log.h"
#include "daemon/kin.h"
#include "daemon/worker-impl.h"

#define RETRY_NS (30ULL * 1000)
#define RETRY_DOUBLINGS 5u
#define PAGES_PER_RAM 4		      /* that may be out, of each page of RAM, */
#define PAGES_PER_FILE 8	      /* and more of each page of the file */
#define KIN_NS (500ULL * 1000 * 1000) /* between two looks for processes without a space */
#define KIN_YOUNG_NS \
	(2000ULL * 1000 * 1000) /* numbers of processes were not used up since the start */
#define TICK_NS (10ULL * 1000 * 1000)

int watch_add(struct worker *w, struct watch *watch, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = watch };

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, watch->fd, &ev) ? err_origin(-errno) : 0;
}

void watch_set(struct worker *w, struct watch *watch, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = watch };

	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, watch->fd, &ev);
}

/* ---- clients -------------------------------------------------------------------------------- */

/* Main is readable. While the gate is shut it must not be read: out of the set until the answer. */
static void client_ready(struct worker *w, struct watch *watch, uint32_t events)
{
	struct client *c = (struct client *)(void *)watch;
	int r;

	(void)events;
	if (c->space->gate == GATE_SHUT) {
		watch_set(w, &c->watch, 0);
		c->watched = false;
		return;
	}
	r = space_service(c->space);
	w->served = true;
	client_result(w, c, r);
}

bool client_rearm(struct worker *w, struct client *c)
{
	if (c->watched || c->space->gate == GATE_SHUT)
		return false;
	watch_set(w, &c->watch, EPOLLIN);
	c->watched = true;
	return true;
}

struct client *client_new(struct worker *w, struct space *sp)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->watch.fd = mem_linux_main_fd(sp->mem);
	c->watch.ready = client_ready;
	c->space = sp;
	c->pidfd = -1;
	c->watched = true;
	if (watch_add(w, &c->watch, EPOLLIN)) {
		free(c);
		return NULL;
	}
	sp->user = c;
	return c;
}

void client_publish(struct worker *w, struct client *c)
{
	uint32_t k;

	c->pidfd = (int)syscall(SYS_pidfd_open, c->space->pid, 0);
	for (k = 0; k < WORKER_MANAGED_MAX; k++) {
		struct worker_managed *m = &w->o->shared->managed[k];

		if (load_relaxed(&m->pid)) /* relaxed: only this thread writes */
			continue;
		store_relaxed(&m->pidfd, c->pidfd);
		store_release(&m->pid, c->space->pid); /* pairs with the front's load_acquire */
		c->managed_at = k + 1;
		return;
	}
}

static void client_unpublish(struct worker *w, struct client *c)
{
	if (c->managed_at)
		store_release(&w->o->shared->managed[c->managed_at - 1].pid, 0);
	c->managed_at = 0;
	if (c->pidfd >= 0)
		close(c->pidfd);
	c->pidfd = -1;
}

void client_end(struct worker *w, struct client *c)
{
	struct space *sp = c->space;
	struct conn *conn;

	list_for_each(conn, &w->conns, link) {
		if (conn->client == c && conn != c->agent)
			conn->client = NULL;
	}
	if (c->agent)
		conn_free(w, c->agent);
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, c->watch.fd, NULL);
	client_unpublish(w, c);
	space_free(sp);
	free(c);
}

bool client_result(struct worker *w, struct client *c, int r)
{
	if (r != SPACE_E_DEAD)
		return true;
	client_end(w, c);
	return false;
}

/* ---- what the spaces ask of us -------------------------------------------------------------- */

static void host_post_job(void *user, struct evict_job *job)
{
	compress_post(user, job);
}

static void host_forked(void *user, struct space *parent, struct space *child)
{
	struct client *c = parent->user, *young;

	/* one more holder of the child's main, until the child has an agent of its own (R7) */
	if (c && c->agent)
		agent_hold(c, mem_linux_main_fd(child->mem));
	young = client_new(user, child);
	ASSERT(young); /* unwatched it would hang for ever */
}

static uint64_t host_now_ns(void *user)
{
	(void)user;
	return clock_now_ns();
}

static const struct space_host worker_host = {
	.post_job = host_post_job,
	.forked = host_forked,
	.now_ns = host_now_ns,
};
static const struct space_host worker_host_file = {
	.post_job = host_post_job,
	.forked = host_forked,
	.now_ns = host_now_ns,
	.read = backing_read,
	.release = backing_release,
	.post_decode = compress_post_decode,
	.unpost_decode = compress_unpost_decode,
};

/* ---- words of other threads ----------------------------------------------------------------- */

void inbox_wake(struct inbox *inbox)
{
	uint64_t one = 1;

	(void)!write(inbox->event_fd, &one, sizeof(one));
}

void inbox_decoded(struct inbox *inbox, struct decode_job *job)
{
	pthread_mutex_lock(&inbox->lock);
	list_append(&inbox->decoded, &job->link);
	pthread_mutex_unlock(&inbox->lock);
	inbox_wake(inbox);
}

static void on_unpinned(void *user, struct slot_id id)
{
	struct inbox *inbox = &((struct worker *)user)->inbox;

	pthread_mutex_lock(&inbox->lock);
	if (inbox->n_unpinned < INBOX_MAX_UNPINNED)
		inbox->unpinned[inbox->n_unpinned++] = id.v;
	else
		inbox->overflow = true;
	pthread_mutex_unlock(&inbox->lock);
	inbox_wake(inbox);
}

static void on_buf_free(void *user)
{
	struct inbox *inbox = &((struct worker *)user)->inbox;

	if (atomic_exchange(&inbox->want_buf, false))
		inbox_wake(inbox);
}

static void retry_all(struct worker *w, struct slot_id id)
{
	struct space *sp, *tmp;

	list_for_each_safe(sp, tmp, &w->group.spaces, link)
		if (sp->n_waiting)
			client_result(w, sp->user, space_retry(sp, id));
}

/* Early loads that faults wait for, until there is none. */
static void take_decoded(struct worker *w)
{
	struct inbox *inbox = &w->inbox;
	struct decode_job *job;
	struct space *dead;

	do {
		pthread_mutex_lock(&inbox->lock);
		job = list_first(&inbox->decoded, struct decode_job, link);
		if (job)
			list_unlink(&job->link);
		pthread_mutex_unlock(&inbox->lock);
		w->served |= job != NULL;
		dead = job ? space_decoded(&w->group, job) : NULL;
		if (dead)
			client_end(w, dead->user);
	} while (job);
}

static void inbox_ready(struct worker *w, struct watch *watch, uint32_t events)
{
	uint32_t unpinned[INBOX_MAX_UNPINNED];
	struct inbox *inbox = &w->inbox;
	uint32_t n, k;
	bool overflow;
	uint64_t count;

	(void)events;
	(void)!read(watch->fd, &count, sizeof(count));
	pthread_mutex_lock(&inbox->lock);
	n = inbox->n_unpinned;
	memcpy(unpinned, inbox->unpinned, n * sizeof(*unpinned));
	inbox->n_unpinned = 0;
	overflow = inbox->overflow;
	inbox->overflow = false;
	pthread_mutex_unlock(&inbox->lock);

	take_decoded(w);
	for (k = 0; k < n; k++)
		retry_all(w, (struct slot_id){ unpinned[k] });
	if (overflow) { /* ask each waiting fault's slot once more */
		struct space *sp;

		list_for_each(sp, &w->group.spaces, link)
			for (k = 0; k < sp->n_waiting; k++)
				if (sp->waiting[k].why == WAIT_PIN)
					sp->waiting[k].why = WAIT_RETRY;
		retry_all(w, (struct slot_id){ 0 });
	}
}

/* The front says by closing its end that the program is over. */
static void front_ready(struct worker *w, struct watch *watch, uint32_t events)
{
	char word = WORKER_SAYS_DONE;
	char buf[16];
	ssize_t n = recv(watch->fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)events;
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return;
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	w->front_gone = true;
	log_never_wait(false); /* the program has ended */
	budget_last_word(w);
	report_summary(w);
	report_write_final(w);
	(void)send(watch->fd, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	w->tick_ns = 0; /* look at once who is still there */
}

/* The front was killed: serve on until the last process has ended. */
static void front_ended(struct worker *w, struct watch *watch, uint32_t events)
{
	(void)events;
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	w->front_gone = true;
	w->tick_ns = 0;
}

/*
 * The command has ended, and nobody is managed. Is anybody left who could be? Small processes have no
 * agent; a server that goes to the background is one at that moment.
 */
static bool kin_is_left(struct worker *w, uint64_t now)
{
	bool unsure;
	uint32_t n;

	if (w->kin_ns && now - w->kin_ns < KIN_NS)
		return true;
	/* a short command is not to pay for looking at everybody */
	n = kin_count(w->o->socket_name, now - w->start_ns < KIN_YOUNG_NS ? kin_after() : 0,
		      &unsure);
	if (n || !unsure)
		w->unsure_ns = 0;
	else if (!w->unsure_ns)
		w->unsure_ns = now;
	if (w->unsure_ns && now - w->unsure_ns < KIN_UNSURE_NS)
		return true; /* and look again at the next tick */
	w->kin_ns = now;
	store_release(&w->o->shared->n_kin, n); /* pairs with the load in front_finish() */
	return n > 0;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void tick(struct worker *w, uint64_t now)
{
	struct space *sp, *tmp;

	w->tick_ns = now;
	list_for_each_safe(sp, tmp, &w->group.spaces, link)
		if (client_result(w, sp->user, space_tick(sp)))
			client_rearm(w, sp->user); /* the gate may have been revoked */
	if (w->o->stats_interval_ms && w->o->stats_path && !w->front_gone &&
	    now - w->stats_ns >= w->o->stats_interval_ms * 1000000ULL) {
		w->stats_ns = now;
		report_post(w);
	}
	if (w->front_gone && list_is_empty(&w->group.spaces) && !w->group.n_jobs &&
	    list_is_empty(&w->group.loads) && !kin_is_left(w, now))
		w->done = true;
}

/*
 * The clock of samples and ticks is a periodic timer, set again only when the pace changes: a time-out
 * at every wait would program the timer hardware twice a fault, which in a virtual machine costs
 * as much as the fault.
 */
static void set_pace(struct worker *w)
{
	uint64_t ns = list_is_empty(&w->group.spaces) ? (w->front_gone ? TICK_NS : 0)
						      : budget_interval_ns(w);
	struct itimerspec spec = { 0 };

	if (ns > TICK_NS)
		ns = TICK_NS;
	if (ns == w->pace_ns)
		return;
	w->pace_ns = ns;
	spec.it_value.tv_nsec = spec.it_interval.tv_nsec = (long)ns;
	(void)timerfd_settime(w->timer.fd, 0, &spec, NULL);
}

static void timer_ready(struct worker *w, struct watch *watch, uint32_t events)
{
	uint64_t count;

	(void)w;
	(void)events;
	(void)!read(watch->fd, &count, sizeof(count));
}

/*
 * Wait for an event; only briefly if something waits that nobody will announce. Twice as long each time
 * that nothing has come: this thread goes before the compressors, and what waits may wait for them.
 */
static int wait_event(struct worker *w, struct epoll_event *event)
{
	const struct timespec retry = { 0, (long)(RETRY_NS << w->n_idle_waits) };
	struct space *sp;
	int n;

	list_for_each(sp, &w->group.spaces, link) {
		if (!space_has_retry(sp))
			continue;
		n = epoll_pwait2(w->epoll_fd, event, 1, &retry, NULL);
		if (n > 0 && event->data.ptr != &w->timer)
			w->n_idle_waits = 0;
		else if (w->n_idle_waits < RETRY_DOUBLINGS)
			w->n_idle_waits++;
		return n;
	}
	w->n_idle_waits = 0;
	return epoll_wait(w->epoll_fd, event, 1, -1);
}

static void loop(struct worker *w)
{
	struct epoll_event event;

	while (!w->done) {
		uint64_t now;

		set_pace(w);
		/* one event at a time: its handler may end what another one would point to */
		if (wait_event(w, &event) > 0) {
			struct watch *watch = event.data.ptr;

			watch->ready(w, watch, event.events);
			backing_flush(w);
		}
		now = clock_now_ns();
		if (w->served)
			store_relaxed(&w->busy_ns, now); /* relaxed: a hint for upkeep */
		w->served = false;
		if (now - w->budget.sample_ns >= budget_interval_ns(w))
			budget_sample(w, now);
		if (now - w->tick_ns >= TICK_NS)
			tick(w, now);
		pump(w, now);
		backing_flush(w); /* what was tried again there */
	}
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void lock_self(void)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY }; /* needs CAP_SYS_RESOURCE */

	if (!setrlimit(RLIMIT_MEMLOCK, &lim)) {
		(void)mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	} else if (!getrlimit(RLIMIT_MEMLOCK, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &lim);
	}
}

/*
 * Whatever the machine is short of, this process must not wait for it, nor be the one that is killed:
 * others wait for it, and end with it. Each of these may be refused; doctor tells.
 */
static void secure_self(struct worker *w)
{
	const char *limit;
	int fd;

	/* limits are per process: the program keeps what it inherited */
	w->max_fds = limit_raise_files();
	limit = limit_lift();
	if (limit)
		log_warn("ulimit %s holds for the daemon as well, which may not lift it without "
			 "CAP_SYS_RESOURCE: better set it inside, as in uswap run ... -- sh -c "
			 "'ulimit %s N; exec COMMAND'",
			 limit, limit);
	signal(SIGXFSZ, SIG_IGN); /* what cannot grow says so */
	lock_self();
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, "-900", 4);
		close(fd);
	}
	prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
}

int worker_start_threads(struct worker *w)
{
	if (w->threads_tried)
		return w->threads_error;
	w->threads_tried = true;
	w->threads_error = compress_start(w);
	if (!w->threads_error)
		w->threads_error = place_start(w);
	if (w->threads_error)
		log_warn("no threads can be had (%s): all runs unmanaged, without limit",
			 strerror(-w->threads_error));
	return w->threads_error;
}

/* The most pages that may be out: address space is set aside for them, and no memory. */
static uint64_t most_pages(const struct worker_options *o)
{
	uint64_t ram_pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
	uint64_t file_pages = o->file_bytes / PAGE_BYTES;
	uint64_t most = SWAP_MAX_PAGES;

	if (o->file_path && !o->file_bytes) /* all of a device */
		return most;
	if (ram_pages > most / PAGES_PER_RAM || file_pages > most / PAGES_PER_FILE)
		return most;
	ram_pages = ram_pages * PAGES_PER_RAM + file_pages * PAGES_PER_FILE;
	return ram_pages < most ? ram_pages : most;
}

/* Return: 0; a negative errno; WORKER_E_SAID. */
static int worker_open(struct worker *w)
{
	uint64_t limit = w->o->limit_bytes ? w->o->limit_bytes : w->o->resident_bytes;
	struct swap_options options = {
		.max_pages = most_pages(w->o),
		.n_bufs = !limit		   ? 4
			  : limit < (32ULL << 20)  ? 2
			  : limit < (256ULL << 20) ? 3
						   : 4,
		.zstd_level = 3,
		.allow_unlocked_memory = true,
		.user = w,
		.on_unpinned = on_unpinned,
		.on_buf_free = on_buf_free,
	};
	int r;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->inbox.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->dev_fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (w->epoll_fd < 0 || w->inbox.event_fd < 0 || w->dev_fd < 0)
		return err_origin(-errno);
	pthread_mutex_init(&w->inbox.lock, NULL);
	list_init(&w->conns);
	list_init(&w->inbox.decoded);
	r = swap_new(&w->swap, &options);
	if (r)
		return err_fold(r);
	r = writeback_init(w); /* the store calls it from its first moment */
	if (!r)
		r = backing_open(w);
	if (!r)
		r = space_group_init(&w->group, w->swap,
				     w->backing.is_open ? &worker_host_file : &worker_host, w,
				     options.max_pages);
	if (r)
		return r;
	w->group.readahead = w->o->readahead;
	budget_init(w);
	report_init(w);
	place_init(w);
	compress_init(w);
	r = writeback_start(w);
	if (r)
		return r;
	w->listen = (struct watch){ w->o->listen_fd, attach_accept };
	w->listen_path = (struct watch){ w->o->path_fd, attach_accept };
	w->front = (struct watch){ w->o->front_fd, front_ready };
	w->event = (struct watch){ w->inbox.event_fd, inbox_ready };
	w->timer = (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
				   timer_ready };
	w->front_pid = getppid();
	w->front_end = (struct watch){ (int)syscall(SYS_pidfd_open, w->front_pid, 0), front_ended };
	(void)fcntl(w->o->listen_fd, F_SETFL, O_NONBLOCK);
	r = watch_add(w, &w->listen, EPOLLIN);
	if (!r && w->o->path_fd >= 0)
		r = watch_add(w, &w->listen_path, EPOLLIN);
	if (!r)
		r = watch_add(w, &w->front, EPOLLIN);
	if (!r)
		r = watch_add(w, &w->event, EPOLLIN);
	if (!r)
		r = watch_add(w, &w->timer, EPOLLIN);
	if (!r)
		r = watch_add(w, &w->front_end, EPOLLIN);
	return r;
}

int worker_main(const struct worker_options *o)
{
	struct worker *w = calloc(1, sizeof(*w));
	char word = WORKER_SAYS_READY;
	struct conn *conn, *tmp;
	int r;

	if (!w)
		return 1;
	w->o = o;
	w->backing.file = (struct disk_file)DISK_FILE_INIT;
	w->start_ns = clock_now_ns();
	secure_self(w);
	r = worker_open(w);
	if (r) {
		if (r != WORKER_E_SAID)
			log_warn("cannot start the daemon: %s", strerror(r < 0 ? -r : EINVAL));
		return WORKER_E_SAID;
	}
	(void)send(o->front_fd, &word, 1, MSG_NOSIGNAL);
	log_never_wait(true);
	loop(w);
	if (o->path_fd >= 0)
		(void)unlink(o->socket_path);
	place_stop(w);
	writeback_stop(w);
	compress_stop(w);
	list_for_each_safe(conn, tmp, &w->conns, link)
		conn_free(w, conn);
	backing_close(w); /* its thread may have a slot of the group pinned */
	space_group_deinit(&w->group);
	swap_free(w->swap);
	backing_forget(w);
	report_deinit(w);
	free(w);
	return 0;
}
