/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * space - the gate, events against a detach command in flight, fork, remap, exit, revocation, parked faults
 *
 * A program of two pages with two threads, its fork child, their kernel, the agent, the owner thread and a
 * compressor. Whatever the daemon installs is compared at that instant with what the program's memory
 * must hold. The store is reduced to a count, a pin, a waiter and the bytes: slot-store.pml is about it.
 * docs/model.md has the table.
 */
#include "common.pml"

/* MUTATIONS: number, name, the property that must report it */
#define READ_WHILE_SHUT 1		/* caught by: gate_held */
#define READ_WHILE_SHUT_UNCHECKED 2	/* caught by: right_bytes */
#define SERVE_BEFORE_APPLY 3		/* caught by: right_bytes */
#define REMOVE_KEEPS_PRESENT 4		/* caught by: right_bytes */
#define NO_WAKE_OF_OLD_RANGE 5		/* caught by: deadlock */
#define FORK_WITHOUT_COUNT 6		/* caught by: counted in fork */
#define REVOKE_WITHOUT_UNREGISTER 7	/* caught by: right_bytes */
#define REMAP_LEAVES_SLOT 8		/* caught by: right_bytes */
#define DROP_BEFORE_COPY 9		/* caught by: right_bytes */
#define EXIT_FORGETS_VICTIM 10		/* caught by: no_leak in fork */
#define PARK_WITHOUT_WAITER 11		/* caught by: deadlock */
#define MOVE_WITH_EVENTS_UNREAD 12	/* caught by: right_bytes */
#define FETCH_AFTER_GATE 13		/* caught by: bytes_had in fork */
#define RESCAN_INSIDE_ZAP 14		/* caught by: right_bytes */
#define FORK_FORGETS_STAGED 15		/* caught by: right_bytes in fork */
#define STAGE_BACK_BEFORE_ANSWER 16	/* caught by: right_bytes */

bool gate_held, right_bytes, counted, no_leak, bytes_had;

/* Two runs, for neither needs what the other has:
 * RUN layout: -DFORKS=0 -DREADER=1 -DRESCAN=1 -DREVOKE=1 -DKILL=0 -DEVICTIONS=1 -DLAYOUT_OPS=2
 * RUN fork: -DFORKS=1 -DREADER=0 -DRESCAN=0 -DREVOKE=0 -DKILL=1 -DEVICTIONS=1 -DLAYOUT_OPS=3
 */
#ifndef LAYOUT_OPS
#define FORKS 1		/* the layout thread may fork, once */
#define READER 1	/* a second thread touches one page */
#define RESCAN 1	/* the owner may look for present pages, once */
#define REVOKE 1	/* it may lose its patience with the agent */
#define KILL 1		/* the program may be killed at any time */
#define EVICTIONS 1
#define LAYOUT_OPS 3	/* how many changes the layout thread makes */
#endif
#define NS 3
#define MAX_VALUE 3

/* ---- the kernel: pages 0, 1 of the program, 2, 3 of its child -------------------------------------- */

bool mapped[4], reg[4], pte[4];
byte val[4];
byte shadow[4];		/* what the program must read there */
bool shared[4];		/* MOVE refuses: EBUSY */
byte changing;		/* of the program's main: its layout changes, ioctls say EAGAIN */
bool stage_reg = 1, stage_full;
byte stage_val;

#define EV_NONE 0
#define EV_REMOVE 1
#define EV_UNMAP 2
#define EV_REMAP 3
#define EV_FORK 4
byte ev, ev_page;	/* unread; one thread raises them, so there is one at most */
byte inside_zap;		/* page + 1, from the event to the zap */

/* threads 0, 1: the program's; 2: the child's */
byte blocked[3];	/* page + 1 */
bool unread[3];		/* its fault message */
bool dead;		/* the program; the child lives on */
bool forked, fork_read, child_runs, child_done;
byte last_value = 1;
bool reader_done;

inline wake(k)
{
	d_step {
		if
		:: blocked[0] == k + 1 -> blocked[0] = 0; unread[0] = 0
		:: else
		fi;
		if
		:: blocked[1] == k + 1 -> blocked[1] = 0; unread[1] = 0
		:: else
		fi;
		if
		:: blocked[2] == k + 1 -> blocked[2] = 0; unread[2] = 0
		:: else
		fi
	}
}

