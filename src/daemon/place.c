// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where the owner thread and the agents run, and how urgently.
 *
 * Waking a thread on another CPU costs several times more than on the same one, on virtual machines
 * ten times. So the owner follows the thread that faults: it looks now and then where that runs,
 * and binds itself and the agents it commands to that CPU. While one of the three works the other
 * two wait for it, so they take nothing from each other; compressors are bound to the other CPUs.
 *
 * The program would not stay where it is followed to: the scheduler wakes a thread on an idle CPU
 * rather than behind whoever wakes it, and the owner is just that. So with few CPUs the others are
 * kept company while faults are frequent: a thread of the lowest weight that spins, gives way to
 * anything else at once, and makes its CPU not idle. They would not rest in that time anyway (next
 * paragraph). Measured with two CPUs: random reads 17 us without, 12 us with it.
 *
 * None of this holds everywhere. When the faults come from threads on several CPUs there is no place to
 * follow to, and where a hypervisor is asked at every switch between address spaces, going back and
 * forth on one CPU costs more than waking another, and company, which is switched to at each fault, as
 * much again. So the three ways are compared by the rate of faults that they serve (trial.c).
 *
 * While faults are frequent, idle CPUs are asked not to halt (/dev/cpu_dma_latency, the interface of
 * PM QoS): a program that is woken on an idle CPU would wait for that to come back, which in a
 * virtual machine takes as long as five faults.
 *
 * Both run at the lowest real-time priority, where that is permitted: a fault of a program is served
 * in the kernel at the program's expense and without queueing, and it should be so here. They never
 * work longer than a command or a window of pages.
 *
 * syscalls: openat write close futex sched_setaffinity sched_setscheduler setpriority, and reads below
 * /proc/PID/task
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/error.h"
#include "daemon/worker-impl.h"

#define LOOK_NS (5ULL * 1000 * 1000)
#define LOOK_MIN_FAULTS 10u
#define MANY_PART 4u /* of the faults come from another thread than the one before */
#define MANY_LOOKS 4u
#define AWAKE_NS (100ULL * 1000 * 1000) /* without frequent faults CPUs may halt again */
#define COMPANY_MAX_CPUS 4		/* with more the idle ones are too many */
#define COMPANY_SPINS 1000u

/* In the order in which they are right on most machines. */
enum place_way {
	WAY_COMPANY, /* follow, and keep the other CPUs company */
	WAY_FOLLOW,
	WAY_FLOAT, /* anywhere: as the scheduler likes */
};

/* Real time if we may, else as nice as we may. @tid 0: the caller. */
static void make_urgent(int tid)
{
	struct sched_param param = { .sched_priority = sched_get_priority_min(SCHED_RR) };

	if (sched_setscheduler(tid, SCHED_RR | SCHED_RESET_ON_FORK, &param))
		(void)setpriority(PRIO_PROCESS, (id_t)tid, -19);
}

void place_init(struct worker *w)
{
	w->place.mode = w->o->placement;
	w->place.cpu = -1;
	w->place.awake_fd = -1;
	if (sched_getaffinity(0, sizeof(w->place.cpus), &w->place.cpus)) /* more than CPU_SETSIZE */
		CPU_SET(0, &w->place.cpus);
	w->place.n_cpus = (uint32_t)CPU_COUNT(&w->place.cpus);
	pthread_mutex_init(&w->place.company_lock, NULL);
	pthread_cond_init(&w->place.company_call, NULL);
	make_urgent(0);
}

/* The first that there is; a mode has some of them, without a gap. */
static enum place_way first_way(const struct placement *p)
{
	if (p->mode == WORKER_PLACE_FLOAT || p->n_cpus < 2)
		return WAY_FLOAT;
	return p->n_company ? WAY_COMPANY : WAY_FOLLOW;
}

static enum place_way last_way(const struct placement *p)
{
	if (p->mode == WORKER_PLACE_FOLLOW && p->n_cpus > 1)
		return WAY_FOLLOW;
	return WAY_FLOAT;
}

static enum place_way way_now(const struct placement *p)
{
	return first_way(p) + p->trial[p->many].way;
}

const char *place_way(const struct worker *w)
{
	return way_now(&w->place) == WAY_FLOAT ? "float" : "follow";
}

/* @cpu < 0: any that we were given. */
static int bind_tid(const struct placement *p, int tid, int cpu)
{
	cpu_set_t set = p->cpus;

	if (cpu >= 0) { /* the program may have been given others than we */
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	}
	return sched_setaffinity(tid, sizeof(set), &set);
}

void place_agent(struct worker *w, struct space *sp)
{
	sp->agent_tid = mem_linux_agent_tid(sp->mem);
	if (!sp->agent_tid)
		return;
	make_urgent(sp->agent_tid);
	if (w->place.cpu >= 0)
		(void)bind_tid(&w->place, sp->agent_tid, w->place.cpu);
}

/* Background threads stay away from the CPU that faults are served on. */
static void bind_background(struct worker *w, int cpu)
{
	struct compress_pool *p = &w->compress;
	cpu_set_t set = w->place.cpus;
	uint32_t k;

	if (cpu >= 0)
		CPU_CLR(cpu, &set);
	if (!CPU_COUNT(&set)) /* there is none but that */
		return;
	for (k = 0; k < p->n_threads; k++)
		(void)pthread_setaffinity_np(p->threads[k], sizeof(set), &set);
	if (p->upkeep_runs)
		(void)pthread_setaffinity_np(p->upkeep, sizeof(set), &set);
	for (k = 0; k < w->place.n_company; k++)
		(void)pthread_setaffinity_np(w->place.company[k], sizeof(set), &set);
}

