/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log - one line to standard error
 *
 * Each line is one write(2) and begins with "uswap: ". Above debug level only the daemon and the
 * command line log; nothing on the fault path does.
 *
 * Threads: any.
 */
#ifndef USWAP_BASE_LOG_H
#define USWAP_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_SILENT };

void log_level_set(enum log_level level); /* from the start: LOG_INFO */
/* From now on a line is lost rather than waited for: who logs serves others. */
void log_never_wait(bool never);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                                     \
	do {                                               \
		if (log_enabled(LOG_DEBUG))                \
			log_write(LOG_DEBUG, __VA_ARGS__); \
	} while (0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)

/*
 * At most @max_per_s lines a second from one place of the code, for what a client can trigger.
 * Relaxed counters: a line more or less does no harm.
 */
struct log_limit {
	_Atomic uint64_t second;
	_Atomic uint32_t n;
};
#define LOG_LIMIT_INIT \
	{              \
		0, 0   \
	}
bool log_limit_pass(struct log_limit *l, uint32_t max_per_s);

#endif
