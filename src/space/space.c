// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Life of a space, and its doors: what the owner thread calls.
 *
 * What compressors work on belongs to the store and not to the space: a space can end at any time.
 */
#include "space/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "space/space-impl.h"

#define EVENT_BATCH 64u
#define FAULT_BATCH 512u
#define MAX_READS 256u
#define MAX_READS_SINGLE 16u
#define RESCAN_NS (100ULL * 1000 * 1000)
#define RESCAN_MIN_PAGES 64u
#define UNSHARE_FAILED_NS (100ULL * 1000 * 1000)
#define FLUSH_NS (20ULL * 1000 * 1000)

static void zeroes_free(struct space_group *g)
{
	if (g->zeroes)
		munmap(g->zeroes, (size_t)AHEAD_MAX_PAGES * PAGE_BYTES);
}

/* Memory that faults are served by, so that serving one never waits for memory. */
static void group_warm(struct space_group *g)
{
	const volatile uint8_t *zeroes = g->zeroes;
	uint32_t k;

	if (g->is_warm)
		return;
	g->is_warm = true;
	memset(g->scratch, 0, (size_t)AHEAD_MAX_PAGES * PAGE_BYTES);
	for (k = 0; k < AHEAD_MAX_PAGES; k++)
		(void)zeroes[(size_t)k * PAGE_BYTES];
}

int space_group_init(struct space_group *g, struct swap *swap, const struct space_host *host,
		     void *user, uint64_t max_pages)
{
	size_t len = (size_t)AHEAD_MAX_PAGES * PAGE_BYTES;
	int r;

	*g = (struct space_group){ .swap = swap,
				   .host = host,
				   .user = user,
				   .readahead = true,
				   .early_window = AHEAD_MAX_PAGES / 2 };
	list_init(&g->spaces);
	g->scratch = aligned_alloc(PAGE_BYTES, len);
	/* never written: all of it is the kernel's one page of zeroes, which stays in the cache */
	g->zeroes = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	g->protected = calloc(SPACE_MAX_PROTECTED, sizeof(*g->protected));
	if (g->zeroes == MAP_FAILED)
		g->zeroes = NULL;
	if (!g->scratch || !g->zeroes || !g->protected) {
		r = err_origin(-ENOMEM);
		goto fail;
	}
	r = codec_ctx_new_for_loads(&g->codec);
	if (r)
		goto fail;
	r = swap_app_new(swap, &g->app);
	if (r)
		goto fail;
	r = page_map_arenas_init(&g->arenas, max_pages);
	if (r)
		goto fail;
	r = load_file_init(g);
	if (!r)
		return 0;
	page_map_arenas_deinit(&g->arenas);
fail:
	if (g->app)
		swap_app_free(g->app);
	codec_ctx_free(g->codec);
	free(g->protected);
	free(g->scratch);
	zeroes_free(g);
	return r;
}

void space_group_deinit(struct space_group *g)
{
	ASSERT(list_is_empty(&g->spaces) && !g->n_jobs);
	load_file_deinit(g);
	page_map_arenas_deinit(&g->arenas);
	swap_app_free(g->app);
	codec_ctx_free(g->codec);
	free(g->protected);
	free(g->scratch);
	zeroes_free(g);
}

void space_page_arrived(struct space *sp, struct page_leaf *leaf, uint32_t i, uint8_t credit,
			uint8_t level)
{
	if (!(leaf->state[i] & PAGE_PRESENT))
		sp->group->n_resident++;
	page_set_present(&sp->map, leaf, i, credit, level);
}

void space_page_left(struct space *sp, struct page_leaf *leaf, uint32_t i)
{
	if (leaf->state[i] & PAGE_PRESENT)
		sp->group->n_resident--;
	page_clear_present(&sp->map, leaf, i);
}

int space_new(struct space **ret_space, struct space_group *group, struct mem *mem)
{
	struct space *sp = calloc(1, sizeof(*sp));
	int r = -ENOMEM;

	group_warm(group);
	if (sp)
		sp->waiting = calloc(SPACE_MAX_WAITING, sizeof(*sp->waiting));
	if (!sp || !sp->waiting)
		goto fail;
	r = page_map_init(&sp->map, &group->arenas);
	if (r)
		goto fail;
	sp->group = group;
	sp->mem = mem;
	list_append(&group->spaces, &sp->link);
	group->n_spaces++;
	*ret_space = sp;
	return 0;
fail:
	if (sp)
		free(sp->waiting);
	free(sp);
	mem->ops->free(mem);
	return err_origin(r);
}

