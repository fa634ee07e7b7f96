/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slot-store - pin, tree, LRU, load, store, compression, recompression, compaction, dropping of
 * clean copies, events, fork's shared slots, closing, area retirement, reuse of ids
 *
 * One area with two slots, two entries, two pool objects and one to move to, two staging buffers, the
 * page maps of a parent and its fork child. Each atomic block is one atomic step of the C code: one
 * compare-and-swap of a slot's word, or one critical section. docs/model.md has the table.
 *
 * RUN all: -DOPS=4 -DROUNDS=1 -DFORKS=1 -DEVENTS=1
 * RUN kept: -DOPS=5 -DROUNDS=1 -DFORKS=0 -DEVENTS=0
 */
#include "common.pml"

/* MUTATIONS: number, name, the property that must report it */
#define ORIGINAL_ORDER 1	/* caught by: entry_alive tree_alive */
#define NO_GENERATION 2		/* caught by: same_slot */
#define NO_RECHECK 3		/* caught by: entry_alive */
#define WAITER_NOT_ATOMIC 4	/* caught by: deadlock */
#define ERASE_BEFORE_INSTALL 5	/* caught by: entry_not_lost */
#define UNPIN_BEFORE_REHOME 6	/* caught by: pin_exclusive */
#define DROP_IGNORES_PIN 7	/* caught by: pin_exclusive */
#define KEPT_NOT_PROVEN 8	/* caught by: no_stale_byte in kept */
#define RETIRE_BEFORE_CLOSE 9	/* caught by: tree_empty */
#define CLOSE_LEAVES_ENTRY 10	/* caught by: tree_empty */
#define KEEP_SHARED 11		/* caught by: entry_not_lost */
#define FORK_WITHOUT_COUNT 12	/* caught by: counted */
#define LRU_AFTER_FREE 13	/* caught by: entry_alive */
#define STAGED_NOT_COMPARED 14	/* caught by: bytes_alive */
#define FORK_KEEPS_KEPT 15	/* caught by: kept_alone */
#define PARKED_NOT_TOLD 16	/* caught by: deadlock */
#define ENTRY_BEFORE_BYTES 17	/* caught by: entry_alive */

bool tree_alive, same_slot, entry_alive, pin_exclusive, no_stale_byte, tree_empty, entry_not_lost, counted,
	bytes_alive, kept_alone;

#ifndef OPS
#define OPS 4		/* what owner and program do, in all */
#define ROUNDS 1	/* passes of the background thread */
#define FORKS 1		/* the program may fork, once */
#define EVENTS 1	/* it may empty its pages */
#endif
#define NS 2
#define NE 2
#define NH 3
#define NB 2
#define NM 2
#define MAX_VALUE 3

/* src/core/slot.c: one word per slot; the fields change together, in atomic steps */
#define PIN_NONE 0
#define PIN_STORE 1
#define PIN_LOAD 2
#define PIN_MOVE 3
#define PIN_CLOSE 7
typedef slot_word {
	byte count;
	byte pin;
	bool waiter;
	bool kept;
	byte gen;
	byte holder	/* ghost: process that has the pin */
};
slot_word word[NS];

/* src/core/area.c */
#define AREA_RETIRED 0
#define AREA_LISTED 1
#define AREA_UNLINKED 2	/* on its way from one to the other */
byte area = AREA_LISTED;
byte area_life;		/* ghost: one higher each time it is given out again */
bool used[NS];
byte tree[NS];		/* entry + 1 */

/* src/core/entry.h */
#define STAGED 1
#define PACKED 2	/* LZ4, ZSTD, RAW: bytes in the pool */
typedef entry {
	bool live;
	bool linked;
	byte slot;
	byte hash;	/* an ideal one: the value itself */
	byte form;
	byte loc;
	bool kept
};
entry ent[NE];

typedef object {
	byte owner;	/* entry + 1; 0: free */
	byte value;
	bool isolated
};
object pool[NH];

typedef stage_buffer {
	byte n_refs;
	byte value
};
stage_buffer buf[NB];

/* the page maps, and the program's memory as it must read: 0 is the zero page */
byte map_slot[NM];	/* slot + 1 */
bool present[NM];
byte memory[NM];
byte parked[NM];	/* slot + 1 */
byte last_value = 1;

