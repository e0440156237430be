/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "log_record.h"

/* ---- members ---- */

static void put_text(FILE *out, const char *key, const char *text)
{
	msgpack_object value = {.type = MSGPACK_OBJECT_STR};

	value.via.str.ptr = text;
	value.via.str.size = (uint32_t)strlen(text);
	fprintf(out, ",\"%s\":", key);
	json_print(out, &value, 0);
}

static void put_u64(FILE *out, const char *key, uint64_t value)
{
	fprintf(out, ",\"%s\":%" PRIu64, key, value);
}

static void put_known(FILE *out, const char *key, uint64_t value)
{
	if (value != 0)
		put_u64(out, key, value);
}

/* A member of the document as it is; absent where it is absent there. */
static void put_member(FILE *out, const msgpack_object *map, const char *key)
{
	const msgpack_object *value = member(map, key);

	if (value == NULL)
		return;
	fprintf(out, ",\"%s\":", key);
	json_print(out, value, 0);
}

static void put_members(FILE *out, const msgpack_object *map, const char *const keys[])
{
	for (; *keys != NULL; keys++)
		put_member(out, map, *keys);
}

static void record_begin(FILE *out, const struct record_context *context, const char *event)
{
	fprintf(out, "{\"event\":\"%s\",\"time_unix_ns\":%" PRIu64, event, context->time_unix_ns);
	put_text(out, "bus", context->bus);
	put_member(out, context->root, "seq");
}

static void record_end(FILE *out)
{
	fputs("}\n", out);
}

/* ---- sessions ---- */

const char *record_key(const msgpack_object *session, char out[RECORD_KEY_SIZE])
{
	char segment[RECORD_KEY_SIZE - 24];

	snprintf(out, RECORD_KEY_SIZE, "%s %" PRIu64,
		 member_text(session, "segment", segment, sizeof segment),
		 member_u64(session, "incarnation", 0));
	return out;
}

bool record_finished(const msgpack_object *session)
{
	char state[16];

	member_text(session, "state", state, sizeof state);
	return strcmp(state, "ended") == 0 || strcmp(state, "lost") == 0;
}

/* An array of maps: of each, some members. The first key is always there. */
static void put_array(FILE *out, const msgpack_object *map, const char *key,
		      const char *const keys[])
{
	const msgpack_object *elements = NULL;
	size_t count = member_array(map, key, &elements);

	fprintf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < count; i++) {
		char text[256];
		msgpack_object first = {.type = MSGPACK_OBJECT_STR};

		first.via.str.ptr = member_text(&elements[i], keys[0], text, sizeof text);
		first.via.str.size = (uint32_t)strlen(text);
		fprintf(out, "%s{\"%s\":", i != 0 ? "," : "", keys[0]);
		json_print(out, &first, 0);
		put_members(out, &elements[i], keys + 1);
		fputc('}', out);
	}
	fputc(']', out);
}

static void put_target_names(FILE *out, const msgpack_object *session, bool met)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics), printed = 0;

	fprintf(out, "\"%s\":[", met ? "met" : "missed");
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *name = member(&metrics[i], "name");

		if (name == NULL || member_bool(member(&metrics[i], "target"), "met") != met)
			continue;
		if (printed++ != 0)
			fputc(',', out);
		json_print(out, name, 0);
	}
	fputc(']', out);
}