/* fault_refused(). Taken out together with the wake of an event's range: each of them makes up for the other */
inline wake_refused(k)
{
	if
	:: !M(NO_WAKE_OF_OLD_RANGE) -> wake(k)
	:: else
	fi
}

#define OK 0
#define AGAIN 1
#define NOENT 2
#define EXIST 3

/* a read that races with madvise() may see zeroes before the zap */
#define RIGHT(k, v) (v == shadow[k] || (v == 0 && inside_zap == k + 1))

/* UFFDIO_COPY, UFFDIO_ZEROPAGE */
inline install(k, v)
{
	if
	:: k < 2 && (changing > 0 || dead) -> r = AGAIN
	:: else ->
		if
		:: !mapped[k] || !reg[k] -> r = NOENT
		:: mapped[k] && reg[k] && pte[k] -> r = EXIST
		:: else ->
			must(RIGHT(k, v), right_bytes);
			pte[k] = 1;
			val[k] = v;
			wake(k);
			r = OK
		fi
	fi
}

/* ---- the store ------------------------------------------------------------------------------------ */

byte count[NS];
bool pinned[NS], waiter[NS], has_bytes[NS], told[NS];
byte bytes[NS];
chan job = [NS] of { byte };

#define SLOT_IS_FREE(s) (count[s] == 0 && !pinned[s])

inline slot_clear(s)
{
	has_bytes[s] = 0;
	bytes[s] = 0
}

inline slot_unref(s)
{
	must(count[s] > 0, counted);
	count[s]--;
	if
	:: SLOT_IS_FREE(s) -> slot_clear(s)
	:: else
	fi
}

inline slot_unpin(s)
{
	pinned[s] = 0;
	if
	:: count[s] == 0 -> slot_clear(s)
	:: else
	fi;
	if
	:: waiter[s] -> waiter[s] = 0; told[s] = 1
	:: else
	fi
}

/* evict_job_put() */
active proctype compressor()
{
	byte s;

end:	do
	:: atomic { job ? s ->
		if
		:: M(FETCH_AFTER_GATE) -> must(!dead, bytes_had); bytes[s] = stage_val
		:: else
		fi;
		has_bytes[s] = 1 };
		atomic {
			slot_unpin(s);
			s = 0
		}
	od
}

/* ---- the agent ------------------------------------------------------------------------------------ */

#define MOVED 1
#define STAYS 2		/* events unread, refused */
#define HOLE 3
chan command = [1] of { byte };
chan answer = [1] of { byte };

active proctype agent()
{
	byte k, result;

end:	do
	:: atomic { command ? k };
		atomic {	/* UFFDIO_MOVE of one page */
			if
			:: !stage_reg || !mapped[k] || shared[k] || (changing > 0 && !M(MOVE_WITH_EVENTS_UNREAD)) ->
				result = STAYS
			:: else ->
				if
				:: !pte[k] -> result = HOLE
				:: else ->
					result = MOVED;
					pte[k] = 0;
					stage_full = 1;
					stage_val = val[k];
					val[k] = 0
				fi
			fi
		};
		atomic {
			answer ! result;
			k = 0;
			result = 0
		}
	:: dead -> break
	od
}

/* ---- the owner ------------------------------------------------------------------------------------ */

#define OPEN 0
#define SHUT 1
#define REVOKED 2
byte gate;
byte slot[4];		/* the page maps: slot + 1 */
bool present[4], region[4], detach[4];
byte victim, victim_slot;	/* page + 1, slot */
bool space_ended, child_ended;

#define WAIT_RETRY 1
#define WAIT_DETACH 2
#define WAIT_PIN 3
/* a fault: of thread w / 2 at page w % 2 of its address space */
byte why[6];		/* it waits */
bool todo[6];		/* it is to be answered */
byte left;		/* how many of these */
#define PAGE(w) (w < 4 -> w % 2 : 2 + w % 2)

inline forget_page(k)
{
	must(!detach[k] || M(READ_WHILE_SHUT_UNCHECKED), gate_held);
	if
	:: slot[k] != 0 -> slot_unref((slot[k] - 1)); slot[k] = 0
	:: else
	fi;
	present[k] = 0
}

