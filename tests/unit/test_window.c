/* SPDX-License-Identifier: MIT */
/* test_window.c - the exact window against sorting everything. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "window.h"

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static double random_uniform(uint64_t *state)
{
	return ((double)(random_next(state) >> 11) + 0.5) * 0x1p-53;
}

static double random_normal(uint64_t *state)
{
	return sqrt(-2 * log(random_uniform(state))) *
	       cos(2 * 3.14159265358979323846 * random_uniform(state));
}

enum { KINDS = 12 };

static uint64_t sample(int kind, uint64_t *state)
{
	switch (kind) {
	case 0: /* log-normal */
		return (uint64_t)exp(13 + 0.5 * random_normal(state));
	case 1: /* narrow, far from 0 */
		return (uint64_t)(20833333 + 3000 * random_normal(state));
	case 2: /* the same with outliers far below */
		return random_next(state) % 300 == 0 ? 1000 : sample(1, state);
	case 3: /* few different values */
		return random_next(state) % 5;
	case 4:
		return 12345678;
	case 5: /* all bits */
		return random_next(state);
	case 6: /* two values */
		return random_next(state) % 2 == 0 ? 1000000 : 5000000;
	case 7: /* bimodal */
		return (uint64_t)(random_next(state) % 2 == 0
					  ? exp(10 + .1 * random_normal(state))
					  : exp(18 + .3 * random_normal(state)));
	case 8: /* every power of two */
		return random_next(state) >> random_next(state) % 64;
	case 9: /* clusters within clusters: selecting goes several levels deep */
		return (UINT64_C(1) << 62) +
		       (random_next(state) % 50 == 0 ? UINT64_C(1) << 61 : 0) +
		       (random_next(state) % 20 == 0 ? 0 : UINT64_C(1) << 40) +
		       (random_next(state) % 10 == 0 ? 0 : UINT64_C(1) << 20) +
		       random_next(state) % 3000;
	case 10: /* around the distance from which on keys are not direct */
		return 500 + random_next(state) % 1040;
	default: { /* the special ones */
		static const uint64_t values[] = {
			0, 1, 2, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1};

		return values[random_next(state) % 6];
	}
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static double quantile_exact(const uint64_t *sorted, size_t count, double q)
{
	double position = q * (double)(count - 1);
	size_t below = (size_t)position;
	double fraction = position - (double)below;

	if (below + 1 >= count)
		return (double)sorted[count - 1];
	return (double)sorted[below] +
	       fraction * ((double)sorted[below + 1] - (double)sorted[below]);
}

static void expect_near(double actual, double expected, const char *what)
{
	cr_assert(fabs(actual - expected) <= 1e-14 * fabs(expected), "%s: %.17g is not %.17g", what,
		  actual, expected);
}

/* The summary of the last samples of a sequence, by sorting all of them. */
static void expect_summary(const struct window_summary *s, const uint64_t *values, size_t count)
{
	static uint64_t sorted[WINDOW_SIZE_MAX];
	long double sum = 0;
	long double squares = 0;
	size_t i;

	cr_assert_eq(s->count, count);
	if (count == 0)
		return;
	memcpy(sorted, values, count * sizeof *values);
	qsort(sorted, count, sizeof *sorted, compare);
	/* Centred on the smallest, so that a long double holds the sums. */
	for (i = 0; i < count; i++)
		sum += (long double)(sorted[i] - sorted[0]);
	for (i = 0; i < count; i++) {
		long double off = (long double)(sorted[i] - sorted[0]) - sum / (long double)count;

		squares += off * off;
	}
	cr_assert_eq(s->min, sorted[0]);
	cr_assert_eq(s->max, sorted[count - 1]);
	cr_assert_eq(s->last, values[count - 1]);
	expect_near(s->mean, (double)((long double)sorted[0] + sum / (long double)count), "mean");
	expect_near(s->std, (double)sqrtl(squares / (long double)count), "std");
	expect_near(s->p50, quantile_exact(sorted, count, 0.5), "p50");
	expect_near(s->p95, quantile_exact(sorted, count, 0.95), "p95");
	expect_near(s->p99, quantile_exact(sorted, count, 0.99), "p99");
}

static struct window_scratch *scratch;

/* Of a window that is new to who asks. */
static void summarise(const struct window *w, struct window_summary *s)
{
	struct window_near near = {0};

	window_summarise(w, &near, scratch, s);
}

/* As its owner does it: the first sample that does not fit makes the window wide. */
static void fold(struct window **w, uint64_t value)
{
	if (!window_fits(*w, value)) {
		struct window *wide = window_widened(*w);

		cr_assert(!window_wide(*w) && window_wide(wide));
		window_free(*w);
		*w = wide;
	}
	window_fold(*w, value);
}

