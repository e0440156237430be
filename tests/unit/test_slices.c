/* SPDX-License-Identifier: MIT */
/* test_slices.c - time windows against keeping every hand-over for ever. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exhaust.h"
#include "slices.h"
#include "windows.h"

#define NS UINT64_C(1000000000)

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* What was handed over in one call. */
struct handover {
	uint32_t start_s;
	uint32_t end_s;
	uint64_t begin; /* index of its first sample */
	uint64_t end;
};

/* A metric with slices, and with all that it ever had, to compare. */
struct subject {
	struct slices slices;
	struct histogram histogram;
	struct lifetime lifetime;
	uint64_t began_s;
	uint32_t now_s;
	uint32_t handovers_count;
	uint64_t samples_count;
	struct handover handovers[20000];
	uint64_t samples[400000];
};

static struct subject *subject_new(uint64_t began_s)
{
	struct subject *subject = calloc(1, sizeof *subject);

	subject->lifetime = LIFETIME_EMPTY;
	subject->began_s = began_s;
	cr_assert(slices_begin(&subject->slices, began_s, NULL, NULL));
	return subject;
}

static void subject_free(struct subject *subject)
{
	slices_free(&subject->slices);
	histogram_free(&subject->histogram);
	free(subject);
}

static void subject_record(struct subject *subject, uint64_t value)
{
	histogram_fold(&subject->histogram, value);
	lifetime_fold(&subject->lifetime, value);
	subject->samples[subject->samples_count++] = value;
}

static bool subject_advance(struct subject *subject, uint32_t now_s)
{
	struct handover *last = &subject->handovers[subject->handovers_count];

	last->start_s = subject->now_s;
	last->end_s = now_s;
	last->begin = subject->handovers_count == 0 ? 0 : last[-1].end;
	last->end = subject->samples_count;
	subject->handovers_count++;
	subject->now_s = now_s;
	return slices_advance(&subject->slices, subject->began_s + now_s, &subject->histogram,
			      &subject->lifetime, lifetime_peak_take(&subject->lifetime));
}

static const uint32_t steps_s[SLICES_WINDOWS] = {1, 10, 60, 60};
static const uint32_t lengths_s[SLICES_WINDOWS] = {10, 60, 300, 900};

/* The smallest value of a bucket, by bisection. */
static uint64_t bucket_min(uint32_t index)
{
	uint64_t below = 0; /* in a lower bucket, or 0 */
	uint64_t min = UINT64_MAX;

	while (min - below > 1) {
		uint64_t middle = below + (min - below) / 2;

		if (histogram_index(middle) < index)
			below = middle;
		else
			min = middle;
	}
	return min;
}

/* The window from its definition: every hand-over belongs to the step in which it ended; the
 * window has the last `length` of completed steps, and all that ended since. */
static void window_naive(const struct subject *subject, enum slices_window window,
			 struct slices_summary *summary)
{
	uint32_t step_s = steps_s[window];
	int64_t floor_s = (int64_t)(subject->now_s / step_s * step_s) - lengths_s[window];
	int64_t start_s = floor_s > 0 ? floor_s : 0;
	struct histogram h = {0};
	struct lifetime l = LIFETIME_EMPTY;
	uint32_t first;
	uint32_t length;
	uint32_t i;
	uint64_t j;

	*summary = (struct slices_summary){0};
	for (i = 0; i < subject->handovers_count; i++) {
		const struct handover *handover = &subject->handovers[i];

		if (handover->end_s <= floor_s || handover->begin == handover->end)
			continue;
		if (handover->start_s < start_s)
			start_s = handover->start_s;
		for (j = handover->begin; j < handover->end; j++) {
			histogram_fold(&h, subject->samples[j]);
			lifetime_fold(&l, subject->samples[j]);
		}
	}
	summary->span_ns = (uint64_t)(subject->now_s - start_s) * NS;
	if (l.count > 0) {
		/* The minimum is known to the lower bound of its bucket only. */
		uint64_t min = l.min;

		if (min > 0 && histogram_trim_range(&h, &first, &length))
			min = bucket_min(first);
		if (min < subject->lifetime.min)
			min = subject->lifetime.min;
		summary->count = l.count;
		summary->sum = lifetime_sum(&l);
		summary->rate = (double)l.count / (double)(subject->now_s - start_s);
		summary->mean = lifetime_mean(&l);
		summary->max = l.max;
		summary->has_quantiles = true;
		summary->p50 = histogram_quantile(&h, min, l.max, 0.5);
		summary->p95 = histogram_quantile(&h, min, l.max, 0.95);
		summary->p99 = histogram_quantile(&h, min, l.max, 0.99);
	}
	histogram_free(&h);
}

