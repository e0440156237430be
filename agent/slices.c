/* SPDX-License-Identifier: MIT */
/*
 * slices.c - differences of a cumulative histogram, kept for 15 minutes.
 *
 * Seconds are counted from slices_begin(). A slice has the second in which it ends; that alone
 * says which coarser slice it belongs to: the one ending at the next multiple of 10 s, and then
 * of 60 s. When such a boundary is reached, the finer slices are merged into the coarser one;
 * the finer ones stay until their own window has passed. So at any time a window consists of
 *
 *	the slices of its own level that end after its floor,
 *	then, from the last boundary of each level on, those of the next finer level,
 *
 * where the floor is the last boundary of its level less its length. Its total is the sum of
 * just those: a new slice of 1 s is added to every window, merging changes nothing, and a slice
 * is subtracted when the floor has passed its end.
 */
#include "slices.h"

#include <assert.h>
#include <stdlib.h>

#include "slice.h"

#define LEVELS SLICES_LEVELS
#define LEVEL_SLICES_MAX 15u
#define NS_PER_S UINT64_C(1000000000)

static const struct level {
	uint32_t step_s;
	uint32_t slices; /* as many as its longest window has */
	uint32_t place;  /* in the store, of its first one */
} levels[LEVELS] = {{1, SLICES_SECONDS, 0}, {10, 6, SLICES_SECONDS}, {60, LEVEL_SLICES_MAX, 16}};

static const struct span {
	uint32_t level;
	uint32_t length_s;
} spans[SLICES_WINDOWS] = {
	[SLICES_10S] = {0, 10},
	[SLICES_1M] = {1, 60},
	[SLICES_5M] = {2, 300},
	[SLICES_15M] = {2, 900},
};

/* The smallest sample that a bucket can hold. */
static uint64_t bucket_min(uint32_t index)
{
	/* The bound below, rounded down: see the thresholds. */
	if (index == 0)
		return 1;
	return (histogram_thresholds[(index - 1) % 32] >> (63 - (index - 1) / 32)) + 1;
}

/* Windows may reach back to before the beginning. */
static int64_t window_floor(enum slices_window window, uint32_t now_s)
{
	uint32_t step_s = levels[spans[window].level].step_s;

	return (int64_t)(now_s - now_s % step_s) - spans[window].length_s;
}

/* Gathers the slices of a level that end after `after_s` and not after `until_s`. */
static uint32_t slices_between(struct slices_store *store, uint32_t level, int64_t after_s,
			       int64_t until_s, struct slice *found[])
{
	uint32_t place = levels[level].place;
	uint32_t end = place + levels[level].slices;
	uint32_t count = 0;

	for (; place < end; place++)
		if (store->ends[place] != 0 && store->ends[place] > after_s &&
		    store->ends[place] <= until_s)
			found[count++] = &store->slices[place];
	return count;
}

void slices_place_taken(struct slices_store *store, struct slice *slice)
{
	store->ends[slice - store->slices] = slice->end_s;
	store->bytes += (uint32_t)slice_bytes(slice);
}

void slices_place_clear(struct slices_store *store, struct slice *slice)
{
	store->ends[slice - store->slices] = 0;
	store->bytes -= (uint32_t)slice_bytes(slice);
	slice_clear(slice);
}

/* All slices of a window, without those that a coarser one contains. */
static uint32_t slices_of(struct slices_store *store, enum slices_window window, uint32_t now_s,
			  struct slice *found[])
{
	int64_t after_s = window_floor(window, now_s);
	uint32_t level = spans[window].level + 1;
	uint32_t count = 0;

	while (level-- > 0) {
		count += slices_between(store, level, after_s, now_s, found + count);
		after_s = now_s - now_s % levels[level].step_s;
	}
	return count;
}

/* Gives a sum the buckets of the slices, with room for so many samples in each, or none if one of
 * them has lost its own. */
