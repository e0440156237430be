/* SPDX-License-Identifier: MIT */
/* lttng_main.c - the traced program: a process of its own, as LTTng adds threads to those that
 * it traces. Speaks as child.c wants it. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "lttng_events.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(void)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	unsigned count;

	/* The session daemon switches the tracepoint on once it knows this process. */
	for (int i = 0; i < 1000 && !lttng_ust_tracepoint_enabled(shmbus_bench, sample); i++)
		nanosleep(&pause, NULL);
	if (!lttng_ust_tracepoint_enabled(shmbus_bench, sample))
		return 1;
	while (scanf("%u", &count) == 1) {
		uint64_t start = now_ns();

		for (unsigned i = 0; i < count; i++)
			lttng_ust_tracepoint(shmbus_bench, sample, 1, i);
		printf("%" PRIu64 "\n", now_ns() - start);
		fflush(stdout);
	}
	return 0;
}
