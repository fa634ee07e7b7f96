// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * syscalls: ioctl (UFFDIO_*, PAGEMAP_SCAN) poll read pread64 openat fstat sendmsg close
 */
#include "space/mem-linux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "space/kernel-uffd.h"
#include "space/mem-impl.h"

#define READ_BATCH 64u

static const uint64_t main_features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
				      UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |
				      UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
				      UFFD_FEATURE_POISON | UFFD_FEATURE_MOVE;

static int uffd_ioctl(struct mem *m, unsigned long request, void *arg)
{
	return ioctl(mem_linux_of(m)->main_fd, request, arg) ? -errno : 0;
}

static int event_convert(const struct uffd_msg *msg, struct mem_event *ev)
{
	*ev = (struct mem_event){ 0 };
	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		ev->type = MEM_EVENT_FAULT;
		ev->addr = msg->arg.pagefault.address & ~(uint64_t)(USWAP_PAGE_BYTES - 1);
		ev->tid = msg->arg.pagefault.feat.ptid;
		ev->write = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE;
		return 0;
	case UFFD_EVENT_FORK:
		ev->type = MEM_EVENT_FORK;
		return mem_linux_new(&ev->child, (int)msg->arg.fork.ufd, false);
	case UFFD_EVENT_REMAP:
		ev->type = MEM_EVENT_REMAP;
		ev->addr = msg->arg.remap.from;
		ev->to = msg->arg.remap.to;
		ev->len = msg->arg.remap.len;
		return 0;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		ev->type = msg->event == UFFD_EVENT_REMOVE ? MEM_EVENT_REMOVE : MEM_EVENT_UNMAP;
		ev->addr = msg->arg.remove.start;
		ev->to = msg->arg.remove.end;
		return 0;
	default:
		return -EPROTO;
	}
}

