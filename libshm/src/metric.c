/* SPDX-License-Identifier: MIT */
/*
 * metric.c - metrics, cycles and derived values: the append-only tables of a session. An entry
 * is filled, then the count is raised with release, then `changes`.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

void shmbus__changed(struct shmbus_session *session)
{
	struct shmbus_header *header = session->header;
	uint32_t changes = atomic_load_explicit(&header->changes, memory_order_relaxed);

	/* R-change release: after the change it tells of; pairs with A-change in consumer.c.
	 * The session's lock makes this the only writer. */
	atomic_store_explicit(&header->changes, changes + 1, memory_order_release);
}

static uint64_t slot_initial(const struct shmbus_metric_entry *entry)
{
	if (entry->kind == SHMBUS_GAUGE)
		return entry->real ? SHMBUS_SLOT_ABSENT_REAL : SHMBUS_SLOT_ABSENT;
	return entry->kind == SHMBUS_STATESET ? SHMBUS_SLOT_ABSENT : 0;
}

void shmbus__slots_init(const struct shmbus_session *session, SHMBUS_ATOMIC(uint64_t) * slots)
{
	for (uint32_t i = 0; i < session->metric_count; i++)
		atomic_store_explicit(&slots[i], slot_initial(shmbus__metric_entry(session, i)),
				      memory_order_relaxed);
}

/* ---- metrics ---- */

static int states_check(const char *text)
{
	size_t states = 1;

	if (text == NULL || text[0] == '\0')
		return shmbus__fail(-EINVAL, "a state set needs its states: \"idle|busy|...\"");
	for (const char *c = text; *c != '\0'; c++) {
		if (*c != '|')
			continue;
		states++;
		if (c == text || c[1] == '|' || c[1] == '\0')
			return shmbus__fail(-EINVAL, "a state's name is empty in \"%s\"", text);
	}
	if (states > SHMBUS_STATES_MAX)
		return shmbus__fail(-EINVAL, "%zu states are too many: at most %u", states,
				    SHMBUS_STATES_MAX);
	return 0;
}

static int numbers_check(const struct shmbus_metric_options *options)
{
	if (options->kind < SHMBUS_TIMER || options->kind > SHMBUS_INFO)
		return shmbus__fail(-EINVAL,
				    "metric \"%s\": kind %d is not one of enum shmbus_kind",
				    options->name, (int)options->kind);
	if (options->merge > SHMBUS_MERGE_MEAN)
		return shmbus__fail(-EINVAL,
				    "metric \"%s\": merge %d is not one of enum shmbus_merge",
				    options->name, (int)options->merge);
	if (options->window > SHMBUS_WINDOW_MAX)
		return shmbus__fail(-EINVAL,
				    "metric \"%s\": a window of %u is too large: at most %u",
				    options->name, options->window, SHMBUS_WINDOW_MAX);
	if (!(options->target_quantile >= 0 && options->target_quantile < 1))
		return shmbus__fail(-EINVAL, "metric \"%s\": target_quantile must be in [0, 1)",
				    options->name);
	return 0;
}

static int metric_options_check(const struct shmbus_metric_options *options)
{
	int error = shmbus__name_check("metric", options->name, SHMBUS_NAME_SIZE);

	if (error == 0)
		error = numbers_check(options);
	if (error == 0)
		error = shmbus__text_check("help", options->help, SHMBUS_HELP_SIZE);
	if (error == 0)
		error = shmbus__text_check("unit", options->unit, SHMBUS_UNIT_SIZE);
	if (error == 0)
		error = shmbus__text_check("stage", options->stage, SHMBUS_STAGE_SIZE);
	if (error == 0)
		error = shmbus__text_check("text", options->text, SHMBUS_TEXT_SIZE);
	if (error == 0 && options->kind == SHMBUS_STATESET)
		error = states_check(options->text);
	return error;
}

static void text_set(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text != NULL ? text : "");
}

/* In millionths; neither 0, which says nothing, nor 1, which no sample could ever miss. */
static uint32_t quantile_ppm(double quantile)
{
	double ppm = (quantile != 0 ? quantile : 0.99) * 1000000.0 + 0.5;

	return ppm < 1 ? 1 : ppm >= 999999 ? 999999 : (uint32_t)ppm;
}

