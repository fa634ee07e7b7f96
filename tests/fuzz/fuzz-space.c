// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An agent that says anything, to a space in every state of its gate.
 *
 * Whatever it says: the daemon's tables stay whole, no slot is left when the space ends, the gate
 * opens when the agent is gone, and only pages about which the agent lied can be lost.
 *
 * Input: one byte a step, and what the step needs.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "fuzz-mem.h"
#include "fuzz.h"
#include "space/space.h"

#define MAX_STEPS 96u
#define MAX_UNPINNED 4096u

static struct swap *swap;
static struct space_group group;
static struct codec_ctx *codec;
static struct list jobs;
static uint64_t now_ns;
static uint32_t unpinned[MAX_UNPINNED];
static uint32_t n_unpinned;

static struct fake_client client;
static struct space *sp;
static struct uswap_msg_detached late; /* an honest answer on its way */
static bool has_late;

/* ---- the daemon around it ------------------------------------------------------------------- */

static void on_unpinned(void *user, struct slot_id id)
{
	if (n_unpinned < MAX_UNPINNED)
		unpinned[n_unpinned++] = id.v;
}

static void on_buf_free(void *user)
{
}

static void host_post_job(void *user, struct evict_job *job)
{
	ASSERT(job->n && job->n <= USWAP_STAGE_HALF_PAGES && job->buf);
	list_append(&jobs, &job->link);
}

static void host_forked(void *user, struct space *parent, struct space *child)
{
	ASSERT(false);
}

static uint64_t host_now_ns(void *user)
{
	return now_ns;
}

static void random_fake(void *user, void *dst, size_t n_bytes)
{
	memset(dst, 0x42, n_bytes);
}

static void daemon_init(void)
{
	static const struct space_host host = {
		.post_job = host_post_job,
		.forked = host_forked,
		.now_ns = host_now_ns,
	};
	static const struct swap_options options = {
		.max_pages = 4096,
		.n_bufs = 3,
		.zstd_level = 1,
		.allow_unlocked_memory = true,
		.on_unpinned = on_unpinned,
		.on_buf_free = on_buf_free,
	};

	if (swap)
		return;
	random_source_set(random_fake, NULL);
	clock_source_set(host_now_ns, NULL);
	list_init(&jobs);
	ASSERT(!swap_new(&swap, &options));
	ASSERT(!codec_ctx_new(&codec));
	ASSERT(!space_group_init(&group, swap, &host, NULL, options.max_pages));
}

static void job_run(void)
{
	struct evict_job *job = list_first(&jobs, struct evict_job, link);
	uint32_t n_tries = 4;

	if (!job)
		return;
	list_unlink(&job->link);
	evict_job_put(job);
	while (evict_job_compress(job, USWAP_STAGE_HALF_PAGES, SWAP_CODEC_LZ4, codec))
		ASSERT(n_tries--); /* nobody else has a pin */
	evict_job_free(job);
	atomic_fetch_sub(&group.n_jobs, 1);
}

static void agent_attach(void)
{
	struct uswap_msg_hello hello = {
		.own = { CLIENT_OWN, 9 * 4096 },
		.own2 = { CLIENT_OWN2, (USWAP_STAGE_PAGES + USWAP_STAGE_HALF_PAGES + 3ull) * 4096 },
		.stage = { CLIENT_STAGE, USWAP_STAGE_PAGES * 4096ull },
		.trash = { CLIENT_TRASH, USWAP_STAGE_HALF_PAGES * 4096ull },
	};

	if (sp->agent || sp->gate != GATE_OPEN)
		return;
	memset(client.stage, 0, sizeof(client.stage));
	client.n_sent = 0;
	has_late = false;
	ASSERT(!space_agent_ready(sp, &hello) || client.dead);
	/* the same again, and one that is nonsense, must be refused */
	ASSERT(space_agent_ready(sp, &hello));
}

static void agent_gone(void)
{
	space_agent_gone(sp);
	ASSERT(space_agent_idle(sp) || client.dead);
	client.n_sent = 0;
	has_late = false;
}

/* What the daemon does with a result. */
static void settle(int r)
{
	ASSERT(r == 0 || r == -EPROTO || (r == SPACE_E_DEAD && client.dead));
	if (r == -EPROTO)
		agent_gone();
}

