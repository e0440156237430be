/* SPDX-License-Identifier: MIT */
/* lifetime.c - merging lifetimes, and their mean and standard deviation. */
#include "lifetime.h"

#include <assert.h>
#include <math.h>

/* An integer modulo 2^192: wide enough for every intermediate result of lifetime_std(). */
struct wide {
	uint128 low;
	uint64_t high;
};

static struct wide wide_add(struct wide a, struct wide b)
{
	struct wide sum = {.low = a.low + b.low, .high = a.high + b.high};

	sum.high += sum.low < a.low;
	return sum;
}

static struct wide wide_subtract(struct wide a, struct wide b)
{
	struct wide difference = {.low = a.low - b.low, .high = a.high - b.high};

	difference.high -= a.low < b.low;
	return difference;
}

static struct wide wide_multiply(uint128 a, uint64_t b)
{
	uint128 low = (uint128)(uint64_t)a * b;
	uint128 high = (uint128)(uint64_t)(a >> 64) * b + (uint64_t)(low >> 64);

	return (struct wide){.low = high << 64 | (uint64_t)low, .high = (uint64_t)(high >> 64)};
}

static long double wide_to_real(struct wide w)
{
	return (long double)w.high * 0x1p128L + (long double)(uint64_t)(w.low >> 64) * 0x1p64L +
	       (long double)(uint64_t)w.low;
}

static struct wide squares_get(const struct lifetime *l)
{
	return (struct wide){.low = (uint128)l->squares_middle << 64 | l->squares_low,
			     .high = l->squares_high};
}

static void squares_set(struct lifetime *l, struct wide squares)
{
	l->squares_low = (uint64_t)squares.low;
	l->squares_middle = (uint64_t)(squares.low >> 64);
	l->squares_high = (uint32_t)squares.high;
}

static void sum_set(struct lifetime *l, uint128 sum)
{
	l->sum_low = (uint64_t)sum;
	l->sum_high = (uint32_t)(sum >> 64);
}

static void extremes_add(struct lifetime *into, const struct lifetime *from)
{
	into->min = from->min < into->min ? from->min : into->min;
	into->max = from->max > into->max ? from->max : into->max;
	into->peak = from->peak > into->peak ? from->peak : into->peak;
}

void lifetime_add(struct lifetime *into, const struct lifetime *from)
{
	into->count += from->count;
	extremes_add(into, from);
	sum_set(into, lifetime_sum(into) + lifetime_sum(from));
	squares_set(into, wide_add(squares_get(into), squares_get(from)));
}

void lifetime_add_delta(struct lifetime *into, const struct lifetime *now,
			const struct lifetime *before)
{
	assert(now->count >= before->count);

	into->count += now->count - before->count;
	extremes_add(into, now);
	sum_set(into, lifetime_sum(into) + (lifetime_sum(now) - lifetime_sum(before)));
	squares_set(into, wide_add(squares_get(into),
				   wide_subtract(squares_get(now), squares_get(before))));
}

/*
 * The integer nearest to the mean; *remainder is sum - quotient * count, so that
 * -count/2 <= *remainder <= count/2.
 */
static uint64_t mean_split(const struct lifetime *l, int64_t *remainder)
{
	uint128 sum = lifetime_sum(l);
	uint64_t quotient;
	uint64_t rest;

	/* Dividing 128 bits is a library call; hardly any sum needs it. */
	if (l->sum_high == 0) {
		quotient = l->sum_low / l->count;
		rest = l->sum_low % l->count;
	} else {
		quotient = (uint64_t)(sum / l->count);
		rest = (uint64_t)(sum % l->count);
	}
	if (rest > l->count / 2) {
		quotient++;
		rest -= l->count;
	}
	*remainder = (int64_t)rest;
	return quotient;
}

double lifetime_mean(const struct lifetime *l)
{
	int64_t remainder;
	uint64_t quotient;

	assert(l->count > 0);
	quotient = mean_split(l, &remainder);
	return (double)((long double)quotient + (long double)remainder / (long double)l->count);
}

/*
 * The squares are centred on q, the integer nearest to the mean, before anything is rounded.
 * With n samples and r = sum - q n:
 *
 *	S = sum((x - q)^2) = squares - q^2 n - 2 q r        variance = S / n - (r / n)^2
 *
 * S is exact. As q is nearest, |r| / n <= 1/2, and S >= |r| because integers are not smaller
 * than their squares' roots; so the last subtraction takes away at most half of S / n, and the
 * variance keeps all but one bit of a long double.
 */
double lifetime_std(const struct lifetime *l)
{
	int64_t remainder;
	uint64_t quotient;
	struct wide cross;
	struct wide squares;
	long double offset;
	long double variance;

	assert(l->count > 0);
	quotient = mean_split(l, &remainder);
	squares = wide_subtract(squares_get(l),
				wide_multiply((uint128)quotient * quotient, l->count));
	/* 2 |r| <= n, so it fits. */
	cross = wide_multiply(quotient, 2 * (uint64_t)(remainder < 0 ? -remainder : remainder));
	squares = remainder < 0 ? wide_add(squares, cross) : wide_subtract(squares, cross);

	offset = (long double)remainder / (long double)l->count;
	variance = wide_to_real(squares) / (long double)l->count - offset * offset;
	/* Below zero only where the sums have wrapped. */
	return variance > 0 ? (double)sqrtl(variance) : 0;
}
