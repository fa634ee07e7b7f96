// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The fake kernel's mappings: a sorted array that is cut at the ends of a range before it is changed
 * and merged after. Merging follows the kernel: neighbours that are alike in everything, registration
 * included.
 */
#include <string.h>

#include "base/assert.h"
#include "fake-vma.h"

struct fk_vma *fk_vma_next(struct fk_mm *mm, uint32_t page)
{
	uint32_t k;

	for (k = 0; k < mm->n_vmas; k++)
		if (mm->vma[k].at.end > page)
			return &mm->vma[k];
	return NULL;
}

struct fk_vma *fk_vma_at(struct fk_mm *mm, uint32_t page)
{
	struct fk_vma *vma = fk_vma_next(mm, page);

	return vma && vma->at.start <= page ? vma : NULL;
}

bool fk_is_free(struct fk_mm *mm, struct frange at)
{
	struct fk_vma *vma = fk_vma_next(mm, at.start);

	return !vma || vma->at.start >= at.end;
}

static void vma_split(struct fk_mm *mm, uint32_t page)
{
	struct fk_vma *vma = fk_vma_at(mm, page);
	uint32_t k;

	if (!vma || vma->at.start == page)
		return;
	ASSERT(mm->n_vmas < FK_MAX_VMAS);
	k = (uint32_t)(vma - mm->vma);
	memmove(vma + 1, vma, (mm->n_vmas - k) * sizeof(*vma));
	mm->n_vmas++;
	vma[0].at.end = page;
	vma[1].at.start = page;
}

void vma_cut(struct fk_mm *mm, struct frange at)
{
	vma_split(mm, at.start);
	vma_split(mm, at.end);
}

void vma_remove(struct fk_mm *mm, struct frange at)
{
	uint32_t k, n = 0;

	vma_cut(mm, at);
	for (k = 0; k < mm->n_vmas; k++)
		if (mm->vma[k].at.end <= at.start || mm->vma[k].at.start >= at.end)
			mm->vma[n++] = mm->vma[k];
	mm->n_vmas = n;
}

void vma_insert(struct fk_mm *mm, const struct fk_vma *vma)
{
	uint32_t k = 0;

	ASSERT(fk_is_free(mm, vma->at));
	ASSERT(mm->n_vmas < FK_MAX_VMAS);
	while (k < mm->n_vmas && mm->vma[k].at.start < vma->at.start)
		k++;
	memmove(&mm->vma[k + 1], &mm->vma[k], (mm->n_vmas - k) * sizeof(*vma));
	mm->vma[k] = *vma;
	mm->n_vmas++;
}

static bool vma_alike(const struct fk_vma *a, const struct fk_vma *b)
{
	return a->at.end == b->at.start && a->reg == b->reg && a->aux == b->aux &&
	       a->no_access == b->no_access && a->wipe == b->wipe && a->no_fork == b->no_fork &&
	       a->agent == b->agent && a->kin == b->kin;
}

void vma_merge(struct fk_mm *mm)
{
	uint32_t k, n = 0;

	for (k = 0; k < mm->n_vmas; k++) {
		if (n && vma_alike(&mm->vma[n - 1], &mm->vma[k]))
			mm->vma[n - 1].at.end = mm->vma[k].at.end;
		else
			mm->vma[n++] = mm->vma[k];
	}
	mm->n_vmas = n;
}

bool vma_any_registered(struct fk_mm *mm, struct frange at)
{
	uint32_t k;

	for (k = 0; k < mm->n_vmas; k++)
		if (mm->vma[k].reg && mm->vma[k].at.start < at.end && mm->vma[k].at.end > at.start)
			return true;
	return false;
}

void fk_change(struct fk_mm *mm, struct frange at, void (*fn)(struct fk_vma *vma, bool on), bool on)
{
	uint32_t k;

	vma_cut(mm, at);
	for (k = 0; k < mm->n_vmas; k++)
		if (mm->vma[k].at.start >= at.start && mm->vma[k].at.end <= at.end)
			fn(&mm->vma[k], on);
	vma_merge(mm);
}
