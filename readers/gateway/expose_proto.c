/* SPDX-License-Identifier: MIT */
/*
 * expose_proto.c - the protobuf format of Prometheus, with native histograms.
 *
 * A native histogram has the snapshot's buckets, one for one: both have 2^schema for each power of
 * two. But times go from ns to s, and 10^-9 is no power of the base: bucket i of the snapshot ends
 * at 2^(i / 2^schema) ns, which lies between two bounds in s. Its middle says which bucket it
 * becomes, so that all are moved by the same whole number, the nearest to log2(10^-9) * 2^schema:
 * no two buckets become one, none is divided, sums over hosts and over time stay exact. With schema
 * 5 that is -957 where -956.715 were right, so bounds in s stand for values 0.62 % larger than they
 * say: a quantile that is read from it is at most 0.62 % lower than one that is read from the
 * snapshot's buckets, and is still in the right bucket or in the one below. Counts and sums are not
 * concerned. Units of bytes and numbers have no such shift; ms: -319 for -318.905 (0.21 %), us:
 * -638 for -637.810 (0.41 %).
 */
#include <math.h>
#include <string.h>

#include "expose_model.h"
#include "expose_unit.h"
#include "metrics.pb-c.h"

#define MESSAGE(name) Io__Prometheus__Client__##name

/* Values that are counted as zeros: client_golang's. 0 would not do, as Prometheus tells by it that
 * a histogram without samples is a native one. Whole numbers of ns are far above it. */
#define ZERO_THRESHOLD 0x1p-128

/* Buckets without samples that are named in a span, rather than that another span begins. */
#define GAP_MAX 2

struct proto_writer {
	struct writer base;
	msgpack_zone zone; /* what the messages of the family are made of */
	MESSAGE(MetricFamily) family;
	const struct family *model; /* NULL: none has begun */
	size_t capacity;            /* of family.metric */
};

/* ---- memory ---- */

/* Memory until the end of the family. NULL: there is none, and the body has failed. */
static void *make(struct proto_writer *writer, size_t count, size_t size)
{
	void *memory = NULL;

	if (count <= SIZE_MAX / 2 / size)
		memory = msgpack_zone_malloc(&writer->zone, (count + (count == 0)) * size);
	writer->base.out->failed |= memory == NULL;
	return memory;
}

static char *make_text(struct proto_writer *writer, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = make(writer, size, 1);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}

/* ---- what points are made of ---- */

static MESSAGE(LabelPair) *
	make_label(struct proto_writer *writer, const char *name, const char *value)
{
	MESSAGE(LabelPair) *label = make(writer, 1, sizeof *label);

	if (label == NULL)
		return NULL;
	*label = (MESSAGE(LabelPair))IO__PROMETHEUS__CLIENT__LABEL_PAIR__INIT;
	label->name = make_text(writer, name);
	label->value = make_text(writer, value);
	return label;
}

static void make_labels(struct proto_writer *writer, const struct labels *labels,
			MESSAGE(Metric) * metric)
{
	metric->label = make(writer, labels->count, sizeof *metric->label);
	if (metric->label == NULL)
		return;
	metric->n_label = labels->count;
	for (size_t i = 0; i < labels->count; i++)
		metric->label[i] = make_label(writer, labels->list[i].name, labels->list[i].value);
}

/* NULL where the point has none. */
static MESSAGE(Exemplar) *
	make_exemplar(struct proto_writer *writer, const struct exemplar *exemplar)
{
	struct {
		MESSAGE(Exemplar) message;
		MESSAGE(Timestamp) time;
		MESSAGE(LabelPair) * label;
	} * made;

	if (exemplar->correlation_id[0] == '\0')
		return NULL;
	made = make(writer, 1, sizeof *made);
	if (made == NULL)
		return NULL;
	made->label = make_label(writer, "correlation_id", exemplar->correlation_id);
	made->time = (MESSAGE(Timestamp))IO__PROMETHEUS__CLIENT__TIMESTAMP__INIT;
	made->time.has_seconds = made->time.has_nanos = true;
	made->time.seconds = (int64_t)(exemplar->time_unix_ns / 1000000000u);
	made->time.nanos = (int32_t)(exemplar->time_unix_ns % 1000000000u);
	made->message = (MESSAGE(Exemplar))IO__PROMETHEUS__CLIENT__EXEMPLAR__INIT;
	made->message.n_label = 1;
	made->message.label = &made->label;
	made->message.has_value = true;
	made->message.value = unit_scale((double)exemplar->value, writer->model->factor);
	made->message.timestamp = &made->time;
	return &made->message;
}

/* ---- histograms ---- */

/* What bucket numbers grow by on their way into the unit of the family. */
static int64_t shift_of(const struct buckets *buckets, double factor)
{
	return (int64_t)lround(ldexp(log2(factor), buckets->schema));
}

