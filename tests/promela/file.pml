/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * file - writeback into segments, their buffers, completion and failure, loads from buffer and disk, the
 * cleaner, reuse of segments
 *
 * Two slots, two segments of two records. A slot and its entry are one thing here: that they are not is the
 * matter of slot-store.pml. The code is src/core/segment.c, segment-io.c, swap-writeback.c and swap-clean.c;
 * docs/model.md has the table, and says where it does otherwise.
 *
 * RUN two: -DPAGES=2 -DOPS=2 -DEVENTS=1 -DWRITES=2 -DCLEANINGS=0 -DFAILURES=1
 * RUN fail: -DPAGES=1 -DOPS=5 -DEVENTS=1 -DWRITES=2 -DCLEANINGS=0 -DFAILURES=1
 * RUN clean: -DPAGES=1 -DOPS=5 -DEVENTS=1 -DWRITES=2 -DCLEANINGS=1 -DFAILURES=0
 * RUN all: -DPAGES=1 -DOPS=4 -DEVENTS=1 -DWRITES=2 -DCLEANINGS=1 -DFAILURES=1
 */
#include "common.pml"

/* MUTATIONS: number, name, the property that must report it */
#define REUSE_WITH_READ_IN_FLIGHT 1	/* caught by: no_stale_byte same_segment in clean */
#define CLEANER_LETS_GO_AFTER_READ 2	/* caught by: no_stale_byte in clean */
#define PLACE_NOT_COMPARED 3		/* caught by: segment_counted in clean */
#define NO_GENERATION 4			/* caught by: same_slot in clean */
#define FAILED_WRITE_IS_DONE 5		/* caught by: no_stale_byte */
#define BUFFER_DROPPED_AT_SUBMIT 6	/* caught by: no_stale_byte */
#define UNPIN_BEFORE_REHOME 7		/* caught by: pin_exclusive in fail */
#define SUBMIT_WHILE_APPENDING 8	/* caught by: no_stale_byte */
#define FREE_BEFORE_APPEND 9		/* caught by: bytes_alive */
#define PLACE_NOT_GIVEN_BACK 10		/* caught by: no_leak */
#define APPEND_WITHOUT_END 11		/* caught by: deadlock */
#define FAILED_SEGMENT_DROPPED 12	/* caught by: no_leak */
#define KEPT_NOT_PROVEN 13		/* caught by: no_stale_byte in fail */

bool same_segment, no_stale_byte, segment_counted, same_slot, pin_exclusive, bytes_alive, no_leak;

#ifndef OPS
#define PAGES 2		/* in use */
#define OPS 4		/* stores, loads and writes of the program */
#define EVENTS 1	/* that empty a page */
#define WRITES 2	/* picks of the writer */
#define CLEANINGS 1	/* segments that the cleaner reads */
#define FAILURES 1	/* of writes to the file */
#endif
#define NS 2
#define NSEG 2
#define NREC 2
#define MAX_VALUE 3

/* ---- slots, with their entries --------------------------------------------------------------------- */

#define NOWHERE 0
#define POOL 1
#define FILE 2
typedef slot_state {
	bool count;	/* the page map refers to it */
	byte holder;	/* who has the pin; 0: nobody */
	byte gen;
	byte form;
	byte seg;
	byte rec;
	bool kept;
	byte bytes;	/* in the pool; 0: none */
	byte hash
};
slot_state slot[NS];
bool present[NS];
byte memory[NS];	/* what the program must read */
byte last_value = 1;

/* ---- segments -------------------------------------------------------------------------------------- */

#define SEG_FREE 0
#define SEG_OPEN 1
#define SEG_WRITING 2
#define SEG_DONE 3
#define SEG_FAILED 4	/* its buffer serves until all records are back in the pool */
typedef record {
	byte buffer;
	byte disk;
	byte slot;	/* footer */
	byte gen
};
typedef segment {
	byte state;
	byte n;		/* records given out */
	byte live;
	byte n_refs;	/* reads in flight */
	byte n_appending;
	byte life;	/* ghost: one higher each time it is used again */
	record rec[NREC]
};
segment seg[NSEG];
byte failures = FAILURES;
byte n_ops = OPS;	/* of both pages together */
byte n_busy;		/* processes in the middle of something */