static void service(void)
{
	int r = space_service(sp);

	ASSERT(r != -EPROTO);
	settle(r);
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* From now on the command's pages are what their owner makes of them. */
static void mark_lied(void)
{
	const struct uswap_msg_detach *m = &client.cmd.detach;

	if (!client.n_sent || client.cmd.head.type != USWAP_MSG_DETACH)
		return;
	for (uint32_t r = 0; r < m->n_runs; r++)
		for (uint32_t i = 0; i < m->run[r].n_pages; i++)
			client.lied[(m->run[r].start - CLIENT_BASE) / 4096 + i] = true;
}

static void answer(const void *msg, size_t len)
{
	uint64_t *copy = malloc(len ? len : 1); /* of its exact size */
	int r;

	ASSERT(copy);
	memcpy(copy, msg, len);
	client.n_sent = 0;
	r = space_answer(sp, copy, len);
	free(copy);
	if (!r)
		ASSERT(space_agent_idle(sp));
	settle(r);
	service();
}

static void answer_populated(struct fuzz_in *in)
{
	struct uswap_msg_populated m = {
		.head = { USWAP_MSG_POPULATED, sizeof(m) },
		.seq = client.cmd.populate.seq,
		.n_done = client.cmd.populate.n_runs,
		.err = fuzz_u8(in) % 4 ? 0 : fuzz_u8(in),
	};

	if (client.n_sent && client.cmd.head.type == USWAP_MSG_POPULATE)
		answer(&m, m.head.len);
}

static void honest_move(uint32_t n_max)
{
	if (has_late || !client.n_sent || client.cmd.head.type != USWAP_MSG_DETACH)
		return;
	client_obey(&client, n_max, &late);
	has_late = true;
}

static void honest_answer(void)
{
	bool revoked = sp->gate == GATE_REVOKED;
	bool cut = client.short_at < USWAP_STAGE_PAGES;

	honest_move(UINT32_MAX);
	if (!has_late || !sp->agent)
		return;
	has_late = false;
	answer(&late, late.head.len);
	ASSERT(sp->agent || cut || client.dead);
	ASSERT(!revoked || client.stage_registered || client.dead);
}

/* Like an honest answer but for what the input says. */
static void false_answer(struct fuzz_in *in)
{
	struct uswap_msg_detached m = late;
	size_t len;

	if (!client.n_sent && !has_late)
		return;
	mark_lied();
	if (!has_late)
		client_obey(&client, fuzz_u8(in), &m);
	has_late = false;
	m.seq += fuzz_u8(in) % 8 ? 0 : fuzz_u64(in);
	m.n_pages = fuzz_u8(in) % 4 ? m.n_pages : fuzz_u32(in);
	m.free_err = fuzz_u8(in) % 4 ? 0 : (int32_t)fuzz_u32(in);
	for (uint32_t n = fuzz_u8(in) % 32; n; n--)
		m.result[fuzz_u8(in)] = fuzz_u8(in) % 16;
	len = offsetof(struct uswap_msg_detached, result) + m.n_pages % 257;
	m.head.len = (uint32_t)len;
	answer(&m, len);
}

/* Bytes: a head that is right half of the time, the rest as it comes. */
static void raw_answer(struct fuzz_in *in)
{
	static union {
		struct uswap_msg_head head;
		struct uswap_msg_detached detached;
		uint8_t bytes[USWAP_MSG_MAX_BYTES];
	} m;
	uint8_t how = fuzz_u8(in);
	size_t len = fuzz_take(in, m.bytes, fuzz_u16(in) % 320);

	mark_lied();
	if (how & 1 && len >= sizeof(m.head))
		m.head.len = (uint32_t)len;
	if (how & 2)
		m.head.type = how & 4 ? USWAP_MSG_DETACHED : USWAP_MSG_POPULATED;
	if (how & 8)
		m.detached.seq = sp->seq;
	answer(m.bytes, len);
}

static void fault(uint32_t nr)
{
	if (client.page[nr].present || client.poisoned[nr])
		return;
	client.fault = true;
	client.fault_page = nr;
	if (sp->gate == GATE_SHUT)
		return;
	service();
	ASSERT(client.page[nr].present || client.poisoned[nr] || sp->n_waiting || client.dead);
}

/* HELLOs that must be refused, whatever the state. */
static void false_hello(struct fuzz_in *in)
{
	struct uswap_msg_hello hello = { .own2 = { CLIENT_OWN2, 775 * 4096 } };

	hello.stage = (struct uswap_range){ CLIENT_STAGE + fuzz_u16(in) % 4096, fuzz_u32(in) };
	hello.trash = (struct uswap_range){ fuzz_u64(in), fuzz_u64(in) };
	if (!sp->agent && sp->gate == GATE_OPEN)
		ASSERT(space_agent_ready(sp, &hello));
	ASSERT(!client.stage_registered || sp->gate != GATE_REVOKED);
}

static void step_daemon(struct fuzz_in *in, uint8_t what)
{
	uint32_t n;

	switch (what) {
	case 0:
	case 1:
		n = space_evict(sp, 1 + fuzz_u8(in));
		ASSERT(!n || (sp->gate == GATE_SHUT && client_cmd_pages(&client) == n));
		if (client.short_at < USWAP_STAGE_PAGES)
			mark_lied();
		break;
	case 2:
		now_ns += (1 + fuzz_u8(in)) * UINT64_C(10000000);
		settle(space_tick(sp));
		break;
	case 3:
		(void)space_unshare(sp, 1 + fuzz_u8(in));
		(void)space_unstick(sp, 1 + fuzz_u8(in));
		break;
	case 4:
		if (sp->gate != GATE_SHUT)
			(void)space_bring_home(sp, (struct urange){ 0, PAGE_MAP_END }, fuzz_u8(in));
		break;
	case 5:
		job_run();
		break;
	case 6:
		group.room_pages = fuzz_u8(in) % 2 ? 1 << 20 : 0;
		if (sp->gate != GATE_SHUT)
			settle(space_retry(sp, (struct slot_id){ 0 }));
		break;
	case 7:
		if (sp->gate == GATE_OPEN)
			settle(space_manage(sp));
		break;
	}
}

static void step_client(struct fuzz_in *in, uint8_t what)
{
	switch (what) {
	case 0:
	case 1:
		honest_answer();
		break;
	case 2:
		honest_move(fuzz_u8(in));
		break;
	case 3:
		if (sp->agent)
			false_answer(in);
		break;
	case 4:
		if (sp->agent)
			raw_answer(in);
		break;
	case 5:
		if (sp->agent)
			answer_populated(in);
		break;
	case 6:
		if (sp->agent)
			agent_gone();
		break;
	case 7:
		false_hello(in);
		agent_attach();
		break;
	case 8:
		client.short_at = fuzz_u16(in) % (USWAP_STAGE_PAGES + 1);
		mark_lied();
		break;
	case 9:
		client.send_fails = fuzz_u8(in) & 1;
		break;
	case 10:
		client.dead = fuzz_u8(in) % 8 == 0;
		break;
	default:
		fault(fuzz_u16(in) % CLIENT_PAGES);
	}
}

static void step(struct fuzz_in *in)
{
	uint8_t what = fuzz_u8(in) % 24;

	if (what < 8)
		step_daemon(in, what);
	else
		step_client(in, what - 8);
	while (n_unpinned && !client.dead && sp->gate != GATE_SHUT)
		settle(space_retry(sp, (struct slot_id){ unpinned[--n_unpinned] }));
	client_check(&client);
	space_check(sp);
}

/* Nothing of the space outlives it but jobs, and nothing of them. */
static void end(void)
{
	struct swap_app_stats stats;

	if (sp->agent)
		agent_gone();
	sp = space_free(sp);
	ASSERT(client.freed);
	while (!list_is_empty(&jobs))
		job_run();
	ASSERT(!group.n_jobs && !group.n_spaces && !group.n_resident);
	swap_app_stats_get(group.app, &stats);
	ASSERT(!stats.n_pages && !stats.n_kept && !stats.n_staged && !stats.stored_bytes);
	n_unpinned = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	struct fuzz_in in = { data, n_bytes };
	uint32_t n;

	daemon_init();
	client_init(&client);
	group.room_pages = 1 << 20;
	group.limit_off = false;
	group.keep_pool = (enum keep_copies)(n_bytes % 3);
	now_ns += UINT64_C(1000000000);
	ASSERT(!space_new(&sp, &group, &client.base));
	has_late = false;
	agent_attach();
	ASSERT(!space_manage(sp));
	for (n = 0; n < MAX_STEPS && in.n_bytes && !client.dead; n++)
		step(&in);
	end();
	return 0;
}
