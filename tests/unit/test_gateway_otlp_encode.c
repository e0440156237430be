/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "json_document.h"
#include "otlp_encode.h"

#define START UINT64_C(1700000000000000000)
#define NOW UINT64_C(1700000009000000000)

static struct json_document made;
static json_t *payload;

static void finish(void)
{
	json_decref(payload);
	if (made.bytes.data != NULL)
		json_document_free(&made);
}

TestSuite(otlp_encode, .fini = finish);

static json_t *encode(const struct document *document)
{
	struct otlp_source source = {document, "studio", "host.example", START};
	struct body body = BODY_EMPTY;
	json_error_t error;
	json_t *parsed;

	otlp_encode(&body, &source);
	cr_assert(!body.failed);
	parsed = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &error);
	cr_assert_not_null(parsed, "%s in %.*s", error.text, (int)body.size, body.data);
	body_free(&body);
	return parsed;
}

/* By a path such as "a.0.b"; ends the test where there is nothing. */
static json_t *at(json_t *value, const char *path)
{
	char *copy = strdup(path), *rest = copy, *one;

	while ((one = strsep(&rest, ".")) != NULL) {
		value = json_is_array(value) ? json_array_get(value, strtoul(one, NULL, 10))
					     : json_object_get(value, one);
		cr_assert_not_null(value, "%s of %s", one, path);
	}
	free(copy);
	return value;
}

static void expect_text(json_t *value, const char *path, const char *wanted)
{
	const char *text = json_string_value(at(value, path));

	cr_assert_not_null(text, "%s is no string", path);
	cr_expect_str_eq(text, wanted, "%s: %s", path, text);
}

static void expect_number(json_t *value, const char *path, double wanted)
{
	cr_assert(json_is_number(at(value, path)), "%s is no number", path);
	cr_expect_float_eq(json_number_value(at(value, path)), wanted, 1e-9, "%s", path);
}

static json_t *metric_named(const char *name)
{
	json_t *metrics = at(payload, "resourceMetrics.0.scopeMetrics.0.metrics"), *metric;
	size_t i;

	json_array_foreach(metrics, i, metric) if (strcmp(json_string_value(at(metric, "name")),
							  name) == 0) return metric;
	return NULL;
}

static void make(const char *metrics)
{
	json_document_make(
		&made,
		"{'time_unix_ns': %llu, 'agent': {'version': '0.1.0', 'incarnation': 1, "
		"'start_time_unix_ns': %llu, 'samples_total': 12, 'cpu_ratio': 0.25}, "
		"'totals': {'sessions_total': 3, 'sessions_active': 1, 'metrics': [%s]}}",
		(unsigned long long)NOW, (unsigned long long)START, metrics);
	payload = encode(&made.document);
}

Test(otlp_encode, resource)
{
	static const char *const wanted[][2] = {{"service.name", "shmbus"},
						{"service.instance.id", "host.example/studio"},
						{"service.version", "0.1.0"},
						{"host.name", "host.example"},
						{"shmbus.bus", "studio"}};
	json_t *attributes;

	make("");
	attributes = at(payload, "resourceMetrics.0.resource.attributes");
	cr_assert_eq(json_array_size(attributes), 5);
	for (size_t i = 0; i < 5; i++) {
		json_t *attribute = json_array_get(attributes, i);

		expect_text(attribute, "key", wanted[i][0]);
		expect_text(attribute, "value.stringValue", wanted[i][1]);
	}
	expect_text(metric_named("shmbus.samples"), "sum.dataPoints.0.asInt", "12");
	expect_number(metric_named("shmbus.agent.cpu"), "gauge.dataPoints.0.asDouble", 0.25);
	expect_text(metric_named("shmbus.sessions.active"), "gauge.dataPoints.0.asInt", "1");
}

/* 1 ns lies in bucket 0, (2^(-1/32), 1], which is OTLP's bucket -1; 1000 in 319, OTLP's 318. */
Test(otlp_encode, timer)
{
	json_t *metric, *point;

	make("{'name': 'asr.time', 'kind': 'timer', 'unit': 'ns', 'help': 'How long.', "
	     "'stage': 'asr', 'count': 6, 'sum': 3001, 'min': 0, 'max': 1000, 'histogram': "
	     "{'schema': 5, 'zero_threshold': 0, 'zero_count': 1, 'offset': 319, "
	     "'buckets': [2, 0, 3]}}");
	metric = metric_named("asr.time");
	expect_text(metric, "unit", "ns");
	expect_text(metric, "description", "How long.");
	expect_number(metric, "exponentialHistogram.aggregationTemporality", 2);
	point = at(metric, "exponentialHistogram.dataPoints.0");
	expect_text(point, "startTimeUnixNano", "1700000000000000000");
	expect_text(point, "timeUnixNano", "1700000009000000000");
	expect_text(point, "attributes.0.key", "stage");
	expect_text(point, "attributes.0.value.stringValue", "asr");
	expect_text(point, "count", "6");
	expect_number(point, "sum", 3001);
	expect_number(point, "min", 0);
	expect_number(point, "max", 1000);
	expect_number(point, "scale", 5);
	expect_text(point, "zeroCount", "1");
	expect_number(point, "positive.offset", 318);
	cr_assert_eq(json_array_size(at(point, "positive.bucketCounts")), 3);
	expect_text(point, "positive.bucketCounts.0", "2");
	expect_text(point, "positive.bucketCounts.1", "0");
	expect_text(point, "positive.bucketCounts.2", "3");
}

