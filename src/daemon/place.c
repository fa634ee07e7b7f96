// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where the owner thread and the agents run, and how urgently.
 *
 * Waking a thread on another CPU costs several times more than on the same one, on virtual machines
 * ten times. So the owner follows the thread that faults: it looks now and then where that runs,
 * and binds itself and the agents it commands to that CPU. While one of the three works the other
 * two wait for it, so they take nothing from each other; compressors have the other CPUs. When the
 * faults come from threads on several CPUs there is no such place; whether following pays is
 * measured (trial_tick).
 *
 * While faults are frequent, idle CPUs are asked not to halt (/dev/cpu_dma_latency, the interface of
 * PM QoS): a program that is woken on an idle CPU would wait for that to come back, which in a
 * virtual machine takes as long as five faults.
 *
 * Both run at the lowest real-time priority, where that is permitted: a fault of a program is served
 * in the kernel at the program's expense and without queueing, and it should be so here. They never
 * work longer than a command or a window of pages.
 *
 * syscalls: openat write close sched_setaffinity sched_setscheduler setpriority, and reads below
 * /proc/PID/task
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/worker-impl.h"

#define LOOK_NS (5ULL * 1000 * 1000)
#define LOOK_MIN_FAULTS 10u
#define TRIAL_WINDOWS 4u
#define TRIAL_NS (50ULL * 1000 * 1000)
#define HOLD_NS (10ULL * 1000 * 1000 * 1000)
#define FLOAT_MARGIN 1.1
#define AWAKE_NS (100ULL * 1000 * 1000) /* without frequent faults CPUs may halt again */

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
	w->place.follow = w->place.mode != WORKER_PLACE_FLOAT && sysconf(_SC_NPROCESSORS_ONLN) > 1;
	w->place.tries = w->place.follow && w->place.mode == WORKER_PLACE_AUTO;
	make_urgent(0);
}

static int bind_tid(int tid, int cpu)
{
	cpu_set_t set;
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int k;

	CPU_ZERO(&set);
	if (cpu >= 0)
		CPU_SET(cpu, &set);
	for (k = 0; cpu < 0 && k < n && k < CPU_SETSIZE; k++)
		CPU_SET(k, &set);
	return sched_setaffinity(tid, sizeof(set), &set);
}

void place_agent(struct worker *w, struct space *sp)
{
	sp->agent_tid = mem_linux_agent_tid(sp->mem);
	if (!sp->agent_tid)
		return;
	make_urgent(sp->agent_tid);
	if (w->place.cpu >= 0)
		(void)bind_tid(sp->agent_tid, w->place.cpu);
}

static void bind_to(struct worker *w, int cpu)
{
	struct space *sp;

	if (bind_tid(0, cpu))
		return;
	w->place.cpu = cpu;
	list_for_each(sp, &w->group.spaces, link)
		if (sp->agent_tid)
			(void)bind_tid(sp->agent_tid, cpu);
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
 * Auto: in turns, a window of following and one of floating; then what served more faults a second, by
 * a clear margin, for a while. A window in which faults became rare says nothing and begins anew.
 */
static void trial_tick(struct worker *w, bool frequent, uint64_t now)
{
	struct placement *p = &w->place;
	uint64_t n_faults = w->group.stats.n_faults;
	uint64_t window_ns = now - p->window_ns;

	if (!frequent) {
		p->window_ns = now;
		p->window_faults = n_faults;
		return;
	}
	if (window_ns < (p->n_windows < TRIAL_WINDOWS ? TRIAL_NS : HOLD_NS))
		return;
	if (p->n_windows == TRIAL_WINDOWS) { /* held long enough: try again */
		p->n_windows = 0;
		p->rate[0] = p->rate[1] = 0;
		p->follow = true;
	} else {
		p->rate[p->n_windows % 2] +=
			(double)(n_faults - p->window_faults) / (double)window_ns;
		p->n_windows++;
		p->follow = p->n_windows % 2 == 0;
		if (p->n_windows == TRIAL_WINDOWS)
			p->follow = p->rate[1] < p->rate[0] * FLOAT_MARGIN;
	}
	p->window_ns = now;
	p->window_faults = n_faults;
	if (!p->follow && p->cpu >= 0)
		bind_to(w, -1);
}

/* Follow the thread that faulted last of all. */
void place_tick(struct worker *w, uint64_t now)
{
	struct placement *p = &w->place;
	uint64_t n_faults = w->group.stats.n_faults;
	struct space *sp;
	uint64_t latest = 0;
	struct space *who = NULL;
	bool frequent;
	int cpu;

	if (now - p->look_ns < LOOK_NS)
		return;
	p->look_ns = now;
	frequent = n_faults - p->n_faults >= LOOK_MIN_FAULTS;
	p->n_faults = n_faults;
	keep_awake(p, frequent, now);
	if (p->tries)
		trial_tick(w, frequent, now);
	if (!frequent || !p->follow)
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
