/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * atomic - the memory orders this project uses, by name
 *
 * Every use names its partner in a comment, or says why relaxed will do. Objects are _Atomic.
 */
#ifndef USWAP_BASE_ATOMIC_H
#define USWAP_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)

#define fetch_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define fetch_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define fetch_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define fetch_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define fetch_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define fetch_and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
#define exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)

/* On failure *(old) has the value found; loop. */
#define try_swap_acq_rel(p, old, new)                                                  \
	atomic_compare_exchange_weak_explicit((p), (old), (new), memory_order_acq_rel, \
					      memory_order_acquire)
#define try_swap_relaxed(p, old, new)                                                  \
	atomic_compare_exchange_weak_explicit((p), (old), (new), memory_order_relaxed, \
					      memory_order_relaxed)

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
