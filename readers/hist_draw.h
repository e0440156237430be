/* SPDX-License-Identifier: MIT */
/* hist_draw.h - one or two histograms as rows of a terminal: bins, labels, bars. */
#ifndef SHMBUS_READERS_HIST_DRAW_H
#define SHMBUS_READERS_HIST_DRAW_H

#include "buckets.h"

#define BINS_MAX 208

/* Neighbouring intervals (edges[i], edges[i + 1]]; the first one takes its lower edge too. */
struct bins {
	size_t count;
	double edges[BINS_MAX + 1];
	bool log;
	double step; /* of a linear axis */
	bool more;   /* the last one reaches from the axis' end to the largest sample */
};

struct drawing {
	bool log;        /* the axis of the values */
	bool log_counts; /* the length of the bars */
	bool ascii;
	int columns;
	int rows;
	const char *unit;
};

/* Divides what one or two (second: NULL) histograms hold into `rows` bins or so: of equal width up
 * to where one sample in a thousand is beyond, with round edges, and no narrower than buckets are
 * there; or of equal ratio, whole buckets each. */
void bins_make(struct bins *bins, const struct buckets *first, const struct buckets *second,
	       int rows, bool log);

/* The bin of a value within the bins. */
size_t bins_find(const struct bins *bins, double value);

/* Counts each bucket in the bin of its middle: the sum is the number of samples. */
void bins_fill(const struct bins *bins, const struct buckets *buckets, uint64_t *counts);

/* A bar of so many columns, of 8 parts each where the terminal has UTF-8; what is above 0 shows.
 * Returns out, which holds 3 bytes a column and one more. */
const char *bar_make(char *out, double part, int columns, bool ascii);

/* Prints the rows. `metric` has the quantiles that are marked. */
void draw_one(const struct drawing *drawing, const struct buckets *buckets,
	      const msgpack_object *metric);
void draw_two(const struct drawing *drawing, const struct buckets *a, const struct buckets *b);

#endif /* SHMBUS_READERS_HIST_DRAW_H */
