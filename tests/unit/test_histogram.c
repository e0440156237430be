/* SPDX-License-Identifier: MIT */
/* test_histogram.c - bucket bounds in exact arithmetic, quantiles, merging, scaling. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exhaust.h"
#include "histogram.h"

/* Half a bucket, as a ratio, and a little for the rounding of the reference. */
#define HALF_BUCKET (pow(2, 1.0 / 64) * (1 + 1e-12))

/* v^32 as an integer of 2048 bits, the lowest word first. */
struct power {
	uint32_t words[64];
};

static struct power power_32(uint64_t value)
{
	struct power p = {{1}};
	uint32_t halves[2] = {(uint32_t)value, (uint32_t)(value >> 32)};
	int times;
	int i;
	int j;

	for (times = 0; times < 32; times++) {
		struct power next = {{0}};

		for (j = 0; j < 2; j++) {
			uint64_t carry = 0;

			for (i = 0; i + j < 64; i++) {
				carry += (uint64_t)p.words[i] * halves[j] + next.words[i + j];
				next.words[i + j] = (uint32_t)carry;
				carry >>= 32;
			}
			cr_assert_eq(carry, 0);
		}
		p = next;
	}
	return p;
}

/* The smallest i with p <= 2^i: how many bits there are, one fewer for a power of two. That is
 * the bucket of v, as v <= 2^(i/32) exactly when v^32 <= 2^i. */
static uint32_t power_log2_ceil(const struct power *p)
{
	uint32_t bits = 0;
	uint32_t ones = 0;
	uint32_t i;

	for (i = 0; i < 64; i++) {
		if (p->words[i] != 0)
			bits = i * 32 + 32 - (uint32_t)__builtin_clz(p->words[i]);
		ones += (uint32_t)__builtin_popcount(p->words[i]);
	}
	return bits - (ones == 1);
}

static uint32_t index_exact(uint64_t value)
{
	struct power p = power_32(value);

	return power_log2_ceil(&p);
}

