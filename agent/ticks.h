/* SPDX-License-Identifier: MIT */
/*
 * ticks.h - from a producer's ticks to nanoseconds, and the agent's own clocks.
 *
 * The agent measures the processor's counter against CLOCK_MONOTONIC itself rather than ask a
 * producer for its rate: first over a few milliseconds at start, then over an ever longer span.
 */
#ifndef SHMBUS_AGENT_TICKS_H
#define SHMBUS_AGENT_TICKS_H

#include <stdint.h>

#include <shmbus/clock.h>

#include "lifetime.h"

uint64_t clock_monotonic_ns(void);
uint64_t clock_unix_ns(void);

/* nanoseconds = ticks * multiplier / 2^32 */
struct tick_scale {
	uint64_t multiplier;
};

struct tick_scale tick_scale_of(uint64_t ticks_per_second);

static inline uint64_t ticks_to_ns(struct tick_scale scale, uint64_t ticks)
{
	uint128 ns = (uint128)ticks * scale.multiplier >> 32;

	return ns >> 64 != 0 ? UINT64_MAX : (uint64_t)ns;
}

/* The processor's counter, with its rate as known by now. One owner thread. */
struct counter {
	uint64_t start_ticks;
	uint64_t start_ns;
	uint64_t next_ns; /* when to measure again; 0: it was begun, and not measured yet */
	struct tick_scale scale;
};

/* Begins to measure; it takes about 10 ms, in which there may be other things to do. */
void counter_begin(struct counter *counter);

/* Waits for the rest of them, where they have not passed, and measures. Once is enough. */
void counter_wait(struct counter *counter);

/* Measures again where that gives a better rate. */
void counter_refine(struct counter *counter, uint64_t now_ns);

/* The counter's ticks now, of the source that this machine has; 0 where it has none. */
uint64_t counter_read(void);

#endif /* SHMBUS_AGENT_TICKS_H */
