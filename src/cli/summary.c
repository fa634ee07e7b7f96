/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * summary - the line `uswap run` ends with
 *
 * Amounts in the bracket are MiB, like the peak before it; latencies are whole microseconds.
 */
#include "cli/summary.h"

#include "base/size.h"
#include "cli/preload.h"
#include "daemon/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static double mebibytes(uint64_t bytes)
{
	return (double)bytes / 1048576.0;
}

void count_format(char *buf, size_t n_bytes, uint64_t count)
{
	static const char units[] = " kMGT";
	double value = (double)count;
	int unit = 0;

	while (value >= 999.5 && unit < 4) {
		value /= 1000.0;
		unit++;
	}
	if (!unit)
		snprintf(buf, n_bytes, "%" PRIu64, count);
	else
		snprintf(buf, n_bytes, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* As size_format(), but "128 MiB" for a whole number: that is how limits are given. */
static void limit_format(char *buf, size_t n_bytes, uint64_t bytes)
{
	char *zero;

	size_format(buf, n_bytes, bytes);
	zero = strstr(buf, ".0 ");
	if (zero)
		memmove(zero, zero + 2, strlen(zero + 2) + 1);
}

static void append(char *buf, size_t n_bytes, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void append(char *buf, size_t n_bytes, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf + len, n_bytes - len, fmt, args);
	va_end(args);
}

void summary_format(char *buf, size_t n_bytes, const struct worker_summary *s, uint64_t limit_bytes,
		    uint64_t program_rss_bytes)
{
	char text[32];

	if (!s->peak_resident_bytes && (!limit_bytes || program_rss_bytes <= limit_bytes)) {
		snprintf(buf, n_bytes, "nothing was managed: no process grew large enough");
		return;
	}
	if (!s->peak_resident_bytes) {
		size_format(text, sizeof(text), program_rss_bytes);
		snprintf(
			buf, n_bytes,
			"nothing was managed, though a process grew to %s: what it has is shared memory "
			"or files, or it does not load " PRELOAD_NAME
			", or cannot reach the daemon (too few descriptors or processes allowed)",
			text);
		return;
	}
	size_format(text, sizeof(text), s->peak_bytes);
	snprintf(buf, n_bytes, "peak %s", text);
	if (limit_bytes) {
		limit_format(text, sizeof(text), limit_bytes);
		append(buf, n_bytes, " of %s", text);
	}
	append(buf, n_bytes, " (resident %.1f + compressed %.1f + metadata %.1f)",
	       mebibytes(s->peak_resident_bytes), mebibytes(s->peak_stored_bytes),
	       mebibytes(s->peak_meta_bytes));
	if (s->stored_bytes)
		append(buf, n_bytes, " · %.1f:1", (double)s->raw_bytes / (double)s->stored_bytes);
	count_format(text, sizeof(text), s->n_faults);
	append(buf, n_bytes, " · %s fault%s", text, s->n_faults == 1 ? "" : "s");
	if (s->n_faults)
		append(buf, n_bytes, ", p50 %" PRIu64 " us, p99 %" PRIu64 " us",
		       (s->fault_p50_ns + 500) / 1000, (s->fault_p99_ns + 500) / 1000);
	if (!s->peak_file_bytes)
		return;
	size_format(text, sizeof(text), s->peak_file_bytes);
	append(buf, n_bytes, " · file %s", text);
	count_format(text, sizeof(text), s->n_file_faults);
	append(buf, n_bytes, ", %s read%s", text, s->n_file_faults == 1 ? "" : "s");
	if (s->n_file_faults)
		append(buf, n_bytes, ", p50 %" PRIu64 " us", (s->file_p50_ns + 500) / 1000);
}
