/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * odd-memory - memory that may not leave, or not in the usual way, in a program that is being evicted
 *
 *     odd-memory all MIB        mlockall() of everything, and what comes later: the limit cannot be held
 *     odd-memory current MIB    a little is locked; what comes later is not
 *     odd-memory most MIB       five eighths of it are locked, and a little more is used often
 *     odd-memory unlocked MIB   most of half of it was locked when it was wanted, and is not any more
 *     odd-memory exec MIB       executable pages between ordinary and read-only ones
 *     odd-memory moved MIB      parts move away, come home, and move on with all the rest, again and again
 *     odd-memory emptied MIB    emptied by process_madvise(), which no event tells of
 *     odd-memory joined MIB     a thread of clone(), whose word that the kernel clears at the end is out
 *     odd-memory cleared MIB    the same, and the word was out before there was a thread
 *     odd-memory wiped MIB      a child is to find a range empty; the main thread has ended before
 *     odd-memory coroutine MIB  on a stack of 2 KiB, where no signal fits
 *     odd-memory filtered MIB   a program that is started under a filter which kills for what an agent does
 *     odd-memory forked MIB     in a child of the bare system call
 *
 * Prints a digest of what it reads back.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define PAGE 4096u
#define MIB_PAGES 256u

struct block {
	uint64_t *words;
	size_t n_pages;
	uint64_t seed;
};

static uint64_t word_of(const struct block *b, size_t page, size_t i)
{
	return (b->seed + page) * 0x9e3779b97f4a7c15u >> (i % 8 * 8) & 0xff;
}

static struct block block_map(size_t n_pages, uint64_t seed, int prot)
{
	struct block b = { .n_pages = n_pages, .seed = seed };
	size_t page, i;

	b.words = mmap(NULL, b.n_pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b.words == MAP_FAILED) {
		perror("odd-memory: mmap");
		exit(1);
	}
	for (page = 0; page < b.n_pages; page++)
		for (i = 0; i < PAGE / sizeof(uint64_t); i++)
			b.words[page * (PAGE / sizeof(uint64_t)) + i] = word_of(&b, page, i);
	return b;
}

static struct block block_make(size_t mib, uint64_t seed)
{
	return block_map(mib * MIB_PAGES, seed, PROT_READ | PROT_WRITE);
}

static uint64_t block_verify(const struct block *b)
{
	uint64_t sum = 0;
	size_t page, i;

	for (page = 0; page < b->n_pages; page++)
		for (i = 0; i < PAGE / sizeof(uint64_t); i++) {
			uint64_t w = b->words[page * (PAGE / sizeof(uint64_t)) + i];

			if (w != word_of(b, page, i)) {
				fprintf(stderr, "odd-memory: WRONG DATA in page %zu\n", page);
				exit(1);
			}
			sum = sum * 31 + w;
		}
	return sum;
}

/* Has uswap taken over @b? Its part of /proc/self/smaps has the flag of a userfaultfd. */
static bool is_managed(const struct block *b)
{
	unsigned long start, end, at = (unsigned long)(uintptr_t)b->words;
	bool is_here = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_here = start <= at && at < end;
		else
			found = is_here && !strncmp(line, "VmFlags:", 8) && strstr(line, " um");
	}
	if (f)
		fclose(f);
	return found;
}

static void wait_until_managed(const struct block *b)
{
	int n = 3000;

	while (getenv("USWAP_SOCKET") && n-- && !is_managed(b))
		usleep(10000);
}

static void lock_all(int flags)
{
	if (mlockall(flags)) {
		perror("odd-memory: mlockall");
		exit(1);
	}
}

static void locked(bool all, size_t mib)
{
	struct block a = block_make(all ? mib : 8, 1), b, c;

	wait_until_managed(&a);
	lock_all(all ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT);
	b = block_make(all ? mib / 4 : mib, 2);
	printf("%016lx\n", block_verify(&a) ^ block_verify(&b));
	munlockall();
	c = block_make(mib, 3);
	printf("%016lx\n", block_verify(&a) ^ block_verify(&b) ^ block_verify(&c));
}

