/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent-sys - what the agent's files share: typed system calls, bytes, time
 *
 * Only inline functions: code here ends up in a thread that must not reach libc.
 */
#ifndef USWAP_AGENT_SYS_H
#define USWAP_AGENT_SYS_H

#include "agent/agent-arch.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define MS_NS 1000000ull
#define SEC_NS 1000000000ull

static inline uint64_t sys_now_ns(void)
{
	struct timespec ts;

	if (sys_2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * SEC_NS + (uint64_t)ts.tv_nsec;
}

/* Sleep while *@word == @value, at most @ns. The flags of FUTEX_WAKE must agree. */
static inline long sys_futex_wait(_Atomic uint32_t *word, int flags, uint32_t value, uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / SEC_NS),
		.tv_nsec = (long)(ns % SEC_NS),
	};

	return sys_4(SYS_futex, word, FUTEX_WAIT | flags, value, &ts);
}

static inline long sys_close(int fd)
{
	return sys_1(SYS_close, fd);
}

/* Blocking calls on @sock return -EAGAIN after @ms; 0: never. */
static inline long sys_sock_timeout(int sock, int option, uint32_t ms)
{
	struct timeval tv = {
		.tv_sec = ms / 1000,
		.tv_usec = (suseconds_t)(ms % 1000) * 1000,
	};

	return sys_5(SYS_setsockopt, sock, SOL_SOCKET, option, &tv, sizeof(tv));
}

static inline void bytes_zero(void *dst, size_t n)
{
	uint8_t *p = dst;

	while (n--)
		*p++ = 0;
}

static inline void bytes_copy(void *dst, const void *src, size_t n)
{
	const uint8_t *from = src;
	uint8_t *to = dst;

	while (n--)
		*to++ = *from++;
}

#endif
