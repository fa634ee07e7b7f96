// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where agents connect.
 *
 * A path that nobody listens at was left behind by a front and a worker that were both killed. One that is
 * young may be somebody's who has not got as far as listen().
 */
#include "cli/sockets.h"

#include "base/random.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <uswap/protocol.h>

#define NAME "uswap-"
#define STALE_AFTER_S 60

static int socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* Return: the descriptor; -errno. */
static int socket_listen_at(const struct sockaddr_un *address, size_t path_bytes)
{
	socklen_t n_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes);
	int fd = socket_new();
	int r;

	if (fd < 0)
		return fd;
	if (!bind(fd, (const struct sockaddr *)address, n_bytes) && !listen(fd, SOMAXCONN))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static bool is_left_behind(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	bool refused;
	int fd;

	if (lstat(path, &st) || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid() ||
	    time(NULL) - st.st_mtime < STALE_AFTER_S || strlen(path) >= sizeof(address.sun_path))
		return false;
	fd = socket_new();
	if (fd < 0)
		return false;
	strcpy(address.sun_path, path);
	refused = connect(fd, (const struct sockaddr *)&address, sizeof(address)) &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static void remove_left_behind(void)
{
	glob_t found;

	if (glob(USWAP_SOCKET_PREFIX NAME "*", GLOB_NOSORT, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (is_left_behind(found.gl_pathv[i]))
			(void)unlink(found.gl_pathv[i]);
	globfree(&found);
}

/* Without it only programs in network namespaces of their own run unmanaged. */
static void listen_by_path(struct sockets *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof(address.sun_path), USWAP_SOCKET_PREFIX "%s",
			 s->name + 1);

	remove_left_behind();
	s->path_fd = socket_listen_at(&address, (size_t)n + 1);
	if (s->path_fd < 0)
		return;
	memcpy(s->path, address.sun_path, (size_t)n + 1);
	(void)chmod(s->path, 0666); /* like the other: who connects is asked for more */
}

int sockets_open(struct sockets *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint8_t bytes[16];
	size_t len;
	int r;

	*s = (struct sockets){ .listen_fd = -1, .path_fd = -1 };
	r = random_fill(bytes, sizeof(bytes));
	if (r)
		return r;
	len = (size_t)snprintf(s->name, sizeof(s->name), "@" NAME);
	for (size_t i = 0; i < sizeof(bytes); i++, len += 2)
		snprintf(s->name + len, 3, "%02x", bytes[i]);
	memcpy(address.sun_path + 1, s->name + 1, len - 1);
	s->listen_fd = socket_listen_at(&address, len);
	if (s->listen_fd < 0)
		return s->listen_fd;
	listen_by_path(s);
	return 0;
}

void sockets_close(struct sockets *s)
{
	if (s->path[0])
		(void)unlink(s->path);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->path_fd >= 0)
		close(s->path_fd);
}