bool told[NS];		/* the inbox of on_unpinned() */
/* a page's way into the pool; a job whose pin cannot be had goes to the end of the queue */
#define JOB_PUT 0
#define JOB_COMPRESS 1
chan job = [NB] of { bit, byte, byte };

/* ---- slot.c -------------------------------------------------------------------------------------- */

#define OWED_LAST 1
#define OWED_WAITER 2

inline slot_take_pin(s, kind)
{
	word[s].pin = kind;
	word[s].holder = _pid
}

inline slot_drop(s, ret_owed)
{
	d_step {
		must(word[s].count > 0, counted);
		word[s].count--;
		ret_owed = 0;
		if
		:: word[s].count == 0 && (word[s].pin == PIN_NONE || M(DROP_IGNORES_PIN)) ->
			slot_take_pin(s, PIN_CLOSE);
			ret_owed = OWED_LAST
		:: else
		fi
	}
}

inline slot_unpin(s, n_drop, ret_owed)
{
	d_step {
		must(word[s].pin != PIN_NONE && word[s].pin != PIN_CLOSE && word[s].holder == _pid, pin_exclusive);
		must(word[s].count >= n_drop, counted);
		ret_owed = (word[s].waiter -> OWED_WAITER : 0);
		word[s].waiter = 0;
		word[s].count = word[s].count - n_drop;
		if
		:: word[s].count == 0 ->
			slot_take_pin(s, PIN_CLOSE);
			ret_owed = ret_owed + OWED_LAST
		:: else ->
			slot_take_pin(s, PIN_NONE)
		fi
	}
}

#define PINNED_BY_ME(s) must(word[s].pin != PIN_NONE && word[s].holder == _pid, pin_exclusive)

/* ---- area.c, swap-store.c, swap-slot.c ----------------------------------------------------------- */

/* The area of an id is looked up here, so this is where a retired one would be touched. */
inline tree_lookup(s, ret_e)
{
	d_step {
		must(area != AREA_RETIRED, tree_alive);
		ret_e = tree[s]
	}
}

inline bytes_release(form, loc)
{
	d_step {
		if
		:: form == PACKED ->
			must(pool[loc].owner != 0, bytes_alive);
			pool[loc].owner = 0;
			pool[loc].value = 0
		:: else ->
			must(buf[loc].n_refs > 0, bytes_alive);
			buf[loc].n_refs--;
			if
			:: buf[loc].n_refs == 0 -> buf[loc].value = 0
			:: else
			fi
		fi
	}
}

inline entry_free(e)
{
	d_step {
		must(ent[e].live, entry_alive);
		ent[e].live = 0;
		ent[e].slot = 0;
		ent[e].hash = 0;
		ent[e].form = 0;
		ent[e].loc = 0;
		ent[e].kept = 0
	}
}

inline lru_remove(e)
{
	d_step {
		must(ent[e].live && ent[e].linked, entry_alive);
		ent[e].linked = 0
	}
}

/* e: index. Uses the caller's form and loc. */
inline entry_erase(s, e)
{
	d_step {
		PINNED_BY_ME(s);
		must(area != AREA_RETIRED, tree_alive);
		must(ent[e].live && ent[e].slot == s && tree[s] == e + 1, entry_alive);
		form = ent[e].form;
		loc = ent[e].loc;
		tree[s] = 0
	};
	if
	:: M(LRU_AFTER_FREE) ->
		bytes_release(form, loc);
		entry_free(e);
		ent[e].linked = 0
	:: M(ENTRY_BEFORE_BYTES) ->
		lru_remove(e);
		entry_free(e);
		bytes_release(form, loc)
	:: else ->
		lru_remove(e);
		atomic {	/* nothing leads to the entry any more but its bytes */
			bytes_release(form, loc);
			entry_free(e)
		}
	fi
}

inline slot_close(s)
{
	d_step {
		must(word[s].count == 0 && word[s].pin == PIN_CLOSE, pin_exclusive);
		word[s].pin = PIN_NONE;
		word[s].holder = 0;
		word[s].waiter = 0;
		word[s].kept = 0;
		word[s].gen++
	}
}

/* app_slot_give(), under the app's slot lock: whether the area is the app's only one is left open */
inline id_give(s)
{
	atomic {
		used[s] = 0;
		if
		:: !used[0] && !used[1] && area == AREA_LISTED -> area = AREA_UNLINKED
		:: true
		fi
	}
}

