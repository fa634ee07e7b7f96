// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Bringing pages home without a fault: for a debugger, for `uswap detach`, before a range gets
 * guard pages, and for a space whose agent left.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "space/space-impl.h"

/*
 * A fork copies the map of a parent whose other threads may have unmapped something without our having been
 * told. While moves of theirs may still be told, it waits.
 */
bool home_is_gone(struct space *sp, uint64_t addr, int r)
{
	return r == -ENOENT && !sp->born_of &&
	       sp->mem->ops->is_registered(sp->mem, addr, PAGE_BYTES) == -ENOENT;
}

/* Poisoned, here as anywhere (R7). */
bool home_lost(struct space *sp, uint64_t addr)
{
	struct page_leaf *leaf = page_map_find(&sp->map, addr);
	int r = sp->mem->ops->poison(sp->mem, addr, PAGE_BYTES);

	if (r && r != -EEXIST && !home_is_gone(sp, addr, r))
		return false;
	sp->group->stats.n_poisoned += !r;
	sp->n_unknown += r != 0;
	swap_slot_unref(sp->group->swap, page_take_slot(&sp->map, leaf, page_in_leaf(addr)));
	return true;
}

/* Load the evicted page at @addr. True: it is home, or was never out. */
static bool home_page(struct space *sp, struct page_leaf *leaf, uint64_t addr)
{
	struct space_group *g = sp->group;
	uint32_t i = page_in_leaf(addr);
	struct slot_id id = { leaf->slot[i] };
	struct swap_extent extent;
	uint64_t done = 0;
	int r;

	if (!id.v || leaf->state[i] & PAGE_PRESENT)
		return true;
	if (leaf->state[i] & PAGE_DETACH)
		return false;
	load_early_give_way(g, id);
	if (swap_try_pin(g->swap, id, SWAP_PIN_LOAD))
		return false;
	if (g->host->read && swap_file_needs_read(g->swap, id, &extent)) {
		load_file_home(sp, addr);
		return false;
	}
	r = swap_load(g->swap, id, g->scratch, g->codec, NULL);
	if (r == SWAP_E_ON_FILE) { /* written since we asked */
		swap_load_end(g->swap, id, SWAP_LOAD_ABORT);
		return false;
	}
	if (r) {
		swap_load_end(g->swap, id, SWAP_LOAD_ABORT);
		return home_lost(sp, addr);
	}
	r = sp->mem->ops->copy(sp->mem, addr, g->scratch, PAGE_BYTES, &done);
	if (!done) {
		swap_load_end(g->swap, id, SWAP_LOAD_ABORT);
		if (r != -EEXIST && !home_is_gone(sp, addr, r))
			return false;
		swap_slot_unref(g->swap, page_take_slot(&sp->map, leaf, i)); /* stale (R5) */
		sp->n_unknown++;
		return true;
	}
	(void)swap_load_end(g->swap, id, SWAP_LOAD_ERASE);
	(void)page_take_slot(&sp->map, leaf, i);
	space_page_arrived(sp, leaf, i, 1, 0);
	g->room_pages--;
	return true;
}

uint64_t space_bring_home(struct space *sp, struct urange range, uint32_t n_max)
{
	uint64_t addr = range.start;
	uint64_t n_out = 0;
	struct page_leaf *leaf;

	if (!sp->dead && (event_settle(sp) || sp->born_of))
		n_max = 0; /* count only: what is where is not certain */
	while (!sp->dead && addr < range.end && (leaf = page_map_next(&sp->map, &addr)) &&
	       addr < range.end) {
		uint64_t a = addr < range.start ? range.start : addr;
		uint64_t end = addr + LEAF_BYTES < range.end ? addr + LEAF_BYTES : range.end;

		for (; leaf->n_slots && a < end; a += PAGE_BYTES) {
			uint32_t i = page_in_leaf(a);

			if (!leaf->slot[i])
				continue;
			if (leaf->state[i] & PAGE_PRESENT) {
				/* a kept copy is of no use any more, unless its page is just leaving */
				if (sp->homing && n_max && !(leaf->state[i] & PAGE_DETACH))
					space_drop_kept(sp, leaf, i);
				continue;
			}
			if (!n_max) {
				n_out++;
				continue;
			}
			n_max--;
			n_out += !home_page(sp, leaf, a);
		}
		addr += LEAF_BYTES;
	}
	return n_out;
}

static void drop_all_kept(struct space *sp)
{
	uint64_t addr = 0;
	struct page_leaf *leaf;
	uint32_t i;

	for (; (leaf = page_map_next(&sp->map, &addr)); addr += LEAF_BYTES)
		for (i = 0; leaf->n_slots && i < LEAF_PAGES; i++)
			if (leaf->slot[i] && leaf->state[i] & PAGE_PRESENT)
				space_drop_kept(sp, leaf, i);
}

/*
 * All is home: unregister what the kernel calls registered, whether we knew of it or not, and wake whoever
 * waits; they fault again, on ordinary memory now.
 */
int space_unmanage(struct space *sp)
{
	_cleanup_(freep) struct mem_map *maps = NULL;
	uint32_t n = 0;
	uint32_t i;

	if (sp->gate == GATE_SHUT || sp->populating)
		return -EBUSY;
	drop_all_kept(sp);
	if (sp->map.n_slots || sp->mem->ops->read_maps(sp->mem, MEM_MAPS_FLAGS, &maps, &n))
		return -EBUSY;
	for (i = 0; i < n; i++)
		if (maps[i].registered && /* by us, not by a userfaultfd of the program */
		    !sp->mem->ops->is_registered(sp->mem, maps[i].range.start,
						 maps[i].range.end - maps[i].range.start) &&
		    sp->mem->ops->unregister(sp->mem, maps[i].range.start,
					     maps[i].range.end - maps[i].range.start))
			return -EBUSY; /* all that is registered is still served */
	for (i = 0; i < sp->n_waiting; i++)
		sp->mem->ops->wake(sp->mem, sp->waiting[i].addr, PAGE_BYTES);
	sp->n_waiting = 0;
	event_forget(sp, (struct urange){ 0, PAGE_MAP_END });
	region_set_deinit(&sp->regions);
	return 0;
}
