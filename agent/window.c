/* SPDX-License-Identifier: MIT */
/*
 * window.c - the exact window, and how its quantiles are selected.
 *
 * Three quantiles depend on six samples at most. Sorting a thousand samples to find them would
 * cost ten times what this does:
 *
 *  1. one pass finds minimum, maximum and sum;
 *  2. one pass gives each sample a key that never descends as values ascend, and counts keys.
 *     The key is logarithmic in the distance from the minimum, so it is fine where samples are
 *     dense, whatever their offset and however far the outliers are;
 *  3. the counts, walked from the top, say which keys the six samples have;
 *  4. one pass gathers the samples with those keys, some dozens, which are sorted.
 *
 * Where too many samples share a key, the same procedure runs on those alone. Their range is
 * then smaller by a factor of 32 at least, so it ends soon, and no input makes it quadratic.
 */
#include "window.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lifetime.h"

#define KEY_BITS 5 /* keys for each power of two: 2^KEY_BITS */
#define KEYS (64u << KEY_BITS)
#define DIRECT_RANGE 1024u /* where distances are below this, they are the keys themselves */
#define SORT_MAX 40u       /* up to this many samples, sorting is quicker than selecting */
#define SQUARES_BITS 56    /* 2^16 squares of distances below 2^56 fit 128 bits */
#define QUANTILES 3
#define RANKS_MAX (2 * QUANTILES)

struct window_scratch {
	uint16_t counts[KEYS]; /* samples of each key; all zero between calls */
	uint8_t groups[KEYS];  /* 1 + the group of a key that is wanted; all zero between calls */
	uint32_t size_max;
	uint16_t *keys;     /* of the samples, in their order */
	uint64_t *gathered; /* samples with wanted keys */
	uint64_t *grouped;  /* the same, group by group */
};

/* Which samples to select: `ranks` ascend, and results[i] is what has ranks[i] when sorted. */
struct wanted {
	uint32_t count;
	uint32_t ranks[RANKS_MAX];
	uint64_t results[RANKS_MAX];
};

/* The samples of one key, and where their answers go. */
struct group {
	uint32_t begin; /* in scratch->grouped, from where the selection's part begins */
	uint32_t end;
	uint32_t slots[RANKS_MAX]; /* indexes into the wanted results */
	struct wanted wanted;      /* ranks within the group */
};

struct window *window_new(uint32_t size, bool wide)
{
	size_t bytes = size * (wide ? sizeof(uint64_t) : sizeof(uint32_t));
	struct window *w;

	assert(size >= 1 && size <= WINDOW_SIZE_MAX);
	w = malloc(sizeof *w + bytes);
	if (w != NULL)
		*w = (struct window){
			.size = size,
			.value_max = wide ? UINT64_MAX : WINDOW_NARROW_MAX,
		};
	return w;
}

void window_free(struct window *w)
{
	free(w);
}

static uint64_t value_at(const struct window *w, uint32_t i)
{
	return window_wide(w) ? w->values[i] : window_narrow(w)[i];
}

struct window *window_widened(const struct window *w)
{
	struct window *wide = window_new(w->size, true);
	uint32_t count = window_count(w);

	if (wide == NULL)
		return NULL;
	wide->next = w->next;
	wide->folded = w->folded;
	for (uint32_t i = 0; i < count; i++)
		wide->values[i] = value_at(w, i);
	return wide;
}

/* Copies samples that lie in a row, both windows being of one width. */
static void row_copy(struct window *into, uint32_t at, const struct window *from, uint32_t from_at,
		     uint32_t count)
{
	if (window_wide(into))
		memcpy(into->values + at, from->values + from_at, count * sizeof into->values[0]);
	else
		memcpy(window_narrow(into) + at, window_narrow(from) + from_at,
		       count * sizeof(uint32_t));
}

void window_copy(struct window *into, const struct window *from)
{
	uint64_t fresh = from->folded - into->folded;

	assert(into->size == from->size && into->value_max == from->value_max &&
	       into->folded <= from->folded);
	if (fresh >= from->size) {
		row_copy(into, 0, from, 0, from->size);
	} else if (into->next + fresh <= from->size) {
		row_copy(into, into->next, from, into->next, (uint32_t)fresh);
	} else {
		row_copy(into, into->next, from, into->next, from->size - into->next);
		row_copy(into, 0, from, 0, from->next);
	}
	into->next = from->next;
	into->folded = from->folded;
}

void window_append_tail(struct window *into, const struct window *from, uint64_t from_folded_before)
{
	uint64_t fresh = from->folded - from_folded_before;
	uint32_t count = fresh < from->size ? (uint32_t)fresh : from->size;
	uint32_t skip = count > into->size ? count - into->size : 0;
	uint32_t at;

	assert(into != from && from_folded_before <= from->folded &&
	       into->value_max >= from->value_max);

	/* The skipped ones would be overwritten in this very call. */
	into->folded += skip;
	count -= skip;
	at = count <= from->next ? from->next - count : from->size - (count - from->next);
	for (; count > 0; count--) {
		window_fold(into, value_at(from, at));
		at = at + 1 == from->size ? 0 : at + 1;
	}
}

