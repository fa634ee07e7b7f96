// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A client without a kernel. Calls are what mem-ops.h says, with the checks that the kernel makes.
 */
#include "fuzz-mem.h"

#include <errno.h>
#include <stdlib.h>

#include "fuzz.h"

static struct fake_client *client_of(struct mem *m)
{
	return (struct fake_client *)(void *)m;
}

static bool is_program(uint64_t start, uint64_t len)
{
	return start >= CLIENT_BASE && start - CLIENT_BASE <= CLIENT_PAGES * 4096ull &&
	       len <= CLIENT_PAGES * 4096ull - (start - CLIENT_BASE);
}

static uint32_t page_nr(uint64_t addr)
{
	ASSERT(addr % 4096 == 0);
	return (uint32_t)((addr - CLIENT_BASE) / 4096);
}

/* Compressible, and no page is like another. */
static void stamp_expand(uint64_t stamp, void *page)
{
	uint64_t *w = page;

	for (uint32_t i = 0; i < 512; i++)
		w[i] = !stamp ? 0 : i % 32 ? (stamp & 0xffff) * (stamp % 3) : stamp + i;
}

static uint64_t stamp_of(const void *page)
{
	static uint64_t want[512];
	uint64_t stamp;

	memcpy(&stamp, page, sizeof(stamp));
	stamp_expand(stamp, want);
	ASSERT(!memcmp(page, want, sizeof(want)));
	return stamp;
}

static int op_read_events(struct mem *m, struct mem_event *events, uint32_t n, uint32_t *ret_n)
{
	struct fake_client *c = client_of(m);

	*ret_n = 0;
	if (c->dead)
		return -ESRCH;
	if (c->fault && n) {
		events[(*ret_n)++] =
			(struct mem_event){ .type = MEM_EVENT_FAULT,
					    .tid = 1,
					    .addr = CLIENT_BASE + c->fault_page * 4096ull };
		c->fault = false;
	}
	return 0;
}

static int fill(struct fake_client *c, uint64_t dst, const uint8_t *src, uint64_t len,
		uint64_t *ret_done)
{
	*ret_done = 0;
	ASSERT(len && len % 4096 == 0);
	if (c->dead)
		return -ESRCH;
	if (!is_program(dst, len))
		return -ENOENT;
	for (; *ret_done < len; *ret_done += 4096) {
		uint32_t nr = page_nr(dst + *ret_done);

		if (c->page[nr].present)
			return *ret_done ? -EAGAIN : -EEXIST;
		c->page[nr].present = true;
		c->page[nr].stamp = src ? stamp_of(src + *ret_done) : 0;
		ASSERT(c->lied[nr] || c->page[nr].stamp == c->want[nr]);
		c->poisoned[nr] = false;
	}
	return 0;
}

static int op_copy(struct mem *m, uint64_t dst, const void *src, uint64_t len, uint64_t *ret_done)
{
	return fill(client_of(m), dst, src, len, ret_done);
}

static int op_zero(struct mem *m, uint64_t dst, uint64_t len, uint64_t *ret_done)
{
	return fill(client_of(m), dst, NULL, len, ret_done);
}

static int op_poison(struct mem *m, uint64_t dst, uint64_t len)
{
	struct fake_client *c = client_of(m);

	ASSERT(len == 4096 && is_program(dst, len));
	if (c->dead)
		return -ESRCH;
	if (c->page[page_nr(dst)].present)
		return -EEXIST;
	ASSERT(c->lied[page_nr(dst)]); /* nobody else's pages are lost */
	c->poisoned[page_nr(dst)] = true;
	return 0;
}

static int op_nothing(struct mem *m, uint64_t start, uint64_t len)
{
	return client_of(m)->dead ? -ESRCH : 0;
}

static int op_unregister(struct mem *m, uint64_t start, uint64_t len)
{
	struct fake_client *c = client_of(m);

	if (c->dead)
		return -ESRCH;
	if (start == CLIENT_STAGE)
		c->stage_registered = false;
	return 0;
}

