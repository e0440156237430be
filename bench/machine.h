/* SPDX-License-Identifier: MIT */
/* machine.h - what the figures were measured on. */
#ifndef SHMBUS_BENCH_MACHINE_H
#define SHMBUS_BENCH_MACHINE_H

#include <jansson.h>

#include "bench.h"

struct machine {
	char processor[128];   /* "" where the kernel does not say */
	char architecture[68]; /* as uname(2) has it */
	char kernel[68];
	char clock_source[32]; /* of the kernel */
	char siblings[32];     /* processors that share the producer's core */
	char governor[32];     /* of its frequency; "" where it has none */
	char hypervisor[64];   /* "" for none that shows */
	const char *clock;     /* of shmbus_now() */
	double ns_per_tick;
	double step_ns; /* of that clock */
	long processors;
	double load; /* average of the last minute, before the run */
	struct bench_cpus cpus;
};

int machine_read(struct machine *machine);
void machine_print(const struct machine *machine);
json_t *machine_json(const struct machine *machine);

/* How all of it is measured, line by line, NULL at the end. */
extern const char *const machine_method[];

#endif /* SHMBUS_BENCH_MACHINE_H */
