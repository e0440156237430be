/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <string.h>

#define LINEAR_BITS 14
#define SUB_BITS 7

void bench_distribution_clear(struct bench_distribution *distribution)
{
	memset(distribution, 0, sizeof(*distribution));
	distribution->step = bench_tick_step();
}

uint32_t bench_distribution_index(uint64_t ticks)
{
	uint32_t exponent, sub;

	if (ticks < 1u << LINEAR_BITS)
		return (uint32_t)ticks;
	exponent = 63u - (uint32_t)__builtin_clzll(ticks);
	sub = (uint32_t)(ticks >> (exponent - SUB_BITS)) & ((1u << SUB_BITS) - 1);
	return (1u << LINEAR_BITS) + (exponent - LINEAR_BITS) * (1u << SUB_BITS) + sub;
}

/* The largest value of a bucket. */
uint64_t bench_distribution_value(uint32_t index)
{
	uint32_t beyond = index - (1u << LINEAR_BITS), exponent;
	uint64_t mantissa;

	if (index < 1u << LINEAR_BITS)
		return index;
	exponent = (beyond >> SUB_BITS) + LINEAR_BITS;
	mantissa = (1u << SUB_BITS) + (beyond & ((1u << SUB_BITS) - 1));
	return ((mantissa + 1) << (exponent - SUB_BITS)) - 1;
}

void bench_distribution_merge(struct bench_distribution *into,
			      const struct bench_distribution *from)
{
	for (size_t i = 0; i < sizeof(into->counts) / sizeof(into->counts[0]); i++)
		into->counts[i] += from->counts[i];
	into->count += from->count;
	if (from->max > into->max)
		into->max = from->max;
}

double bench_distribution_quantile(const struct bench_distribution *distribution, double q)
{
	double rank = q * (double)distribution->count, below = 0;

	for (uint32_t i = 0; i < sizeof(distribution->counts) / sizeof(distribution->counts[0]);
	     i++) {
		double here = (double)distribution->counts[i], value, step;

		if (here == 0 || below + here < rank) {
			below += here;
			continue;
		}
		value = (double)bench_distribution_value(i);
		/* A clock that moves in steps says of each time only which step it was. */
		step = (double)distribution->step;
		if (i >= 1u << LINEAR_BITS || step > value)
			step = 0;
		value -= step * (1 - (rank - below) / here);
		return value < (double)distribution->max ? value : (double)distribution->max;
	}
	return (double)distribution->max;
}

void bench_distribution_curve(struct bench *bench, const char *plot, const char *name,
			      const struct bench_distribution *distribution)
{
	struct bench_point points[128];
	size_t count = 0;

	/* Ten points a factor of ten, up to where single samples stand. */
	for (double beyond = 1; count < 128 && beyond <= (double)distribution->count;
	     beyond *= 1.2589254117941673)
		points[count++] = (struct bench_point){
			beyond, bench_distribution_quantile(distribution, 1 - 1 / beyond) *
					bench_ns_per_tick()};
	bench_curve(bench, plot, name, "1/(1-q)", "ns", points, count);
}
