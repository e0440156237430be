/* SPDX-License-Identifier: MIT */
/* test_slices_save.c - time windows that outlive the agent: the same as ones that went on. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "slices.h"
#include "windows.h"

#define BEGAN_S 5000 /* of the clock */

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A metric whose windows are kept twice: in one piece, and saved and loaded now and then. */
struct subject {
	struct slices whole;
	struct slices saved;
	struct histogram histogram;
	struct lifetime lifetime;
	uint64_t random;
};

static void subject_begin(struct subject *subject, uint64_t seed)
{
	*subject = (struct subject){.lifetime = LIFETIME_EMPTY, .random = seed};
	cr_assert(slices_begin(&subject->whole, BEGAN_S, NULL, NULL));
	cr_assert(slices_begin(&subject->saved, BEGAN_S, NULL, NULL));
}

static void subject_end(struct subject *subject)
{
	slices_free(&subject->whole);
	slices_free(&subject->saved);
	histogram_free(&subject->histogram);
}

static void record(struct subject *subject, uint64_t value)
{
	histogram_fold(&subject->histogram, value);
	lifetime_fold(&subject->lifetime, value);
}

static void advance(struct subject *subject, uint32_t now_s)
{
	uint64_t peak = lifetime_peak_take(&subject->lifetime);

	slices_advance(&subject->whole, BEGAN_S + now_s, &subject->histogram, &subject->lifetime,
		       peak);
	slices_advance(&subject->saved, BEGAN_S + now_s, &subject->histogram, &subject->lifetime,
		       peak);
}

static uint8_t *bytes_of(const struct slices *slices, size_t *size)
{
	uint8_t *bytes;

	*size = slices_saved_size(slices);
	cr_assert_eq(*size % 8, 0);
	bytes = malloc(*size);
	cr_assert_not_null(bytes);
	slices_save(slices, bytes);
	return bytes;
}

/* What was saved takes the place of what is there. */
static void save_and_load(struct subject *subject)
{
	size_t size;
	uint8_t *bytes = bytes_of(&subject->saved, &size);

	slices_free(&subject->saved);
	memset(&subject->saved, 0x55, sizeof subject->saved);
	cr_assert_eq(slices_load(&subject->saved, bytes, size), 0);
	free(bytes);
}

static void expect_same(const struct subject *subject)
{
	cr_assert_eq(subject->saved.began_s, subject->whole.began_s);
	cr_assert_eq(subject->saved.count, subject->whole.count);
	for (enum slices_window window = 0; window < SLICES_WINDOWS; window++) {
		struct slices_summary is, should;

		slices_window(&subject->saved, window, &is);
		slices_window(&subject->whole, window, &should);
		expect_summary(&is, &should, window, subject->whole.now_s);
	}
}

Test(slices_save, nothing_to_save)
{
	struct subject subject;

	subject_begin(&subject, 1);
	cr_assert_eq(slices_saved_size(&subject.whole), 0);
	advance(&subject, 1);
	cr_assert_eq(slices_saved_size(&subject.whole), 0);
	subject_end(&subject);
}

/* Through every boundary, saved and loaded every few seconds, for longer than any window. */
Test(slices_save, every_few_seconds)
{
	struct subject subject;

	subject_begin(&subject, 7);
	for (uint32_t second = 1; second < 2200; second++) {
		uint64_t n = random_next(&subject.random) % 20;

		while (n-- > 0)
			record(&subject,
			       random_next(&subject.random) >> (random_next(&subject.random) % 60));
		advance(&subject, second);
		if (random_next(&subject.random) % 4 == 0 && subject.saved.store != NULL)
			save_and_load(&subject);
		expect_same(&subject);
	}
	subject_end(&subject);
}

/* Spells without samples, in which time alone empties windows, and gaps between hand-overs. */
Test(slices_save, gaps)
{
	for (uint64_t run = 1; run <= 10; run++) {
		struct subject subject;
		uint32_t second = 0;

		subject_begin(&subject, run);
		while (second < 5000) {
			uint64_t kind = random_next(&subject.random) % 100;

			second += 1 + (kind % 10 < 2 ? (uint32_t)kind : 0) + (kind == 55 ? 700 : 0);
			if (kind < 40)
				record(&subject, random_next(&subject.random) >> kind);
			advance(&subject, second);
			if (kind % 3 == 0 && subject.saved.store != NULL)
				save_and_load(&subject);
			expect_same(&subject);
		}
		subject_end(&subject);
	}
}

