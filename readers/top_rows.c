/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "top_rows.h"
#include "top_since.h"

const char *const top_states[TOP_STATES] = {"running", "stale", "lost", "ended"};
const char *const top_kind_titles[TOP_KINDS] = {"SESSION", "CYCLE", "TIMER", "VALUE", "WRITER"};

/* As in the document; a state set is called "states" where it must fit a slot. */
static const char *const metric_kinds[] = {"timer",    "counter", "updown", "gauge",
					   "stateset", "info",    "derived"};
enum { KIND_TIMER, KIND_COUNTER, KIND_STATES = 4, KIND_DERIVED = 6, KINDS };

/* What belongs together stands in one slot: B/Q and ERR of a session are those of its cycles. */
const struct top_column top_columns[TOP_KINDS][TOP_SLOTS] = {
	[TOP_SESSION] = {{"STATE", "state", TOP_STATE},
			 {"CPU", "cpu_ratio", TOP_PERCENT},
			 {"MEM", "rss_bytes", TOP_BYTES},
			 {"DROPS", "dropped", TOP_COUNT},
			 {"AGE", "age_ns", TOP_DURATION},
			 {"B/Q", "busy_ratio", TOP_PERCENT},
			 {"ERR", "errors", TOP_COUNT}},
	[TOP_CYCLE] = {{"QUANT", "quantum", TOP_COUNT},
		       {"RATE", "rate_hz", TOP_COUNT},
		       {"WAIT", "wait_ns", TOP_DURATION},
		       {"BUSY", "busy_ns", TOP_DURATION},
		       {"W/Q", "wait_ratio", TOP_PERCENT},
		       {"B/Q", "busy_ratio", TOP_PERCENT},
		       {"ERR", "errors", TOP_COUNT}},
	[TOP_TIMER] = {{"COUNT", "count", TOP_COUNT},
		       {"RATE", "rate", TOP_COUNT},
		       {"MEAN", "mean", TOP_UNIT},
		       {"P50", "p50", TOP_UNIT},
		       {"P99", "p99", TOP_UNIT},
		       {"MAX", "max", TOP_UNIT},
		       {"TARGET", "target_met", TOP_MET}},
	[TOP_VALUE] = {{"KIND", "kind", TOP_METRIC},
		       {"RATE", "rate", TOP_COUNT},
		       {"VALUE", "value", TOP_UNIT}},
	[TOP_WRITER] = {{"RING", "capacity", TOP_COUNT},
			{"USED", "used", TOP_COUNT},
			{"HIGH", "high_water", TOP_COUNT},
			{"DROPS", "dropped", TOP_COUNT},
			{"SAMPLES", "aggregated", TOP_COUNT}},
};

/* ---- texts ---- */

static const char *word(char out[FORMAT_SIZE], const char *const *words, int count, double index)
{
	bool known = index >= 0 && index < count;

	snprintf(out, FORMAT_SIZE, "%s", known ? words[(int)index] : "?");
	return out;
}

const char *top_slot_text(const struct top_row *row, int slot, char out[FORMAT_SIZE])
{
	enum top_format format = top_columns[row->kind][slot].format;
	double value = row->slots[slot];

	out[0] = '\0';
	if (format != TOP_NONE && isnan(value))
		return strcpy(out, "-");
	switch (format) {
	case TOP_COUNT:
		return format_count(out, value);
	case TOP_DURATION:
		return format_duration(out, value);
	case TOP_PERCENT:
		return format_percent(out, value);
	case TOP_BYTES:
		return format_bytes(out, value);
	case TOP_UNIT:
		return format_value(out, value, row->unit);
	case TOP_STATE:
		return word(out, top_states, TOP_STATES, value);
	case TOP_METRIC:
		return value == KIND_STATES ? strcpy(out, "states")
					    : word(out, metric_kinds, KINDS, value);
	case TOP_MET:
		return strcpy(out, value != 0 ? "met" : "MISSED");
	default:
		return out;
	}
}

bool top_filter_fits(const char *filter, const char *name)
{
	if (strpbrk(filter, "*?[") != NULL)
		return fnmatch(filter, name, FNM_CASEFOLD) == 0;
	return strcasestr(name, filter) != NULL;
}

/* ---- making rows ---- */

struct making {
	struct top_rows *rows;
	const struct document *document;
	const struct top_wanted *wanted;
	const msgpack_object *from, *before; /* the session in the other documents */
	size_t from_hint, before_hint;
	double seconds; /* since the document before */
	size_t session; /* the index of its row */
	bool all;       /* the filter took the session, and so all that is in it */
	bool failed;
};

static uint64_t hash_more(uint64_t hash, const char *text)
{
	for (; *text != '\0'; text++) /* FNV-1a */
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return (hash ^ 0xff) * 0x100000001b3u; /* no end of a text is the beginning of another */
}

