// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Raise as far as it goes.
 *
 * syscalls: prlimit64
 */
#include "base/limit.h"

#include <stddef.h>
#include <sys/resource.h>

#define FILES_ENOUGH (1u << 20) /* fs.nr_open, unless somebody changed it: more is refused */

/* Return: what it is now. */
static rlim_t raise_to(int resource, rlim_t wanted)
{
	struct rlimit all = { wanted, wanted }, limit;

	if (getrlimit(resource, &limit))
		return wanted;
	if (limit.rlim_max >= wanted ||
	    setrlimit(resource, &all)) { /* RLIM_INFINITY is the largest */
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(resource, &limit);
		return limit.rlim_max;
	}
	return wanted;
}

uint64_t limit_raise_files(void)
{
	return raise_to(RLIMIT_NOFILE, FILES_ENOUGH);
}

const char *limit_lift(void)
{
	static const struct {
		int resource;
		const char *option;
	} limits[] = {
		{ RLIMIT_CPU, "-t" },  { RLIMIT_RTTIME, "-R" }, { RLIMIT_FSIZE, "-f" },
		{ RLIMIT_DATA, "-d" }, { RLIMIT_AS, "-v" },
	};
	const char *stays = NULL;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (raise_to(limits[i].resource, RLIM_INFINITY) != RLIM_INFINITY)
			stays = limits[i].option;
	return stays;
}
