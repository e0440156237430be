/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "session.h"

#define EXTRA_MAX (1u << 20) /* samples of a session in windows beyond the default size */

struct session *session_new(struct shmbus_consumer *consumer, uint64_t key)
{
	const struct shmbus_header *header = &consumer->header;
	struct session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return NULL;
	session->metrics = calloc(header->metrics_capacity + 1u, sizeof *session->metrics);
	session->writers = calloc(header->writers_capacity, sizeof *session->writers);
	if (session->metrics == NULL || session->writers == NULL) {
		session_free(session);
		return NULL;
	}
	session->consumer = consumer;
	session->key = key;
	session->device = consumer->device;
	session->inode = consumer->inode;
	session->scale = tick_scale_of(header->tick_hz != 0 ? header->tick_hz : 1000000000u);
	session->live.dirty = DIRTY_ALL;
	session->live.sign_ns = clock_monotonic_ns();
	return session;
}

void metric_free(struct metric *metric)
{
	series_free(&metric->live);
	series_free(&metric->committed);
	slices_free(&metric->slices);
	free(metric);
}

void session_forget(struct session *session)
{
	/* Of the live ones, which may be more: those of the last moment were never committed. */
	uint32_t count = session->live.metric_count;

	session->committed.metric_count = 0;
	session->live.metric_count = 0;
	for (uint32_t i = 0; i < count; i++)
		if (session->metrics[i] != NULL)
			metric_free(session->metrics[i]);
	free(session->metrics);
	free(session->derived);
	for (uint32_t i = 0; session->writers != NULL && i < session->live.writer_count; i++)
		free(session->writers[i]);
	free(session->writers);
	session->metrics = NULL;
	session->derived = NULL;
	session->writers = NULL;
}

/* Of the live series the windows and buckets are as large as those of the committed one. */
static uint64_t metric_bytes(const struct metric *metric)
{
	const struct series *series = &metric->committed;

	if (!metric->timer)
		return sizeof *metric;
	return sizeof *metric + slices_bytes(&metric->slices) +
	       2 * (window_bytes(series->window) +
		    series->histogram.length * sizeof series->histogram.buckets[0]);
}

uint64_t session_bytes(const struct session *session)
{
	const struct shmbus_header *header = &session->consumer->header;
	uint64_t bytes = sizeof *session + sizeof *session->consumer;

	if (session->metrics == NULL)
		return bytes;
	bytes += (header->metrics_capacity + 1u) * sizeof *session->metrics +
		 (session->derived != NULL ? header->derived_capacity : 0u) *
			 sizeof *session->derived +
		 header->writers_capacity * sizeof *session->writers +
		 session->committed.writer_count * sizeof *session->writers[0];
	for (uint32_t i = 0; i < session->committed.metric_count; i++)
		bytes += metric_bytes(session->metrics[i]);
	return bytes;
}

void session_free(struct session *session)
{
	session_forget(session);
	free(session->published.document);
	free(session->consumer);
	free(session);
}

void session_fault(struct session *session, const char *reason)
{
	session->live.fault = true;
	session->live.dirty = DIRTY_ALL;
	if (session->live.reason[0] == '\0')
		snprintf(session->live.reason, sizeof session->live.reason, "%s", reason);
}

/* ---- metrics ---- */

struct metric *metric_new(const struct shmbus_metric_entry *entry, uint32_t window_default)
{
	uint32_t window = entry->window != 0 ? entry->window : window_default;
	struct metric *metric = calloc(1, sizeof *metric);

	if (metric == NULL)
		return NULL;
	metric->entry = *entry;
	metric->timer = entry->kind == SHMBUS_TIMER;
	metric->dirty = DIRTY_ALL;
	metric->period_ns = entry->period_ns;
	metric->quantum = entry->quantum;
	metric->judged = entry->target != 0 || entry->period_ns != 0;
	if (!metric->timer)
		return metric;
	if (series_init(&metric->live, window) != 0 ||
	    series_init(&metric->committed, window) != 0) {
		metric_free(metric);
		return NULL;
	}
	return metric;
}

/* A cycle's WAIT comes right before its BUSY in the ring; find out whose it is. */
void session_metric_link(struct session *session, const struct metric *busy)
{
	uint32_t wait = busy->entry.wait_metric;

	if (busy->entry.rate_hz != 0 && wait < session->live.metric_count &&
	    session->metrics[wait]->timer)
		session->metrics[wait]->wait_of_cycle = true;
}

