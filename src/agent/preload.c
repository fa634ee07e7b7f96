/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preload - what happens when the library comes into a process
 *
 * Every process started under `uswap run` loads this library, most of them to end milliseconds later:
 * the constructor sets a timer (birth.c) and looks up what is wrapped, which costs microseconds.
 *
 * fork: the child handler sees to an agent for the child. vfork and posix_spawn have no handler and
 * need none: their children exec. A child made by a bare clone() has no agent; the daemon serves its
 * faults and evicts nothing from it.
 *
 * Nothing is ever printed: the program's descriptors are not ours.
 */
#include "agent/birth.h"
#include "agent/wrap.h"

#include "agent/agent-sys.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

static _Atomic(void *) preload_next[WRAP_N];

static const char preload_names[WRAP_N][20] = {
	[WRAP_SETUID] = "setuid",
	[WRAP_SETGID] = "setgid",
	[WRAP_SETEUID] = "seteuid",
	[WRAP_SETEGID] = "setegid",
	[WRAP_SETREUID] = "setreuid",
	[WRAP_SETREGID] = "setregid",
	[WRAP_SETRESUID] = "setresuid",
	[WRAP_SETRESGID] = "setresgid",
	[WRAP_SETGROUPS] = "setgroups",
	[WRAP_INITGROUPS] = "initgroups",
	[WRAP_MUTEX_INIT] = "pthread_mutex_init",
	[WRAP_MQ_NOTIFY] = "mq_notify",
	[WRAP_THREAD_CREATE] = "pthread_create",
	[WRAP_CLONE] = "clone",
	[WRAP_SETCONTEXT] = "setcontext",
	[WRAP_SWAPCONTEXT] = "swapcontext",
};

wrap_fn *wrap_next(enum wrap_next which)
{
	void *fn = atomic_load_explicit(&preload_next[which], memory_order_relaxed);

	if (!fn) { /* relaxed: code is never changed, and two lookups find the same */
		fn = dlsym(RTLD_NEXT, preload_names[which]);
		if (!fn) {
			errno = ENOSYS;
			return NULL;
		}
		atomic_store_explicit(&preload_next[which], fn, memory_order_relaxed);
	}
	return (wrap_fn *)fn;
}

/*
 * Now, since a lookup takes the dynamic linker's lock, and changes what dlerror() says: later it could
 * be the program's error, or a lock whose owner waits for the caller.
 */
static void resolve_all(void)
{
	int saved_errno = errno;

	for (int i = 0; i < WRAP_N; i++)
		(void)wrap_next((enum wrap_next)i);
	(void)dlerror(); /* a name that this libc does not have */
	errno = saved_errno;
}

long wrap_result(long r)
{
	if (r < 0 && r > -4096) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

/* What comes after @prefix in @text; NULL: it does not begin with it. */
static char *after(char *text, const char *prefix)
{
	while (*prefix && *text == *prefix) {
		text++;
		prefix++;
	}
	return *prefix ? NULL : text;
}

/* The value of variable @name in @env. */
static char *env_find(char **env, const char *name)
{
	for (; *env; env++) {
		char *rest = after(*env, name);

		if (rest && *rest == '=')
			return rest + 1;
	}
	return NULL;
}

/* Valgrind ends a program that makes any clone() but those of a thread or a fork. It preloads, too. */
static bool is_under_valgrind(char **env)
{
	char *preload = env_find(env, "LD_PRELOAD");

	for (; preload && *preload; preload++)
		if (after(preload, "/vgpreload_"))
			return true;
	return false;
}

/* What pthread_atfork() is in glibc. Another C library has none: there the program runs unmanaged. */
__attribute__((weak)) extern int __register_atfork(void (*prepare)(void), void (*parent)(void),
						   void (*child)(void), void *dso);

/* glibc's dynamic linker passes what main() gets. */
__attribute__((constructor)) static void preload_init(int argc, char **argv, char **env)
{
	const char *socket_name;

	(void)argc;
	(void)argv;
	if (!__register_atfork)
		return;
	socket_name = env_find(env, USWAP_ENV_SOCKET);
	if (!socket_name || is_under_valgrind(env))
		return;
	resolve_all();
	birth_init(socket_name, env_find(env, USWAP_ENV_THRESHOLD));
	__register_atfork(NULL, NULL, birth_fork_child, NULL);
}