/* Makes `into` wide where `from` is. */
static void width_follow(struct window **into, const struct window *from)
{
	struct window *wide;

	if (window_wide(*into) || !window_wide(from))
		return;
	wide = window_widened(*into);
	window_free(*into);
	*into = wide;
}

/* Of 32 bits at first, later of any size. */
static uint64_t growing_next(uint64_t *state, int round, int wide_from)
{
	return round < wide_from ? random_next(state) >> 32 : random_next(state);
}

static void scratch_make(void)
{
	scratch = window_scratch_new(WINDOW_SIZE_MAX);
}

static void scratch_drop(void)
{
	window_scratch_free(scratch);
}

TestSuite(window, .init = scratch_make, .fini = scratch_drop);

Test(window, empty_and_single)
{
	struct window *w = window_new(1000, false);
	struct window_summary s;

	summarise(w, &s);
	cr_assert_eq(s.count, 0);
	cr_assert_eq(window_count(w), 0);

	fold(&w, 77);
	summarise(w, &s);
	cr_assert_eq(s.count, 1);
	cr_assert_eq(s.min, 77);
	cr_assert_eq(s.max, 77);
	cr_assert_eq(s.last, 77);
	cr_assert_eq(s.mean, 77);
	cr_assert_eq(s.std, 0);
	cr_assert_eq(s.p50, 77);
	cr_assert_eq(s.p95, 77);
	cr_assert_eq(s.p99, 77);
	window_free(w);
	window_free(NULL);
}

Test(window, reference_1_to_1000)
{
	struct window *w = window_new(1000, false);
	struct window_summary s;
	uint64_t v;

	for (v = 1; v <= 1000; v++)
		fold(&w, v * 10 % 1001);
	summarise(w, &s);
	cr_assert_eq(s.count, 1000);
	cr_assert_eq(s.mean, 500.5);
	expect_near(s.std, 288.6749902572095, "std");
	cr_assert_eq(s.p50, 500.5);
	cr_assert_eq(s.p95, 950.05);
	cr_assert_eq(s.p99, 990.01);
	cr_assert_eq(s.last, 10 * 1000 % 1001);
	window_free(w);
}

Test(window, summaries_equal_sorting)
{
	static const uint32_t sizes[] = {1, 2, 3, 10, 40, 41, 100, 1000};
	static uint64_t values[4000];
	uint64_t state = 123;
	size_t i;
	int kind;

	for (kind = 0; kind < KINDS; kind++) {
		for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			uint32_t size = sizes[i];
			struct window *w = window_new(size, false);
			struct window_summary s;
			uint32_t j;

			/* Partly filled, filled, wrapped once and more. */
			for (j = 0; j < 3 * size + 20; j++) {
				uint32_t count = j + 1 < size ? j + 1 : size;

				values[j] = sample(kind, &state);
				fold(&w, values[j]);
				if (size == 1000 && j % 97 != 0)
					continue;
				summarise(w, &s);
				expect_summary(&s, values + j + 1 - count, count);
			}
			window_free(w);
		}
	}
}

/* A distribution of 32 bits at most that moves on as rounds go by: slowly, and at times at once. */
static uint64_t moving_sample(int kind, int round, uint64_t *state)
{
	uint64_t value = sample(kind, state);
	uint64_t drift = (uint64_t)round * 1000 + (uint64_t)(round / 60) * 50000000;

	value = (kind == 0 ? value : value % 3000000) + drift;
	/* In the end all there is, up to what does not fit any more. */
	return round % 97 == 96 ? UINT32_MAX - random_next(state) % 2 : value & UINT32_MAX;
}

/* The same window time after time: quantiles are looked for near to where they were. */
Test(window, summaries_of_a_window_that_goes_on)
{
	static const uint32_t sizes[] = {1, 41, 100, 237, 1000, 3000};
	static const uint32_t shares[] = {0, 1, 2, 7, 40, 100}; /* percent of the size */
	static uint64_t values[3000];
	uint64_t state = 4711;

	for (int kind = 0; kind < KINDS; kind++) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			struct window *w = window_new(sizes[i], false);
			struct window_near near = {0};
			struct window_summary s;

			for (int round = 0; round < 200; round++) {
				uint32_t fresh =
					1 + sizes[i] * shares[random_next(&state) % 6] / 100;
				uint32_t count;

				while (fresh-- > 0)
					fold(&w, moving_sample(kind, round, &state));
				count = window_count(w);
				for (uint32_t k = 0; k < count; k++)
					values[k] = window_value(
						w, (w->next + w->size - count + k) % w->size);
				window_summarise(w, &near, scratch, &s);
				expect_summary(&s, values, count);
				/* Once more, with nothing new. */
				window_summarise(w, &near, scratch, &s);
				expect_summary(&s, values, count);
			}
			cr_assert(sizes[i] <= 41 || near.folded == w->folded);
			/* One that does not fit ends it. */
			fold(&w, UINT64_MAX);
			window_summarise(w, &near, scratch, &s);
			cr_assert_eq(s.max, UINT64_MAX);
			cr_assert_eq(near.folded, 0);
			window_free(w);
		}
	}
}