/* a segment without a live record; pre: under its lock */
inline seg_settle(g)
{
	if
	:: seg[g].live == 0 && seg[g].n_appending == 0 && (seg[g].state == SEG_DONE || seg[g].state == SEG_FAILED) &&
	   (seg[g].n_refs == 0 || M(REUSE_WITH_READ_IN_FLIGHT)) ->
		seg[g].state = SEG_FREE;
		seg[g].n = 0;
		seg[g].life++;
		seg[g].rec[0].buffer = 0; seg[g].rec[0].disk = 0; seg[g].rec[0].slot = 0; seg[g].rec[0].gen = 0;
		seg[g].rec[1].buffer = 0; seg[g].rec[1].disk = 0; seg[g].rec[1].slot = 0; seg[g].rec[1].gen = 0
	:: else
	fi
}

/* the place of a record that is no longer anybody's */
inline seg_release(g)
{
	if
	:: M(PLACE_NOT_GIVEN_BACK)
	:: else ->
		must(seg[g].live > 0, segment_counted);
		seg[g].live--;
		seg_settle(g)
	fi
}

/* ---- slots ----------------------------------------------------------------------------------------- */

#define PINNED_BY_ME(s) must(slot[s].holder == _pid, pin_exclusive)

inline release_bytes(s)
{
	if
	:: slot[s].form == POOL -> slot[s].bytes = 0
	:: slot[s].form == FILE ->
		old = slot[s].seg;
		seg_release(old);
		old = 0
	:: else
	fi;
	slot[s].form = NOWHERE;
	slot[s].seg = 0;
	slot[s].rec = 0;
	slot[s].kept = 0;
	slot[s].hash = 0
}

/* the last count, or the unpin of a slot that has none */
inline slot_close(s)
{
	release_bytes(s);
	slot[s].gen++
}

inline slot_unpin(s)
{
	d_step {
		PINNED_BY_ME(s);
		slot[s].holder = 0;
		if
		:: !slot[s].count -> slot_close(s)
		:: else
		fi
	}
}

/* ---- stores, loads, events ---------------------------------------------------------------------------- */

/* evict, swap_put() and compression: the page leaves, its bytes are in the pool */
inline store(p)
{
	atomic {
		slot[p].holder == 0 || !present[p] ->
		if
		:: !present[p] -> skip	/* emptied meanwhile */
		:: else ->
		slot[p].holder = _pid;
		present[p] = 0;
		if
		:: slot[p].count && slot[p].kept && (slot[p].hash == memory[p] || M(KEPT_NOT_PROVEN)) ->
			slot[p].kept = 0
		:: else ->
			release_bytes(p);
			slot[p].form = POOL;
			slot[p].bytes = memory[p];
			slot[p].hash = memory[p]
		fi;
		slot[p].count = 1
		fi
	};
	if
	:: slot[p].holder == _pid -> slot_unpin(p)
	:: else
	fi
}

inline load(p)
{
	if
	:: atomic { slot[p].count && slot[p].holder == 0 -> slot[p].holder = _pid };
		d_step {
			PINNED_BY_ME(p);
			must(slot[p].form != NOWHERE && !slot[p].kept, bytes_alive);
			g = slot[p].seg;
			r = slot[p].rec;
			reads_disk = 0;
			if
			:: slot[p].form == POOL ->
				must(slot[p].bytes != 0, bytes_alive);
				value = slot[p].bytes
			:: slot[p].form == FILE && seg[g].state != SEG_DONE &&
			   !(M(BUFFER_DROPPED_AT_SUBMIT) && seg[g].state == SEG_WRITING) ->
				value = seg[g].rec[r].buffer	/* copied under the segment's lock */
			:: else ->
				must(seg[g].state != SEG_FREE, segment_counted);
				reads_disk = 1;
				seg[g].n_refs++;
				life = seg[g].life
			fi
		};
		if
		:: reads_disk ->
			d_step {	/* the read completes */
				must(seg[g].life == life, same_segment);
				value = seg[g].rec[r].disk;
				seg[g].n_refs--;
				seg_settle(g)
			}
		:: else
		fi;
		must(!slot[p].count || value == memory[p], no_stale_byte);
		if
		:: !slot[p].count	/* an event took it meanwhile */
		:: slot[p].count	/* UFFDIO_COPY refused */
		:: atomic { slot[p].count -> present[p] = 1; slot[p].kept = 1 }
		:: atomic { slot[p].count -> present[p] = 1; slot[p].count = 0 }
		fi;
		slot_unpin(p)
	:: !slot[p].count
	fi;
	d_step { g = 0; r = 0; value = 0; life = 0; reads_disk = 0 }
}