static void mostly_locked(size_t mib)
{
	struct block a = block_make(mib / 8 * 5, 1), b;
	uint64_t sum = 0;
	int round;

	/* part of it is out by now, and the kernel waits for each page */
	if (mlock(a.words, a.n_pages * PAGE)) {
		perror("odd-memory: mlock");
		exit(1);
	}
	b = block_make(mib / 16, 2);
	for (round = 0; round < 50; round++)
		sum = sum * 31 + block_verify(&b);
	printf("%016lx\n", block_verify(&a) ^ sum);
}

static void unlocked(size_t mib)
{
	struct block a, b;
	uint64_t sum = 0;
	int round;

	for (round = 0; round < 3; round++) {
		a = block_make(mib / 16 * 7, 1);
		if (mlock(a.words, a.n_pages * PAGE)) {
			perror("odd-memory: mlock");
			exit(1);
		}
		b = block_make(mib / 8, 2);
		usleep(100000); /* what is wanted of it is refused */
		munlock(a.words, a.n_pages * PAGE);
		munmap(b.words, b.n_pages * PAGE);
		a.n_pages /= 2;
		munmap(a.words + a.n_pages * (PAGE / sizeof(uint64_t)), a.n_pages * PAGE);
		if (round == 2)
			break;
		sum ^= block_verify(&a);
		munmap(a.words, a.n_pages * PAGE);
	}
	b = block_make(mib, 3);
	printf("%016lx\n", sum ^ block_verify(&a) ^ block_verify(&b));
}

static void executable(size_t mib)
{
	/* small ones, so that a command has all kinds */
	enum { N_BLOCKS_PER_MIB = 8, PART_PAGES = MIB_PAGES / N_BLOCKS_PER_MIB };
	static const int prot[] = { PROT_READ | PROT_WRITE | PROT_EXEC, PROT_READ | PROT_WRITE };
	size_t n = mib * N_BLOCKS_PER_MIB, i, round;
	struct block *blocks = calloc(n, sizeof(*blocks));
	uint64_t sum = 0;

	if (!blocks)
		exit(1);
	for (i = 0; i < n; i++) {
		blocks[i] = block_map(PART_PAGES, i, prot[i / 2 % 2]);
		if (i % 16 == 5)
			mprotect(blocks[i].words, PART_PAGES * PAGE, PROT_READ);
	}
	for (round = 0; round < 3; round++)
		for (i = 0; i < n; i++)
			sum = sum * 31 + block_verify(&blocks[i]);
	printf("%016lx\n", sum);
	free(blocks);
}

