/* SPDX-License-Identifier: MIT */
/* pace.h - single calls at a steady pace, each timed. */
#ifndef SHMBUS_BENCH_PACE_H
#define SHMBUS_BENCH_PACE_H

#include <shmbus/clock.h>

#include "bench.h"

/* What is measured: it gets the time that it was due at and the one it began at. */
typedef void (*bench_call)(void *context, uint64_t due, uint64_t now);

/*
 * Makes `calls` calls, `rate` a second: each starts at its time, or at once where that has
 * passed. Inlined, so that a call that is known here costs no call.
 */
static inline __attribute__((always_inline)) void bench_pace(uint32_t rate, uint32_t calls,
							     bench_call call, void *context,
							     struct bench_distribution *times)
{
	double ticks = 1e9 / rate / bench_ns_per_tick();
	uint64_t begin = shmbus_now();

	for (uint32_t i = 0; i < calls; i++) {
		uint64_t due = begin + (uint64_t)(ticks * i), start, end;

		do
			start = shmbus_now();
		while ((int64_t)(start - due) < 0);
		start = shmbus_now();
		call(context, due, start);
		end = shmbus_now();
		bench_distribution_add(times, end - start);
	}
}

#endif /* SHMBUS_BENCH_PACE_H */