/* by who took the area off the list */
inline area_retire()
{
	d_step {
		if
		:: area == AREA_UNLINKED ->
			must(tree[0] == 0 && tree[1] == 0, tree_empty);
			area = AREA_RETIRED
		:: else
		fi
	}
}

inline slot_settle(s, owed)
{
	if
	:: owed & OWED_LAST ->
		if
		:: M(RETIRE_BEFORE_CLOSE) ->
			id_give(s);
			area_retire()
		:: else
		fi;
		tree_lookup(s, e);
		if
		:: e != 0 && !M(CLOSE_LEAVES_ENTRY) -> entry_erase(s, e - 1)
		:: else
		fi;
		if
		:: M(RETIRE_BEFORE_CLOSE) -> slot_close(s)
		:: else ->
			atomic {	/* a word without a count is GONE to all before and after */
				slot_close(s);
				id_give(s)
			};
			area_retire()
		fi
	:: else
	fi;
	d_step {
		if
		:: (owed & OWED_WAITER) && !M(PARKED_NOT_TOLD) -> told[s] = 1
		:: else
		fi;
		e = 0;
		form = 0;
		loc = 0;
		owed = 0
	}
}

/* ---- a compressor: evict_job_put(), evict_job_compress() ----------------------------------------- */

inline swap_put(s, b)
{
	d_step {
		PINNED_BY_ME(s);
		must(area != AREA_RETIRED, tree_alive);
		e = tree[s];
		same = 0;
		if
		:: e != 0 ->
			same = ent[e - 1].kept && (ent[e - 1].hash == buf[b].value || M(KEPT_NOT_PROVEN));
			if
			:: same ->	/* entry_unkeep() */
				ent[e - 1].kept = 0;
				word[s].kept = 0
			:: else
			fi
		:: else
		fi
	};
	if
	:: e != 0 && !same ->
		entry_erase(s, e - 1);
		word[s].kept = 0
	:: else
	fi;
	if
	:: !same ->
		atomic {	/* the entry can be found from here on */
			buf[b].n_refs++;
			if	/* one is reserved for each slot; which one is left open */
			:: !ent[0].live -> e = 0
			:: !ent[1].live -> e = 1
			fi;
			ent[e].live = 1;
			ent[e].hash = buf[b].value;
			ent[e].slot = s;
			ent[e].form = STAGED;
			ent[e].loc = b;
			ent[e].kept = 0;
			must(area != AREA_RETIRED, tree_alive);
			must(tree[s] == 0, entry_alive);
			tree[s] = e + 1
		};
		d_step {
			must(!ent[e].linked, entry_alive);
			ent[e].linked = 1
		}
	:: else
	fi
}

/* where of a pinned entry, and its bytes */
inline entry_where(s, e)
{
	PINNED_BY_ME(s);
	must(ent[e].live && ent[e].slot == s, entry_alive);
	form = ent[e].form;
	loc = ent[e].loc;
	kept = ent[e].kept
}

inline entry_read(s, e, ret_value)
{
	PINNED_BY_ME(s);
	if
	:: form == PACKED ->
		must(pool[loc].owner == e + 1, bytes_alive);
		ret_value = pool[loc].value
	:: else ->
		must(buf[loc].n_refs > 0, bytes_alive);
		ret_value = buf[loc].value
	fi;
	must(ret_value == ent[e].hash, no_stale_byte)
}

/* entry_rehome(): by one store, then the old bytes go. new: pool object */
inline entry_publish_place(s, e, new)
{
	d_step {
		PINNED_BY_ME(s);
		must(ent[e].live && ent[e].slot == s, entry_alive);
		ent[e].form = PACKED;
		ent[e].loc = new
	}
}

#define OBJECT_MOVABLE(h) (pool[h].owner != 0 && !pool[h].isolated)
#define OBJECT_FREE(h) (pool[h].owner == 0 && !pool[h].isolated)

/* pool_alloc() and the copy: the object cannot be found before it is published */
inline pool_alloc_copy(s, e)
{
	entry_read(s, e, value);
	new = (OBJECT_FREE(0) -> 0 : (OBJECT_FREE(1) -> 1 : (OBJECT_FREE(2) -> 2 : NH)));
	if
	:: new < NH ->
		pool[new].owner = e + 1;
		pool[new].value = value
	:: else
	fi
}

