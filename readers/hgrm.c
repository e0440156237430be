/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>

#include "hgrm.h"

#define STEPS_A_HALVING 5

static void print_line(FILE *out, const struct buckets *buckets, double part)
{
	/* The sample that has `part` of them all at or before it. */
	uint64_t rank = (uint64_t)fmin(ceil(part * (double)buckets->total), 0x1p63);

	fprintf(out, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", buckets_quantile(buckets, part), part,
		buckets_up_to(buckets, rank < buckets->total ? rank : buckets->total),
		1 / (1 - part));
}

void hgrm_print(FILE *out, const struct buckets *buckets, double mean, double std)
{
	double left = 1; /* of all samples, at the beginning of a halving */

	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	/* Beyond one sample in all there is nothing new. */
	for (; left * (double)buckets->total >= 1 && left > 1e-12; left /= 2)
		for (int step = 0; step < STEPS_A_HALVING; step++)
			print_line(out, buckets, 1 - left + left / 2 * step / STEPS_A_HALVING);
	fprintf(out, "%12.3f %2.12f %10" PRIu64 "\n", buckets->max, 1.0, buckets->total);
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean, std);
	fprintf(out, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", buckets->max,
		buckets->total);
	fprintf(out, "#[Buckets = %12zu, SubBuckets     = %12d]\n",
		(buckets->length >> buckets->schema) + 1, 1 << buckets->schema);
}
