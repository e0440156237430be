/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "series.h"

bool series_target_met(const struct series *series, const struct shmbus_metric_entry *entry)
{
	uint32_t allowed_ppm = 1000000u - entry->target_quantile_ppm;

	return (uint128)series->violations * 1000000u <=
	       (uint128)series->lifetime.count * allowed_ppm;
}

int series_init(struct series *series, uint32_t window_size)
{
	*series = (struct series){.lifetime = LIFETIME_EMPTY};
	series->window = window_new(window_size, false);
	return series->window != NULL ? 0 : -ENOMEM;
}

static void window_drop(struct series *series)
{
	if (!series->window_lent)
		window_free(series->window);
	series->window = NULL;
	series->window_lent = false;
}

void series_free(struct series *series)
{
	histogram_free(&series->histogram);
	window_drop(series);
}

bool series_widen(struct series *series)
{
	struct window *wide;

	if (window_wide(series->window))
		return true;
	wide = window_widened(series->window);
	if (wide == NULL)
		return false;
	window_drop(series);
	series->window = wide;
	return true;
}

void series_window_lend(struct series *series, struct window *window)
{
	window_drop(series);
	series->window = window;
	series->window_lent = true;
}

static void worst_merge(struct worst *into, const struct worst *from)
{
	if (from->value > into->value)
		*into = *from;
}

/* Adds what `now` has beyond `before`. A total that cannot grow its histogram counts in the
 * nearest bucket instead: its counts stay right. */
static void delta_add(struct series *into, const struct series *now, const struct series *before)
{
	histogram_add_delta(&into->histogram, &now->histogram, &before->histogram);
	lifetime_add_delta(&into->lifetime, &now->lifetime, &before->lifetime);
	window_append_tail(into->window, now->window, before->window->folded);
	into->violations += now->violations - before->violations;
	into->deadline.misses += now->deadline.misses - before->deadline.misses;
	if (now->deadline.run_max > into->deadline.run_max)
		into->deadline.run_max = now->deadline.run_max;
	worst_merge(&into->worst, &now->worst);
	worst_merge(&into->deadline.worst, &now->deadline.worst);
}

bool series_add(struct series *into, const struct series *from)
{
	bool grown = histogram_add(&into->histogram, &from->histogram);

	lifetime_add(&into->lifetime, &from->lifetime);
	into->violations += from->violations;
	into->deadline.misses += from->deadline.misses;
	if (from->deadline.run_max > into->deadline.run_max)
		into->deadline.run_max = from->deadline.run_max;
	worst_merge(&into->worst, &from->worst);
	worst_merge(&into->deadline.worst, &from->deadline.worst);
	return grown;
}

bool series_commit(struct series *committed, const struct series *live, struct series *total)
{
	const struct histogram *histogram = &live->histogram;

	/* First all that can fail. */
	if (window_wide(live->window) &&
	    (!series_widen(committed) || (total != NULL && !series_widen(total))))
		return false;
	if (histogram->length != 0 &&
	    !histogram_cover(&committed->histogram, histogram->first, histogram->length))
		return false;
	if (total != NULL)
		delta_add(total, live, committed);
	histogram_copy(&committed->histogram, histogram);
	window_copy(committed->window, live->window);
	committed->lifetime = live->lifetime;
	committed->violations = live->violations;
	committed->worst = live->worst;
	committed->deadline = live->deadline;
	return true;
}