static int index_of(const msgpack_object *map, const char *key, const char *const *words, int count)
{
	char text[16];

	member_text(map, key, text, sizeof text);
	for (int i = 0; i < count; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return -1;
}

static struct top_row *row_add(struct making *making, enum top_kind kind,
			       const msgpack_object *session, const msgpack_object *object)
{
	struct top_rows *rows = making->rows;
	struct top_row *row;

	if (rows->count == rows->capacity) {
		size_t capacity = rows->capacity == 0 ? 64 : rows->capacity * 2;

		row = realloc(rows->rows, capacity * sizeof *row);
		if (row == NULL) {
			making->failed = true;
			return NULL;
		}
		rows->rows = row;
		rows->capacity = capacity;
	}
	row = &rows->rows[rows->count++];
	memset(row, 0, sizeof *row);
	row->kind = kind;
	row->session = session;
	row->object = object;
	for (int i = 0; i < TOP_SLOTS; i++)
		row->slots[i] = NAN;
	row->total = row->samples = NAN;
	member_text(object, kind == TOP_SESSION ? "id" : "name", row->name, sizeof row->name);
	member_text(object, kind == TOP_SESSION ? "service" : "stage", row->note, sizeof row->note);
	if (kind != TOP_SESSION) {
		rows->rows[making->session].in_session++;
		row->key = hash_more(rows->rows[making->session].key + kind, row->name);
	}
	return row;
}

static void session_slots(struct making *making, struct top_row *row)
{
	const msgpack_object *session = row->session;
	int state = index_of(session, "state", top_states, TOP_STATES);

	row->slots[SLOT_STATE] = state;
	row->slots[1] = member_real(session, "cpu_ratio", NAN);
	row->slots[2] = member_real(member(session, "memory"), "process_rss_bytes", NAN);
	row->slots[SLOT_DROPS] = top_since(member_real(session, "dropped_total", 0),
					   member_real(making->from, "dropped_total", 0));
	row->slots[4] = member_real(session, "age_ns", NAN);
	row->total = member_real(session, "aggregated_total", NAN);
	if (state >= 0)
		making->rows->states[state]++;
	top_drops_add(&making->rows->drops, row->name, row->slots[SLOT_DROPS]);
	if (making->wanted->before != NULL)
		making->rows->drops.now +=
			top_since(member_real(session, "dropped_total", 0),
				  member_real(making->before, "dropped_total", 0));
	if (state == TOP_STALE)
		row->concern |= 1 << SLOT_STATE;
	if (state == TOP_LOST || state < 0)
		row->trouble |= 1 << SLOT_STATE;
	if (row->slots[SLOT_DROPS] > 0)
		row->trouble |= 1 << SLOT_DROPS;
}

/* A cycle too long is a miss and, where the driver tells, an xrun: it is one error. */
static double errors_of(const msgpack_object *metric)
{
	const msgpack_object *period = member(metric, "period");

	return fmax(member_real(period, "misses", 0), member_real(period, "xruns", 0));
}

/* The cycle's WAIT has its timer under <name>.wait. */
static const msgpack_object *wait_of(const msgpack_object *session, const char *name)
{
	char wanted[96];

	snprintf(wanted, sizeof wanted, "%s.wait", name);
	return top_named(session, "metrics", wanted);
}

static void cycle_slots(struct making *making, struct top_row *row)
{
	const msgpack_object *period = member(row->object, "period");
	const msgpack_object *from = top_metric_find(making->from, row->object);
	struct top_row *session = &making->rows->rows[making->session];

	row->slots[0] = member_real(period, "quantum", NAN);
	row->slots[1] = member_real(period, "rate_hz", NAN);
	row->slots[2] =
		member_real(member(wait_of(row->session, row->name), "window"), "mean", NAN);
	row->slots[3] = member_real(member(row->object, "window"), "mean", NAN);
	row->slots[4] = member_real(period, "wait_ratio", NAN);
	row->slots[SLOT_BUSY_RATIO] = member_real(period, "busy_ratio", NAN);
	row->slots[SLOT_ERRORS] = top_since(errors_of(row->object), errors_of(from));
	if (row->slots[SLOT_ERRORS] > 0)
		row->trouble |= 1 << SLOT_ERRORS;
	if (row->slots[SLOT_BUSY_RATIO] > 1)
		row->trouble |= 1 << SLOT_BUSY_RATIO;
	else if (row->slots[SLOT_BUSY_RATIO] > 0.8)
		row->concern |= 1 << SLOT_BUSY_RATIO;
	session->slots[SLOT_BUSY_RATIO] =
		fmax(session->slots[SLOT_BUSY_RATIO], row->slots[SLOT_BUSY_RATIO]);
	session->slots[SLOT_ERRORS] =
		fmax(session->slots[SLOT_ERRORS], 0) + row->slots[SLOT_ERRORS];
	session->trouble |= row->trouble;
	session->concern |= row->concern;
}

static void timer_slots(struct making *making, struct top_row *row)
{
	struct top_figures figures;

	top_figures_read(&figures, row->object, top_metric_find(making->from, row->object));
	row->slots[0] = figures.count;
	row->slots[1] = member_real(member(member(row->object, "windows"), "10s"), "rate", NAN);
	row->slots[2] = figures.mean;
	row->slots[3] = figures.p50;
	row->slots[4] = figures.p99;
	row->slots[5] = figures.max;
	row->slots[SLOT_TARGET] = figures.met < 0 ? NAN : figures.met;
	if (figures.met == 0) {
		row->trouble |= 1 << SLOT_TARGET;
		making->rows->missed++;
	}
}

static void value_slots(struct making *making, struct top_row *row)
{
	const msgpack_object *value = member(row->object, "value");
	int kind = index_of(row->object, "kind", metric_kinds, KINDS);
	double now = member_real(row->object, "value", NAN), from = 0;

	row->slots[0] = kind < 0 ? KIND_DERIVED : kind;
	row->slots[2] = now;
	if (value != NULL && value->type == MSGPACK_OBJECT_STR)
		member_text(row->object, "value", row->text, sizeof row->text);
	if (kind != KIND_COUNTER)
		return;
	from = member_real(top_metric_find(making->from, row->object), "value", 0);
	row->slots[2] = top_since(now, from);
	from = member_real(top_metric_find(making->before, row->object), "value", NAN);
	if (from <= now && making->seconds > 0)
		row->slots[1] = (now - from) / making->seconds;
}

static double drops_of(const msgpack_object *writer)
{
	const msgpack_object *dropped = member(writer, "dropped");

	return member_real(dropped, "full", 0) + member_real(dropped, "head", 0);
}

static void writer_slots(struct making *making, struct top_row *row)
{
	const msgpack_object *writer = row->object, *writers = NULL, *from = NULL;
	size_t count = member_array(making->from, "writers", &writers);
	uint64_t id = member_u64(writer, "id", 0);

	if (id < count) /* they are numbered in order */
		from = &writers[id];
	row->slots[0] = member_real(writer, "capacity", NAN);
	row->slots[1] = member_real(writer, "used", NAN);
	row->slots[2] = member_real(writer, "high_water", NAN);
	row->slots[SLOT_DROPS] = top_since(drops_of(writer), drops_of(from));
	row->slots[4] = top_since(member_real(writer, "aggregated", NAN),
				  member_real(from, "aggregated", 0));
	if (row->name[0] == '\0')
		snprintf(row->name, sizeof row->name, "#%.0f", member_real(writer, "id", 0));
	row->key += id;
	if (row->slots[SLOT_DROPS] > 0)
		row->trouble |= 1 << SLOT_DROPS;
	if (row->slots[2] > 0.9 * row->slots[0])
		row->concern |= 1 << 2;
}

static enum top_kind kind_of(const msgpack_object *metric)
{
	if (index_of(metric, "kind", metric_kinds, KINDS) != KIND_TIMER)
		return TOP_VALUE;
	return member(member(metric, "period"), "period_ns") != NULL ? TOP_CYCLE : TOP_TIMER;
}

static void object_add(struct making *making, enum top_kind kind, const msgpack_object *session,
		       const msgpack_object *object)
{
	struct top_row *row = row_add(making, kind, session, object);
	const msgpack_object *metric = object;

	if (row == NULL)
		return;
	member_text(metric, "unit", row->unit, sizeof row->unit);
	if (kind == TOP_CYCLE)
		cycle_slots(making, row);
	else if (kind == TOP_TIMER)
		timer_slots(making, row);
	else if (kind == TOP_VALUE)
		value_slots(making, row);
	else
		writer_slots(making, row);
	row->samples = member_real(metric, "count", NAN);
	row->total = member_real(metric, "sum", NAN);
}

/* A row whose figures its session needs is made even where it is not to be seen. */
static void settle(struct making *making, size_t index, bool seen)
{
	struct top_rows *rows = making->rows;

	if (index >= rows->count)
		return; /* it was not made */
	if (seen &&
	    (making->all || top_filter_fits(making->wanted->filter, rows->rows[index].name)))
		return;
	rows->count--;
	rows->rows[making->session].in_session--;
}

static void metrics_add(struct making *making, const msgpack_object *session, int open)
{
	const msgpack_object *elements = NULL;
	size_t count = member_array(session, "metrics", &elements);

	for (int kind = TOP_CYCLE; kind <= TOP_VALUE; kind++) {
		for (size_t i = 0; i < count; i++) {
			size_t index = making->rows->count;

			if ((int)kind_of(&elements[i]) != kind)
				continue;
			object_add(making, (enum top_kind)kind, session, &elements[i]);
			settle(making, index, open >= (kind == TOP_VALUE ? TOP_ALL : TOP_TIMERS));
		}
	}
	if (open < TOP_ALL)
		return;
	for (int writers = 0; writers < 2; writers++) {
		count = member_array(session, writers ? "writers" : "derived", &elements);
		for (size_t i = 0; i < count; i++) {
			size_t index = making->rows->count;

			object_add(making, writers ? TOP_WRITER : TOP_VALUE, session, &elements[i]);
			settle(making, index, true);
		}
	}
}

static void session_add(struct making *making, const msgpack_object *session)
{
	const struct top_wanted *wanted = making->wanted;
	struct top_rows *rows = making->rows;
	struct top_row *row;
	char segment[96];
	int open;

	making->from = top_session_find(wanted->baseline, session, &making->from_hint);
	making->before = top_session_find(wanted->before, session, &making->before_hint);
	making->session = rows->count;
	row = row_add(making, TOP_SESSION, session, session);
	if (row == NULL)
		return;
	member_text(session, "segment", segment, sizeof segment);
	row->key = hash_more(0xcbf29ce484222325u + member_u64(session, "incarnation", 0), segment);
	open = wanted->open_of == NULL ? wanted->open : wanted->open_of(wanted->data, row->key);
	row->open = (uint8_t)open;
	making->all = top_filter_fits(wanted->filter, row->name) ||
		      (row->note[0] != '\0' && top_filter_fits(wanted->filter, row->note));
	session_slots(making, row);
	/* What is looked for is found in closed sessions too. */
	metrics_add(making, session, making->all ? open : TOP_ALL);
	if (!making->all && rows->rows[making->session].in_session == 0) {
		rows->count = making->session;
		rows->filtered++;
	}
}

/* ---- order ---- */

struct order {
	size_t first, count; /* rows */
	size_t at;           /* as they came: what is equal stays in that order */
	const struct top_row *row;
};

static int compare(const void *left, const void *right, void *data)
{
	const struct top_wanted *wanted = data;
	const struct order *a = left, *b = right;
	int result = 0;

	if (wanted->sort == TOP_BY_NAME) {
		result = strcmp(a->row->name, b->row->name);
	} else {
		double x = a->row->slots[wanted->sort], y = b->row->slots[wanted->sort];

		/* What has no value comes last, whichever way. */
		if (isnan(x) || isnan(y))
			return isnan(x) != isnan(y) ? (isnan(x) ? 1 : -1)
						    : (a->at < b->at ? -1 : 1);
		/* States from the living to the dead, all else from the largest. */
		result = wanted->sort == TOP_BY_STATE ? (x > y) - (x < y) : (x < y) - (x > y);
	}
	if (result != 0)
		return wanted->reverse ? -result : result;
	return a->at < b->at ? -1 : 1;
}

static int sort(struct top_rows *rows, const struct top_wanted *wanted)
{
	struct order *order = malloc((rows->count + 1) * sizeof *order);
	struct top_row *sorted = malloc((rows->count + 1) * sizeof *sorted);
	size_t sessions = 0, done = 0;

	if (order == NULL || sorted == NULL) {
		free(order);
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < rows->count; i += order[sessions++].count)
		order[sessions] = (struct order){.first = i,
						 .count = rows->rows[i].in_session + 1,
						 .at = i,
						 .row = &rows->rows[i]};
	qsort_r(order, sessions, sizeof *order, compare, (void *)(uintptr_t)wanted);
	for (size_t s = 0; s < sessions; s++) {
		memcpy(&sorted[done], order[s].row, order[s].count * sizeof *sorted);
		done += order[s].count;
	}
	free(order);
	free(rows->rows);
	rows->rows = sorted;
	rows->capacity = rows->count + 1;
	return 0;
}

int top_rows_make(struct top_rows *rows, const struct document *document,
		  const struct top_wanted *wanted)
{
	struct making making = {.rows = rows, .document = document, .wanted = wanted};
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);

	rows->count = 0;
	rows->filtered = 0;
	rows->missed = 0;
	rows->drops = (struct top_drops){0};
	memset(rows->states, 0, sizeof rows->states);
	if (wanted->before != NULL)
		making.seconds = (member_real(&document->root, "time_unix_ns", NAN) -
				  member_real(&wanted->before->root, "time_unix_ns", NAN)) /
				 1e9;
	for (size_t i = 0; i < count && !making.failed; i++)
		session_add(&making, &sessions[i]);
	return making.failed ? -ENOMEM : sort(rows, wanted);
}

void top_rows_free(struct top_rows *rows)
{
	free(rows->rows);
	*rows = (struct top_rows){0};
}