static bool sum_rebuild(struct slice *sum, struct slice *const slices[], uint32_t count,
			uint64_t room)
{
	struct dense d;
	uint32_t i;

	dense_clear(&d);
	for (i = 0; i < count; i++) {
		if (slices[i]->counters == NULL)
			goto lost;
		dense_merge(&d, slices[i], false);
	}
	if (slice_pack(sum, &d, room))
		return true;
lost:
	slice_drop_counters(sum);
	return false;
}

/* Slices have left: maximum and start have to be found again among those that are still there.
 * That a coarse slice repeats what is in finer ones does no harm here. */
static void total_refresh(struct slices_store *store, enum slices_window window, uint32_t now_s)
{
	struct slice *found[LEVEL_SLICES_MAX];
	struct slice *total = &store->totals[window];
	uint32_t level;
	uint32_t count;

	if (total->count == 0) {
		slice_clear(total);
		return;
	}
	total->max = 0;
	total->start_s = UINT32_MAX;
	for (level = 0; level <= spans[window].level; level++) {
		count = slices_between(store, level, window_floor(window, now_s), now_s, found);
		while (count-- > 0) {
			if (found[count]->max > total->max)
				total->max = found[count]->max;
			if (found[count]->start_s < total->start_s)
				total->start_s = found[count]->start_s;
		}
	}
}

/* Adds the counters of a slice to those of a sum, or subtracts them: in place, or else in a range
 * and a width that will do. The sum's count includes the slice's. False, with nothing done: no
 * memory, or a slice that has lost its own. */
static bool sum_change(struct slice *sum, const struct slice *slice, bool subtract)
{
	struct dense d;

	if (slice->counters == NULL)
		return false;
	if (slice_change(sum, slice, subtract))
		return true;
	dense_clear(&d);
	dense_merge(&d, sum, false);
	dense_merge(&d, slice, subtract);
	return slice_pack(sum, &d, sum->count);
}

/* Takes out of a window's total what leaves it between two seconds, and adds the new slice, if
 * any. Returns whether something left. */
static bool total_advance(struct slices_store *store, enum slices_window window, uint32_t from_s,
			  uint32_t to_s, const struct slice *fresh)
{
	struct slice *left[LEVEL_SLICES_MAX];
	int64_t before = window_floor(window, from_s), after = window_floor(window, to_s);
	uint32_t count = before == after
				 ? 0
				 : slices_between(store, spans[window].level, before, after, left);
	struct slice *total = &store->totals[window];
	bool complete = total->count == 0 || total->counters != NULL;
	uint32_t i;

	for (i = 0; i < count; i++) {
		complete = complete && sum_change(total, left[i], true);
		total->count -= left[i]->count;
		slice_sum_set(total, slice_sum(total) - slice_sum(left[i]));
	}
	if (count > 0)
		total_refresh(store, window, to_s);
	complete = complete || total->count == 0;
	if (fresh != NULL) {
		slice_add_fixed(total, fresh);
		complete = complete && sum_change(total, fresh, false);
	}
	if (total->count > 0 && !complete) {
		slice_drop_counters(total);
		store->incomplete = true;
	}
	return count > 0;
}

/* Forgets the slices that no window has any more, since there was a look at this second. */
static void slices_expire(struct slices_store *store, uint32_t from_s, uint32_t now_s)
{
	static const enum slices_window longest[LEVELS] = {SLICES_10S, SLICES_1M, SLICES_15M};
	struct slice *found[LEVEL_SLICES_MAX];
	uint32_t level;
	uint32_t count;

	for (level = 0; level < LEVELS; level++) {
		if (window_floor(longest[level], from_s) == window_floor(longest[level], now_s))
			continue;
		count = slices_between(store, level, -1, window_floor(longest[level], now_s),
				       found);
		while (count-- > 0)
			slices_place_clear(store, found[count]);
	}
}

