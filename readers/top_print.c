/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "options.h"
#include "text.h"
#include "top_print.h"

void top_print_text(const struct top_shown *shown, int columns)
{
	const struct top_rows *rows = shown->rows;
	char line[TOP_LINE_SIZE];
	struct top_header header;
	struct top_layout layout;

	top_header_make(&header, shown, columns);
	top_layout_make(&layout, columns, rows, false);
	for (int i = 0; i < header.count; i++)
		puts(header.lines[i].text);
	for (size_t i = 0; i < rows->count; i++) {
		const struct top_row *row = &rows->rows[i];

		if (i == 0 || (row->kind != TOP_SESSION && row[-1].kind != row->kind)) {
			top_heading_line(line, &layout, row->kind, shown->wanted->sort);
			puts(line);
		}
		top_row_line(line, &layout, row, "");
		puts(line);
	}
	if (rows->count == 0)
		puts(rows->filtered > 0 ? "nothing passes the filter" : "no session yet");
}

/* ---- JSON ---- */

/* What has no value is absent. */
static void set_number(json_t *object, const char *key, double value)
{
	if (!isfinite(value))
		return;
	if (value == floor(value) && fabs(value) < 9e15)
		json_object_set_new(object, key, json_integer((json_int_t)value));
	else
		json_object_set_new(object, key, json_real(value));
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_object_set_new(object, key, json_string(text));
}

static json_t *row_object(const struct top_row *row)
{
	json_t *object = json_object();
	char text[FORMAT_SIZE];

	set_text(object, row->kind == TOP_SESSION ? "id" : "name", row->name);
	set_text(object, row->kind == TOP_SESSION ? "service" : "stage", row->note);
	set_text(object, "unit", row->unit);
	for (int i = 0; i < TOP_SLOTS; i++) {
		const struct top_column *column = &top_columns[row->kind][i];

		if (column->format == TOP_NONE || isnan(row->slots[i]))
			continue;
		if (column->format == TOP_MET)
			json_object_set_new(object, column->key, json_boolean(row->slots[i] != 0));
		else if (column->format == TOP_STATE || column->format == TOP_METRIC)
			set_text(object, column->key, top_slot_text(row, i, text));
		else
			set_number(object, column->key, row->slots[i]);
	}
	set_text(object, "value", row->text);
	return object;
}

static json_t *sessions_array(const struct top_rows *rows)
{
	static const char *const arrays[TOP_KINDS] = {NULL, "cycles", "timers", "values",
						      "writers"};
	json_t *sessions = json_array(), *session = NULL, *array;

	for (size_t i = 0; i < rows->count; i++) {
		const struct top_row *row = &rows->rows[i];
		json_t *object = row_object(row);

		if (row->kind == TOP_SESSION) {
			session = object;
			for (int kind = 1; kind < TOP_KINDS; kind++)
				json_object_set_new(session, arrays[kind], json_array());
			json_array_append_new(sessions, session);
			continue;
		}
		array = json_object_get(session, arrays[row->kind]);
		json_array_append_new(array, object);
	}
	return sessions;
}

static json_t *header_object(const struct document *document)
{
	static const char *const agent_keys[] = {"cpu_ratio",  "rss_bytes",     "drain_lag_ns",
						 "publish_ns", "samples_total", "dropped_total"};
	static const char *const total_keys[] = {"sessions_total", "sessions_active",
						 "sessions_lost", "sessions_ended"};
	const msgpack_object *root = &document->root, *agent = member(root, "agent");
	json_t *object = json_object(), *part = json_object();

	for (size_t i = 0; i < sizeof agent_keys / sizeof agent_keys[0]; i++)
		set_number(part, agent_keys[i], member_real(agent, agent_keys[i], NAN));
	json_object_set_new(object, "agent", part);
	part = json_object();
	for (size_t i = 0; i < sizeof total_keys / sizeof total_keys[0]; i++)
		set_number(part, total_keys[i],
			   member_real(member(root, "totals"), total_keys[i], NAN));
	json_object_set_new(object, "totals", part);
	return object;
}

/* Jansson leaves DEL and C1 as they are, but none is in a text that was cleaned. */
void top_print_json(const struct top_shown *shown)
{
	const struct shmbus_snapshot *snapshot = &shown->document->snapshot;
	json_t *object = json_object();
	char *text;

	json_object_set_new(object, "bus", json_string(shown->bus));
	json_object_set_new(object, "seq", json_integer((json_int_t)snapshot->seq));
	json_object_set_new(object, "time_unix_ns",
			    json_integer((json_int_t)snapshot->time_unix_ns));
	json_object_set_new(object, "age_ns", json_integer((json_int_t)snapshot->age_ns));
	json_object_set_new(object, "agent_running", json_boolean(snapshot->agent_running));
	json_object_set_new(object, "stale", json_boolean(snapshot_stale(snapshot)));
	json_object_update_new(object, header_object(shown->document));
	json_object_set_new(object, "sessions", sessions_array(shown->rows));
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (text == NULL) {
		fputs("shmbus: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	puts(text);
	free(text);
}
