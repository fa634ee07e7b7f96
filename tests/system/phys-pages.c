// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * phys-pages - for LD_PRELOAD: a machine with PHYS_PAGES pages of RAM, for whoever asks sysconf()
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

long sysconf(int name)
{
	const char *pages = getenv("PHYS_PAGES");
	long (*real)(int);

	if (name == _SC_PHYS_PAGES && pages)
		return atol(pages);
	*(void **)&real = dlsym(RTLD_NEXT, "sysconf");
	return real ? real(name) : -1;
}