Test(window, largest_window)
{
	static uint64_t values[WINDOW_SIZE_MAX];
	uint64_t state = 5;
	int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct window *w = window_new(WINDOW_SIZE_MAX, false);
		struct window_summary s;
		uint32_t i;

		for (i = 0; i < WINDOW_SIZE_MAX; i++) {
			values[i] = sample(kind, &state);
			fold(&w, values[i]);
		}
		summarise(w, &s);
		expect_summary(&s, values, WINDOW_SIZE_MAX);
		window_free(w);
	}
}

/* One value but for one sample: as many equal keys as there can be. */
Test(window, all_but_one_equal)
{
	struct window *w = window_new(WINDOW_SIZE_MAX, false);
	struct window_summary s;
	uint32_t i;

	for (i = 0; i < WINDOW_SIZE_MAX; i++)
		fold(&w, i == 100 ? 999 : 5000000);
	summarise(w, &s);
	cr_assert_eq(s.min, 999);
	cr_assert_eq(s.p50, 5000000);
	cr_assert_eq(s.p99, 5000000);

	fold(&w, 1);
	for (i = 0; i < WINDOW_SIZE_MAX - 1; i++)
		fold(&w, 0);
	summarise(w, &s);
	cr_assert_eq(s.max, 1);
	cr_assert_eq(s.p99, 0);
	window_free(w);
}

Test(window, incremental_copy_equals_the_original)
{
	static const uint32_t sizes[] = {1, 2, 10, 1000};
	uint64_t state = 77;
	size_t i;

	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint32_t size = sizes[i];
		struct window *w = window_new(size, false);
		struct window *copy = window_new(size, false);
		int round;

		for (round = 0; round < 300; round++) {
			uint64_t fresh =
				random_next(&state) % (size * (round % 3 == 0 ? 3 : 1) + 1);

			while (fresh-- > 0)
				fold(&w, growing_next(&state, round, 150));
			width_follow(&copy, w);
			window_copy(copy, w);
			cr_assert_eq(copy->folded, w->folded);
			cr_assert_eq(copy->next, w->next);
			cr_assert_eq(window_bytes(copy), window_bytes(w));
			for (uint32_t k = 0; k < window_count(w); k++)
				cr_assert_eq(window_value(copy, k), window_value(w, k));
		}
		cr_assert(window_wide(w));
		window_free(w);
		window_free(copy);
	}
}

/* The last samples of a window in the order in which they came. */
static void samples_in_order(const struct window *w, uint64_t *values)
{
	uint32_t count = window_count(w);
	uint32_t i;

	for (i = 0; i < count; i++)
		values[i] = window_value(w, (w->next + w->size - count + i) % w->size);
}

Test(window, appended_tail_equals_folding)
{
	static const uint32_t sizes[] = {1, 2, 7, 10, 100, 1000};
	static uint64_t expected[1000];
	static uint64_t actual[1000];
	uint64_t state = 99;
	size_t i;
	size_t j;

	for (i = 0; i < 6; i++) {
		for (j = 0; j < 6; j++) {
			struct window *from = window_new(sizes[i], false);
			struct window *into = window_new(sizes[j], false);
			struct window *naive = window_new(sizes[j], false);
			int round;

			for (round = 0; round < 100; round++) {
				uint64_t before = from->folded;
				uint64_t fresh = random_next(&state) % (2 * sizes[i]);
				uint64_t n;

				for (n = 0; n < fresh; n++) {
					uint64_t value = growing_next(&state, round, 50);

					fold(&from, value);
					/* Overwritten before they could be appended. */
					if (fresh - n <= sizes[i])
						fold(&naive, value);
				}
				width_follow(&into, from);
				window_append_tail(into, from, before);
				cr_assert_eq(into->folded, naive->folded);
				samples_in_order(into, actual);
				samples_in_order(naive, expected);
				cr_assert_arr_eq(actual, expected,
						 window_count(naive) * sizeof *actual);
			}
			window_free(from);
			window_free(into);
			window_free(naive);
		}
	}
}
