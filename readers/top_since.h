/* SPDX-License-Identifier: MIT */
/* top_since.h - a timer's figures since a baseline: differences of two documents. */
#ifndef SHMBUS_READERS_TOP_SINCE_H
#define SHMBUS_READERS_TOP_SINCE_H

#include "document.h"

/* Buckets of a histogram with 8 for each power of two; the first is for zeros. */
#define TOP_BINS 514

/* Adds the counts of a metric's histogram, less those of `from` where it is not NULL, to bins.
 * False where there is none that makes sense. */
bool top_bins_add(double bins[TOP_BINS], const msgpack_object *metric, const msgpack_object *from);

/* The largest value that bin i counts. */
double top_bin_limit(int bin);

struct top_figures {
	double count, mean, p50, p99, max; /* NaN: no value */
	int met;                           /* 1, 0; -1: no target, or no sample */
};

/* A timer's figures of all its samples, or of those that came after `from`. */
void top_figures_read(struct top_figures *out, const msgpack_object *metric,
		      const msgpack_object *from);

/* What is more now than it was; all of it where the one before makes no sense. */
double top_since(double now, double from);

/* What sessions dropped since the baseline. */
struct top_drops {
	double all;
	double now; /* since the document before; 0 where there is none */
	uint32_t sessions;
	double most; /* by one session, called: */
	char name[80];
};

void top_drops_add(struct top_drops *drops, const char *name, double dropped);

/* The same session in another document, NULL where it is not in there. *hint: where to look
 * first; begin with 0. */
const msgpack_object *top_session_find(const struct document *document,
				       const msgpack_object *session, size_t *hint);

/* The same metric in another session, NULL where there is none. */
const msgpack_object *top_metric_find(const msgpack_object *session, const msgpack_object *metric);

/* An element of an array member by its name. */
const msgpack_object *top_named(const msgpack_object *session, const char *array, const char *name);

#endif /* SHMBUS_READERS_TOP_SINCE_H */
