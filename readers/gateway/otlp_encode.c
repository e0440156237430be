/* SPDX-License-Identifier: MIT */
/*
 * otlp_encode.c - by opentelemetry-proto's metrics.proto and the OTLP specification's mapping to
 * JSON: names in lowerCamelCase, integers of 64 bits as strings.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <shmbus/types.h>

#include "buckets.h"
#include "otlp_encode.h"

#define CUMULATIVE ",\"aggregationTemporality\":2"

/* ---- since when ---- */

void otlp_epoch_take(struct otlp_epoch *epoch, const struct document *document)
{
	const msgpack_object *agent = member(&document->root, "agent");
	uint64_t incarnation = member_u64(agent, "incarnation", 0);
	uint64_t samples = member_u64(agent, "samples_total", 0);

	if (epoch->start_unix_ns == 0 || incarnation < epoch->incarnation ||
	    samples < epoch->samples)
		epoch->start_unix_ns = incarnation == 1
					       ? member_u64(agent, "start_time_unix_ns", 0)
					       : member_u64(&document->root, "time_unix_ns", 0);
	epoch->incarnation = incarnation;
	epoch->samples = samples;
}

/* ---- parts ---- */

struct encoding {
	struct body *out;
	uint64_t start_unix_ns, time_unix_ns;
	bool first; /* of the metrics */
};

static void text_value(struct body *out, const char *key, const msgpack_object *text)
{
	body_printf(out, ",\"%s\":", key);
	body_json_text(out, text->via.str.ptr, text->via.str.size);
}

static void attribute(struct body *out, const char *key, const char *text, size_t length)
{
	body_printf(out, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
	body_json_text(out, text, length);
	body_text(out, "}}");
}

static bool is_text(const msgpack_object *value)
{
	return value != NULL && value->type == MSGPACK_OBJECT_STR;
}

static void metric_begin(struct encoding *encoding, const msgpack_object *metric)
{
	struct body *out = encoding->out;
	char name[SHMBUS_NAME_SIZE * 4];

	body_text(out, encoding->first ? "{\"name\":" : ",{\"name\":");
	encoding->first = false;
	member_text(metric, "name", name, sizeof name);
	body_json_text(out, name, strlen(name));
	if (is_text(member(metric, "help")))
		text_value(out, "description", member(metric, "help"));
	if (is_text(member(metric, "unit")))
		text_value(out, "unit", member(metric, "unit"));
}

/* Opens a data point, with its stage and one more attribute (NULL: none). */
static void point_begin(struct encoding *encoding, const msgpack_object *metric, const char *key,
			const msgpack_object *value)
{
	const msgpack_object *stage = member(metric, "stage");
	struct body *out = encoding->out;

	body_printf(out,
		    "{\"startTimeUnixNano\":\"%" PRIu64 "\",\"timeUnixNano\":\"%" PRIu64
		    "\",\"attributes\":[",
		    encoding->start_unix_ns, encoding->time_unix_ns);
	if (is_text(stage))
		attribute(out, "stage", stage->via.str.ptr, stage->via.str.size);
	if (key != NULL && is_text(stage))
		body_text(out, ",");
	if (key != NULL)
		attribute(out, key, value->via.str.ptr, value->via.str.size);
	body_text(out, "]");
}

static bool is_number(const msgpack_object *value)
{
	if (value == NULL)
		return false;
	if (value->type == MSGPACK_OBJECT_FLOAT64 || value->type == MSGPACK_OBJECT_FLOAT32)
		return isfinite(value->via.f64);
	return value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ||
	       value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER;
}

/* The value of a point, which it closes. asInt is signed. */
static void number_end(struct body *out, const msgpack_object *value)
{
	if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
		body_printf(out, ",\"asInt\":\"%" PRId64 "\"}", value->via.i64);
	} else if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= INT64_MAX) {
		body_printf(out, ",\"asInt\":\"%" PRIu64 "\"}", value->via.u64);
	} else {
		body_text(out, ",\"asDouble\":");
		body_json_real(out, value->type == MSGPACK_OBJECT_POSITIVE_INTEGER
					    ? (double)value->via.u64
					    : value->via.f64);
		body_text(out, "}");
	}
}