static int op_register_stage(struct mem *m, uint64_t start, uint64_t len)
{
	struct fake_client *c = client_of(m);

	if (c->dead)
		return -ESRCH;
	if (start != CLIENT_STAGE || len != USWAP_STAGE_PAGES * 4096ull)
		return -EINVAL;
	c->stage_registered = true;
	return 0;
}

static int op_scan(struct mem *m, uint64_t start, uint64_t end, struct mem_present *runs,
		   uint32_t n, uint32_t *ret_n, uint64_t *ret_next)
{
	struct fake_client *c = client_of(m);

	*ret_n = 0;
	if (c->dead)
		return -ESRCH;
	for (; start < end && *ret_n < n; start += 4096) {
		bool present = start >= CLIENT_STAGE
				       ? c->stage[(start - CLIENT_STAGE) / 4096].present
				       : c->page[page_nr(start)].present;

		if (present)
			runs[(*ret_n)++] = (struct mem_present){ { start, start + 4096 } };
	}
	*ret_next = start;
	return 0;
}

static int op_read_maps(struct mem *m, uint32_t flags, struct mem_map **ret_maps, uint32_t *ret_n)
{
	struct mem_map *map = calloc(1, sizeof(*map));

	ASSERT(map);
	map->range = (struct urange){ CLIENT_BASE, CLIENT_BASE + CLIENT_PAGES * 4096ull };
	map->evictable = true;
	map->registered = flags & MEM_MAPS_FLAGS;
	*ret_maps = map;
	*ret_n = 1;
	return 0;
}

static bool op_is_readable(struct mem *m)
{
	return true;
}

static int op_find_gone(struct mem *m, const struct urange *ranges, uint32_t n, struct urange *gone,
			uint32_t n_max, uint32_t *ret_n)
{
	*ret_n = 0;
	return 0;
}

static int op_find_calls(struct mem *m, struct mem_call *calls, uint32_t n_max, uint32_t *ret_n,
			 uint32_t *ret_n_running)
{
	*ret_n = *ret_n_running = 0;
	return 0;
}

static ssize_t op_read_mem(struct mem *m, uint64_t src, void *dst, size_t len)
{
	struct fake_client *c = client_of(m);
	uint8_t *at = dst;
	uint32_t nr = (uint32_t)((src - CLIENT_STAGE) / 4096);

	ASSERT(src >= CLIENT_STAGE && len % 4096 == 0 && nr + len / 4096 <= USWAP_STAGE_PAGES);
	if (c->dead)
		return 0;
	for (; at < (uint8_t *)dst + len && nr != c->short_at; at += 4096, nr++)
		stamp_expand(c->stage[nr].present ? c->stage[nr].stamp : 0, at);
	return at - (uint8_t *)dst;
}

static int op_protected_ranges(struct mem *m, struct urange *ranges, uint32_t n, uint32_t *ret_n)
{
	*ret_n = 0;
	return 0;
}

static uint32_t op_n_threads(struct mem *m)
{
	return 0;
}

static bool op_inside_zap(struct mem *m, uint64_t since_ns)
{
	(void)since_ns;
	return false;
}

static int op_alive(struct mem *m)
{
	return client_of(m)->dead ? -ESRCH : 0;
}

/* What the daemon says must make sense: the agent would leave. */
static int op_send(struct mem *m, const void *msg, size_t len)
{
	struct fake_client *c = client_of(m);
	const struct uswap_msg_head *head = msg;

	ASSERT(head->len == len && len <= sizeof(c->cmd));
	if (c->send_fails)
		return -EAGAIN;
	if (head->type == USWAP_MSG_ARM)
		return 0;
	ASSERT(!c->n_sent);
	ASSERT(head->type == USWAP_MSG_DETACH || head->type == USWAP_MSG_POPULATE);
	memcpy(&c->cmd, msg, len);
	c->n_sent = 1;
	return 0;
}