static void span_begin(MESSAGE(Histogram) * histogram, MESSAGE(BucketSpan) * span, int64_t offset)
{
	*span = (MESSAGE(BucketSpan))IO__PROMETHEUS__CLIENT__BUCKET_SPAN__INIT;
	span->has_offset = span->has_length = true;
	span->offset = (int32_t)offset;
	histogram->positive_span[histogram->n_positive_span++] = span;
}

/* Buckets as spans without great gaps, and in them differences to the bucket before. */
static void native_buckets(struct proto_writer *writer, MESSAGE(Histogram) * histogram,
			   const struct buckets *buckets)
{
	MESSAGE(BucketSpan) *spans = make(writer, buckets->length, sizeof *spans), *span = NULL;
	int64_t shift = shift_of(buckets, writer->model->factor), end = 0;
	uint64_t before = 0;

	histogram->positive_span = make(writer, buckets->length, sizeof *histogram->positive_span);
	histogram->positive_delta =
		make(writer, buckets->length, sizeof *histogram->positive_delta);
	if (writer->base.out->failed)
		return;
	for (size_t i = 0; i < buckets->length; i++) {
		int64_t index = buckets->first + (int64_t)i + shift;

		if (buckets->counts[i] == 0)
			continue;
		if (span == NULL || index - end > GAP_MAX) {
			span = &spans[histogram->n_positive_span];
			span_begin(histogram, span, index - end);
			end = index;
		}
		for (; end <= index; end++) {
			uint64_t count = end == index ? buckets->counts[i] : 0;

			histogram->positive_delta[histogram->n_positive_delta++] =
				(int64_t)(count - before);
			before = count;
			span->length++;
		}
	}
}

static void classic_buckets(struct proto_writer *writer, MESSAGE(Histogram) * histogram,
			    const struct histogram_point *point)
{
	const struct bounds *bounds = &writer->model->bounds;
	size_t count = bounds_count(bounds) + 1; /* and +Inf */
	MESSAGE(Bucket) *list = make(writer, count, sizeof *list);
	MESSAGE(Exemplar) *exemplar = make_exemplar(writer, &point->exemplar);
	struct classic classic;

	histogram->bucket = make(writer, count, sizeof *histogram->bucket);
	if (writer->base.out->failed)
		return;
	classic_begin(&classic, &point->buckets);
	for (size_t i = 0; i < count; i++) {
		int power = bounds->first + (int)i * bounds->step;
		double bound = i + 1 < count ? ldexp(1, power) : INFINITY;
		MESSAGE(Bucket) *bucket = &list[i];

		*bucket = (MESSAGE(Bucket))IO__PROMETHEUS__CLIENT__BUCKET__INIT;
		bucket->has_cumulative_count = bucket->has_upper_bound = true;
		bucket->cumulative_count =
			i + 1 < count ? classic_up_to(&classic, power) : point->buckets.total;
		bucket->upper_bound = unit_scale(bound, writer->model->factor);
		if (exemplar != NULL && (double)point->exemplar.value <= bound) {
			bucket->exemplar = exemplar;
			exemplar = NULL;
		}
		histogram->bucket[histogram->n_bucket++] = bucket;
	}
}

static MESSAGE(Histogram) *
	make_histogram(struct proto_writer *writer, const struct histogram_point *point)
{
	struct {
		MESSAGE(Histogram) message;
		MESSAGE(Exemplar) * exemplar;
	} *made = make(writer, 1, sizeof *made);
	MESSAGE(Histogram) * histogram;

	if (made == NULL)
		return NULL;
	histogram = &made->message;
	*histogram = (MESSAGE(Histogram))IO__PROMETHEUS__CLIENT__HISTOGRAM__INIT;
	histogram->has_sample_count = histogram->has_sample_sum = true;
	histogram->sample_count = point->buckets.total;
	histogram->sample_sum = point->sum;
	histogram->has_schema = histogram->has_zero_threshold = histogram->has_zero_count = true;
	histogram->schema = point->buckets.schema;
	histogram->zero_threshold = ZERO_THRESHOLD;
	histogram->zero_count = point->buckets.zeros;
	native_buckets(writer, histogram, &point->buckets);
	if (writer->base.classic)
		classic_buckets(writer, histogram, point);
	made->exemplar = make_exemplar(writer, &point->exemplar);
	if (made->exemplar != NULL) {
		histogram->exemplars = &made->exemplar;
		histogram->n_exemplars = 1;
	}
	return histogram;
}

/* ---- families ---- */

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes)
{
	struct body *out = *(struct body **)(buffer + 1);

	body_bytes(out, bytes, size);
}

