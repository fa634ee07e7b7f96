/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * birth - see birth.h
 *
 * A thread more makes a process of a millisecond dearer by a tenth and up to a quarter: the newborn
 * and the dying thread wake another processor, and both exec and exit wait for that. So most
 * processes never get one. A timer on the CPU time of the process is set instead, which costs two
 * system calls and vanishes at exec; the agent is started by its signal handler after BIRTH_CPU_NS.
 * What has run less has not grown much.
 *
 * The signal is the one of pthread_cancel: programs can neither block, catch nor wait for it through
 * libc. If libc's handler is there first, the agent is started at once; if it comes later (a program
 * that cancels threads) the agent is already there, because the first pthread_create() hastens it.
 * The kernel looks at CPU timers on the way back to user mode (5.10), so no system call of the program
 * ever fails with EINTR for our signal.
 *
 * Started at once: threshold 0; no timer to be had; in fork children of a process that is managed
 * already: forking that is expensive by itself.
 *
 * state: OFF   -> ARMED  birth_arm()
 *        ARMED -> OFF    whoever wins the compare-and-swap: the handler, birth_hasten, birth_put_off
 */
#include "agent/birth.h"

#include "agent/agent-sys.h"
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* syscalls: mmap mprotect munmap rt_sigprocmask rt_sigaction clone getpid timer_create
 * timer_settime timer_delete rt_sigreturn sched_yield clock_gettime */

#define BIRTH_CPU_NS (3 * MS_NS)
#define BIRTH_CLEAN_NS (2 * SEC_NS)
#define BIRTH_SIGNAL 32 /* libc's SIGCANCEL */
#define BIRTH_NEVER '-' /* instead of the threshold's first digit */
#define BIRTH_CLONE_FLAGS                                                                   \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

struct kernel_sigaction { /* what rt_sigaction takes; libc's is another */
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

enum birth_state { BIRTH_OFF, BIRTH_ARMED };

static struct birth {
	struct agent_area *area;    /* NULL: not made yet */
	_Atomic uint32_t state;	    /* enum birth_state */
	_Atomic uint32_t forbidden; /* a filter would kill an agent */
	_Atomic uint32_t last;	    /* no second agent: see wrap-mqueue.c */
	uint32_t addr_bytes;	    /* [const] since birth_init(); 0: not under uswap */
	uint64_t threshold_bytes;   /* [const] since birth_init() */
	int32_t pid;		    /* whose agent and timer these are: a vfork child looks on */
	int timer;		    /* valid while ARMED */
	char *threshold_text;	    /* [const] since birth_init(): in the environment; NULL */
	struct sockaddr_un addr;    /* [const] since birth_init() */
} birth;

struct agent_area *birth_area(void)
{
	return birth.area;
}

struct agent_area *birth_area_get(void)
{
	struct agent_area *area;
	void *none = NULL;
	long base;

	if (birth.area || !birth.addr_bytes)
		return birth.area;
	base = sys_6(SYS_mmap, 0, AGENT_OWN_BYTES, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base < 0 && base > -4096)
		return NULL;
	if (sys_3(SYS_mprotect, base + AGENT_PAGE_BYTES, AGENT_OWN_BYTES - 2 * AGENT_PAGE_BYTES,
		  PROT_READ | PROT_WRITE)) {
		sys_2(SYS_munmap, base, AGENT_OWN_BYTES);
		return NULL;
	}
	area = (struct agent_area *)(base + AGENT_PAGE_BYTES + AGENT_STACK_BYTES - sizeof(*area));
	area->own = (uint64_t)base;
	area->threshold_bytes = birth.threshold_bytes;
	area->addr_bytes = birth.addr_bytes;
	bytes_copy(&area->addr, &birth.addr, sizeof(area->addr));
	/* Two threads may come here for their first mutex: the second one's area goes again. */
	if (!__atomic_compare_exchange_n((void **)&birth.area, &none, (void *)area, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		sys_2(SYS_munmap, base, AGENT_OWN_BYTES);
	return birth.area;
}

/* True in a child that shares our memory, and in one made by the bare system call. */
static bool is_stranger(void)
{
	return birth.pid != (int32_t)sys_0(SYS_getpid);
}

void birth_now(void)
{
	struct agent_area *area;
	uint64_t all = ~0ull, old;

	if (atomic_load(&birth.forbidden) || atomic_load(&birth.last) || is_stranger())
		return;
	area = birth_area_get();
	if (!area || atomic_load(&area->tid))
		return;
	area->pid = birth.pid;
	atomic_store(&area->clean, 0);
	atomic_store(&area->phase, AGENT_WAITING);

	/* The agent must never run a handler of the program: it starts with all signals blocked. */
	if (sys_4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all)))
		return;
	if (sys_clone_thread(BIRTH_CLONE_FLAGS, area, &area->tid, agent_run, area) < 0)
		atomic_store(&area->tid, 0); /* no agent: the program runs unmanaged */
	sys_4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
}

bool birth_put_off(void)
{
	uint32_t armed = BIRTH_ARMED;

	if (atomic_load(&birth.state) != BIRTH_ARMED || is_stranger() ||
	    !atomic_compare_exchange_strong(&birth.state, &armed, BIRTH_OFF))
		return false;
	sys_1(SYS_timer_delete, birth.timer);
	return true;
}

void birth_hasten(void)
{
	if (birth_put_off())
		birth_now();
}

/* On the stack of any thread, between any two instructions of the program. */
static void birth_handler(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_code == SI_TIMER && info->si_ptr == &birth)
		birth_hasten();
}