static struct mem *op_free(struct mem *m)
{
	client_of(m)->freed = true;
	return NULL;
}

static const struct mem_ops client_ops = {
	.read_events = op_read_events,
	.copy = op_copy,
	.zero = op_zero,
	.poison = op_poison,
	.wake = op_nothing,
	.register_missing = op_nothing,
	.unregister = op_unregister,
	.register_stage = op_register_stage,
	.is_registered = op_nothing,
	.scan = op_scan,
	.read_maps = op_read_maps,
	.is_readable = op_is_readable,
	.find_gone = op_find_gone,
	.find_calls = op_find_calls,
	.read_mem = op_read_mem,
	.protected_ranges = op_protected_ranges,
	.n_threads = op_n_threads,
	.inside_zap = op_inside_zap,
	.alive = op_alive,
	.send = op_send,
	.free = op_free,
};

void client_init(struct fake_client *c)
{
	memset(c, 0, sizeof(*c));
	c->base.ops = &client_ops;
	c->short_at = USWAP_STAGE_PAGES;
	for (uint32_t i = 0; i < CLIENT_PAGES; i += 1 + (i % 97 == 0)) {
		c->want[i] = 1000003 * (i + 1ull) << (i % 7);
		c->page[i] = (struct fake_page){ c->want[i], true };
	}
}

uint32_t client_cmd_pages(const struct fake_client *c)
{
	uint32_t n = 0;

	for (uint32_t r = 0; r < c->cmd.detach.n_runs; r++)
		n += c->cmd.detach.run[r].n_pages;
	return n;
}

static enum uswap_moved page_move(struct fake_client *c, uint64_t src, uint32_t stage_at)
{
	struct fake_page *from;

	ASSERT(is_program(src, 4096) && stage_at < USWAP_STAGE_PAGES);
	from = &c->page[page_nr(src)];
	if (!c->stage_registered)
		return USWAP_MOVE_INVALID;
	if (!from->present)
		return USWAP_MOVE_HOLE;
	if (c->stage[stage_at].present)
		return USWAP_MOVE_OCCUPIED;
	c->stage[stage_at] = *from;
	from->present = false;
	return USWAP_MOVED;
}

void client_obey(struct fake_client *c, uint32_t n_max, struct uswap_msg_detached *ret)
{
	const struct uswap_msg_detach *m = &c->cmd.detach;

	ASSERT(m->n_free <= USWAP_STAGE_HALF_PAGES && m->n_runs <= USWAP_DETACH_MAX_RUNS);
	ASSERT(m->free_at <= USWAP_STAGE_PAGES - m->n_free);
	ASSERT(client_cmd_pages(c) <= USWAP_STAGE_HALF_PAGES);
	*ret = (struct uswap_msg_detached){ .head.type = USWAP_MSG_DETACHED, .seq = m->seq };
	for (uint32_t i = 0; i < m->n_free; i++)
		c->stage[m->free_at + i].present = false;
	for (uint32_t r = 0; r < m->n_runs; r++)
		for (uint32_t i = 0; i < m->run[r].n_pages; i++, ret->n_pages++)
			ret->result[ret->n_pages] =
				ret->n_pages < n_max ? page_move(c, m->run[r].start + i * 4096ull,
								 m->run[r].stage_at + i)
						     : USWAP_MOVE_EVENTS;
	ret->head.len = (uint32_t)(offsetof(struct uswap_msg_detached, result) + ret->n_pages);
}

void client_check(const struct fake_client *c)
{
	for (uint32_t i = 0; i < CLIENT_PAGES; i++) {
		if (c->lied[i])
			continue;
		ASSERT(!c->poisoned[i]);
		ASSERT(!c->page[i].present || c->page[i].stamp == c->want[i]);
	}
}
