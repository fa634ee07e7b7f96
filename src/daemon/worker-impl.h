/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * worker-impl - the worker's parts as they know each other; nobody outside of src/daemon
 *
 *   worker.c    set-up, the loop, what wakes it
 *   attach.c    connections: agents that attach, requests of the command line and the library
 *   budget.c    the limit: how much is used, how much room there is, when it cannot be held
 *   pump.c      evictions and waiting faults, once per round of the loop
 *   compress.c  compressor threads and the upkeep thread
 *   backing.c   the swap file: opened, read
 *   writeback.c the thread that moves cold pages there, and when (policy.c)
 *   place.c     where the owner thread runs (trial.c)
 *   report.c    figures: JSON, summary
 */
#ifndef USWAP_DAEMON_WORKER_IMPL_H
#define USWAP_DAEMON_WORKER_IMPL_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "daemon/policy.h"
#include "daemon/trial.h"
#include "daemon/worker.h"
#include "space/mem-linux.h"
#include "space/space.h"
#include "store/file.h"
#include "store/reader.h"
#include "store/store.h"

#define WORKER_MAX_COMPRESSORS 8u
#define WORKER_MAX_COMPANY 4u
#define INBOX_MAX_UNPINNED 1024u

struct worker;

/* A descriptor in the loop. */
struct watch {
	int fd;
	void (*ready)(struct worker *w, struct watch *watch, uint32_t events);
};

/* The owner's side of one space; space->user. */
struct client {
	struct watch watch; /* of main */
	struct space *space;
	struct conn *agent;  /* NULL: none */
	bool watched;	     /* main is in the epoll set with EPOLLIN */
	int pidfd;	     /* of the process; -1 */
	uint32_t managed_at; /* index in shared->managed, + 1; 0: none */
};

enum conn_state {
	CONN_NEW,     /* nothing received */
	CONN_HELLO,   /* HELLO received, WELCOME sent */
	CONN_AGENT,   /* READY sent: the agent of .client */
	CONN_CONTROL, /* a request is being worked on */
};
enum request {
	REQUEST_NONE,
	REQUEST_LEAVE,	/* take the agent of .client away */
	REQUEST_DETACH, /* bring .client home for good */
	REQUEST_HOME,	/* bring .range home */
	REQUEST_RETIRE, /* empty the swap file */
};
struct conn {
	struct watch watch;
	struct list link; /* worker->conns */
	enum conn_state state;
	enum request request;
	int pid; /* of the peer, by SO_PEERCRED */
	uint32_t uid;
	struct client *client;
	struct uswap_msg_hello hello;
	struct urange range;
};

/* What other threads tell the owner. */
struct inbox {
	pthread_mutex_t lock;
	uint32_t unpinned[INBOX_MAX_UNPINNED]; /* [lock] slot ids */
	uint32_t n_unpinned;		       /* [lock] */
	bool overflow;			       /* [lock] look at every waiting fault */
	struct list decoded;		       /* [lock] early loads that the owner waits for */
	int event_fd;			       /* [const] */
	_Atomic bool want_buf;		       /* the owner waits for a staging buffer */
};

struct compress_pool {
	pthread_mutex_t lock;
	pthread_cond_t ready;
	pthread_cond_t rest;  /* of upkeep */
	struct list puts;     /* [lock] jobs whose pages are not in the store yet: first */
	struct list compress; /* [lock] jobs whose pages are staged */
	struct list decode;   /* [lock] early loads that nobody has begun with */
	bool beside;	      /* [const] there are CPUs beside the one that serves faults */
	bool stop;	      /* [lock] */
	uint32_t n_threads;
	pthread_t threads[WORKER_MAX_COMPRESSORS];
	pthread_t upkeep;
	bool upkeep_runs;
	struct worker *worker;
};

#define LET_IN_PAGES 256 /* above the limit at once, when nothing can leave */

/* The limit and what is known about its use. */
struct budget {
	uint64_t limit_pages;	 /* UINT64_MAX: none */
	uint64_t resident_pages; /* as above */
	uint64_t pool_pages;	 /* as above */
	uint64_t reserve_pages;	 /* kept free ahead of need */
	uint64_t floor_pages;	 /* resident: nothing is evicted below */
	uint64_t tight_pages;	 /* resident: below, space counts more than time */

