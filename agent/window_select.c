/* SPDX-License-Identifier: MIT */
/*
 * window_select.c - how the samples of a few ranks are selected.
 *
 * Three quantiles depend on six samples at most. Sorting a thousand samples to find them would
 * cost ten times what this does:
 *
 *  1. one pass finds minimum, maximum and sum;
 *  2. one pass gives each sample a key that never descends as values ascend, and counts keys.
 *     The key is logarithmic in the distance from the minimum, so it is fine where samples are
 *     dense, whatever their offset and however far the outliers are;
 *  3. the counts, walked from the top, say which keys the wanted samples have;
 *  4. one pass gathers the samples with those keys, some dozens, which are sorted.
 *
 * Where too many samples share a key, the same procedure runs on those alone. Their range is
 * then smaller by a factor of 32 at least, so it ends soon, and no input makes it quadratic.
 */
#include "window_select.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BITS 5 /* keys for each power of two: 2^KEY_BITS */
#define KEYS (64u << KEY_BITS)
#define DIRECT_RANGE 1024u /* where distances are below this, they are the keys themselves */
#define SQUARES_BITS 56    /* 2^16 squares of distances below 2^56 fit 128 bits */

struct window_scratch {
	uint16_t counts[KEYS]; /* samples of each key; all zero between calls */
	uint8_t groups[KEYS];  /* 1 + the group of a key that is wanted; all zero between calls */
	uint32_t size_max;
	uint64_t *gathered; /* samples with wanted keys */
	uint64_t *grouped;  /* the same, group by group */
	uint16_t *keys;     /* of the samples, in their order */
	uint8_t *marks;     /* of the samples, and some more bytes */
};

/* The samples of one key, and where their answers go. */
struct group {
	uint32_t begin; /* in scratch->grouped, from where the selection's part begins */
	uint32_t end;
	uint32_t slots[RANKS_MAX]; /* indexes into the wanted results */
	struct wanted wanted;      /* ranks within the group */
};

/* ---- scratch ---- */

struct window_scratch *window_scratch_new(uint32_t size_max)
{
	const size_t each = 2 * sizeof(uint64_t) + sizeof(uint16_t) + sizeof(uint8_t);
	struct window_scratch *scratch;
	uint64_t *samples;

	assert(size_max >= 1 && size_max <= WINDOW_SIZE_MAX);
	scratch = calloc(1, sizeof *scratch + size_max * each + WINDOW_MARKS_MORE);
	if (scratch == NULL)
		return NULL;
	samples = (uint64_t *)(scratch + 1);
	scratch->size_max = size_max;
	scratch->gathered = samples;
	scratch->grouped = samples + size_max;
	scratch->keys = (uint16_t *)(samples + 2 * (size_t)size_max);
	scratch->marks = (uint8_t *)(scratch->keys + size_max);
	return scratch;
}

void window_scratch_free(struct window_scratch *scratch)
{
	free(scratch);
}

uint64_t *window_scratch_area(struct window_scratch *scratch, uint32_t count)
{
	assert(count <= scratch->size_max);
	return scratch->grouped;
}

uint8_t *window_scratch_marks(struct window_scratch *scratch, uint32_t count)
{
	assert(count <= scratch->size_max);
	return scratch->marks;
}

/* ---- what is wanted ---- */

void wanted_add(struct wanted *wanted, uint32_t rank)
{
	uint32_t i = wanted->count;

	while (i > 0 && wanted->ranks[i - 1] > rank)
		i--;
	if (i > 0 && wanted->ranks[i - 1] == rank)
		return;
	assert(wanted->count < RANKS_MAX);
	memmove(&wanted->ranks[i + 1], &wanted->ranks[i],
		(wanted->count - i) * sizeof wanted->ranks[0]);
	wanted->ranks[i] = rank;
	wanted->count++;
}

uint64_t wanted_result(const struct wanted *wanted, uint32_t rank)
{
	uint32_t i = 0;

	while (wanted->ranks[i] != rank)
		i++;
	return wanted->results[i];
}

/* ---- selection ---- */

static void sort_small(uint64_t *values, uint32_t count)
{
	uint32_t i;
	uint32_t j;

	for (i = 1; i < count; i++) {
		uint64_t value = values[i];

		for (j = i; j > 0 && values[j - 1] > value; j--)
			values[j] = values[j - 1];
		values[j] = value;
	}
}

