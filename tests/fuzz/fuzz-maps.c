// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The parsers of /proc/PID/maps and smaps, on files in a directory of our own.
 *
 * Input: an even byte, then mappings to print as the kernel does, which must come back as they were;
 * or an odd byte, then a file as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"
#include "space/mem-impl.h"

#define MAX_MAPS 64u

static const char *const all_flags[] = { "rd", "wr", "mr", "mw", "me", "ac", "um", "uw",
					 "wf", "dc", "lo", "ht", "nh", "sd", "dd", "gd" };

struct want {
	struct mem_map map;
	uint16_t flags; /* bits into all_flags */
};

static char dir[] = "/tmp/uswap-fuzz-XXXXXX";
static int dir_fd = -1, maps_fd, smaps_fd;

static void dir_remove(void)
{
	unlinkat(dir_fd, "maps", 0);
	unlinkat(dir_fd, "smaps", 0);
	rmdir(dir);
}

static void dir_make(void)
{
	if (dir_fd >= 0)
		return;
	ASSERT(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	maps_fd = openat(dir_fd, "maps", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	smaps_fd = openat(dir_fd, "smaps", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ASSERT(dir_fd >= 0 && maps_fd >= 0 && smaps_fd >= 0);
	atexit(dir_remove);
}

static void file_set(int fd, const void *bytes, size_t n_bytes)
{
	ASSERT(!ftruncate(fd, 0));
	ASSERT(pwrite(fd, bytes, n_bytes, 0) == (ssize_t)n_bytes);
}

static uint32_t read_back(uint32_t flags, struct mem_map **ret_maps)
{
	struct mem_linux m = { .proc_fd = dir_fd };
	uint32_t n = 77;

	*ret_maps = NULL;
	ASSERT(!mem_read_maps(&m.base, flags, ret_maps, &n));
	ASSERT(!n == !*ret_maps);
	return n;
}

/* ---- mappings that go there and back -------------------------------------------------------- */

static const char *name_make(struct fuzz_in *in, char *buf, size_t n_bytes, bool *ret_anon)
{
	static const char *const names[] = {
		"",	     "[heap]",		 "[anon:a name]", "[stack]",	   "[vdso]",
		"[heapster", "/a b/c (deleted)", "/VmFlags: um",  "[anon_shmem:x]"
	};
	uint8_t kind = fuzz_u8(in);
	size_t len;

	if (kind % 16 == 15) { /* longer than a line of the parser */
		len = 2 + fuzz_u16(in) % (n_bytes - 3);
		memset(buf, kind & 16 ? 'a' : '0', len);
		buf[0] = '/';
		buf[len] = '\0';
		*ret_anon = false;
		return buf;
	}
	kind %= 9;
	*ret_anon = kind <= 2;
	return names[kind];
}

static void print_one(struct fuzz_in *in, FILE *maps, FILE *smaps, struct want *w, uint64_t *at)
{
	static const char *const perms[] = { "rw-p", "r--p", "rwxp", "rw-s", "---p", "r-xp" };
	const char *perm = perms[fuzz_u8(in) % 6], *name;
	uint64_t inode = fuzz_u8(in) % 4 ? 0 : fuzz_u32(in);
	char buf[1200], head[1400];
	bool anon;

	*at += (uint64_t)(fuzz_u16(in) % 512) * 4096;
	w->map = (struct mem_map){ .range.start = *at };
	*at += (1 + (uint64_t)fuzz_u16(in)) * 4096;
	w->map.range.end = *at;
	name = name_make(in, buf, sizeof(buf), &anon);
	w->flags = fuzz_u16(in);
	w->map.evictable = anon && !inode && (!strcmp(perm, "rw-p") || !strcmp(perm, "rwxp"));

	snprintf(head, sizeof(head),
		 "%08" PRIx64 "-%08" PRIx64 " %s %08x 00:%02x %-26" PRIu64 " %s\n",
		 w->map.range.start, w->map.range.end, perm, fuzz_u32(in), fuzz_u8(in), inode,
		 name);
	fputs(head, maps);
	fprintf(smaps, "%sSize:    %8u kB\nRss: 0 kB\nAnonymous: um wf\nVmFlags:", head, 4u);
	for (uint32_t k = 0; k < 16; k++)
		if (w->flags >> k & 1)
			fprintf(smaps, " %s", all_flags[k]);
	fputs(" \n", smaps);
}

static bool flag_is(const struct want *w, const char *flag)
{
	for (uint32_t k = 0; k < 16; k++)
		if (!strcmp(all_flags[k], flag))
			return w->flags >> k & 1;
	return false;
}

static void check_map(const struct mem_map *map, const struct want *w, bool with_flags)
{
	ASSERT(map->range.start == w->map.range.start && map->range.end == w->map.range.end);
	ASSERT(map->evictable == w->map.evictable);
	ASSERT(map->registered == (with_flags && flag_is(w, "um")));
	ASSERT(map->wipe_on_fork == (with_flags && flag_is(w, "wf")));
	ASSERT(map->dont_fork == (with_flags && flag_is(w, "dc")));
	ASSERT(map->locked == (with_flags && flag_is(w, "lo")));
	ASSERT(map->huge_page == (with_flags && flag_is(w, "ht")));
}

static void check_flag_at(const struct want *w, uint32_t k)
{
	struct mem_linux m = { .proc_fd = dir_fd };
	int on = w->flags >> k & 1;

	ASSERT(mem_map_has_flag(&m, w->map.range.start, all_flags[k]) == on);
	ASSERT(mem_map_has_flag(&m, w->map.range.end - 1, all_flags[k]) == on);
}

/* As before Linux 6.11: our file does not answer PROCMAP_QUERY. What lies between the mappings is gone. */
static void check_gone(const struct want *want, uint32_t n)
{
	struct mem_linux m = { .proc_fd = dir_fd };
	/* all of it, and then what was asked about already */
	const struct urange all[] = { { 0, UINT64_MAX },
				      n ? want[0].map.range : (struct urange){ 0, 4096 } };
	struct urange gone[MAX_MAPS + 1];
	uint64_t at = 0;
	uint32_t n_gone, k, i = 0;

	ASSERT(!mem_find_gone(&m.base, all, n ? 2 : 1, gone, MAX_MAPS + 1, &n_gone));
	for (k = 0; k < n; k++) {
		if (want[k].map.range.start > at) {
			ASSERT(i < n_gone && gone[i].start == at);
			ASSERT(gone[i++].end == want[k].map.range.start);
		}
		at = want[k].map.range.end;
	}
	ASSERT(i + 1 == n_gone && gone[i].start == at && gone[i].end == UINT64_MAX);
}

static void there_and_back(struct fuzz_in *in)
{
	static struct want want[MAX_MAPS];
	char *texts[2] = { NULL, NULL };
	size_t n_bytes[2];
	FILE *maps = open_memstream(&texts[0], &n_bytes[0]);
	FILE *smaps = open_memstream(&texts[1], &n_bytes[1]);
	uint64_t at = (uint64_t)fuzz_u32(in) << 12;
	struct mem_map *got;
	uint32_t n = 0, with_flags;

	ASSERT(maps && smaps);
	while (in->n_bytes && n < MAX_MAPS)
		print_one(in, maps, smaps, &want[n++], &at);
	fclose(maps);
	fclose(smaps);
	file_set(maps_fd, texts[0], n_bytes[0]);
	file_set(smaps_fd, texts[1], n_bytes[1]);
	free(texts[0]);
	free(texts[1]);

	for (with_flags = 0; with_flags < 2; with_flags++) {
		ASSERT(read_back(with_flags ? MEM_MAPS_FLAGS : 0, &got) == n);
		for (uint32_t k = 0; k < n; k++)
			check_map(&got[k], &want[k], with_flags);
		free(got);
	}
	check_gone(want, n);
	if (n)
		check_flag_at(&want[at / 4096 % n], n_bytes[0] % 16);
}

/* ---- any file ------------------------------------------------------------------------------- */

static void as_it_is(const uint8_t *data, size_t n_bytes)
{
	struct mem_linux m = { .proc_fd = dir_fd };
	struct mem_map *maps, *smaps;
	uint32_t n_lines = 1, n, n_flags;
	int r;

	for (size_t i = 0; i < n_bytes; i++)
		n_lines += data[i] == '\n';
	file_set(maps_fd, data, n_bytes);
	file_set(smaps_fd, data, n_bytes);
	n = read_back(0, &maps);
	n_flags = read_back(MEM_MAPS_FLAGS, &smaps);
	ASSERT(n == n_flags && n <= n_lines);
	for (uint32_t k = 0; k < n; k++) {
		ASSERT(maps[k].range.start == smaps[k].range.start);
		ASSERT(maps[k].range.end == smaps[k].range.end);
		ASSERT(maps[k].evictable == smaps[k].evictable);
		ASSERT(!maps[k].registered && !maps[k].locked);
	}
	r = mem_map_has_flag(&m, n ? maps[n - 1].range.start : 0, "um");
	ASSERT(r == 0 || r == 1 || r == -ENOENT);
	free(maps);
	free(smaps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	struct fuzz_in in = { data, n_bytes };

	dir_make();
	if (fuzz_u8(&in) & 1)
		as_it_is(in.at, in.n_bytes);
	else
		there_and_back(&in);
	return 0;
}