	uint64_t rss_pages;	  /* last sample, sum over the spaces */
	uint64_t rss_at_resident; /* group.n_resident at that moment */
	uint64_t sample_ns;
	uint64_t update_ns; /* last budget_update() */
	uint64_t status_ns;
	uint64_t pss_ns, pss_cost_ns; /* last reading, and how long it took */
	uint32_t pss_n_spaces;	      /* sampled at that time */
	uint64_t peak_rss_pages, peak_store_pages, peak_meta_pages; /* each for itself */
	uint64_t peak_pages;					    /* of the sum */
	struct {
		uint64_t rss_pages, pool_pages, meta_pages;
	} at_peak; /* its parts */

	uint64_t view_ns;		/* last time the policy was asked */
	uint64_t n_loads, n_file_loads; /* at that moment */
	double loads_per_s, file_loads_per_s;

	struct {
		uint64_t ns;					   /* last look */
		uint64_t n_loads, n_ahead, n_unchanged, n_changed; /* at that moment */
		uint64_t useless_ns; /* last time that copies were of no use */
		bool prevail;	     /* most of what is loaded is read ahead */
	} streams;

	struct {
		uint64_t n_same, n_changed; /* at the last look */
		uint64_t useless_ns;	    /* last time that most had changed */
		uint64_t dropped_ns;	    /* last time that all were given up */
	} shared;

	uint64_t in_bytes, out_bytes; /* codec figures at the last look */
	double ratio;		      /* recent bytes stored per byte evicted */
	uint64_t n_delayed;	      /* faults that had to wait for room, at the last look */
	bool at_floor;	    /* resident pages, or those that could leave, are down to the floor */
	bool scarce;	    /* the same of those that could leave as they are, not copied first */
	bool pool_full;	    /* --pool is used up: nothing more can leave */
	bool futile;	    /* evicting gains nothing: data does not compress */
	uint64_t futile_ns; /* when that was found, or tried again */
	uint64_t over_ns;   /* above the limit since; 0: not */
	uint64_t
		stalled_ns; /* nobody waits for room, or something left, at that moment; 0: not known */
	uint64_t evicted_at_stall;   /* n_evicted at that moment */
	uint64_t evicted_at_payment; /* as above */
	uint64_t let_in_pages;	     /* above the limit, as nothing could leave; paid back first */
	uint64_t n_forced;	     /* times that faults were let in above the limit */
	uint64_t warned_ns;
	uint64_t max_over_pages;
	uint64_t max_over_ns;	  /* the longest time above the limit */
	bool max_is_of_resident;  /* it is above --resident, not --limit */
	uint64_t resident_at_max; /* at that moment; 0: evicting was futile */
};

struct placement {
	int mode;
	cpu_set_t cpus;	   /* [const] that we may run on */
	uint32_t n_cpus;   /* [const] of them */
	int cpu;	   /* where we are; -1: anywhere */
	uint64_t look_ns;  /* last look at where the program runs */
	uint64_t n_faults; /* at that moment */
	uint64_t n_turns;  /* as above */
	bool many;	   /* faults come from several threads in turns */
	uint32_t n_other;  /* looks in a row that said the contrary */
	/* Which way is best, for one thread and for many: what was found for the one says nothing of
	 * the other. */
	struct trial trial[2];
	int awake_fd;	   /* /dev/cpu_dma_latency while CPUs shall not halt; -1 */
	uint64_t awake_ns; /* last time that faults were frequent */

	/* Threads that keep other CPUs from being idle: see place.c */
	pthread_mutex_t company_lock;
	pthread_cond_t company_call;
	_Atomic bool company_wanted; /* [company_lock] to write */
	bool company_stop;	     /* [company_lock] */
	uint32_t n_company;	     /* [owner] */
	pthread_t company[WORKER_MAX_COMPANY];
};

