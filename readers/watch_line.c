/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "watch_line.h"

/* ---- JSON, piece by piece ---- */

static void put_key(FILE *out, bool first, const char *key)
{
	fprintf(out, "%s\"%s\":", first ? "" : ",", key);
}

static void put_u64(FILE *out, const char *key, uint64_t value)
{
	put_key(out, false, key);
	fprintf(out, "%" PRIu64, value);
}

static void put_real(FILE *out, const char *key, double value)
{
	msgpack_object real = {.type = MSGPACK_OBJECT_FLOAT64, .via.f64 = value};

	put_key(out, false, key);
	if (value == floor(value) && fabs(value) < 0x1p53) /* of a gauge of integers, one too */
		fprintf(out, "%.0f", value);
	else
		json_print(out, &real, 0);
}

static void put_text(FILE *out, const char *key, const char *text)
{
	msgpack_object object = {.type = MSGPACK_OBJECT_STR,
				 .via.str = {.size = (uint32_t)strlen(text), .ptr = text}};

	put_key(out, false, key);
	json_print(out, &object, 0);
}

/* A member as it is, under another name; nothing where it is absent. */
static void put_member(FILE *out, const char *key, const msgpack_object *value)
{
	if (value == NULL)
		return;
	put_key(out, false, key);
	json_print(out, value, 0);
}

static void put_name(FILE *out, bool first, const msgpack_object *named)
{
	const msgpack_object *name = member(named, "name");

	if (!first)
		fputc(',', out);
	if (name != NULL && name->type == MSGPACK_OBJECT_STR)
		json_print(out, name, 0);
	else
		fputs("\"?\"", out);
	fputc(':', out);
}

/* ---- trails ---- */

void trails_free(struct trails *trails)
{
	free(trails->each);
	*trails = (struct trails){0};
}

static void trails_reserve(struct trails *trails, size_t count)
{
	struct trail *larger;

	if (count <= trails->count)
		return;
	larger = realloc(trails->each, count * sizeof *larger);
	if (larger == NULL)
		return;
	memset(larger + trails->count, 0, (count - trails->count) * sizeof *larger);
	trails->each = larger;
	trails->count = count;
}

static double high_water(struct trail *trail, double value)
{
	if (!trail->seen || value > trail->high)
		trail->high = value;
	trail->seen = true;
	return trail->high;
}

/* The mean of what came since the line that is TRAIL_LINES before this one, or since the first.
 * NAN where nothing did. */
static double recent_mean(struct trail *trail, uint64_t count, double sum)
{
	uint32_t oldest = trail->lines < TRAIL_LINES ? 0 : trail->next;
	double mean = NAN;

	if (trail->lines != 0 && count > trail->count[oldest])
		mean = (sum - trail->sum[oldest]) / (double)(count - trail->count[oldest]);
	trail->count[trail->next] = count;
	trail->sum[trail->next] = sum;
	trail->next = (trail->next + 1) % TRAIL_LINES;
	if (trail->lines < TRAIL_LINES)
		trail->lines++;
	return mean;
}

/* ---- the parts of a line ---- */

static void put_labels(FILE *out, const msgpack_object *session)
{
	static const char *const known[] = {"attempt_id", "source", "provider", "model"};
	const msgpack_object *labels = member(session, "labels");

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		put_member(out, known[i], member(labels, known[i]));
	put_member(out, "labels", labels);
}

struct ring {
	const msgpack_object *writer; /* the one that was fullest */
	double fullness;
	uint64_t backlog, full, head; /* of all of them */
};

static struct ring ring_of(const msgpack_object *session)
{
	const msgpack_object *writers = NULL;
	size_t count = member_array(session, "writers", &writers);
	struct ring ring = {.fullness = -1};

	for (size_t i = 0; i < count; i++) {
		const msgpack_object *dropped = member(&writers[i], "dropped");
		double fullness = member_real(&writers[i], "high_water", 0) /
				  fmax(member_real(&writers[i], "capacity", 1), 1);

		ring.backlog += member_u64(&writers[i], "used", 0);
		ring.full += member_u64(dropped, "full", 0);
		ring.head += member_u64(dropped, "head", 0);
		if (fullness > ring.fullness) {
			ring.fullness = fullness;
			ring.writer = &writers[i];
		}
	}
	return ring;
}

static void put_queue(FILE *out, const msgpack_object *session)
{
	struct ring ring = ring_of(session);

	if (ring.writer != NULL) {
		put_key(out, false, "queue");
		fprintf(out, "{\"depth\":%" PRIu64, member_u64(ring.writer, "used", 0));
		put_member(out, "high_water", member(ring.writer, "high_water"));
		put_member(out, "capacity", member(ring.writer, "capacity"));
		put_member(out, "writer", member(ring.writer, "name"));
		fputc('}', out);
	}
	put_u64(out, "backlog", ring.backlog);
	put_key(out, false, "dropped");
	fprintf(out, "{\"total\":%" PRIu64, member_u64(session, "dropped_total", 0));
	put_u64(out, "full", ring.full);
	put_u64(out, "head", ring.head);
	fputc('}', out);
}

static bool is_kind(const msgpack_object *metric, const char *wanted)
{
	char kind[16];

	return strcmp(member_text(metric, "kind", kind, sizeof kind), wanted) == 0;
}