/* ---- kinds ---- */

static void optional_real(struct body *out, const char *key, double value)
{
	if (!isfinite(value))
		return;
	body_printf(out, ",\"%s\":", key);
	body_json_real(out, value);
}

/*
 * Bucket i covers (base^(i - 1), base^i] in a snapshot, and (base^i, base^(i + 1)] in OTLP; both
 * have base 2^(2^-scale).
 */
static void timer_encode(struct encoding *encoding, const msgpack_object *metric)
{
	struct body *out = encoding->out;
	struct buckets buckets;

	if (buckets_load(&buckets, metric) != 0)
		return;
	metric_begin(encoding, metric);
	body_text(out, ",\"exponentialHistogram\":{\"dataPoints\":[");
	point_begin(encoding, metric, NULL, NULL);
	body_printf(out,
		    ",\"count\":\"%" PRIu64 "\",\"scale\":%d,\"zeroCount\":\"%" PRIu64
		    "\",\"zeroThreshold\":0",
		    buckets.total, buckets.schema, buckets.zeros);
	optional_real(out, "sum", member_real(metric, "sum", NAN));
	optional_real(out, "min", buckets.min);
	optional_real(out, "max", buckets.max);
	body_printf(out, ",\"positive\":{\"offset\":%" PRId64 ",\"bucketCounts\":[",
		    buckets.first - 1);
	for (size_t i = 0; i < buckets.length; i++)
		body_printf(out, i != 0 ? ",\"%" PRIu64 "\"" : "\"%" PRIu64 "\"",
			    buckets.counts[i]);
	body_text(out, "]}}]" CUMULATIVE "}}");
	buckets_free(&buckets);
}

/* A sum (with what it is besides), or with NULL a gauge, of one number. */
static void number_encode(struct encoding *encoding, const msgpack_object *metric,
			  const char *sum_rest)
{
	const msgpack_object *value = member(metric, "value");
	struct body *out = encoding->out;

	if (!is_number(value))
		return;
	metric_begin(encoding, metric);
	body_printf(out, ",\"%s\":{\"dataPoints\":[", sum_rest != NULL ? "sum" : "gauge");
	point_begin(encoding, metric, NULL, NULL);
	number_end(out, value);
	body_printf(out, "]%s}}", sum_rest != NULL ? sum_rest : "");
}

/* How many sessions are in each state: a sum that goes up and down. */
static void states_encode(struct encoding *encoding, const msgpack_object *metric)
{
	const msgpack_object *states = member(metric, "states");
	struct body *out = encoding->out;
	bool first = true;

	if (states == NULL || states->type != MSGPACK_OBJECT_MAP)
		return;
	metric_begin(encoding, metric);
	body_text(out, ",\"sum\":{\"dataPoints\":[");
	for (uint32_t i = 0; i < states->via.map.size; i++) {
		const msgpack_object_kv *pair = &states->via.map.ptr[i];

		if (!is_text(&pair->key) || !is_number(&pair->val))
			continue;
		if (!first)
			body_text(out, ",");
		first = false;
		point_begin(encoding, metric, "state", &pair->key);
		number_end(out, &pair->val);
	}
	body_text(out, "]" CUMULATIVE ",\"isMonotonic\":false}}");
}

static void metric_encode(struct encoding *encoding, const msgpack_object *metric)
{
	char kind[16];

	if (!is_text(member(metric, "name")))
		return;
	member_text(metric, "kind", kind, sizeof kind);
	if (strcmp(kind, "timer") == 0)
		timer_encode(encoding, metric);
	else if (strcmp(kind, "counter") == 0)
		number_encode(encoding, metric, CUMULATIVE ",\"isMonotonic\":true");
	else if (strcmp(kind, "updown") == 0)
		number_encode(encoding, metric, CUMULATIVE ",\"isMonotonic\":false");
	else if (strcmp(kind, "gauge") == 0)
		number_encode(encoding, metric, NULL);
	else if (strcmp(kind, "stateset") == 0)
		states_encode(encoding, metric);
}