Test(otlp_encode, first_bucket)
{
	make("{'name': 'one', 'kind': 'timer', 'unit': '1', 'sum': 1, 'min': 1, 'max': 1, "
	     "'histogram': {'schema': 5, 'zero_count': 0, 'offset': 0, 'buckets': [1]}}");
	expect_number(metric_named("one"), "exponentialHistogram.dataPoints.0.positive.offset", -1);
}

Test(otlp_encode, numbers)
{
	json_t *states;

	make("{'name': 'done', 'kind': 'counter', 'unit': '{request}', 'value': 7}, "
	     "{'name': 'open', 'kind': 'updown', 'unit': '{file}', 'value': -2}, "
	     "{'name': 'level', 'kind': 'gauge', 'unit': '1', 'value': 0.5}, "
	     "{'name': 'unset', 'kind': 'gauge', 'unit': '1'}, "
	     "{'name': 'empty', 'kind': 'timer', 'unit': 'ns', 'count': 0}, "
	     "{'name': 'build', 'kind': 'info', 'value': '1.0'}, "
	     "{'name': 'state', 'kind': 'stateset', 'stage': 'asr', "
	     "'states': {'idle': 1, 'busy': 2}}");
	expect_text(metric_named("done"), "sum.dataPoints.0.asInt", "7");
	expect_text(metric_named("done"), "sum.dataPoints.0.startTimeUnixNano",
		    "1700000000000000000");
	expect_number(metric_named("done"), "sum.aggregationTemporality", 2);
	cr_expect(json_is_true(at(metric_named("done"), "sum.isMonotonic")));
	expect_text(metric_named("open"), "sum.dataPoints.0.asInt", "-2");
	cr_expect(json_is_false(at(metric_named("open"), "sum.isMonotonic")));
	expect_number(metric_named("level"), "gauge.dataPoints.0.asDouble", 0.5);
	cr_expect_null(metric_named("unset"));
	cr_expect_null(metric_named("empty"));
	cr_expect_null(metric_named("build"));
	states = at(metric_named("state"), "sum.dataPoints");
	cr_assert_eq(json_array_size(states), 2);
	expect_text(states, "0.attributes.0.value.stringValue", "asr");
	expect_text(states, "0.attributes.1.key", "state");
	expect_text(states, "1.attributes.1.value.stringValue", "busy");
	expect_text(states, "1.asInt", "2");
}

/* asInt is signed. */
Test(otlp_encode, large_counter)
{
	msgpack_packer packer;

	msgpack_sbuffer_init(&made.bytes);
	msgpack_packer_init(&packer, &made.bytes, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 1);
	msgpack_pack_str_with_body(&packer, "totals", 6);
	msgpack_pack_map(&packer, 1);
	msgpack_pack_str_with_body(&packer, "metrics", 7);
	msgpack_pack_array(&packer, 1);
	msgpack_pack_map(&packer, 3);
	msgpack_pack_str_with_body(&packer, "name", 4);
	msgpack_pack_str_with_body(&packer, "a\xff\x1b\"", 4);
	msgpack_pack_str_with_body(&packer, "kind", 4);
	msgpack_pack_str_with_body(&packer, "counter", 7);
	msgpack_pack_str_with_body(&packer, "value", 5);
	msgpack_pack_uint64(&packer, UINT64_MAX);
	cr_assert_eq(
		document_decode(&made.document, (const uint8_t *)made.bytes.data, made.bytes.size),
		0);
	{
		struct otlp_source source = {&made.document, "b", "h", START};
		struct body body = BODY_EMPTY;

		otlp_encode(&body, &source);
		body_bytes(&body, "", 1);
		cr_expect_not_null(strstr(body.data, "\"asDouble\":18446744073709551616") != NULL
					   ? body.data
					   : strstr(body.data, "\"asDouble\":1.844674407370955"),
				   "%s", body.data);
		cr_expect_not_null(strstr(body.data, "\"name\":\"a??\\\"\""), "%s", body.data);
		body_free(&body);
	}
}

/* ---- documents that are none of an agent's ---- */