static void put_states(FILE *out, const msgpack_object *metrics, size_t count)
{
	bool first = true;

	put_key(out, false, "states");
	fputc('{', out);
	for (size_t i = 0; i < count; i++) {
		if (!is_kind(&metrics[i], "stateset") || member(&metrics[i], "value") == NULL)
			continue;
		put_name(out, first, &metrics[i]);
		json_print(out, member(&metrics[i], "value"), 0);
		first = false;
	}
	fputc('}', out);
}

static void put_gauges(FILE *out, const msgpack_object *metrics, size_t count,
		       struct trails *trails)
{
	bool first = true;

	put_key(out, false, "gauges");
	fputc('{', out);
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *value = member(&metrics[i], "value");

		if (value == NULL ||
		    (!is_kind(&metrics[i], "gauge") && !is_kind(&metrics[i], "updown")))
			continue;
		put_name(out, first, &metrics[i]);
		fputs("{\"value\":", out);
		json_print(out, value, 0);
		if (i < trails->count)
			put_real(
				out, "high_water",
				high_water(&trails->each[i], member_real(&metrics[i], "value", 0)));
		fputc('}', out);
		first = false;
	}
	fputc('}', out);
}

static void put_timer(FILE *out, const msgpack_object *metric, struct trail *trail)
{
	static const char *const keys[] = {"last", "mean", "p50", "p95", "p99", "max"};
	const msgpack_object *window = member(metric, "window");
	uint64_t count = member_u64(metric, "count", 0);
	double mean;

	fprintf(out, "{\"count\":%" PRIu64, count);
	put_member(out, "unit", member(metric, "unit"));
	put_member(out, "rate", member(member(member(metric, "windows"), "10s"), "rate"));
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		put_member(out, keys[i], member(window, keys[i]));
	if (trail != NULL) {
		mean = recent_mean(trail, count, member_real(metric, "sum", 0));
		if (!isnan(mean))
			put_real(out, "average_10", mean);
	}
	fputc('}', out);
}

static void put_timers(FILE *out, const msgpack_object *metrics, size_t count,
		       struct trails *trails)
{
	bool first = true;

	put_key(out, false, "timers");
	fputc('{', out);
	for (size_t i = 0; i < count; i++) {
		if (!is_kind(&metrics[i], "timer"))
			continue;
		put_name(out, first, &metrics[i]);
		put_timer(out, &metrics[i], i < trails->count ? &trails->each[i] : NULL);
		first = false;
	}
	fputc('}', out);
}

/* "realtime.factor", "real_time_factor", "rtf": whatever a program calls it. */
static bool is_real_time_factor(const msgpack_object *derived)
{
	char name[64], plain[64];
	size_t length = 0;

	member_text(derived, "name", name, sizeof name);
	for (const char *c = name; *c != '\0'; c++)
		if (isalnum((unsigned char)*c))
			plain[length++] = (char)tolower((unsigned char)*c);
	plain[length] = '\0';
	return strcmp(plain, "realtimefactor") == 0 || strcmp(plain, "rtf") == 0;
}

static void put_derived(FILE *out, const msgpack_object *session)
{
	const msgpack_object *derived = NULL, *factor = NULL;
	size_t count = member_array(session, "derived", &derived);
	bool first = true;

	put_key(out, false, "derived");
	fputc('{', out);
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *value = member(&derived[i], "value");

		if (value == NULL)
			continue;
		put_name(out, first, &derived[i]);
		json_print(out, value, 0);
		first = false;
		if (is_real_time_factor(&derived[i]))
			factor = value;
	}
	fputc('}', out);
	put_member(out, "real_time_factor", factor);
}

/* ---- the line ---- */

static void put_begin(FILE *out, const struct watch_line *line)
{
	fprintf(out, "{\"seq\":%" PRIu64, line->document->snapshot.seq);
	put_u64(out, "gap", line->gap);
	put_u64(out, "time_unix_ns", line->document->snapshot.time_unix_ns);
	put_text(out, "bus", line->bus);
}

static void put_end(FILE *out, const struct watch_line *line)
{
	if (line->final) {
		put_key(out, false, "final");
		fputs("true", out);
	}
	fputs("}\n", out);
}

void watch_line_print(FILE *out, const struct watch_line *line, const msgpack_object *session,
		      struct trails *trails)
{
	static const char *const keys[] = {"service", "segment",   "incarnation",
					   "pid",     "state",     "reason",
					   "age_ns",  "cpu_ratio", "aggregated_total"};
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);

	trails_reserve(trails, count);
	put_begin(out, line);
	put_member(out, "session_id", member(session, "id"));
	put_labels(out, session);
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		put_member(out, keys[i], member(session, keys[i]));
	put_states(out, metrics, count);
	put_gauges(out, metrics, count, trails);
	put_queue(out, session);
	put_member(out, "drain_lag_ns",
		   member(member(&line->document->root, "agent"), "drain_lag_ns"));
	put_derived(out, session);
	put_timers(out, metrics, count, trails);
	put_end(out, line);
}

void watch_line_gone(FILE *out, const struct watch_line *line, const char *id, const char *segment)
{
	put_begin(out, line);
	put_text(out, "session_id", id);
	put_text(out, "segment", segment);
	put_text(out, "state", "gone");
	put_end(out, line);
}

bool session_over(const msgpack_object *session)
{
	char state[16];

	member_text(session, "state", state, sizeof state);
	return strcmp(state, "ended") == 0 || strcmp(state, "lost") == 0;
}
