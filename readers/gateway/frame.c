/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"

/* Keys are looked for many thousand times a frame: with their lengths, and ready to be written. */
struct key {
	const char *text;
	uint8_t size;
	uint8_t json_size;
	const char *json; /* a comma, the quoted key, a colon */
};

#define KEY(key)                                                                                   \
	{                                                                                          \
		(key), sizeof(key) - 1, sizeof(",\"" key "\":") - 1, ",\"" key "\":"               \
	}
#define PUT(out, literal) body_bytes((out), (literal), sizeof(literal) - 1)

/* The values of keys in one pass; NULL for those that are not there. Of several the first goes,
 * as with member(). */
static void pick(const msgpack_object *map, const struct key *keys, size_t count,
		 const msgpack_object **out)
{
	memset(out, 0, count * sizeof *out);
	if (map == NULL || map->type != MSGPACK_OBJECT_MAP)
		return;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *pair = &map->via.map.ptr[i];

		if (pair->key.type != MSGPACK_OBJECT_STR)
			continue;
		for (size_t k = 0; k < count; k++) {
			if (keys[k].size != pair->key.via.str.size || out[k] != NULL ||
			    memcmp(keys[k].text, pair->key.via.str.ptr, keys[k].size) != 0)
				continue;
			out[k] = &pair->val;
			break;
		}
	}
}

/* ---- values ---- */

/* `digits` are six, the first worth 10^exponent, which is -4 to 14. */
static void decimal(struct body *out, bool negative, uint32_t digits, int exponent)
{
	char text[32], *at = text;
	int left = 6;

	for (; left > 1 && digits % 10 == 0 && left - 1 > exponent; left--)
		digits /= 10;
	if (negative)
		*at++ = '-';
	if (exponent < 0) {
		*at++ = '0';
		*at++ = '.';
		for (int i = -1; i > exponent; i--)
			*at++ = '0';
	}
	for (int i = left - 1; i >= 0; i--) {
		at[i] = (char)('0' + digits % 10);
		digits /= 10;
	}
	if (exponent >= 0 && exponent < left - 1) {
		memmove(at + exponent + 2, at + exponent + 1, (size_t)(left - 1 - exponent));
		at[exponent + 1] = '.';
		left++;
	}
	at += left;
	for (int i = left - 1; i < exponent; i++)
		*at++ = '0';
	body_bytes(out, text, (size_t)(at - text));
}

void frame_real(struct body *out, double value)
{
	static const double tens[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
	double size = fabs(value), scaled;
	int exponent = 0;
	uint32_t digits;

	if (!isfinite(value)) {
		PUT(out, "null");
		return;
	}
	if (size < 1e-4 || size >= 1e14) {
		body_printf(out, "%.6g", value);
		return;
	}
	if (size < 1)
		exponent = size >= 1e-1 ? -1 : size >= 1e-2 ? -2 : size >= 1e-3 ? -3 : -4;
	else
		while (size >= tens[exponent + 1])
			exponent++;
	scaled = exponent <= 5 ? size * tens[5 - exponent] : size / tens[exponent - 5];
	digits = (uint32_t)(scaled + 0.5);
	if (digits >= 1000000) {
		digits /= 10;
		exponent++;
	}
	decimal(out, value < 0, digits, exponent);
}

static void value_write(struct body *out, const msgpack_object *value);

/* All but one, with a comma before each; `comma` before the first. */
static void map_members_write(struct body *out, const msgpack_object *map, const char *without,
			      const char *comma)
{
	size_t length = strlen(without);

	for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
		const msgpack_object *key = &map->via.map.ptr[i].key;

		if (key->type != MSGPACK_OBJECT_STR ||
		    (length == key->via.str.size && memcmp(without, key->via.str.ptr, length) == 0))
			continue;
		body_text(out, comma);
		comma = ",";
		body_json_text(out, key->via.str.ptr, key->via.str.size);
		PUT(out, ":");
		value_write(out, &map->via.map.ptr[i].val);
	}
}

static void map_write(struct body *out, const msgpack_object *map, const char *without)
{
	PUT(out, "{");
	map_members_write(out, map, without, "");
	PUT(out, "}");
}

/* As body_json_value(), with reals of six digits. */
static void value_write(struct body *out, const msgpack_object *value)
{
	switch (value->type) {
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		frame_real(out, value->via.f64);
		break;
	case MSGPACK_OBJECT_MAP:
		map_write(out, value, "");
		break;
	case MSGPACK_OBJECT_ARRAY:
		PUT(out, "[");
		for (uint32_t i = 0; i < value->via.array.size; i++) {
			if (i != 0)
				PUT(out, ",");
			value_write(out, &value->via.array.ptr[i]);
		}
		PUT(out, "]");
		break;
	default:
		body_json_value(out, value);
	}
}

