/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/clock.h>

int bench_loops_run(const struct bench_loop *loops, size_t count, void *context, uint32_t batches,
		    double *ns)
{
	double *times = calloc(count * batches, sizeof(*times));
	int error = times ? 0 : -ENOMEM;

	for (size_t k = 0; !error && k < (size_t)batches * count; k++) {
		/* Each batch begins with another loop, so that none always follows the same one. */
		size_t batch = k / count, i = (k + batch) % count;
		uint64_t start = shmbus_now();

		loops[i].run(context);
		times[i * batches + batch] =
			(double)(shmbus_now() - start) * bench_ns_per_tick() / loops[i].calls;
		if (loops[i].after)
			error = loops[i].after(context);
		if (error)
			fprintf(stderr, "shmbus-bench: %s: %s\n", loops[i].what, strerror(-error));
	}
	for (size_t i = 0; !error && i < count; i++)
		ns[i] = bench_quantile(&times[i * batches], batches, 0.5);
	free(times);
	return error;
}