static void bind_to(struct worker *w, int cpu)
{
	struct space *sp;

	if (bind_tid(&w->place, 0, cpu))
		return;
	w->place.cpu = cpu;
	bind_background(w, cpu);
	list_for_each(sp, &w->group.spaces, link)
		if (sp->agent_tid)
			(void)bind_tid(&w->place, sp->agent_tid, cpu);
}

/* ---- company -------------------------------------------------------------------------------- */

static void *company_main(void *arg)
{
	struct placement *p = arg;
	uint32_t k;

	/* not SCHED_IDLE: a CPU that runs nothing else is idle to the scheduler */
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
	pthread_mutex_lock(&p->company_lock);
	while (!p->company_stop) {
		if (!load_relaxed(&p->company_wanted)) { /* the lock orders */
			pthread_cond_wait(&p->company_call, &p->company_lock);
			continue;
		}
		pthread_mutex_unlock(&p->company_lock);
		while (load_relaxed(&p->company_wanted)) /* relaxed: seen soon enough */
			for (k = 0; k < COMPANY_SPINS; k++)
				cpu_relax();
		pthread_mutex_lock(&p->company_lock);
	}
	pthread_mutex_unlock(&p->company_lock);
	return NULL;
}

static void company_set(struct placement *p, bool wanted)
{
	if (!p->n_company || load_relaxed(&p->company_wanted) == wanted) /* only the owner sets */
		return;
	pthread_mutex_lock(&p->company_lock);
	store_relaxed(&p->company_wanted, wanted); /* the lock orders */
	pthread_mutex_unlock(&p->company_lock);
	if (wanted)
		pthread_cond_broadcast(&p->company_call);
}

int place_start(struct worker *w)
{
	struct placement *p = &w->place;
	uint32_t n = p->n_cpus > COMPANY_MAX_CPUS || first_way(p) == WAY_FLOAT ? 0 : p->n_cpus - 1;
	uint32_t k;

	while (p->n_company < n) {
		int r = pthread_create(&p->company[p->n_company], NULL, company_main, p);

		if (r)
			return err_origin(-r);
		p->n_company++;
	}
	for (k = 0; k < 2; k++)
		trial_init(&p->trial[k], (uint32_t)(last_way(p) - first_way(p)) + 1);
	return 0;
}

void place_stop(struct worker *w)
{
	struct placement *p = &w->place;

	pthread_mutex_lock(&p->company_lock);
	p->company_stop = true;
	store_relaxed(&p->company_wanted, false); /* the lock orders */
	pthread_mutex_unlock(&p->company_lock);
	pthread_cond_broadcast(&p->company_call);
	while (p->n_company)
		pthread_join(p->company[--p->n_company], NULL);
	if (p->awake_fd >= 0)
		close(p->awake_fd);
}

static void keep_awake(struct placement *p, bool frequent, uint64_t now)
{
	const int32_t latency_us = 0;

	if (frequent) {
		p->awake_ns = now;
		if (p->awake_fd >= 0)
			return;
		p->awake_fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
		if (p->awake_fd >= 0)
			(void)!write(p->awake_fd, &latency_us, sizeof(latency_us));
	} else if (p->awake_fd >= 0 && now - p->awake_ns > AWAKE_NS) {
		close(p->awake_fd);
		p->awake_fd = -1;
	}
}

/*
 * Do faults come from one thread, or from many in turns? Some looks in a row have to say so: a trial needs
 * more time than a moment.
 */
static void look_who_faults(struct placement *p, uint64_t n_faults, uint64_t n_turns)
{
	bool many = n_turns > n_faults / MANY_PART;

	p->n_other = many == p->many ? 0 : p->n_other + 1;
	if (p->n_other < MANY_LOOKS)
		return;
	p->many = many;
	p->n_other = 0;
}

/* Follow the thread that faulted last of all. */
void place_tick(struct worker *w, uint64_t now)
{
	struct placement *p = &w->place;
	uint64_t n_faults = w->group.stats.n_faults;
	uint64_t n_turns = w->group.stats.n_turns;
	struct space *sp;
	uint64_t latest = 0;
	struct space *who = NULL;
	bool frequent;
	uint32_t k;
	int cpu;

	if (now - p->look_ns < LOOK_NS)
		return;
	p->look_ns = now;
	frequent = n_faults - p->n_faults >= LOOK_MIN_FAULTS;
	for (k = 0; k < 2; k++)
		trial_tick(&p->trial[k], frequent && p->many == k, n_faults, now);
	if (frequent)
		look_who_faults(p, n_faults - p->n_faults, n_turns - p->n_turns);
	p->n_faults = n_faults;
	p->n_turns = n_turns;
	keep_awake(p, frequent, now);
	company_set(p, way_now(p) == WAY_COMPANY && p->awake_fd >= 0);
	if (way_now(p) == WAY_FLOAT) {
		if (p->cpu >= 0)
			bind_to(w, -1);
		return;
	}
	if (!frequent)
		return;
	list_for_each(sp, &w->group.spaces, link)
		if (sp->pid && sp->last_tid && sp->last_fault_ns >= latest) {
			latest = sp->last_fault_ns;
			who = sp;
		}
	if (!who)
		return;
	cpu = mem_linux_thread_cpu(who->mem, who->last_tid);
	if (cpu >= 0 && cpu != p->cpu)
		bind_to(w, cpu);
}