/* fault_load(): pin or park, load, COPY, end; the page map belongs to the owner alone */
inline fault_load(k, w)
{
	s = slot[k] - 1;
	must(count[s] > 0, counted);
	if
	:: pinned[s] ->
		why[w] = WAIT_PIN;
		if
		:: !M(PARK_WITHOUT_WAITER) -> waiter[s] = 1
		:: else
		fi
	:: else ->
		must(has_bytes[s], bytes_had);
		r = bytes[s];
		if
		:: M(DROP_BEFORE_COPY) -> slot_unref(s); slot[k] = 0
		:: else
		fi;
		value = r;
		install(k, value);
		if
		:: r == OK ->
			present[k] = 1
		:: r == AGAIN -> why[w] = WAIT_RETRY
		:: r == NOENT -> wake_refused(k)
		:: r == EXIST -> wake(k)
		fi;
		if
		:: (r == OK || r == EXIST) && !M(DROP_BEFORE_COPY) -> slot_unref(s); slot[k] = 0
		:: else
		fi
	fi
}

/* fault_zero() */
inline fault_zero(k, w)
{
	install(k, 0);
	if
	:: r == OK -> present[k] = 1
	:: r == AGAIN -> why[w] = WAIT_RETRY
	:: r == NOENT -> wake_refused(k)
	:: r == EXIST -> wake(k)
	fi
}

/* fault_answer(), of fault w */
inline fault_answer()
{
	why[w] = 0;
	r = OK;
	k = PAGE(w);
	if
	:: !region[k] ->	/* is_registered() */
		if
		:: k < 2 && (changing > 0 || dead) -> why[w] = WAIT_RETRY; r = AGAIN
		:: else ->
			if
			:: mapped[k] && reg[k] -> region[k] = 1
			:: else -> wake_refused(k); r = NOENT
			fi
		fi
	:: else
	fi;
	if
	:: r == OK && detach[k] -> why[w] = WAIT_DETACH
	:: r == OK && !detach[k] && slot[k] != 0 && !present[k] -> fault_load(k, w)
	:: r == OK && !detach[k] && (slot[k] == 0 || present[k]) -> fault_zero(k, w)
	:: else
	fi;
	r = 0; s = 0; k = 0; w = 0; value = 0
}

inline answer_later(f)
{
	if
	:: !todo[f] -> todo[f] = 1; left++
	:: else
	fi
}

/* one fault of thread t: which page is known from where it is blocked */
inline read_fault(t)
{
	if
	:: unread[t] -> unread[t] = 0; answer_later((2 * t + (blocked[t] - 1) % 2))
	:: else
	fi
}

inline read_main()
{
	read_fault(0);
	read_fault(1);
	e = ev;
	event_page = ev_page;
	if
	:: ev == EV_FORK -> fork_read = 1
	:: else
	fi;
	ev = EV_NONE;	/* its thread may run from here on */
	ev_page = 0
}

inline fork_page(p)
{
	region[p + 2] = region[p];
	if
	:: present[p] -> present[p + 2] = 1
	:: !present[p] && slot[p] != 0 && !(M(FORK_FORGETS_STAGED) && pinned[slot[p] - 1]) ->
		if
		:: !M(FORK_WITHOUT_COUNT) -> count[slot[p] - 1]++
		:: else
		fi;
		slot[p + 2] = slot[p]
	:: else
	fi
}

/* event_apply(); e, event_page: what was read */
inline event_apply()
{
	atomic {
		k = event_page;
		must(gate != SHUT || M(READ_WHILE_SHUT_UNCHECKED), gate_held);
		if
		:: e == EV_REMOVE ->
			if
			:: M(REMOVE_KEEPS_PRESENT) && present[k]
			:: else -> forget_page(k)
			fi
		:: e == EV_UNMAP ->
			forget_page(k);
			region[k] = 0;
			if
			:: !M(NO_WAKE_OF_OLD_RANGE) -> wake(k)
			:: else
			fi
		:: e == EV_REMAP ->	/* to the other page */
			forget_page((1 - k));
			if
			:: slot[k] != 0 && !present[k] && !M(REMAP_LEAVES_SLOT) -> slot[1 - k] = slot[k]; slot[k] = 0
			:: else -> forget_page(k)
			fi;
			region[1 - k] = region[k];
			region[k] = 0;
			if
			:: !M(NO_WAKE_OF_OLD_RANGE) -> wake(k)
			:: else
			fi
		:: e == EV_FORK ->
			fork_page(0);
			fork_page(1)
		:: else
		fi;
		e = 0; k = 0; event_page = 0
	}
}

