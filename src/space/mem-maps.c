// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The client's mappings, from /proc/PID/maps, or /proc/PID/smaps where the flags matter.
 *
 * syscalls: openat read close ioctl (PROCMAP_QUERY)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "space/kernel-uffd.h"
#include "space/mem-impl.h"

struct map_list {
	struct mem_map *maps;
	uint32_t n;
	uint32_t n_max;
};

static int list_push(struct map_list *list, const struct mem_map *map)
{
	if (list->n == list->n_max) {
		uint32_t n_max = list->n_max ? list->n_max * 2 : 128;
		struct mem_map *maps = realloc(list->maps, n_max * sizeof(*maps));

		if (!maps)
			return err_origin(-ENOMEM);
		list->maps = maps;
		list->n_max = n_max;
	}
	list->maps[list->n++] = *map;
	return 0;
}

/*
 * "start-end perms offset dev inode name". Evictable is what is private, anonymous, readable and
 * writable, and not a place where the kernel or the C library keep a stack.
 */
static bool parse_head(const char *line, struct mem_map *map)
{
	uint64_t start, end, inode;
	char perms[5];
	int at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64 " %n", &start, &end, perms,
		   &inode, &at) < 4)
		return false;
	line += at;
	*map = (struct mem_map){ .range = { start, end } };
	map->evictable = (!strcmp(perms, "rw-p") || !strcmp(perms, "rwxp")) && !inode &&
			 (line[0] == '\n' || !line[0] || !strncmp(line, "[heap]", 6) ||
			  !strncmp(line, "[anon:", 6));
	return true;
}

static bool has_flag(const char *flags, const char *flag)
{
	const char *at = flags;

	while ((at = strstr(at, flag))) {
		if (at[-1] == ' ' && (at[2] == ' ' || at[2] == '\n' || !at[2]))
			return true;
		at += 2;
	}
	return false;
}

static void parse_flags(const char *line, struct mem_map *map)
{
	map->registered = has_flag(line, "um");
	map->wipe_on_fork = has_flag(line, "wf");
	map->dont_fork = has_flag(line, "dc");
	map->locked = has_flag(line, "lo");
	map->huge_page = has_flag(line, "ht");
}

/*
 * One descriptor is kept for reading mappings: a fork event that has been read takes one, perhaps the last,
 * and then it cannot be left undone. Of the owner thread.
 */
static int spare_fd = -1;

static void spare_take(void)
{
	if (spare_fd < 0)
		spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool spare_give(void)
{
	if (spare_fd < 0)
		return false;
	close(spare_fd);
	spare_fd = -1;
	return true;
}

static FILE *open_text(struct mem_linux *m, const char *name)
{
	int fd = mem_proc_open(m, name);
	FILE *f;

	if (fd == -EMFILE && spare_give())
		fd = mem_proc_open(m, name);
	f = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (f)
		setvbuf(f, NULL, _IOFBF, 32768);
	else if (fd >= 0)
		close(fd);
	return f;
}

static void text_closep(FILE **f)
{
	if (*f)
		fclose(*f);
	spare_take();
}

int mem_read_maps(struct mem *base, uint32_t flags, struct mem_map **ret_maps, uint32_t *ret_n)
{
	_cleanup_(text_closep) FILE *f =
		open_text(mem_linux_of(base), flags & MEM_MAPS_FLAGS ? "smaps" : "maps");
	struct map_list list = { 0 };
	char line[512];
	int r = 0;

	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!r && fgets(line, sizeof(line), f)) {
		struct mem_map map;
		bool whole = strchr(line, '\n');

		if (flags & MEM_MAPS_FLAGS && !strncmp(line, "VmFlags:", 8)) {
			if (list.n)
				parse_flags(line + 8, &list.maps[list.n - 1]);
		} else if ((line[0] >= '0' && line[0] <= '9') ||
			   (line[0] >= 'a' && line[0] <= 'f')) {
			if (parse_head(line, &map))
				r = list_push(&list, &map);
		}
		while (!whole && fgets(line, sizeof(line), f)) /* a very long name */
			whole = strchr(line, '\n');
	}
	if (r) {
		free(list.maps);
		return r;
	}
	*ret_maps = list.maps;
	*ret_n = list.n;
	return 0;
}

/* The mappings of a client, asked one by one. */
struct map_query {
	struct mem *mem;
	int fd;		      /* its "maps" */
	struct mem_map *maps; /* before Linux 6.11: all of them, from the text */
	uint32_t n_maps;
	uint32_t at; /* the first that ends after what was asked last */
};

/* The first mapping that ends after @addr. Return: 0; -ENOENT: there is none; other errno. */
static int map_query_next(struct map_query *q, uint64_t addr, struct urange *ret_map)
{
	struct procmap_query query = { .size = sizeof(query),
				       .query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
				       .query_addr = addr };
	int r;

	if (!q->maps) {
		if (!ioctl(q->fd, PROCMAP_QUERY, &query)) {
			*ret_map = (struct urange){ query.vma_start, query.vma_end };
			return 0;
		}
		if (errno != ENOTTY)
			return -errno;
		r = mem_read_maps(q->mem, 0, &q->maps, &q->n_maps);
		if (r)
			return r;
	}
	if (q->at && q->maps[q->at - 1].range.end > addr)
		q->at = 0;
	while (q->at < q->n_maps && q->maps[q->at].range.end <= addr)
		q->at++;
	if (q->at == q->n_maps)
		return -ENOENT;
	*ret_map = q->maps[q->at].range;
	return 0;
}

static void map_query_deinit(struct map_query *q)
{
	closep(&q->fd);
	free(q->maps);
}

int mem_find_gone(struct mem *m, const struct urange *ranges, uint32_t n, struct urange *gone,
		  uint32_t n_max, uint32_t *ret_n)
{
	_cleanup_(map_query_deinit) struct map_query q = {
		.mem = m, .fd = mem_proc_open(mem_linux_of(m), "maps")
	};
	uint32_t k;

	*ret_n = 0;
	if (q.fd < 0)
		return q.fd;
	for (k = 0; k < n; k++) {
		uint64_t at = ranges[k].start;

		while (at < ranges[k].end) {
			struct urange map = { ranges[k].end, ranges[k].end };
			int r = map_query_next(&q, at, &map);

			if (r && r != -ENOENT)
				return r;
			if (map.start > ranges[k].end)
				map = (struct urange){ ranges[k].end, ranges[k].end };
			if (map.start > at) {
				if (*ret_n == n_max)
					return -ENOSPC;
				gone[(*ret_n)++] = (struct urange){ at, map.start };
			}
			at = map.end;
		}
	}
	return 0;
}

int mem_map_has_flag(struct mem_linux *m, uint64_t addr, const char *flag)
{
	_cleanup_(text_closep) FILE *f = open_text(m, "smaps");
	bool here = false;
	char line[512];

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		struct mem_map map;

		if (here && !strncmp(line, "VmFlags:", 8))
			return has_flag(line + 8, flag);
		if (((line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f')) &&
		    parse_head(line, &map))
			here = map.range.start <= addr && addr < map.range.end;
	}
	return -ENOENT;
}
