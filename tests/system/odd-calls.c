// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * odd-calls - calls whose answers an agent could change
 *
 *   odd-calls files	a file that is closed is closed, at each moment of an agent's life
 *   odd-calls errors	dlerror() says what it has to say
 *   odd-calls guards	MADV_GUARD_INSTALL of nothing, of too much, of a bad list
 *   odd-calls full	setresuid() when there is no descriptor left; how long is not printed but judged
 *
 * What is printed is to be the same with and without uswap. Exit status: 0; 1 wrong; 77 not possible here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { EXIT_SKIP = 77, MEMORY_BYTES = 48 << 20, PAGE = 4096 };

static double clock_s(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Enough memory, and time, for whoever wants to manage this process. */
static char *grow(void)
{
	char *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	double end_s = clock_s(CLOCK_MONOTONIC) + 0.5;

	for (size_t i = 0; i < MEMORY_BYTES; i += sizeof(size_t))
		*(size_t *)(memory + i) = i;
	while (clock_s(CLOCK_MONOTONIC) < end_s)
		usleep(1000);
	return memory;
}

/*
 * A lock goes with the last reference on its file. The newborn agent inherits CPU and policy of its
 * parent, so here it does not run before its parent waits; until then nothing may keep the file.
 */
static int odd_files(void)
{
	const struct sched_param first = { .sched_priority = 1 };
	char path[] = "/tmp/uswap-odd-calls-XXXXXX";
	cpu_set_t one;
	double end_s;
	int fd = mkstemp(path);

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (fd < 0 || sched_setaffinity(0, sizeof(one), &one) ||
	    sched_setscheduler(0, SCHED_FIFO, &first)) {
		perror("odd-calls");
		return EXIT_SKIP;
	}
	close(fd);
	for (end_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) + 0.05;
	     clock_s(CLOCK_PROCESS_CPUTIME_ID) < end_s;) {
		fd = open(path, O_RDWR);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			perror("odd-calls: flock");
			unlink(path);
			return 1;
		}
		for (double until_s = clock_s(CLOCK_MONOTONIC) + 5e-6;
		     clock_s(CLOCK_MONOTONIC) < until_s;)
			;
		close(fd);
	}
	unlink(path);
	puts("each lock was free again");
	return 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int odd_errors(void)
{
	pthread_mutex_t mutex;
	pthread_t thread;
	const char *said;

	said = dlerror();
	printf("at first: %s\n", said ? said : "nothing");
	(void)dlopen("/nonexistent.so", RTLD_NOW);
	pthread_mutex_init(&mutex, NULL);
	said = dlerror();
	printf("after pthread_mutex_init(): %s\n", said ? said : "nothing");
	(void)dlopen("/nonexistent.so", RTLD_NOW);
	if (!pthread_create(&thread, NULL, nothing, &mutex))
		pthread_join(thread, NULL);
	said = dlerror();
	printf("after pthread_create(): %s\n", said ? said : "nothing");
	return 0;
}

static void answer(const char *what, long r)
{
	printf("%s: %ld %s\n", what, r, r < 0 ? strerror(errno) : "");
}

static int odd_guards(void)
{
	char *memory = grow();
	struct iovec parts[] = { { memory, 0 }, { memory, PAGE } };
	long pidfd = syscall(SYS_pidfd_open, getpid(), 0);

	answer("nothing", madvise(memory, 0, MADV_GUARD_INSTALL));
	answer("kernel", madvise((void *)0xffff800000000000, PAGE, MADV_GUARD_INSTALL));
	answer("wraps", madvise(memory, (size_t)-PAGE, MADV_GUARD_INSTALL));
	answer("unaligned", madvise(memory + 1, PAGE, MADV_GUARD_INSTALL));
	answer("parts", syscall(SYS_process_madvise, pidfd, parts, 2, MADV_GUARD_INSTALL, 0));
	answer("bad parts",
	       syscall(SYS_process_madvise, pidfd, (void *)16, 1, MADV_GUARD_INSTALL, 0));
	return 0;
}

static int odd_full(void)
{
	const struct rlimit none = { 0, 0 };
	double start_s;

	grow();
	setrlimit(RLIMIT_NOFILE, &none);
	start_s = clock_s(CLOCK_MONOTONIC);
	answer("setresuid", setresuid(65534, 65534, 65534));
	return clock_s(CLOCK_MONOTONIC) - start_s > 1.5; /* it waited for nobody */
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "files"))
		return odd_files();
	if (!strcmp(what, "errors"))
		return odd_errors();
	if (!strcmp(what, "guards"))
		return odd_guards();
	return strcmp(what, "full") ? 2 : odd_full();
}
