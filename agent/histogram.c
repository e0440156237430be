/* SPDX-License-Identifier: MIT */
/* histogram.c - growing, merging and reading exponential histograms. */
#include "histogram.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lifetime.h"

/* The range grows in steps of this many buckets, half a power of two. */
#define GROW_BUCKETS 16u

const uint64_t histogram_thresholds[33] = {
	UINT64_C(0x8000000000000000), UINT64_C(0x82cd8698ac2ba1d7), UINT64_C(0x85aac367cc487b14),
	UINT64_C(0x88980e8092da8527), UINT64_C(0x8b95c1e3ea8bd6e6), UINT64_C(0x8ea4398b45cd53c0),
	UINT64_C(0x91c3d373ab11c336), UINT64_C(0x94f4efa8fef70961), UINT64_C(0x9837f0518db8a96f),
	UINT64_C(0x9b8d39b9d54e5538), UINT64_C(0x9ef5326091a111ad), UINT64_C(0xa27043030c496818),
	UINT64_C(0xa5fed6a9b15138ea), UINT64_C(0xa9a15ab4ea7c0ef8), UINT64_C(0xad583eea42a14ac6),
	UINT64_C(0xb123f581d2ac258f), UINT64_C(0xb504f333f9de6484), UINT64_C(0xb8fbaf4762fb9ee9),
	UINT64_C(0xbd08a39f580c36be), UINT64_C(0xc12c4cca66709456), UINT64_C(0xc5672a115506dadd),
	UINT64_C(0xc9b9bd866e2f27a2), UINT64_C(0xce248c151f8480e3), UINT64_C(0xd2a81d91f12ae45a),
	UINT64_C(0xd744fccad69d6af4), UINT64_C(0xdbfbb797daf23755), UINT64_C(0xe0ccdeec2a94e111),
	UINT64_C(0xe5b906e77c8348a8), UINT64_C(0xeac0c6e7dd24392e), UINT64_C(0xefe4b99bdcdaf5cb),
	UINT64_C(0xf5257d152486cc2c), UINT64_C(0xfa83b2db722a033a), UINT64_MAX,
};

const uint8_t histogram_thresholds_below[64] = {
	0,  1,  2,  3,  3,  4,  5,  5,  6,  7,  7,  8,  8,  9,  10, 10, 11, 11, 12, 13, 13, 14,
	14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 22, 23, 23, 24, 24,
	25, 25, 26, 26, 26, 27, 27, 28, 28, 28, 29, 29, 30, 30, 30, 31, 31, 31, 32, 32,
};

/* 2^(k/32) and 2^((k + 1/2)/32). */
static const double bounds[32] = {
	0x1.0000000000000p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0,
	0x1.172b83c7d517bp+0, 0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0,
	0x1.306fe0a31b715p+0, 0x1.371a7373aa9cbp+0, 0x1.3dea64c123422p+0, 0x1.44e086061892dp+0,
	0x1.4bfdad5362a27p+0, 0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0, 0x1.6247eb03a5585p+0,
	0x1.6a09e667f3bcdp+0, 0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0,
	0x1.8ace5422aa0dbp+0, 0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0,
	0x1.ae89f995ad3adp+0, 0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0,
	0x1.d5818dcfba487p+0, 0x1.dfc97337b9b5fp+0, 0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0,
};
static const double middles[32] = {
	0x1.02c9a3e778061p+0, 0x1.0874518759bc8p+0, 0x1.0e3ec32d3d1a2p+0, 0x1.1429aaea92de0p+0,
	0x1.1a35beb6fcb75p+0, 0x1.2063b88628cd6p+0, 0x1.26b4565e27cddp+0, 0x1.2d285a6e4030bp+0,
	0x1.33c08b26416ffp+0, 0x1.3a7db34e59ff7p+0, 0x1.4160a21f72e2ap+0, 0x1.486a2b5c13cd0p+0,
	0x1.4f9b2769d2ca7p+0, 0x1.56f4736b527dap+0, 0x1.5e76f15ad2148p+0, 0x1.6623882552225p+0,
	0x1.6dfb23c651a2fp+0, 0x1.75feb564267c9p+0, 0x1.7e2f336cf4e62p+0, 0x1.868d99b4492edp+0,
	0x1.8f1ae99157736p+0, 0x1.97d829fde4e50p+0, 0x1.a0c667b5de565p+0, 0x1.a9e6b5579fdbfp+0,
	0x1.b33a2b84f15fbp+0, 0x1.bcc1e904bc1d2p+0, 0x1.c67f12e57d14bp+0, 0x1.d072d4a07897cp+0,
	0x1.da9e603db3285p+0, 0x1.e502ee78b3ff6p+0, 0x1.efa1bee615a27p+0, 0x1.fa7c1819e90d8p+0,
};

/* Up to 2^(160/32) = 32 a bucket is narrower than 0.7 and holds one integer or none. */
#define INTEGERS_INDEX 160u

