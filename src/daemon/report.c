// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Figures: the summary for the front, JSON for --stats and for `uswap status`.
 *
 * A stats file is written beside its name and renamed, so that a reader never sees half of one.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/worker-impl.h"

void report_summary(struct worker *w)
{
	struct worker_summary *s = &w->o->shared->summary;
	const struct budget *b = &w->budget;
	const struct space_stats *st = &w->group.stats;
	struct swap_app_stats a;

	swap_app_stats_get(w->group.app, &a);
	s->peak_bytes = b->peak_pages * PAGE_BYTES;
	s->peak_resident_bytes = b->at_peak.rss_pages * PAGE_BYTES;
	s->peak_stored_bytes = b->at_peak.pool_pages * PAGE_BYTES;
	s->peak_meta_bytes = b->at_peak.meta_pages * PAGE_BYTES;
	s->raw_bytes = a.compressed_in_bytes;
	s->stored_bytes = a.compressed_out_bytes;
	s->n_faults = st->n_faults;
	s->fault_p50_ns = latency_ns(&st->latency, 0.5);
	s->fault_p99_ns = latency_ns(&st->latency, 0.99);
	if (w->backing.is_open) {
		struct store_stats f;

		store_stats_get(w->backing.store, &f);
		s->peak_file_bytes = w->backing.peak_bytes;
		s->n_file_faults = st->n_file_faults;
		s->file_p50_ns = latency_ns(&st->file_latency, 0.5);
		s->written_bytes = f.written_bytes;
	}
}

static json_t *integer(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *faults_json(const struct space_stats *s)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "served",
			 (json_int_t)s->n_faults, "first_touch", (json_int_t)s->n_zero_faults,
			 "load", (json_int_t)s->n_load_faults, "readahead_pages",
			 (json_int_t)s->n_ahead, "zero_ahead_pages", (json_int_t)s->n_zero_ahead,
			 "parked", (json_int_t)s->n_parked, "delayed_for_room",
			 (json_int_t)s->n_delayed, "refused_events", (json_int_t)s->n_again,
			 "adopted", (json_int_t)s->n_adopted, "overflow", (json_int_t)s->n_overflow,
			 "p50_ns", (json_int_t)latency_ns(&s->latency, 0.5), "p90_ns",
			 (json_int_t)latency_ns(&s->latency, 0.9), "p99_ns",
			 (json_int_t)latency_ns(&s->latency, 0.99));
}

static json_t *evictions_json(const struct space_stats *s)
{
	return json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "pages",
		(json_int_t)s->n_evicted, "as_relatives_have_them", (json_int_t)s->n_shared_same,
		"not_as_relatives_have_them", (json_int_t)s->n_shared_changed, "commands",
		(json_int_t)s->n_commands, "refused_busy", (json_int_t)s->n_busy, "refused_hole",
		(json_int_t)s->n_hole, "refused_mapping", (json_int_t)s->n_invalid,
		"moved_uncounted", (json_int_t)s->n_uncounted, "gates_revoked",
		(json_int_t)s->n_revoked, "forks", (json_int_t)s->n_forks, "events_out_of_order",
		(json_int_t)s->n_held, "hand_leaves", (json_int_t)s->n_hand_leaves,
		"hand_found_nothing", (json_int_t)s->n_hand_empty);
}

static json_t *store_json(struct worker *w)
{
	struct swap_app_stats a;
	struct swap_stats s;
	uint64_t meta_bytes;

	swap_app_stats_get(w->group.app, &a);
	swap_stats_get(w->swap, &s);
	meta_bytes = s.meta_bytes + page_map_arenas_bytes(&w->group.arenas);
	return json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
		"pages", (json_int_t)a.n_pages, "staged_pages", (json_int_t)a.n_staged,
		"same_filled_pages", (json_int_t)a.n_filled, "incompressible_pages",
		(json_int_t)a.n_raw, "zstd_pages", (json_int_t)a.n_zstd, "kept_pages",
		(json_int_t)a.n_kept, "stored_bytes", (json_int_t)a.stored_bytes, "kept_bytes",
		(json_int_t)a.kept_bytes, "pool_bytes", (json_int_t)s.pool_bytes, "pool_used_bytes",
		(json_int_t)s.pool_used_bytes, "meta_bytes", (json_int_t)meta_bytes, "buffer_bytes",
		(json_int_t)s.buf_bytes, "put", (json_int_t)a.n_put, "put_unchanged",
		(json_int_t)a.n_put_unchanged, "put_changed", (json_int_t)a.n_put_changed, "loaded",
		(json_int_t)a.n_load, "codec_in_bytes", (json_int_t)a.compressed_in_bytes,
		"codec_out_bytes", (json_int_t)a.compressed_out_bytes);
}

