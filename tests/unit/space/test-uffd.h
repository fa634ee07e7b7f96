/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-uffd - the end of a test that asks the real kernel about memory
 */
#ifndef USWAP_TEST_UFFD_H
#define USWAP_TEST_UFFD_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* False, and the reason is printed: the test is to exit with 77. */
static inline bool uffd_is_there(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		printf("not run: userfaultfd: %s\n", strerror(errno));
	else
		close(fd);
	return fd >= 0;
}

#endif
