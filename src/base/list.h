/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * list - doubly linked, intrusive, circular through its head
 *
 * A node that is on no list points to itself (LIST_INIT, list_init()), so list_unlink() may be
 * called twice and list_is_linked() asks nothing of the list.
 *
 * Threads: the owner of the list.
 */
#ifndef USWAP_BASE_LIST_H
#define USWAP_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev;
	struct list *next;
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list *l)
{
	l->prev = l;
	l->next = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline bool list_is_linked(const struct list *node)
{
	return node->next != node;
}

static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

/* pre: @node is on no list */
static inline void list_append(struct list *l, struct list *node)
{
	list_insert_between(node, l->prev, l);
}

static inline void list_prepend(struct list *l, struct list *node)
{
	list_insert_between(node, l, l->next);
}

static inline void list_unlink(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define list_first(l, type, member) (list_is_empty(l) ? NULL : list_entry((l)->next, type, member))
#define list_last(l, type, member) (list_is_empty(l) ? NULL : list_entry((l)->prev, type, member))

#define list_for_each(pos, l, member)                                                    \
	for (pos = list_entry((l)->next, __typeof__(*pos), member); &pos->member != (l); \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* @pos may be unlinked or freed inside. */
#define list_for_each_safe(pos, tmp, l, member)                           \
	for (pos = list_entry((l)->next, __typeof__(*pos), member),       \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member); \
	     &pos->member != (l);                                         \
	     pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))

#endif
