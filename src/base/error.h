/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error - how functions say that something did not work
 *
 *   < 0  an errno nobody planned for; forwarded unchanged, never matched on inside our code
 *   > 0  a named outcome of this one function; its caller handles it and never forwards it
 *     0  success
 *
 * err_origin() wraps the value where it is born, err_trace() on the way up, err_fold() turns an
 * outcome that a caller cannot handle into a fatal error. Each writes one line at debug level,
 * rate-limited, so that a log shows the path an error took.
 *
 * Threads: any.
 */
#ifndef USWAP_BASE_ERROR_H
#define USWAP_BASE_ERROR_H

#include <stdint.h>

int err_origin_at(int r, const char *file, uint32_t line);
int err_trace_at(int r, const char *file, uint32_t line);
int err_fold_at(int r, const char *file, uint32_t line);

/* Always < 0, which who reads the caller's code may rely on; so may the compiler. */
static inline int err_origin_new(int r, const char *file, uint32_t line)
{
	r = err_origin_at(r, file, line);
	if (r >= 0)
		__builtin_unreachable();
	return r;
}

#define err_origin(r) err_origin_new((r), __FILE__, __LINE__)
#define err_trace(r) err_trace_at((r), __FILE__, __LINE__)
#define err_fold(r) err_fold_at((r), __FILE__, __LINE__) /* > 0 becomes -ENOTRECOVERABLE */

#endif
