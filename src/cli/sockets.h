/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sockets - where agents connect
 *
 * By an abstract name; and by a path, for programs in network namespaces of their own. A path outlives
 * who listened there if nobody was left to remove it: it is removed by the next who opens sockets.
 *
 * Threads: one.
 */
#ifndef USWAP_CLI_SOCKETS_H
#define USWAP_CLI_SOCKETS_H

struct sockets {
	int listen_fd;
	int path_fd;   /* -1: not possible here */
	char name[64]; /* "@uswap-…" */
	char path[80]; /* of .path_fd; "": none */
};

/* Non-blocking, closed on exec. Return: 0; -errno. Post, either way: sockets_close() is owed. */
int sockets_open(struct sockets *s);
void sockets_close(struct sockets *s); /* and remove the path */

#endif
