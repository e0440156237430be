/* SPDX-License-Identifier: MIT */
/*
 * shmbus/clock.h - the clock of the hot path: raw ticks, converted to time by the agent.
 *
 * Ticks are the invariant TSC (x86-64, where the kernel itself keeps time by it) or CNTVCT_EL0
 * (aarch64); elsewhere, and where SHMBUS_CLOCK=monotonic is set, CLOCK_MONOTONIC in
 * nanoseconds. The read is not serialising: what surrounds it may move by a few nanoseconds.
 */
#ifndef SHMBUS_CLOCK_H
#define SHMBUS_CLOCK_H

#include <shmbus/types.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

SHMBUS_BEGIN_DECLS

/* Where ticks come from. The numbers are part of the layout in shared memory. */
enum shmbus_clock_source {
	SHMBUS_CLOCK_MONOTONIC = 1, /* CLOCK_MONOTONIC, 1 tick = 1 ns */
	SHMBUS_CLOCK_TSC = 2,       /* x86-64 time stamp counter */
	SHMBUS_CLOCK_CNTVCT = 3,    /* aarch64 virtual counter */
	SHMBUS_CLOCK_INJECTED = 4,  /* shmbus_clock_inject() */
};

/* True while shmbus_now() may read the processor's counter; set before main() runs. */
SHMBUS_PUBLIC extern bool shmbus__clock_is_counter;

/* The clock where the counter is not used. Wait-free: clock_gettime() through the vDSO, or the
 * injected function. */
SHMBUS_PUBLIC uint64_t shmbus__clock_call(void);

/* Ticks now. Any thread; wait-free; no system call. */
static inline uint64_t shmbus_now(void)
{
#if defined(__x86_64__)
	if (SHMBUS_LIKELY(shmbus__clock_is_counter))
		return __rdtsc();
#elif defined(__aarch64__)
	if (SHMBUS_LIKELY(shmbus__clock_is_counter)) {
		uint64_t ticks;

		__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
		return ticks;
	}
#endif
	return shmbus__clock_call();
}

/* Where shmbus_now() takes its ticks from. Any thread. */
SHMBUS_PUBLIC enum shmbus_clock_source shmbus_clock_source(void);

/*
 * Replaces the clock, for tests: `read` returns ticks of which there are `ticks_per_second`
 * (1 to 10^12), must not block and may be called by any thread. NULL brings the machine's clock
 * back. Sessions remember the source they were opened with, so call it before. Returns 0 or
 * -EINVAL.
 */
SHMBUS_PUBLIC int shmbus_clock_inject(uint64_t (*read)(void), uint64_t ticks_per_second);

SHMBUS_END_DECLS

#endif /* SHMBUS_CLOCK_H */
