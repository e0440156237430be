/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "bus_health.h"
#include "json_document.h"

static struct bus_health health_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct bus_health health_of(const char *format, ...)
{
	struct json_document document;
	struct bus_health health;
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	cr_assert_geq(vasprintf(&text, format, arguments), 0);
	va_end(arguments);
	json_document_make(&document, "%s", text);
	free(text);
	health = bus_health_of(&document.document);
	json_document_free(&document);
	return health;
}

Test(bus_health, nothing)
{
	struct bus_health health = bus_health_of(NULL), zero = {0};

	cr_expect_eq(memcmp(&health, &zero, sizeof zero), 0);
	health = health_of("[1, 2]");
	cr_expect_eq(memcmp(&health, &zero, sizeof zero), 0);
	health = health_of("{'sessions': {'a': 1}, 'totals': 7}");
	cr_expect_eq(memcmp(&health, &zero, sizeof zero), 0);
}

Test(bus_health, sessions)
{
	static const char missed[] = "{'name': 'a', 'target': {'met': false}}";
	static const char met[] = "{'name': 'b', 'target': {'met': true}}, {'name': 'c', 'target': "
				  "{'value': 1}}, {'name': 'd'}";
	unsigned long long now = 1700000000000000000u;
	struct bus_health health = health_of(
		"{'time_unix_ns': %llu, 'totals': {'dropped_total': 9}, 'sessions': ["
		"{'state': 'running', 'metrics': [%s, %s]}, {'state': 'running', 'metrics': [%s]},"
		"{'state': 'stale', 'metrics': [%s, %s]}, {'state': 'ended', 'metrics': [%s]},"
		"{'state': 'lost', 'end_time_unix_ns': %llu}, {'state': 'lost', "
		"'end_time_unix_ns': %llu}, {'state': 'odd'}, 3]}",
		now, missed, met, met, missed, missed, missed,
		now - (unsigned long long)BUS_HEALTH_RECENT_NS,
		now - (unsigned long long)BUS_HEALTH_RECENT_NS + 1);

	cr_expect_eq(health.sessions, 8);
	cr_expect_eq(health.running, 2);
	cr_expect_eq(health.stale, 1);
	cr_expect_eq(health.ended, 1);
	cr_expect_eq(health.lost, 2);
	cr_expect_eq(health.lost_recently, 1);
	cr_expect_eq(health.targets, 7, "%lu", health.targets);
	cr_expect_eq(health.targets_missed, 3);
	cr_expect_eq(health.sessions_missing, 2);
	cr_expect_eq(health.dropped, 9);
}

static json_t *targets_of(const char *metrics)
{
	struct json_document document;
	struct body body = BODY_EMPTY;
	json_error_t error;
	json_t *parsed;

	json_document_make(&document, "{'totals': {'metrics': [%s]}}", metrics);
	bus_targets_write(&body, &document.document);
	json_document_free(&document);
	cr_assert(!body.failed);
	parsed = json_loadb(body.data, body.size, 0, &error);
	cr_assert_not_null(parsed, "%s: %.*s", error.text, (int)body.size, body.data);
	body_free(&body);
	return parsed;
}

static double real_of(json_t *value, const char *key)
{
	cr_assert(json_is_number(json_object_get(value, key)), "%s", key);
	return json_number_value(json_object_get(value, key));
}

Test(bus_health, targets)
{
	json_t *targets = targets_of(
		"{'name': 'asr', 'stage': 's', 'unit': 'us', 'min': 100, 'max': 100, 'histogram': "
		"{'schema': 5, 'zero_count': 0, 'offset': 213, 'buckets': [10]}, 'target': "
		"{'value': 1500, 'quantile': 0.95, 'violations': 2, 'met': true, "
		"'violation_ratio': 0.2}},"
		"{'name': 'no samples', 'unit': 's', 'target': {'value': 2, 'quantile': 0.99, "
		"'violations': 0}},"
		"{'name': 'no time', 'unit': 'By', 'target': {'value': 2}},"
		"{'name': 'none', 'unit': 'ns'}, {'unit': 'ns', 'target': 3}");
	json_t *asr = json_array_get(targets, 0), *second = json_array_get(targets, 1);

	cr_assert_eq(json_array_size(targets), 3);
	cr_expect_str_eq(json_string_value(json_object_get(asr, "name")), "asr");
	cr_expect_str_eq(json_string_value(json_object_get(asr, "stage")), "s");
	cr_expect_float_eq(real_of(asr, "target_ms"), 1.5, 1e-12);
	cr_expect_float_eq(real_of(asr, "actual_ms"), 0.1, 1e-12);
	cr_expect_float_eq(real_of(asr, "violations"), 2, 0);
	cr_expect(json_is_true(json_object_get(asr, "met")));
	cr_expect_float_eq(real_of(second, "target_ms"), 2000, 0);
	cr_expect_null(json_object_get(second, "met"));
	cr_expect_null(json_object_get(second, "actual_ms"));
	cr_expect(json_is_null(json_object_get(json_array_get(targets, 2), "target_ms")));
	json_decref(targets);
}
