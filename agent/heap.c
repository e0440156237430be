/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((uintptr_t)2 << 20)
#define SMALL ((uintptr_t)8 << 20) /* a heap up to this size stays as small as it can be */
#define AHEAD_MAX (64 << 20)       /* by so much it grows at most */
#define AHEAD_MIN (128 << 10)      /* glibc's default */

static struct {
	uintptr_t begin;
	uintptr_t end; /* when it was last looked at */
} heap;

static uintptr_t heap_end(void)
{
	return (uintptr_t)sbrk(0);
}

/* The larger the heap is, the more it grows at once: what is not in use yet can be had in huge
 * pages, and takes no memory. */
static void grow_by(uintptr_t size)
{
	uintptr_t ahead = size / 4;
	int bytes = ahead < AHEAD_MIN ? AHEAD_MIN : ahead > AHEAD_MAX ? AHEAD_MAX : (int)ahead;

	mallopt(M_TOP_PAD, bytes);
	mallopt(M_TRIM_THRESHOLD, 2 * bytes);
}

void heap_begin(void)
{
	/* One heap for all threads: what one has allocated others read, and few allocate at once.
	 */
	mallopt(M_ARENA_MAX, 1);
	heap.begin = heap.end = heap_end();
}

void heap_expect(size_t bytes)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = heap_end() / page * page, end;
	void *volatile piece; /* else the compiler leaves out both calls */

	if (bytes < (size_t)AHEAD_MIN)
		return;
	mallopt(M_TOP_PAD, bytes < (size_t)AHEAD_MAX ? (int)bytes : AHEAD_MAX);
	mallopt(M_TRIM_THRESHOLD, 2 * AHEAD_MAX);
	/* As much as malloc() does not map apart, for which there is no room. */
	piece = malloc(AHEAD_MIN - page);
	free(piece);
	mallopt(M_TOP_PAD, AHEAD_MIN);
	heap_look();
	end = heap_end() / page * page;
	if (end > from)
		madvise((void *)from, end - from, MADV_POPULATE_WRITE);
}

void heap_look(void)
{
	uintptr_t end = heap_end(), from = heap.end;

	if (end == heap.end)
		return;
	heap.end = end;
	if (end < heap.begin + SMALL)
		return;
	/* A huge page may begin in what was there before. */
	from = from > heap.begin + SMALL ? from : heap.begin + SMALL;
	from = (from - 1) / HUGE_PAGE * HUGE_PAGE;
	if (end > from) {
		madvise((void *)from, (end - from) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
		madvise((void *)((heap.begin + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE),
			(end - heap.begin - 2 * HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE, 25);
	}
	grow_by(end - heap.begin);
}
