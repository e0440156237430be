/* SPDX-License-Identifier: MIT */
/* expose_json.c - the snapshot as JSON, with its keys, but for the buckets of histograms. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <shmbus/types.h>

#include "expose_model.h"

static void json_key(struct body *out, const char *name)
{
	body_bytes(out, ",", 1);
	body_json_text(out, name, strlen(name));
	body_bytes(out, ":", 1);
}

static void json_pair(struct body *out, const char *name, const char *text)
{
	json_key(out, name);
	body_json_text(out, text, strlen(text));
}

/* A member of a map, where it is there. */
static void json_copy(struct body *out, const msgpack_object *map, const char *name)
{
	const msgpack_object *value = member(map, name);

	if (value == NULL)
		return;
	json_key(out, name);
	body_json_value(out, value);
}

/* ---- what has metrics ---- */

static bool key_is(const msgpack_object *text, const char *name)
{
	return text->type == MSGPACK_OBJECT_STR && text->via.str.size == strlen(name) &&
	       memcmp(text->via.str.ptr, name, text->via.str.size) == 0;
}

typedef void (*json_writer)(struct body *out, const msgpack_object *value);

/* Any value; of a map `name` is written by `writer`, and left out where there is none. */
static void json_except(struct body *out, const msgpack_object *value, const char *name,
			json_writer writer)
{
	bool first = true;

	if (value->type != MSGPACK_OBJECT_MAP) {
		body_json_value(out, value);
		return;
	}
	body_bytes(out, "{", 1);
	for (uint32_t i = 0; i < value->via.map.size; i++) {
		const msgpack_object_kv *pair = &value->via.map.ptr[i];
		bool special = key_is(&pair->key, name);

		if (special && writer == NULL)
			continue;
		body_text(out, first ? "" : ",");
		first = false;
		if (pair->key.type == MSGPACK_OBJECT_STR)
			body_json_text(out, pair->key.via.str.ptr, pair->key.via.str.size);
		else
			body_text(out, "\"?\"");
		body_bytes(out, ":", 1);
		(special ? writer : body_json_value)(out, &pair->val);
	}
	body_bytes(out, "}", 1);
}

static void json_each(struct body *out, const msgpack_object *value, json_writer writer)
{
	if (value->type != MSGPACK_OBJECT_ARRAY) {
		body_json_value(out, value);
		return;
	}
	body_bytes(out, "[", 1);
	for (uint32_t i = 0; i < value->via.array.size; i++) {
		body_text(out, i != 0 ? "," : "");
		writer(out, &value->via.array.ptr[i]);
	}
	body_bytes(out, "]", 1);
}

static void json_metric(struct body *out, const msgpack_object *metric)
{
	json_except(out, metric, "histogram", NULL);
}

static void json_metrics(struct body *out, const msgpack_object *metrics)
{
	json_each(out, metrics, json_metric);
}

static void json_holder(struct body *out, const msgpack_object *holder)
{
	json_except(out, holder, "metrics", json_metrics);
}

/* ---- all of it ---- */

static void json_timestamp(struct body *out, const msgpack_object *root)
{
	uint64_t ns = member_u64(root, "time_unix_ns", 0);
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm utc;
	char text[40];

	if (ns == 0)
		seconds = time(NULL);
	if (gmtime_r(&seconds, &utc) == NULL ||
	    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
		return;
	json_key(out, "timestamp");
	body_printf(out, "\"%s.%03uZ\"", text, (unsigned int)(ns % 1000000000u / 1000000u));
}

static void json_snapshot(struct body *out, const msgpack_object *root, bool sessions)
{
	static const char *const keys[] = {"schema", "seq", "time_unix_ns", "interval_ns", "agent"};
	const msgpack_object *value = member(root, "totals");

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		json_copy(out, root, keys[i]);
	if (value != NULL) {
		json_key(out, "totals");
		json_holder(out, value);
	}
	value = sessions ? member(root, "sessions") : NULL;
	if (value != NULL) {
		json_key(out, "sessions");
		json_each(out, value, json_holder);
	}
}

void expose_json(struct body *out, const struct exposition *exposition,
		 const struct expose_options *options)
{
	bool live = exposition->state == FEED_LIVE && exposition->document != NULL;

	body_text(out, "{\"service\":\"shmbus-gateway\"");
	json_pair(out, "version", SHMBUS_VERSION_STRING);
	json_timestamp(out, live ? &exposition->document->root : NULL);
	json_pair(out, "bus", exposition->bus);
	json_pair(out, "state", feed_state_name(exposition->state));
	if (live)
		json_snapshot(out, &exposition->document->root, options->sessions);
	body_text(out, "}\n");
}
