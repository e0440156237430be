/* SPDX-License-Identifier: MIT */
/*
 * histogram.h - a base-2 exponential histogram with integer-only indexing.
 *
 * Bucket i covers (base^(i-1), base^i] with base = 2^(2^-5): 32 buckets for each power of two,
 * exactly the native histogram of Prometheus with schema 5. A value is at most 1.09 % away from
 * the geometric middle of its bucket. The value 0 has a counter of its own, 1 is in bucket 0,
 * 2^64 - 1 in bucket 2048, so every uint64_t has its place.
 *
 * The index needs no floating point. A shift brings the value's top bit to bit 63; the position
 * of that bit gives the power of two, and counting the bounds 2^63 * 2^(j/32) below the shifted
 * value gives the rest. All bounds but the first are irrational, so comparing with their integer
 * parts is exact. The six bits after the top one say how many bounds are below but for one,
 * which one comparison settles.
 *
 * Buckets are kept for one contiguous range that grows as values come. A struct histogram that
 * is all zeros is a valid empty one. It has one owner thread; nothing here is atomic.
 *
 * No sample is ever lost from the count: if memory for a wider range cannot be had, samples
 * outside the range go to the nearest bucket there is or, with no bucket at all, to zero_count,
 * and the function returns false.
 */
#ifndef SHMBUS_AGENT_HISTOGRAM_H
#define SHMBUS_AGENT_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SCHEMA 5
#define HISTOGRAM_INDEXES 2049u    /* 0 to 2048 */
#define HISTOGRAM_LENGTH_MAX 2064u /* of the widest range: ranges are in steps of 16 */

struct histogram {
	uint64_t *buckets;
	uint64_t zero_count;
	uint32_t first;  /* the index of buckets[0] */
	uint32_t length; /* of buckets */
};

/* floor(2^63 * 2^(j/32)) for j = 0 to 31, then UINT64_MAX. */
extern const uint64_t histogram_thresholds[33];
/* How many thresholds are below any value with these six bits after the top one. */
extern const uint8_t histogram_thresholds_below[64];

/* The bucket of a value > 0. */
static inline uint32_t histogram_index(uint64_t value)
{
	uint32_t exponent = 63u ^ (uint32_t)__builtin_clzll(value);
	uint64_t mantissa = value << (63u ^ exponent);
	uint32_t below = histogram_thresholds_below[(mantissa >> 57) & 63];

	return exponent * 32 + below + (mantissa > histogram_thresholds[below]);
}

bool histogram_fold_outside(struct histogram *h, uint32_t index);

/* Counts one value; false if it had to be counted elsewhere for want of memory. */
static inline bool histogram_fold(struct histogram *h, uint64_t value)
{
	uint32_t index;

	if (__builtin_expect(value == 0, 0)) {
		h->zero_count++;
		return true;
	}
	index = histogram_index(value);
	if (__builtin_expect(index - h->first >= h->length, 0))
		return histogram_fold_outside(h, index);
	h->buckets[index - h->first]++;
	return true;
}

/* Gives the buckets back and leaves an empty histogram. */
void histogram_free(struct histogram *h);

/* Sets all counts to 0 and keeps the buckets. */
void histogram_clear(struct histogram *h);

/* Widens the range so that it holds these indexes; counts stay. False: no memory, unchanged. */
bool histogram_cover(struct histogram *h, uint32_t first, uint32_t length);

/* Makes `into` equal to `from`, in the storage of `into` where that fits. On false (no memory)
 * `into` is as it was. */
bool histogram_copy(struct histogram *into, const struct histogram *from);

/* Adds every count of `from`. */
bool histogram_add(struct histogram *into, const struct histogram *from);

/* Adds what `now` has beyond `before`, an earlier copy of the same histogram. */
bool histogram_add_delta(struct histogram *into, const struct histogram *now,
			 const struct histogram *before);

/* All samples, the zeros included. */
uint64_t histogram_count(const struct histogram *h);

/*
 * Makes `into` the same data with 2^schema_to buckets for each power of two, where
 * -4 <= schema_to <= schema_from: exactly what recording at that schema would have given. The
 * two are different histograms. `into` has indexes of its own schema, so it cannot take part in
 * any other function here but clear, count, copy, free, trim_range.
 */
bool histogram_downscale(struct histogram *into, const struct histogram *from, int schema_from,
			 int schema_to);

/* The smallest range of indexes that holds every bucket above 0; false if there is none. */
bool histogram_trim_range(const struct histogram *h, uint32_t *first, uint32_t *length);

/* Upper bound of bucket i: 2^(i/32), correctly rounded; its lower bound is that of i - 1, and
 * -1 is allowed for it. */
double histogram_bound(int32_t index);

/* What a sample of this bucket is taken to be: the geometric middle, or the one integer in the
 * bucket up to 32, where buckets are that narrow. */
double histogram_middle(uint32_t index);

/*
 * Quantiles (each 0 to 1, in ascending order) by numpy's linear interpolation between the two
 * neighbouring samples, each of which is estimated by the middle of its bucket: within half a
 * bucket of the exact result, and exact for constant data. `min` and `max` are those of the
 * samples: estimates stay between them, and the first and the last sample are known exactly.
 * The histogram is not empty. All are found in one pass over the buckets.
 */
void histogram_quantiles(const struct histogram *h, uint64_t min, uint64_t max,
			 const double quantiles[], double results[], size_t count);
double histogram_quantile(const struct histogram *h, uint64_t min, uint64_t max, double quantile);

/* Buckets whose counts take 2^width bytes each, as time windows keep them. */
struct counters {
	const void *at;
	uint32_t width; /* 0 to 3 */
	uint32_t first; /* the index of the first one */
	uint32_t length;
	uint64_t zero_count;
};

/* With a constant width this is one load. */
static inline __attribute__((always_inline)) uint64_t counter_get(const void *counters, uint32_t i,
								  uint32_t width)
{
	switch (width) {
	case 0:
		return ((const uint8_t *)counters)[i];
	case 1:
		return ((const uint16_t *)counters)[i];
	case 2:
		return ((const uint32_t *)counters)[i];
	default:
		return ((const uint64_t *)counters)[i];
	}
}

/* As histogram_quantiles(), of `samples` in all. */
void counters_quantiles(const struct counters *c, uint64_t samples, uint64_t min, uint64_t max,
			const double quantiles[], double results[], size_t count);

#endif /* SHMBUS_AGENT_HISTOGRAM_H */