/* The slots go at once, so that the memory of a dead program is free when it is noticed. */
static void space_end(struct space *sp)
{
	if (sp->dead)
		return;
	/* a command that was in flight moved pages to nowhere */
	evict_release(sp);
	evict_unreserve(sp);
	load_file_space_end(sp);
	sp->gate = GATE_OPEN;
	while (sp->n_held) /* a fork child among them lives on */
		(void)event_held(sp, true);
	fork_space_end(sp);
	event_forget(sp, (struct urange){ 0, PAGE_MAP_END });
	ASSERT(!sp->map.n_slots && !sp->map.n_present);
	sp->dead = true;
	sp->agent = false;
	sp->n_waiting = 0;
	list_unlink(&sp->link);
	sp->group->n_spaces--;
}

struct space *space_free(struct space *sp)
{
	if (!sp)
		return NULL;
	space_end(sp);
	page_map_deinit(&sp->map);
	region_set_deinit(&sp->regions);
	region_set_deinit(&sp->no_ahead);
	region_set_deinit(&sp->wiped);
	region_set_deinit(&sp->suspects);
	region_set_deinit(&sp->own_moves);
	region_set_deinit(&sp->born_with);
	region_set_deinit(&sp->arrived);
	region_set_deinit(&sp->news);
	region_set_deinit(&sp->witness.gone);
	free(sp->held);
	free(sp->doubts);
	sp->mem->ops->free(sp->mem);
	free(sp->waiting);
	free(sp);
	return NULL;
}

static bool range_ok(const struct uswap_range *r, uint64_t n_pages)
{
	return r->start % PAGE_BYTES == 0 && r->len == n_pages * PAGE_BYTES && r->start &&
	       r->start + r->len > r->start && r->start + r->len <= PAGE_MAP_END;
}

static struct urange urange_of(const struct uswap_range *r)
{
	return (struct urange){ r->start, r->start + r->len };
}

static bool inside(struct urange a, struct urange b)
{
	return a.start >= b.start && a.end <= b.end;
}

int space_agent_ready(struct space *sp, const struct uswap_msg_hello *hello)
{
	struct urange own[2] = { urange_of(&hello->own), urange_of(&hello->own2) };
	int r;

	if (sp->dead || sp->agent || sp->gate != GATE_OPEN)
		return -EPROTO;
	if (!range_ok(&hello->stage, USWAP_STAGE_PAGES) ||
	    !range_ok(&hello->trash, USWAP_STAGE_HALF_PAGES) ||
	    !inside(urange_of(&hello->stage), own[1]) || !inside(urange_of(&hello->trash), own[1]))
		return -EPROTO;
	r = sp->mem->ops->register_stage(sp->mem, hello->stage.start, hello->stage.len);
	if (r)
		return err_trace(r);
	memcpy(sp->own, own, sizeof(own));
	sp->stage = urange_of(&hello->stage);
	sp->trash = urange_of(&hello->trash);
	memset(sp->half, 0, sizeof(sp->half));
	sp->agent = true;
	sp->armed = false;
	return 0;
}

void space_agent_gone(struct space *sp)
{
	sp->agent = false;
	if (sp->populating)
		evict_copies_failed(sp);
	sp->populating = false;
	sp->armed = false;
	if (!sp->dead)
		gate_agent_gone(sp);
}

bool space_agent_idle(const struct space *sp)
{
	return sp->gate == GATE_OPEN && !sp->populating;
}

/*
 * One read. Once threads were seen to move memory about, of one message, before which the kernel was asked
 * what it may be about (witness.c). Return: 0, *ret_more: there may be more; -errno.
 */
static int read_some(struct space *sp, struct mem_event *events, uint32_t *ret_n, bool *ret_more)
{
	const uint32_t n_max = sp->moves ? 1 : EVENT_BATCH;
	int r;

	*ret_n = 0;
	*ret_more = false;
	if (sp->moves) {
		if (!sp->mem->ops->is_readable(sp->mem))
			return 0;
		if (event_settle(sp) == -EAGAIN) /* else nothing is in question */
			witness_look(sp);
	}
	r = sp->mem->ops->read_events(sp->mem, events, n_max, ret_n);
	*ret_more = *ret_n == n_max;
	return r;
}

/*
 * Read main until it is empty, or long enough: ioctls are refused until all is read. Faults are kept for
 * later, all else is applied at once.
 */
static int drain(struct space *sp, struct mem_event *faults, uint32_t *ret_n_faults)
{
	struct mem_event events[EVENT_BATCH];
	uint32_t n, k, n_reads = 0;
	bool more;
	int r;

	do {
		r = read_some(sp, events, &n, &more);
		for (k = 0; k < n; k++) {
			int err = 0;

			if (events[k].type != MEM_EVENT_FAULT)
				err = event_apply(sp, &events[k]);
			else if (*ret_n_faults < FAULT_BATCH)
				faults[(*ret_n_faults)++] = events[k];
			else
				fault_wait(sp,
					   &(struct waiting_fault){ .addr = events[k].addr,
								    .tid = events[k].tid,
								    .write = events[k].write,
								    .since_ns = space_now_ns(sp),
								    .why = WAIT_RETRY });
			/* an event that cannot be applied leaves the map wrong: better to stop
			 * here, with every descriptor open, than to serve from it */
			ASSERT(err >= 0);
		}
	} while (!r && more && ++n_reads < (sp->moves ? MAX_READS_SINGLE : MAX_READS));
	return r == -ESRCH ? SPACE_E_DEAD : 0;
}

