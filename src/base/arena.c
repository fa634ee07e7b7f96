/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * arena - memfd, reserve, grow, punch
 *
 * The whole reserve is mapped at once; the file behind it is made longer when more is needed. A
 * mapping of a file costs no memory, so a generous reserve is free. The alternative, mremap, would
 * move what other threads are reading.
 *
 * Locking is MLOCK_ONFAULT: only what was touched stays, and a punched page goes away for real.
 */
#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/inject.h"
#include "base/log.h"

enum { ARENA_PAGE = 4096, ARENA_STEP = 1 << 20 };

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

int arena_init(struct arena *a, const struct arena_options *options)
{
	void *base;
	int r;

	*a = (struct arena)ARENA_INIT;
	ASSERT(options->reserve_bytes > 0);
	a->step_bytes =
		round_up(options->step_bytes ? options->step_bytes : ARENA_STEP, ARENA_PAGE);
	a->reserve_bytes = round_up(options->reserve_bytes, ARENA_PAGE);
	a->residency = options->residency;
	if (inject_fail())
		return err_origin(-ENOMEM);
	a->fd = memfd_create(options->name, MFD_CLOEXEC);
	if (a->fd < 0)
		return err_origin(-errno);
	base = mmap(NULL, a->reserve_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		    a->fd, 0);
	if (base == MAP_FAILED) {
		r = err_origin(-errno);
		close(a->fd);
		a->fd = -1;
		return r;
	}
	a->base = base;
	lock_init(&a->lock, LOCK_RANK_ARENA, options->name);
	return 0;
}

void arena_deinit(struct arena *a)
{
	if (a->base) {
		munmap(a->base, a->reserve_bytes);
		lock_deinit(&a->lock);
	}
	if (a->fd >= 0)
		close(a->fd);
	*a = (struct arena)ARENA_INIT;
}

/* Keep [@from, @to) in memory once it is touched. */
static int arena_lock_range(struct arena *a, size_t from, size_t to)
{
	if (a->residency == ARENA_LOCK_NONE)
		return 0;
	if (mlock2(a->base + from, to - from, MLOCK_ONFAULT) == 0)
		return 0;
	store_relaxed(&a->lock_errno, errno);
	return a->residency == ARENA_LOCK_MUST ? err_origin(-errno) : 0;
}

static int arena_grow_locked(struct arena *a, size_t bytes) REQUIRES(a->lock)
{
	size_t size = load_relaxed(&a->size); /* only written under this lock */
	size_t want;
	int r;

	if (bytes <= size)
		return 0; /* another thread was faster */
	want = round_up(bytes, a->step_bytes);
	if (want > a->reserve_bytes)
		want = a->reserve_bytes;
	if (inject_fail())
		return err_origin(-ENOMEM);
	if (ftruncate(a->fd, (off_t)want) < 0)
		return err_origin(-errno);
	r = arena_lock_range(a, size, want);
	if (r)
		return r;	       /* the file stays longer, which nobody uses */
	store_release(&a->size, want); /* pairs with arena_size() */
	return 0;
}

int arena_grow(struct arena *a, size_t bytes)
{
	int r;

	if (bytes <= arena_size(a))
		return 0;
	if (bytes > a->reserve_bytes)
		return ARENA_E_FULL;
	lock_acquire(&a->lock);
	r = arena_grow_locked(a, bytes);
	lock_release(&a->lock);
	return r;
}

void arena_punch(struct arena *a, size_t offset, size_t bytes)
{
	ASSERT(offset % ARENA_PAGE == 0 && bytes % ARENA_PAGE == 0);
	ASSERT(offset + bytes <= arena_size(a));
	if (fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)bytes) < 0)
		/* Memory stays taken; the promise to read as zero must still hold. */
		__builtin_memset(a->base + offset, 0, bytes);
}