static json_t *file_json(struct worker *w)
{
	const struct space_stats *s = &w->group.stats;
	const struct writeback *wb = &w->writeback;
	struct swap_file_stats f;
	struct swap_app_stats a;
	struct reader_stats rd;
	struct store_stats st;
	json_t *o = json_object();

	swap_file_stats_get(w->swap, &f);
	swap_app_stats_get(w->group.app, &a);
	store_stats_get(w->backing.store, &st);
	reader_stats_get(w->backing.reader, &rd);
	json_object_set_new(o, "policy", json_string(wb->policy->name));
	json_object_set_new(o, "max_bytes", integer(w->backing.max_bytes));
	json_object_set_new(o, "peak_bytes", integer(w->backing.peak_bytes));
	json_object_set_new(o, "pages", integer(a.n_file));
	json_object_set_new(o, "kept_pages", integer(a.n_file_kept));
	json_object_set_new(o, "compressed_bytes", integer(a.file_bytes));
	json_object_set_new(o, "live_bytes", integer(f.live_bytes));
	json_object_set_new(o, "room_bytes", integer(f.room_bytes));
	json_object_set_new(o, "segments_used", integer(f.n_used));
	json_object_set_new(o, "segments_free", integer(f.n_free));
	json_object_set_new(o, "segments_bad", integer(f.n_bad));
	json_object_set_new(o, "written_back_pages", integer(a.n_writeback));
	json_object_set_new(o, "written_back_bytes", integer(a.writeback_bytes));
	json_object_set_new(o, "met_loads", integer(a.n_writeback_warm));
	json_object_set_new(o, "met_pins", integer(a.n_writeback_busy));
	json_object_set_new(o, "found_full", integer(a.n_writeback_full));
	json_object_set_new(o, "held_back_by_rate", integer(load_relaxed(&wb->n_held_back)));
	json_object_set_new(o, "rehomed_pages", integer(a.n_rehomed));
	json_object_set_new(o, "written_bytes", integer(st.written_bytes));
	json_object_set_new(o, "write_errors", integer(st.n_write_errors));
	json_object_set_new(o, "disk_full", integer(st.n_disk_full));
	json_object_set_new(o, "cleaned_segments", integer(st.n_cleaned));
	json_object_set_new(o, "cleaned_pages", integer(st.n_cleaned_pages));
	json_object_set_new(o, "punched_bytes", integer(st.punched_bytes));
	json_object_set_new(o, "stopped_by",
			    st.stopped_errno ? json_string(strerror(abs(st.stopped_errno)))
					     : json_null());
	json_object_set_new(o, "read_pages", integer(rd.n_reads));
	json_object_set_new(o, "reads", integer(rd.n_ios));
	json_object_set_new(o, "read_bytes", integer(rd.n_bytes));
	json_object_set_new(o, "read_errors", integer(rd.n_errors));
	json_object_set_new(o, "faults", integer(s->n_file_faults));
	json_object_set_new(o, "readahead_pages", integer(s->n_file_ahead));
	json_object_set_new(o, "faults_queued", integer(s->n_file_waits));
	json_object_set_new(o, "early_loads", integer(s->n_file_early));
	json_object_set_new(o, "early_loads_used", integer(s->n_file_joined));
	json_object_set_new(o, "p50_ns", integer(latency_ns(&s->file_latency, 0.5)));
	json_object_set_new(o, "p99_ns", integer(latency_ns(&s->file_latency, 0.99)));
	return o;
}

static json_t *limit_json(const struct worker *w)
{
	const struct budget *b = &w->budget;
	json_t *o = json_object();

	if (b->limit_pages != UINT64_MAX)
		json_object_set_new(o, "limit_bytes", integer(w->o->limit_bytes));
	if (b->resident_pages != UINT64_MAX)
		json_object_set_new(o, "resident_limit_bytes", integer(w->o->resident_bytes));
	if (b->pool_pages != UINT64_MAX)
		json_object_set_new(o, "pool_limit_bytes", integer(w->o->pool_bytes));
	json_object_set_new(o, "peak_bytes", integer(b->peak_pages * PAGE_BYTES));
	json_object_set_new(o, "peak_resident_bytes", integer(b->peak_rss_pages * PAGE_BYTES));
	json_object_set_new(o, "peak_pool_bytes", integer(b->peak_store_pages * PAGE_BYTES));
	json_object_set_new(o, "peak_meta_bytes", integer(b->peak_meta_pages * PAGE_BYTES));
	json_object_set_new(o, "peak_over_bytes", integer(b->max_over_pages * PAGE_BYTES));
	json_object_set_new(o, "let_in_above_limit", integer(b->n_forced));
	json_object_set_new(o, "cannot_be_held",
			    !b->over_ns		 ? json_null()
			    : budget_is_stuck(w) ? json_string("resident pages cannot leave")
						 : json_string("data does not compress enough"));
	return o;
}