static void expect_windows(const struct subject *subject)
{
	struct slices_summary all[SLICES_WINDOWS];
	enum slices_window window;

	slices_windows(&subject->slices, all);
	for (window = 0; window < SLICES_WINDOWS; window++) {
		struct slices_summary expected;
		struct slices_summary actual;

		window_naive(subject, window, &expected);
		slices_window(&subject->slices, window, &actual);
		expect_summary(&all[window], &actual, window, subject->now_s);
		cr_assert_eq(actual.count, expected.count, "second %u, window %d: %lu is not %lu",
			     subject->now_s, (int)window, (unsigned long)actual.count,
			     (unsigned long)expected.count);
		cr_assert_eq(actual.sum, expected.sum);
		cr_assert_eq(actual.span_ns, expected.span_ns,
			     "second %u, window %d: span %lu is not %lu", subject->now_s,
			     (int)window, (unsigned long)actual.span_ns,
			     (unsigned long)expected.span_ns);
		cr_assert_eq(actual.max, expected.max, "second %u, window %d: %lu is not %lu",
			     subject->now_s, (int)window, (unsigned long)actual.max,
			     (unsigned long)expected.max);
		cr_assert_eq(actual.rate, expected.rate);
		cr_assert_float_eq(actual.mean, expected.mean, 1e-15 * expected.mean);
		cr_assert_eq(actual.has_quantiles, expected.has_quantiles);
		cr_assert_eq(actual.p50, expected.p50, "second %u, window %d: %g is not %g",
			     subject->now_s, (int)window, actual.p50, expected.p50);
		cr_assert_eq(actual.p95, expected.p95);
		cr_assert_eq(actual.p99, expected.p99);
	}
}

static void expect_same(const struct subject *one, const struct subject *other)
{
	struct slices_summary ones[SLICES_WINDOWS], others[SLICES_WINDOWS];

	slices_windows(&one->slices, ones);
	slices_windows(&other->slices, others);
	for (enum slices_window window = 0; window < SLICES_WINDOWS; window++) {
		expect_summary(&ones[window], &others[window], window, one->now_s);
	}
}

static uint64_t counts_changed(const struct subject *subject)
{
	uint64_t hash = 0;
	enum slices_window window;

	for (window = 0; window < SLICES_WINDOWS; window++) {
		struct slices_summary summary;

		slices_window(&subject->slices, window, &summary);
		hash = hash * 31 + summary.count;
		hash = hash * 31 + (uint64_t)summary.sum;
		hash = hash * 31 + summary.max;
	}
	return hash;
}

Test(slices, idle_metric_owns_nothing)
{
	struct subject *subject = subject_new(1000);
	uint32_t second;

	for (second = 1; second < 2000; second++)
		cr_assert_not(subject_advance(subject, second));
	cr_assert_eq(slices_bytes(&subject->slices), 0);
	cr_assert_leq(sizeof subject->slices, 64);
	expect_windows(subject);
	subject_free(subject);
}

Test(slices, nothing_before_the_first_second)
{
	struct subject *subject = subject_new(1000);
	struct slices_summary summary;

	subject_record(subject, 5);
	cr_assert_not(
		slices_advance(&subject->slices, 1000, &subject->histogram, &subject->lifetime, 5));
	slices_window(&subject->slices, SLICES_10S, &summary);
	cr_assert_eq(summary.count, 0);
	cr_assert_eq(summary.span_ns, 0);
	/* The peak handed over too early is not forgotten. */
	subject->lifetime.peak = 0;
	cr_assert(subject_advance(subject, 1));
	slices_window(&subject->slices, SLICES_10S, &summary);
	cr_assert_eq(summary.count, 1);
	cr_assert_eq(summary.max, 5);
	cr_assert_eq(summary.span_ns, NS);
	cr_assert_eq(summary.rate, 1);
	subject_free(subject);
}

Test(slices, every_second_for_half_an_hour)
{
	struct subject *subject = subject_new(123456);
	uint64_t state = 1;
	uint32_t second;

	for (second = 1; second < 1900; second++) {
		uint64_t n = random_next(&state) % 20;

		while (n-- > 0)
			subject_record(subject, 1000 + random_next(&state) % 3000 +
							(second % 100 == 0 ? 1000000 : 0));
		subject_advance(subject, second);
		expect_windows(subject);
	}
	subject_free(subject);
}

