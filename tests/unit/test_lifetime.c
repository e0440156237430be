/* SPDX-License-Identifier: MIT */
/* test_lifetime.c - exact sums, mean and deviation, merging, ranks. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>

#include "lifetime.h"

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static void fold_all(struct lifetime *l, const uint64_t *values, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		lifetime_fold(l, values[i]);
}

static void expect_near(double actual, double expected, double relative)
{
	cr_expect(fabs(actual - expected) <= relative * fabs(expected), "%.17g is not %.17g",
		  actual, expected);
}

static void expect_same(const struct lifetime *a, const struct lifetime *b)
{
	cr_expect_eq(a->count, b->count);
	cr_expect_eq(a->min, b->min);
	cr_expect_eq(a->max, b->max);
	cr_expect_eq(a->peak, b->peak);
	cr_expect_eq(a->sum_low, b->sum_low);
	cr_expect_eq(a->sum_high, b->sum_high);
	cr_expect_eq(a->squares_low, b->squares_low);
	cr_expect_eq(a->squares_middle, b->squares_middle);
	cr_expect_eq(a->squares_high, b->squares_high);
}

Test(lifetime, empty)
{
	struct lifetime l = LIFETIME_EMPTY;

	cr_assert_eq(l.count, 0);
	cr_assert_eq(l.min, UINT64_MAX);
	cr_assert_eq(l.max, 0);
	cr_assert_eq(lifetime_peak_take(&l), 0);
	cr_assert_eq(lifetime_sum(&l), 0);
}

Test(lifetime, single_sample)
{
	static const uint64_t values[] = {0, 1, 2, 999, UINT64_C(1) << 63, UINT64_MAX};
	size_t i;

	for (i = 0; i < sizeof values / sizeof values[0]; i++) {
		struct lifetime l = LIFETIME_EMPTY;

		lifetime_fold(&l, values[i]);
		cr_assert_eq(l.count, 1);
		cr_assert_eq(l.min, values[i]);
		cr_assert_eq(l.max, values[i]);
		cr_assert_eq(lifetime_sum(&l), values[i]);
		cr_assert_eq(lifetime_mean(&l), (double)values[i]);
		cr_assert_eq(lifetime_std(&l), 0);
	}
}

Test(lifetime, reference_1_to_1000)
{
	struct lifetime l = LIFETIME_EMPTY;
	uint64_t v;

	for (v = 1; v <= 1000; v++)
		lifetime_fold(&l, v);
	cr_assert_eq(l.count, 1000);
	cr_assert_eq(l.min, 1);
	cr_assert_eq(l.max, 1000);
	cr_assert_eq(lifetime_sum(&l), 500500);
	cr_assert_eq(lifetime_mean(&l), 500.5);
	expect_near(lifetime_std(&l), 288.6749902572095, 1e-15);
}

Test(lifetime, extreme_values)
{
	static const uint64_t values[] = {0, 1, 2, UINT64_C(1) << 63, UINT64_MAX};
	struct lifetime l = LIFETIME_EMPTY;
	struct lifetime ends = LIFETIME_EMPTY;
	struct lifetime top = LIFETIME_EMPTY;

	/* numpy, with these as float64, gives the same to the last digits. */
	fold_all(&l, values, 5);
	expect_near(lifetime_mean(&l), 0x1.8p64 / 5, 1e-15);
	expect_near(lifetime_std(&l),
		    0x1p64 * sqrt((2 * .3 * .3 + .3 * .3 + .2 * .2 + .7 * .7) / 5), 1e-12);

	fold_all(&ends, (const uint64_t[]){0, UINT64_MAX, 0, UINT64_MAX}, 4);
	expect_near(lifetime_mean(&ends), 0x1p63, 1e-15);
	expect_near(lifetime_std(&ends), 0x1p63, 1e-15);

	/* One apart at the very top. */
	fold_all(&top, (const uint64_t[]){UINT64_MAX, UINT64_MAX - 1}, 2);
	cr_assert_eq(lifetime_std(&top), 0.5);
	fold_all(&top, (const uint64_t[]){UINT64_MAX, UINT64_MAX}, 2);
	expect_near(lifetime_std(&top), sqrt(3.0 / 16), 1e-15);
}

Test(lifetime, sums_carry_beyond_128_bits)
{
	struct lifetime l = LIFETIME_EMPTY;
	uint64_t i;

	for (i = 0; i < 100000; i++)
		lifetime_fold(&l, UINT64_MAX);
	cr_assert_eq(lifetime_sum(&l), (uint128)UINT64_MAX * 100000);
	/* (2^64 - 1)^2 = 2^128 - 2^65 + 1. */
	cr_assert_eq(l.squares_high, 99999);
	cr_assert_eq(l.squares_middle, UINT64_MAX - 2 * 100000 + 1);
	cr_assert_eq(l.squares_low, 100000);
	cr_assert_eq(lifetime_std(&l), 0);
	expect_near(lifetime_mean(&l), 0x1p64, 1e-15);
}