Test(otlp_encode, nonsense)
{
	static const char *const documents[] = {
		"[]",
		"7",
		"{}",
		"{'totals': 3, 'agent': 'x'}",
		"{'totals': {'metrics': {'a': 1}}}",
		"{'totals': {'metrics': [1, 'x', [], {}, {'name': 3, 'kind': 'timer'}]}}",
		"{'totals': {'metrics': [{'name': 'a', 'kind': 7, 'value': 1}]}}",
		"{'totals': {'metrics': [{'name': 'a', 'kind': 'timer', 'unit': 3, 'stage': [], "
		"'sum': 'x', 'min': 1, 'max': 2, 'histogram': {'schema': 5, 'offset': 3, "
		"'buckets': [1]}}]}}",
		"{'totals': {'metrics': [{'name': 'a', 'kind': 'timer', 'histogram': {'schema': "
		"99, "
		"'offset': 3, 'buckets': [1]}}]}}",
		"{'totals': {'metrics': [{'name': 'a', 'kind': 'timer', 'min': 1, 'max': 2, "
		"'histogram': {'schema': 5, 'offset': 3, 'buckets': [-1, 'x']}}]}}",
		"{'totals': {'metrics': [{'name': 'a', 'kind': 'stateset', 'states': ['x']}, "
		"{'name': 'b', 'kind': 'stateset', 'states': {'c': 'd', 'e': [1]}}]}}",
		"{'totals': {'metrics': [{'name': 'a', 'kind': 'counter', 'value': {'b': 1}}]}}",
		"{'agent': {'samples_total': 'many', 'cpu_ratio': -5}}",
	};

	for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
		struct json_document document;
		struct otlp_epoch epoch = {0};

		json_document_make(&document, "%s", documents[i]);
		otlp_epoch_take(&epoch, &document.document);
		payload = encode(&document.document);
		at(payload, "resourceMetrics.0.scopeMetrics.0.metrics");
		json_decref(payload);
		payload = NULL;
		json_document_free(&document);
	}
}

/* Any byte of a good document may be another one. */
Test(otlp_encode, mutations)
{
	/* Of each kind of value that msgpack has, and of each size. */
	static const unsigned char bytes[] = {0x00, 0x01, 0x7f, 0x80, 0x81, 0x90, 0x91, 0xa0,
					      0xa1, 0xbf, 0xc0, 0xc2, 0xc4, 0xca, 0xcb, 0xcc,
					      0xcf, 0xd0, 0xd3, 0xd9, 0xdc, 0xde, 0xe0, 0xff};
	const size_t kinds = sizeof bytes;
	size_t encoded = 0;
	char *good;
	size_t size;

	make("{'name': 'asr.time', 'kind': 'timer', 'unit': 'ns', 'stage': 'asr', 'sum': 3001, "
	     "'min': 0, 'max': 1000, 'histogram': {'schema': 5, 'zero_count': 1, 'offset': 319, "
	     "'buckets': [2, 0, 3]}}, {'name': 'level', 'kind': 'gauge', 'value': 0.5}, "
	     "{'name': 'state', 'kind': 'stateset', 'states': {'idle': 1}}");
	size = made.bytes.size;
	good = malloc(size);
	cr_assert_not_null(good);
	for (size_t i = 0; i < size * kinds; i++) {
		struct otlp_source source = {.bus = "b", .host = "h"};
		struct document document;
		struct body body = BODY_EMPTY;
		json_t *parsed;

		memcpy(good, made.bytes.data, size);
		good[i / kinds] = (char)bytes[i % kinds];
		if (document_decode(&document, (const uint8_t *)good, size) != 0)
			continue;
		source.document = &document;
		otlp_encode(&body, &source);
		cr_assert(!body.failed);
		/* Jansson refuses a NUL in a key alone, and there keys are fixed. */
		parsed = json_loadb(body.data, body.size, JSON_ALLOW_NUL, NULL);
		cr_assert_not_null(parsed, "%.*s", (int)body.size, body.data);
		json_decref(parsed);
		body_free(&body);
		document_free(&document);
		encoded++;
	}
	cr_expect_gt(encoded, size);
	free(good);
}

/* ---- since when ---- */

static void seen(struct otlp_epoch *epoch, unsigned int incarnation, unsigned int start,
		 unsigned int samples, unsigned int now)
{
	struct json_document document;

	json_document_make(&document,
			   "{'time_unix_ns': %u, 'agent': {'incarnation': %u, "
			   "'start_time_unix_ns': %u, 'samples_total': %u}}",
			   now, incarnation, start, samples);
	otlp_epoch_take(epoch, &document.document);
	json_document_free(&document);
}

Test(otlp_encode, epoch)
{
	struct otlp_epoch epoch = {0};

	seen(&epoch, 1, 100, 5, 200);
	cr_expect_eq(epoch.start_unix_ns, 100, "the first agent's totals are as old as it is");
	seen(&epoch, 2, 300, 6, 310);
	cr_expect_eq(epoch.start_unix_ns, 100, "the next one goes on");
	seen(&epoch, 1, 400, 0, 410);
	cr_expect_eq(epoch.start_unix_ns, 400, "one without its checkpoint begins again");
	seen(&epoch, 1, 500, 0, 510);
	cr_expect_eq(epoch.start_unix_ns, 400);
	epoch = (struct otlp_epoch){0};
	seen(&epoch, 7, 600, 50, 700);
	cr_expect_eq(epoch.start_unix_ns, 700, "nobody knows, so since it is seen");
}
