/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-floor - what this machine allows: the bare fault round trip and the bare codecs
 *
 * No fault service by another process can be faster than a userfault message, a wake-up, one
 * UFFDIO_COPY and a wake-up back; no compressed page can come back faster than its codec
 * decompresses it. One JSON line per measurement:
 *
 *   rtt follow	 the handler stays on the CPU of the faulting thread, blocking read
 *   rtt other	 handler on another CPU, asleep in read
 *   rtt float	 both unpinned
 *   codec NAME	 us per page to compress and decompress pages of bench-data, ratio page by page
 *
 * With --quick there are so few pages that the figures mean nothing: for the tests.
 * Exit status: 0; 1 error; 77 no userfaultfd here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <lz4.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "bench-data.h"
#include "bench-hist.h"

enum { EXIT_SKIP = 77, RTT_PAGES = 8192, CODEC_PAGES = 16384, PACKED_MAX = 8192 };

static uint32_t n_rtt_pages = RTT_PAGES, n_codec_pages = CODEC_PAGES;

struct placement {
	const char *name;
	int app_cpu; /* -1: unpinned */
	int handler_cpu;
};

struct codec {
	const char *name;
	size_t (*pack)(void *dst, const void *src);
	size_t (*unpack)(void *dst, const void *src, size_t n_bytes);
};

static void cpu_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Return: a blocking descriptor of this address space, or a negative errno. */
static int uffd_open(void *start, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)start, len },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg)) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* The other process: answers each fault with the same page, until it is killed. */
static void handler_run(int fd, int cpu)
{
	static char page[BENCH_PAGE_BYTES] __attribute__((aligned(BENCH_PAGE_BYTES))) = { 7 };
	struct uffd_msg msg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	cpu_pin(cpu);
	while (read(fd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(uint64_t)(BENCH_PAGE_BYTES - 1),
			.src = (uintptr_t)page,
			.len = BENCH_PAGE_BYTES,
		};

		if (ioctl(fd, UFFDIO_COPY, &copy))
			_exit(1);
	}
	_exit(1);
}

static void rtt_touch_all(const char *base, struct hist *h)
{
	static uint32_t order[RTT_PAGES];
	uint64_t state = 1;

	for (uint32_t i = 0; i < n_rtt_pages; i++) {
		uint64_t j = rand_below(&state, i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (uint32_t i = 0; i < n_rtt_pages; i++) {
		const volatile char *p = base + (size_t)order[i] * BENCH_PAGE_BYTES;
		uint64_t start_ns = bench_now_ns();

		(void)*p;
		hist_add(h, bench_now_ns() - start_ns);
	}
}

static int rtt_measure(const struct placement *where)
{
	static struct hist h;
	size_t len = (size_t)n_rtt_pages * BENCH_PAGE_BYTES;
	char *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int fd;

	if (base == MAP_FAILED)
		return -errno;
	madvise(base, len, MADV_NOHUGEPAGE);
	fd = uffd_open(base, len);
	if (fd < 0)
		return fd;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		handler_run(fd, where->handler_cpu);
	cpu_pin(where->app_cpu);
	memset(&h, 0, sizeof(h));
	rtt_touch_all(base, &h);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	munmap(base, len);
	printf("{\"floor\":\"rtt\",\"name\":\"%s\",", where->name);
	hist_print_json(&h);
	puts("}");
	return 0;
}

/* Each placement in a child of its own: the affinity of one must not leak into the next. */
static int rtt_measure_apart(const struct placement *where)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		int r = rtt_measure(where);

		if (r)
			fprintf(stderr, "bench-floor: userfaultfd: %s\n", strerror(-r));
		fflush(stdout);
		_exit(r == -EPERM || r == -ENOSYS ? EXIT_SKIP : !!r);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static size_t lz4_pack(void *dst, const void *src)
{
	return (size_t)LZ4_compress_default(src, dst, BENCH_PAGE_BYTES, PACKED_MAX);
}

static size_t lz4_unpack(void *dst, const void *src, size_t n_bytes)
{
	return (size_t)LZ4_decompress_safe(src, dst, (int)n_bytes, BENCH_PAGE_BYTES);
}

static ZSTD_CCtx *zstd_cctx;
static ZSTD_DCtx *zstd_dctx;

static size_t zstd_pack(void *dst, const void *src)
{
	return ZSTD_compressCCtx(zstd_cctx, dst, PACKED_MAX, src, BENCH_PAGE_BYTES, -1);
}

static size_t zstd_unpack(void *dst, const void *src, size_t n_bytes)
{
	return ZSTD_decompressDCtx(zstd_dctx, dst, BENCH_PAGE_BYTES, src, n_bytes);
}

/*
 * Pages are packed in order and unpacked in random order from tens of megabytes: the packed bytes
 * are as cold as those of a page that was evicted a while ago.
 */
static int codec_measure(const struct codec *c)
{
	static struct hist pack, unpack;
	static uint32_t at[CODEC_PAGES + 1]; /* where each packed page begins */
	static char page[BENCH_PAGE_BYTES], back[BENCH_PAGE_BYTES];
	char *store = malloc((size_t)n_codec_pages * PACKED_MAX);
	uint64_t state = 1, start_ns;

	if (!store)
		return 1;
	memset(&pack, 0, sizeof(pack));
	memset(&unpack, 0, sizeof(unpack));
	for (uint32_t i = 0; i < n_codec_pages; i++) {
		data_page_fill(page, i);
		start_ns = bench_now_ns();
		at[i + 1] = at[i] + (uint32_t)c->pack(store + at[i], page);
		hist_add(&pack, bench_now_ns() - start_ns);
	}
	for (uint32_t n = 0; n < n_codec_pages; n++) {
		uint64_t i = rand_below(&state, n_codec_pages);

		start_ns = bench_now_ns();
		if (c->unpack(back, store + at[i], at[i + 1] - at[i]) != BENCH_PAGE_BYTES)
			return 1;
		hist_add(&unpack, bench_now_ns() - start_ns);
		if (data_page_verify(back, (struct page_ref){ .idx = i }) >= 0)
			return 1;
	}
	free(store);
	printf("{\"floor\":\"codec\",\"name\":\"%s\",\"ratio\":%.3f,\"compress_us\":%.3f,"
	       "\"decompress_us\":%.3f}\n",
	       c->name, (double)n_codec_pages * BENCH_PAGE_BYTES / (double)at[n_codec_pages],
	       hist_pct_us(&pack, 50, 0), hist_pct_us(&unpack, 50, 0));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct placement placements[] = {
		{ "follow", 0, 0 },
		{ "other", 0, 1 },
		{ "float", -1, -1 },
	};
	static const struct codec codecs[] = {
		{ "lz4", lz4_pack, lz4_unpack },
		{ "zstd-1", zstd_pack, zstd_unpack },
	};

	if (argc > 1 && !strcmp(argv[1], "--quick")) {
		n_rtt_pages /= 64;
		n_codec_pages /= 64;
	} else if (argc > 1) {
		fprintf(stderr, "usage: %s [--quick]\n", argv[0]);
		return 1;
	}
	for (size_t i = 0; i < sizeof(placements) / sizeof(placements[0]); i++) {
		int r = rtt_measure_apart(&placements[i]);

		if (r)
			return r;
	}
	data_init(1);
	zstd_cctx = ZSTD_createCCtx();
	zstd_dctx = ZSTD_createDCtx();
	for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++)
		if (codec_measure(&codecs[i]))
			return 1;
	ZSTD_freeCCtx(zstd_cctx);
	ZSTD_freeDCtx(zstd_dctx);
	return 0;
}
