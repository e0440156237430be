/* SPDX-License-Identifier: MIT */
/* clock.c - which clock the hot path reads, decided once before main(). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/clock.h>

#include "clock_private.h"
#include "internal.h"

bool shmbus__clock_is_counter;

/* The injected clock; read by every thread that calls shmbus_now(). */
static _Atomic(uint64_t (*)(void)) injected;
static uint64_t injected_hz;

/*
 * The TSC is trusted where the kernel keeps time by it: the kernel has checked that it is
 * constant, does not stop, and agrees between the cores, and goes on checking.
 */
static bool counter_trusted(void)
{
#if defined(__x86_64__)
	char name[16] = "";
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
		      O_RDONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return false;
	size = read(fd, name, sizeof name - 1);
	close(fd);
	return size >= 3 && strncmp(name, "tsc", 3) == 0;
#elif defined(__aarch64__)
	return true;
#else
	return false;
#endif
}

static bool counter_wanted(void)
{
	const char *clock = secure_getenv("SHMBUS_CLOCK");

	return (clock == NULL || strcmp(clock, "monotonic") != 0) && counter_trusted();
}

__attribute__((constructor)) static void clock_choose(void)
{
	int error = errno;

	shmbus__clock_is_counter = counter_wanted();
	errno = error;
}

uint64_t shmbus__clock_call(void)
{
	/* A-inject acquire: sees injected_hz; pairs with R-inject in shmbus_clock_inject(). */
	uint64_t (*read_clock)(void) = atomic_load_explicit(&injected, memory_order_acquire);
	struct timespec now;

	if (read_clock != NULL)
		return read_clock();
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

enum shmbus_clock_source shmbus_clock_source(void)
{
	if (atomic_load_explicit(&injected, memory_order_acquire) != NULL)
		return SHMBUS_CLOCK_INJECTED;
	if (!shmbus__clock_is_counter)
		return SHMBUS_CLOCK_MONOTONIC;
#if defined(__aarch64__)
	return SHMBUS_CLOCK_CNTVCT;
#else
	return SHMBUS_CLOCK_TSC;
#endif
}

uint64_t shmbus__clock_hz(void)
{
	switch (shmbus_clock_source()) {
	case SHMBUS_CLOCK_INJECTED:
		return injected_hz;
	case SHMBUS_CLOCK_MONOTONIC:
		return 1000000000u;
	default:
		return 0; /* the agent measures the counter itself */
	}
}

int shmbus_clock_inject(uint64_t (*read)(void), uint64_t ticks_per_second)
{
	if (read != NULL && (ticks_per_second == 0 || ticks_per_second > SHMBUS__TICK_HZ_MAX))
		return shmbus__fail(-EINVAL, "ticks_per_second must be 1 to %llu",
				    (unsigned long long)SHMBUS__TICK_HZ_MAX);
	injected_hz = ticks_per_second;
	/* R-inject release: publishes injected_hz; pairs with A-inject. */
	atomic_store_explicit(&injected, read, memory_order_release);
	shmbus__clock_is_counter = read == NULL && counter_wanted();
	return 0;
}