static void entry_fill(struct shmbus_metric_entry *entry,
		       const struct shmbus_metric_options *options)
{
	const char *unit = options->kind == SHMBUS_TIMER ? "ns" : "1";

	text_set(entry->name, sizeof entry->name, options->name);
	text_set(entry->unit, sizeof entry->unit, options->unit != NULL ? options->unit : unit);
	text_set(entry->stage, sizeof entry->stage, options->stage);
	text_set(entry->help, sizeof entry->help, options->help);
	text_set(entry->text, sizeof entry->text, options->text);
	entry->kind = (uint8_t)options->kind;
	entry->merge = (uint8_t)options->merge;
	entry->real = options->real && options->kind == SHMBUS_GAUGE;
	if (options->kind != SHMBUS_TIMER)
		return;
	entry->window = options->window;
	entry->target = options->target;
	entry->target_quantile_ppm =
		options->target != 0 ? quantile_ppm(options->target_quantile) : 0;
	entry->period_ns = options->period_ns;
}

/* The metric of a name, or -1. */
static int64_t metric_find(const struct shmbus_session *session, const char *name)
{
	for (uint32_t i = 0; i < session->metric_count; i++)
		if (strcmp(shmbus__metric_entry(session, i)->name, name) == 0)
			return i;
	return -1;
}

/* Appends a filled entry: under the session's lock. */
static void metric_append(struct shmbus_session *session, const struct shmbus_metric_entry *entry)
{
	struct shmbus_header *header = session->header;
	uint32_t number = session->metric_count;

	*shmbus__metric_entry(session, number) = *entry;
	for (uint32_t i = 0; i < session->writer_count; i++)
		atomic_store_explicit(&session->writers[i]->slots[number], slot_initial(entry),
				      memory_order_relaxed);
	session->metric_count = number + 1;
	/* R-metric release: publishes the entry; pairs with A-metric in consumer.c. */
	atomic_store_explicit(&header->metric_count, number + 1, memory_order_release);
	shmbus__changed(session);
}

static int metric_add(struct shmbus_session *session, const struct shmbus_metric_entry *entry,
		      shmbus_metric *out)
{
	int64_t found;
	int error = 0;

	pthread_mutex_lock(&session->lock);
	found = metric_find(session, entry->name);
	if (found >= 0) {
		if (shmbus__metric_entry(session, (uint32_t)found)->kind == entry->kind)
			*out = (shmbus_metric)found;
		else
			error = shmbus__fail(-EEXIST, "metric \"%s\" exists with another kind",
					     entry->name);
	} else if (session->metric_count == session->header->metrics_capacity) {
		error = shmbus__fail(-ENOSPC,
				     "no room for metric \"%s\": raise metrics_max, now %u",
				     entry->name, session->header->metrics_capacity);
	} else {
		*out = session->metric_count;
		metric_append(session, entry);
	}
	pthread_mutex_unlock(&session->lock);
	return error;
}

/* The handle whose samples are counted apart: the slot after the last metric's. */
static shmbus_metric metric_overflow(const struct shmbus_session *session)
{
	return session->header != NULL && !session->orphan ? session->header->metrics_capacity : 0;
}

int shmbus_metric_define(struct shmbus_session *session,
			 const struct shmbus_metric_options *options, shmbus_metric *out)
{
	struct shmbus_metric_entry entry = {0};
	int error;

	*out = metric_overflow(session);
	error = metric_options_check(options);
	if (error != 0 || session->header == NULL || session->orphan)
		return error;
	entry_fill(&entry, options);
	return metric_add(session, &entry, out);
}

static int companion_define(struct shmbus_session *session,
			    const struct shmbus_cycle_options *options, const char *suffix,
			    enum shmbus_kind kind, const char *unit, const char *help,
			    shmbus_metric *out)
{
	char name[2 * SHMBUS_NAME_SIZE];
	struct shmbus_metric_options companion = {
		.name = name,
		.kind = kind,
		.unit = unit,
		.help = help,
		.stage = options->stage,
	};

	snprintf(name, sizeof name, "%.100s%s", options->name, suffix);
	return shmbus_metric_define(session, &companion, out);
}

int shmbus_cycle_define(struct shmbus_session *session, const struct shmbus_cycle_options *options,
			struct shmbus_cycle *out)
{
	struct shmbus_metric_options busy = {
		.name = options->name,
		.help = options->help != NULL ? options->help : "time from awake to finish",
		.stage = options->stage,
		.kind = SHMBUS_TIMER,
	};
	struct shmbus_metric_entry entry = {0};
	int error;

