/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-wait - attach late
 *
 * Most processes are small or end within milliseconds. Until the program has grown past the
 * threshold the agent only sleeps and looks, more and more rarely:
 *
 *     1, 2, 4, 8, 10 ms …   in the first second
 *     25 ms                 later
 *     100 ms                when the size was the same for 5 s
 *
 * getrusage's peak of resident memory is an upper bound that costs one cheap system call; only when
 * it is over the threshold is /proc asked for the anonymous part. Nothing stays open in between: an
 * open file of /proc would keep it from being unmounted.
 *
 * A program whose main thread ended by the bare exit system call, with no thread of its own left,
 * would live on for ever because of us: the state of the main thread is looked at once a second.
 */
#include "agent/agent.h"

#include "agent/agent-sys.h"
#include <stdatomic.h>
#include <sys/resource.h>

#define WAIT_FIRST_NS (1 * MS_NS)
#define WAIT_FAST_NS (10 * MS_NS)
#define WAIT_SLOW_NS (25 * MS_NS)
#define WAIT_IDLE_NS (100 * MS_NS)
#define WAIT_FAST_FOR_NS (1 * SEC_NS)
#define WAIT_ALONE_NS (1 * SEC_NS)
#define WAIT_IDLE_AFTER_NS (5 * SEC_NS)

/* Number of bytes read from the start of @path into @buf, which gets a terminating zero. */
static size_t file_read(const char *path, char *buf, size_t buf_bytes)
{
	long fd, n;

	fd = sys_4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	n = sys_3(SYS_read, fd, buf, buf_bytes - 1);
	sys_close((int)fd);
	if (n < 0)
		n = 0;
	buf[n] = '\0';
	return (size_t)n;
}

static uint64_t number_parse(const char **text)
{
	uint64_t v = 0;

	while (**text == ' ')
		++*text;
	while (**text >= '0' && **text <= '9')
		v = v * 10 + (uint64_t)(*(*text)++ - '0');
	return v;
}

/* Anonymous bytes of this process, resident; @peak_bytes where /proc cannot be read. */
static uint64_t anon_bytes(uint64_t peak_bytes)
{
	uint64_t resident_pages, shared_pages;
	const char *p;
	char buf[128];

	if (!file_read("/proc/self/statm", buf, sizeof(buf)))
		return peak_bytes;
	p = buf;
	(void)number_parse(&p); /* size */
	resident_pages = number_parse(&p);
	shared_pages = number_parse(&p); /* file and shared memory */
	return resident_pages > shared_pages ? (resident_pages - shared_pages) * AGENT_PAGE_BYTES
					     : 0;
}

static uint64_t peak_bytes(void)
{
	struct rusage ru;

	if (sys_2(SYS_getrusage, RUSAGE_SELF, &ru) < 0)
		return ~0ull;
	return (uint64_t)ru.ru_maxrss * 1024;
}

/*
 * True when the agent is the last living thread: the main thread is a zombie and the process has no
 * third one. Format: "pid (name) S …"; field 20 is the number of threads, zombies included.
 */
static bool alone(void)
{
	const char *p = NULL;
	uint32_t n_blanks;
	char buf[512];

	if (!file_read("/proc/self/stat", buf, sizeof(buf)))
		return false;
	for (const char *c = buf; *c; c++)
		if (*c == ')') /* the last one: the name may contain some */
			p = c;
	if (!p || p[1] != ' ' || p[2] != 'Z')
		return false;
	for (n_blanks = 0; *p && n_blanks < 18; p++)
		n_blanks += *p == ' ';
	return number_parse(&p) == 2;
}

int agent_wait(struct agent_area *area)
{
	uint64_t start_ns, now_ns, changed_ns, looked_ns, delay_ns = WAIT_FIRST_NS, seen_bytes = 0,
							  bytes;

	if (!area->threshold_bytes)
		return 0;

	start_ns = changed_ns = looked_ns = sys_now_ns();
	for (;;) {
		sys_futex_wait(&area->phase, FUTEX_PRIVATE_FLAG, AGENT_WAITING, delay_ns);
		if (atomic_load(&area->phase) != AGENT_WAITING)
			return AGENT_E_LEAVE;

		bytes = peak_bytes();
		if (bytes > area->threshold_bytes) {
			bytes = anon_bytes(bytes);
			if (bytes > area->threshold_bytes)
				return 0;
		}

		now_ns = sys_now_ns();
		if (bytes != seen_bytes) {
			seen_bytes = bytes;
			changed_ns = now_ns;
		}
		if (now_ns - start_ns < WAIT_FAST_FOR_NS) {
			delay_ns = delay_ns * 2 < WAIT_FAST_NS ? delay_ns * 2 : WAIT_FAST_NS;
			continue;
		}
		if (now_ns - looked_ns > WAIT_ALONE_NS) {
			looked_ns = now_ns;
			if (alone())
				return AGENT_E_LEAVE;
		}
		delay_ns = now_ns - changed_ns > WAIT_IDLE_AFTER_NS ? WAIT_IDLE_NS : WAIT_SLOW_NS;
	}
}