static void move(uint64_t *from, size_t n_pages, uint64_t *to)
{
	if (mremap(from, n_pages * PAGE, n_pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
		return;
	perror("odd-memory: mremap");
	exit(1);
}

static uint64_t *room_map(size_t n_pages)
{
	void *room = mmap(NULL, n_pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room != MAP_FAILED)
		return room;
	perror("odd-memory: mmap");
	exit(1);
}

static void moved(size_t mib)
{
	uint64_t *part, *room, *other, *was;
	struct block b;
	size_t i, k, n;

	for (i = 0; i < 4; i++) {
		b = block_make(mib, i);
		room = room_map(b.n_pages);
		other = room_map(b.n_pages);
		for (k = 0; k < 1 + 20 * i; k++) {
			n = b.n_pages / (2 + k % 5);
			part = b.words + b.n_pages / (3 + k % 7) * (PAGE / sizeof(uint64_t));
			move(part, n, room);
			move(room, n, part);
			move(b.words, b.n_pages, other);
			was = b.words;
			b.words = other;
			other = was;
		}
		printf("moved %llx\n", (unsigned long long)block_verify(&b));
		munmap(b.words, b.n_pages * PAGE);
		munmap(room, b.n_pages * PAGE);
	}
}

static long advise_self(int self, void *start, size_t len, int advice, bool by_number)
{
	struct iovec part = { start, len };

	if (by_number)
		return syscall(SYS_process_madvise, self, &part, 1, advice, 0);
	return process_madvise(self, &part, 1, advice, 0);
}

/* Both halves, each by another name of the call. */
static void emptied(size_t mib)
{
	struct block a = block_make(mib, 1), b = block_make(mib, 2);
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	size_t half = a.n_pages / 2 * PAGE, n = 2 * half / sizeof(uint64_t), i;
	uint64_t sum = 0;

	for (i = 0; i < 2; i++) {
		void *start = (char *)a.words + i * half;

		if (advise_self(self, start, half, MADV_GUARD_INSTALL, i) < 0) {
			memset(start, 0, half); /* this kernel has none */
			continue;
		}
		if (madvise(start, half, MADV_GUARD_REMOVE)) {
			perror("odd-memory: MADV_GUARD_REMOVE");
			exit(1);
		}
	}
	for (i = 0; i < n; i++)
		sum |= a.words[i];
	printf("%lx %016lx\n", sum, block_verify(&b));
}

static int thread_main(void *arg)
{
	volatile bool *may_end = arg;

	while (!*may_end)
		usleep(1000);
	return 0;
}

static void joined(size_t mib)
{
	const struct timespec most = { 20, 0 };
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		    CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	struct block a = block_make(mib, 1), b;
	pid_t *word = (pid_t *)(a.words + mib * MIB_PAGES / 2 * (PAGE / sizeof(uint64_t)));
	volatile bool may_end = false;
	char *stack = malloc(1 << 16);
	pid_t tid;

	if (!stack ||
	    clone(thread_main, stack + (1 << 16), flags, (void *)&may_end, word, NULL, word) < 0) {
		perror("odd-memory: clone");
		exit(1);
	}
	tid = *word;
	b = block_make(mib, 2); /* and the word goes, unless somebody knows better */
	(void)block_verify(&b);
	may_end = true;
	while (*(volatile pid_t *)word == tid)
		if (syscall(SYS_futex, word, FUTEX_WAIT, tid, &most, NULL, 0) && errno == ETIMEDOUT)
			break;
	printf("thread %s, %016lx\n", *word ? "never ended" : "ended", block_verify(&b));
	free(stack);
}

static int thread_ends(void *arg)
{
	(void)arg;
	return 0;
}

static void cleared(size_t mib)
{
	const struct timespec most = { 10, 0 };
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		    CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	struct block a = block_make(mib, 1), b;
	pid_t *word = (pid_t *)(a.words + mib * MIB_PAGES / 2 * (PAGE / sizeof(uint64_t)));
	char *stack = malloc(1 << 16);

	*word = 1;
	b = block_make(mib, 2);
	(void)block_verify(&b); /* the word is out, and nobody touches it but the kernel */
	if (!stack || clone(thread_ends, stack + (1 << 16), flags, NULL, NULL, NULL, word) < 0) {
		perror("odd-memory: clone");
		exit(1);
	}
	while (*(volatile pid_t *)word)
		if (syscall(SYS_futex, word, FUTEX_WAIT, 1, &most, NULL, 0) && errno == ETIMEDOUT)
			break;
	printf("word %s, %016lx\n", *word ? "never cleared" : "cleared", block_verify(&b));
}

static struct block wiped_block, wiped_other;

static void *wiped_main(void *arg)
{
	uint64_t sum = 0;
	size_t i;
	pid_t pid;

	pthread_join(*(pthread_t *)arg, NULL);
	pid = fork();
	if (!pid) {
		for (i = 0; i < wiped_block.n_pages * (PAGE / sizeof(uint64_t)); i++)
			sum |= wiped_block.words[i];
		printf("child %lx %016lx\n", sum, block_verify(&wiped_other));
		exit(0);
	}
	waitpid(pid, NULL, 0);
	printf("%016lx %016lx\n", block_verify(&wiped_block), block_verify(&wiped_other));
	exit(0);
}

static void wiped(size_t mib)
{
	static pthread_t self;
	pthread_t thread;

	self = pthread_self();
	wiped_block = block_make(mib / 4, 1);
	if (madvise(wiped_block.words, wiped_block.n_pages * PAGE, MADV_WIPEONFORK)) {
		perror("odd-memory: madvise");
		exit(1);
	}
	wiped_other = block_make(mib, 2);
	(void)block_verify(&wiped_other);
	if (pthread_create(&thread, NULL, wiped_main, &self))
		exit(1);
	pthread_exit(NULL);
}

static volatile uint64_t coroutine_sum;

static void coroutine_main(void)
{
	clock_t end = clock() + CLOCKS_PER_SEC / 20;

	while (clock() < end)
		coroutine_sum++;
}

static char coroutine_room[16 * PAGE] __attribute__((aligned(PAGE)));

static void coroutine_run(void)
{
	static ucontext_t here, there;

	getcontext(&there);
	there.uc_stack.ss_sp = coroutine_room + sizeof(coroutine_room) - PAGE;
	there.uc_stack.ss_size = 2048;
	there.uc_link = &here;
	makecontext(&there, coroutine_main, 0);
	swapcontext(&here, &there);
}

static void coroutine(size_t mib)
{
	size_t i, n = 0;

	(void)mib;
	memset(coroutine_room, 0x5a, sizeof(coroutine_room));
	(void)clock(); /* the dynamic linker takes more than the stack: once, and not there */
	coroutine_run();
	for (i = 0; i < sizeof(coroutine_room) - PAGE; i++)
		n += coroutine_room[i] != 0x5a;
	printf("%zu bytes below the stack were changed\n", n);
}

static void filtered(size_t mib)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timer_create, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, filter };

	(void)mib;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		perror("odd-memory: prctl");
		exit(1);
	}
	execl("/bin/sh", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i",
	      NULL);
	exit(1);
}