/* Gaps of all lengths, bursts, late calls, spells without samples, zeros and outliers. */
Test(slices, irregular)
{
	uint64_t state = 17;
	int run;

	for (run = 0; run < 12; run++) {
		struct subject *subject = subject_new(run);
		uint32_t second = 0;

		while (second < 6000) {
			uint64_t kind = random_next(&state) % 100;
			uint64_t before = counts_changed(subject);
			uint64_t n = kind < 60 ? random_next(&state) % 5 : 0;
			bool changed;

			second += 1;
			if (kind % 10 < 2)
				second += (uint32_t)(random_next(&state) % 15);
			else if (kind % 50 == 2)
				second += (uint32_t)(random_next(&state) % 200);
			else if (kind == 99)
				second += (uint32_t)(random_next(&state) % 2000);
			if (run % 3 == 1)
				n = kind % 25 == 0;
			while (n-- > 0)
				subject_record(subject, random_next(&state) >>
								(random_next(&state) % 8 * 9));
			changed = subject_advance(subject, second);
			/* A change is never missed. */
			cr_assert(changed || counts_changed(subject) == before);
			expect_windows(subject);
		}
		subject_free(subject);
	}
}

/* Left alone while nothing comes and nothing is due, as the publisher does with a session. */
Test(slices, left_alone)
{
	uint64_t state = 99;

	for (int run = 1; run < 9; run++) {
		struct subject *subject = subject_new(run);
		struct subject *alone = subject_new(run);
		uint64_t due_s = 0, seen_s = 0;
		uint32_t looks = 0;

		for (uint32_t second = 1; second < 6000; second += 1 + (run % 3 == 0)) {
			bool came = random_next(&state) % 50 == 0;

			if (came) {
				uint64_t value = random_next(&state) >> 40;

				subject_record(subject, value);
				subject_record(alone, value);
			}
			subject_advance(subject, second);
			if (!came && alone->began_s + second < due_s) {
				seen_s = alone->began_s + second;
				continue;
			}
			slices_rest(&alone->slices, seen_s);
			subject_advance(alone, second);
			due_s = slices_due(&alone->slices, alone->lifetime.count);
			looks++;
			expect_same(subject, alone);
		}
		cr_assert_lt(looks, 6000 / (1 + (run % 3 == 0)) / 2);
		subject_free(subject);
		subject_free(alone);
	}
}

/* What came within a second that was handed over already is due in the next one. */
Test(slices, due_when_something_waits)
{
	struct subject *subject = subject_new(1000);

	cr_assert_eq(slices_due(&subject->slices, 0), UINT64_MAX);
	subject_record(subject, 5);
	subject_advance(subject, 3);
	subject_record(subject, 5);
	cr_assert_not(subject_advance(subject, 3));
	cr_assert_eq(slices_due(&subject->slices, 2), 0);
	cr_assert(subject_advance(subject, 4));
	cr_assert_eq(slices_due(&subject->slices, 2), 1010);
	subject_free(subject);
}

Test(slices, once_a_minute)
{
	struct subject *subject = subject_new(5);
	uint64_t state = 4;
	uint32_t minute;
	int i;

	for (minute = 1; minute < 40; minute++) {
		for (i = 0; i < 50; i++)
			subject_record(subject, 1 + random_next(&state) % 100000);
		cr_assert(subject_advance(subject, minute * 60 - minute % 3));
		expect_windows(subject);
	}
	subject_free(subject);
}

Test(slices, expire_when_idle)
{
	struct subject *subject = subject_new(0);
	struct slices_summary summary;
	uint32_t changes = 0;
	uint32_t second;

	subject_record(subject, 100);
	cr_assert(subject_advance(subject, 5));
	for (second = 6; second < 1500; second++) {
		changes += subject_advance(subject, second);
		expect_windows(subject);
	}
	/* It leaves each of the four windows once. */
	cr_assert_eq(changes, 4);
	slices_window(&subject->slices, SLICES_15M, &summary);
	cr_assert_eq(summary.count, 0);
	cr_assert_eq(summary.span_ns, 900 * NS + (1499 % 60) * NS);
	subject_free(subject);
}

Test(slices, baseline_is_in_no_window)
{
	struct subject *subject = subject_new(0);
	struct slices_summary summary;
	int i;

	for (i = 0; i < 100; i++)
		subject_record(subject, 1000);
	slices_free(&subject->slices);
	cr_assert(slices_begin(&subject->slices, 50, &subject->histogram, &subject->lifetime));
	lifetime_peak_take(&subject->lifetime);
	cr_assert_not(
		slices_advance(&subject->slices, 51, &subject->histogram, &subject->lifetime, 0));
	slices_window(&subject->slices, SLICES_15M, &summary);
	cr_assert_eq(summary.count, 0);
	cr_assert_eq(summary.span_ns, NS);

	subject_record(subject, 2000);
	cr_assert(slices_advance(&subject->slices, 52, &subject->histogram, &subject->lifetime,
				 lifetime_peak_take(&subject->lifetime)));
	slices_window(&subject->slices, SLICES_15M, &summary);
	cr_assert_eq(summary.count, 1);
	cr_assert_eq(summary.sum, 2000);
	cr_assert_eq(summary.max, 2000);
	cr_assert_eq(summary.p50, 2000);
	subject_free(subject);
}

