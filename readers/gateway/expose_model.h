/* SPDX-License-Identifier: MIT */
/*
 * expose_model.h - what /metrics says, apart from how it is written.
 *
 *	exposition --> expose_walk() --> families and their points --> writer: text, protobuf
 *
 * A family comes once, its points follow it; a family without points does not come. No two points
 * of a family have the same labels, no two families the same name, whatever the snapshot holds.
 */
#ifndef SHMBUS_GATEWAY_EXPOSE_MODEL_H
#define SHMBUS_GATEWAY_EXPOSE_MODEL_H

#include "buckets.h"
#include "expose.h"

/* What is to be shown. */
struct exposition {
	const char *bus;
	enum feed_state state;
	const struct document *document; /* NULL: there was none yet */
};

enum family_kind {
	FAMILY_COUNTER,
	FAMILY_GAUGE,
	FAMILY_HISTOGRAM,
	FAMILY_STATESET, /* a label with the family's name tells the states apart */
	FAMILY_INFO,
};

/* Classic buckets have the bounds 2^first, 2^(first + step) ... 2^last, in the metric's own unit:
 * bounds of the snapshot's buckets too, so that what is counted below them is exact. */
struct bounds {
	int first, last, step;
};

static inline size_t bounds_count(const struct bounds *bounds)
{
	return (size_t)((bounds->last - bounds->first) / bounds->step) + 1;
}

struct family {
	const char *name; /* without what formats add for a kind: _total, _info, _bucket... */
	const char *unit; /* the end of the name; "" where there is none */
	const char *help;
	double factor;        /* of histograms: what one of the metric's own unit is in that */
	struct bounds bounds; /* of histograms */
	enum family_kind kind;
};

struct label {
	const char *name;
	const char *value; /* UTF-8 without controls */
};

#define LABELS_MAX 32

struct labels {
	struct label list[LABELS_MAX];
	size_t count;
};

struct exemplar {
	uint64_t value; /* in the metric's own unit */
	uint64_t time_unix_ns;
	char correlation_id[24]; /* "": there is no exemplar */
};

struct histogram_point {
	struct buckets buckets; /* in the metric's own unit */
	double sum;             /* in that of the family */
	struct exemplar exemplar;
};

struct point {
	const struct labels *labels;
	const struct histogram_point *histogram; /* of histograms, and of nothing else */
	double value;                            /* of all other kinds */
	bool whole;                              /* it is `number`, which is more exact */
	uint64_t number;
};

struct writer {
	void (*family)(struct writer *writer, const struct family *family);
	void (*point)(struct writer *writer, const struct point *point);
	struct body *out;
	bool classic; /* histograms have classic buckets */
};

/* Counts what is below classic bounds, which are asked for in their order. */
struct classic {
	const struct buckets *buckets;
	size_t next;
	uint64_t count;
};

static inline void classic_begin(struct classic *classic, const struct buckets *buckets)
{
	*classic = (struct classic){buckets, 0, buckets->zeros};
}

/* Samples up to 2^power. */
static inline uint64_t classic_up_to(struct classic *classic, int power)
{
	const struct buckets *buckets = classic->buckets;
	int64_t end = (int64_t)power << buckets->schema; /* the last bucket that is below */

	while (classic->next < buckets->length && buckets->first + (int64_t)classic->next <= end)
		classic->count += buckets->counts[classic->next++];
	return classic->count;
}

/* Shows it all to a writer. Without memory: out->failed. */
void expose_walk(const struct exposition *exposition, const struct expose_options *options,
		 struct writer *writer);

/* The formats. */
void expose_text(struct body *out, bool openmetrics, const struct exposition *exposition,
		 const struct expose_options *options);
void expose_protobuf(struct body *out, const struct exposition *exposition,
		     const struct expose_options *options);
void expose_json(struct body *out, const struct exposition *exposition,
		 const struct expose_options *options);

/* expose_write() of an exposition. */
void expose_exposition(struct body *out, enum expose_format format,
		       const struct exposition *exposition, const struct expose_options *options);

#endif /* SHMBUS_GATEWAY_EXPOSE_MODEL_H */
