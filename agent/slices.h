/* SPDX-License-Identifier: MIT */
/*
 * slices.h - statistics of the last 10 s, 1 min, 5 min and 15 min of a metric.
 *
 * They cost nothing per sample. Once a second the owner hands over the cumulative histogram and
 * lifetime of the metric; what they have beyond the last hand-over becomes a slice. Ten slices
 * of 1 s, six of 10 s and fifteen of 1 min are kept, the coarser ones made by merging the finer.
 * For each window the sum of its slices is kept up as they come and go, so reading a window is
 * one pass over its buckets.
 *
 * A window covers its completed slices, plus the finer ones since the last of them: 10 s are
 * 10 s; 1 min is 60 to 69 s; 5 min are up to 359 s; 15 min are up to 959 s; less while the
 * metric is younger than that. span_ns says which, and the rate is over that span.
 *
 * Hand-overs may come late, or seldom. The samples of a long gap then count where it ended, as
 * nobody knows better, and the span reaches back to where it began.
 *
 * Memory: a metric without samples owns nothing but its struct slices. Slices without samples
 * are not stored, and buckets take 1, 2, 4 or 8 bytes as their counts need.
 *
 * Without memory nothing crashes. A hand-over that cannot be stored is left undone, so that its
 * samples come with the next one; buckets that are lost in merging take the quantiles of their
 * windows with them until the slices have expired, but never counts, sums or maxima.
 *
 * A struct slices has one owner thread; nothing here is atomic.
 */
#ifndef SHMBUS_AGENT_SLICES_H
#define SHMBUS_AGENT_SLICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "lifetime.h"

enum slices_window {
	SLICES_10S,
	SLICES_1M,
	SLICES_5M,
	SLICES_15M,
	SLICES_WINDOWS,
};

struct slices_store;

struct slices {
	struct slices_store *store; /* NULL until the first sample */
	uint64_t began_s;           /* when slices_begin() was called */
	uint64_t count;             /* of the last hand-over */
	uint64_t peak;              /* of hand-overs that could not be stored */
	uint32_t now_s;             /* the last hand-over, in seconds since began_s */
	uint32_t due_s;             /* until then, time alone changes nothing */
};

/*
 * Begins at this second of a monotonic clock. `histogram` and `lifetime` are what the metric
 * has already, and what no window shall contain; NULL if it has nothing. False without memory;
 * then the struct is as one for a metric without samples, and may be begun again.
 */
bool slices_begin(struct slices *s, uint64_t second, const struct histogram *histogram,
		  const struct lifetime *lifetime);
void slices_free(struct slices *s);

/*
 * Hands over the cumulative state, and the maximum of the samples since the last hand-over
 * (lifetime_peak_take()). The cumulative state never goes back. Within a second already handed
 * over nothing is taken in but the peak. Returns whether a window may have changed: samples
 * came or left. (Spans grow with time even so; they are not worth publishing again.)
 */
bool slices_advance(struct slices *s, uint64_t second, const struct histogram *histogram,
		    const struct lifetime *lifetime, uint64_t peak);

/* Up to this second of that clock slices_advance() need not be called for a metric that has still
 * so many samples, as long as slices_rest() is before the next call. */
static inline uint64_t slices_due(const struct slices *s, uint64_t count)
{
	if (s->count != count)
		return 0;
	return s->due_s == UINT32_MAX ? UINT64_MAX : s->began_s + s->due_s;
}

/* Nothing had come up to this second, which was not due. */
static inline void slices_rest(struct slices *s, uint64_t second)
{
	if (s->began_s != 0 && second > s->began_s + s->now_s)
		s->now_s = (uint32_t)(second - s->began_s);
}

struct slices_summary {
	uint64_t count;   /* if 0, mean and all below mean nothing */
	uint128 sum;      /* exact */
	uint64_t span_ns; /* the time that the window really covers; 0 before the first second */
	double rate;      /* samples per second of the span; 0 if the span is */
	double mean;
	uint64_t max;
	bool has_quantiles; /* false only after memory ran out */
	double p50;         /* quantiles as histogram_quantiles() estimates them */
	double p95;
	double p99;
};

/* The window as of the last hand-over. */
void slices_window(const struct slices *s, enum slices_window window,
		   struct slices_summary *summary);

/* All of them, for less than one after the other takes. */
void slices_windows(const struct slices *s, struct slices_summary summaries[SLICES_WINDOWS]);

/* Bytes allocated, without the struct itself. */
size_t slices_bytes(const struct slices *s);

/* Hints: slices_advance() and slices_window() are about to be called. The second one looks at what
 * the first one fetches, so it comes some time later. */
void slices_fetch(const struct slices *s);
void slices_fetch_counters(const struct slices *s);

/* ---- slices_save.c ---- */

/* How many bytes slices_save() writes: a multiple of 8; 0 where there is nothing to save. */
size_t slices_saved_size(const struct slices *s);
void slices_save(const struct slices *s, void *bytes);

/* Makes `s`, which holds nothing, what was saved. -ENOMEM, or -EBADMSG for bytes that make no
 * sense; then it still holds nothing. */
int slices_load(struct slices *s, const void *bytes, size_t size);

#endif /* SHMBUS_AGENT_SLICES_H */