struct window_scratch *window_scratch_new(uint32_t size_max)
{
	struct window_scratch *scratch;
	uint64_t *samples;

	assert(size_max >= 1 && size_max <= WINDOW_SIZE_MAX);
	scratch = calloc(1, sizeof *scratch + size_max * (2 * sizeof(uint64_t) + sizeof(uint16_t)));
	if (scratch == NULL)
		return NULL;
	samples = (uint64_t *)(scratch + 1);
	scratch->size_max = size_max;
	scratch->gathered = samples;
	scratch->grouped = samples + size_max;
	scratch->keys = (uint16_t *)(samples + 2 * (size_t)size_max);
	return scratch;
}

void window_scratch_free(struct window_scratch *scratch)
{
	free(scratch);
}

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

/* One of some samples of either width. With a constant width this is one load. */
static inline __attribute__((always_inline)) uint64_t sample_get(const void *samples, uint32_t i,
								 bool wide)
{
	return wide ? ((const uint64_t *)samples)[i] : ((const uint32_t *)samples)[i];
}

/* Minimum, maximum and sum. Two chains of each, as one alone would wait for itself. */
static inline __attribute__((always_inline)) uint128
survey_width(const void *samples, uint32_t count, bool wide, uint64_t *min, uint64_t *max)
{
	uint64_t min0 = sample_get(samples, 0, wide), min1 = sample_get(samples, count - 1, wide);
	uint64_t max0 = min0, max1 = min1;
	uint64_t narrow0 = 0, narrow1 = 0; /* 2^16 samples of 32 bits fit 64 */
	uint128 sum0 = 0, sum1 = 0;
	uint32_t i;

	for (i = 0; i + 1 < count; i += 2) {
		uint64_t a = sample_get(samples, i, wide), b = sample_get(samples, i + 1, wide);

		min0 = a < min0 ? a : min0;
		max0 = a > max0 ? a : max0;
		min1 = b < min1 ? b : min1;
		max1 = b > max1 ? b : max1;
		if (wide) {
			sum0 += a;
			sum1 += b;
		} else {
			narrow0 += a;
			narrow1 += b;
		}
	}
	if (i < count)
		sum0 += sample_get(samples, i, wide);
	*min = min0 < min1 ? min0 : min1;
	*max = max0 > max1 ? max0 : max1;
	return sum0 + sum1 + narrow0 + narrow1;
}

static uint128 survey(const void *samples, uint32_t count, bool wide, uint64_t *min, uint64_t *max)
{
	return wide ? survey_width(samples, count, true, min, max)
		    : survey_width(samples, count, false, min, max);
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
 * for. */
static inline __attribute__((always_inline)) uint128
keys_count_of(struct window_scratch *scratch, const void *samples, uint32_t count, bool wide,
	      uint64_t min, bool direct, bool square)
{
	uint128 squares = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		uint64_t distance = sample_get(samples, i, wide) - min;
		uint32_t key = direct ? (uint32_t)distance : key_of(distance);

		scratch->keys[i] = (uint16_t)key;
		scratch->counts[key]++;
		if (square)
			squares += (uint128)distance * distance;
	}
	return squares;
}

/* The compiler makes a function of each of these. */
static uint128 keys_count(struct window_scratch *scratch, const void *samples, uint32_t count,
			  bool wide, uint64_t min, bool direct, bool square)
{
	if (!wide)
		return direct ? keys_count_of(scratch, samples, count, false, min, true, true)
			      : keys_count_of(scratch, samples, count, false, min, false, true);
	if (square)
		return direct ? keys_count_of(scratch, samples, count, true, min, true, true)
			      : keys_count_of(scratch, samples, count, true, min, false, true);
	return keys_count_of(scratch, samples, count, true, min, direct, false);
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

/* Gathers the samples with wanted keys, and their keys; returns how many. */
static inline __attribute__((always_inline)) uint32_t
gather(struct window_scratch *scratch, const void *samples, uint32_t count, bool wide)
{
	uint32_t gathered = 0;
	uint32_t i;

	/* No branch depends on the samples. */
	for (i = 0; i < count; i++) {
		uint16_t key = scratch->keys[i];

		scratch->gathered[gathered] = sample_get(samples, i, wide);
		scratch->keys[gathered] = key;
		gathered += scratch->groups[key] != 0;
	}
	return gathered;
}

/* Moves the samples with wanted keys into `area`, each to its group. */
static void groups_fill(struct window_scratch *scratch, const void *samples, uint32_t count,
			bool wide, struct group groups[], uint64_t *area)
{
	uint32_t gathered = wide ? gather(scratch, samples, count, true)
				 : gather(scratch, samples, count, false);
	uint32_t i;

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

static void select_group(struct window_scratch *scratch, uint64_t *values, uint32_t count,
			 struct wanted *wanted);

/* Selects from samples whose keys have been counted. `area` has room for all of them; it may be
 * where they are. */
static void select_keyed(struct window_scratch *scratch, const void *samples, uint32_t count,
			 bool wide, uint64_t min, uint64_t max, uint64_t *area,
			 struct wanted *wanted)
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
		groups_fill(scratch, samples, count, wide, groups, area);
		for (i = 0; i < wanted->count; i++)
			scratch->groups[keys[i]] = 0;
	}
	memset(scratch->counts, 0, (key_top + 1) * sizeof scratch->counts[0]);

	for (i = 0; i < groups_count; i++) {
		struct group *group = &groups[i];

		select_group(scratch, area + group->begin, group->end - group->begin,
			     &group->wanted);
		for (j = 0; j < group->wanted.count; j++)
			wanted->results[group->slots[j]] = group->wanted.results[j];
	}
}