/* gate_complete() of the one victim */
inline gate_complete()
{
	atomic {
		k = victim - 1;
		s = victim_slot;
		if
		:: r == MOVED ->	/* fetch_stage(), victim_moved() */
			if
			:: !M(FETCH_AFTER_GATE) -> bytes[s] = stage_val
			:: else
			fi;
			slot[k] = s + 1;
			present[k] = 0;
			detach[k] = 0;
			job ! s
		:: else ->		/* victim_stays() */
			detach[k] = 0;
			slot_unpin(s);
			slot_unref(s);
			if
			:: r == HOLE -> present[k] = 0
			:: else
			fi
		fi;
		stage_full = 0;	/* the next command empties it */
		victim = 0;
		victim_slot = 0;
		k = 0; s = 0; r = 0
	}
}

inline evict(p)
{
	atomic {
		n_evict--;
		s = (SLOT_IS_FREE(0) -> 0 : (SLOT_IS_FREE(1) -> 1 : 2));
		if
		:: SLOT_IS_FREE(s) ->
			count[s] = 1;
			pinned[s] = 1;
			victim = p + 1;
			victim_slot = s;
			detach[p] = 1;
			gate = SHUT;
			command ! p
		:: else
		fi;
		s = 0
	}
}

#define WAITS(f) (why[f] == WAIT_RETRY || (why[f] == WAIT_DETACH && gate != SHUT))
#define TOLD (told[0] || told[1] || told[2])
#define MAY_READ (gate != SHUT || M(READ_WHILE_SHUT) || M(READ_WHILE_SHUT_UNCHECKED))
#define SOMETHING_UNREAD (ev != EV_NONE || unread[0] || unread[1])

/* space_retry(): whoever waits for a pin, which may be more than those who wait for this one */
inline retry_pins()
{
	w = 0;
	do
	:: w < 6 ->
		if
		:: why[w] == WAIT_PIN -> answer_later(w)
		:: else
		fi;
		w++
	:: else -> break
	od;
	w = 0
}

inline space_end()
{
	space_ended = 1;
	if
	:: victim != 0 ->
		detach[victim - 1] = 0;
		if
		:: !M(EXIT_FORGETS_VICTIM) ->
			slot_unpin(victim_slot);
			slot_unref(victim_slot)
		:: else
		fi
	:: else
	fi;
	victim = 0;
	victim_slot = 0;
	gate = OPEN;
	forget_page(0);
	forget_page(1);
	w = 0;
	do
	:: w < 4 ->
		why[w] = 0;
		if
		:: todo[w] -> todo[w] = 0; left--
		:: else
		fi;
		w++
	:: else -> break
	od;
	w = 0
}

#define IDLE 0
#define APPLY 1		/* events were read, and are applied */
#define SERVE 2		/* main was empty: faults are answered */

