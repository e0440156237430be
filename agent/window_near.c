/* SPDX-License-Identifier: MIT */
/*
 * window_near.c - quantiles of a window that is much as it was when they were last found.
 *
 * Between two looks at a window some of its samples have been replaced, mostly by samples of the
 * same distribution, and the few samples that a quantile depends on are still near to where they
 * were. So there is an interval for each quantile. One look at all samples counts those below the
 * intervals and marks those within; if by these counts the wanted ranks are within, the marked
 * samples are all that has to be sorted.
 *
 * The look consists of loops that the compiler makes vectors of.
 */
#include "window_near.h"

#include <string.h>

#define WITHIN_MAX 320u                  /* samples in an interval: more are not worth gathering */
#define MARKS ((uint64_t)-1 / UINT8_MAX) /* a 1 in each of 8 bytes */

_Static_assert(WINDOW_QUANTILES == 3, "the look has three intervals");

struct look {
	uint32_t min;
	uint32_t max;
	uint64_t sum;
	uint128 squares;
	uint32_t below[WINDOW_QUANTILES];  /* samples below each interval */
	uint32_t within[WINDOW_QUANTILES]; /* samples within */
};

/* ---- the look ---- */

/* Bit i of a sample's mark: it is within interval i. */
static inline __attribute__((always_inline)) void
look_of(const uint32_t *restrict samples, uint32_t count, const struct window_near *near,
	uint8_t *restrict marks, struct look *look)
{
	const uint32_t low0 = near->low[0], low1 = near->low[1], low2 = near->low[2];
	const uint32_t span0 = near->high[0] - low0, span1 = near->high[1] - low1,
		       span2 = near->high[2] - low2;
	uint32_t min = samples[0], max = samples[0];
	uint32_t below0 = 0, below1 = 0, below2 = 0, within0 = 0, within1 = 0, within2 = 0;
	uint64_t sum = 0, squares_low = 0, squares_high = 0; /* 2^16 halves of squares fit */

	for (uint32_t i = 0; i < count; i++) {
		min = samples[i] < min ? samples[i] : min;
		max = samples[i] > max ? samples[i] : max;
	}
	for (uint32_t i = 0; i < count; i++)
		sum += samples[i];
	for (uint32_t i = 0; i < count; i++) {
		uint64_t square = (uint64_t)samples[i] * samples[i];

		squares_low += (uint32_t)square;
		squares_high += square >> 32;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t in0 = samples[i] - low0 <= span0, in1 = samples[i] - low1 <= span1,
			 in2 = samples[i] - low2 <= span2;

		below0 += samples[i] < low0;
		below1 += samples[i] < low1;
		below2 += samples[i] < low2;
		within0 += in0;
		within1 += in1;
		within2 += in2;
		marks[i] = (uint8_t)(in0 | in1 << 1 | in2 << 2);
	}
	*look = (struct look){
		.min = min,
		.max = max,
		.sum = sum,
		.squares = squares_low + ((uint128)squares_high << 32),
		.below = {below0, below1, below2},
		.within = {within0, within1, within2},
	};
}

static void look_anywhere(const uint32_t *samples, uint32_t count, const struct window_near *near,
			  uint8_t *marks, struct look *look)
{
	look_of(samples, count, near, marks, look);
}

#if defined(__x86_64__)
/* What every x86-64 has makes vectors of four samples at most. */
__attribute__((target("avx2"))) static void look_eight(const uint32_t *samples, uint32_t count,
						       const struct window_near *near,
						       uint8_t *marks, struct look *look)
{
	look_of(samples, count, near, marks, look);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static void
look_sixteen(const uint32_t *samples, uint32_t count, const struct window_near *near,
	     uint8_t *marks, struct look *look)
{
	look_of(samples, count, near, marks, look);
}

static void look_at(const uint32_t *samples, uint32_t count, const struct window_near *near,
		    uint8_t *marks, struct look *look)
{
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		look_sixteen(samples, count, near, marks, look);
	else if (__builtin_cpu_supports("avx2"))
		look_eight(samples, count, near, marks, look);
	else
		look_anywhere(samples, count, near, marks, look);
}
#else
static void look_at(const uint32_t *samples, uint32_t count, const struct window_near *near,
		    uint8_t *marks, struct look *look)
{
	look_anywhere(samples, count, near, marks, look);
}
#endif

/* ---- what is within ---- */

struct gathered {
	uint32_t counts[WINDOW_QUANTILES];
	uint32_t samples[WINDOW_QUANTILES][WITHIN_MAX + 1]; /* the last place is for none */
};

/* An interval of one value, however many samples have it, need not be gathered. */
static bool one_value(const struct window_near *near, uint32_t i)
{
	return near->low[i] == near->high[i];
}

static bool all_within(const struct look *look, const struct window_near *near,
		       const struct window_quantile quantiles[])
{
	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++)
		if (quantiles[i].below < look->below[i] ||
		    quantiles[i].next >= look->below[i] + look->within[i] ||
		    (look->within[i] > WITHIN_MAX && !one_value(near, i)))
			return false;
	return true;
}

