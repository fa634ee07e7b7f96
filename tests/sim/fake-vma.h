/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-vma - the fake kernel's mappings, for the fake-*.c files only
 *
 * Threads:   one.
 * Invariant: mappings are sorted and disjoint.
 */
#ifndef USWAP_SIM_FAKE_VMA_H
#define USWAP_SIM_FAKE_VMA_H

#include "fake-kernel.h"

void vma_cut(struct fk_mm *mm, struct frange at); /* no mapping crosses an end of the range */
void vma_remove(struct fk_mm *mm, struct frange at);
void vma_insert(struct fk_mm *mm, const struct fk_vma *vma); /* pre: free */
void vma_merge(struct fk_mm *mm);
bool vma_any_registered(struct fk_mm *mm, struct frange at);

/* @t sleeps for the events it has. Return: true if there are any. */
bool task_events_begin(struct fk_task *t);

#endif