proctype owner_of_page(byte p)
{
	byte g, r, value, life, old;
	bool reads_disk;

end:	do
	:: atomic { n_ops > 0 && present[p] && slot[p].holder == 0 -> n_ops--; n_busy++ };
		store(p);
		n_busy--
	:: atomic { n_ops > 0 && !present[p] && slot[p].count && slot[p].holder == 0 -> n_ops--; n_busy++ };
		load(p);
		n_busy--
	:: atomic { n_ops > 0 && present[p] && last_value < MAX_VALUE ->
			n_ops--;
			last_value++;
			memory[p] = last_value }
	:: atomic { n_ops > 0 && !present[p] && !slot[p].count && slot[p].holder == 0 && last_value < MAX_VALUE ->
			n_ops--;
			last_value++;
			memory[p] = last_value;
			present[p] = 1 }
	od
}

/* event_forget() while anybody may have the pin; a kept page is unmapped as well */
proctype events()
{
	byte n = EVENTS;
	byte s, old;

end:	do
	:: atomic { n > 0 && (slot[0].count || slot[1].count) ->
			n--;
			if
			:: slot[0].count -> s = 0
			:: slot[1].count -> s = 1
			fi;
			slot[s].count = 0;
			present[s] = 0;
			if
			:: slot[s].holder == 0 -> slot_close(s)
			:: else
			fi;
			s = 0
		}
	od
}

/* ---- the writer ---------------------------------------------------------------------------------------- */

#define HAS_ROOM(x) (x != not_in && ((seg[x].state == SEG_OPEN && seg[x].n < NREC) || seg[x].state == SEG_FREE))

/* reserve a record of the open segment; g == NSEG: there is none */
inline seg_reserve(s)
{
	atomic {
		if
		:: g = (HAS_ROOM(0) -> 0 : (HAS_ROOM(1) -> 1 : NSEG))
		:: g = NSEG	/* the file is full */
		fi;
		if
		:: g < NSEG ->
			seg[g].state = SEG_OPEN;
			r = seg[g].n;
			seg[g].n++;
			seg[g].live++;
			seg[g].n_appending++
		:: else
		fi
	}
}

inline seg_fill(s, v)
{
	d_step {
		seg[g].rec[r].buffer = v;
		seg[g].rec[r].slot = s;
		seg[g].rec[r].gen = slot[s].gen
	}
}

/* by one store */
inline publish_file(s)
{
	PINNED_BY_ME(s);
	slot[s].form = FILE;
	slot[s].seg = g;
	slot[s].rec = r
}

inline slot_try_pin_ref(s, wanted_gen)
{
	d_step {
		pinned = 0;
		if
		:: slot[s].count && slot[s].holder == 0 && (slot[s].gen == wanted_gen || M(NO_GENERATION)) ->
			slot[s].holder = _pid;
			pinned = 1
		:: else
		fi
	}
}

