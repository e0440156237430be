/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((uintptr_t)2 << 20)
#define SMALL ((uintptr_t)8 << 20) /* a heap up to this size stays as small as it can be */
#define AHEAD_MAX (64 << 20)       /* by so much it grows at most */
#define AHEAD_MIN (128 << 10)      /* glibc's default */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1 */
#endif

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
	/* One heap for all threads: others read what one has allocated, few allocate at once. */
	mallopt(M_ARENA_MAX, 1);
	heap.begin = heap.end = heap_end();
}

void heap_expect(size_t bytes, bool now)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = heap_end() / page * page, end;
	void *volatile first, *volatile second; /* else the compiler leaves out the calls */

	if (bytes < (size_t)AHEAD_MIN)
		return;
	mallopt(M_TOP_PAD, bytes < (size_t)INT_MAX / 2 ? (int)bytes : INT_MAX / 2);
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	/* As much as malloc() does not map apart. There is room for one of them at most. */
	first = malloc(AHEAD_MIN - page);
	second = malloc(AHEAD_MIN - page);
	free(first);
	free(second);
	heap_look();
	mallopt(M_TOP_PAD, AHEAD_MIN);
	/* Until it has come: nothing that is freed gives back what is not in use yet. */
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	end = heap_end() / page * page;
	if (end > from + AHEAD_MAX)
		end = from + AHEAD_MAX;
	if (now && end > from)
		madvise((void *)from, end - from, MADV_POPULATE_WRITE);
}

void heap_settle(void)
{
	heap_look();
	grow_by(heap.end - heap.begin);
}

void heap_look(void)
{
	uintptr_t end = heap_end(), before = heap.end;
	uintptr_t from = (heap.begin + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;

	if (end == before)
		return;
	heap.end = end;
	if (end < heap.begin + SMALL)
		return;
	/* All of it, as a huge page may begin in what was there before. What is in use already
	 * moves, where the kernel can do that. */
	madvise((void *)from, (end - from) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
	if (before > from)
		madvise((void *)from, (before - from) / HUGE_PAGE * HUGE_PAGE, MADV_COLLAPSE);
	grow_by(end - heap.begin);
}
