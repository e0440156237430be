/* SPDX-License-Identifier: MIT */
/*
 * buckets.h - a timer's histogram out of a snapshot: bounds, quantiles, larger bins.
 *
 * Quantiles are found as the agent finds those of the snapshot (shmbus-snapshot(5), quantiles):
 * numpy's linear interpolation between neighbouring samples, each taken to be the middle of its
 * bucket, within the smallest and the largest sample. So both agree to the last bits.
 */
#ifndef SHMBUS_READERS_BUCKETS_H
#define SHMBUS_READERS_BUCKETS_H

#include "document.h"

struct buckets {
	int schema; /* 2^schema buckets for each power of two */
	int64_t first;
	size_t length;
	uint64_t *counts; /* of buckets first, first + 1, ... */
	uint64_t zeros;
	uint64_t total; /* zeros included */
	double min, max;
};

/* Takes the histogram of a timer. Returns 0, -ENODATA (no samples), -EBADMSG (what is there makes
 * no sense) or -ENOMEM. */
int buckets_load(struct buckets *buckets, const msgpack_object *metric);
void buckets_free(struct buckets *buckets);

/* The upper bound of a bucket; the lower one is that of the bucket before. */
double buckets_bound(const struct buckets *buckets, int64_t index);

/* What a sample of a bucket is taken to be. */
double buckets_middle(const struct buckets *buckets, int64_t index);

double buckets_quantile(const struct buckets *buckets, double quantile);

/* How many samples are in the buckets up to the one of the sample that is `rank`th, from 1. */
uint64_t buckets_up_to(const struct buckets *buckets, uint64_t rank);

#endif /* SHMBUS_READERS_BUCKETS_H */