/* The largest integer in or below bucket i: the largest v with v^32 <= 2^i. */
static uint64_t bound_floor(uint32_t index)
{
	uint64_t value = 0;
	int bit;

	for (bit = 63; bit >= 0; bit--)
		if (index_exact(value | UINT64_C(1) << bit) <= index)
			value |= UINT64_C(1) << bit;
	return value;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static double random_normal(uint64_t *state)
{
	double a = ((double)(random_next(state) >> 11) + 0.5) * 0x1p-53;
	double b = ((double)(random_next(state) >> 11) + 0.5) * 0x1p-53;

	return sqrt(-2 * log(a)) * cos(2 * 3.14159265358979323846 * b);
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* numpy.quantile(sorted, q) */
static double quantile_exact(const uint64_t *sorted, size_t count, double q)
{
	double position = q * (double)(count - 1);
	size_t below = (size_t)position;

	if (below + 1 >= count)
		return (double)sorted[count - 1];
	return (double)sorted[below] +
	       ((double)sorted[below + 1] - (double)sorted[below]) * (position - (double)below);
}

static void expect_same(const struct histogram *a, const struct histogram *b)
{
	uint32_t i;

	cr_expect_eq(a->zero_count, b->zero_count);
	for (i = 0; i < HISTOGRAM_LENGTH_MAX; i++) {
		uint64_t left = i - a->first < a->length ? a->buckets[i - a->first] : 0;
		uint64_t right = i - b->first < b->length ? b->buckets[i - b->first] : 0;

		cr_assert_eq(left, right, "bucket %u: %lu, %lu", i, (unsigned long)left,
			     (unsigned long)right);
	}
}

Test(histogram, index_at_every_bucket_edge)
{
	uint32_t i;

	for (i = 0; i <= 2048; i++) {
		uint64_t edge = i == 2048 ? UINT64_MAX : bound_floor(i);

		cr_assert_eq(histogram_index(edge), index_exact(edge), "floor of bound %u", i);
		if (edge != UINT64_MAX)
			cr_assert_eq(histogram_index(edge + 1), index_exact(edge + 1),
				     "above bound %u", i);
		/* From 2^6 on every bucket holds an integer, so the edge is in this very one. */
		if (i >= 192)
			cr_assert_eq(histogram_index(edge), i);
	}
}

Test(histogram, index_of_all_small_values)
{
	uint64_t value;

	for (value = 1; value < 20000; value++)
		cr_assert_eq(histogram_index(value), index_exact(value), "%lu",
			     (unsigned long)value);
}

Test(histogram, index_of_special_values)
{
	uint32_t exponent;

	cr_assert_eq(histogram_index(1), 0);
	cr_assert_eq(histogram_index(2), 32);
	cr_assert_eq(histogram_index(3), 51);
	cr_assert_eq(histogram_index(UINT64_MAX), 2048);
	for (exponent = 0; exponent < 64; exponent++)
		cr_assert_eq(histogram_index(UINT64_C(1) << exponent), 32 * exponent);
}

Test(histogram, thresholds_are_roots)
{
	uint32_t j;

	for (j = 0; j < 32; j++)
		cr_assert_eq(histogram_thresholds[j], bound_floor(63 * 32 + j), "%u", j);
	cr_assert_eq(histogram_thresholds[32], UINT64_MAX);
}

Test(histogram, bounds_and_middles)
{
	int32_t i;

	cr_assert_eq(histogram_bound(0), 1);
	cr_assert_eq(histogram_bound(2048), 0x1p64);
	for (i = -1; i <= 2048; i++) {
		double exact = (double)exp2l((long double)i / 32);

		cr_assert(fabs(histogram_bound(i) - exact) <= exact * 0x1p-52, "%d", i);
	}
	for (i = 161; i <= 2048; i++) {
		double exact = (double)exp2l((i - 0.5L) / 32);

		cr_assert(fabs(histogram_middle((uint32_t)i) - exact) <= exact * 0x1p-52, "%d", i);
	}
	/* Small integers have a bucket each, and are what it stands for. */
	for (i = 1; i <= 32; i++)
		cr_assert_eq(histogram_middle(histogram_index((uint64_t)i)), i);
}

Test(histogram, empty)
{
	struct histogram h = {0};
	struct histogram other = {0};
	uint32_t first;
	uint32_t length;

	cr_assert_eq(histogram_count(&h), 0);
	cr_assert_not(histogram_trim_range(&h, &first, &length));
	cr_assert(histogram_copy(&other, &h));
	cr_assert(histogram_add(&other, &h));
	cr_assert(histogram_downscale(&other, &h, 5, 0));
	cr_assert_eq(histogram_count(&other), 0);
	histogram_clear(&h);
	histogram_free(&h);
}

Test(histogram, folds_every_kind_of_value)
{
	static const uint64_t values[] = {UINT64_C(1) << 63, 0, 1, UINT64_MAX, 2, 0, UINT64_MAX};
	struct histogram h = {0};
	uint32_t first;
	uint32_t length;
	size_t i;

	for (i = 0; i < sizeof values / sizeof values[0]; i++)
		cr_assert(histogram_fold(&h, values[i]));
	cr_assert_eq(histogram_count(&h), 7);
	cr_assert_eq(h.zero_count, 2);
	cr_assert_leq(h.length, HISTOGRAM_LENGTH_MAX);
	cr_assert(histogram_trim_range(&h, &first, &length));
	cr_assert_eq(first, 0);
	cr_assert_eq(length, HISTOGRAM_INDEXES);
	cr_assert_eq(h.buckets[0], 1);
	cr_assert_eq(h.buckets[32], 1);
	cr_assert_eq(h.buckets[63 * 32], 1);
	cr_assert_eq(h.buckets[2048], 2);
	histogram_free(&h);
	cr_assert_eq(h.length, 0);
}

Test(histogram, range_grows_both_ways_and_keeps_counts)
{
	struct histogram h = {0};
	uint64_t expected[HISTOGRAM_LENGTH_MAX] = {0};
	uint64_t state = 11;
	uint32_t i;

	for (i = 0; i < 5000; i++) {
		uint64_t value = random_next(&state) >> (random_next(&state) % 64);

		cr_assert(histogram_fold(&h, value));
		if (value > 0)
			expected[histogram_index(value)]++;
	}
	for (i = 0; i < h.length; i++)
		cr_assert_eq(h.buckets[i], expected[h.first + i]);
	cr_assert_eq(histogram_count(&h), 5000);
	histogram_free(&h);
}

Test(histogram, narrow_data_takes_little_memory)
{
	struct histogram h = {0};
	uint64_t value;

	for (value = 1000; value <= 4000; value++)
		histogram_fold(&h, value);
	cr_assert_leq(h.length, 64 + 32);
	histogram_free(&h);
}

Test(histogram, quantiles_of_1_to_1000)
{
	static const double quantiles[] = {0.5, 0.9, 0.95, 0.99, 0.999};
	static const double exact[] = {500.5, 900.1, 950.05, 990.01, 999.001};
	struct histogram h = {0};
	double results[5];
	uint64_t value;
	int i;

	for (value = 1; value <= 1000; value++)
		histogram_fold(&h, value);
	histogram_quantiles(&h, 1, 1000, quantiles, results, 5);
	for (i = 0; i < 5; i++) {
		cr_expect(results[i] <= exact[i] * HALF_BUCKET &&
				  results[i] >= exact[i] / HALF_BUCKET,
			  "%g: %g is not %g", quantiles[i], results[i], exact[i]);
		cr_expect_eq(results[i], histogram_quantile(&h, 1, 1000, quantiles[i]));
	}
	cr_assert_eq(histogram_quantile(&h, 1, 1000, 0), 1);
	cr_assert_eq(histogram_quantile(&h, 1, 1000, 1), 1000);
	histogram_free(&h);
}

static uint64_t sample(int kind, uint64_t *state)
{
	switch (kind) {
	case 0: /* log-normal */
		return (uint64_t)exp(13 + 0.7 * random_normal(state));
	case 1: /* bimodal */
		return random_next(state) % 10 < 7 ? (uint64_t)(20000 + 500 * random_normal(state))
						   : (uint64_t)(9e8 + 1e7 * random_normal(state));
	case 2: /* a few zeros and small numbers */
		return random_next(state) % 6;
	case 3: /* anything */
		return random_next(state) >> random_next(state) % 64;
	default: /* narrow */
		return (uint64_t)(20833333 + 3000 * random_normal(state));
	}
}

Test(histogram, quantiles_within_half_a_bucket)
{
	static const double quantiles[] = {0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
	static const size_t counts[] = {1, 2, 3, 10, 99, 1000, 20000};
	static uint64_t values[20000];
	uint64_t state = 2024;
	int kind;
	size_t c;
	size_t i;

	for (kind = 0; kind < 5; kind++) {
		for (c = 0; c < sizeof counts / sizeof counts[0]; c++) {
			struct histogram h = {0};
			size_t count = counts[c];
			double results[9];

			for (i = 0; i < count; i++) {
				values[i] = sample(kind, &state);
				histogram_fold(&h, values[i]);
			}
			qsort(values, count, sizeof values[0], compare);
			histogram_quantiles(&h, values[0], values[count - 1], quantiles, results,
					    9);
			for (i = 0; i < 9; i++) {
				double exact = quantile_exact(values, count, quantiles[i]);

				cr_assert(results[i] <= exact * HALF_BUCKET &&
						  results[i] >= exact / HALF_BUCKET,
					  "kind %d, %zu samples, %g: %.17g is not %.17g", kind,
					  count, quantiles[i], results[i], exact);
			}
			histogram_free(&h);
		}
	}
}

Test(histogram, constant_data_is_exact)
{
	static const uint64_t values[] = {0, 1, 2, 12345678, UINT64_C(1) << 63, UINT64_MAX};
	size_t i;
	int j;

	for (i = 0; i < sizeof values / sizeof values[0]; i++) {
		struct histogram h = {0};

		for (j = 0; j < 100; j++)
			histogram_fold(&h, values[i]);
		cr_assert_eq(histogram_quantile(&h, values[i], values[i], 0.5), (double)values[i]);
		cr_assert_eq(histogram_quantile(&h, values[i], values[i], 0.99), (double)values[i]);
		histogram_free(&h);
	}
}

Test(histogram, merging_equals_recording_into_one)
{
	struct histogram parts[3] = {{0}};
	struct histogram merged = {0};
	struct histogram whole = {0};
	uint64_t state = 5;
	int i;

	for (i = 0; i < 3000; i++) {
		uint64_t value = sample(i % 3, &state);

		histogram_fold(&parts[i % 3], value);
		histogram_fold(&whole, value);
	}
	for (i = 0; i < 3; i++)
		cr_assert(histogram_add(&merged, &parts[i]));
	expect_same(&merged, &whole);
	for (i = 0; i < 3; i++)
		histogram_free(&parts[i]);
	histogram_free(&merged);
	histogram_free(&whole);
}

Test(histogram, copies_and_deltas_add_up)
{
	struct histogram series = {0};
	struct histogram before = {0};
	struct histogram sum = {0};
	uint64_t state = 6;
	int i;

	for (i = 1; i <= 4000; i++) {
		histogram_fold(&series, sample(i / 100 % 5, &state));
		if (i % 70 == 0 || i == 4000) {
			cr_assert(histogram_add_delta(&sum, &series, &before));
			cr_assert(histogram_copy(&before, &series));
			expect_same(&before, &series);
		}
	}
	expect_same(&sum, &series);
	histogram_clear(&series);
	cr_assert_eq(histogram_count(&series), 0);
	cr_assert(histogram_copy(&before, &series));
	cr_assert_eq(histogram_count(&before), 0);
	histogram_free(&series);
	histogram_free(&before);
	histogram_free(&sum);
}

/* Recording at a lower schema, from first principles: the smallest i with v <= 2^(i / 2^schema),
 * where the exact index at schema 5 says which power v lies below. */
Test(histogram, downscaling_equals_recording_at_that_schema)
{
	struct histogram h = {0};
	struct histogram low = {0};
	uint64_t values[2000];
	uint64_t state = 9;
	int schema;
	int i;

	for (i = 0; i < 2000; i++) {
		values[i] = i < 70 ? (uint64_t)i : sample(i % 5, &state);
		histogram_fold(&h, values[i]);
	}
	for (schema = 5; schema >= -4; schema--) {
		uint64_t expected[HISTOGRAM_LENGTH_MAX] = {0};
		uint64_t zeros = 0;
		uint32_t j;

		for (i = 0; i < 2000; i++) {
			uint32_t index = 0, exact;

			if (values[i] == 0) {
				zeros++;
				continue;
			}
			/* i / 2^schema >= index5 / 32 */
			exact = index_exact(values[i]);
			while (ldexp(index, 5 - schema) < exact)
				index++;
			expected[index]++;
		}
		cr_assert(histogram_downscale(&low, &h, 5, schema));
		cr_assert_eq(low.zero_count, zeros);
		cr_assert_eq(histogram_count(&low), 2000);
		for (j = 0; j < low.length; j++)
			cr_assert_eq(low.buckets[j], expected[low.first + j], "schema %d", schema);
	}
	histogram_free(&h);
	histogram_free(&low);
}

#if !defined(__SANITIZE_ADDRESS__)
Test(histogram, without_memory_counts_go_to_the_nearest_bucket)
{
	struct histogram h = {0};
	struct histogram empty = {0};
	struct histogram other = {0};
	struct block *blocks;
	bool grown[4];
	bool copied;
	bool added;

	histogram_fold(&h, 900);
	histogram_fold(&other, 1000000);
	blocks = memory_exhaust();
	grown[0] = histogram_fold(&h, 1);
	grown[1] = histogram_fold(&h, UINT64_MAX);
	grown[2] = histogram_fold(&h, 900);
	grown[3] = histogram_fold(&empty, 7);
	added = histogram_add(&h, &other);
	copied = histogram_copy(&empty, &h);
	memory_return(blocks);

	cr_assert_not(grown[0]);
	cr_assert_not(grown[1]);
	cr_assert(grown[2]);
	cr_assert_not(grown[3]);
	cr_assert_not(added);
	cr_assert_not(copied);
	cr_assert_eq(histogram_count(&h), 5);
	cr_assert_eq(h.buckets[0], 1);
	cr_assert_eq(h.buckets[h.length - 1], 2);
	cr_assert_eq(empty.zero_count, 1);
	histogram_free(&h);
	histogram_free(&other);
}
#endif
