/* SPDX-License-Identifier: MIT */
/*
 * model_publish.c - the append-only tables and the labels under C11's memory model: label.c and
 * metric.c write them, consumer.c reads them. See model.h; build/ci/tests/model_publish runs it.
 *
 * Metric and derived entries are plain objects: that one is read while it is written, or before
 * that is ordered, is a data race. Writers (R-writer) and the header (R-version) are published in
 * the same way, by files that make and map segments, which is why they are not here.
 */
#include <string.h>

#include <shmbus/consumer.h>

#include "internal.h"
#include "model.h"

#define METRICS 2u
#define DERIVED 1u

struct shared {
	struct shmbus_header header;
	struct shmbus_label_entry label;
	struct shmbus_derived_entry derived[DERIVED];
	struct shmbus_metric_entry metrics[METRICS];
};

static struct shared *const shared = (struct shared *)(void *)model_memory;
static struct shmbus_session session;
static struct shmbus_consumer consumer;

/* What consumer.c calls in the place of pread(2). */
ssize_t model_pread(int fd, void *out, size_t size, off_t offset);

ssize_t model_pread(int fd, void *out, size_t size, off_t offset)
{
	(void)fd;
	model_copy(out, model_memory + offset, size);
	return (ssize_t)size;
}

static void begin(void)
{
	struct shmbus_header *header = &shared->header;

	header->labels_offset = offsetof(struct shared, label);
	header->labels_stride = sizeof shared->label;
	header->labels_capacity = 1;
	header->derived_offset = offsetof(struct shared, derived);
	header->derived_stride = sizeof shared->derived[0];
	header->derived_capacity = DERIVED;
	header->metrics_offset = offsetof(struct shared, metrics);
	header->metrics_stride = sizeof shared->metrics[0];
	header->metrics_capacity = METRICS;
	session = (struct shmbus_session){.header = header, .lock = PTHREAD_MUTEX_INITIALIZER};
	consumer = (struct shmbus_consumer){.header = *header};
	model_atomic(&header->changes);
}

/* ---- tables ---- */

static void tables_begin(void)
{
	begin();
	model_atomic(&shared->header.metric_count);
	model_atomic(&shared->header.derived_count);
	for (uint32_t i = 0; i < METRICS; i++)
		model_ordered(&shared->metrics[i]);
	model_ordered(&shared->derived[0]);
}

static void metric_define(const char *name, shmbus_metric *metric)
{
	struct shmbus_metric_options options = {.name = name, .kind = SHMBUS_COUNTER};

	model_written(&shared->metrics[session.metric_count]);
	model_check(shmbus_metric_define(&session, &options, metric) == 0, "defined");
}

static void tables_write(void)
{
	shmbus_metric metrics[METRICS];
	struct shmbus_derived_options options = {
		.name = "ratio",
		.rule = SHMBUS_DERIVE_RATIO,
		.numerator = &metrics[0],
		.numerator_count = 1,
		.denominator = &metrics[1],
		.denominator_count = 1,
	};

	metric_define("first", &metrics[0]);
	metric_define("second", &metrics[1]);
	model_written(&shared->derived[0]);
	model_check(shmbus_derived_define(&session, &options) == 0, "derived");
}

/* As drain_body() in the agent's drain.c. */
static uint32_t changes_look(void)
{
	return atomic_load_explicit(&shared->header.changes, memory_order_acquire);
}

static void tables_look(uint32_t *metrics, uint32_t *derived)
{
	static const char *const names[METRICS] = {"first", "second"};
	struct shmbus_metric_entry metric;
	struct shmbus_derived_entry entry;

	model_check(shmbus_consumer_counts(&consumer, metrics, derived) == 0, "counts");
	for (uint32_t i = 0; i < METRICS && i < *metrics; i++)
		model_check(shmbus_consumer_metric(&consumer, i, &metric) == 0 &&
				    strcmp(metric.name, names[i]) == 0,
			    "a whole metric");
	if (*derived > 0)
		model_check(shmbus_consumer_derived(&consumer, 0, &entry) == 0 &&
				    entry.operands[1] == 1,
			    "a whole derived value");
}

static void tables_read(void)
{
	for (int i = 0; i < 4; i++) {
		uint32_t changes = changes_look(), metrics, derived;

		tables_look(&metrics, &derived);
		model_check(metrics + derived >= changes, "what a change tells of is there");
	}
}

/* Without a look at the changes, as for a sample of a metric that is not known yet. */
static void tables_read_at_once(void)
{
	uint32_t metrics, derived;

	for (int i = 0; i < 4; i++)
		tables_look(&metrics, &derived);
}

static void tables_after(void)
{
	uint32_t metrics, derived;

	tables_look(&metrics, &derived);
	model_check(metrics == METRICS && derived == DERIVED, "all of them at the end");
}

/* ---- labels ---- */

#define VALUE_OLD "old----8-------16------24"
#define VALUE_NEW "new----8-------16------24"
#define VALUE_LAST "last"

static void labels_begin(void)
{
	char text[sizeof shared->label] = "key";

	begin();
	memcpy(text + SHMBUS_LABEL_KEY_SIZE, VALUE_OLD, sizeof VALUE_OLD);
	memcpy(&shared->label, text, sizeof text);
	for (size_t i = 0; i < SHMBUS_LABEL_WORDS; i++)
		model_atomic(&shared->label.words[i]);
	model_atomic(&shared->header.labels_sequence);
}

static void labels_write(void)
{
	model_check(shmbus_label_set(&session, "key", VALUE_NEW) == 0, "set");
	model_check(shmbus_label_set(&session, "key", VALUE_LAST) == 0, "set");
}

static bool labels_look(const char *expected)
{
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	int count = shmbus_consumer_labels(&consumer, labels);

	if (count < 0)
		return expected == NULL;
	model_check(count == 1 && strcmp(labels[0].key, "key") == 0, "one label");
	if (expected != NULL)
		return strcmp(labels[0].value, expected) == 0;
	return strcmp(labels[0].value, VALUE_OLD) == 0 || strcmp(labels[0].value, VALUE_NEW) == 0 ||
	       strcmp(labels[0].value, VALUE_LAST) == 0;
}

static void labels_read(void)
{
	uint32_t changes = changes_look();

	model_check(labels_look(changes == 2 ? VALUE_LAST : NULL), "labels of one moment");
}

static void labels_after(void)
{
	model_check(labels_look(VALUE_LAST), "the last label at the end");
}

const struct model_case model_cases[] = {
	{"tables after a change", tables_begin, {tables_write, tables_read}, tables_after},
	{"tables at once", tables_begin, {tables_write, tables_read_at_once}, tables_after},
	{"labels", labels_begin, {labels_write, labels_read}, labels_after},
};
const size_t model_case_count = sizeof model_cases / sizeof model_cases[0];

const struct model_edge model_edges[] = {
	{"R-metric", "metric_append", MODEL_RELEASE},
	{"R-derived", "derived_append", MODEL_RELEASE},
	{"A-metric and A-derived", "shmbus_consumer_counts", MODEL_ACQUIRE},
	{"R-change", "shmbus__changed", MODEL_RELEASE},
	{"A-change", "changes_look", MODEL_ACQUIRE},
	{"R-label", "label_store", MODEL_RELEASE},
	{"R-labels", "label_store", MODEL_RELEASE},
	{"A-labels", "labels_copy", MODEL_ACQUIRE},
	{"A-label", "labels_copy", MODEL_ACQUIRE},
};
const size_t model_edge_count = sizeof model_edges / sizeof model_edges[0];

const uint64_t model_executions = 600000;
