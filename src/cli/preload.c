/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * preload - find the preload library; tell which programs will not load it
 *
 * The library is looked for beside the running program first, so that a build directory works
 * without being installed, and a moved installation keeps its two halves together.
 */
#include "cli/preload.h"

#include <elf.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	SCRIPT_DEPTH_MAX =
		4,	  /* a script's interpreter may be a script; the kernel stops here too */
	HEADERS_MAX = 64, /* program headers looked at; real programs have about 13 */
};

int preload_find(char *ret_path, size_t n_bytes)
{
	/* Installed beside, built by meson, installed by prefix. */
	static const char *const places[] = { "", "src/agent/", "../lib/uswap/" };
	char exe[PRELOAD_PATH_BYTES];
	const char *dir;
	ssize_t len;
	int n;

	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len < 0)
		return PRELOAD_E_NOT_FOUND;
	exe[len] = '\0';
	dir = dirname(exe);
	for (size_t i = 0; i <= sizeof(places) / sizeof(places[0]); i++) {
		if (i < sizeof(places) / sizeof(places[0]))
			n = snprintf(ret_path, n_bytes, "%s/%s" PRELOAD_NAME, dir, places[i]);
		else
			n = snprintf(ret_path, n_bytes, "%s", USWAP_PRELOAD_DIR "/" PRELOAD_NAME);
		/* LD_PRELOAD is split at these and knows no quoting. */
		if (n > 0 && (size_t)n < n_bytes && !strpbrk(ret_path, " :") &&
		    !access(ret_path, R_OK))
			return 0;
	}
	return PRELOAD_E_NOT_FOUND;
}

static bool elf_is_static(int fd, const Elf64_Ehdr *ehdr)
{
	Elf64_Phdr phdr;

	for (unsigned int i = 0; i < ehdr->e_phnum && i < HEADERS_MAX; i++) {
		off_t at = (off_t)(ehdr->e_phoff + (uint64_t)i * ehdr->e_phentsize);

		if (pread(fd, &phdr, sizeof(phdr), at) != (ssize_t)sizeof(phdr))
			return false;
		if (phdr.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static bool file_is_static(const char *path, int depth)
{
	char interpreter[256] = "";
	union {
		Elf64_Ehdr ehdr;
		char text[256];
	} head;
	bool result = false;
	ssize_t len;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	len = pread(fd, &head, sizeof(head) - 1, 0);
	if (len >= (ssize_t)sizeof(head.ehdr) && !memcmp(head.ehdr.e_ident, ELFMAG, SELFMAG)) {
		/* Another class has another loader and another library: not loadable either. */
		result = head.ehdr.e_ident[EI_CLASS] != ELFCLASS64 || elf_is_static(fd, &head.ehdr);
	} else if (len > 2 && !memcmp(head.text, "#!", 2) && depth < SCRIPT_DEPTH_MAX) {
		head.text[len] = '\0';
		if (sscanf(head.text + 2, " %255s", interpreter) == 1)
			result = file_is_static(interpreter, depth + 1);
	}
	close(fd);
	return result;
}

bool preload_is_elf(const char *path)
{
	char magic[SELFMAG];
	bool result;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	result = read(fd, magic, SELFMAG) == SELFMAG && !memcmp(magic, ELFMAG, SELFMAG);
	close(fd);
	return result;
}

bool preload_is_static(const char *path)
{
	return file_is_static(path, 0);
}

bool preload_is_missing(pid_t pid)
{
	bool any = false, found = false, is_under_valgrind = false;
	char path[64], line[4352];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		any = true;
		found |= strstr(line, PRELOAD_NAME) != NULL;
		is_under_valgrind |= strstr(line, "/vgpreload_") != NULL;
	}
	fclose(f);
	return any && (!found || is_under_valgrind); /* there it does nothing */
}
