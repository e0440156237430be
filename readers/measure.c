/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "measure.h"
#include "find.h"

struct measuring {
	const struct rule *rule;
	measure_take take;
	void *data;
	size_t count;
	bool *mismatch;
};

/* ---- classes ---- */

/* Whether the words of a text, each of letters and digits, have these in a row. */
static bool has_words(const char *text, const char *words)
{
	char flat[160] = "_", wanted[40];
	size_t used = 1;

	for (; *text != '\0' && used < sizeof flat - 2; text++)
		flat[used++] = strchr("_.-/: ", *text) != NULL ? '_' : *text;
	flat[used++] = '_';
	flat[used] = '\0';
	snprintf(wanted, sizeof wanted, "_%s_", words);
	return strcasestr(flat, wanted) != NULL;
}

enum metric_class metric_classify(const char *stage, const char *name, bool periodic)
{
	static const struct {
		const char *words;
		enum metric_class class;
	} classes[] = {
		{"e2e", CLASS_E2E},       {"endtoend", CLASS_E2E},    {"end_to_end", CLASS_E2E},
		{"jitter", CLASS_TIMING}, {"timing", CLASS_TIMING},   {"drift", CLASS_TIMING},
		{"skew", CLASS_TIMING},   {"latency", CLASS_LATENCY},
	};

	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
		if (classes[i].class == CLASS_LATENCY && periodic)
			return CLASS_TIMING;
		if (has_words(stage, classes[i].words) || has_words(name, classes[i].words))
			return classes[i].class;
	}
	return CLASS_NONE;
}

/* Whether this is NAME.wait of a periodic NAME. */
static bool is_cycle_wait(const msgpack_object *holder, const char *name)
{
	size_t length = strlen(name);
	char base[80];

	if (length < 6 || length >= sizeof base || strcmp(name + length - 5, ".wait") != 0)
		return false;
	memcpy(base, name, length - 5);
	base[length - 5] = '\0';
	return member(metric_find(holder, base), "period") != NULL;
}

static bool class_fits(const char *wanted, const msgpack_object *holder,
		       const msgpack_object *metric, const char *name)
{
	char stage[80];
	enum metric_class class;

	if (!metric_is_timer(metric))
		return false;
	member_text(metric, "stage", stage, sizeof stage);
	class = metric_classify(stage, name, is_cycle_wait(holder, name));
	return (class == CLASS_E2E && strcmp(wanted, "@e2e") == 0) ||
	       (class == CLASS_TIMING && strcmp(wanted, "@timing") == 0) ||
	       (class == CLASS_LATENCY && strcmp(wanted, "@latency") == 0);
}

/* ---- values ---- */

static void tell(struct measuring *measuring, struct measured *measured)
{
	if (isnan(measured->value))
		return;
	measuring->count++;
	measuring->take(measured, measuring->data);
}

/* Brings value and limit into one unit; false: the limit's does not fit. */
static bool adapt(const struct rule *rule, const char *unit, struct measured *measured)
{
	double ns = format_unit_ns(unit);

	measured->limit = rule->limit;
	if (ns != 0 && (rule->limit_dimension == DIMENSION_TIME || rule->limit == 0 ||
			rule->limit_dimension == DIMENSION_COUNT)) {
		measured->dimension = DIMENSION_TIME;
		measured->value *= ns;
		if (rule->limit_dimension == DIMENSION_COUNT) /* in the metric's own unit */
			measured->limit *= ns;
		return true;
	}
	if (strcmp(unit, "By") == 0 && (rule->limit_dimension == DIMENSION_BYTES ||
					rule->limit_dimension == DIMENSION_COUNT)) {
		measured->dimension = DIMENSION_BYTES;
		return true;
	}
	measured->dimension =
		rule->limit_dimension == DIMENSION_RATIO ? DIMENSION_RATIO : DIMENSION_COUNT;
	return rule->limit_dimension == DIMENSION_COUNT ||
	       (rule->limit_dimension == DIMENSION_RATIO && strcmp(unit, "1") == 0);
}

static const msgpack_object *part_of(const struct rule *rule, const msgpack_object *metric)
{
	if (rule->slice != NULL && strcmp(rule->slice, "window") == 0)
		return member(metric, "window");
	if (rule->slice != NULL)
		return member(member(metric, "windows"), rule->slice);
	return rule->stat->map != NULL ? member(metric, rule->stat->map) : metric;
}

static void measure_metric(struct measuring *measuring, const char *who, const char *name,
			   const msgpack_object *metric, bool derived)
{
	const struct rule *rule = measuring->rule;
	const char *key = rule->slice != NULL ? rule->stat->name : rule->stat->key;
	struct measured measured = {.dimension = rule->stat->dimension, .limit = rule->limit};
	char unit[24], kind[16];

	member_text(metric, "unit", unit, sizeof unit);
	member_text(metric, "kind", kind, sizeof kind);
	measured.value = member_real(part_of(rule, metric), key, NAN);
	if (isnan(measured.value))
		return;
	measured.grows = (rule->stat->grows && rule->slice == NULL) || strcmp(kind, "counter") == 0;
	measured.negative = strcmp(rule->stat->name, "value") == 0 && !measured.grows;
	if (measured.dimension == DIMENSION_UNIT && !adapt(rule, derived ? "1" : unit, &measured)) {
		*measuring->mismatch = true;
		return;
	}
	snprintf(measured.label, sizeof measured.label, "%s:%s.%s%s%s", who, name,
		 rule->slice != NULL ? rule->slice : "", rule->slice != NULL ? "." : "",
		 rule->stat->name);
	tell(measuring, &measured);
}

