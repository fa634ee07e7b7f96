/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * worker - the process that serves one app: what `uswap run` starts beside the program
 *
 * It is a fork of the front that shares its descriptor table, so that no userfaultfd is closed when
 * it dies (R7). It talks to the front through a socket pair (one byte words) and a shared page.
 *
 * Threads: worker_main() is the owner thread; compressors and upkeep are its own.
 */
#ifndef USWAP_DAEMON_WORKER_H
#define USWAP_DAEMON_WORKER_H

#include <stdbool.h>
#include <stdint.h>

enum {			    /* where the thread that serves faults runs */
       WORKER_PLACE_AUTO,   /* decided by measuring */
       WORKER_PLACE_FOLLOW, /* on the CPU of the thread that faults */
       WORKER_PLACE_FLOAT,  /* where the scheduler puts it */
};
enum { /* words to the front */
       WORKER_SAYS_READY = 'r',
       WORKER_SAYS_DONE = 'd', /* final figures are in .summary */
};

#define WORKER_MANAGED_MAX 4096
struct worker_managed {
	_Atomic int32_t pid; /* 0: free; pairs with the front's load_acquire */
	_Atomic int32_t pidfd;
};

struct worker_summary {
	uint64_t peak_bytes;	      /* resident + compressed + metadata */
	uint64_t peak_resident_bytes; /* of that moment, and so the next two */
	uint64_t peak_stored_bytes;   /* pool, committed */
	uint64_t peak_meta_bytes;     /* tables, maps and staging buffers */
	uint64_t raw_bytes;	      /* given to the codecs */
	uint64_t stored_bytes;	      /* what they made of it */
	uint64_t n_faults;
	uint64_t fault_p50_ns;
	uint64_t fault_p99_ns;
	uint64_t peak_file_bytes; /* compressed pages on file */
	uint64_t n_file_faults;	  /* of the faults: had to be read */
	uint64_t file_p50_ns;
	uint64_t written_bytes; /* to the file */
};

/* MAP_SHARED between front and worker; the worker writes. */
struct worker_shared {
	struct worker_managed managed[WORKER_MANAGED_MAX];
	struct worker_summary summary;
	_Atomic uint32_t n_kin; /* processes of the command that went on when it had ended */
};

struct worker_options {
	int listen_fd;
	int path_fd;		    /* another one; -1: none */
	const char *socket_path;    /* of .path_fd: removed at the end */
	const char *socket_name;    /* of .listen_fd: what processes have in their environment */
	uint64_t limit_bytes;	    /* 0: none */
	uint64_t resident_bytes;    /* 0: none */
	uint64_t pool_bytes;	    /* 0: none */
	const char *stats_path;	    /* NULL: none */
	uint32_t stats_interval_ms; /* 0: only at the end */
	int placement;
	bool readahead;
	const char *file_path;	   /* swap file or device; NULL: an unnamed one, if .file_bytes */
	const char *file_dir;	   /* where the unnamed one is made */
	uint64_t file_bytes;	   /* most of it that is used; 0: no file, or all of a device */
	bool encrypt;		   /* what goes to the file */
	const char *policy;	   /* NULL: the default */
	uint64_t write_rate_bytes; /* to the file, per second; 0: no bound */
	uint64_t write_day_bytes;  /* the same, per day */
	struct worker_shared *shared;
	int front_fd;
};

#define WORKER_E_SAID 2 /* it could not start, and has said why */

/* Return: exit status of the process. 0; WORKER_E_SAID; anything else: it could not start. */
int worker_main(const struct worker_options *o);

#endif