inline rehome(s, e)
{
	d_step { pool_alloc_copy(s, e) };
	if
	:: new < NH ->
		if
		:: M(UNPIN_BEFORE_REHOME) -> slot_unpin(s, 0, owed)
		:: else
		fi;
		entry_publish_place(s, e, new);
		bytes_release(form, loc)
	:: else -> done = 0	/* no room */
	fi
}

/* swap_compress(): pins by id alone, compares what it was given. done: 0 if it is to be tried again */
inline swap_compress(s, b)
{
	atomic {
		if
		:: word[s].count == 0 -> done = 1	/* gone */
		:: word[s].count > 0 && word[s].pin != PIN_NONE -> done = 0
		:: word[s].count > 0 && word[s].pin == PIN_NONE ->
			slot_take_pin(s, PIN_MOVE);
			pinned = 1
		fi
	};
	if
	:: pinned ->
		d_step {
			done = 1;
			must(area != AREA_RETIRED, tree_alive);
			e = tree[s];
			if
			:: e != 0 ->
				e--;
				entry_where(s, e);
				if
				:: M(STAGED_NOT_COMPARED) -> form = STAGED; loc = b; same = 1
				:: else -> same = (form == STAGED && loc == b)
				fi
			:: else -> same = 0
			fi
		};
		if
		:: same -> rehome(s, e)
		:: else
		fi;
		slot_unpin(s, 0, owed);
		slot_settle(s, owed)
	:: else
	fi
}

proctype compressor()
{
	byte s, b, e, form, loc, value, new, owed;
	bit what;
	bool same, kept, done, pinned;

end:	do
	:: atomic { job ? what, s, b ->
			if
			:: what == JOB_PUT -> word[s].holder = _pid	/* the pin came with the job */
			:: else
			fi
		};
		if
		:: what == JOB_PUT ->
			swap_put(s, b);
			slot_unpin(s, 0, owed);
			slot_settle(s, owed)
		:: else ->
			swap_compress(s, b)
		fi;
		atomic {
			if
			:: what == JOB_COMPRESS && done -> bytes_release(STAGED, b)
			:: else -> job ! JOB_COMPRESS, s, b
			fi;
			what = 0; s = 0; b = 0; e = 0; form = 0; loc = 0; value = 0; new = 0; owed = 0;
			same = 0; kept = 0; done = 0; pinned = 0
		}
	od
}

/* ---- background: swap_recompress(), swap_drop_kept(), swap_compact() ------------------------------- */

/* lru_pick(): any linked entry, which is more than the code's order allows */
inline pick_lru()
{
	if
	:: ent[0].linked -> e = 0
	:: ent[1].linked -> e = 1
	fi;
	pick_copy()
}

/* pool_isolate(), pool_isolated_next() */
inline pick_object()
{
	if
	:: OBJECT_MOVABLE(0) -> object_moved = 0
	:: OBJECT_MOVABLE(1) -> object_moved = 1
	:: OBJECT_MOVABLE(2) -> object_moved = 2
	fi;
	pool[object_moved].isolated = 1;
	e = pool[object_moved].owner - 1;
	pick_copy()
}

/* under the lock of the list, or of the class: the last look at the entry before the recheck */
inline pick_copy()
{
	must(ent[e].live, entry_alive);
	s = ent[e].slot;
	gen = word[s].gen;
	life = area_life
}

inline slot_try_pin_ref()
{
	atomic {
		if
		:: (word[s].gen == gen || M(NO_GENERATION)) && word[s].count > 0 && word[s].pin == PIN_NONE ->
			slot_take_pin(s, PIN_MOVE);
			pinned = 1
		:: else ->
			pinned = 0
		fi
	}
}

/* pick_pin(); post: pinned, and e is the slot's entry, or not pinned */
inline pick_pin()
{
	if
	:: M(ORIGINAL_ORDER) ->
		/* tree = trees[type], lock, search, use; the pin comes last */
		d_step {
			must(area != AREA_RETIRED && life == area_life, tree_alive);
			found = (tree[s] == e + 1)
		};
		if
		:: found -> slot_try_pin_ref()
		:: else
		fi
	:: else ->
		slot_try_pin_ref();
		if
		:: pinned ->
			d_step {
				must(word[s].gen == gen, same_slot);
				must(area != AREA_RETIRED, tree_alive);
				found = (tree[s] == e + 1 || M(NO_RECHECK))
			}
		:: else
		fi
	fi
}

