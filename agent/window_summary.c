/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "window.h"
#include "window_near.h"
#include "window_select.h"

static const double fractions[WINDOW_QUANTILES] = {0.5, 0.95, 0.99};

/* How far a quantile moves, in ranks, when so many samples are replaced: by no more than there are,
 * and hardly ever by more than three deviations if they are of the same distribution. */
static uint32_t reach_of(double quantile, uint64_t fresh)
{
	const float reach_max = 100;
	float reach = 2 + 3 * sqrtf(2 * (float)fresh * (float)(quantile * (1 - quantile)));

	if (fresh < reach_max && reach > (float)fresh)
		reach = (float)fresh;
	return 1 + (uint32_t)(reach < reach_max ? reach : reach_max);
}

/* The window's samples, in memory that may be written to. */
static uint64_t *samples_copy(const struct window *w, uint32_t count,
			      struct window_scratch *scratch)
{
	uint64_t *area = window_scratch_area(scratch, count);

	if (window_wide(w))
		memcpy(area, w->values, count * sizeof *area);
	else
		for (uint32_t i = 0; i < count; i++)
			area[i] = window_narrow(w)[i];
	return area;
}

/* Few samples: all sorted. */
static void summarise_few(const struct window *w, uint32_t count, struct window_scratch *scratch,
			  struct wanted *wanted, struct window_summary *summary)
{
	uint64_t *samples = samples_copy(w, count, scratch);
	struct lifetime moments = LIFETIME_EMPTY;

	for (uint32_t i = 0; i < count; i++)
		lifetime_fold(&moments, samples[i]);
	select_ranks(scratch, samples, count, wanted);
	summary->min = moments.min;
	summary->max = moments.max;
	summary->mean = lifetime_mean(&moments);
	summary->std = lifetime_std(&moments);
}

/* Selects the quantiles' samples among all. */
static void summarise_all(const struct window *w, uint32_t count, struct window_near *near,
			  struct window_scratch *scratch, struct window_quantile quantiles[],
			  struct window_summary *summary)
{
	uint32_t from[WINDOW_QUANTILES], to[WINDOW_QUANTILES];
	struct wanted wanted = {0};

	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++) {
		from[i] = quantile_from(quantiles[i].below, quantiles[i].reach);
		to[i] = quantile_to(quantiles[i].next, quantiles[i].reach, count);
		wanted_add(&wanted, quantiles[i].below);
		wanted_add(&wanted, quantiles[i].next);
		if (near == NULL)
			continue;
		wanted_add(&wanted, from[i]);
		wanted_add(&wanted, to[i]);
	}
	if (count <= SORT_MAX)
		summarise_few(w, count, scratch, &wanted, summary);
	else
		select_summarise(scratch,
				 window_wide(w) ? w->values : samples_copy(w, count, scratch),
				 count, &wanted, summary);
	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++) {
		quantiles[i].low = wanted_result(&wanted, quantiles[i].below);
		quantiles[i].high = wanted_result(&wanted, quantiles[i].next);
		if (near == NULL)
			continue;
		near->low[i] = (uint32_t)wanted_result(&wanted, from[i]);
		near->high[i] = (uint32_t)wanted_result(&wanted, to[i]);
	}
}

void window_summarise(const struct window *w, struct window_near *near,
		      struct window_scratch *scratch, struct window_summary *summary)
{
	double *results[WINDOW_QUANTILES] = {&summary->p50, &summary->p95, &summary->p99};
	struct window_quantile quantiles[WINDOW_QUANTILES];
	uint32_t count = window_count(w);
	bool lookable = !window_wide(w) && count > SORT_MAX;
	struct rank ranks[WINDOW_QUANTILES];

	*summary = (struct window_summary){.count = count};
	if (count == 0)
		return;
	summary->last = window_value(w, (w->next == 0 ? w->size : w->next) - 1);
	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++) {
		ranks[i] = rank_of(fractions[i], count);
		quantiles[i] = (struct window_quantile){
			.below = (uint32_t)ranks[i].below,
			/* Without a fraction there need not be a next one. */
			.next = (uint32_t)ranks[i].below + (ranks[i].fraction > 0),
			.reach = reach_of(fractions[i], w->folded - near->folded),
		};
	}
	/* Of wide windows and of short ones it is not known where their quantiles were. */
	if (!lookable)
		summarise_all(w, count, NULL, scratch, quantiles, summary);
	else if (near->folded == 0 ||
		 !window_near_find(window_narrow(w), count, near, scratch, quantiles, summary))
		summarise_all(w, count, near, scratch, quantiles, summary);
	near->folded = lookable ? w->folded : 0;
	for (uint32_t i = 0; i < WINDOW_QUANTILES; i++)
		*results[i] = rank_blend((double)quantiles[i].low, (double)quantiles[i].high,
					 ranks[i].fraction);
}