/* Those that are there, each with a comma before it. */
static void members_write(struct body *out, const struct key *keys, size_t count,
			  const msgpack_object *const *values)
{
	for (size_t i = 0; i < count; i++) {
		if (values[i] == NULL)
			continue;
		body_bytes(out, keys[i].json, keys[i].json_size);
		value_write(out, values[i]);
	}
}

static void text_write(struct body *out, const char *text)
{
	body_json_text(out, text, strlen(text));
}

/* ---- metrics ---- */

enum { NAME, KIND, UNIT, STAGE, VALUE, COUNT, MEAN, MAX, QUANTILES, WINDOWS, TARGET, PERIOD, KEYS };

static const struct key metric_keys[KEYS] = {
	[NAME] = KEY("name"),     [KIND] = KEY("kind"),       [UNIT] = KEY("unit"),
	[STAGE] = KEY("stage"),   [VALUE] = KEY("value"),     [COUNT] = KEY("count"),
	[MEAN] = KEY("mean"),     [MAX] = KEY("max"),         [QUANTILES] = KEY("quantiles"),
	[TARGET] = KEY("target"), [WINDOWS] = KEY("windows"), [PERIOD] = KEY("period"),
};

/* In the order in which they are written. */
enum {
	SLICE_RATE,
	SLICE_MEAN,
	SLICE_P50,
	SLICE_P95,
	SLICE_P99,
	SLICE_MAX,
	SLICE_COUNT,
	SLICE_KEYS
};

static const struct key slice_keys[SLICE_KEYS] = {
	[SLICE_RATE] = KEY("rate"),   [SLICE_MEAN] = KEY("mean"), [SLICE_P50] = KEY("p50"),
	[SLICE_P95] = KEY("p95"),     [SLICE_P99] = KEY("p99"),   [SLICE_MAX] = KEY("max"),
	[SLICE_COUNT] = KEY("count"),
};

/* Of the last ten seconds where they had samples, else of all its life. */
static void timer_write(struct body *out, const msgpack_object *const *metric)
{
	const msgpack_object *slice[SLICE_KEYS], *whole[SLICE_KEYS];

	pick(member(metric[WINDOWS], "10s"), slice_keys, SLICE_KEYS, slice);
	if (slice[SLICE_MEAN] == NULL) {
		pick(metric[QUANTILES], slice_keys, SLICE_KEYS, whole);
		memcpy(slice + SLICE_P50, whole + SLICE_P50, 3 * sizeof *slice);
		slice[SLICE_MEAN] = metric[MEAN];
		slice[SLICE_MAX] = metric[MAX];
	}
	members_write(out, slice_keys, SLICE_COUNT, slice);
}

static void metric_write(struct body *out, const msgpack_object *metric)
{
	static const struct key target_keys[] = {KEY("value"), KEY("quantile"), KEY("met"),
						 KEY("violations")};
	const msgpack_object *values[KEYS], *target[4];

	pick(metric, metric_keys, KEYS, values);
	PUT(out, "{\"name\":");
	if (values[NAME] != NULL && values[NAME]->type == MSGPACK_OBJECT_STR)
		value_write(out, values[NAME]);
	else
		PUT(out, "\"\"");
	members_write(out, metric_keys + KIND, MEAN - KIND, values + KIND);
	if (values[COUNT] != NULL)
		timer_write(out, values);
	pick(values[TARGET], target_keys, 4, target);
	if (target[0] != NULL) {
		PUT(out, ",\"target\":{\"value\":");
		value_write(out, target[0]);
		members_write(out, target_keys + 1, 3, target + 1);
		PUT(out, "}");
	}
	if (values[PERIOD] != NULL) {
		PUT(out, ",\"period\":");
		map_write(out, values[PERIOD], "worst");
	}
	PUT(out, "}");
}

static void metrics_write(struct body *out, const msgpack_object *metrics)
{
	PUT(out, "\"metrics\":[");
	for (uint32_t i = 0; metrics != NULL && metrics->type == MSGPACK_OBJECT_ARRAY &&
			     i < metrics->via.array.size;
	     i++) {
		if (i != 0)
			PUT(out, ",");
		metric_write(out, &metrics->via.array.ptr[i]);
	}
	PUT(out, "]");
}

/* ---- sessions and the bus ---- */