	out->busy = out->wait = out->xruns = metric_overflow(session);
	out->quantum = options->quantum;
	error = metric_options_check(&busy);
	if (error != 0)
		return error;
	if (options->rate_hz == 0 || options->quantum == 0)
		return shmbus__fail(-EINVAL, "cycle \"%s\": rate_hz and quantum must not be 0",
				    options->name);
	error = companion_define(session, options, ".wait", SHMBUS_TIMER, "ns",
				 "time from signal to awake", &out->wait);
	if (error == 0)
		error = companion_define(session, options, ".xruns", SHMBUS_COUNTER, "{xrun}",
					 "xruns that were reported", &out->xruns);
	if (error != 0 || session->header == NULL || session->orphan)
		return error;
	entry_fill(&entry, &busy);
	entry.rate_hz = options->rate_hz;
	entry.quantum = options->quantum;
	entry.period_ns = (uint64_t)options->quantum * 1000000000u / options->rate_hz;
	entry.wait_metric = (uint16_t)out->wait;
	entry.xruns_metric = (uint16_t)out->xruns;
	error = metric_add(session, &entry, &out->busy);
	/* A cycle that was there already told its own quantum: ours, where it is another, shall be
	 * told by the first shmbus_cycle(). */
	if (error == 0)
		out->quantum = shmbus__metric_entry(session, out->busy)->quantum;
	return error;
}

/* ---- derived values ---- */

static int derived_options_check(const struct shmbus_derived_options *options)
{
	int error = shmbus__name_check("derived", options->name, SHMBUS_NAME_SIZE);

	if (error != 0)
		return error;
	if (options->rule != SHMBUS_DERIVE_RATIO && options->rule != SHMBUS_DERIVE_REMAINDER)
		return shmbus__fail(-EINVAL,
				    "derived \"%s\": rule %d is not one of enum shmbus_derive",
				    options->name, (int)options->rule);
	if (!(options->scale > -1e300 && options->scale < 1e300))
		return shmbus__fail(-EINVAL, "derived \"%s\": scale must be within 1e300",
				    options->name);
	if (options->numerator_count == 0 || options->denominator_count == 0 ||
	    options->numerator_count > SHMBUS_DERIVED_OPERANDS_MAX ||
	    options->denominator_count > SHMBUS_DERIVED_OPERANDS_MAX - options->numerator_count)
		return shmbus__fail(-EINVAL,
				    "derived \"%s\": at least one operand on each side, at most "
				    "%u in all",
				    options->name, SHMBUS_DERIVED_OPERANDS_MAX);
	return 0;
}

/* Under the session's lock, which other threads take to define metrics. */
static int operands_check(const struct shmbus_session *session, const char *name,
			  const shmbus_metric *operands, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (operands[i] >= session->metric_count)
			return shmbus__fail(-EINVAL, "derived \"%s\": no such metric", name);
	return 0;
}

static void derived_fill(struct shmbus_derived_entry *entry,
			 const struct shmbus_derived_options *options)
{
	text_set(entry->name, sizeof entry->name, options->name);
	entry->scale = options->scale != 0 ? options->scale : 1;
	entry->rule = (uint16_t)options->rule;
	entry->numerator_count = (uint16_t)options->numerator_count;
	entry->denominator_count = (uint16_t)options->denominator_count;
	for (size_t i = 0; i < options->numerator_count; i++)
		entry->operands[i] = (uint16_t)options->numerator[i];
	for (size_t i = 0; i < options->denominator_count; i++)
		entry->operands[options->numerator_count + i] = (uint16_t)options->denominator[i];
}

static int derived_append(struct shmbus_session *session,
			  const struct shmbus_derived_options *options)
{
	struct shmbus_header *header = session->header;
	struct shmbus_derived_entry *entries =
		(struct shmbus_derived_entry *)((char *)header + header->derived_offset);
	int error = operands_check(session, options->name, options->numerator,
				   options->numerator_count);

	if (error == 0)
		error = operands_check(session, options->name, options->denominator,
				       options->denominator_count);
	if (error != 0)
		return error;
	for (uint32_t i = 0; i < session->derived_count; i++)
		if (strcmp(entries[i].name, options->name) == 0)
			return shmbus__fail(-EEXIST, "derived \"%s\" exists", options->name);
	if (session->derived_count == SHMBUS_DERIVED_MAX)
		return shmbus__fail(-ENOSPC, "a session has at most %u derived values",
				    SHMBUS_DERIVED_MAX);
	derived_fill(&entries[session->derived_count], options);
	session->derived_count++;
	/* R-derived release: publishes the entry; pairs with A-derived in consumer.c. */
	atomic_store_explicit(&header->derived_count, session->derived_count, memory_order_release);
	shmbus__changed(session);
	return 0;
}

int shmbus_derived_define(struct shmbus_session *session,
			  const struct shmbus_derived_options *options)
{
	int error = derived_options_check(options);

	if (error != 0 || session->header == NULL || session->orphan)
		return error;
	pthread_mutex_lock(&session->lock);
	error = derived_append(session, options);
	pthread_mutex_unlock(&session->lock);
	return error;
}