/* Counters of all widths; zeros; the largest sample. */
Test(slices_save, extremes)
{
	struct subject subject;

	subject_begin(&subject, 3);
	record(&subject, 0);
	record(&subject, UINT64_MAX);
	for (uint32_t second = 1; second < 1300; second += 7) {
		for (int i = 0; i < 300; i++)
			record(&subject, 1000 + second);
		if (second % 5 == 0) {
			subject.histogram.zero_count += UINT64_C(1) << (second % 40);
			subject.lifetime.count += UINT64_C(1) << (second % 40);
		}
		advance(&subject, second);
		save_and_load(&subject);
		expect_same(&subject);
	}
	subject_end(&subject);
}

/* The peak of the last second dies with an agent. A sample above all before is exact even so. */
Test(slices_save, peak_that_is_not_known)
{
	struct subject subject;
	struct slices_summary summary;

	subject_begin(&subject, 5);
	for (uint32_t second = 1; second < 40; second++) {
		record(&subject, 1000 * second + 7);
		lifetime_peak_take(&subject.lifetime);
		advance(&subject, second);
		slices_window(&subject.whole, SLICES_10S, &summary);
		cr_assert_eq(summary.max, 1000 * second + 7);
	}
	subject_end(&subject);
}

/* More than an hour from here: nothing crashes, whatever was loaded. The agent has made sure of
 * what it asks of slices (restore.c). */
static void use(struct slices *slices, const struct subject *subject, uint32_t now_s)
{
	static const uint32_t steps_s[] = {1, 3, 9, 30, 61, 3601};
	struct lifetime lifetime = subject->lifetime;
	struct histogram histogram = {0};

	cr_assert(histogram_copy(&histogram, &subject->histogram));
	for (uint32_t i = 0; i < sizeof steps_s / sizeof *steps_s; i++) {
		now_s += steps_s[i];
		histogram_fold(&histogram, 12345);
		lifetime_fold(&lifetime, 12345);
		slices_advance(slices, BEGAN_S + now_s, &histogram, &lifetime, 12345);
		for (enum slices_window window = 0; window < SLICES_WINDOWS; window++) {
			struct slices_summary summary;

			slices_window(slices, window, &summary);
			cr_assert(summary.count == 0 || isfinite(summary.rate), "rate %g",
				  summary.rate);
		}
	}
	histogram_free(&histogram);
}

/* True where it was loaded. What is refused leaves nothing. */
static bool attempt(const struct subject *subject, const uint8_t *bytes, size_t size)
{
	struct slices slices;
	uint64_t now_s = BEGAN_S + subject->whole.now_s;

	memset(&slices, 0, sizeof slices);
	if (slices_load(&slices, bytes, size) != 0) {
		cr_assert_null(slices.store);
		cr_assert_eq(slices_bytes(&slices), 0);
		return false;
	}
	if (slices.count <= subject->lifetime.count && slices.now_s <= now_s &&
	    slices.began_s <= now_s - slices.now_s)
		use(&slices, subject, subject->whole.now_s);
	slices_free(&slices);
	return true;
}

/* Some samples in slices of all levels. */
static void subject_fill(struct subject *subject)
{
	for (uint32_t second = 1; second < 130; second++) {
		if (second % 9 == 0)
			record(subject, 1000 + random_next(&subject->random) % 200);
		advance(subject, second);
	}
}

Test(slices_save, truncated)
{
	struct subject subject;
	size_t size;
	uint8_t *bytes;

	subject_begin(&subject, 11);
	subject_fill(&subject);
	bytes = bytes_of(&subject.whole, &size);
	cr_assert(attempt(&subject, bytes, size));
	for (size_t length = 0; length < size; length++) {
		uint8_t *cut = malloc(length + 1); /* so that a byte beyond is seen */

		cr_assert_not_null(cut);
		memcpy(cut + 1, bytes, length);
		cr_assert_not(attempt(&subject, cut + 1, length), "%zu of %zu bytes", length, size);
		free(cut);
	}
	free(bytes);
	subject_end(&subject);
}

Test(slices_save, damaged, .timeout = 170)
{
	static const uint8_t flips[] = {0x01, 0x02, 0x80, 0xff};
	struct subject subject;
	uint32_t loaded = 0;
	size_t size;
	uint8_t *bytes;

	subject_begin(&subject, 12);
	subject_fill(&subject);
	bytes = bytes_of(&subject.whole, &size);
	for (size_t i = 0; i < size; i++) {
		for (size_t k = 0; k < sizeof flips; k++) {
			bytes[i] ^= flips[k];
			loaded += attempt(&subject, bytes, size);
			bytes[i] ^= flips[k];
		}
	}
	cr_assert_gt(loaded, 0);
	cr_assert_lt(loaded, 4 * size);
	free(bytes);
	subject_end(&subject);
}