Test(slices, constant_data_is_exact)
{
	struct subject *subject = subject_new(0);
	struct slices_summary summary;
	uint32_t second;
	int i;

	for (second = 1; second < 100; second++) {
		for (i = 0; i < 3; i++)
			subject_record(subject, 12345678);
		subject_advance(subject, second);
	}
	slices_window(&subject->slices, SLICES_1M, &summary);
	cr_assert_eq(summary.count, 3 * 69);
	cr_assert_eq(summary.mean, 12345678);
	cr_assert_eq(summary.p50, 12345678);
	cr_assert_eq(summary.p99, 12345678);
	subject_free(subject);
}

Test(slices, extreme_values_and_counts)
{
	struct subject *subject = subject_new(0);
	struct slices_summary summary;
	uint64_t i;

	subject_record(subject, 0);
	subject_record(subject, 1);
	subject_record(subject, UINT64_C(1) << 63);
	subject_record(subject, UINT64_MAX);
	subject_advance(subject, 1);
	expect_windows(subject);

	/* Counters of every width, and back. */
	for (i = 0; i < 70000; i++)
		subject_record(subject, 1000);
	subject_advance(subject, 2);
	expect_windows(subject);
	subject->histogram.zero_count += UINT64_C(1) << 33;
	subject->lifetime.count += UINT64_C(1) << 33;
	cr_assert(slices_advance(&subject->slices, 3, &subject->histogram, &subject->lifetime, 0));
	slices_window(&subject->slices, SLICES_10S, &summary);
	cr_assert_eq(summary.count, (UINT64_C(1) << 33) + 70004);
	cr_assert_eq(summary.p50, 0);
	for (i = 4; i <= 1000; i++)
		slices_advance(&subject->slices, i, &subject->histogram, &subject->lifetime, 0);
	slices_window(&subject->slices, SLICES_15M, &summary);
	cr_assert_eq(summary.count, 0);
	subject_free(subject);
}

/* 1 kHz, two powers of two wide. */
Test(slices, typical_metric_fits_seven_kib)
{
	struct subject *subject = subject_new(0);
	uint64_t state = 8;
	uint32_t second;
	int i;

	for (second = 1; second < 1000; second++) {
		subject->samples_count = 0;
		for (i = 0; i < 1000; i++)
			subject_record(subject,
				       (uint64_t)(1e6 * exp2(2.0 * (double)random_next(&state) *
							     0x1p-64)));
		subject->handovers_count = 0;
		subject_advance(subject, second);
	}
	cr_assert_leq(slices_bytes(&subject->slices), 7168, "%zu", slices_bytes(&subject->slices));
	subject_free(subject);
}

#if !defined(__SANITIZE_ADDRESS__)
/* Without memory for the second before them, the samples come with the next one. Merging goes
 * wrong too; after 16 minutes all is as if nothing had been. */
Test(slices, without_memory_counts_stay_exact)
{
	struct subject *subject = subject_new(0);
	uint64_t state = 6;
	uint32_t second;
	int i;

	for (second = 1; second < 3000; second++) {
		bool starved = second < 1500 && second % 97 < 12;
		struct block *blocks;
		enum slices_window window;

		for (i = 0; i < 30; i++)
			subject_record(subject, 1000 + random_next(&state) % 10000);
		if (!starved) {
			subject_advance(subject, second);
		} else {
			uint64_t peak = lifetime_peak_take(&subject->lifetime);

			blocks = memory_exhaust();
			slices_advance(&subject->slices, second, &subject->histogram,
				       &subject->lifetime, peak);
			memory_return(blocks);
			/* Either it was taken in or it will be. */
			if (subject->slices.now_s == second) {
				subject->lifetime.peak = 0;
				subject_advance(subject, second);
			}
		}
		if (subject->now_s != second)
			continue;
		for (window = 0; window < SLICES_WINDOWS; window++) {
			struct slices_summary expected;
			struct slices_summary actual;

			window_naive(subject, window, &expected);
			slices_window(&subject->slices, window, &actual);
			cr_assert_eq(actual.count, expected.count);
			cr_assert_eq(actual.sum, expected.sum);
			cr_assert_eq(actual.max, expected.max);
			cr_assert_eq(actual.span_ns, expected.span_ns);
			if (actual.has_quantiles)
				cr_assert_eq(actual.p95, expected.p95);
		}
		if (second > 2500)
			expect_windows(subject);
	}
	subject_free(subject);
}
#endif