/* The family that has begun, behind its size: https://protobuf.dev/programming-guides/encoding. */
static void family_end(struct proto_writer *writer)
{
	struct {
		ProtobufCBuffer buffer;
		struct body *out;
	} appended = {{append}, writer->base.out};
	uint64_t size;

	if (writer->model != NULL && !writer->base.out->failed) {
		size = protobuf_c_message_get_packed_size(&writer->family.base);
		for (; size >= 0x80; size >>= 7)
			body_bytes(writer->base.out, (const char[]){(char)(size | 0x80)}, 1);
		body_bytes(writer->base.out, (const char[]){(char)size}, 1);
		protobuf_c_message_pack_to_buffer(&writer->family.base, &appended.buffer);
	}
	writer->model = NULL;
	writer->capacity = 0;
	msgpack_zone_clear(&writer->zone);
}

/* Names are the text format's, as client libraries have them. */
static const char *suffix_of(enum family_kind kind)
{
	return kind == FAMILY_COUNTER ? "_total" : kind == FAMILY_INFO ? "_info" : "";
}

static void proto_family(struct writer *base, const struct family *family)
{
	struct proto_writer *writer = (struct proto_writer *)base;
	const char *suffix = suffix_of(family->kind);
	size_t length = strlen(family->name), size = length + strlen(suffix) + 1;

	family_end(writer);
	writer->model = family;
	writer->family = (MESSAGE(MetricFamily))IO__PROMETHEUS__CLIENT__METRIC_FAMILY__INIT;
	writer->family.name = make(writer, size, 1);
	if (writer->family.name != NULL) {
		memcpy(writer->family.name, family->name, length);
		memcpy(writer->family.name + length, suffix, size - length);
	}
	writer->family.help = make_text(writer, family->help);
	writer->family.unit = family->unit[0] != '\0' ? make_text(writer, family->unit) : NULL;
	writer->family.has_type = true;
	writer->family.type =
		family->kind == FAMILY_COUNTER     ? IO__PROMETHEUS__CLIENT__METRIC_TYPE__COUNTER
		: family->kind == FAMILY_HISTOGRAM ? IO__PROMETHEUS__CLIENT__METRIC_TYPE__HISTOGRAM
						   : IO__PROMETHEUS__CLIENT__METRIC_TYPE__GAUGE;
}

static void metric_add(struct proto_writer *writer, MESSAGE(Metric) * metric)
{
	MESSAGE(MetricFamily) *family = &writer->family;

	if (family->n_metric == writer->capacity) {
		size_t capacity = writer->capacity == 0 ? 16 : writer->capacity * 2;
		MESSAGE(Metric) **all = make(writer, capacity, sizeof(MESSAGE(Metric) *));

		if (all == NULL)
			return;
		if (family->n_metric != 0)
			memcpy(all, family->metric, family->n_metric * sizeof *all);
		family->metric = all;
		writer->capacity = capacity;
	}
	family->metric[family->n_metric++] = metric;
}

static void proto_point(struct writer *base, const struct point *point)
{
	struct proto_writer *writer = (struct proto_writer *)base;
	struct {
		MESSAGE(Metric) message;
		union {
			MESSAGE(Counter) counter;
			MESSAGE(Gauge) gauge;
		} value;
	} *made = make(writer, 1, sizeof *made);

	if (made == NULL)
		return;
	made->message = (MESSAGE(Metric))IO__PROMETHEUS__CLIENT__METRIC__INIT;
	make_labels(writer, point->labels, &made->message);
	if (point->histogram != NULL) {
		made->message.histogram = make_histogram(writer, point->histogram);
	} else if (writer->model->kind == FAMILY_COUNTER) {
		made->value.counter = (MESSAGE(Counter))IO__PROMETHEUS__CLIENT__COUNTER__INIT;
		made->value.counter.has_value = true;
		made->value.counter.value = point->value;
		made->message.counter = &made->value.counter;
	} else {
		made->value.gauge = (MESSAGE(Gauge))IO__PROMETHEUS__CLIENT__GAUGE__INIT;
		made->value.gauge.has_value = true;
		made->value.gauge.value = point->value;
		made->message.gauge = &made->value.gauge;
	}
	metric_add(writer, &made->message);
}

void expose_protobuf(struct body *out, const struct exposition *exposition,
		     const struct expose_options *options)
{
	struct proto_writer writer = {
		.base = {proto_family, proto_point, out, .classic = options->classic},
	};

	if (!msgpack_zone_init(&writer.zone, MSGPACK_ZONE_CHUNK_SIZE)) {
		out->failed = true;
		return;
	}
	expose_walk(exposition, options, &writer.base);
	family_end(&writer);
	msgpack_zone_destroy(&writer.zone);
}
