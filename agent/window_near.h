/* SPDX-License-Identifier: MIT */
/* window_near.h - statistics of a window that is much as it was. Private to those of windows. */
#ifndef SHMBUS_AGENT_WINDOW_NEAR_H
#define SHMBUS_AGENT_WINDOW_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "window_select.h"

/* A quantile lies between the samples of two ranks. */
struct window_quantile {
	uint32_t below; /* ranks */
	uint32_t next;
	uint32_t reach; /* how many ranks it may move until the next time */
	uint64_t low;   /* the samples of these ranks, once they are found */
	uint64_t high;
};

/* The ranks, of so many, that its two may be at the next time. */
static inline uint32_t quantile_from(uint32_t below, uint32_t reach)
{
	return below > reach ? below - reach : 0;
}

static inline uint32_t quantile_to(uint32_t next, uint32_t reach, uint32_t count)
{
	return count - 1 - next > reach ? next + reach : count - 1;
}

/*
 * Finds the samples of all quantiles, and minimum, maximum, mean and deviation, in one look at the
 * samples, if they are where `near` says; then notes in it where they are to be looked for next.
 * False where they are not, with nothing changed.
 */
bool window_near_find(const uint32_t *samples, uint32_t count, struct window_near *near,
		      struct window_scratch *scratch,
		      struct window_quantile quantiles[WINDOW_QUANTILES],
		      struct window_summary *summary);

#endif /* SHMBUS_AGENT_WINDOW_NEAR_H */