static json_t *processes_json(const struct worker *w)
{
	const struct space *sp;
	json_t *list = json_array();

	list_for_each(sp, &w->group.spaces, link) {
		json_t *o = json_object();

		json_object_set_new(o, "pid", sp->pid ? json_integer(sp->pid) : json_null());
		json_object_set_new(o, "resident_bytes", integer(sp->rss_anon_pages * PAGE_BYTES));
		json_object_set_new(o, "managed_bytes", integer(region_bytes(&sp->regions)));
		json_object_set_new(o, "evicted_pages", integer(sp->map.n_slots));
		json_object_set_new(o, "evictable", json_boolean(sp->agent && !sp->homing));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *report_json(struct worker *w)
{
	const struct space_stats *s = &w->group.stats;
	struct swap_app_stats a;
	json_t *o = json_object();

	swap_app_stats_get(w->group.app, &a);
	json_object_set_new(o, "version", json_string(USWAP_VERSION));
	json_object_set_new(o, "running_ms", integer((clock_now_ns() - w->start_ns) / 1000000));
	json_object_set_new(o, "memory", limit_json(w));
	json_object_set_new(o, "placement", json_string(place_way(w)));
	json_object_set_new(o, "raw_bytes", integer((a.n_pages - a.n_staged) * PAGE_BYTES));
	json_object_set_new(o, "resident_bytes", integer(w->budget.rss_pages * PAGE_BYTES));
	json_object_set_new(o, "faults", faults_json(s));
	json_object_set_new(o, "evictions", evictions_json(s));
	json_object_set_new(o, "store", store_json(w));
	json_object_set_new(o, "file", w->backing.is_open ? file_json(w) : json_null());
	json_object_set_new(o, "lost_pages", integer(a.n_lost));
	json_object_set_new(o, "poisoned_pages", integer(s->n_poisoned));
	json_object_set_new(o, "processes", processes_json(w));
	return o;
}

static char *report_make(struct worker *w, bool final)
{
	json_t *o = report_json(w);
	char *text;

	json_object_set_new(o, "final", json_boolean(final));
	text = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(o);
	return text;
}

char *report_text(struct worker *w)
{
	return report_make(w, false);
}

static int text_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	int r = 0;

	if (!f)
		return -errno;
	if (fputs(text, f) == EOF || fflush(f))
		r = -errno;
	fclose(f);
	return r;
}

/* Whoever reads sees a whole one: this, or the one before. */
static void report_replace(const struct worker *w, const char *text)
{
	char path[4096];
	int r;

	if (snprintf(path, sizeof(path), "%s.%d", w->o->stats_path, getpid()) >= (int)sizeof(path))
		return;
	r = text_write(path, text);
	if (!r && rename(path, w->o->stats_path))
		r = -errno;
	if (r) {
		log_warn("cannot write %s: %s", w->o->stats_path, strerror(-r));
		unlink(path);
	}
}

static void report_write(struct worker *w, char *text, bool final)
{
	struct report *r = &w->report;

	pthread_mutex_lock(&r->lock);
	if (text && !r->is_final)
		report_replace(w, text);
	r->is_final |= final;
	pthread_mutex_unlock(&r->lock);
	free(text);
}

void report_init(struct worker *w)
{
	pthread_mutex_init(&w->report.lock, NULL);
}

void report_deinit(struct worker *w)
{
	free(load_relaxed(&w->report.next)); /* the last thread */
	pthread_mutex_destroy(&w->report.lock);
}

void report_post(struct worker *w)
{
	free(exchange_acq_rel(&w->report.next, report_make(w, false))); /* pairs with the other */
	if (!w->compress.upkeep_runs)
		report_write_posted(w);
}

void report_write_posted(struct worker *w)
{
	char *text = load_relaxed(&w->report.next); /* relaxed: is there any? */

	if (text)
		report_write(w, exchange_acq_rel(&w->report.next, NULL), false); /* pairs, too */
}

void report_write_final(struct worker *w)
{
	if (w->o->stats_path)
		report_write(w, report_make(w, true), true);
}
