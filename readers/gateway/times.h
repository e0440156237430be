/* SPDX-License-Identifier: MIT */
/* times.h - clocks, and what is left to chance so that many do not do the same at once. */
#ifndef SHMBUS_GATEWAY_TIMES_H
#define SHMBUS_GATEWAY_TIMES_H

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t unix_time_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* From 0 to 1, without 1. */
static inline double chance(void)
{
	uint32_t bits = 0;

	if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != sizeof bits)
		bits = (uint32_t)monotonic_ns() * UINT32_C(2654435761);
	return bits * 0x1p-32;
}

#endif /* SHMBUS_GATEWAY_TIMES_H */