/* Bit i: the mark of the sample i from here on has one of the wanted bits. */
static inline uint64_t marked(const uint8_t *marks, uint8_t wanted)
{
	const uint64_t lowest = 0x0102040810204080; /* brings bit 0 of each byte together */
	uint64_t bits = 0;

	for (int i = 0; i < 8; i++) {
		uint64_t eight;

		memcpy(&eight, marks + (size_t)i * 8, sizeof eight);
		eight &= MARKS * wanted;
		eight = (eight | eight >> 1 | eight >> 2) & MARKS;
		bits |= (eight * lowest) >> 56 << (8 * i);
	}
	return bits;
}

/* `wanted` has a bit for each interval. No branch depends on which intervals a sample is within. */
static void gather(const uint32_t *samples, uint32_t count, const uint8_t *marks, uint8_t wanted,
		   struct gathered *gathered)
{
	uint32_t count0 = 0, count1 = 0, count2 = 0;

	for (uint32_t at = 0; at < count; at += 64) {
		for (uint64_t left = marked(marks + at, wanted); left != 0; left &= left - 1) {
			uint32_t i = at + (uint32_t)__builtin_ctzll(left);

			gathered->samples[0][count0] = samples[i];
			gathered->samples[1][count1] = samples[i];
			gathered->samples[2][count2] = samples[i];
			count0 += marks[i] & wanted & 1;
			count1 += (marks[i] & wanted) >> 1 & 1;
			count2 += (marks[i] & wanted) >> 2 & 1;
		}
	}
	gathered->counts[0] = count0;
	gathered->counts[1] = count1;
	gathered->counts[2] = count2;
}

static uint32_t lower(uint32_t value, uint64_t by)
{
	return value > by ? value - (uint32_t)by : 0;
}

static uint32_t higher(uint32_t value, uint64_t by)
{
	return value + by < UINT32_MAX ? (uint32_t)(value + by) : UINT32_MAX;
}

/* Of so many samples, those of four ranks that ascend. */
static void ranks_find(struct window_scratch *scratch, const uint32_t *samples, uint32_t count,
		       const uint32_t ranks[4], uint32_t found[4])
{
	uint64_t *area = window_scratch_area(scratch, count);
	struct wanted wanted = {0};
	uint32_t sorted[SELECT_FEW_MAX];

	if (count <= SELECT_FEW_MAX) {
		select_sort_few(samples, count, sorted);
		for (int i = 0; i < 4; i++)
			found[i] = sorted[ranks[i]];
		return;
	}
	for (int i = 0; i < 4; i++)
		wanted_add(&wanted, ranks[i]);
	for (uint32_t i = 0; i < count; i++)
		area[i] = samples[i];
	select_ranks(scratch, area, count, &wanted);
	for (int i = 0; i < 4; i++)
		found[i] = (uint32_t)wanted_result(&wanted, ranks[i]);
}

/*
 * Finds the quantile among the samples of its interval, of which there are `count` and `below`
 * before the first, and where it may be the next time. What lies beyond the interval is not known:
 * it is taken to be as far from the quantile as what lies on the other side.
 */
static void quantile_find(struct window_quantile *quantile, struct window_scratch *scratch,
			  const uint32_t *samples, uint32_t count, uint32_t below, uint32_t *low,
			  uint32_t *high)
{
	uint32_t first = quantile->below - below, second = quantile->next - below;
	uint32_t reach = quantile->reach;
	const uint32_t ranks[4] = {
		quantile_from(first, reach),
		first,
		second,
		quantile_to(second, reach, count),
	};
	uint32_t found[4];

	ranks_find(scratch, samples, count, ranks, found);
	quantile->low = found[1];
	quantile->high = found[2];
	*low = first >= reach ? found[0] : lower(found[0], found[3] - found[1]);
	*high = count - 1 - second >= reach ? found[3] : higher(found[3], found[2] - found[0]);
}

bool window_near_find(const uint32_t *samples, uint32_t count, struct window_near *near,
		      struct window_scratch *scratch,
		      struct window_quantile quantiles[WINDOW_QUANTILES],
		      struct window_summary *summary)
{
	uint8_t *marks = window_scratch_marks(scratch, count);
	struct gathered gathered;
	struct lifetime moments;
	uint8_t wanted = 0;
	struct look look;

	look_at(samples, count, near, marks, &look);
	memset(marks + count, 0, WINDOW_MARKS_MORE);
	if (!all_within(&look, near, quantiles))
		return false;

	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++)
		wanted |= (uint8_t)(!one_value(near, i) << i);
	gather(samples, count, marks, wanted, &gathered);
	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++) {
		if (one_value(near, i))
			quantiles[i].low = quantiles[i].high = near->low[i];
		else
			quantile_find(&quantiles[i], scratch, gathered.samples[i],
				      gathered.counts[i], look.below[i], &near->low[i],
				      &near->high[i]);
	}
	moments = moments_of(count, look.sum, look.squares);
	summary->min = look.min;
	summary->max = look.max;
	summary->mean = lifetime_mean(&moments);
	summary->std = lifetime_std(&moments);
	return true;
}