/* table[step % 32] * 2^floor(step / 32), by adding to the exponent's bits. */
static double scaled(const double table[32], int32_t step)
{
	uint64_t bits;
	double value = table[(uint32_t)step & 31];

	memcpy(&bits, &value, sizeof bits);
	/* An arithmetic shift: gcc and clang define it so; step is -1 at the least. */
	bits += (uint64_t)(int64_t)(step >> 5) << 52;
	memcpy(&value, &bits, sizeof value);
	return value;
}

double histogram_bound(int32_t index)
{
	return scaled(bounds, index);
}

double histogram_middle(uint32_t index)
{
	double middle = scaled(middles, (int32_t)index - 1);

	return index <= INTEGERS_INDEX ? (double)(uint32_t)(middle + 0.5) : middle;
}

/* Extends the range to [first, first + length), whole steps, keeping what it has. */
bool histogram_cover(struct histogram *h, uint32_t first, uint32_t length)
{
	uint32_t end = first + length;
	uint32_t offset;
	uint64_t *buckets;

	if (h->length > 0) {
		if (first >= h->first && end <= h->first + h->length)
			return true;
		first = first < h->first ? first : h->first;
		end = end > h->first + h->length ? end : h->first + h->length;
	}
	first -= first % GROW_BUCKETS;
	end = (end + GROW_BUCKETS - 1) / GROW_BUCKETS * GROW_BUCKETS;
	buckets = realloc(h->buckets, (end - first) * sizeof *buckets);
	if (buckets == NULL)
		return false;
	offset = h->length > 0 ? h->first - first : 0;
	memmove(buckets + offset, buckets, h->length * sizeof *buckets);
	memset(buckets, 0, offset * sizeof *buckets);
	memset(buckets + offset + h->length, 0,
	       (end - first - offset - h->length) * sizeof *buckets);
	h->buckets = buckets;
	h->first = first;
	h->length = end - first;
	return true;
}

/* The counter for an index outside the range that cannot be had. */
static uint64_t *nearest_counter(struct histogram *h, uint32_t index)
{
	if (h->length == 0)
		return &h->zero_count;
	if (index < h->first)
		return &h->buckets[0];
	if (index - h->first >= h->length)
		return &h->buckets[h->length - 1];
	return &h->buckets[index - h->first];
}

bool histogram_fold_outside(struct histogram *h, uint32_t index)
{
	bool grown = histogram_cover(h, index, 1);

	(*nearest_counter(h, index))++;
	return grown;
}

void histogram_free(struct histogram *h)
{
	free(h->buckets);
	*h = (struct histogram){0};
}

void histogram_clear(struct histogram *h)
{
	h->zero_count = 0;
	if (h->length > 0)
		memset(h->buckets, 0, h->length * sizeof *h->buckets);
}

bool histogram_copy(struct histogram *into, const struct histogram *from)
{
	uint64_t *buckets;

	if (from->length == 0) {
		histogram_clear(into);
		into->zero_count = from->zero_count;
		return true;
	}
	if (into->length != from->length) {
		buckets = realloc(into->buckets, from->length * sizeof *buckets);
		if (buckets == NULL)
			return false;
		into->buckets = buckets;
		into->length = from->length;
	}
	memcpy(into->buckets, from->buckets, from->length * sizeof *into->buckets);
	into->first = from->first;
	into->zero_count = from->zero_count;
	return true;
}

bool histogram_add(struct histogram *into, const struct histogram *from)
{
	static const struct histogram nothing;

	return histogram_add_delta(into, from, &nothing);
}

/* Adds to buckets that are all in range. */
static void buckets_add(struct histogram *into, const struct histogram *from, bool subtract)
{
	uint64_t *counts = into->buckets + (from->first - into->first);
	uint32_t i;

	if (subtract) {
		for (i = 0; i < from->length; i++)
			counts[i] -= from->buckets[i];
	} else {
		for (i = 0; i < from->length; i++)
			counts[i] += from->buckets[i];
	}
}

static uint64_t bucket_get(const struct histogram *h, uint32_t index)
{
	return index - h->first < h->length ? h->buckets[index - h->first] : 0;
}

bool histogram_add_delta(struct histogram *into, const struct histogram *now,
			 const struct histogram *before)
{
	uint32_t i;

	into->zero_count += now->zero_count - before->zero_count;
	if (now->length == 0)
		return true;
	/* Ranges only grow, so an earlier copy is within the later one. */
	assert(before->length == 0 || (before->first >= now->first &&
				       before->first + before->length <= now->first + now->length));
	if (histogram_cover(into, now->first, now->length)) {
		buckets_add(into, now, false);
		if (before->length > 0)
			buckets_add(into, before, true);
		return true;
	}
	for (i = now->first; i < now->first + now->length; i++)
		*nearest_counter(into, i) += bucket_get(now, i) - bucket_get(before, i);
	return false;
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = h->zero_count;
	uint32_t i;

	for (i = 0; i < h->length; i++)
		count += h->buckets[i];
	return count;
}