static int mem_read_events(struct mem *m, struct mem_event *events, uint32_t n, uint32_t *ret_n)
{
	struct uffd_msg msgs[READ_BATCH];
	ssize_t len;
	uint32_t k;

	*ret_n = 0;
	if (n > READ_BATCH)
		n = READ_BATCH;
	len = read(mem_linux_of(m)->main_fd, msgs, n * sizeof(*msgs));
	if (len < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (k = 0; k < (size_t)len / sizeof(*msgs); k++) {
		int r = event_convert(&msgs[k], &events[k]);

		/* without its memory a child could not be served: stop rather than lose it */
		ASSERT(!r);
	}
	*ret_n = k;
	return 0;
}

static bool mem_is_readable(struct mem *m)
{
	struct pollfd main = { .fd = mem_linux_of(m)->main_fd, .events = POLLIN };

	return poll(&main, 1, 0) != 0; /* also when it is broken: the read says so */
}

static int mem_copy(struct mem *m, uint64_t dst, const void *src, uint64_t len, uint64_t *ret_done)
{
	struct uffdio_copy copy = { .dst = dst, .src = (uintptr_t)src, .len = len };
	int r = uffd_ioctl(m, UFFDIO_COPY, &copy);

	*ret_done = !r ? len : copy.copy > 0 ? (uint64_t)copy.copy : 0;
	/* a partial COPY says EAGAIN; the reason comes with the next one */
	if (r && !*ret_done && copy.copy < 0)
		r = (int)copy.copy;
	return r;
}

static int mem_zero(struct mem *m, uint64_t dst, uint64_t len, uint64_t *ret_done)
{
	struct uffdio_zeropage zero = { .range = { dst, len } };
	int r = uffd_ioctl(m, UFFDIO_ZEROPAGE, &zero);

	*ret_done = !r ? len : zero.zeropage > 0 ? (uint64_t)zero.zeropage : 0;
	if (r && !*ret_done && zero.zeropage < 0)
		r = (int)zero.zeropage;
	return r;
}

static int mem_poison(struct mem *m, uint64_t dst, uint64_t len)
{
	struct uffdio_poison poison = { .range = { dst, len } };
	int r = uffd_ioctl(m, UFFDIO_POISON, &poison);

	return r && poison.updated < 0 ? (int)poison.updated : r;
}

static int mem_wake(struct mem *m, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { start, len };

	return uffd_ioctl(m, UFFDIO_WAKE, &range);
}

static int mem_register(struct mem *m, uint64_t start, uint64_t len, uint64_t mode)
{
	struct uffdio_register reg = { .range = { start, len }, .mode = mode };

	return uffd_ioctl(m, UFFDIO_REGISTER, &reg);
}

/* Write protection is never used; it lets is_registered() ask. */
static int mem_register_missing(struct mem *m, uint64_t start, uint64_t len)
{
	return mem_register(m, start, len, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
}

static int mem_register_stage(struct mem *m, uint64_t start, uint64_t len)
{
	return mem_register(m, start, len, UFFDIO_REGISTER_MODE_WP);
}

static int mem_unregister(struct mem *m, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { start, len };

	return uffd_ioctl(m, UFFDIO_UNREGISTER, &range);
}

/*
 * Taking away a protection that nobody set fails at the first mapping that is not registered for
 * write protection, and while an event is unread.
 */
static int mem_is_registered(struct mem *m, uint64_t start, uint64_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { start, len },
		.mode = UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
	};

	return uffd_ioctl(m, UFFDIO_WRITEPROTECT, &wp);
}

/* ENOENT: nothing is mapped there, but somebody looked. ESRCH is the only end of an address space. */
static int mem_alive(struct mem *m)
{
	return mem_is_registered(m, 1ULL << 20, USWAP_PAGE_BYTES) == -ESRCH ? -ESRCH : 0;
}

static int mem_scan(struct mem *m, uint64_t start, uint64_t end, struct mem_present *runs,
		    uint32_t n, uint32_t *ret_n, uint64_t *ret_next)
{
	struct page_region regions[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = n < 64 ? n : 64,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};
	int got = ioctl(mem_linux_of(m)->pagemap_fd, PAGEMAP_SCAN, &arg);
	int k;

	*ret_n = 0;
	if (got < 0)
		return -errno;
	for (k = 0; k < got; k++)
		runs[k].range = (struct urange){ regions[k].start, regions[k].end };
	*ret_n = (uint32_t)got;
	*ret_next = arg.walk_end;
	return 0;
}

static ssize_t mem_read_mem(struct mem *m, uint64_t src, void *dst, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t r = pread(mem_linux_of(m)->mem_fd, (char *)dst + done, len - done,
				  (off_t)(src + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && !done)
			return -errno;
		if (r <= 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

static int mem_send(struct mem *m, const void *msg, size_t len)
{
	int sock = mem_linux_of(m)->agent_sock;

	if (sock < 0)
		return -EPIPE;
	return send(sock, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void mem_unbind(struct mem_linux *m)
{
	close_fd(&m->mem_fd);
	close_fd(&m->pagemap_fd);
	close_fd(&m->statm_fd);
	close_fd(&m->task_fd);
	close_fd(&m->proc_fd);
	m->pid = 0;
	m->mm_tid = 0;
}

void mem_linux_unbind(struct mem *base)
{
	mem_unbind(mem_linux_of(base));
}

static struct mem *mem_free(struct mem *base)
{
	struct mem_linux *m = mem_linux_of(base);

	mem_unbind(m);
	close_fd(&m->main_fd);
	free(m);
	return NULL;
}

static uint32_t mem_n_threads(struct mem *base)
{
	struct stat st;

	/* a directory has a link for itself, its name, and each directory in it */
	if (fstat(mem_linux_of(base)->task_fd, &st) || st.st_nlink < 2)
		return 0;
	return (uint32_t)st.st_nlink - 2;
}

static const struct mem_ops mem_linux_ops = {
	.read_events = mem_read_events,
	.copy = mem_copy,
	.zero = mem_zero,
	.poison = mem_poison,
	.wake = mem_wake,
	.register_missing = mem_register_missing,
	.unregister = mem_unregister,
	.register_stage = mem_register_stage,
	.is_registered = mem_is_registered,
	.scan = mem_scan,
	.read_maps = mem_read_maps,
	.is_readable = mem_is_readable,
	.find_gone = mem_find_gone,
	.find_calls = mem_find_calls,
	.read_mem = mem_read_mem,
	.protected_ranges = mem_protected_ranges,
	.n_threads = mem_n_threads,
	.inside_zap = mem_inside_zap,
	.alive = mem_alive,
	.send = mem_send,
	.free = mem_free,
};

int mem_linux_new(struct mem **ret_mem, int main_fd, bool api)
{
	struct uffdio_api arg = { .api = UFFD_API, .features = main_features };
	struct mem_linux *m = calloc(1, sizeof(*m));

	/* a client's flag on a shared description: a blocking read would stop the owner */
	if (!m ||
	    (api && (fcntl(main_fd, F_SETFL, O_NONBLOCK) || ioctl(main_fd, UFFDIO_API, &arg)))) {
		int r = m ? -errno : -ENOMEM;

		free(m);
		close(main_fd);
		return err_origin(r);
	}
	*m = (struct mem_linux){ .base.ops = &mem_linux_ops,
				 .main_fd = main_fd,
				 .proc_fd = -1,
				 .mem_fd = -1,
				 .pagemap_fd = -1,
				 .statm_fd = -1,
				 .task_fd = -1,
				 .agent_sock = -1 };
	*ret_mem = &m->base;
	return 0;
}

int mem_linux_main_fd(const struct mem *m)
{
	return ((const struct mem_linux *)(const void *)m)->main_fd;
}

int mem_linux_bind(struct mem *base, int pid)
{
	struct mem_linux *m = mem_linux_of(base);
	char path[32];
	int r;

	mem_unbind(m);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	m->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (m->proc_fd >= 0) {
		m->mem_fd = openat(m->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
		m->pagemap_fd = openat(m->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
		m->statm_fd = openat(m->proc_fd, "statm", O_RDONLY | O_CLOEXEC);
		m->task_fd = openat(m->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (m->mem_fd < 0 || m->pagemap_fd < 0 || m->statm_fd < 0 || m->task_fd < 0) {
		r = errno ? -errno : -ENOENT;
		mem_unbind(m);
		return err_origin(r);
	}
	m->pid = pid;
	return 0;
}

void mem_linux_set_agent(struct mem *base, int sock, const struct uswap_msg_hello *hello)
{
	mem_linux_of(base)->agent_sock = sock;
	mem_linux_of(base)->protect_addr = hello->protect_addr;
}

void mem_linux_no_agent(struct mem *base)
{
	mem_linux_of(base)->agent_sock = -1;
}

bool mem_linux_prove(struct mem *base, uint64_t start, uint64_t len)
{
	struct mem_linux *m = mem_linux_of(base);

	if (mem_map_has_flag(m, start, "uw") != 0)
		return false;
	if (mem_register_stage(base, start, len))
		return false;
	if (mem_map_has_flag(m, start, "uw") == 1)
		return true;
	mem_unregister(base, start, len);
	return false;
}

bool mem_linux_prove_aux(struct mem *base, int aux_fd, uint64_t start, uint64_t len)
{
	struct mem_linux *m = mem_linux_of(base);
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_MOVE | UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = { .range = { start, len }, .mode = UFFDIO_REGISTER_MODE_WP };

	if (mem_map_has_flag(m, start, "uw") != 0 || ioctl(aux_fd, UFFDIO_API, &api) ||
	    ioctl(aux_fd, UFFDIO_REGISTER, &reg))
		return false;
	return mem_map_has_flag(m, start, "uw") == 1;
}