inline write_picked()
{
	slot_try_pin_ref(s, gen);
	if
	:: pinned ->
		d_step {
			must(slot[s].gen == gen, same_slot);
			pinned = (slot[s].form == POOL && !slot[s].kept);
			if
			:: pinned ->
				must(slot[s].form == POOL && slot[s].bytes != 0, bytes_alive);
				value = slot[s].bytes;
				if
				:: M(FREE_BEFORE_APPEND) -> slot[s].bytes = 0
				:: else
				fi
			:: else
			fi
		};
		if
		:: pinned ->
			seg_reserve(s);
			if
			:: g < NSEG ->
				seg_fill(s, value);
				d_step {
					publish_file(s);
					slot[s].bytes = 0
				};
				if
				:: !M(APPEND_WITHOUT_END) -> seg[g].n_appending--
				:: else
				fi
			:: else
			fi
		:: else
		fi;
		slot_unpin(s)
	:: else
	fi;
	d_step { s = 0; g = 0; r = 0; gen = 0; value = 0; pinned = 0; n_busy-- }
}

proctype writer()
{
	byte s, gen, g, r, value, old;
	byte not_in = NSEG;
	byte n = WRITES;
	bool pinned;

end:	do
	:: atomic { n > 0 && (slot[0].form == POOL || slot[1].form == POOL) ->
			n--;
			n_busy++;
			if	/* the LRU: any entry */
			:: slot[0].form == POOL -> s = 0
			:: slot[1].form == POOL -> s = 1
			fi;
			gen = slot[s].gen
		};
		write_picked()
	od
}

/* ---- submission, completion, failure ------------------------------------------------------------------ */

/* a failed write: its records go back into the pool, pin first, like any other change of place */
inline rehome(x)
{
	i = 0;
	do
	:: i < NREC && i < seg[x].n ->
		s = seg[x].rec[i].slot;
		gen = seg[x].rec[i].gen;
		do	/* who has the pin will unpin: try again */
		:: atomic { slot[s].gen != gen || !slot[s].count || slot[s].form != FILE || slot[s].seg != x ||
			slot[s].rec != i -> break }
		:: else ->
			slot_try_pin_ref(s, gen);
			if
			:: pinned ->
				if
				:: slot[s].form == FILE && slot[s].seg == x && slot[s].rec == i ->
					value = seg[x].rec[i].buffer;
					if
					:: M(UNPIN_BEFORE_REHOME) -> slot_unpin(s)
					:: else
					fi;
					d_step {
						PINNED_BY_ME(s);
						slot[s].form = POOL;
						slot[s].seg = 0;
						slot[s].rec = 0;
						slot[s].bytes = value
					};
					atomic { seg_release(x) }
				:: else
				fi;
				slot_unpin(s)
			:: else -> slot[s].holder == 0
			fi
		od;
		i++
	:: else -> break
	od;
	atomic { s = 0; gen = 0; value = 0; i = 0; pinned = 0 }
}

proctype disk_of_segment(byte x)
{
	byte s, gen, value, i, old;
	bool pinned;

end:	do
	/* full, or flushed; no record may still be on its way into the buffer */
	:: atomic { seg[x].state == SEG_OPEN && seg[x].n > 0 && (seg[x].n_appending == 0 || M(SUBMIT_WHILE_APPENDING)) ->
			seg[x].state = SEG_WRITING };
		if
		:: atomic { !(failures > 0 && M(FAILED_WRITE_IS_DONE)) ->
			seg[x].rec[0].disk = seg[x].rec[0].buffer;
			seg[x].rec[1].disk = seg[x].rec[1].buffer;
			seg[x].rec[0].buffer = 0;
			seg[x].rec[1].buffer = 0;
			seg[x].state = SEG_DONE;
			seg_settle(x) }
		:: atomic { failures > 0 -> failures--;
			if
			:: M(FAILED_WRITE_IS_DONE) ->
				seg[x].rec[0].buffer = 0;
				seg[x].rec[1].buffer = 0;
				seg[x].state = SEG_DONE
			:: M(FAILED_SEGMENT_DROPPED) ->
				seg[x].live = 0;
				seg[x].state = SEG_FAILED;
				seg_settle(x)
			:: else -> seg[x].state = SEG_FAILED
			fi };
			if
			:: !M(FAILED_WRITE_IS_DONE) -> rehome(x)
			:: else
			fi;
			atomic { seg_settle(x) }
		fi
	od
}