active proctype owner_thread()
{
	byte e, event_page, k, w, s, r, value;
	byte phase;
	byte n_evict = EVICTIONS;
	bool may_scan = RESCAN;

	atomic {
		mapped[0] = 1; reg[0] = 1; region[0] = 1;
		mapped[1] = 1; reg[1] = 1; region[1] = 1;
		pte[0] = 1; val[0] = 1; shadow[0] = 1; present[0] = 1;
		run layout_thread();
		if
		:: READER -> run reading_thread()
		:: else
		fi;
		if
		:: FORKS -> run child_thread()
		:: else
		fi;
		if
		:: KILL -> run killer()
		:: else
		fi
	};
end:	do
	:: atomic { dead && !space_ended && phase != APPLY -> space_end(); phase = SERVE }
	/* drain(), space_service() */
	:: atomic { phase == IDLE && !dead && MAY_READ && SOMETHING_UNREAD -> read_main(); phase = APPLY }
	:: phase == APPLY && !(M(SERVE_BEFORE_APPLY) && left > 0) ->
		event_apply();
		atomic {
			if
			:: SOMETHING_UNREAD && !dead -> read_main()
			:: else -> phase = SERVE
			fi
		}
	:: atomic { left > 0 && (phase == SERVE || (phase == APPLY && M(SERVE_BEFORE_APPLY))) ->
			if
			:: todo[0] -> w = 0
			:: todo[1] -> w = 1
			:: todo[2] -> w = 2
			:: todo[3] -> w = 3
			:: todo[4] -> w = 4
			:: todo[5] -> w = 5
			fi;
			todo[w] = 0;
			left--;
			fault_answer()
		}
	:: atomic { phase == SERVE && left == 0 -> phase = IDLE }
	/* the child's main */
	:: atomic { phase == IDLE && unread[2] -> read_fault(2); phase = SERVE }
	/* retry_waiting(), on_unpinned() */
	:: atomic { phase == IDLE && (WAITS(0) || WAITS(1) || WAITS(2) || WAITS(3) || WAITS(4) || WAITS(5)) ->
			if
			:: WAITS(0) -> answer_later(0)
			:: WAITS(1) -> answer_later(1)
			:: WAITS(2) -> answer_later(2)
			:: WAITS(3) -> answer_later(3)
			:: WAITS(4) -> answer_later(4)
			:: WAITS(5) -> answer_later(5)
			fi;
			phase = SERVE
		}
	:: atomic { phase == IDLE && TOLD ->
			told[0] = 0; told[1] = 0; told[2] = 0;
			retry_pins();
			phase = SERVE
		}
	/* space_evict() */
	:: phase == IDLE && n_evict > 0 && !dead && gate == OPEN && present[0] && slot[0] == 0 -> evict(0)
	:: phase == IDLE && n_evict > 0 && !dead && gate == OPEN && present[1] && slot[1] == 0 -> evict(1)
	/* gate_answer() */
	:: atomic { phase == IDLE && !space_ended && nempty(answer) -> answer ? r;
			if
			:: gate == REVOKED -> stage_reg = 1; r = 0
			:: else -> gate_complete()
			fi;
			gate = OPEN
		}
	/* gate_tick(): the agent is stopped, for all we know */
	:: atomic { phase == IDLE && REVOKE && gate == SHUT && !dead ->
			if
			:: !M(REVOKE_WITHOUT_UNREGISTER) -> stage_reg = 0
			:: else
			fi
		};
		atomic {
			if
			:: !dead ->
				r = (stage_full -> MOVED : STAYS);	/* gate_resolve() */
				gate_complete();
				gate = REVOKED;
				if
				:: M(STAGE_BACK_BEFORE_ANSWER) -> stage_reg = 1
				:: else
				fi
			:: else
			fi
		}
	/* space_rescan() */
	:: phase == IDLE && may_scan && !dead && gate == OPEN && (inside_zap == 0 || M(RESCAN_INSIDE_ZAP)) ->
		atomic {
			may_scan = 0;
			if
			:: region[0] && pte[0] && slot[0] == 0 -> present[0] = 1
			:: else
			fi;
			if
			:: region[1] && pte[1] && slot[1] == 0 -> present[1] = 1
			:: else
			fi
		}
	:: atomic { phase == IDLE && child_done && !child_ended -> child_ended = 1;
			forget_page(2);
			forget_page(3);
			why[4] = 0; why[5] = 0 }
	:: atomic { phase == IDLE && space_ended && (!forked || child_ended) && empty(job) && !TOLD ->
			must(count[0] == 0 && count[1] == 0 && count[2] == 0, no_leak);
			break }
	od
}

/* ---- the program ---------------------------------------------------------------------------------- */

/* an access of thread t to page k of the kernel's table; it ends when the page is there, or is not mapped */
inline touch(t, k)
{
	do
	:: atomic { t < 2 && dead -> break }
	:: atomic { !(t < 2 && dead) && blocked[t] == 0 && (!mapped[k] || pte[k]) ->
			must(!mapped[k] || RIGHT(k, val[k]), right_bytes);
			break }
	:: atomic { !(t < 2 && dead) && blocked[t] == 0 && mapped[k] && !pte[k] && !reg[k] ->
			must(shadow[k] == 0, right_bytes);	/* the kernel's own zero page */
			pte[k] = 1;
			val[k] = 0 }
	:: atomic { !(t < 2 && dead) && blocked[t] == 0 && mapped[k] && !pte[k] && reg[k] ->
			blocked[t] = k + 1;
			unread[t] = 1 }
	od
}

/* a store to page k of the program; pages shared by a fork are copied */
inline program_write()
{
	d_step {
		if
		:: !dead && mapped[k] && pte[k] && last_value < MAX_VALUE && inside_zap != k + 1 ->
			last_value++;
			val[k] = last_value;
			shadow[k] = last_value;
			shared[k] = 0
		:: else
		fi
	}
}

