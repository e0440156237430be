/* SPDX-License-Identifier: MIT */
/* expose_metrics.c - a family for each metric of the programs, and for each derived value. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expose_walk.h"

/* ---- families and points ---- */

void walk_family(struct walk *walk, const struct family *family)
{
	walk->family = family;
	walk->begun = false;
}

void walk_point(struct walk *walk, const struct point *point)
{
	if (!walk->begun)
		walk->writer->family(walk->writer, walk->family);
	walk->begun = true;
	walk->writer->point(walk->writer, point);
}

void walk_real(struct walk *walk, const struct labels *labels, double value)
{
	if (isfinite(value))
		walk_point(walk, &(struct point){.labels = labels, .value = value});
}

void walk_number(struct walk *walk, const struct labels *labels, uint64_t value)
{
	walk_point(walk, &(struct point){.labels = labels,
					 .value = (double)value,
					 .whole = true,
					 .number = value});
}

double walk_scaled(const msgpack_object *map, const char *key, double factor)
{
	const msgpack_object *value = member(map, key);
	long double parts = roundl(1 / (long double)factor);

	/* A long double holds 64 bits, so there is one rounding. */
	if (value != NULL && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
	    (double)(1 / parts) == factor)
		return (double)((long double)value->via.u64 / parts);
	return unit_scale(member_real(map, key, NAN), factor);
}

void labels_add(struct labels *labels, const char *name, const char *value)
{
	if (value[0] != '\0' && labels->count < LABELS_MAX)
		labels->list[labels->count++] = (struct label){name, value};
}

void labels_holder(struct labels *labels, const struct holder *holder)
{
	labels_add(labels, "session", holder->session);
	labels_add(labels, "service", holder->service);
	labels_add(labels, "incarnation", holder->incarnation);
}

/* ---- timers ---- */

/* The largest sample, where the snapshot says who it was: that of a target is, that of a period
 * may be a response time, which is longer. */
static void exemplar_of(const msgpack_object *metric, struct exemplar *out)
{
	static const char *const holders[] = {"target", "period"};
	double max = member_real(metric, "max", NAN);

	for (size_t i = 0; i < sizeof holders / sizeof holders[0]; i++) {
		const msgpack_object *worst = member(member(metric, holders[i]), "worst");
		uint64_t id = member_u64(worst, "correlation_id", 0);

		if (id == 0 || member_real(worst, "value", NAN) != max)
			continue;
		out->value = member_u64(worst, "value", 0);
		out->time_unix_ns = member_u64(worst, "time_unix_ns", 0);
		snprintf(out->correlation_id, sizeof out->correlation_id, "%llu",
			 (unsigned long long)id);
		return;
	}
}

static void timer_point(struct walk *walk, const struct labels *labels,
			const msgpack_object *metric, double factor)
{
	struct histogram_point histogram = {.sum = 0};
	int error = buckets_load(&histogram.buckets, metric);

	if (error == -ENODATA) {
		histogram.buckets = (struct buckets){.schema = 5};
	} else if (error == 0) {
		double sum = walk_scaled(metric, "sum", factor);

		histogram.sum = isfinite(sum) ? sum : 0;
		exemplar_of(metric, &histogram.exemplar);
	} else {
		walk->failed |= error == -ENOMEM;
		return;
	}
	walk_point(walk, &(struct point){.labels = labels, .histogram = &histogram});
	buckets_free(&histogram.buckets);
}

/* ---- other kinds ---- */

static void number_point(struct walk *walk, const struct labels *labels,
			 const msgpack_object *metric, const struct named *named)
{
	const msgpack_object *value = member(metric, "value");

	if (value == NULL)
		return;
	if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && named->unit.factor == 1)
		walk_number(walk, labels, value->via.u64);
	else if (named->kind != METRIC_COUNTER || value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		walk_real(walk, labels, walk_scaled(metric, "value", named->unit.factor));
}

/* Of a session: which of its states it is in. */
static void states_points(struct walk *walk, const struct labels *base,
			  const msgpack_object *metric)
{
	const msgpack_object *states = NULL;
	size_t count = member_array(metric, "states", &states);
	char value[80], names[SHMBUS_STATES_MAX][80];

	member_text(metric, "value", value, sizeof value);
	for (size_t i = 0; i < count && i < SHMBUS_STATES_MAX; i++) {
		struct labels labels = *base;
		bool known = states[i].type == MSGPACK_OBJECT_STR;

		text_clean(known ? states[i].via.str.ptr : "", known ? states[i].via.str.size : 0,
			   names[i], sizeof names[i]);
		for (size_t j = 0; j < i; j++)
			known &= strcmp(names[j], names[i]) != 0;
		labels_add(&labels, walk->family->name, names[i]);
		if (known && names[i][0] != '\0')
			walk_number(walk, &labels, strcmp(names[i], value) == 0);
	}
}