/* What the agent counts itself. */
static void own_encode(struct encoding *encoding, const msgpack_object *root)
{
	static const struct {
		const char *map, *key, *name, *unit;
		bool grows;
	} own[] = {
		{"agent", "samples_total", "shmbus.samples", "{sample}", true},
		{"agent", "dropped_total", "shmbus.samples.dropped", "{sample}", true},
		{"totals", "sessions_total", "shmbus.sessions", "{session}", true},
		{"totals", "sessions_ended", "shmbus.sessions.ended", "{session}", true},
		{"totals", "sessions_lost", "shmbus.sessions.lost", "{session}", true},
		{"totals", "sessions_active", "shmbus.sessions.active", "{session}", false},
		{"agent", "cpu_ratio", "shmbus.agent.cpu", "1", false},
		{"agent", "rss_bytes", "shmbus.agent.memory", "By", false},
		{"agent", "drain_lag_ns", "shmbus.agent.drain.lag", "ns", false},
	};
	struct body *out = encoding->out;

	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
		const msgpack_object *value = member(member(root, own[i].map), own[i].key);

		if (!is_number(value))
			continue;
		body_printf(out, "%s{\"name\":\"%s\",\"unit\":\"%s\",\"%s\":{\"dataPoints\":[",
			    encoding->first ? "" : ",", own[i].name, own[i].unit,
			    own[i].grows ? "sum" : "gauge");
		encoding->first = false;
		point_begin(encoding, NULL, NULL, NULL);
		number_end(out, value);
		body_printf(out, "]%s}}", own[i].grows ? CUMULATIVE ",\"isMonotonic\":true" : "");
	}
}

/* ---- the whole ---- */

static void resource_encode(struct body *out, const struct otlp_source *source)
{
	const msgpack_object *version = member(member(&source->document->root, "agent"), "version");
	struct body instance = BODY_EMPTY;

	body_printf(&instance, "%s/%s", source->host, source->bus);
	out->failed |= instance.failed;
	body_text(out, "{\"resource\":{\"attributes\":[");
	attribute(out, "service.name", "shmbus", strlen("shmbus"));
	body_text(out, ",");
	attribute(out, "service.instance.id", instance.data, instance.size);
	if (is_text(version)) {
		body_text(out, ",");
		attribute(out, "service.version", version->via.str.ptr, version->via.str.size);
	}
	body_text(out, ",");
	attribute(out, "host.name", source->host, strlen(source->host));
	body_text(out, ",");
	attribute(out, "shmbus.bus", source->bus, strlen(source->bus));
	body_text(out, "]}");
	body_free(&instance);
}

void otlp_encode(struct body *out, const struct otlp_source *source)
{
	const msgpack_object *root = &source->document->root, *metrics = NULL;
	size_t count = member_array(member(root, "totals"), "metrics", &metrics);
	struct encoding encoding = {
		.out = out,
		.start_unix_ns = source->start_unix_ns,
		.time_unix_ns = member_u64(root, "time_unix_ns", 0),
		.first = true,
	};

	body_text(out, "{\"resourceMetrics\":[");
	resource_encode(out, source);
	body_text(out, ",\"scopeMetrics\":[{\"scope\":{\"name\":\"shmbus-gateway\",\"version\":"
		       "\"" SHMBUS_VERSION_STRING "\"},\"metrics\":[");
	for (size_t i = 0; i < count; i++)
		metric_encode(&encoding, &metrics[i]);
	own_encode(&encoding, root);
	body_text(out, "]}]}]}");
}
