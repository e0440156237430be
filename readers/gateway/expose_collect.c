/* SPDX-License-Identifier: MIT */
/*
 * expose_collect.c - which sessions and metrics are shown. There are as many series as the options
 * allow: a session, or a metric of the totals, is shown whole or not at all, and what is left out
 * is counted.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expose_walk.h"

/* Series of a session beside its metrics, and of a writer. */
#define SESSION_SERIES 15u
#define WRITER_SERIES 3u
#define TARGET_SERIES 4u
#define PERIOD_SERIES 6u
#define DERIVED_SERIES 3u

/* ---- bounds ---- */

#define TIME_MIN_S 1e-6
#define TIME_MAX_S 64.0
#define OTHER_LAST 32

struct bounds walk_bounds(const struct walk *walk, const struct unit *unit)
{
	struct bounds bounds = {0, OTHER_LAST, 2};

	if (unit->time) {
		int last = (int)ceil(log2(TIME_MAX_S / unit->factor));

		bounds.first = (int)ceil(log2(TIME_MIN_S / unit->factor));
		bounds.first = bounds.first > 0 ? bounds.first : 0;
		bounds.last = last > bounds.first ? last : bounds.first;
		bounds.step = walk->options->sessions ? 2 : 1;
	}
	bounds.last -= (bounds.last - bounds.first) % bounds.step;
	return bounds;
}

/* ---- how many series ---- */

static uint64_t metric_series(const struct walk *walk, const msgpack_object *metric,
			      enum metric_kind kind)
{
	uint64_t series = 1;

	if (kind == METRIC_STATESET) {
		const msgpack_object *states = member(metric, "states");

		if (states != NULL && states->type == MSGPACK_OBJECT_ARRAY)
			return states->via.array.size;
		return states != NULL && states->type == MSGPACK_OBJECT_MAP ? states->via.map.size
									    : 1;
	}
	if (kind != METRIC_TIMER)
		return series;
	series++; /* its samples, by name */
	if (walk->writer->classic) {
		char ucum[32];
		struct unit unit;
		struct bounds bounds;

		unit_of(member_text(metric, "unit", ucum, sizeof ucum), &unit);
		bounds = walk_bounds(walk, &unit);
		series += bounds_count(&bounds) + 2; /* +Inf, sum and count */
	}
	series += member(metric, "target") != NULL ? TARGET_SERIES : 0;
	series += member(metric, "period") != NULL ? PERIOD_SERIES : 0;
	return series;
}

static uint64_t session_series(const struct walk *walk, const msgpack_object *session)
{
	const msgpack_object *metrics = NULL, *others = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	uint64_t series = SESSION_SERIES;

	for (size_t i = 0; i < count; i++)
		series += metric_series(walk, &metrics[i], metric_kind_of(&metrics[i]));
	series += member_array(session, "derived", &others);
	return series + WRITER_SERIES * member_array(session, "writers", &others);
}

/* Whether so many more are allowed. Once they are not, they may still be for a smaller one. */
static bool allowed(struct walk *walk, uint64_t series)
{
	if (walk->series + series > walk->options->series_max) {
		walk->series_left_out += series;
		return false;
	}
	walk->series += series;
	return true;
}

/* ---- sources ---- */

static void source_add(struct walk *walk, const msgpack_object *metric, enum metric_kind kind,
		       uint32_t holder)
{
	uint32_t family =
		kind == METRIC_UNKNOWN ? TEXTS_NONE : names_of(&walk->names, metric, kind);

	if (family == TEXTS_NONE) {
		walk->failed |= kind != METRIC_UNKNOWN;
		return;
	}
	if (walk->names.all[family].holder == holder)
		return; /* no agent's: a holder has each metric once */
	if (walk->source_count == walk->source_capacity) {
		uint32_t capacity = walk->source_capacity == 0 ? 256 : walk->source_capacity * 2;
		struct source *sources = realloc(walk->sources, capacity * sizeof *sources);

		if (sources == NULL) {
			walk->failed = true;
			return;
		}
		walk->sources = sources;
		walk->source_capacity = capacity;
	}
	walk->names.all[family].holder = holder;
	walk->sources[walk->source_count++] = (struct source){metric, holder, family};
}

/* Stable, by family. */
static void sources_sort(struct walk *walk)
{
	uint32_t families = walk->names.keys.count;
	uint32_t *next = calloc((size_t)families + 1, sizeof *next);
	struct source *sorted = calloc((size_t)walk->source_count + 1, sizeof *sorted);

	if (next == NULL || sorted == NULL || walk->failed) {
		walk->failed = true;
		free(next);
		free(sorted);
		return;
	}
	for (uint32_t i = 0; i < walk->source_count; i++)
		next[walk->sources[i].family + 1]++;
	for (uint32_t i = 1; i <= families; i++)
		next[i] += next[i - 1];
	for (uint32_t i = 0; i < walk->source_count; i++)
		sorted[next[walk->sources[i].family]++] = walk->sources[i];
	free(next);
	free(walk->sources);
	walk->sources = sorted;
}