/* Of the bus: how many sessions are in each. */
static void states_counts(struct walk *walk, const struct labels *base,
			  const msgpack_object *metric)
{
	const msgpack_object *states = member(metric, "states");
	char names[SHMBUS_STATES_MAX][80];

	if (states == NULL || states->type != MSGPACK_OBJECT_MAP)
		return;
	for (uint32_t i = 0; i < states->via.map.size && i < SHMBUS_STATES_MAX; i++) {
		const msgpack_object_kv *pair = &states->via.map.ptr[i];
		struct labels labels = *base;
		bool known = pair->key.type == MSGPACK_OBJECT_STR &&
			     pair->val.type == MSGPACK_OBJECT_POSITIVE_INTEGER;

		text_clean(known ? pair->key.via.str.ptr : "", known ? pair->key.via.str.size : 0,
			   names[i], sizeof names[i]);
		for (uint32_t j = 0; j < i; j++)
			known &= strcmp(names[j], names[i]) != 0;
		labels_add(&labels, "state", names[i]);
		if (known && names[i][0] != '\0')
			walk_number(walk, &labels, pair->val.via.u64);
	}
}

static void source_point(struct walk *walk, const struct source *source, const struct named *named)
{
	struct labels labels = {.count = 0};
	char stage[40], text[80];

	labels_holder(&labels, &walk->holders[source->holder]);
	labels_add(&labels, "stage", member_text(source->metric, "stage", stage, sizeof stage));
	switch (named->kind) {
	case METRIC_TIMER:
		timer_point(walk, &labels, source->metric, named->unit.factor);
		break;
	case METRIC_STATESET:
		if (walk->options->sessions)
			states_points(walk, &labels, source->metric);
		else
			states_counts(walk, &labels, source->metric);
		break;
	case METRIC_INFO:
		labels_add(&labels, "value",
			   member_text(source->metric, "value", text, sizeof text));
		walk_number(walk, &labels, 1);
		break;
	default:
		number_point(walk, &labels, source->metric, named);
	}
}

/* ---- families ---- */

/* The derived values of the bus' sessions: the smallest, their mean and the largest. */
static void derived_points(struct walk *walk, const struct source *sources, uint32_t count)
{
	static const char *const names[] = {"min", "mean", "max"};
	double values[3] = {INFINITY, 0, -INFINITY};
	uint32_t known = 0;

	for (uint32_t i = 0; i < count; i++) {
		double value = member_real(sources[i].metric, "value", NAN);

		if (!isfinite(value))
			continue;
		values[0] = fmin(values[0], value);
		values[1] += value;
		values[2] = fmax(values[2], value);
		known++;
	}
	values[1] /= known;
	for (int i = 0; i < 3 && known != 0; i++) {
		struct labels labels = {.count = 0};

		labels_add(&labels, "of_sessions", names[i]);
		walk_real(walk, &labels, values[i]);
	}
}

static enum family_kind kind_of_family(const struct walk *walk, enum metric_kind kind)
{
	switch (kind) {
	case METRIC_TIMER:
		return FAMILY_HISTOGRAM;
	case METRIC_COUNTER:
		return FAMILY_COUNTER;
	case METRIC_STATESET:
		return walk->options->sessions ? FAMILY_STATESET : FAMILY_GAUGE;
	case METRIC_INFO:
		return FAMILY_INFO;
	default:
		return FAMILY_GAUGE;
	}
}

/* Its own sentence, or what can be said without one. */
static void help_of(const struct named *named, char *out, size_t size)
{
	char name[80];

	if (member_text(named->first, "help", out, size)[0] != '\0')
		return;
	member_text(named->first, "name", name, sizeof name);
	snprintf(out, size, named->kind == METRIC_DERIVED ? "Derived value %s." : "Metric %s.",
		 name);
}

static void metric_family(struct walk *walk, const struct source *sources, uint32_t count)
{
	const struct named *named = &walk->names.all[sources[0].family];
	bool sessions = walk->options->sessions;
	char help[160];
	struct family family = {
		.name = named->name,
		.kind = kind_of_family(walk, named->kind),
		.unit = named->unit.name,
		.help = help,
		.factor = named->unit.factor,
		.bounds = walk_bounds(walk, &named->unit),
	};

	help_of(named, help, sizeof help);
	walk_family(walk, &family);
	if (named->kind == METRIC_DERIVED && !sessions) {
		derived_points(walk, sources, count);
		return;
	}
	for (uint32_t i = 0; i < count && !walk->failed; i++)
		source_point(walk, &sources[i], named);
}

void walk_metrics(struct walk *walk)
{
	for (uint32_t i = 0, count; i < walk->source_count && !walk->failed; i += count) {
		for (count = 1; i + count < walk->source_count &&
				walk->sources[i + count].family == walk->sources[i].family;)
			count++;
		metric_family(walk, &walk->sources[i], count);
	}
}