/* ---- the cleaner --------------------------------------------------------------------------------------- */

inline move_record(i)
{
	s = foot_slot[i];
	slot_try_pin_ref(s, foot_gen[i]);
	if
	:: pinned ->
		must(slot[s].gen == foot_gen[i], same_slot);
		if
		:: (slot[s].form == FILE && slot[s].seg == not_in && slot[s].rec == i) ||
		   (M(PLACE_NOT_COMPARED) && slot[s].form != NOWHERE) ->
			seg_reserve(s);
			if
			:: g < NSEG ->
				seg_fill(s, copy[i]);
				d_step {
					publish_file(s);
					seg_release(not_in)
				};
				seg[g].n_appending--
			:: else
			fi
		:: else
		fi;
		slot_unpin(s)
	:: else
	fi;
	d_step { s = 0; g = 0; r = 0; pinned = 0 }
}

proctype cleaner()
{
	byte s, g, r, old, life;
	byte foot_slot[NREC], foot_gen[NREC], copy[NREC], n_rec;
	byte not_in = NSEG;	/* the segment that is emptied */
	byte n = CLEANINGS;
	bool pinned;

end:	do
	:: atomic { n > 0 && (seg[0].state == SEG_DONE || seg[1].state == SEG_DONE) ->
			n--;
			n_busy++;
			if
			:: seg[0].state == SEG_DONE -> not_in = 0
			:: seg[1].state == SEG_DONE -> not_in = 1
			fi;
			seg[not_in].n_refs++;
			life = seg[not_in].life;
			n_rec = seg[not_in].n
		};
		d_step {	/* the read completes */
			must(seg[not_in].life == life, same_segment);
			foot_slot[0] = seg[not_in].rec[0].slot;
			foot_slot[1] = seg[not_in].rec[1].slot;
			foot_gen[0] = seg[not_in].rec[0].gen;
			foot_gen[1] = seg[not_in].rec[1].gen;
			copy[0] = seg[not_in].rec[0].disk;
			copy[1] = seg[not_in].rec[1].disk;
			if
			:: M(CLEANER_LETS_GO_AFTER_READ) -> seg[not_in].n_refs--; seg_settle(not_in)
			:: else
			fi
		};
		move_record(0);
		if
		:: n_rec > 1 -> move_record(1)
		:: else
		fi;
		d_step {
			if
			:: M(CLEANER_LETS_GO_AFTER_READ)
			:: else -> seg[not_in].n_refs--; seg_settle(not_in)
			fi;
			n_busy--;
			not_in = NSEG; life = 0; n_rec = 0;
			foot_slot[0] = 0; foot_slot[1] = 0; foot_gen[0] = 0; foot_gen[1] = 0; copy[0] = 0; copy[1] = 0
		}
	od
}

#define IN_SEG(s, x) (slot[s].form == FILE && slot[s].seg == x)

init {
	atomic {
		/* the pages are in the pool */
		memory[0] = 1; slot[0].count = 1; slot[0].form = POOL; slot[0].bytes = 1; slot[0].hash = 1;
		if
		:: PAGES > 1 ->
			memory[1] = 1; slot[1].count = 1; slot[1].form = POOL; slot[1].bytes = 1; slot[1].hash = 1;
			run owner_of_page(1)
		:: else
		fi;
		run owner_of_page(0);
		run events();
		run writer();
		run cleaner();
		run disk_of_segment(0);
		run disk_of_segment(1)
	};
	/* in the end each segment has the records that entries say are there, and none is left over */
	atomic {
		n_busy == 0 && (seg[0].state == SEG_FREE || seg[0].state == SEG_DONE) &&
			(seg[1].state == SEG_FREE || seg[1].state == SEG_DONE) ->
		must(seg[0].live == IN_SEG(0, 0) + IN_SEG(1, 0) && seg[1].live == IN_SEG(0, 1) + IN_SEG(1, 1), no_leak);
		must((seg[0].state == SEG_FREE) == (seg[0].live == 0), no_leak)
	}
}
