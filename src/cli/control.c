/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control - a connection to the daemon that manages a process
 *
 * A private daemon has a random abstract name; the only place that tells it is the environment its
 * programs were started with, which only their owner may read. A text longer than a packet comes in
 * several, in order, and is complete when it parses as JSON or a DONE follows.
 */
#include "cli/control.h"

#include "base/cleanup.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uswap/protocol.h>

enum {
	TEXT_MAX_BYTES = 4 << 20,
	PACKET_MAX_BYTES =
		256 << 10, /* more than a socket's buffer takes: a text may come in one */
};

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

int control_find(pid_t pid, char *ret_name, size_t n_bytes)
{
	static const char key[] = USWAP_ENV_SOCKET "=";
	_cleanup_(fclosep) FILE *f = NULL;
	_cleanup_(freep) char *variable = NULL;
	char path[64];
	size_t room = 0;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? CONTROL_E_NO_PROCESS : CONTROL_E_DENIED;
	while (getdelim(&variable, &room, '\0', f) > 0) {
		if (strncmp(variable, key, sizeof(key) - 1))
			continue;
		if (strlen(variable + sizeof(key) - 1) >= n_bytes)
			return CONTROL_E_UNMANAGED;
		strcpy(ret_name, variable + sizeof(key) - 1);
		return 0;
	}
	/* A process of somebody else opens, but does not read. */
	return ferror(f) ? CONTROL_E_DENIED : CONTROL_E_UNMANAGED;
}

int control_connect(const char *name, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	size_t len = strlen(name);

	if (!len || len >= sizeof(address.sun_path))
		return CONTROL_E_NO_DAEMON;
	memcpy(address.sun_path, name, len);
	if (*name == '@')
		address.sun_path[0] = '\0';
	else
		len++;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
		return errno == EACCES || errno == EPERM ? CONTROL_E_DENIED : CONTROL_E_NO_DAEMON;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int request_send(int fd, uint32_t type, pid_t pid, const char *policy)
{
	struct uswap_msg_ctl ctl = {
		.head = { .type = type, .len = sizeof(ctl) },
		.pid = (int32_t)pid,
	};

	if (policy)
		strncpy(ctl.policy, policy, sizeof(ctl.policy) - 1);
	if (send(fd, &ctl, sizeof(ctl), MSG_NOSIGNAL) != (ssize_t)sizeof(ctl))
		return errno == EPIPE || errno == ECONNRESET ? CONTROL_E_NO_DAEMON : -errno;
	return 0;
}

/* One packet. Return: 0; CONTROL_E_TIMEOUT; CONTROL_E_NO_DAEMON; -errno. */
static int packet_receive(int fd, int timeout_ms, void *buf, size_t n_bytes, size_t *ret_len)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	struct uswap_msg_head head;
	ssize_t len;
	int r;

	r = poll(&pollfd, 1, timeout_ms);
	if (r < 0)
		return -errno;
	if (!r)
		return CONTROL_E_TIMEOUT;
	len = recv(fd, buf, n_bytes, 0);
	if (len < 0 && errno != ECONNRESET)
		return -errno;
	if (len <= 0)
		return CONTROL_E_NO_DAEMON;
	memcpy(&head, buf, sizeof(head) <= (size_t)len ? sizeof(head) : (size_t)len);
	if ((size_t)len < sizeof(head) || head.len != (size_t)len)
		return -EPROTO;
	*ret_len = (size_t)len;
	return 0;
}

static int done_result(const void *buf, size_t len)
{
	struct uswap_msg_plain done;

	if (len < sizeof(done))
		return -EPROTO;
	memcpy(&done, buf, sizeof(done));
	if (!done.err)
		return 0;
	if (done.err == ESRCH || done.err == ENOENT)
		return CONTROL_E_UNMANAGED;
	if (done.err == EPERM || done.err == EACCES)
		return CONTROL_E_DENIED;
	return done.err > 0 ? -done.err : -EPROTO;
}

static bool json_is_whole(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	if (!json)
		return false;
	json_decref(json);
	return true;
}

/* Add the text of a packet to *@text. */
static int text_append(char **text, const struct uswap_msg_head *head)
{
	size_t n_more = head->len - sizeof(*head), n_text = strlen(*text);
	char *longer;

	if (n_text + n_more > TEXT_MAX_BYTES)
		return -EPROTO;
	longer = realloc(*text, n_text + n_more + 1);
	if (!longer)
		return -ENOMEM;
	memcpy(longer + n_text, head + 1, n_more);
	longer[n_text + n_more] = '\0'; /* with or without one of its own */
	*text = longer;
	return 0;
}

static int request(int fd, uint32_t type, pid_t pid, const char *policy, int timeout_ms,
		   char **ret_text)
{
	_cleanup_(freep) struct uswap_msg_head *packet = calloc(1, PACKET_MAX_BYTES);
	_cleanup_(freep) char *text = calloc(1, 1);
	size_t len = 0;
	int r;

	if (!packet || !text)
		return -ENOMEM;
	r = request_send(fd, type, pid, policy);
	while (!r) {
		r = packet_receive(fd, timeout_ms, packet, PACKET_MAX_BYTES, &len);
		if (r)
			return r;
		if (packet->type == USWAP_CTL_DONE) {
			r = done_result(packet, len);
			break;
		}
		if (packet->type != USWAP_CTL_TEXT)
			return -EPROTO;
		r = text_append(&text, packet);
		if (!r && json_is_whole(text))
			break;
	}
	if (!r && ret_text)
		*ret_text = TAKE_PTR(text);
	return r;
}

int control_request_text(int fd, uint32_t type, pid_t pid, int timeout_ms, char **ret_text)
{
	return request(fd, type, pid, NULL, timeout_ms, ret_text);
}

int control_request(int fd, uint32_t type, pid_t pid, int timeout_ms)
{
	return request(fd, type, pid, NULL, timeout_ms, NULL);
}

int control_request_policy(int fd, uint32_t type, const char *policy, int timeout_ms)
{
	return request(fd, type, 0, policy, timeout_ms, NULL);
}

const char *control_outcome(int r)
{
	switch (r) {
	case CONTROL_E_NO_PROCESS:
		return "no such process";
	case CONTROL_E_DENIED:
		return "permission denied: it belongs to another user (try as root)";
	case CONTROL_E_UNMANAGED:
		return "not managed by uswap";
	case CONTROL_E_NO_DAEMON:
		return "its daemon does not answer any more";
	case CONTROL_E_TIMEOUT:
		return "its daemon did not answer in time";
	default:
		return strerror(r < 0 ? -r : EPROTO);
	}
}