/* ---- the totals ---- */

static void collect_totals(struct walk *walk)
{
	const msgpack_object *totals = member(walk->root, "totals"), *metrics = NULL;
	size_t count = member_array(totals, "metrics", &metrics);

	walk->holders = calloc(1, sizeof *walk->holders);
	walk->failed |= walk->holders == NULL;
	if (walk->failed)
		return;
	walk->holders[0].map = totals;
	walk->holder_count = 1;
	for (size_t i = 0; i < count; i++) {
		enum metric_kind kind = metric_kind_of(&metrics[i]);

		if (allowed(walk, metric_series(walk, &metrics[i], kind)))
			source_add(walk, &metrics[i], kind, 0);
	}
}

/* ---- sessions ---- */

static void holder_fill(struct holder *holder, const msgpack_object *session)
{
	holder->map = session;
	member_text(session, "id", holder->session, sizeof holder->session);
	member_text(session, "service", holder->service, sizeof holder->service);
	snprintf(holder->incarnation, sizeof holder->incarnation, "%llu",
		 (unsigned long long)member_u64(session, "incarnation", 0));
}

static void collect_session(struct walk *walk, const msgpack_object *session, struct texts *seen)
{
	struct holder *holder = &walk->holders[walk->holder_count];
	const msgpack_object *list = NULL;
	char key[200];
	size_t count;
	bool added;

	holder_fill(holder, session);
	snprintf(key, sizeof key, "%s\n%s\n%s", holder->session, holder->service,
		 holder->incarnation);
	if (texts_add(seen, key, &added) == TEXTS_NONE)
		walk->failed = true;
	if (!added || !allowed(walk, session_series(walk, session))) {
		walk->sessions_left_out++;
		return;
	}
	count = member_array(session, "metrics", &list);
	for (size_t i = 0; i < count && !walk->failed; i++)
		source_add(walk, &list[i], metric_kind_of(&list[i]), walk->holder_count);
	count = member_array(session, "derived", &list);
	for (size_t i = 0; i < count && !walk->failed; i++)
		source_add(walk, &list[i], METRIC_DERIVED, walk->holder_count);
	walk->holder_count++;
}

static bool session_over(const msgpack_object *session)
{
	char state[16];

	member_text(session, "state", state, sizeof state);
	return strcmp(state, "ended") == 0 || strcmp(state, "lost") == 0;
}

/* Those that are over come last: they are the first to be left out. */
static void collect_sessions(struct walk *walk)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(walk->root, "sessions", &sessions);
	struct texts seen = {0};

	walk->holders = calloc(count + 1, sizeof *walk->holders);
	walk->failed |= walk->holders == NULL;
	for (int over = 0; over < 2; over++)
		for (size_t i = 0; i < count && !walk->failed; i++)
			if (session_over(&sessions[i]) == over)
				collect_session(walk, &sessions[i], &seen);
	texts_free(&seen);
}

/* Families are called the same whether sessions are shown or not: the totals name them first. */
static void name_totals(struct walk *walk)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(member(walk->root, "totals"), "metrics", &metrics);

	for (size_t i = 0; i < count && i < walk->options->series_max && !walk->failed; i++) {
		enum metric_kind kind = metric_kind_of(&metrics[i]);

		if (kind != METRIC_UNKNOWN)
			walk->failed |= names_of(&walk->names, &metrics[i], kind) == TEXTS_NONE;
	}
}

/* Derived values are of sessions: of the bus, the smallest, the largest and the mean of those of
 * the sessions that are alive. */
static void collect_derived(struct walk *walk)
{
	const msgpack_object *sessions = NULL, *derived = NULL;
	size_t count = member_array(walk->root, "sessions", &sessions);

	for (size_t i = 0; i < count; i++) {
		size_t values = session_over(&sessions[i])
					? 0
					: member_array(&sessions[i], "derived", &derived);

		for (size_t j = 0; j < values && !walk->failed; j++) {
			uint32_t families = walk->names.keys.count;

			if (walk->series + DERIVED_SERIES > walk->options->series_max)
				return;
			source_add(walk, &derived[j], METRIC_DERIVED, (uint32_t)i + 1);
			if (walk->names.keys.count != families)
				walk->series += DERIVED_SERIES;
		}
	}
}

void walk_collect(struct walk *walk)
{
	walk->names.merged = !walk->options->sessions;
	walk->failed |= !walk_reserve(&walk->names);
	if (walk->root == NULL || walk->failed)
		return;
	name_totals(walk);
	if (walk->options->sessions) {
		collect_sessions(walk);
	} else {
		collect_totals(walk);
		collect_derived(walk);
	}
	sources_sort(walk);
}

void walk_free(struct walk *walk)
{
	names_free(&walk->names);
	free(walk->holders);
	free(walk->sources);
}
