/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * client - an unsuspecting program that does what it is told, one word per line
 *
 * Answers are one line each. It makes itself big enough in CPU time for an agent to be started.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_PAGES 64u
#define PAGE 4096u

static uint8_t *region;
static volatile sig_atomic_t n_signals;

static void answer(const char *text)
{
	if (write(1, text, strlen(text)) < 0 || write(1, "\n", 1) < 0)
		_exit(2);
}

static void answer_result(long r)
{
	char text[64];

	snprintf(text, sizeof(text), "%ld %d", r, r < 0 ? errno : 0);
	answer(text);
}

static void cpu_burn(void)
{
	clock_t end = clock() + CLOCKS_PER_SEC / 50;

	while (clock() < end)
		continue;
}

static void region_new(void)
{
	region = mmap(NULL, (N_PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (region == MAP_FAILED)
		_exit(3);
	region += PAGE;
	if (mprotect(region, N_PAGES * PAGE, PROT_READ | PROT_WRITE))
		_exit(3);
	madvise(region, N_PAGES * PAGE, MADV_NOHUGEPAGE);
	for (uint32_t i = 0; i < N_PAGES; i++)
		memset(region + i * PAGE, (int)(i + 1), PAGE);
}

static long region_sum(void)
{
	long sum = 0;

	for (uint32_t i = 0; i < N_PAGES; i++)
		sum += region[i * PAGE] + region[i * PAGE + PAGE - 1];
	return sum;
}

static void *other_thread(void *data)
{
	for (;;)
		pause();
	return data;
}

static void *answering_thread(void *data);

static long thread_cancel(void)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, other_thread, NULL);

	if (!r)
		r = pthread_cancel(thread);
	return r ? -1 : pthread_join(thread, NULL);
}