#if defined(__x86_64__)
#define BIRTH_SA_RESTORER SA_RESTORER
void birth_restorer(void);
/* The instructions by which debuggers and unwinders know a signal frame. */
__asm__(".text\n"
	".p2align 4\n"
	"nop\n"
	".hidden birth_restorer\n"
	".type birth_restorer, @function\n"
	"birth_restorer:\n\t"
	"mov $15, %rax\n\t" /* rt_sigreturn */
	"syscall\n\t"
	".size birth_restorer, .-birth_restorer\n");
#else
#define BIRTH_SA_RESTORER 0 /* the kernel has its own */
#define birth_restorer NULL
#endif

/*
 * True if our handler is in place. What posix_spawn() starts finds the signal ignored: libc keeps its
 * handler from running in the child, and exec passes that on.
 */
static bool handler_set(void)
{
	struct kernel_sigaction ours = {
		.handler = birth_handler,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | BIRTH_SA_RESTORER,
		.restorer = birth_restorer,
		.mask = ~0ull,
	};
	struct kernel_sigaction old = { 0 };

	if (sys_4(SYS_rt_sigaction, BIRTH_SIGNAL, &ours, &old, sizeof(ours.mask)))
		return false;
	if (old.handler == (void *)SIG_DFL || old.handler == (void *)SIG_IGN ||
	    old.handler == birth_handler)
		return true;
	sys_4(SYS_rt_sigaction, BIRTH_SIGNAL, &old, NULL, sizeof(old.mask));
	return false;
}

static bool birth_arm(void)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = BIRTH_SIGNAL,
		.sigev_value = { .sival_ptr = &birth },
	};
	struct itimerspec when = { .it_value = { .tv_nsec = BIRTH_CPU_NS } };

	if (!handler_set() ||
	    sys_3(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &birth.timer))
		return false;
	atomic_store(&birth.state, BIRTH_ARMED);
	if (!sys_4(SYS_timer_settime, birth.timer, 0, &when, NULL))
		return true;
	return !birth_put_off();
}

static uint64_t threshold_parse(const char *text)
{
	uint64_t v = 0;

	if (!text || !*text)
		return AGENT_THRESHOLD_BYTES;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || v > ~0ull / 10 - 1)
			return AGENT_THRESHOLD_BYTES;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	return v;
}

/* Return: length of the address; 0: not usable. "@name" is abstract. */
static uint32_t addr_set(struct sockaddr_un *addr, const char *name)
{
	size_t n = 0;

	while (n < sizeof(addr->sun_path) && name[n])
		n++;
	if (n < 2 || n == sizeof(addr->sun_path))
		return 0;
	addr->sun_family = AF_UNIX;
	bytes_copy(addr->sun_path, name, n);
	if (name[0] == '@')
		addr->sun_path[0] = '\0';
	else
		n++; /* the terminating zero, already there */
	return (uint32_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

void birth_init(const char *socket_name, char *threshold_text)
{
	if (threshold_text && threshold_text[0] == BIRTH_NEVER)
		return;
	birth.threshold_text = threshold_text;
	birth.threshold_bytes = threshold_parse(threshold_text);
	birth.addr_bytes = addr_set(&birth.addr, socket_name);
	if (!birth.addr_bytes)
		return;
	birth.pid = (int32_t)sys_0(SYS_getpid);
	if (!birth.threshold_bytes || !birth_arm())
		birth_now();
}

void birth_fork_child(void)
{
	bool managed = false;

	if (!birth.addr_bytes)
		return;
	birth.pid = (int32_t)sys_0(SYS_getpid);
	atomic_store(&birth.state, BIRTH_OFF); /* timers are not inherited */
	atomic_store(&birth.last, 0);	       /* nor is mq_notify */
	if (birth.area) {
		atomic_store(&birth.area->tid, 0);
		birth.area->own2 = 0; /* MADV_DONTFORK */
		managed = atomic_load(&birth.area->managed);
	}
	if (atomic_load(&birth.forbidden))
		return;
	if (managed || !birth.threshold_bytes || !birth_arm())
		birth_now();
}

/*
 * Where the environment still is what we were given: some programs write a title over it, and pass on a
 * copy.
 */
static void environment_forbid(void)
{
	static const char name[] = USWAP_ENV_THRESHOLD "=";
	char *text = birth.threshold_text;
	size_t i;

	if (!text)
		return;
	for (i = 1; i < sizeof(name); i++)
		if (text[-(long)i] != name[sizeof(name) - 1 - i])
			return;
	text[0] = BIRTH_NEVER;
}

void birth_forbid(void)
{
	if (is_stranger())
		return;
	atomic_store(&birth.forbidden, 1);
	environment_forbid();
}

void birth_hasten_last(void)
{
	uint64_t end_ns = sys_now_ns() + BIRTH_CLEAN_NS;
	struct agent_area *area;

	if (is_stranger())
		return;
	birth_hasten();
	area = birth.area;
	while (area && atomic_load(&area->tid) && !atomic_load(&area->clean) &&
	       sys_now_ns() < end_ns)
		sys_0(SYS_sched_yield);
	atomic_store(&birth.last, 1);
}