/* Minimum, maximum and sum. Two chains of each, as one alone would wait for itself. */
static uint128 survey(const uint64_t *values, uint32_t count, uint64_t *min, uint64_t *max)
{
	uint64_t min0 = values[0], min1 = values[count - 1];
	uint64_t max0 = min0, max1 = min1;
	uint128 sum0 = 0, sum1 = 0;
	uint32_t i;

	for (i = 0; i + 1 < count; i += 2) {
		uint64_t a = values[i], b = values[i + 1];

		min0 = a < min0 ? a : min0;
		max0 = a > max0 ? a : max0;
		sum0 += a;
		min1 = b < min1 ? b : min1;
		max1 = b > max1 ? b : max1;
		sum1 += b;
	}
	if (i < count)
		sum0 += values[i];
	*min = min0 < min1 ? min0 : min1;
	*max = max0 > max1 ? max0 : max1;
	return sum0 + sum1;
}

/*
 * The top bits of the distance as a double: exponent and KEY_BITS of the mantissa, counted
 * from those of 1. The conversion rounds, but never turns an order round. Halving makes the
 * distance fit the signed conversion, which alone is one instruction; | 1 keeps it above 0.
 */
static inline uint32_t key_of(uint64_t distance)
{
	double real = (double)(int64_t)(distance >> 1 | 1);
	uint64_t bits;

	memcpy(&bits, &real, sizeof bits);
	return (uint32_t)(bits >> (52 - KEY_BITS)) - (1023u << KEY_BITS);
}

/* Counts the samples' keys. Returns the sum of the squared distances, modulo 2^128, if asked
 * for; the compiler makes two functions of this. */
static inline __attribute__((always_inline)) uint128 keys_count(struct window_scratch *scratch,
								const uint64_t *values,
								uint32_t count, uint64_t min,
								bool direct, bool square)
{
	uint128 squares = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		uint64_t distance = values[i] - min;
		uint32_t key = direct ? (uint32_t)distance : key_of(distance);

		scratch->keys[i] = (uint16_t)key;
		scratch->counts[key]++;
		if (square)
			squares += (uint128)distance * distance;
	}
	return squares;
}

/* Finds the key of each wanted rank, and its rank within that key, from the top down: that is
 * where the keys are few. Returns with keys[] ascending as the ranks do. */
static void ranks_locate(const struct window_scratch *scratch, uint32_t count, uint32_t key_top,
			 const struct wanted *wanted, uint32_t keys[], uint32_t within[])
{
	uint32_t below = count - scratch->counts[key_top]; /* samples with lower keys */
	uint32_t key = key_top;
	uint32_t i;

	for (i = wanted->count; i-- > 0;) {
		while (wanted->ranks[i] < below)
			below -= scratch->counts[--key];
		keys[i] = key;
		within[i] = wanted->ranks[i] - below;
	}
}

/* One group for each distinct key, laid out one behind the other; returns how many. */
static uint32_t groups_make(struct window_scratch *scratch, const struct wanted *wanted,
			    const uint32_t keys[], const uint32_t within[], struct group groups[])
{
	uint32_t count = 0;
	uint32_t begin = 0;
	uint32_t i;

	for (i = 0; i < wanted->count; i++) {
		struct group *group;

		if (i == 0 || keys[i] != keys[i - 1]) {
			group = &groups[count++];
			group->begin = begin;
			group->end = begin; /* grows as samples come */
			group->wanted.count = 0;
			begin += scratch->counts[keys[i]];
			scratch->groups[keys[i]] = (uint8_t)count;
		}
		group = &groups[count - 1];
		group->slots[group->wanted.count] = i;
		group->wanted.ranks[group->wanted.count++] = within[i];
	}
	return count;
}

/* Moves the samples with wanted keys into `area`, each to its group. */
static void groups_fill(struct window_scratch *scratch, const uint64_t *values, uint32_t count,
			struct group groups[], uint64_t *area)
{
	uint32_t gathered = 0;
	uint32_t i;

	/* No branch depends on the samples. */
	for (i = 0; i < count; i++) {
		uint16_t key = scratch->keys[i];

		scratch->gathered[gathered] = values[i];
		scratch->keys[gathered] = key;
		gathered += scratch->groups[key] != 0;
	}
	for (i = 0; i < gathered; i++) {
		struct group *group = &groups[scratch->groups[scratch->keys[i]] - 1];

		area[group->end++] = scratch->gathered[i];
	}
}

static void results_fill(struct wanted *wanted, uint64_t value)
{
	uint32_t i;

	for (i = 0; i < wanted->count; i++)
		wanted->results[i] = value;
}

