/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "ticks.h"

#define NS_PER_SECOND 1000000000u
#define FIRST_SPAN_NS 10000000u

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_unix_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t counter_read(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

struct tick_scale tick_scale_of(uint64_t ticks_per_second)
{
	uint128 scaled = ((uint128)NS_PER_SECOND << 32) + ticks_per_second / 2;

	return (struct tick_scale){(uint64_t)(scaled / ticks_per_second)};
}

/* Both clocks at one moment: of a few tries the one with the least time in between. */
static void both_read(uint64_t *ticks, uint64_t *ns)
{
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = counter_read();
		uint64_t time = clock_monotonic_ns();
		uint64_t after = counter_read();

		if (after - before >= shortest)
			continue;
		shortest = after - before;
		*ticks = before + (after - before) / 2;
		*ns = time;
	}
}

static void measure(struct counter *counter)
{
	uint64_t ticks = 0, ns = 0;

	both_read(&ticks, &ns);
	if (ticks > counter->start_ticks && ns > counter->start_ns)
		counter->scale.multiplier = (uint64_t)(((uint128)(ns - counter->start_ns) << 32) /
						       (ticks - counter->start_ticks));
}

void counter_begin(struct counter *counter)
{
	*counter = (struct counter){.scale = {1ull << 32}};
	both_read(&counter->start_ticks, &counter->start_ns);
}

void counter_wait(struct counter *counter)
{
	uint64_t passed_ns = clock_monotonic_ns() - counter->start_ns;
	struct timespec rest = {.tv_nsec = (long)(FIRST_SPAN_NS - passed_ns)};

	if (counter->next_ns != 0)
		return;
	if (passed_ns < FIRST_SPAN_NS)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
	measure(counter);
	counter->next_ns = counter->start_ns + 10ull * FIRST_SPAN_NS;
}

void counter_refine(struct counter *counter, uint64_t now_ns)
{
	if (now_ns < counter->next_ns)
		return;
	measure(counter);
	/* Each span is twice the last one, up to a minute: then the clocks' drift counts more. */
	counter->next_ns = now_ns + (now_ns - counter->start_ns < 60ull * NS_PER_SECOND
					     ? now_ns - counter->start_ns
					     : 60ull * NS_PER_SECOND);
}