inline work_on_picked()
{
	d_step { entry_where(s, e) };
	if
	:: object_moved == NH && kept && form == PACKED ->	/* kept_drop() */
		entry_erase(s, e);
		word[s].kept = 0
	:: object_moved == NH && !kept && form == PACKED ->	/* recompress_pinned() */
		rehome(s, e)
	:: object_moved < NH && form == PACKED && loc == object_moved ->	/* compact_object() */
		rehome(s, e)
	:: else
	fi
}

proctype background()
{
	byte s, e, gen, form, loc, value, new, owed, life;
	byte object_moved = NH;
	byte n = ROUNDS;
	bool pinned, kept, done, found;

end:	do
	:: atomic { n > 0 && (ent[0].linked || ent[1].linked) ->
			n--;
			if
			:: OBJECT_MOVABLE(0) || OBJECT_MOVABLE(1) || OBJECT_MOVABLE(2) -> pick_object()
			:: true -> pick_lru()
			fi
		};
		pick_pin();
		if
		:: pinned ->
			if
			:: found -> work_on_picked()
			:: else
			fi;
			if
			:: !M(UNPIN_BEFORE_REHOME) || word[s].holder == _pid ->
				slot_unpin(s, 0, owed);
				slot_settle(s, owed)
			:: else
			fi
		:: else
		fi;
		d_step {
			if
			:: object_moved < NH -> pool[object_moved].isolated = 0	/* pool_putback() */
			:: else
			fi;
			object_moved = NH;
			s = 0; e = 0; gen = 0; form = 0; loc = 0; value = 0; new = 0; owed = 0; life = 0;
			pinned = 0; kept = 0; done = 0; found = 0
		}
	od
}

/* ---- the owner, and what the program does ---------------------------------------------------------- */

/* space_evict(), gate_complete(): a slot, its pin, and the bytes in a buffer */
inline evict(m)
{
	atomic {
		b = (buf[0].n_refs == 0 -> 0 : 1);
		buf[b].n_refs = 1;
		buf[b].value = memory[m]
	};
	if
	:: map_slot[m] == 0 ->
		atomic {	/* swap_slot_new(), under the app's slot lock */
			if
			:: area != AREA_UNLINKED && !used[0] -> s = 0
			:: area != AREA_UNLINKED && used[0] && !used[1] -> s = 1
			:: else -> s = NS
			fi;
			if
			:: s < NS ->
				used[s] = 1;
				if
				:: area == AREA_RETIRED -> area = AREA_LISTED; area_life++
				:: else
				fi
			:: else
			fi
		};
		if
		:: s < NS ->
			d_step {	/* slot_open() */
				must(word[s].count == 0 && word[s].pin == PIN_NONE, pin_exclusive);
				word[s].count = 1;
				slot_take_pin(s, PIN_STORE)
			};
			map_slot[m] = s + 1
		:: else
		fi
	:: else ->
		s = map_slot[m] - 1;
		atomic {	/* slot_try_pin() */
			if
			:: word[s].pin == PIN_NONE -> slot_take_pin(s, PIN_STORE)
			:: else -> s = NS
			fi
		}
	fi;
	if
	:: s < NS ->
		present[m] = 0;
		job ! JOB_PUT, s, b
	:: else ->
		bytes_release(STAGED, b)
	fi;
	s = 0;
	b = 0
}

/* load_keep() */
inline load_keep(m)
{
	d_step {
		PINNED_BY_ME(s);
		kept = (form == PACKED && (word[s].count == 1 || M(KEEP_SHARED)));
		if
		:: kept ->
			ent[e].kept = 1;
			word[s].kept = 1
		:: else
		fi
	}
}

/* fault_load(), load_install(), load_arrived() */
inline load(m)
{
	d_step {
		must(area != AREA_RETIRED, tree_alive);
		e = tree[s];
		must(e != 0 && !ent[e - 1].kept, entry_not_lost);
		e--;
		entry_where(s, e)
	};
	d_step {
		entry_read(s, e, value);
		must(value == memory[m], no_stale_byte)
	};
	if
	:: M(ERASE_BEFORE_INSTALL) -> entry_erase(s, e)
	:: else
	fi;
	if
	:: true ->	/* UFFDIO_COPY refused */
		slot_unpin(s, 0, owed)
	:: true ->	/* SWAP_LOAD_ERASE */
		present[m] = 1;
		slot_unpin(s, 1, owed);
		map_slot[m] = 0
	:: true ->	/* SWAP_LOAD_KEEP */
		present[m] = 1;
		load_keep(m);
		if
		:: kept -> slot_unpin(s, 0, owed)
		:: else ->
			slot_unpin(s, 1, owed);
			map_slot[m] = 0
		fi
	fi;
	slot_settle(s, owed)
}

