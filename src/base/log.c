/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log - lines of bounded length, formatted on the stack
 *
 * errno is left as it was, so that a caller may log before it looks at it.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"

enum { LINE_BYTES = 1024 };

static _Atomic int log_min = LOG_INFO; /* relaxed: takes effect soon */
static _Atomic bool log_loses;	       /* as above */

void log_level_set(enum log_level level)
{
	store_relaxed(&log_min, (int)level);
}

void log_never_wait(bool never)
{
	store_relaxed(&log_loses, never);
}

/* A pipe says so while a page fits, more than a line. */
static bool would_wait(void)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) == 0;
}

bool log_enabled(enum log_level level)
{
	return (int)level >= load_relaxed(&log_min) && level != LOG_SILENT;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char prefix[] = "uswap: ";
	char line[LINE_BYTES];
	size_t len = sizeof(prefix) - 1;
	int saved_errno = errno;
	ssize_t written;
	va_list args;
	int n;

	if (!log_enabled(level))
		return;
	__builtin_memcpy(line, prefix, len);
	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
	va_end(args);
	if (n > 0)
		len += (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	line[len++] = '\n';
	if (load_relaxed(&log_loses) && would_wait()) {
		errno = saved_errno;
		return;
	}
	written = write(STDERR_FILENO, line, len);
	(void)written; /* nowhere to complain if standard error is gone */
	errno = saved_errno;
}

bool log_limit_pass(struct log_limit *l, uint32_t max_per_s)
{
	uint64_t second = clock_now_ns() / 1000000000u + 1;

	if (load_relaxed(&l->second) != second) {
		store_relaxed(&l->second, second);
		store_relaxed(&l->n, 0);
	}
	return fetch_add_relaxed(&l->n, 1) < max_per_s;
}
