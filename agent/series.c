/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "series.h"

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

bool series_copy(struct series *into, const struct series *from)
{
	if (!histogram_copy(&into->histogram, &from->histogram))
		return false;
	window_copy(into->window, from->window);
	into->lifetime = from->lifetime;
	into->violations = from->violations;
	into->worst = from->worst;
	into->deadline = from->deadline;
	return true;
}

static void worst_merge(struct worst *into, const struct worst *from)
{
	if (from->value > into->value)
		*into = *from;
}

bool series_add_delta(struct series *into, const struct series *now, const struct series *before)
{
	if (!histogram_add_delta(&into->histogram, &now->histogram, &before->histogram))
		return false;
	lifetime_add_delta(&into->lifetime, &now->lifetime, &before->lifetime);
	window_append_tail(into->window, now->window, before->window->folded);
	into->violations += now->violations - before->violations;
	into->deadline.misses += now->deadline.misses - before->deadline.misses;
	if (now->deadline.run_max > into->deadline.run_max)
		into->deadline.run_max = now->deadline.run_max;
	worst_merge(&into->worst, &now->worst);
	worst_merge(&into->deadline.worst, &now->deadline.worst);
	return true;
}