/* The swap file. [owner] but for what says otherwise. */
struct backing {
	bool is_open;
	struct disk_file file;
	uint64_t max_bytes;
	struct store_bell *bell;
	struct store *store;
	struct reader *reader;
	struct reader_read *reads; /* all of them */
	struct reader_read **free; /* stack of those not in use */
	uint32_t n_free;
	uint64_t read_bytes; /* of the reader's buffers */
	struct watch watch;  /* of the reader */
	_Atomic bool broken; /* cannot be written any more */
	bool retiring;	     /* all of it goes back to memory */
	uint64_t peak_bytes; /* most that lay there */
};

struct write_rate { /* [writeback thread] */
	double credit_bytes;
	uint64_t at_ns;
};

/* Relaxed throughout: figures between owner and thread, each for itself. */
struct writeback {
	bool runs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t call;
	bool called;			   /* [lock] */
	bool stop;			   /* [lock] */
	_Atomic bool stop_now;		   /* the same, for a sweep under way */
	const struct uswap_policy *policy; /* [owner] */
	uint64_t high_bytes;		   /* [owner] of the pool */
	_Atomic uint64_t low_bytes;
	_Atomic uint64_t bytes_per_s; /* the policy's; 0: no bound */
	_Atomic int order;	      /* enum uswap_policy_order */
	_Atomic bool wanted;	      /* the pool was above its high mark, and is not low yet */
	_Atomic bool full;	      /* the file takes nothing now */
	_Atomic bool low_room;	      /* the file has little room left */
	_Atomic uint64_t moved_ns;    /* last time that something went */
	_Atomic uint64_t n_held_back; /* times that a bound of the user or the policy was met */
	struct write_rate user_rate, policy_rate;
	uint64_t charged_bytes; /* [writeback thread] written so far, and charged to the rates */
	uint64_t day_ns, day_bytes; /* [writeback thread] */
};

struct report {
	char *_Atomic next;   /* to be written; malloc'ed */
	pthread_mutex_t lock; /* of the file */
	bool is_final;	      /* [lock] */
};

struct worker {
	const struct worker_options *o;
	struct swap *swap;
	struct space_group group;
	struct budget budget;
	struct placement place;
	struct inbox inbox;
	struct compress_pool compress;
	struct backing backing;
	struct writeback writeback;
	struct report report;
	struct list conns;
	struct watch listen, listen_path;
	struct watch front;
	struct watch front_end; /* pidfd of the front: its descriptors do not close with it */
	struct watch event;
	struct watch timer;
	uint64_t pace_ns;      /* what the timer is set to; 0: off */
	uint32_t n_idle_waits; /* in a row, for what nobody announces; RETRY_DOUBLINGS at most */
	int epoll_fd;
	int dev_fd;	  /* /dev/userfaultfd */
	uint64_t max_fds; /* descriptors that this process may have */
	bool warned_fds;
	bool threads_tried; /* worker_start_threads() has been called, */
	int threads_error;  /* and said this */
	int front_pid;
	bool front_gone;
	uint64_t kin_ns;    /* last look for processes of the command without a space */
	uint64_t unsure_ns; /* since when that finds nobody for sure; 0: it does */
	bool done;
	bool served; /* in this round of the loop */
	_Atomic uint64_t
		busy_ns;     /* last time that pages went in or out: upkeep waits for idleness */
	_Atomic bool tight;  /* store smaller rather than faster */
	_Atomic bool spills; /* what does not fit into the pool is read from the file again */
	_Atomic uint64_t waited_ns;	  /* last time that a fault had to wait for room */
	_Atomic uint64_t drop_kept_bytes; /* kept copies the owner wants dropped */
	uint64_t tick_ns;
	uint64_t start_ns;
	uint64_t stats_ns;
};

/* worker.c */
/*
 * Those that only evictions and faults need: with the first agent, since a short command has none.
 * Return: 0; -errno, said once: nothing can be managed.
 */
int worker_start_threads(struct worker *w);
int watch_add(struct worker *w, struct watch *watch, uint32_t events);
void watch_set(struct worker *w, struct watch *watch, uint32_t events);
void inbox_wake(struct inbox *inbox);
void inbox_decoded(struct inbox *inbox, struct decode_job *job);
struct client *client_new(struct worker *w, struct space *sp);
void client_end(struct worker *w, struct client *c); /* the address space is gone */
void client_publish(struct worker *w, struct client *c);
/* Watch main again once the gate lets it be read. Return: true if it was not watched. */
bool client_rearm(struct worker *w, struct client *c);
/* What a space function returned: end the space if it says so. True: it goes on. */
bool client_result(struct worker *w, struct client *c, int r);