static void measure_metrics(struct measuring *measuring, const char *who,
			    const msgpack_object *holder)
{
	const char *wanted = measuring->rule->metric;
	const msgpack_object *metrics = NULL;
	size_t count = member_array(holder, "metrics", &metrics);
	char name[80];

	for (size_t i = 0; i < count; i++) {
		member_text(&metrics[i], "name", name, sizeof name);
		if (wanted[0] == '@' ? class_fits(wanted, holder, &metrics[i], name)
				     : fnmatch(wanted, name, 0) == 0)
			measure_metric(measuring, who, name, &metrics[i], false);
	}
	if (wanted[0] == '@')
		return;
	count = member_array(holder, "derived", &metrics);
	for (size_t i = 0; i < count; i++)
		if (fnmatch(wanted, member_text(&metrics[i], "name", name, sizeof name), 0) == 0)
			measure_metric(measuring, who, name, &metrics[i], true);
}

/* ---- quantities ---- */

static double missed_targets(const msgpack_object *session)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	double missed = 0;

	for (size_t i = 0; i < count; i++)
		missed += member_bool(member(&metrics[i], "target"), "met") == 0;
	return missed;
}

static double quantity_value(const struct quantity_name *quantity, const msgpack_object *holder)
{
	const msgpack_object *map = quantity->map != NULL ? member(holder, quantity->map) : holder;

	if (quantity->key != NULL)
		return member_real(map, quantity->key, NAN);
	if (strcmp(quantity->name, "targets") == 0)
		return missed_targets(holder);
	map = member(holder, "memory");
	return member_real(map, "shm_bytes", NAN) + member_real(map, "agent_bytes", 0);
}

static void tell_quantity(struct measuring *measuring, const char *who, double value)
{
	const struct quantity_name *quantity = measuring->rule->quantity;
	struct measured measured = {.value = value,
				    .limit = measuring->rule->limit,
				    .dimension = quantity->dimension,
				    .grows = quantity->grows};

	snprintf(measured.label, sizeof measured.label, "%s:@%s", who, quantity->name);
	tell(measuring, &measured);
}

static bool is_count_of_sessions(const struct quantity_name *quantity)
{
	return quantity != NULL && quantity->key == NULL && quantity->scope == SCOPE_SESSIONS &&
	       strcmp(quantity->name, "memory") != 0 && strcmp(quantity->name, "targets") != 0;
}

/* ---- sessions ---- */

static bool is_live(const char *state)
{
	return strcmp(state, "running") == 0 || strcmp(state, "stale") == 0;
}

static bool state_counts(const char *wanted, const char *state)
{
	return strcmp(wanted, "sessions") == 0 ? is_live(state) : strcmp(wanted, state) == 0;
}

static void measure_sessions(struct measuring *measuring, const msgpack_object *root)
{
	const struct rule *rule = measuring->rule;
	bool counting = is_count_of_sessions(rule->quantity);
	const msgpack_object *sessions = NULL;
	size_t count = member_array(root, "sessions", &sessions);
	char service[80], id[80], state[16], who[168];
	double counted = 0;

	for (size_t i = 0; i < count; i++) {
		member_text(&sessions[i], "service", service, sizeof service);
		member_text(&sessions[i], "id", id, sizeof id);
		member_text(&sessions[i], "state", state, sizeof state);
		if (fnmatch(rule->service, service, 0) != 0 || fnmatch(rule->session, id, 0) != 0)
			continue;
		snprintf(who, sizeof who, "%s/%s", service, id);
		if (counting)
			counted += state_counts(rule->quantity->name, state);
		else if (is_live(state) && rule->quantity != NULL)
			tell_quantity(measuring, who, quantity_value(rule->quantity, &sessions[i]));
		else if (is_live(state))
			measure_metrics(measuring, who, &sessions[i]);
	}
	if (!counting)
		return;
	snprintf(who, sizeof who, "%s/%s", rule->service, rule->session);
	tell_quantity(measuring, who, counted);
}

size_t measure(const struct rule *rule, const struct document *document, measure_take take,
	       void *data, bool *mismatch)
{
	struct measuring measuring = {rule, take, data, 0, mismatch};
	const struct quantity_name *quantity = rule->quantity;

	*mismatch = false;
	if (rule->scope == SCOPE_SESSIONS)
		measure_sessions(&measuring, &document->root);
	else if (rule->scope == SCOPE_TOTALS)
		measure_metrics(&measuring, "totals", member(&document->root, "totals"));
	else
		tell_quantity(&measuring, "agent",
			      quantity->key != NULL ? member_real(member(&document->root, "agent"),
								  quantity->key, NAN)
						    : (double)document->snapshot.age_ns);
	return measuring.count;
}