Test(lifetime, small_deviation_beside_large_mean)
{
	static const uint64_t offsets[] = {0, 1, 20833333, UINT64_C(1) << 40, UINT64_C(1) << 62};
	uint64_t state = 7;
	size_t i;

	for (i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		struct lifetime l = LIFETIME_EMPTY;
		long double sum = 0;
		long double squares = 0;
		long double mean;
		uint64_t values[1000];
		size_t j;

		for (j = 0; j < 1000; j++) {
			values[j] = random_next(&state) % 5;
			sum += values[j];
			lifetime_fold(&l, offsets[i] + values[j]);
		}
		mean = sum / 1000;
		for (j = 0; j < 1000; j++)
			squares +=
				((long double)values[j] - mean) * ((long double)values[j] - mean);
		expect_near(lifetime_std(&l), (double)sqrtl(squares / 1000), 1e-15);
		expect_near(lifetime_mean(&l), (double)((long double)offsets[i] + mean), 1e-15);
	}
}

Test(lifetime, one_sample_off_among_millions)
{
	struct lifetime l = LIFETIME_EMPTY;
	double n = 5000000;
	uint64_t i;

	for (i = 0; i < 4999999; i++)
		lifetime_fold(&l, 1000000000);
	lifetime_fold(&l, 1000000001);
	expect_near(lifetime_std(&l), sqrt((n - 1) / (n * n)), 1e-12);
}

Test(lifetime, merging_equals_recording_into_one)
{
	uint64_t state = 42;
	int round;

	for (round = 0; round < 50; round++) {
		struct lifetime parts[3] = {LIFETIME_EMPTY, LIFETIME_EMPTY, LIFETIME_EMPTY};
		struct lifetime merged = LIFETIME_EMPTY;
		struct lifetime whole = LIFETIME_EMPTY;
		int i;

		for (i = 0; i < 200; i++) {
			uint64_t value = random_next(&state) >> (round % 64);

			lifetime_fold(&parts[i % 3], value);
			lifetime_fold(&whole, value);
		}
		for (i = 0; i < 3; i++)
			lifetime_add(&merged, &parts[i]);
		expect_same(&merged, &whole);
	}
}

Test(lifetime, adding_an_empty_one_changes_nothing)
{
	struct lifetime empty = LIFETIME_EMPTY;
	struct lifetime l = LIFETIME_EMPTY;
	struct lifetime copy;

	lifetime_fold(&l, 5);
	copy = l;
	lifetime_add(&l, &empty);
	expect_same(&l, &copy);
	lifetime_add(&empty, &l);
	expect_same(&empty, &l);
}

Test(lifetime, deltas_add_up)
{
	struct lifetime series = LIFETIME_EMPTY;
	struct lifetime before = LIFETIME_EMPTY;
	struct lifetime sum = LIFETIME_EMPTY;
	uint64_t state = 3;
	int i;

	for (i = 1; i <= 1000; i++) {
		lifetime_fold(&series, random_next(&state));
		if (i % 7 == 0 || i == 1000) {
			lifetime_add_delta(&sum, &series, &before);
			before = series;
		}
	}
	expect_same(&sum, &series);
}

Test(lifetime, peak_is_of_the_period)
{
	struct lifetime l = LIFETIME_EMPTY;

	lifetime_fold(&l, 10);
	lifetime_fold(&l, 4);
	cr_assert_eq(lifetime_peak_take(&l), 10);
	lifetime_fold(&l, 6);
	cr_assert_eq(lifetime_peak_take(&l), 6);
	cr_assert_eq(lifetime_peak_take(&l), 0);
	cr_assert_eq(l.max, 10);
}

Test(lifetime, ranks_are_numpys)
{
	struct rank rank = rank_of(0.95, 1000);

	cr_assert_eq(rank.below, 949);
	cr_assert_eq(rank_blend(950, 951, rank.fraction), 950.05);
	rank = rank_of(0.5, 1);
	cr_assert_eq(rank.below, 0);
	cr_assert_eq(rank.fraction, 0);
	rank = rank_of(1, 77);
	cr_assert_eq(rank.below, 76);
	cr_assert_eq(rank.fraction, 0);
	rank = rank_of(1, UINT64_MAX);
	cr_assert_eq(rank.below, UINT64_MAX - 1);
	cr_assert_eq(rank_blend(3, 3, 0.7), 3);
}