static void forked(size_t mib)
{
	struct block a = block_make(mib / 4, 1), b;
	pid_t pid = (pid_t)syscall(SYS_fork);
	int status;

	if (pid < 0) {
		perror("odd-memory: fork");
		exit(1);
	}
	if (!pid) {
		b = block_make(mib, 2);
		printf("child %016lx %016lx\n", block_verify(&b), block_verify(&a));
		exit(0);
	}
	waitpid(pid, &status, 0);
	printf("%x %016lx\n", (unsigned)status, block_verify(&a));
}

int main(int argc, char **argv)
{
	size_t mib = argc == 3 ? (size_t)atol(argv[2]) : 0;

	if (!mib) {
		fprintf(stderr, "usage: odd-memory WHAT MIB\n");
		return 2;
	}
	if (!strcmp(argv[1], "exec"))
		executable(mib);
	else if (!strcmp(argv[1], "moved"))
		moved(mib);
	else if (!strcmp(argv[1], "emptied"))
		emptied(mib);
	else if (!strcmp(argv[1], "joined"))
		joined(mib);
	else if (!strcmp(argv[1], "cleared"))
		cleared(mib);
	else if (!strcmp(argv[1], "wiped"))
		wiped(mib);
	else if (!strcmp(argv[1], "coroutine"))
		coroutine(mib);
	else if (!strcmp(argv[1], "filtered"))
		filtered(mib);
	else if (!strcmp(argv[1], "forked"))
		forked(mib);
	else if (!strcmp(argv[1], "most"))
		mostly_locked(mib);
	else if (!strcmp(argv[1], "unlocked"))
		unlocked(mib);
	else if (!strcmp(argv[1], "all") || !strcmp(argv[1], "current"))
		locked(!strcmp(argv[1], "all"), mib);
	else
		return 2;
	return 0;
}
