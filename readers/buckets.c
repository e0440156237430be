/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "buckets.h"

#define SCHEMA_MAX 8
/* Buckets up to this value are so narrow that each holds one integer at most. */
#define INTEGERS_MAX 32.0

static int load_counts(struct buckets *buckets, const msgpack_object *counts, size_t length)
{
	buckets->length = length;
	buckets->total = buckets->zeros;
	buckets->counts = calloc(length + 1, sizeof *buckets->counts);
	if (buckets->counts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		if (counts[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
		    counts[i].via.u64 > UINT64_MAX - buckets->total)
			return -EBADMSG;
		buckets->counts[i] = counts[i].via.u64;
		buckets->total += counts[i].via.u64;
	}
	return buckets->total == 0 ? -ENODATA : 0;
}

int buckets_load(struct buckets *buckets, const msgpack_object *metric)
{
	const msgpack_object *histogram = member(metric, "histogram"), *counts = NULL;
	size_t length = member_array(histogram, "buckets", &counts);
	uint64_t schema = member_u64(histogram, "schema", UINT64_MAX);
	uint64_t first = member_u64(histogram, "offset", 0);
	int error;

	*buckets = (struct buckets){.zeros = member_u64(histogram, "zero_count", 0)};
	if (histogram == NULL)
		return -ENODATA;
	if (schema > SCHEMA_MAX || first > UINT64_C(64) << SCHEMA_MAX ||
	    length > (UINT64_C(64) << SCHEMA_MAX) + 1)
		return -EBADMSG;
	buckets->schema = (int)schema;
	buckets->first = (int64_t)first;
	buckets->min = member_real(metric, "min", NAN);
	buckets->max = member_real(metric, "max", NAN);
	error = load_counts(buckets, counts, length);
	if (error == 0 && !(buckets->min <= buckets->max && buckets->min >= 0))
		error = -EBADMSG;
	if (error != 0)
		buckets_free(buckets);
	return error;
}

void buckets_free(struct buckets *buckets)
{
	free(buckets->counts);
	buckets->counts = NULL;
}

double buckets_bound(const struct buckets *buckets, int64_t index)
{
	return exp2(ldexp((double)index, -buckets->schema));
}

double buckets_middle(const struct buckets *buckets, int64_t index)
{
	double middle = exp2(ldexp((double)index - 0.5, -buckets->schema));

	/* A bucket so low holds one integer, which lies at most half a bucket off. */
	if (buckets->schema >= 5 && buckets_bound(buckets, index) <= INTEGERS_MAX)
		return floor(middle + 0.5);
	return middle;
}

/* The bucket of the sample with this rank, from 0, as an offset; -1: it is a zero. *up_to: how
 * many samples there are up to the end of it. */
static int64_t offset_of(const struct buckets *buckets, uint64_t rank, uint64_t *up_to)
{
	uint64_t passed = buckets->zeros;
	size_t next = 0;

	while (rank >= passed && next < buckets->length)
		passed += buckets->counts[next++];
	*up_to = passed;
	return (int64_t)next - 1;
}

static double sample_at(const struct buckets *buckets, uint64_t rank)
{
	uint64_t up_to;
	int64_t offset;
	double middle;

	if (rank == buckets->total - 1)
		return buckets->max;
	if (rank == 0)
		return buckets->min;
	offset = offset_of(buckets, rank, &up_to);
	middle = offset < 0 ? 0 : buckets_middle(buckets, buckets->first + offset);
	return fmin(fmax(middle, buckets->min), buckets->max);
}

double buckets_quantile(const struct buckets *buckets, double quantile)
{
	double last = (double)(buckets->total - 1), position = quantile * last;
	double low, high, fraction;
	uint64_t below;

	if (position >= last)
		return buckets->max;
	below = (uint64_t)position;
	fraction = position - (double)below;
	low = sample_at(buckets, below);
	if (!(fraction > 0))
		return low;
	high = sample_at(buckets, below + 1);
	/* From the nearer one, as numpy does. */
	return fraction < 0.5 ? low + (high - low) * fraction
			      : high - (high - low) * (1 - fraction);
}

uint64_t buckets_up_to(const struct buckets *buckets, uint64_t rank)
{
	uint64_t up_to;

	offset_of(buckets, rank > 0 ? rank - 1 : 0, &up_to);
	return up_to;
}
