/* SPDX-License-Identifier: MIT */
/*
 * window_select.h - the samples of some ranks among many, without sorting them all. Private to the
 * statistics of windows.
 */
#ifndef SHMBUS_AGENT_WINDOW_SELECT_H
#define SHMBUS_AGENT_WINDOW_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "lifetime.h"
#include "window.h"

#define RANKS_MAX (4 * WINDOW_QUANTILES)
#define SORT_MAX 40u          /* up to this many samples, sorting is quicker than selecting */
#define SELECT_FEW_MAX 16u    /* up to this many, counting is */
#define WINDOW_MARKS_MORE 64u /* bytes behind the marks of all samples */

/* Which samples to select: `ranks` ascend, and results[i] is what has ranks[i] when sorted. */
struct wanted {
	uint32_t count;
	uint32_t ranks[RANKS_MAX];
	uint64_t results[RANKS_MAX];
};

/* Puts a rank in its place among the wanted ones, if it is not there. */
void wanted_add(struct wanted *wanted, uint32_t rank);

/* The result of a rank that was wanted. */
uint64_t wanted_result(const struct wanted *wanted, uint32_t rank);

/* Selects from samples, at least one, which it may move. */
void select_ranks(struct window_scratch *scratch, uint64_t *values, uint32_t count,
		  struct wanted *wanted);

/* The same with minimum, maximum, mean and deviation of the samples, two at least, which it leaves
 * alone. They may lie in window_scratch_area(), where they are moved. */
void select_summarise(struct window_scratch *scratch, const uint64_t *values, uint32_t count,
		      struct wanted *wanted, struct window_summary *summary);

/* Sorts up to SELECT_FEW_MAX samples into another place. */
void select_sort_few(const uint32_t *samples, uint32_t count, uint32_t *sorted);

/* From a sum and a sum of squares, both of distances from one value, the deviation needs. */
struct lifetime moments_of(uint32_t count, uint128 sum, uint128 squares);

/* Room for so many samples of a window, and a byte for each and WINDOW_MARKS_MORE. */
uint64_t *window_scratch_area(struct window_scratch *scratch, uint32_t count);
uint8_t *window_scratch_marks(struct window_scratch *scratch, uint32_t count);

#endif /* SHMBUS_AGENT_WINDOW_SELECT_H */