/* fault_answer() */
inline fault(m)
{
	if
	:: !present[m] && map_slot[m] == 0 ->
		present[m] = 1	/* zero page */
	:: !present[m] && map_slot[m] != 0 ->
		s = map_slot[m] - 1;
		d_step {	/* slot_pin_or_park() */
			must(word[s].count > 0, counted);
			value = (word[s].pin == PIN_NONE);
			if
			:: value -> slot_take_pin(s, PIN_LOAD)
			:: !value && !M(WAITER_NOT_ATOMIC) -> word[s].waiter = 1
			:: else
			fi
		};
		if
		:: value -> load(m)
		:: else ->
			if
			:: M(WAITER_NOT_ATOMIC) -> word[s].waiter = 1
			:: else
			fi;
			parked[m] = s + 1
		fi
	:: else
	fi;
	d_step { s = 0; e = 0; value = 0; kept = 0; owed = 0; form = 0; loc = 0 }
}

/* swap_slot_unref() */
inline unref(m)
{
	s = map_slot[m] - 1;
	map_slot[m] = 0;
	slot_drop(s, owed);
	slot_settle(s, owed);
	s = 0;
	owed = 0
}

/* event_forget(): the page is unmapped, or emptied; it reads as zero from now on */
inline event(m)
{
	if
	:: map_slot[m] != 0 -> unref(m)
	:: else
	fi;
	present[m] = 0;
	memory[m] = 0
}

/* fork_leaf() */
inline fork()
{
	if
	:: present[0] ->
		if
		:: map_slot[0] != 0 && !M(FORK_KEEPS_KEPT) -> unref(0)
		:: map_slot[0] != 0 && M(FORK_KEEPS_KEPT) ->
			s = map_slot[0] - 1;
			d_step {	/* slot_hold() */
				must(!word[s].kept || word[s].pin != PIN_NONE, kept_alone);
				word[s].count++
			};
			map_slot[1] = map_slot[0]
		:: else
		fi;
		present[1] = 1;
		memory[1] = memory[0]
	:: !present[0] && map_slot[0] != 0 ->
		s = map_slot[0] - 1;
		d_step {	/* slot_hold() */
			must(word[s].count > 0, counted);
			must(!word[s].kept || word[s].pin != PIN_NONE, kept_alone);
			if
			:: !M(FORK_WITHOUT_COUNT) -> word[s].count++
			:: else
			fi
		};
		map_slot[1] = map_slot[0];
		memory[1] = memory[0];
		s = 0
	:: else
	fi
}

inline program_write(m)
{
	atomic {
		last_value++;
		memory[m] = last_value
	}
}

/* space_retry() for each space; again: slot + 1 */
inline retry()
{
	if
	:: parked[0] == again -> parked[0] = 0; fault(0)
	:: else
	fi;
	if
	:: parked[1] == again -> parked[1] = 0; fault(1)
	:: else
	fi;
	again = 0
}

active proctype owner_thread()
{
	byte s, b, e, form, loc, value, owed, m, again;
	bool kept;
	byte n = OPS;

	atomic {
		present[0] = 1;
		memory[0] = 1;
		run compressor();
		run background()
	};
	do
	:: atomic { told[0] -> told[0] = 0; again = 1 };
		retry()
	:: atomic { told[1] -> told[1] = 0; again = 2 };
		retry()
	:: n > 0 -> n--;
		if
		:: m = 0
		:: FORKS -> m = 1
		fi;
		if
		:: present[m] && (buf[0].n_refs == 0 || buf[1].n_refs == 0) -> evict(m)
		:: !present[m] && parked[m] == 0 -> fault(m)
		:: EVENTS && (map_slot[m] != 0 || present[m]) -> event(m)
		:: present[m] && last_value < MAX_VALUE -> program_write(m)
		:: m == 1 && !present[1] && map_slot[1] == 0 && parked[1] == 0 && parked[0] == 0 -> fork()
		:: else
		fi;
		m = 0
	:: n == 0 && parked[0] == 0 && parked[1] == 0 -> break
	od;
}
