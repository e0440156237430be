/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "bus_health.h"
#include "buckets.h"
#include "find.h"
#include "format.h"

/* ---- sessions ---- */

static void targets_count(struct bus_health *health, const msgpack_object *session)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	uint64_t missed = 0;

	for (size_t i = 0; i < count; i++) {
		const msgpack_object *target = member(&metrics[i], "target");

		health->targets += target != NULL;
		missed += target != NULL && member_bool(target, "met") == 0;
	}
	health->targets_missed += missed;
	health->sessions_missing += missed != 0;
}

static bool is_recent(const msgpack_object *session, uint64_t now_unix_ns)
{
	uint64_t end_unix_ns = member_u64(session, "end_time_unix_ns", 0);

	return end_unix_ns >= now_unix_ns || now_unix_ns - end_unix_ns < BUS_HEALTH_RECENT_NS;
}

static void session_count(struct bus_health *health, const msgpack_object *session,
			  uint64_t now_unix_ns)
{
	char state[16];

	member_text(session, "state", state, sizeof state);
	if (strcmp(state, "running") == 0 || strcmp(state, "stale") == 0) {
		health->running += state[0] == 'r';
		health->stale += state[0] == 's';
		targets_count(health, session);
	} else if (strcmp(state, "lost") == 0) {
		health->lost++;
		health->lost_recently += is_recent(session, now_unix_ns);
	} else if (strcmp(state, "ended") == 0) {
		health->ended++;
	}
}

struct bus_health bus_health_of(const struct document *document)
{
	struct bus_health health = {0};
	const msgpack_object *sessions = NULL;
	uint64_t now_unix_ns;

	if (document == NULL)
		return health;
	now_unix_ns = member_u64(&document->root, "time_unix_ns", 0);
	health.sessions = member_array(&document->root, "sessions", &sessions);
	for (size_t i = 0; i < health.sessions; i++)
		session_count(&health, &sessions[i], now_unix_ns);
	health.dropped = member_u64(member(&document->root, "totals"), "dropped_total", 0);
	return health;
}

/* ---- targets ---- */

static void write_text(struct body *out, const char *key, const msgpack_object *map)
{
	const msgpack_object *value = member(map, key);

	if (value == NULL || value->type != MSGPACK_OBJECT_STR)
		return;
	body_printf(out, ",\"%s\":", key);
	body_json_text(out, value->via.str.ptr, value->via.str.size);
}

static void write_real(struct body *out, const char *key, double value)
{
	if (!isfinite(value))
		return;
	body_printf(out, ",\"%s\":", key);
	body_json_real(out, value);
}

/* What the samples are at the target's quantile. */
static double actual(const msgpack_object *metric, double quantile)
{
	struct buckets buckets;
	double value = NAN;

	if (quantile >= 0 && quantile <= 1 && buckets_load(&buckets, metric) == 0) {
		value = buckets_quantile(&buckets, quantile);
		buckets_free(&buckets);
	}
	return value;
}

static void target_write(struct body *out, const msgpack_object *metric,
			 const msgpack_object *target, double unit_ns)
{
	double quantile = member_real(target, "quantile", NAN);
	int met = member_bool(target, "met");

	/* It begins with what every one has, so that commas are simple. */
	body_text(out, "{\"target_ms\":");
	body_json_real(out, member_real(target, "value", NAN) * unit_ns * 1e-6);
	if (met >= 0)
		body_text(out, met != 0 ? ",\"met\":true" : ",\"met\":false");
	write_text(out, "name", metric);
	write_text(out, "stage", metric);
	write_real(out, "quantile", quantile);
	if (met >= 0)
		write_real(out, "actual_ms", actual(metric, quantile) * unit_ns * 1e-6);
	write_real(out, "violations", member_real(target, "violations", NAN));
	write_real(out, "violation_ratio", member_real(target, "violation_ratio", NAN));
	body_text(out, "}");
}

void bus_targets_write(struct body *out, const struct document *document)
{
	const msgpack_object *metrics = NULL;
	size_t count = 0;
	bool first = true;

	if (document != NULL)
		count = member_array(member(&document->root, "totals"), "metrics", &metrics);
	body_text(out, "[");
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *target = member(&metrics[i], "target");
		char unit[24];
		double unit_ns =
			format_unit_ns(member_text(&metrics[i], "unit", unit, sizeof unit));

		if (target == NULL || unit_ns == 0)
			continue;
		if (!first)
			body_text(out, ",");
		first = false;
		target_write(out, &metrics[i], target, unit_ns);
	}
	body_text(out, "]");
}
