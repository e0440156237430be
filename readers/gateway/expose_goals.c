/* SPDX-License-Identifier: MIT */
/* expose_goals.c - of all timers: samples, what they shall reach, and how they do. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expose_walk.h"
#include "find.h"

/* What a goal's family takes out of a metric. */
typedef void (*goal_point)(struct walk *walk, const struct source *source,
			   const struct labels *labels);

static const msgpack_object *target_of(const struct source *source)
{
	return member(source->metric, "target");
}

static const msgpack_object *period_of(const struct source *source)
{
	return member(source->metric, "period");
}

/* A counter of a map, where it is there. */
static void counter_of(struct walk *walk, const struct labels *labels, const msgpack_object *map,
		       const char *key)
{
	const msgpack_object *value = member(map, key);

	if (value != NULL && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		walk_number(walk, labels, value->via.u64);
}

static void timer_samples(struct walk *walk, const struct source *source,
			  const struct labels *labels)
{
	counter_of(walk, labels, source->metric, "count");
}

static void target_violations(struct walk *walk, const struct source *source,
			      const struct labels *labels)
{
	counter_of(walk, labels, target_of(source), "violations");
}

static void target_met(struct walk *walk, const struct source *source, const struct labels *labels)
{
	int met = member_bool(target_of(source), "met");

	if (met >= 0)
		walk_number(walk, labels, (uint64_t)met);
}

static void target_limit(struct walk *walk, const struct source *source,
			 const struct labels *labels)
{
	double factor = walk->names.all[source->family].unit.factor;

	walk_real(walk, labels, walk_scaled(target_of(source), "value", factor));
}

static void target_quantile(struct walk *walk, const struct source *source,
			    const struct labels *labels)
{
	walk_real(walk, labels, member_real(target_of(source), "quantile", NAN));
}

static void deadline_misses(struct walk *walk, const struct source *source,
			    const struct labels *labels)
{
	counter_of(walk, labels, period_of(source), "misses");
}

static void deadline_run(struct walk *walk, const struct source *source,
			 const struct labels *labels)
{
	counter_of(walk, labels, period_of(source), "miss_run_max");
}

static void period_length(struct walk *walk, const struct source *source,
			  const struct labels *labels)
{
	walk_real(walk, labels, walk_scaled(period_of(source), "period_ns", 1e-9));
}

static void period_busy(struct walk *walk, const struct source *source, const struct labels *labels)
{
	walk_real(walk, labels, member_real(period_of(source), "busy_ratio", NAN));
}

static void period_wait(struct walk *walk, const struct source *source, const struct labels *labels)
{
	walk_real(walk, labels, member_real(period_of(source), "wait_ratio", NAN));
}

/* The totals have those of a cycle NAME in a counter NAME.xruns. */
static void period_xruns(struct walk *walk, const struct source *source,
			 const struct labels *labels)
{
	char name[80], counter[96];
	const msgpack_object *metric;

	if (period_of(source) == NULL)
		return;
	if (walk->options->sessions) {
		counter_of(walk, labels, period_of(source), "xruns");
		return;
	}
	member_text(source->metric, "name", name, sizeof name);
	snprintf(counter, sizeof counter, "%s.xruns", name);
	metric = metric_find(walk->holders[source->holder].map, counter);
	if (metric != NULL && metric_kind_of(metric) == METRIC_COUNTER)
		counter_of(walk, labels, metric, "value");
}

/* Families of any timer: a label says which. It is the name of the timer's own family without the
 * prefix that all have, so that no two have the same. */
static void goal_family(struct walk *walk, enum own_family family, goal_point point)
{
	walk_own_family(walk, family);
	for (uint32_t i = 0; i < walk->source_count; i++) {
		const struct source *source = &walk->sources[i];
		const struct named *named = &walk->names.all[source->family];
		struct labels labels = {.count = 0};
		char stage[40];

		if (named->kind != METRIC_TIMER)
			continue;
		labels_holder(&labels, &walk->holders[source->holder]);
		labels_add(&labels, "metric", named->name + strlen(NAMES_PREFIX));
		labels_add(&labels, "stage",
			   member_text(source->metric, "stage", stage, sizeof stage));
		point(walk, source, &labels);
	}
}

void walk_goals(struct walk *walk)
{
	static const struct {
		enum own_family family;
		goal_point point;
	} goals[] = {
		{OWN_TIMER_SAMPLES, timer_samples},
		{OWN_TARGET_VIOLATIONS, target_violations},
		{OWN_TARGET_MET, target_met},
		{OWN_TARGET_LIMIT, target_limit},
		{OWN_TARGET_QUANTILE, target_quantile},
		{OWN_DEADLINE_MISSES, deadline_misses},
		{OWN_DEADLINE_RUN, deadline_run},
		{OWN_PERIOD, period_length},
		{OWN_BUSY, period_busy},
		{OWN_WAIT, period_wait},
		{OWN_XRUNS, period_xruns},
	};

	for (size_t i = 0; i < sizeof goals / sizeof goals[0] && !walk->failed; i++)
		goal_family(walk, goals[i].family, goals[i].point);
}
