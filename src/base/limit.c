// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Descriptors: six for each process that is managed.
 */
#include "base/limit.h"

#include <sys/resource.h>

#define FILES_ENOUGH (1u << 20) /* fs.nr_open, unless somebody changed it: more is refused */

uint64_t limit_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_max < FILES_ENOUGH) {
		struct rlimit more = { FILES_ENOUGH, FILES_ENOUGH };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return FILES_ENOUGH;
	}
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}
