/* SPDX-License-Identifier: MIT */
/* clock_private.h - what the library and the agent know of clocks beyond shmbus_now(). */
#ifndef SHMBUS_CLOCK_PRIVATE_H
#define SHMBUS_CLOCK_PRIVATE_H

#include <stdint.h>

#define SHMBUS__TICK_HZ_MAX 1000000000000ull

/* Ticks a second of the current source; 0 where only measuring tells. */
uint64_t shmbus__clock_hz(void);

#endif /* SHMBUS_CLOCK_PRIVATE_H */