/* attach.c */
void attach_accept(struct worker *w, struct watch *watch, uint32_t events);
void conn_free(struct worker *w, struct conn *conn);
void attach_requests(struct worker *w);			/* go on with what is being worked on */
void agent_dismiss(struct worker *w, struct client *c); /* pre: space_agent_idle() */
void agent_hold(struct client *c, int main_fd);		/* pre: has an agent */

/* budget.c */
void budget_init(struct worker *w);
void budget_sample(struct worker *w, uint64_t now_ns);
void budget_update(struct worker *w);	 /* room from the last sample and what was counted since */
void budget_last_word(struct worker *w); /* the program is over: the limit was not held, untold */
bool budget_is_stuck(const struct worker *w); /* exceeded because of what cannot leave */
uint64_t budget_interval_ns(const struct worker *w);
/* What should leave so that the reserve is there. At the floor nothing is to, however short room is. */
uint64_t budget_short_pages(const struct worker *w);
bool budget_shares_pages(const struct worker *w); /* relatives by fork may have pages in common */
uint64_t budget_store_pages(struct worker *w, uint64_t *ret_pool_pages);

/* pump.c */
void pump(struct worker *w, uint64_t now_ns);

/* compress.c */
void compress_init(struct worker *w);
int compress_start(struct worker *w); /* its threads */
void compress_stop(struct worker *w);
void compress_post(struct worker *w, struct evict_job *job);
bool compress_post_decode(void *user, struct decode_job *job);
bool compress_unpost_decode(void *user, struct decode_job *job);

/* backing.c */
int backing_open(struct worker *w); /* Return: 0, also without a file; WORKER_E_SAID */
void backing_retire(
	struct worker *w); /* empty the file into the pool; nothing is written any more */
/* No page lies there, but what cannot be read: then EIO. */
bool backing_is_retired(struct worker *w, int *ret_errno);
void backing_close(struct worker *w);
void backing_forget(struct worker *w);
uint32_t backing_read(void *user, struct page_read **reads, uint32_t n);
void backing_release(void *user, struct page_read *read);
void backing_flush(struct worker *w); /* reads begin that were asked for */

/* writeback.c */
int writeback_init(struct worker *w);
int writeback_start(struct worker *w); /* pre: backing_open() */
void writeback_stop(struct worker *w);
void writeback_call(struct worker *w); /* have a look; any thread */
void writeback_choose(struct worker *w, const struct uswap_policy_view *view);
void writeback_look(struct worker *w, uint64_t used_bytes); /* above the mark? */
/* Above or below it: @n_bytes have to go. */
void writeback_press(struct worker *w, uint64_t used_bytes, uint64_t n_bytes);
bool writeback_set_policy(struct worker *w, const char *name); /* False: there is no such */
bool writeback_works(const struct worker *w); /* what the pool has too much can go to the file */
/* Shall what was read from the file keep its copy there? Else it goes to the pool when it leaves. */
bool writeback_wants_copies(const struct worker *w, uint64_t pool_used_bytes);

/* place.c */
void place_init(struct worker *w);
int place_start(struct worker *w); /* pre: compress_start() */
void place_stop(struct worker *w);
void place_tick(struct worker *w, uint64_t now_ns);
void place_agent(struct worker *w, struct space *sp); /* a new agent is there */
const char *place_way(const struct worker *w);	      /* how: for figures */

/* report.c */
void report_summary(struct worker *w);
void report_init(struct worker *w);
void report_deinit(struct worker *w);
char *report_text(struct worker *w); /* malloc'ed JSON */
/* [owner] The figures of now go to --stats soon: the owner does not wait for a disk. */
void report_post(struct worker *w);
void report_write_posted(struct worker *w); /* [upkeep] */
void report_write_final(struct worker *w);  /* [owner] nothing posted is written after this */

#endif
