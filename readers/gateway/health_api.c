/* SPDX-License-Identifier: MIT */
/* health_api.c - /api/v1/monitoring/health and what is below it. */
#include <inttypes.h>
#include <string.h>

#include "admin.h"
#include "health_private.h"
#include "times.h"

static const char json[] = "application/json";

/* ---- /health ---- */

__attribute__((format(printf, 3, 4))) static void reason(struct body *out, bool *first,
							 const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (!*first)
		body_text(out, ",");
	*first = false;
	body_json_text(out, text, strlen(text));
}

/* For people: why it is not HEALTHY. */
static void reasons_write(struct health *health, const struct health_verdict *verdict,
			  struct body *out)
{
	const struct feed *feed = health->gateway->feed;
	const struct bus_health *bus = &verdict->bus;
	bool first = true;

	body_text(out, "[");
	for (size_t i = 0; i < probes_count(health->probes); i++) {
		const struct service_options *service = probes_service(health->probes, i);
		enum probe_status status = probe_status(probes_state(health->probes, i));

		if (status != PROBE_HEALTHY)
			reason(out, &first, "%sservice %s is %s",
			       service->critical ? "critical " : "", service->name,
			       probe_status_name(status));
	}
	if (feed_state(feed) != FEED_LIVE)
		reason(out, &first, "%s", feed_error(feed));
	if (bus->stale != 0)
		reason(out, &first, "sessions without a sign of life: %" PRIu64, bus->stale);
	if (bus->lost_recently != 0)
		reason(out, &first, "sessions lost in the last 5 minutes: %" PRIu64,
		       bus->lost_recently);
	if (bus->targets_missed != 0)
		reason(out, &first, "targets missed: %" PRIu64 " of %" PRIu64, bus->targets_missed,
		       bus->targets);
	if (verdict->dropped_recently)
		reason(out, &first, "samples were dropped in the last 5 minutes");
	body_text(out, "]");
}

static void agent_write(const struct feed *feed, struct body *out)
{
	static const char *const keys[] = {"version",           "pid",           "incarnation",
					   "cpu_ratio",         "rss_bytes",     "drain_lag_ns",
					   "publish_ns",        "samples_total", "dropped_total",
					   "start_time_unix_ns"};
	const struct document *document = feed_document(feed);
	const msgpack_object *agent = document != NULL ? member(&document->root, "agent") : NULL;

	body_printf(out, "{\"state\":\"%s\"", feed_state_name(feed_state(feed)));
	if (document != NULL)
		body_printf(out, ",\"age_ns\":%" PRIu64 ",\"seq\":%" PRIu64, feed_age_ns(feed),
			    document->snapshot.seq);
	if (feed_error(feed)[0] != '\0') {
		body_text(out, ",\"error\":");
		body_json_text(out, feed_error(feed), strlen(feed_error(feed)));
	}
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		const msgpack_object *value = member(agent, keys[i]);

		if (value == NULL)
			continue;
		body_printf(out, ",\"%s\":", keys[i]);
		body_json_value(out, value);
	}
	body_text(out, "}");
}

static void groups_write(struct health *health, struct body *out)
{
	const char *name;
	size_t active;

	body_text(out, "[");
	for (size_t i = 0; (name = probes_group(health->probes, i, &active)) != NULL; i++) {
		body_printf(out, "%s{\"name\":\"%s\"", i != 0 ? "," : "", name);
		if (active < probes_count(health->probes))
			body_printf(out, ",\"active\":\"%s\",\"role\":\"%s\"",
				    probes_service(health->probes, active)->name,
				    probes_service(health->probes, active)->fallback ? "fallback"
										     : "primary");
		body_text(out, "}");
	}
	body_text(out, "]");
}

static void bus_write(const struct health_verdict *verdict, struct body *out)
{
	const struct bus_health *bus = &verdict->bus;

	body_printf(out,
		    ",\"sessions\":{\"total\":%" PRIu64 ",\"running\":%" PRIu64
		    ",\"stale\":%" PRIu64 ",\"ended\":%" PRIu64 ",\"lost\":%" PRIu64
		    ",\"lost_recently\":%" PRIu64 ",\"missing_targets\":%" PRIu64 "}",
		    bus->sessions, bus->running, bus->stale, bus->ended, bus->lost,
		    bus->lost_recently, bus->sessions_missing);
	body_printf(out, ",\"drops\":{\"total\":%" PRIu64 ",\"recently\":%s}", bus->dropped,
		    verdict->dropped_recently ? "true" : "false");
	body_printf(out, ",\"targets\":{\"total\":%" PRIu64 ",\"missed\":%" PRIu64 "}",
		    bus->targets, bus->targets_missed);
}