void session_window_count(struct session *session, const struct metric *metric,
			  uint32_t window_default)
{
	if (metric->timer && metric->live.window->size > window_default)
		session->live.extra += metric->live.window->size - window_default;
}

/* A descriptor of 320 bytes can ask for a window of 512 KiB, of which the agent has three copies:
 * where a session has asked for too much, the rest of its windows are of the default size. */
static void window_limit(const struct session *session, struct shmbus_metric_entry *entry,
			 uint32_t window_default)
{
	if (entry->window > window_default &&
	    session->live.extra + (entry->window - window_default) > EXTRA_MAX)
		entry->window = 0;
}

static int memory_lacks(struct session *session, const char *what)
{
	snprintf(session->consumer->reason, sizeof session->consumer->reason,
		 "the agent has no memory for its %s", what);
	return -ENOMEM;
}

static int metrics_update(struct session *session, uint32_t count, uint32_t window_default)
{
	struct session_live *live = &session->live;

	while (live->metric_count < count) {
		struct shmbus_metric_entry entry;
		struct metric *metric;
		int error = shmbus_consumer_metric(session->consumer, live->metric_count, &entry);

		if (error != 0)
			return error;
		window_limit(session, &entry, window_default);
		metric = metric_new(&entry, window_default);
		if (metric == NULL) {
			return memory_lacks(session, "metrics");
		}
		session->metrics[live->metric_count++] = metric;
		session_window_count(session, metric, window_default);
		session_metric_link(session, metric);
	}
	return 0;
}

/* ---- the rest ---- */

bool session_derived_add(struct session *session, const struct shmbus_derived_entry *entry)
{
	if (session->derived == NULL)
		session->derived = calloc(session->consumer->header.derived_capacity,
					  sizeof *session->derived);
	if (session->derived == NULL)
		return false;
	session->derived[session->live.derived_count++] = *entry;
	return true;
}

static int derived_update(struct session *session, uint32_t count)
{
	struct session_live *live = &session->live;

	while (live->derived_count < count) {
		struct shmbus_derived_entry entry;
		int error = shmbus_consumer_derived(session->consumer, live->derived_count, &entry);

		if (error != 0)
			return error;
		if (!session_derived_add(session, &entry))
			return memory_lacks(session, "derived values");
	}
	return 0;
}

static void labels_update(struct session *session)
{
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	int count = shmbus_consumer_labels(session->consumer, labels);

	if (count < 0) /* still changing: the next change brings us back */
		return;
	session->live.label_count = (uint32_t)count;
	memcpy(session->live.labels, labels, sizeof labels);
}

struct writer *session_writer_add(struct session *session, const struct writer_name *name)
{
	struct writer *writer = calloc(1, sizeof *writer);

	if (writer == NULL)
		return NULL;
	writer->name = *name;
	session->writers[session->live.writer_count++] = writer;
	return writer;
}

static int writers_adopt(struct session *session)
{
	while (session->live.writer_count < session->consumer->writer_count) {
		const struct shmbus_consumer_writer *found =
			session->consumer->writers[session->live.writer_count];
		struct writer_name name = {.capacity = found->capacity};
		struct writer *writer;

		memcpy(name.text, found->name, sizeof name.text);
		writer = session_writer_add(session, &name);
		if (writer == NULL)
			return memory_lacks(session, "writers");
		writer->live.account.before = found->ring.position;
		writer->live.position = found->ring.position;
		writer->live.released = found->ring.position;
	}
	return 0;
}

int session_update(struct session *session, uint32_t window_default)
{
	struct session_live *live = &session->live;
	uint32_t metrics, derived;
	int error = shmbus_consumer_counts(session->consumer, &metrics, &derived);

	if (error == 0)
		error = metrics_update(session, metrics, window_default);
	if (error == 0)
		error = derived_update(session, derived);
	if (error == 0)
		error = shmbus_consumer_writers_update(session->consumer);
	if (error == 0)
		error = writers_adopt(session);
	if (error != 0) {
		memcpy(live->reason, session->consumer->reason, sizeof live->reason);
		return error;
	}
	labels_update(session);
	/* relaxed: the change that brought us here is newer than the flags; see R-change. */
	live->flags = atomic_load_explicit(&session->consumer->live->flags, memory_order_relaxed);
	live->seen = true;
	live->dirty = DIRTY_ALL;
	heap_look();
	return 0;
}