/* The place of the slice of a level that ends at this second; the one before it has expired. */
static struct slice *slice_place(struct slices_store *store, uint32_t level, uint32_t end_s)
{
	struct slice *slice = store->slices + levels[level].place +
			      end_s / levels[level].step_s % levels[level].slices;

	assert(store->ends[slice - store->slices] == 0);
	return slice;
}

bool slices_place_right(uint32_t place, uint32_t end_s)
{
	uint32_t level = LEVELS - 1;

	while (levels[level].place > place)
		level--;
	return end_s % levels[level].step_s == 0 &&
	       levels[level].place + end_s / levels[level].step_s % levels[level].slices == place;
}

/* At a boundary of a level: merges the finer slices since the last one. */
static void slices_settle(struct slices_store *store, uint32_t level, uint32_t now_s)
{
	struct slice *found[LEVEL_SLICES_MAX];
	struct slice *slice;
	uint32_t count;
	uint32_t i;

	count = slices_between(store, level - 1, (int64_t)now_s - levels[level].step_s, now_s,
			       found);
	if (count == 0)
		return;
	slice = slice_place(store, level, now_s);
	for (i = 0; i < count; i++)
		slice_add_fixed(slice, found[i]);
	slice->end_s = now_s;
	/* If these buckets are lost, the totals cannot be rid of them by subtraction. */
	if (!sum_rebuild(slice, found, count, 0))
		store->incomplete = true;
	slices_place_taken(store, slice);
}

static void totals_rebuild(struct slices_store *store, uint32_t now_s)
{
	struct slice *found[LEVELS * LEVEL_SLICES_MAX];
	enum slices_window window;

	store->incomplete = false;
	for (window = 0; window < SLICES_WINDOWS; window++) {
		uint32_t count = slices_of(store, window, now_s, found);

		if (count > 0 &&
		    !sum_rebuild(&store->totals[window], found, count, store->totals[window].count))
			store->incomplete = true;
	}
}

void slices_total(struct slices *s)
{
	struct slice *found[LEVELS * LEVEL_SLICES_MAX];
	enum slices_window window;

	for (window = 0; window < SLICES_WINDOWS; window++) {
		uint32_t count = slices_of(s->store, window, s->now_s, found);

		slice_clear(&s->store->totals[window]);
		while (count-- > 0)
			slice_add_fixed(&s->store->totals[window], found[count]);
	}
	totals_rebuild(s->store, s->now_s);
}

/* Moves on to a second, beyond no boundary up to which slices have not been merged. Takes over
 * the new slice, if any. Returns whether a slice left a window. */
static bool time_step(struct slices *s, uint32_t to_s, const struct slice *fresh)
{
	struct slices_store *store = s->store;
	enum slices_window window;
	bool left = false;
	uint32_t level;

	for (window = 0; window < SLICES_WINDOWS; window++)
		left |= total_advance(store, window, s->now_s, to_s, fresh);
	slices_expire(store, s->now_s, to_s);
	s->now_s = to_s;
	if (fresh != NULL) {
		struct slice *slice = slice_place(store, 0, to_s);

		*slice = *fresh;
		slices_place_taken(store, slice);
	}
	for (level = 1; level < LEVELS; level++)
		if (to_s % levels[level].step_s == 0)
			slices_settle(store, level, to_s);
	if (store->incomplete)
		totals_rebuild(store, to_s);
	return left;
}

/* As time_step(), from boundary to boundary where there are any before `to_s`. Each level has
 * unmerged slices before its next boundary only, so one stop for each is enough. */
static bool time_advance(struct slices *s, uint32_t to_s, const struct slice *fresh)
{
	bool left = false;
	uint32_t level;

	for (level = 1; level < LEVELS; level++) {
		uint64_t boundary_s =
			(uint64_t)s->now_s - s->now_s % levels[level].step_s + levels[level].step_s;

		if (boundary_s < to_s)
			left |= time_step(s, (uint32_t)boundary_s, NULL);
	}
	return time_step(s, to_s, fresh) || left;
}

