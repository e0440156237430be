/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "refused.h"

#define MARKS_FIRST 64

static void *hs_malloc(size_t size)
{
	return malloc(size);
}

static void hs_free(void *memory, size_t size, bool defer)
{
	(void)size, (void)defer; /* one thread: nobody else still reads it */
	free(memory);
}

static struct ck_malloc hs_allocator = {.malloc = hs_malloc, .free = hs_free};

/* A mark is as good as random: it is its own hash. */
static unsigned long mark_hash(const void *mark, unsigned long seed)
{
	(void)seed;
	return (unsigned long)(uintptr_t)mark;
}

static bool mark_same(const void *left, const void *right)
{
	return left == right;
}

/* ck_hs keeps the value in the pointer's place. */
static const void *value_of(uint64_t mark)
{
	return (const void *)(uintptr_t)mark; /* NOLINT(performance-no-int-to-ptr) */
}

int refused_init(struct refused *refused)
{
	ck_hs_t *sets[] = {&refused->marks, &refused->lately[0], &refused->lately[1]};

	memset(refused, 0, sizeof *refused);
	if (getrandom(&refused->seed, sizeof refused->seed, 0) != (ssize_t)sizeof refused->seed)
		return -errno;
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		if (ck_hs_init(sets[i], CK_HS_MODE_SPMC | CK_HS_MODE_DIRECT, mark_hash, mark_same,
			       &hs_allocator, MARKS_FIRST, 0))
			continue;
		while (i-- > 0)
			ck_hs_destroy(sets[i]);
		return -ENOMEM;
	}
	return 0;
}

void refused_free(struct refused *refused)
{
	ck_hs_destroy(&refused->marks);
	ck_hs_destroy(&refused->lately[0]);
	ck_hs_destroy(&refused->lately[1]);
}

/* A bijection with good diffusion: murmur's finaliser. */
static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 33) * 0xff51afd7ed558ccdull;
	n = (n ^ n >> 33) * 0xc4ceb9fe1a85ec53ull;
	return n ^ n >> 33;
}

uint64_t refused_mark(const struct refused *refused, uint64_t key, const struct stat *status,
		      enum refused_why why)
{
	uint64_t time =
		(uint64_t)status->st_ctim.tv_sec * 1000000000u + (uint64_t)status->st_ctim.tv_nsec;
	uint64_t mark = mix(refused->seed ^ key);

	mark = mix(mark + status->st_ino);
	mark = mix(mark + (why == REFUSED_NO_ROOM ? 0 : time)) ^ (uint64_t)why;
	/* These two are ck_hs' own. */
	return mark == 0 || mark == UINT64_MAX ? 4 : mark;
}

static bool has(ck_hs_t *set, uint64_t mark)
{
	return ck_hs_get(set, (unsigned long)mark, value_of(mark)) != NULL;
}

static bool put(ck_hs_t *set, uint64_t mark)
{
	return ck_hs_put(set, (unsigned long)mark, value_of(mark));
}

bool refused_has(struct refused *refused, uint64_t mark)
{
	bool found = has(&refused->marks, mark);

	refused->found += found;
	return found;
}

bool refused_lately(struct refused *refused, uint64_t mark)
{
	return has(&refused->lately[0], mark) || has(&refused->lately[1], mark);
}

static void lately_put(struct refused *refused, uint64_t mark)
{
	if (refused->young_count >= REFUSED_LATELY) {
		if (!ck_hs_reset_size(&refused->lately[!refused->young], MARKS_FIRST))
			return;
		refused->young = !refused->young;
		refused->young_count = 0;
	}
	refused->young_count += put(&refused->lately[refused->young], mark);
}

void refused_put(struct refused *refused, uint64_t mark)
{
	if (refused_full(refused))
		lately_put(refused, mark);
	else if (put(&refused->marks, mark))
		refused->count++;
}

bool refused_full(const struct refused *refused)
{
	return refused->count >= REFUSED_MAX;
}

void refused_age(struct refused *refused)
{
	/* Not after the scan that filled it, to which all was new. */
	if (refused->full_before && refused->found < REFUSED_MAX / 2 &&
	    ck_hs_reset_size(&refused->marks, MARKS_FIRST))
		refused->count = 0;
	refused->full_before = refused_full(refused);
	refused->found = 0;
}