void record_session(FILE *out, const struct record_context *context, const msgpack_object *session)
{
	static const char *const identity[] = {"id",  "service",     "segment", "labels", "pid",
					       "uid", "incarnation", "state",   "reason", NULL};
	static const char *const numbers[] = {"aggregated_total", "dropped_total", "overflow_total",
					      "writers", NULL};
	/* Without the buckets: they are most of a document, and quantiles are what is read. */
	static const char *const metric[] = {
		"name", "kind", "unit", "stage",     "value",  "count",  "sum",    "min",
		"max",  "mean", "std",  "quantiles", "window", "target", "period", NULL};
	uint64_t start = member_u64(session, "start_time_unix_ns", 0);
	uint64_t end = member_u64(session, "end_time_unix_ns", 0);

	record_begin(out, context, "session");
	put_members(out, session, identity);
	put_u64(out, "start_time_unix_ns", start);
	put_known(out, "end_time_unix_ns", end);
	put_u64(out, "duration_ns", end > start ? end - start : 0);
	put_members(out, session, numbers);
	put_array(out, session, "metrics", metric);
	fputs(",\"targets\":{", out);
	put_target_names(out, session, true);
	fputc(',', out);
	put_target_names(out, session, false);
	fputc('}', out);
	put_member(out, session, "derived");
	put_member(out, member(context->root, "totals"), "recent");
	record_end(out);
}

void record_throttle(FILE *out, const struct record_context *context, const msgpack_object *session,
		     const msgpack_object *metric, uint64_t every)
{
	static const char *const identity[] = {"id",     "service",     "segment",
					       "labels", "incarnation", NULL};
	static const char *const numbers[] = {"unit",   "stage",  "count",  "mean", "max",
					      "window", "target", "period", NULL};
	char name[256];

	record_begin(out, context, "throttle");
	put_members(out, session, identity);
	put_text(out, "metric", member_text(metric, "name", name, sizeof name));
	put_u64(out, "every", every);
	put_members(out, metric, numbers);
	record_end(out);
}

/* ---- the bus ---- */

void record_interval(FILE *out, const struct record_context *context,
		     const struct record_interval *interval)
{
	static const char *const totals[] = {
		"sessions_total", "sessions_active", "sessions_ended", "sessions_lost",
		"dropped_total",  "overflow_total",  "recent",         NULL};
	static const char *const metric[] = {
		"name", "kind", "unit", "stage",     "sessions", "value",  "states", "count", "sum",
		"min",  "max",  "mean", "quantiles", "windows",  "target", "period", NULL};

	record_begin(out, context, "interval");
	put_u64(out, "start_time_unix_ns", interval->start_unix_ns);
	put_u64(out, "duration_ns", interval->duration_ns);
	put_text(out, "agent_state", interval->agent_state);
	put_u64(out, "snapshots_read", interval->snapshots_read);
	put_u64(out, "snapshots_missed", interval->snapshots_missed);
	put_u64(out, "records", interval->records);
	put_u64(out, "write_failures", interval->write_failures);
	put_u64(out, "sessions_finished", interval->sessions_finished);
	if (interval->deltas) {
		put_u64(out, "samples", interval->aggregated);
		put_u64(out, "dropped", interval->dropped);
	}
	if (context->root != NULL) {
		const msgpack_object *of = member(context->root, "totals");

		put_member(out, context->root, "agent");
		put_members(out, of, totals);
		put_array(out, of, "metrics", metric);
	}
	record_end(out);
}

void record_gap(FILE *out, const struct record_context *context, const struct record_gap *gap)
{
	record_begin(out, context, "gap");
	put_text(out, "what", gap->what);
	if (gap->reason != NULL)
		put_text(out, "reason", gap->reason);
	put_known(out, "since_unix_ns", gap->since_unix_ns);
	put_known(out, "failures", gap->failures);
	put_known(out, "records_dropped", gap->records_dropped);
	put_known(out, "sessions_unseen", gap->sessions_unseen);
	record_end(out);
}

void record_event(FILE *out, const struct record_context *context, const char *event,
		  const char *agent_state)
{
	static const char *const numbers[] = {"version", "incarnation", "pid", "start_time_unix_ns",
					      NULL};
	const msgpack_object *agent = member(context->root, "agent");

	record_begin(out, context, event);
	put_text(out, "agent_state", agent_state);
	if (agent != NULL) {
		fputs(",\"agent\":{\"schema\":", out);
		fprintf(out, "%" PRIu64, member_u64(context->root, "schema", 0));
		put_members(out, agent, numbers);
		fputc('}', out);
	}
	record_end(out);
}