/* The second from which on time alone can merge or expire a slice. */
static uint32_t time_due(struct slices_store *store, uint32_t now_s)
{
	uint32_t due_s = UINT32_MAX;
	uint32_t i;

	/* 15 min is the longest: if it is empty, everything is. */
	if (store->totals[SLICES_15M].count == 0)
		return due_s;
	due_s = now_s - now_s % levels[1].step_s + levels[1].step_s;
	for (i = 0; i < levels[0].slices; i++)
		if (store->ends[i] != 0 && store->ends[i] + spans[SLICES_10S].length_s < due_s)
			due_s = store->ends[i] + spans[SLICES_10S].length_s;
	return due_s;
}

/* Makes the slice between the last hand-over and this one, and this one the last; nothing on
 * false (no memory). */
static bool slice_take(struct slices *s, uint32_t now_s, const struct histogram *histogram,
		       const struct lifetime *lifetime, uint64_t peak, struct slice *slice)
{
	struct slice *before = &s->store->before;
	struct dense d;

	*slice = (struct slice){
		.count = lifetime->count - before->count,
		.max = peak < lifetime->max ? peak : lifetime->max,
		.start_s = s->now_s,
		.end_s = now_s,
	};
	slice_sum_set(slice, lifetime_sum(lifetime) - slice_sum(before));
	dense_set(&d, histogram);
	dense_merge(&d, before, true);
	if (!slice_pack(slice, &d, 0))
		return false;
	/* The maximum and the buckets have to agree, whatever the caller took for the peak. A new
	 * slice is trimmed, so its last bucket has a sample. */
	if (slice->length > 0 && slice->max < bucket_min(slice->first + slice->length - 1u))
		slice->max = bucket_min(slice->first + slice->length - 1u);
	/* What reaches beyond all before has the largest sample ever. */
	if (slice->first + slice->length > before->first + before->length)
		slice->max = lifetime->max;

	before->count += slice->count;
	if (!sum_change(before, slice, false)) {
		before->count -= slice->count;
		slice_clear(slice);
		return false;
	}
	slice_sum_set(before, lifetime_sum(lifetime));
	s->store->min = lifetime->min;
	s->count = lifetime->count;
	return true;
}

bool slices_begin(struct slices *s, uint64_t second, const struct histogram *histogram,
		  const struct lifetime *lifetime)
{
	struct slice ignored;

	*s = (struct slices){.began_s = second, .due_s = UINT32_MAX};
	if (lifetime == NULL || lifetime->count == 0)
		return true;
	s->store = calloc(1, sizeof *s->store);
	if (s->store == NULL)
		return false;
	if (!slice_take(s, 0, histogram, lifetime, lifetime->max, &ignored)) {
		slices_free(s);
		return false;
	}
	slice_clear(&ignored);
	return true;
}

void slices_free(struct slices *s)
{
	size_t i;

	if (s->store != NULL) {
		slice_drop_counters(&s->store->before);
		for (i = 0; i < SLICES_WINDOWS; i++)
			slice_drop_counters(&s->store->totals[i]);
		for (i = 0; i < sizeof s->store->slices / sizeof s->store->slices[0]; i++)
			slice_drop_counters(&s->store->slices[i]);
		free(s->store);
	}
	*s = (struct slices){.began_s = s->began_s, .due_s = UINT32_MAX};
}

bool slices_advance(struct slices *s, uint64_t second, const struct histogram *histogram,
		    const struct lifetime *lifetime, uint64_t peak)
{
	uint32_t now_s = (uint32_t)(second - s->began_s);
	struct slice fresh;
	bool changed = lifetime->count != s->count;

	assert(second >= s->began_s && second - s->began_s < UINT32_MAX);
	assert(lifetime->count >= s->count);

	s->peak = peak > s->peak ? peak : s->peak;
	if (now_s <= s->now_s)
		return false;
	if (!changed && now_s < s->due_s) {
		s->now_s = now_s;
		return false;
	}
	if (changed) {
		if (s->store == NULL)
			s->store = calloc(1, sizeof *s->store);
		if (s->store == NULL || !slice_take(s, now_s, histogram, lifetime, s->peak, &fresh))
			return false;
		s->peak = 0;
	}
	changed |= time_advance(s, now_s, changed ? &fresh : NULL);
	s->due_s = time_due(s->store, now_s);
	return changed;
}