enum MHD_Result handle_health(struct request *request)
{
	struct gateway *gateway = request->gateway;
	struct health_verdict verdict = health_judge(gateway->health);
	struct body out = BODY_EMPTY;

	body_printf(&out,
		    "{\"status\":\"%s\",\"critical_down\":", probe_status_name(verdict.status));
	health_critical_write(gateway->health, &out);
	body_text(&out, ",\"reasons\":");
	reasons_write(gateway->health, &verdict, &out);
	body_printf(&out, ",\"time_unix_ns\":%" PRIu64 ",\"bus\":", unix_time_ns());
	body_json_text(&out, feed_bus(gateway->feed), strlen(feed_bus(gateway->feed)));
	body_text(&out, ",\"agent\":");
	agent_write(gateway->feed, &out);
	bus_write(&verdict, &out);
	body_text(&out, ",\"services\":");
	health_services_write(&verdict, &out);
	body_text(&out, ",\"groups\":");
	groups_write(gateway->health, &out);
	body_text(&out, ",\"latency_targets\":");
	bus_targets_write(&out, feed_document(gateway->feed));
	body_text(&out, "}\n");
	return answer_body(request,
			   verdict.status == PROBE_FAILED ? MHD_HTTP_SERVICE_UNAVAILABLE
							  : MHD_HTTP_OK,
			   json, &out);
}

/* ---- services ---- */

static void time_write(struct body *out, const char *key, uint64_t time_unix_ns)
{
	if (time_unix_ns != 0)
		body_printf(out, ",\"%s\":%" PRIu64, key, time_unix_ns);
}

/* Without the user and the password that a URL may have. */
static void url_write(struct body *out, const char *url)
{
	const char *host = strstr(url, "://");
	struct body shown = BODY_EMPTY;
	const char *at;

	host = host != NULL ? host + 3 : url;
	at = memrchr(host, '@', strcspn(host, "/?#"));
	body_bytes(&shown, url, (size_t)(host - url));
	body_text(&shown, at != NULL ? at + 1 : host);
	out->failed |= shown.failed;
	body_json_text(out, shown.data, shown.size);
	body_free(&shown);
}

static void service_write(struct health *health, size_t i, struct body *out)
{
	const struct service_options *service = probes_service(health->probes, i);
	const struct probe_state *state = probes_state(health->probes, i);

	/* Names have no character that JSON escapes. */
	body_printf(out, "{\"id\":\"%s\",\"name\":\"%s\",\"url\":", service->name, service->name);
	url_write(out, service->url);
	body_printf(out, ",\"role\":\"%s\"", service->fallback ? "fallback" : "primary");
	if (service->group[0] != '\0')
		body_printf(out, ",\"group\":\"%s\"", service->group);
	body_printf(out, ",\"active\":%s,\"critical\":%s,\"status\":\"%s\"",
		    probes_active(health->probes, i) ? "true" : "false",
		    service->critical ? "true" : "false", probe_status_name(probe_status(state)));
	body_printf(out,
		    ",\"failures\":%" PRIu64 ",\"failures_total\":%" PRIu64
		    ",\"checks_total\":%" PRIu64,
		    state->failures_row, state->failures_total, state->checks);
	time_write(out, "last_check_unix_ns", state->last_check_unix_ns);
	time_write(out, "last_success_unix_ns", state->last_success_unix_ns);
	time_write(out, "last_failure_unix_ns", state->last_failure_unix_ns);
	if (state->last_error[0] != '\0') {
		body_text(out, ",\"last_error\":");
		body_json_text(out, state->last_error, strlen(state->last_error));
	}
	if (state->last_success_unix_ns != 0) {
		body_text(out, ",\"latency_ms\":");
		body_json_real(out, (double)state->latency_ns * 1e-6);
	}
	body_text(out, "}");
}

enum MHD_Result handle_services(struct request *request)
{
	struct health *health = request->gateway->health;
	struct body out = BODY_EMPTY;

	body_text(&out, "[");
	for (size_t i = 0; i < probes_count(health->probes); i++) {
		if (i != 0)
			body_text(&out, ",");
		service_write(health, i, &out);
	}
	body_text(&out, "]\n");
	return answer_body(request, MHD_HTTP_OK, json, &out);
}

enum MHD_Result handle_reset(struct request *request)
{
	struct health *health = request->gateway->health;
	struct body out = BODY_EMPTY;
	enum MHD_Result result;
	size_t i;

	if (!admin_or_answer(request, &result))
		return result;
	if (!probes_reset(health->probes, request->rest, &i))
		return answer_error(request, MHD_HTTP_NOT_FOUND,
				    "there is no such service; health/services lists them");
	service_write(health, i, &out);
	body_text(&out, "\n");
	return answer_body(request, MHD_HTTP_OK, json, &out);
}