bool histogram_downscale(struct histogram *into, const struct histogram *from, int schema_from,
			 int schema_to)
{
	uint32_t shift = (uint32_t)(schema_from - schema_to);
	uint32_t last = (UINT32_C(1) << shift) - 1; /* rounds up */
	uint32_t first;
	uint32_t length;
	uint32_t i;
	bool covered;

	assert(into != from && schema_to >= -4 && schema_to <= schema_from);

	histogram_clear(into);
	into->zero_count = from->zero_count;
	if (!histogram_trim_range(from, &first, &length))
		return true;
	covered = histogram_cover(into, (first + last) >> shift,
				  ((first + length - 1 + last) >> shift) -
					  ((first + last) >> shift) + 1);
	for (i = first; i < first + length; i++)
		*nearest_counter(into, (i + last) >> shift) += bucket_get(from, i);
	return covered;
}

bool histogram_trim_range(const struct histogram *h, uint32_t *first, uint32_t *length)
{
	uint32_t begin = 0;
	uint32_t end = h->length;

	while (end > 0 && h->buckets[end - 1] == 0)
		end--;
	if (end == 0)
		return false;
	while (h->buckets[begin] == 0)
		begin++;
	*first = h->first + begin;
	*length = end - begin;
	return true;
}

/* Walks the samples in ascending order; ranks asked for must not descend. */
struct cursor {
	const struct counters *c;
	uint64_t passed; /* samples up to and including the bucket */
	uint32_t next;   /* offset of the bucket after it */
	double middle;   /* of the bucket, within [min, max] */
	double min;
	double max;
};

/* The compiler makes four loops of this one. */
static inline __attribute__((always_inline)) void cursor_walk(struct cursor *c, uint64_t rank,
							      uint32_t width)
{
	const void *at = c->c->at;
	uint64_t passed = c->passed;
	uint32_t next = c->next;

	/* By eights up to the one that it is in. */
	while (next + 8 <= c->c->length) {
		uint64_t eight = 0;

		for (uint32_t i = 0; i < 8; i++)
			eight += counter_get(at, next + i, width);
		if (rank < passed + eight)
			break;
		passed += eight;
		next += 8;
	}
	/* Counts that were damaged on the way may be fewer than they should be. */
	while (rank >= passed && next < c->c->length)
		passed += counter_get(at, next++, width);
	c->passed = passed;
	c->next = next;
}

/* The sample at `rank`, estimated. */
static double cursor_seek(struct cursor *c, uint64_t rank)
{
	double middle;

	if (rank < c->passed)
		return c->middle;
	switch (c->c->width) {
	case 0:
		cursor_walk(c, rank, 0);
		break;
	case 1:
		cursor_walk(c, rank, 1);
		break;
	case 2:
		cursor_walk(c, rank, 2);
		break;
	default:
		cursor_walk(c, rank, 3);
	}
	if (c->next == 0)
		return c->middle;
	middle = histogram_middle(c->c->first + c->next - 1);
	middle = middle > c->min ? middle : c->min;
	c->middle = middle < c->max ? middle : c->max;
	return c->middle;
}

/* As cursor_seek(), but the first and the last of `count` samples are the extremes. */
static double sample_at(struct cursor *c, uint64_t rank, uint64_t count)
{
	if (rank == count - 1)
		return c->max;
	return rank == 0 ? c->min : cursor_seek(c, rank);
}

void counters_quantiles(const struct counters *c, uint64_t samples, uint64_t min, uint64_t max,
			const double quantiles[], double results[], size_t count)
{
	struct cursor low = {
		.c = c, .passed = c->zero_count, .min = (double)min, .max = (double)max};
	struct cursor high;
	size_t i;

	assert(samples > 0 && min <= max);

	/* Before the first bucket come the zeros. */
	low.middle = low.min > 0 ? low.min : 0;
	for (i = 0; i < count; i++) {
		struct rank rank = rank_of(quantiles[i], samples);

		assert(quantiles[i] >= 0 && quantiles[i] <= 1);
		assert(i == 0 || quantiles[i] >= quantiles[i - 1]);
		results[i] = sample_at(&low, rank.below, samples);
		if (rank.fraction > 0) {
			/* The successor is most often in the same bucket. A copy looks ahead, so
			 * that the next quantile may begin behind it. */
			high = low;
			results[i] =
				rank_blend(results[i], sample_at(&high, rank.below + 1, samples),
					   rank.fraction);
		}
	}
}

void histogram_quantiles(const struct histogram *h, uint64_t min, uint64_t max,
			 const double quantiles[], double results[], size_t count)
{
	struct counters c = {
		.at = h->buckets,
		.width = 3,
		.first = h->first,
		.length = h->length,
		.zero_count = h->zero_count,
	};

	counters_quantiles(&c, histogram_count(h), min, max, quantiles, results, count);
}

double histogram_quantile(const struct histogram *h, uint64_t min, uint64_t max, double quantile)
{
	double result;

	histogram_quantiles(h, min, max, &quantile, &result, 1);
	return result;
}