static void quantiles_fill(const struct slices_store *store, const struct slice *total,
			   struct slices_summary *summary)
{
	static const double quantiles[3] = {0.5, 0.95, 0.99};
	struct counters c = slice_counters(total);
	uint32_t first = 0;
	double results[3];
	uint64_t min;

	while (first < c.length && counter_get(c.at, first, c.width) == 0)
		first++;
	min = c.zero_count > 0 || first == c.length ? 0 : bucket_min(c.first + first);
	min = min > store->min ? min : store->min;
	min = min < total->max ? min : total->max;
	counters_quantiles(&c, total->count, min, total->max, quantiles, results, 3);
	summary->has_quantiles = true;
	summary->p50 = results[0];
	summary->p95 = results[1];
	summary->p99 = results[2];
}

/* Where a window begins, which its oldest sample may reach beyond. */
static int64_t window_start(const struct slices *s, enum slices_window window)
{
	const struct slice *total = s->store != NULL ? &s->store->totals[window] : NULL;
	int64_t start_s = window_floor(window, s->now_s);

	start_s = start_s > 0 ? start_s : 0;
	return total != NULL && total->count > 0 && total->start_s < start_s ? total->start_s
									     : start_s;
}

/* What depends on its samples alone, and not on its length. */
static void samples_summarise(const struct slices *s, enum slices_window window,
			      struct slices_summary *summary)
{
	const struct slice *total = s->store != NULL ? &s->store->totals[window] : NULL;

	*summary = (struct slices_summary){0};
	if (total == NULL || total->count == 0)
		return;
	summary->count = total->count;
	summary->sum = slice_sum(total);
	summary->mean = (double)((long double)summary->sum / (long double)total->count);
	summary->max = total->max;
	if (total->counters != NULL)
		quantiles_fill(s->store, total, summary);
}

static void span_fill(const struct slices *s, enum slices_window window,
		      struct slices_summary *summary)
{
	int64_t start_s = window_start(s, window);

	summary->span_ns = (uint64_t)(s->now_s - start_s) * NS_PER_S;
	if (summary->count > 0)
		summary->rate = (double)summary->count / (double)(s->now_s - start_s);
}

void slices_window(const struct slices *s, enum slices_window window,
		   struct slices_summary *summary)
{
	samples_summarise(s, window, summary);
	span_fill(s, window, summary);
}

void slices_windows(const struct slices *s, struct slices_summary summaries[SLICES_WINDOWS])
{
	samples_summarise(s, 0, &summaries[0]);
	for (enum slices_window window = 1; window < SLICES_WINDOWS; window++) {
		/* Each has all that is in the one before. Of as many, they are the same. */
		if (s->store != NULL && summaries[window - 1].has_quantiles &&
		    s->store->totals[window].count == summaries[window - 1].count)
			summaries[window] = summaries[window - 1];
		else
			samples_summarise(s, window, &summaries[window]);
	}
	for (enum slices_window window = 0; window < SLICES_WINDOWS; window++)
		span_fill(s, window, &summaries[window]);
}

size_t slices_bytes(const struct slices *s)
{
	const struct slices_store *store = s->store;
	size_t bytes;
	size_t i;

	if (store == NULL)
		return 0;
	bytes = sizeof *store + store->bytes + slice_bytes(&store->before);
	for (i = 0; i < SLICES_WINDOWS; i++)
		bytes += slice_bytes(&store->totals[i]);
	return bytes;
}
