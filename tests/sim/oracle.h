/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * oracle - the changes of what pages must contain, for program.c only
 *
 * Called in the step in which the kernel makes the change. See program.h.
 *
 * Threads: one.
 */
#ifndef USWAP_SIM_ORACLE_H
#define USWAP_SIM_ORACLE_H

#include "program.h"

void oracle_write(struct proc *p, uint32_t page, uint64_t stamp);
/* The zap of a thread has reached @page; its own range no longer covers it. */
void oracle_zap(struct proc *p, uint32_t page, bool lazy);
void oracle_fork(const struct proc *p, struct proc *child);
void oracle_unmap(struct proc *p, struct frange at);
void oracle_remap(struct proc *p, const struct fk_mremap *m);

#endif
