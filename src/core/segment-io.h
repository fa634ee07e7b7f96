/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * segment-io - the ways of a whole segment: to the disk, out of it, and its room given back
 *
 * Each way is a pair of begin and end; in between the segment is the caller's, by its state.
 *
 * Ownership: as of segment.h.
 * Threads:   any; a job belongs to who began it.
 */
#ifndef USWAP_CORE_SEGMENT_IO_H
#define USWAP_CORE_SEGMENT_IO_H

#include "core/segment.h"

/* A segment somebody works on. */
struct segment_job {
	uint32_t segment;
	uint64_t offset; /* in the file */
	uint8_t *bytes;	 /* its buffer; NULL: none */
	uint32_t n_bytes;
};

enum segment_write_end {
	SEGMENT_WRITTEN,
	SEGMENT_BAD_PLACE, /* try another */
	SEGMENT_DISK_FULL, /* try one that has room already */
	SEGMENT_GIVE_UP,
};

int segs_write_begin(struct segs *t, struct segment_job *ret_job); /* 0; SEGMENT_E_NONE */
/* Return: true: it will not be written, its records have to leave (FAILED). */
bool segs_write_end(struct segs *t, uint32_t segment, enum segment_write_end end);

/*
 * The FAILED segment after @after (0: the first). Its refs are those of its buffer, which nobody adds
 * to any more. One thread at a time. Return: 0: none.
 */
uint32_t segs_failed(struct segs *t, uint32_t after, const struct segment_buf **ret_buf);
uint32_t segs_failed_end(struct segs *t, uint32_t segment); /* 0: all left. Return: records */

/*
 * A segment on the disk that is worth cleaning: of those with at most @max_live_pct percent of live
 * bytes the one with the best (1 - u) * age / (1 + u). When retiring: any.
 * Return: 0, CLEANING; SEGMENT_E_NONE.
 */
int segs_clean_begin(struct segs *t, uint32_t max_live_pct, struct segment_job *ret_job);
enum segment_clean_end {
	SEGMENT_CLEANED,
	SEGMENT_UNCLEANABLE, /* not chosen again, but to be retired */
	SEGMENT_STUCK,	     /* nor for that */
};
void segs_clean_end(struct segs *t, uint32_t segment, enum segment_clean_end end);

/* Not the last @n_keep: those are used again soon. Return: 0; SEGMENT_E_NONE. */
int segs_punch_begin(struct segs *t, uint32_t n_keep, struct segment_job *ret_job);
void segs_punch_end(struct segs *t, uint32_t segment, bool done);

void segs_flush(struct segs *t); /* close open segments that have a record: they will be written */
void segs_allow_growth(struct segs *t); /* the disk may have room again */
/* Nothing is written any more; what is not on the disk is FAILED. */
void segs_stop(struct segs *t);
void segs_retire(struct segs *t); /* and what is on it has to leave, too */
bool segs_is_retiring(struct segs *t);

struct swap_file_stats;
void segs_stats_get(struct segs *t, struct swap_file_stats *ret);

/* ---- footers -------------------------------------------------------------------------------- */

/*
 * The refs in a segment's bytes as they were read; deciphered in place.
 * Return: NULL: not this segment's, or damaged.
 */
const struct segment_ref *segment_footer_open(struct segs *t, uint32_t segment, uint8_t *bytes,
					      uint32_t *ret_n);

#endif