static void select_sorted(const uint64_t *sorted, struct wanted *wanted)
{
	uint32_t i;

	for (i = 0; i < wanted->count; i++)
		wanted->results[i] = sorted[wanted->ranks[i]];
}

/* Selects from samples whose keys have been counted. `area` has room for all of them; it may be
 * where they are. */
static void select_keyed(struct window_scratch *scratch, const uint64_t *values, uint32_t count,
			 uint64_t min, uint64_t max, uint64_t *area, struct wanted *wanted)
{
	bool direct = max - min < DIRECT_RANGE;
	uint32_t key_top = direct ? (uint32_t)(max - min) : key_of(max - min);
	uint32_t keys[RANKS_MAX];
	uint32_t within[RANKS_MAX];
	struct group groups[RANKS_MAX];
	uint32_t groups_count = 0;
	uint32_t i;
	uint32_t j;

	ranks_locate(scratch, count, key_top, wanted, keys, within);
	if (direct) {
		for (i = 0; i < wanted->count; i++)
			wanted->results[i] = min + keys[i];
	} else {
		groups_count = groups_make(scratch, wanted, keys, within, groups);
		groups_fill(scratch, values, count, groups, area);
		for (i = 0; i < wanted->count; i++)
			scratch->groups[keys[i]] = 0;
	}
	memset(scratch->counts, 0, (key_top + 1) * sizeof scratch->counts[0]);

	for (i = 0; i < groups_count; i++) {
		struct group *group = &groups[i];

		select_ranks(scratch, area + group->begin, group->end - group->begin,
			     &group->wanted);
		for (j = 0; j < group->wanted.count; j++)
			wanted->results[group->slots[j]] = group->wanted.results[j];
	}
}

void select_ranks(struct window_scratch *scratch, uint64_t *values, uint32_t count,
		  struct wanted *wanted)
{
	uint64_t min;
	uint64_t max;

	if (count <= SORT_MAX) {
		sort_small(values, count);
		select_sorted(values, wanted);
		return;
	}
	survey(values, count, &min, &max);
	if (min == max) {
		results_fill(wanted, min);
		return;
	}
	keys_count(scratch, values, count, min, max - min < DIRECT_RANGE, false);
	select_keyed(scratch, values, count, min, max, values, wanted);
}

/* The place of each is how many come before it. No branch depends on the samples. */
void select_sort_few(const uint32_t *samples, uint32_t count, uint32_t *sorted)
{
	uint32_t places[SELECT_FEW_MAX] = {0};

	assert(count <= SELECT_FEW_MAX);
	for (uint32_t i = 1; i < count; i++)
		for (uint32_t j = 0; j < i; j++) {
			uint32_t later = samples[j] > samples[i];

			places[j] += later;
			places[i] += 1 - later;
		}
	for (uint32_t i = 0; i < count; i++)
		sorted[places[i]] = samples[i];
}

/* ---- with mean and deviation ---- */

/* The distances of the samples from their minimum, as far as mean and deviation need them. */
struct lifetime moments_of(uint32_t count, uint128 sum, uint128 squares)
{
	return (struct lifetime){
		.count = count,
		.sum_low = (uint64_t)sum,
		.sum_high = (uint32_t)(sum >> 64),
		.squares_low = (uint64_t)squares,
		.squares_middle = (uint64_t)(squares >> 64),
	};
}

void select_summarise(struct window_scratch *scratch, const uint64_t *values, uint32_t count,
		      struct wanted *wanted, struct window_summary *summary)
{
	uint64_t min;
	uint64_t max;
	uint128 sum = survey(values, count, &min, &max);
	struct lifetime moments = moments_of(count, sum, 0);
	uint32_t i;

	assert(count <= scratch->size_max);
	summary->min = min;
	summary->max = max;
	summary->mean = lifetime_mean(&moments);
	summary->std = 0;
	if (min == max) {
		results_fill(wanted, min);
		return;
	}
	if ((max - min) >> SQUARES_BITS == 0) {
		uint128 squares;

		if (max - min < DIRECT_RANGE)
			squares = keys_count(scratch, values, count, min, true, true);
		else
			squares = keys_count(scratch, values, count, min, false, true);
		moments = moments_of(count, sum - (uint128)min * count, squares);
	} else {
		keys_count(scratch, values, count, min, false, false);
		moments = LIFETIME_EMPTY;
		for (i = 0; i < count; i++)
			lifetime_fold(&moments, values[i]);
	}
	summary->std = lifetime_std(&moments);
	select_keyed(scratch, values, count, min, max, scratch->grouped, wanted);
}