/* Selects from samples that it may move. */
static void select_group(struct window_scratch *scratch, uint64_t *values, uint32_t count,
			 struct wanted *wanted)
{
	uint64_t min;
	uint64_t max;

	if (count <= SORT_MAX) {
		sort_small(values, count);
		select_sorted(values, wanted);
		return;
	}
	survey(values, count, true, &min, &max);
	if (min == max) {
		results_fill(wanted, min);
		return;
	}
	keys_count(scratch, values, count, true, min, max - min < DIRECT_RANGE, false);
	select_keyed(scratch, values, count, true, min, max, values, wanted);
}

/* Few samples: all sorted. */
static void summarise_few(const struct window *w, uint32_t count, struct window_scratch *scratch,
			  struct wanted *wanted, struct window_summary *summary)
{
	struct lifetime moments = LIFETIME_EMPTY;
	uint32_t i;

	for (i = 0; i < count; i++) {
		scratch->grouped[i] = value_at(w, i);
		lifetime_fold(&moments, scratch->grouped[i]);
	}
	sort_small(scratch->grouped, count);
	select_sorted(scratch->grouped, wanted);

	summary->min = moments.min;
	summary->max = moments.max;
	summary->mean = lifetime_mean(&moments);
	summary->std = lifetime_std(&moments);
}

/* The distances of the samples from their minimum, as far as mean and deviation need them. */
static struct lifetime distances_of(uint32_t count, uint128 sum, uint128 squares)
{
	return (struct lifetime){
		.count = count,
		.sum_low = (uint64_t)sum,
		.sum_high = (uint32_t)(sum >> 64),
		.squares_low = (uint64_t)squares,
		.squares_middle = (uint64_t)(squares >> 64),
	};
}

static void summarise_many(const struct window *w, uint32_t count, struct window_scratch *scratch,
			   struct wanted *wanted, struct window_summary *summary)
{
	const void *samples = w->values;
	bool wide = window_wide(w);
	uint64_t min;
	uint64_t max;
	uint128 sum = survey(samples, count, wide, &min, &max);
	struct lifetime moments = distances_of(count, sum, 0);
	bool square = (max - min) >> SQUARES_BITS == 0;
	uint128 squares;
	uint32_t i;

	summary->min = min;
	summary->max = max;
	summary->mean = lifetime_mean(&moments);
	summary->std = 0;
	if (min == max) {
		results_fill(wanted, min);
		return;
	}
	squares = keys_count(scratch, samples, count, wide, min, max - min < DIRECT_RANGE, square);
	if (square) {
		moments = distances_of(count, sum - (uint128)min * count, squares);
	} else {
		moments = LIFETIME_EMPTY;
		for (i = 0; i < count; i++)
			lifetime_fold(&moments, value_at(w, i));
	}
	summary->std = lifetime_std(&moments);
	select_keyed(scratch, samples, count, wide, min, max, scratch->grouped, wanted);
}

void window_summarise(const struct window *w, struct window_scratch *scratch,
		      struct window_summary *summary)
{
	static const double quantiles[QUANTILES] = {0.5, 0.95, 0.99};
	uint32_t count = window_count(w);
	struct wanted wanted = {.count = RANKS_MAX};
	double *results[QUANTILES] = {&summary->p50, &summary->p95, &summary->p99};
	double fractions[QUANTILES];
	uint32_t i;

	assert(w->size <= scratch->size_max);

	*summary = (struct window_summary){.count = count};
	if (count == 0)
		return;
	summary->last = value_at(w, (w->next == 0 ? w->size : w->next) - 1);
	for (i = 0; i < QUANTILES; i++) {
		struct rank rank = rank_of(quantiles[i], count);

		fractions[i] = rank.fraction;
		wanted.ranks[2 * i] = (uint32_t)rank.below;
		/* Without a fraction there need not be a next one. */
		wanted.ranks[2 * i + 1] = (uint32_t)rank.below + (rank.fraction > 0);
	}
	if (count <= SORT_MAX)
		summarise_few(w, count, scratch, &wanted, summary);
	else
		summarise_many(w, count, scratch, &wanted, summary);
	for (i = 0; i < QUANTILES; i++)
		*results[i] = rank_blend((double)wanted.results[2 * i],
					 (double)wanted.results[2 * i + 1], fractions[i]);
}