/* queue an event and sleep until it was read */
inline raise(type, k)
{
	atomic { ev == EV_NONE || dead ->
		if
		:: !dead -> ev = type; ev_page = k
		:: else
		fi };
	atomic { ev == EV_NONE || dead ->
		if
		:: !dead -> changing--
		:: else -> ev = EV_NONE; ev_page = 0
		fi }
}

inline page_clear(k)
{
	mapped[k] = 0;
	reg[k] = 0;
	pte[k] = 0;
	val[k] = 0;
	shadow[k] = 0;
	shared[k] = 0
}

inline madvise_dontneed(k)
{
	if
	:: atomic { mapped[k] && reg[k] && !dead -> changing++; inside_zap = k + 1 };
		raise(EV_REMOVE, k)	/* before the zap */
	:: else
	fi;
	atomic {
		pte[k] = 0;
		val[k] = 0;
		shadow[k] = 0;
		shared[k] = 0;
		inside_zap = 0
	}
}

inline munmap(k)
{
	if
	:: atomic { reg[k] && !dead -> changing++; page_clear(k) };
		raise(EV_UNMAP, k)	/* after the fact */
	:: atomic { !reg[k] || dead -> page_clear(k) }
	fi
}

inline mremap(k)
{
	atomic {
		mapped[k] && !mapped[1 - k] ->
		mapped[1 - k] = 1;
		reg[1 - k] = reg[k];
		pte[1 - k] = pte[k];
		val[1 - k] = val[k];
		shadow[1 - k] = shadow[k];
		shared[1 - k] = shared[k];
		if
		:: reg[k] && !dead -> changing = changing + 2
		:: else
		fi;
		page_clear(k)
	};
	if
	:: reg[1 - k] && !dead ->
		raise(EV_REMAP, k);
		raise(EV_UNMAP, k)
	:: else
	fi
}

inline copy_page(k)
{
	mapped[k + 2] = mapped[k];
	reg[k + 2] = reg[k];
	pte[k + 2] = pte[k];
	val[k + 2] = val[k];
	shadow[k + 2] = shadow[k];
	shared[k] = pte[k]
}

inline fork()
{
	if
	:: atomic { !dead ->
		forked = 1;
		changing++;
		copy_page(0);
		copy_page(1) };
		raise(EV_FORK, 0);
		atomic {
			if
			:: fork_read -> child_runs = 1
			:: else -> forked = 0	/* killed before it was told of: no child */
			fi
		}
	:: dead
	fi
}

/* nothing of the program runs any more, and its events are gone */
inline exit()
{
	d_step {
		dead = 1;
		blocked[0] = 0; unread[0] = 0;
		blocked[1] = 0; unread[1] = 0;
		ev = EV_NONE; ev_page = 0;
		changing = 0
	}
}

proctype layout_thread()
{
	byte k;
	byte n = LAYOUT_OPS;

	do
	:: n > 0 && !dead -> n--;
		if
		:: k = 0
		:: k = 1
		fi;
		if
		:: mapped[k] && last_value < MAX_VALUE ->
			touch(0, k);
			program_write()
		:: mapped[k] -> madvise_dontneed(k)
		:: mapped[k] -> munmap(k)
		:: atomic { !mapped[k] -> mapped[k] = 1 }	/* mmap(), not registered */
		:: atomic { mapped[k] && !mapped[1 - k] -> mremap(k) }
		:: mapped[k] -> touch(0, k)
		:: FORKS && !forked -> fork()
		fi;
		k = 0
	:: n == 0 || dead -> break
	od;
	touch(0, 0);
	touch(0, 1);
	(reader_done || !READER);	/* it joins the other thread */
	exit()
}

/* a signal */
proctype killer()
{
	exit()
}

proctype reading_thread()
{
	byte k;

	if
	:: k = 0
	:: k = 1
	fi;
	if
	:: atomic { !mapped[k] && !dead -> mapped[k] = 1 }	/* mmap() where the other has unmapped */
	:: true
	fi;
	touch(1, k);
	program_write();
	reader_done = 1
}

proctype child_thread()
{
end:	child_runs;
	touch(2, 2);
	touch(2, 3);
	child_done = 1
}
