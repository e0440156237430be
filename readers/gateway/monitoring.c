/* SPDX-License-Identifier: MIT */
/* monitoring.c - /api/v1/monitoring/metrics and /status. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <shmbus/types.h>

#include "format.h"
#include "health_private.h"
#include "otlp.h"
#include "server.h"
#include "stream.h"
#include "times.h"

static const char json[] = "application/json";

/* ---- /metrics: finished sessions ---- */

static void member_write(struct body *out, const msgpack_object *map, const char *key)
{
	const msgpack_object *value = member(map, key);

	if (value == NULL)
		return;
	body_printf(out, ",\"%s\":", key);
	body_json_value(out, value);
}

static bool name_is(const msgpack_object *name, const msgpack_object *other)
{
	return other != NULL && other->type == MSGPACK_OBJECT_STR && name != NULL &&
	       name->type == MSGPACK_OBJECT_STR && name->via.str.size == other->via.str.size &&
	       memcmp(name->via.str.ptr, other->via.str.ptr, name->via.str.size) == 0;
}

/* Its stage, which is in the totals alone. */
static void stage_write(struct body *out, const msgpack_object *totals,
			const msgpack_object *recent)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(totals, "metrics", &metrics);

	for (size_t i = 0; i < count; i++) {
		if (!name_is(member(recent, "name"), member(&metrics[i], "name")) ||
		    member(&metrics[i], "stage") == NULL)
			continue;
		member_write(out, &metrics[i], "stage");
		return;
	}
}

/* Times in ms, others in their own unit. */
static void recent_metric_write(struct body *out, const msgpack_object *totals,
				const msgpack_object *metric)
{
	static const char *const counts[] = {"sessions", "count", "judged", "met"};
	static const char *const values[] = {"mean", "p50", "p95", "p99", "max"};
	char unit[24];
	double unit_ns = format_unit_ns(member_text(metric, "unit", unit, sizeof unit));

	body_text(out, "{\"unit\":");
	body_json_text(out, unit_ns != 0 ? "ms" : unit, strlen(unit_ns != 0 ? "ms" : unit));
	member_write(out, metric, "name");
	stage_write(out, totals, metric);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		member_write(out, metric, counts[i]);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		if (member(metric, values[i]) == NULL)
			continue;
		body_printf(out, ",\"%s\":", values[i]);
		body_json_real(out, member_real(metric, values[i], 0) *
					    (unit_ns != 0 ? unit_ns * 1e-6 : 1));
	}
	body_text(out, "}");
}

static void recent_write(struct body *out, const msgpack_object *totals)
{
	const msgpack_object *recent = member(totals, "recent"), *metrics = NULL;
	size_t count = member_array(recent, "metrics", &metrics);

	body_printf(out, "{\"sessions\":%" PRIu64, member_u64(recent, "sessions", 0));
	member_write(out, recent, "lost");
	if (member(recent, "duration_ns") != NULL) {
		body_text(out, ",\"duration_ms\":");
		body_json_real(out, member_real(recent, "duration_ns", 0) * 1e-6);
	}
	body_text(out, ",\"metrics\":[");
	for (size_t i = 0; i < count; i++) {
		if (i != 0)
			body_text(out, ",");
		recent_metric_write(out, totals, &metrics[i]);
	}
	body_text(out, "]}");
}

static void feed_write(struct body *out, const struct feed *feed)
{
	const struct document *document = feed_document(feed);

	body_text(out, "\"bus\":");
	body_json_text(out, feed_bus(feed), strlen(feed_bus(feed)));
	body_printf(out, ",\"state\":\"%s\"", feed_state_name(feed_state(feed)));
	if (document == NULL)
		return;
	body_printf(out, ",\"age_ns\":%" PRIu64, feed_age_ns(feed));
	member_write(out, &document->root, "seq");
	member_write(out, &document->root, "time_unix_ns");
	member_write(out, &document->root, "interval_ns");
}

enum MHD_Result handle_monitoring_metrics(struct request *request)
{
	const struct feed *feed = request->gateway->feed;
	const struct document *document = feed_document(feed);
	struct body out = BODY_EMPTY;

	if (document == NULL)
		return answer_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "%s: start shmbus-agent",
				    feed_error(feed));
	body_text(&out, "{");
	feed_write(&out, feed);
	body_text(&out, ",\"recent\":");
	recent_write(&out, member(&document->root, "totals"));
	body_text(&out, ",\"latency_targets\":");
	bus_targets_write(&out, document);
	body_text(&out, "}\n");
	return answer_body(request, MHD_HTTP_OK, json, &out);
}

/* ---- /status: the gateway itself ---- */

static void listeners_write(struct body *out, const struct server *server)
{
	const char *address;

	body_text(out, "[");
	for (size_t i = 0; (address = server_address(server, i)) != NULL; i++) {
		if (i != 0)
			body_text(out, ",");
		body_json_text(out, address, strlen(address));
	}
	body_text(out, "]");
}

static void streams_write(struct body *out, const struct streams *streams)
{
	struct streams_stats stats;

	streams_stats(streams, &stats);
	body_printf(out,
		    ",\"streams\":{\"open\":%" PRIu64 ",\"opened_total\":%" PRIu64
		    ",\"refused_total\":%" PRIu64 ",\"slow_total\":%" PRIu64
		    ",\"frames_total\":%" PRIu64 ",\"history_bytes\":%" PRIu64 "}",
		    stats.open, stats.opened_total, stats.refused_total, stats.slow_total,
		    stats.frames_total, stats.history_bytes);
}

enum MHD_Result handle_status(struct request *request)
{
	struct gateway *gateway = request->gateway;
	const struct health *health = gateway->health;
	struct body out = BODY_EMPTY;

	body_printf(&out, "{\"version\":\"%s\",\"pid\":%d", SHMBUS_VERSION_STRING, (int)getpid());
	body_printf(&out,
		    ",\"time_unix_ns\":%" PRIu64 ",\"start_time_unix_ns\":%" PRIu64
		    ",\"uptime_s\":",
		    unix_time_ns(), health->start_unix_ns);
	body_json_real(&out, (double)(monotonic_ns() - health->start_ns) * 1e-9);
	body_text(&out, ",\"feed\":{");
	feed_write(&out, gateway->feed);
	if (feed_error(gateway->feed)[0] != '\0') {
		body_text(&out, ",\"error\":");
		body_json_text(&out, feed_error(gateway->feed), strlen(feed_error(gateway->feed)));
	}
	body_text(&out, "},\"listeners\":");
	listeners_write(&out, gateway->server);
	body_printf(&out, ",\"services\":%zu", probes_count(health->probes));
	streams_write(&out, gateway->streams);
	if (gateway->otlp != NULL) {
		body_text(&out, ",\"otlp\":");
		otlp_status_write(gateway->otlp, &out);
	}
	body_text(&out, "}\n");
	return answer_body(request, MHD_HTTP_OK, json, &out);
}
