/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error - traces of errors on their way up
 *
 * At most TRACE_PER_SECOND lines in any second: a client must not be able to fill a disk.
 */
#include "base/error.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

enum { TRACE_PER_SECOND = 20 };

static struct log_limit trace_limit = LOG_LIMIT_INIT;

static void trace_write(const char *what, int r, const char *file, uint32_t line)
{
	if (!log_enabled(LOG_DEBUG) || !log_limit_pass(&trace_limit, TRACE_PER_SECOND))
		return;
	log_debug("%s:%u: %s: %s", file, line, what, strerror(r < 0 ? -r : r));
}

int err_origin_at(int r, const char *file, uint32_t line)
{
	if (r >= 0) /* errno was not set: an error all the same */
		r = -ENOTRECOVERABLE;
	trace_write("error", r, file, line);
	return r;
}

int err_trace_at(int r, const char *file, uint32_t line)
{
	if (r < 0)
		trace_write("passed on", r, file, line);
	return r;
}

int err_fold_at(int r, const char *file, uint32_t line)
{
	if (r > 0) {
		log_debug("%s:%u: outcome %d is not handled here", file, line, r);
		return -ENOTRECOVERABLE;
	}
	return err_trace_at(r, file, line);
}
