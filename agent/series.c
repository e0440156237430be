/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

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
	series->window = window_new(window_size);
	return series->window != NULL ? 0 : -ENOMEM;
}

void series_free(struct series *series)
{
	histogram_free(&series->histogram);
	free(series->window);
	series->window = NULL;
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

void series_add(struct series *into, const struct series *from)
{
	histogram_add(&into->histogram, &from->histogram);
	lifetime_add(&into->lifetime, &from->lifetime);
	into->violations += from->violations;
	into->deadline.misses += from->deadline.misses;
	if (from->deadline.run_max > into->deadline.run_max)
		into->deadline.run_max = from->deadline.run_max;
	worst_merge(&into->worst, &from->worst);
	worst_merge(&into->deadline.worst, &from->deadline.worst);
}

bool series_commit(struct series *committed, const struct series *live, struct series *total)
{
	const struct histogram *histogram = &live->histogram;

	/* First all that can fail. */
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