/* Number of threads in a fork child that has only just begun. */
static long fork_threads(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		DIR *dir = opendir("/proc/self/task");
		struct dirent *e;
		int n = 0;

		while ((e = readdir(dir)))
			n += e->d_name[0] != '.';
		_exit(n);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void on_notify(int sig)
{
	(void)sig;
	n_signals = n_signals + 1;
}

static long filter_set(unsigned int flags, uint32_t forbidden_nr, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden_nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!flags)
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static long mq_begin(void)
{
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 16 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	char name[32];
	mqd_t mq;

	signal(SIGUSR1, on_notify);
	snprintf(name, sizeof(name), "/uswap-%d", getpid());
	mq = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	if (mq < 0)
		return -1;
	mq_unlink(name);
	return mq_notify(mq, &event) ? -1 : mq;
}

/* A child that stays, and answers itself when it is told to through the pipe we share. */
static void fork_and_stay(void)
{
	pid_t pid = fork();

	if (pid) {
		int status;

		waitpid(pid, &status, 0);
		_exit(0);
	}
	cpu_burn();
}

static void fork_sum(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(region_sum() == (long)N_PAGES * (N_PAGES + 1) ? 0 : 1);
	waitpid(pid, &status, 0);
	answer_result(status);
}

/* A child that only shares our pages until it is reaped. */
static pid_t idle_pid;

static long fork_idle(void)
{
	idle_pid = fork();
	if (!idle_pid)
		for (;;)
			pause();
	return idle_pid < 0 ? -1 : 0;
}

static long idle_reap(void)
{
	kill(idle_pid, SIGKILL);
	return waitpid(idle_pid, NULL, 0) == idle_pid ? 0 : -1;
}

static long spawn_in_vfork(void)
{
	int status;
	pid_t pid = vfork();

	if (!pid) {
		/* A child that shares our memory must not take our agent away. */
		syscall(SYS_setuid, 65534);
		filter_set(SECCOMP_FILTER_FLAG_TSYNC, SYS_sendmsg, SECCOMP_RET_KILL_PROCESS);
		_exit(7);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static long mutex_init(bool robust, bool inherit)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *)(region + 3 * PAGE - 8);
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	if (robust)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (inherit)
		pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	return -pthread_mutex_init(mutex, &attr);
}

static bool identity_run(const char *word)
{
	if (!strcmp(word, "setuid"))
		answer_result(setuid(65534));
	else if (!strcmp(word, "raw-setuid"))
		answer_result(syscall(SYS_setuid, 65534));
	else if (!strcmp(word, "seteuid"))
		answer_result(seteuid(65534) || seteuid(0));
	else if (!strcmp(word, "setgid"))
		answer_result(setgid(65534));
	else if (!strcmp(word, "unshare-user"))
		answer_result(unshare(CLONE_NEWUSER));
	else if (!strcmp(word, "unshare-net"))
		answer_result(syscall(SYS_unshare, CLONE_NEWNET));
	else if (!strcmp(word, "unshare-files"))
		answer_result(unshare(CLONE_FILES));
	else if (!strcmp(word, "seccomp"))
		answer_result(filter_set(0, 9999, SECCOMP_RET_KILL_PROCESS));
	else if (!strcmp(word, "seccomp-tsync"))
		answer_result(
			filter_set(SECCOMP_FILTER_FLAG_TSYNC, 9999, SECCOMP_RET_KILL_PROCESS));
	else if (!strcmp(word, "seccomp-deadly"))
		answer_result(filter_set(SECCOMP_FILTER_FLAG_TSYNC, SYS_sendmsg,
					 SECCOMP_RET_KILL_PROCESS));
	else
		return false;
	return true;
}

static bool memory_run(const char *word)
{
	if (!strcmp(word, "sum"))
		answer_result(region_sum());
	else if (!strcmp(word, "fork-sum"))
		fork_sum();
	else if (!strcmp(word, "fork-idle"))
		answer_result(fork_idle());
	else if (!strcmp(word, "reap"))
		answer_result(idle_reap());
	else if (!strcmp(word, "zap"))
		answer_result(madvise(region, PAGE, MADV_DONTNEED));
	else if (!strcmp(word, "read-only"))
		answer_result(mprotect(region + 8 * PAGE, PAGE, PROT_READ));
	else if (!strcmp(word, "guard"))
		answer_result(madvise(region + 4 * PAGE, PAGE, 102));
	else if (!strcmp(word, "raw-guard"))
		answer_result(syscall(SYS_madvise, region + 4 * PAGE, (size_t)PAGE, 102));
	else if (!strcmp(word, "mutex-plain"))
		answer_result(mutex_init(false, false));
	else if (!strcmp(word, "mutex-pi"))
		answer_result(mutex_init(false, true));
	else if (!strcmp(word, "mutex-robust"))
		answer_result(mutex_init(true, false));
	else
		return false;
	return true;
}

static bool process_run(const char *word)
{
	static int mq = -1;
	pthread_t thread;

	if (!strcmp(word, "burn"))
		cpu_burn();
	else if (!strcmp(word, "fork-and-stay"))
		fork_and_stay();
	else if (!strcmp(word, "vfork"))
		return answer_result(spawn_in_vfork()), true;
	else if (!strcmp(word, "thread"))
		return answer_result(-pthread_create(&thread, NULL, other_thread, NULL)), true;
	else if (!strcmp(word, "cancel"))
		return answer_result(thread_cancel()), true;
	else if (!strcmp(word, "fork-threads"))
		return answer_result(fork_threads()), true;
	else if (!strcmp(word, "close-all"))
		return answer_result(syscall(SYS_close_range, 2, ~0u, 0)), true;
	else if (!strcmp(word, "mq-begin"))
		return answer_result(mq = (int)mq_begin()), true;
	else if (!strcmp(word, "mq-send"))
		return answer_result(mq_send(mq, "x", 1, 0) ? -1 : n_signals), true;
	else if (!strcmp(word, "main-exit")) {
		pthread_create(&thread, NULL, answering_thread, NULL);
		pthread_exit(NULL);
	} else if (!strcmp(word, "bare-exit"))
		syscall(SYS_exit, 0);
	else if (!strcmp(word, "exec"))
		execl("/bin/cat", "cat", NULL);
	else if (!strcmp(word, "exit"))
		exit(0);
	else
		return false;
	answer("0 0");
	return true;
}

static void *answering_thread(void *data)
{
	char word[64];
	size_t n = 0;

	(void)data;
	while (read(0, word + n, 1) == 1) {
		if (word[n] != '\n') {
			n = (n + 1) % (sizeof(word) - 1);
			continue;
		}
		word[n] = '\0';
		n = 0;
		if (!strcmp(word, "region")) {
			snprintf(word, sizeof(word), "%lx", (unsigned long)region);
			answer(word);
		} else if (!memory_run(word) && !process_run(word) && !identity_run(word)) {
			answer("what?");
		}
	}
	exit(0);
}

int main(void)
{
	region_new();
	if (!getenv("AGENT_CLIENT_IDLE"))
		cpu_burn();
	answering_thread(NULL);
	return 0;
}