int space_service(struct space *sp)
{
	struct mem_event faults[FAULT_BATCH];
	uint32_t n = 0;
	uint32_t k;
	int r;

	if (sp->dead || sp->gate == GATE_SHUT)
		return 0;
	r = drain(sp, faults, &n);
	if (!r && event_settle(sp) == -ESRCH)
		r = SPACE_E_DEAD;
	for (k = 0; !r && k < n; k++)
		r = fault_serve(sp, &faults[k]);
	return r;
}

int space_service_all(struct space *sp)
{
	uint32_t n = 0;
	int r;

	do
		r = space_service(sp);
	while (!r && ++n < MAX_READS && sp->mem->ops->is_readable(sp->mem));
	return r;
}

int space_answer(struct space *sp, const void *msg, size_t len)
{
	const struct uswap_msg_head *head = msg;
	int r;

	if (len < sizeof(*head) || head->len != len)
		return -EPROTO;
	if (head->type == USWAP_MSG_DETACHED) {
		const struct uswap_msg_detached *m = msg;

		if (len < offsetof(struct uswap_msg_detached, result) ||
		    m->n_pages > USWAP_STAGE_HALF_PAGES ||
		    len < offsetof(struct uswap_msg_detached, result) + m->n_pages)
			return -EPROTO;
		r = gate_answer(sp, m);
		if (r)
			return r;
		return space_retry(sp, (struct slot_id){ 0 });
	}
	if (head->type == USWAP_MSG_POPULATED && sp->populating &&
	    len >= sizeof(struct uswap_msg_populated)) {
		const struct uswap_msg_populated *m = msg;

		sp->populating = false;
		if (m->err) { /* not writable, or no memory: not again at once */
			sp->unshare_ns = space_now_ns(sp) + UNSHARE_FAILED_NS;
			evict_copies_failed(sp);
		}
		return 0;
	}
	return -EPROTO;
}

static bool wants_rescan(struct space *sp)
{
	uint64_t now = space_now_ns(sp);

	return sp->n_unknown >= RESCAN_MIN_PAGES && sp->gate == GATE_OPEN &&
	       now - sp->unknown_ns > RESCAN_NS && !manage_inside_zap(sp);
}

int space_tick(struct space *sp)
{
	int r;

	if (sp->dead)
		return 0;
	if (sp->mem->ops->alive(sp->mem) == -ESRCH)
		return SPACE_E_DEAD;
	load_file_tick(sp);
	fork_grow_up(sp);
	r = gate_tick(sp);
	if (!r && wants_rescan(sp)) {
		sp->n_unknown = 0;
		r = space_rescan(sp);
	}
	if (!r && sp->gate == GATE_OPEN && space_now_ns(sp) - sp->sent_ns > FLUSH_NS)
		(void)evict_flush(sp);
	return r > 0 ? r : 0;
}

void space_check(struct space *sp)
{
	uint64_t addr = 0;
	struct page_leaf *leaf;
	uint32_t i;

	page_map_check(&sp->map);
	for (; (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES)
		for (i = 0; i < LEAF_PAGES; i++) {
			uint64_t a = addr + (uint64_t)i * PAGE_BYTES;

			if (leaf->state[i] & PAGE_PRESENT || leaf->slot[i])
				ASSERT(region_contains(&sp->regions, a));
			if (leaf->state[i] & PAGE_DETACH)
				ASSERT(sp->gate == GATE_SHUT);
		}
}

/* 4 buckets per power of two: the upper bound is at most a quarter above the value */
static uint32_t latency_bucket(uint64_t ns)
{
	uint32_t log;

	if (ns < 4)
		return (uint32_t)ns;
	log = 63 - (uint32_t)__builtin_clzll(ns);
	log = log * 4 + (uint32_t)(ns >> (log - 2) & 3) - 4;
	return log < LATENCY_BUCKETS ? log : LATENCY_BUCKETS - 1;
}

void latency_add(struct latency *l, uint64_t ns)
{
	l->n[latency_bucket(ns)]++;
}

uint64_t latency_ns(const struct latency *l, double quantile)
{
	uint64_t total = 0;
	uint64_t seen = 0;
	uint32_t k;

	for (k = 0; k < LATENCY_BUCKETS; k++)
		total += l->n[k];
	if (!total)
		return 0;
	for (k = 0; k < LATENCY_BUCKETS; k++) {
		seen += l->n[k];
		if ((double)seen >= quantile * (double)total)
			break;
	}
	if (k < 4)
		return k;
	k += 4;
	return ((5ULL + k % 4) << (k / 4 - 2)) - 1; /* the upper bound: never flatters */
}
