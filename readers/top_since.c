/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "top_since.h"

/* Of the agent's histograms; others are added down to BIN_SCHEMA's. */
#define SCHEMA_MAX 20
#define BIN_SCHEMA 3

struct buckets {
	const msgpack_object *counts;
	size_t length;
	int64_t offset;
	unsigned schema;
	double zeros;
};

static bool buckets_of(const msgpack_object *metric, struct buckets *out)
{
	const msgpack_object *histogram = member(metric, "histogram");
	uint64_t schema = member_u64(histogram, "schema", SCHEMA_MAX + 1);
	uint64_t offset = member_u64(histogram, "offset", 0);

	*out = (struct buckets){.zeros = member_real(histogram, "zero_count", 0)};
	if (schema < BIN_SCHEMA || schema > SCHEMA_MAX || offset > (uint64_t)64 << schema)
		return false;
	out->length = member_array(histogram, "buckets", &out->counts);
	if (out->length > (size_t)65 << schema)
		return false;
	out->offset = (int64_t)offset;
	out->schema = (unsigned)schema;
	return true;
}

static double bucket_count(const struct buckets *buckets, int64_t index)
{
	const msgpack_object *count;

	if (index < buckets->offset || (uint64_t)(index - buckets->offset) >= buckets->length)
		return 0;
	count = &buckets->counts[index - buckets->offset];
	return count->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? (double)count->via.u64 : 0;
}

double top_since(double now, double from)
{
	return from <= now ? now - from : now;
}

/* The buckets of both, where the one before is of the same kind. */
static bool both(const msgpack_object *metric, const msgpack_object *from, struct buckets *now,
		 struct buckets *before)
{
	if (!buckets_of(metric, now))
		return false;
	if (from == NULL || !buckets_of(from, before) || before->schema != now->schema)
		*before = (struct buckets){.schema = now->schema};
	return true;
}

bool top_bins_add(double bins[TOP_BINS], const msgpack_object *metric, const msgpack_object *from)
{
	struct buckets now, before;
	unsigned shift;

	if (!both(metric, from, &now, &before))
		return false;
	shift = now.schema - BIN_SCHEMA;
	bins[0] += top_since(now.zeros, before.zeros);
	for (size_t i = 0; i < now.length; i++) {
		int64_t index = now.offset + (int64_t)i;
		int64_t bin = ((index + (1 << shift) - 1) >> shift) + 1;

		if (bin >= TOP_BINS)
			bin = TOP_BINS - 1;
		bins[bin] += top_since(bucket_count(&now, index), bucket_count(&before, index));
	}
	return true;
}

double top_bin_limit(int bin)
{
	return bin == 0 ? 0 : exp2((bin - 1) / (double)(1 << BIN_SCHEMA));
}

/* The value below which so many samples lie: the middle of its bucket, by logarithm. */
static double value_at(const struct buckets *now, const struct buckets *before, double rank)
{
	double seen = top_since(now->zeros, before->zeros), scale = exp2(now->schema);
	int64_t last = now->offset;

	if (rank < seen)
		return 0;
	for (size_t i = 0; i < now->length; i++) {
		int64_t index = now->offset + (int64_t)i;
		double count = top_since(bucket_count(now, index), bucket_count(before, index));

		if (count > 0)
			last = index;
		seen += count;
		if (rank < seen)
			break;
	}
	return exp2(((double)last - 0.5) / scale);
}

static void target_read(struct top_figures *out, const msgpack_object *metric,
			const msgpack_object *from)
{
	const msgpack_object *target = member(metric, "target");
	double violations = member_real(target, "violations", NAN);
	double quantile = member_real(target, "quantile", NAN);

	out->met = member_bool(target, "met");
	if (from == NULL || isnan(violations) || isnan(quantile))
		return;
	violations = top_since(violations, member_real(member(from, "target"), "violations", 0));
	/* The tolerance is for the product alone, which is no whole number. */
	out->met = out->count > 0 ? violations <= (1 - quantile) * out->count + 1e-9 : -1;
}

void top_figures_read(struct top_figures *out, const msgpack_object *metric,
		      const msgpack_object *from)
{
	const msgpack_object *quantiles = member(metric, "quantiles");
	double count = member_real(metric, "count", NAN), sum = member_real(metric, "sum", NAN);
	double count_from = member_real(from, "count", 0);
	struct buckets now, before;

	*out = (struct top_figures){.count = count,
				    .mean = member_real(metric, "mean", NAN),
				    .p50 = member_real(quantiles, "p50", NAN),
				    .p99 = member_real(quantiles, "p99", NAN),
				    .max = member_real(metric, "max", NAN),
				    .met = -1};
	if (from == NULL || !(count_from <= count) || count_from == 0) {
		target_read(out, metric, NULL);
		return;
	}
	out->count = count - count_from;
	out->mean = out->p50 = out->p99 = out->max = NAN;
	target_read(out, metric, from);
	if (out->count == 0 || !both(metric, from, &now, &before))
		return;
	out->mean = (sum - member_real(from, "sum", 0)) / out->count;
	out->p50 = value_at(&now, &before, 0.50 * (out->count - 1));
	out->p99 = value_at(&now, &before, 0.99 * (out->count - 1));
	out->max = value_at(&now, &before, out->count - 1);
	/* Where no sample was larger before, the largest is known exactly. */
	if (member_real(metric, "max", NAN) > member_real(from, "max", 0))
		out->max = member_real(metric, "max", NAN);
}

/* ---- the same thing in another document ---- */

static bool same(const msgpack_object *a, const msgpack_object *b, const char *key)
{
	const msgpack_object *left = member(a, key), *right = member(b, key);

	return left != NULL && right != NULL && msgpack_object_equal(*left, *right);
}

const msgpack_object *top_session_find(const struct document *document,
				       const msgpack_object *session, size_t *hint)
{
	const msgpack_object *sessions = NULL;
	size_t count = document == NULL ? 0 : member_array(&document->root, "sessions", &sessions);

	/* Documents have the same order: the next one is where the last one was, or soon after. */
	for (size_t i = 0; i < count; i++) {
		size_t at = (*hint + i) % count;

		if (same(&sessions[at], session, "segment") &&
		    same(&sessions[at], session, "incarnation")) {
			*hint = at + 1;
			return &sessions[at];
		}
	}
	return NULL;
}

const msgpack_object *top_metric_find(const msgpack_object *session, const msgpack_object *metric)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);

	for (size_t i = 0; i < count; i++)
		if (same(&metrics[i], metric, "name"))
			return &metrics[i];
	return NULL;
}

const msgpack_object *top_named(const msgpack_object *session, const char *array, const char *name)
{
	const msgpack_object *elements = NULL;
	size_t count = member_array(session, array, &elements), length = strlen(name);

	for (size_t i = 0; i < count; i++) {
		const msgpack_object *found = member(&elements[i], "name");

		if (found != NULL && found->type == MSGPACK_OBJECT_STR &&
		    found->via.str.size == length && memcmp(found->via.str.ptr, name, length) == 0)
			return &elements[i];
	}
	return NULL;
}

void top_drops_add(struct top_drops *drops, const char *name, double dropped)
{
	if (dropped <= 0)
		return;
	drops->all += dropped;
	drops->sessions++;
	if (dropped <= drops->most)
		return;
	drops->most = dropped;
	snprintf(drops->name, sizeof drops->name, "%s", name);
}
