/* SPDX-License-Identifier: MIT */
/*
 * lifetime.h - count, sum, sum of squares, minimum and maximum of every sample ever folded in.
 *
 * Everything is an integer, so nothing is rounded while samples come in: merging two series
 * gives, bit for bit, what recording both into one would have given, and a difference of two
 * copies is exact however long the series is. Only lifetime_mean() and lifetime_std() round,
 * once, at the end.
 *
 * The sum has 96 bits and the sum of squares 160. Samples below 2^48 (78 hours in ns) cannot
 * overflow them in practice: that takes 2^48 samples. Samples of any value cannot before there
 * are 2^32 of them. Past that the two wrap, silently; the other fields stay right.
 *
 * A struct lifetime is one cache line and has one owner thread; nothing here is atomic.
 */
#ifndef SHMBUS_AGENT_LIFETIME_H
#define SHMBUS_AGENT_LIFETIME_H

#include <stdint.h>

__extension__ typedef unsigned __int128 uint128;

struct lifetime {
	uint64_t count;
	uint64_t min;  /* UINT64_MAX while count is 0 */
	uint64_t max;  /* 0 while count is 0 */
	uint64_t peak; /* the maximum since the last lifetime_peak_take(); 0 without samples */
	uint64_t sum_low;
	uint64_t squares_low; /* the sum of squares: 160 bits in three parts */
	uint64_t squares_middle;
	uint32_t squares_high;
	uint32_t sum_high;
};

_Static_assert(sizeof(struct lifetime) == 64, "a lifetime is one cache line");

#define LIFETIME_EMPTY ((struct lifetime){.min = UINT64_MAX})

static inline void lifetime_fold(struct lifetime *l, uint64_t value)
{
	uint128 squares = (uint128)l->squares_middle << 64 | l->squares_low;
	uint64_t sum;

	l->count++;
	l->min = value < l->min ? value : l->min;
	l->max = value > l->max ? value : l->max;
	l->peak = value > l->peak ? value : l->peak;
	/* The builtins become the carries of the additions themselves. */
	l->sum_high += __builtin_add_overflow(l->sum_low, value, &sum);
	l->sum_low = sum;
	l->squares_high += __builtin_add_overflow(squares, (uint128)value * value, &squares);
	l->squares_low = (uint64_t)squares;
	l->squares_middle = (uint64_t)(squares >> 64);
}

/* The sum of all samples; modulo 2^96. */
static inline uint128 lifetime_sum(const struct lifetime *l)
{
	return (uint128)l->sum_high << 64 | l->sum_low;
}

/* The maximum since the last call, 0 if there was no sample; begins the next period. */
static inline uint64_t lifetime_peak_take(struct lifetime *l)
{
	uint64_t peak = l->peak;

	l->peak = 0;
	return peak;
}

/* Adds every sample of `from` to `into`, as if it had been recorded there. */
void lifetime_add(struct lifetime *into, const struct lifetime *from);

/*
 * Adds the samples that `now` has beyond `before`, an earlier copy of the same series. Minimum,
 * maximum and peak are those of `now`: an extreme cannot be told apart from earlier ones, and
 * `into` is meant to have been given all of the series.
 */
void lifetime_add_delta(struct lifetime *into, const struct lifetime *now,
			const struct lifetime *before);

/* The arithmetic mean and the standard deviation of the population (numpy's ddof = 0), right to
 * the last few bits of a double however small the deviation is beside the mean. count > 0. */
double lifetime_mean(const struct lifetime *l);
double lifetime_std(const struct lifetime *l);

/*
 * Where a quantile stands among `count` sorted values, as numpy's method "linear" has it: at
 * the fraction between the value of index `below` and its successor.
 */
struct rank {
	uint64_t below;
	double fraction;
};

/* 0 <= quantile <= 1, count > 0. */
static inline struct rank rank_of(double quantile, uint64_t count)
{
	double position = quantile * (double)(count - 1);
	struct rank rank = {.below = count - 1};

	/* A product rounded up can reach the last index, and 2^64, which no integer here holds. */
	if (position >= (double)(count - 1))
		return rank;
	rank.below = (uint64_t)position;
	rank.fraction = position - (double)rank.below;
	return rank;
}

/* The value at the fraction between two neighbours. It is computed from the nearer one, which
 * is what numpy does, so that results agree to the last bit. */
static inline double rank_blend(double low, double high, double fraction)
{
	double step = high - low;

	return fraction < 0.5 ? low + step * fraction : high - step * (1 - fraction);
}

#endif /* SHMBUS_AGENT_LIFETIME_H */
