/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * summary - the line `uswap run` ends with
 */
#ifndef USWAP_CLI_SUMMARY_H
#define USWAP_CLI_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

struct worker_summary;

/*
 * One line without newline. @limit_bytes 0: there was none. @program_rss_bytes: of the largest process,
 * in case that none was managed.
 */
void summary_format(char *buf, size_t n_bytes, const struct worker_summary *s, uint64_t limit_bytes,
		    uint64_t program_rss_bytes);
/* 999, 182k, 1.2M, 34M: what fits a glance. */
void count_format(char *buf, size_t n_bytes, uint64_t count);

#endif