static void session_write(struct body *out, const msgpack_object *session)
{
	static const struct key keys[] = {
		KEY("service"),
		KEY("segment"),
		KEY("labels"),
		KEY("pid"),
		KEY("incarnation"),
		KEY("state"),
		KEY("start_time_unix_ns"),
		KEY("end_time_unix_ns"),
		KEY("age_ns"),
		KEY("cpu_ratio"),
		KEY("memory"),
		KEY("aggregated_total"),
		KEY("dropped_total"),
		KEY("reason"),
		KEY("derived"),
		KEY("id"),
		KEY("metrics"),
	};
	enum { ID = sizeof keys / sizeof keys[0] - 2, METRICS, COUNT_ALL };
	const msgpack_object *values[COUNT_ALL];

	pick(session, keys, COUNT_ALL, values);
	PUT(out, "{\"id\":");
	if (values[ID] != NULL && values[ID]->type == MSGPACK_OBJECT_STR)
		value_write(out, values[ID]);
	else
		PUT(out, "\"\"");
	members_write(out, keys, ID, values);
	PUT(out, ",");
	metrics_write(out, values[METRICS]);
	PUT(out, "}");
}

static void sessions_write(struct body *out, const msgpack_object *root)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(root, "sessions", &sessions);

	PUT(out, ",\"sessions\":[");
	for (size_t i = 0; i < count; i++) {
		if (i != 0)
			PUT(out, ",");
		session_write(out, &sessions[i]);
	}
	PUT(out, "]");
}

static void totals_write(struct body *out, const msgpack_object *totals)
{
	PUT(out, ",\"totals\":{");
	metrics_write(out, member(totals, "metrics"));
	if (totals != NULL)
		map_members_write(out, totals, "metrics", ",");
	PUT(out, "}");
}

/* ---- frames ---- */

static const struct {
	const char *name;
	bool numbered;
} types[] = {
	[FRAME_BUS] = {"bus", true},        [FRAME_SESSION] = {"session", true},
	[FRAME_STATUS] = {"status", false}, [FRAME_ERROR] = {"error", false},
	[FRAME_END] = {"end", false},
};

const char *frame_type_name(enum frame_type type)
{
	return types[type].name;
}

bool frame_numbered(enum frame_type type)
{
	return types[type].numbered;
}

size_t frame_head(char out[FRAME_HEAD_SIZE], enum frame_type type, uint64_t seq, uint64_t gap,
		  bool final)
{
	int length;

	if (types[type].numbered)
		length = snprintf(out, FRAME_HEAD_SIZE,
				  "{\"type\":\"%s\",\"seq\":%" PRIu64 ",\"gap\":%" PRIu64 "%s",
				  types[type].name, seq, gap, final ? ",\"final\":true" : "");
	else
		length = snprintf(out, FRAME_HEAD_SIZE, "{\"type\":\"%s\"", types[type].name);
	return (size_t)length;
}

static void source_write(struct body *out, const struct frame_source *source)
{
	const struct shmbus_snapshot *snapshot = &source->document->snapshot;

	PUT(out, ",\"bus\":");
	text_write(out, source->bus);
	PUT(out, ",\"time_unix_ns\":");
	body_u64(out, snapshot->time_unix_ns);
	PUT(out, ",\"interval_ns\":");
	body_u64(out, snapshot->interval_ns);
	PUT(out, ",\"state\":");
	text_write(out, source->state);
	PUT(out, ",\"age_ns\":");
	body_u64(out, source->age_ns);
}

void frame_bus_write(struct body *out, const struct frame_source *source)
{
	const msgpack_object *root = &source->document->root;
	const msgpack_object *agent = member(root, "agent");

	source_write(out, source);
	if (agent != NULL) {
		PUT(out, ",\"agent\":");
		map_write(out, agent, "rejects");
	}
	totals_write(out, member(root, "totals"));
	sessions_write(out, root);
	if (source->health != NULL && source->health->size != 0) {
		PUT(out, ",\"health\":");
		body_bytes(out, source->health->data, source->health->size);
	}
	PUT(out, "}");
}

void frame_session_write(struct body *out, const struct frame_source *source,
			 const msgpack_object *session)
{
	source_write(out, source);
	PUT(out, ",\"session\":");
	body_json_value(out, session);
	PUT(out, "}");
}

void frame_status_write(struct body *out, const char *state, uint64_t age_ns, const char *error)
{
	PUT(out, ",\"state\":");
	text_write(out, state);
	PUT(out, ",\"age_ns\":");
	body_u64(out, age_ns);
	PUT(out, ",\"error\":");
	text_write(out, error);
	PUT(out, "}");
}

void frame_reason_write(struct body *out, const char *reason)
{
	PUT(out, ",\"reason\":");
	text_write(out, reason);
	PUT(out, "}");
}
