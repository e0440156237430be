/* SPDX-License-Identifier: MIT */
/*
 * slice.h - one slice of a metric's time windows: what a stretch of time added to its histogram,
 * with counters as narrow as they can be. Private to slices.c and slices_save.c.
 */
#ifndef SHMBUS_AGENT_SLICE_H
#define SHMBUS_AGENT_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "lifetime.h"
#include "slices.h"

/*
 * One slice, or the sum of some. With a count above 0 and no counters, its buckets were lost for
 * want of memory; with a count of 0, the place is empty.
 */
struct slice {
	void *counters; /* 1 + length of them: the zeros, then buckets from index `first` on */
	uint64_t count;
	uint64_t sum_low;
	uint64_t max;
	uint32_t sum_high;
	uint32_t start_s; /* it covers from here, */
	uint32_t end_s;   /* up to here */
	uint32_t first : 12;
	uint32_t length : 12;
	uint32_t width : 8; /* a counter has 2^width bytes */
};

_Static_assert(sizeof(struct slice) == 48, "the fixed part of a slice is small");
_Static_assert(HISTOGRAM_LENGTH_MAX < 1u << 12, "every index and length fits its bits");

#define SLICES_LEVELS 3
#define SLICES_SECONDS 10                      /* of 1 s, which come first */
#define SLICES_COUNT (SLICES_SECONDS + 6 + 15) /* of all levels */

/* Which slices there are is looked at far more often than what is in them, so that stands apart. */
struct slices_store {
	uint64_t min;                /* of all samples ever */
	bool incomplete;             /* a total lacks its buckets */
	uint32_t bytes;              /* of the slices' counters */
	uint32_t ends[SLICES_COUNT]; /* of each slice its end_s; 0: the place is empty */
	struct slice before;         /* the cumulative state as last handed over */
	struct slice totals[SLICES_WINDOWS];
	struct slice slices[SLICES_COUNT];
};

/* Buckets unpacked, to compute with. Only the range is initialised. */
struct dense {
	uint64_t zero_count;
	uint32_t first;
	uint32_t end; /* first == end: no bucket yet */
	uint64_t counts[HISTOGRAM_LENGTH_MAX];
};

void dense_clear(struct dense *d);
/* Makes room for these indexes; counts that are new are 0. */
void dense_cover(struct dense *d, uint32_t first, uint32_t length);
/* A copy of a histogram. */
void dense_set(struct dense *d, const struct histogram *h);
/* Adds a slice's counters, or subtracts them. */
void dense_merge(struct dense *d, const struct slice *slice, bool subtract);
/* Shrinks the range to the buckets above 0; returns all bits that any counter has set. */
uint64_t dense_trim(struct dense *d);

/*
 * Makes the counters of a slice those of `d`; on false (no memory) they are as they were. A range
 * that the slice has already is kept if it is not far too large. Its counters are made wide
 * enough for `room` samples each, so that so many can be added in place.
 */
bool slice_pack(struct slice *slice, struct dense *d, uint64_t room);

/*
 * Adds the counters of a slice to those of a sum, or subtracts them, in place. The sum's count
 * includes the slice's, in both cases. False, with nothing done, where the range or the width of
 * the sum's counters may not do, or either has none.
 */
bool slice_change(const struct slice *sum, const struct slice *slice, bool subtract);
void slice_drop_counters(struct slice *slice);
void slice_clear(struct slice *slice);
/* The part of adding a slice to a sum that always succeeds. */
void slice_add_fixed(struct slice *into, const struct slice *slice);
/* Its buckets, if it has its counters. */
static inline struct counters slice_counters(const struct slice *slice)
{
	return (struct counters){
		.at = (const uint8_t *)slice->counters + ((size_t)1 << slice->width),
		.width = slice->width,
		.first = slice->first,
		.length = slice->length,
		.zero_count = counter_get(slice->counters, 0, slice->width),
	};
}

/* Bytes of its counters. */
size_t slice_bytes(const struct slice *slice);

static inline uint128 slice_sum(const struct slice *slice)
{
	return (uint128)slice->sum_high << 64 | slice->sum_low;
}

static inline void slice_sum_set(struct slice *slice, uint128 sum)
{
	slice->sum_low = (uint64_t)sum;
	slice->sum_high = (uint32_t)(sum >> 64);
}

/* A slice has come to its place of the store, or leaves it; slices.c. */
void slices_place_taken(struct slices_store *store, struct slice *slice);
void slices_place_clear(struct slices_store *store, struct slice *slice);

/* Makes the totals of all windows anew, from the slices; slices.c. */
void slices_total(struct slices *s);

/* Whether a slice that ends at this second can lie at this place of the store; slices.c. */
bool slices_place_right(uint32_t place, uint32_t end_s);

#endif /* SHMBUS_AGENT_SLICE_H */
