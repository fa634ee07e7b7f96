/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * random - getrandom(), or what a simulator says
 */
#include "base/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#include "base/error.h"

static random_fn *source_fn; /* set before there are threads */
static void *source_user;

void random_source_set(random_fn *fn, void *user)
{
	source_user = user;
	source_fn = fn;
}

int random_fill(void *dst, size_t n_bytes)
{
	uint8_t *at = dst;
	ssize_t n;

	if (source_fn) {
		source_fn(source_user, dst, n_bytes);
		return 0;
	}
	while (n_bytes > 0) {
		n = getrandom(at, n_bytes, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_origin(-errno);
		at += n;
		n_bytes -= (size_t)n;
	}
	return 0;
}
