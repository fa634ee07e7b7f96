/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * control - a connection to the daemon that manages a process
 *
 * Ownership: the caller closes the descriptor and frees the text.
 */
#ifndef USWAP_CLI_CONTROL_H
#define USWAP_CLI_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
	CONTROL_E_NO_PROCESS = 1, /* there is no such process */
	CONTROL_E_DENIED,	  /* it belongs to somebody else */
	CONTROL_E_UNMANAGED,	  /* it was not started under uswap */
	CONTROL_E_NO_DAEMON,	  /* nobody listens any more */
	CONTROL_E_TIMEOUT,
};

#define CONTROL_NAME_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* Where the daemon of @pid listens: "@name" or a path. Return: 0; the outcomes above; -errno. */
int control_find(pid_t pid, char *ret_name, size_t n_bytes);
/* Return: 0; CONTROL_E_NO_DAEMON; CONTROL_E_DENIED; -errno. */
int control_connect(const char *name, int *ret_fd);

/* Send a request without answer text and wait for DONE. Return: 0; CONTROL_E_*; -errno. */
int control_request(int fd, uint32_t type, pid_t pid, int timeout_ms);
/* As above, for a request that is answered by text; NUL terminated. */
int control_request_text(int fd, uint32_t type, pid_t pid, int timeout_ms, char **ret_text);

/* As control_request(), about the daemon's swap file; @policy NULL: none is named. */
int control_request_policy(int fd, uint32_t type, const char *policy, int timeout_ms);

const char *control_outcome(int r); /* of any result above but 0, for a message */

#endif
