/* SPDX-License-Identifier: MIT */
/* record_page.h - a recording as one page, and the pictures in it. */
#ifndef SHMBUS_READERS_RECORD_PAGE_H
#define SHMBUS_READERS_RECORD_PAGE_H

#include <stdio.h>

#include "recording.h"

/* Writes the page; `document` is the newest one. */
void record_page(FILE *out, const struct recording *recording, const struct document *document,
		 const char *bus);

/* What a timer's values are divided by for an axis, and the unit that they have then. */
double record_scale(const char *unit, const char **shown);

/* ---- record_plot.c: figures ---- */

/* How the values lie, on a logarithmic axis. */
void record_distribution(FILE *out, const struct timer *timer);
/* Percentiles of what was recorded, and of all that the sessions ever had. */
void record_percentiles(FILE *out, const struct timer *timer);
/* Median, 99th percentile and maximum of each slot; `place` is the timer's in the page's data. */
void record_course(FILE *out, const struct recording *recording, const struct timer *timer,
		   uint32_t place);
/* Where the samples of each slot lie. */
void record_heat(FILE *out, const struct recording *recording, const struct timer *timer);
/* Drops of each slot. */
void record_drops(FILE *out, const struct recording *recording);

#endif /* SHMBUS_READERS_RECORD_PAGE_H */
