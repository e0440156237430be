/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "drain.h"
#include "guard.h"
#include "kill_point.h"

/* Between two looks at what stands on a page of its own: whether there are new writers, whether the
 * heart beats. New metrics are looked for when their first sample comes. */
#define LOOK_NS 50000000u
#define UPDATES_MAX 16u /* readings of a session's tables in one pass */
#define AHEAD 16u       /* samples that are looked at before the first is folded */

/* One writer's batch, and what its samples are read with. */
struct batch {
	struct drain *drain;
	struct session *session;
	struct writer_live *writer;
	struct tick_scale scale;
};

static uint64_t sample_time_unix_ns(const struct batch *batch, uint64_t tag)
{
	const struct drain *drain = batch->drain;
	uint64_t ticks, age_ns;

	switch (batch->session->consumer->header.clock_source) {
	case SHMBUS_CLOCK_INJECTED:
		return drain->now_unix_ns; /* its ticks mean nothing here */
	case SHMBUS_CLOCK_MONOTONIC:
		ticks = shmbus_tag_ticks(tag, drain->now_ns);
		age_ns = drain->now_ns > ticks ? drain->now_ns - ticks : 0;
		break;
	default:
		ticks = shmbus_tag_ticks(tag, drain->now_ticks);
		age_ns = drain->now_ticks > ticks
				 ? ticks_to_ns(batch->scale, drain->now_ticks - ticks)
				 : 0;
	}
	return drain->now_unix_ns > age_ns ? drain->now_unix_ns - age_ns : 0;
}

static void worst_note(const struct batch *batch, struct worst *worst, uint64_t value, uint64_t tag)
{
	if (value <= worst->value)
		return;
	worst->value = value;
	worst->time_unix_ns = sample_time_unix_ns(batch, tag);
	worst->correlation_id = batch->writer->correlation_id;
}

/* Holds a sample against its target and its deadline. */
static void judge(const struct batch *batch, struct metric *metric, uint64_t value, uint64_t tag)
{
	struct deadline *deadline = &metric->live.deadline;
	uint64_t response = value + batch->writer->wait_ns;

	worst_note(batch, &metric->live.worst, value, tag);
	if (metric->entry.target != 0 && value > metric->entry.target)
		metric->live.violations++;
	if (metric->period_ns == 0)
		return;
	if (response < value)
		response = UINT64_MAX;
	worst_note(batch, &deadline->worst, response, tag);
	if (response <= metric->period_ns) {
		deadline->run = 0;
		return;
	}
	deadline->misses++;
	deadline->run++;
	if (deadline->run > deadline->run_max)
		deadline->run_max = deadline->run;
}

static void control(struct batch *batch, uint64_t value, uint64_t tag)
{
	struct session *session = batch->session;
	uint32_t number = (uint32_t)(value >> 32), quantum = (uint32_t)value;
	struct metric *metric;

	batch->writer->account.controls++;
	if ((tag & SHMBUS_TAG_TICKS) == SHMBUS_CONTROL_CORRELATION) {
		batch->writer->correlation_id = value;
		return;
	}
	if (number >= session->live.metric_count || quantum == 0)
		return;
	metric = session->metrics[number];
	if (metric->entry.rate_hz == 0)
		return;
	metric->quantum = quantum;
	metric->period_ns = (uint64_t)quantum * 1000000000u / metric->entry.rate_hz;
	metric->dirty = DIRTY_ALL;
}

static uint64_t sample_value(const struct batch *batch, uint64_t value, uint64_t tag)
{
	if (!(tag & SHMBUS_TAG_TICKS))
		return value;
	/* A duration below 0: two cores' clocks disagree, or the injected one jumped. */
	if ((int64_t)value < 0) {
		batch->drain->clock_backward_total++;
		return 0;
	}
	return ticks_to_ns(batch->scale, value);
}

/* False: there is no memory for the first sample of its size; it waits. */
static bool sample(struct batch *batch, uint32_t number, uint64_t value, uint64_t tag)
{
	struct metric *metric = NULL;

	if (SHMBUS_LIKELY(number < batch->session->live.metric_count))
		metric = batch->session->metrics[number];
	if (SHMBUS_UNLIKELY(metric == NULL || !metric->timer)) {
		batch->writer->account.aggregated++;
		batch->session->live.overflow++;
		return true;
	}
	value = sample_value(batch, value, tag);
	if (SHMBUS_UNLIKELY(!window_fits(metric->live.window, value)) &&
	    !series_widen(&metric->live))
		return false;
	batch->writer->account.aggregated++;
	lifetime_fold(&metric->live.lifetime, value);
	histogram_fold(&metric->live.histogram, value);
	window_fold(metric->live.window, value);
	metric->dirty = DIRTY_ALL;
	if (SHMBUS_UNLIKELY(metric->judged))
		judge(batch, metric, value, tag);
	batch->writer->wait_ns = metric->wait_of_cycle ? value : 0;
	return true;
}

/* Reads the tables again where their producer has changed them. False: they make no sense. */
static bool tables_read(struct drain *drain, struct session *session)
{
	/* A-change acquire: the tables are at least as new; pairs with R-change. */
	uint32_t changes =
		atomic_load_explicit(&session->consumer->live->changes, memory_order_acquire);

	if (changes == session->live.changes && session->live.seen)
		return true;
	session->live.changes = changes;
	session->live.sign_ns = drain->now_ns;
	session->live.updates++;
	if (session_update(session, drain->window_default) == 0)
		return true;
	session->live.fault = true;
	return false;
}

/* A sample of a metric that is not known: it may have been defined a moment ago, for which the
 * tables are read again. False: they were, too often for one pass; the sample waits. */
static bool stranger(struct drain *drain, struct session *session, uint32_t number)
{
	if (number == SHMBUS_CONTROL || number >= session->consumer->header.metrics_capacity)
		return true;
	if (session->live.updates >= UPDATES_MAX)
		return false;
	return tables_read(drain, session);
}

/*
 * What a session's series are in has long left the caches when its turn comes again. Samples are
 * looked at some time before they are folded, so that the processor fetches what they need at once
 * and not one thing after the other. Hints alone: fold() reads the samples itself.
 *
 * The first ones need everything. Those that follow find the series themselves in the caches, and
 * lack but their buckets.
 */
static void fetch_first(const struct batch *batch, const struct shmbus_ring_consumer *ring)
{
	const struct session *session = batch->session;
	const struct metric *metrics[AHEAD];
	uint64_t values[AHEAD], value, tag;
	uint32_t count = 0;

	for (uint64_t i = 0; i < AHEAD && shmbus_ring_peek(ring, ring->position + i, &value, &tag);
	     i++) {
		uint32_t number = shmbus_tag_metric(tag);

		if (number >= session->live.metric_count)
			continue;
		metrics[count] = session->metrics[number];
		values[count] = tag & SHMBUS_TAG_TICKS ? ticks_to_ns(batch->scale, value) : value;
		__builtin_prefetch(&metrics[count]->timer);
		__builtin_prefetch((const char *)&metrics[count]->live + SHMBUS_LINE_SIZE, 1);
		count++;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct histogram *h = &metrics[i]->live.histogram;
		uint32_t index = values[i] != 0 ? histogram_index(values[i]) - h->first : 0;

		if (!metrics[i]->timer)
			continue;
		if (index < h->length)
			__builtin_prefetch(&h->buckets[index], 1);
		__builtin_prefetch(metrics[i]->live.window, 1);
	}
	for (uint32_t i = 0; i < count; i++)
		if (metrics[i]->timer)
			__builtin_prefetch(window_next(metrics[i]->live.window), 1);
}

static inline void fetch_bucket(const struct batch *batch, const struct shmbus_ring_consumer *ring,
				uint64_t position)
{
	const struct session *session = batch->session;
	const struct histogram *h;
	uint64_t value, tag;
	uint32_t index;

	if (!shmbus_ring_peek(ring, position, &value, &tag) ||
	    shmbus_tag_metric(tag) >= session->live.metric_count)
		return;
	if (tag & SHMBUS_TAG_TICKS)
		value = ticks_to_ns(batch->scale, value);
	h = &session->metrics[shmbus_tag_metric(tag)]->live.histogram;
	index = histogram_index(value | 1) - h->first;
	if (index < h->length)
		__builtin_prefetch(&h->buckets[index], 1);
}

/* Folds what the writer has published, `limit` records at most. Returns how many it were. */
static uint64_t fold(struct batch *batch, struct shmbus_consumer_writer *writer, uint64_t limit)
{
	struct session *session = batch->session;
	uint64_t value, tag, read = 0;

	while (read < limit &&
	       shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag)) {
		uint32_t number = shmbus_tag_metric(tag);

		if (SHMBUS_UNLIKELY(number >= session->live.metric_count) &&
		    !stranger(batch->drain, session, number)) {
			batch->drain->cut = true;
			break;
		}
		fetch_bucket(batch, &writer->ring, writer->ring.position + AHEAD);
		if (SHMBUS_UNLIKELY(number == SHMBUS_CONTROL)) {
			control(batch, value, tag);
		} else if (SHMBUS_UNLIKELY(!sample(batch, number, value, tag))) {
			batch->drain->cut = true;
			break;
		}
		writer->ring.position++;
		read++;
		kill_point(KILL_FOLD);
	}
	return read;
}

/* Returns the records read, at most `share` and at most one ring's worth. */
static uint64_t drain_writer(struct drain *drain, struct session *session, uint32_t number,
			     uint64_t share)
{
	struct shmbus_consumer_writer *writer = session->consumer->writers[number];
	struct writer_live *live = &session->writers[number]->live;
	bool counter = session->consumer->header.clock_source == SHMBUS_CLOCK_TSC ||
		       session->consumer->header.clock_source == SHMBUS_CLOCK_CNTVCT;
	struct batch batch = {
		.drain = drain,
		.session = session,
		.writer = live,
		.scale = counter ? drain->counter_scale : session->scale,
	};
	uint64_t limit = share < writer->capacity ? share : writer->capacity;
	uint64_t read;

	fetch_first(&batch, &writer->ring);
	read = fold(&batch, writer, limit);

	if (read == 0)
		return 0;
	live->position = writer->ring.position;
	if (live->position - live->released >= writer->capacity / 2 && !session->live.hungry) {
		session->live.hungry = true;
		drain->hungry = true;
	}
	if (read > live->account.high_water)
		live->account.high_water = read;
	if (read * 100 / writer->capacity > drain->fullest)
		drain->fullest = (uint32_t)(read * 100 / writer->capacity);
	drain->samples += read;
	session->live.dirty = DIRTY_ALL;
	session->live.sign_ns = drain->now_ns;
	return read;
}

struct drain_call {
	struct drain *drain;
	struct session *session;
};

static void heartbeat_look(const struct drain *drain, struct session *session)
{
	uint64_t heartbeat = atomic_load_explicit(&session->consumer->live->heartbeat_ticks,
						  memory_order_relaxed);

	if (heartbeat == session->live.heartbeat_ticks)
		return;
	session->live.heartbeat_ticks = heartbeat;
	session->live.sign_ns = drain->now_ns;
}

/* Every writer's turn to be the first comes, so that none lives on what another one leaves. */
static void drain_body(void *data)
{
	const struct drain_call *call = data;
	struct session *session = call->session;
	uint64_t share = DRAIN_SHARE;

	session->live.updates = 0;
	if (call->drain->now_ns >= session->live.next_look_ns) {
		session->live.next_look_ns = call->drain->now_ns + LOOK_NS;
		if (!tables_read(call->drain, session))
			return;
		heartbeat_look(call->drain, session);
	}
	for (uint32_t i = 0; i < session->live.writer_count && share > 0 && !session->live.fault;
	     i++) {
		uint32_t number = session->live.first_writer + i;

		share -= drain_writer(call->drain, session, number % session->live.writer_count,
				      share);
	}
	if (share > 0)
		return;
	call->drain->cut = true;
	session->live.first_writer = (session->live.first_writer + 1) % session->live.writer_count;
}

static bool stage_is_live(const struct session *session)
{
	return atomic_load_explicit(&session->stage, memory_order_relaxed) == SESSION_LIVE;
}

void drain_fetch(struct session *const sessions[], uint32_t count, uint32_t at)
{
	/* Each step needs what the one before has fetched. */
	if (at + 4 < count) {
		__builtin_prefetch(sessions[at + 4]);
		__builtin_prefetch(&sessions[at + 4]->live);
	}
	if (at + 3 < count)
		__builtin_prefetch(sessions[at + 3]->consumer->writers);
	if (at + 2 < count && stage_is_live(sessions[at + 2]))
		__builtin_prefetch(sessions[at + 2]->consumer->writers[0]);
	if (at + 1 < count && stage_is_live(sessions[at + 1])) {
		const struct shmbus_consumer *next = sessions[at + 1]->consumer;

		if (next->writer_count != 0) {
			const struct shmbus_ring_consumer *ring = &next->writers[0]->ring;

			__builtin_prefetch(&ring->slots[ring->position & ring->mask]);
		}
	}
}

void drain_session(struct drain *drain, struct session *session)
{
	struct drain_call call = {drain, session};

	if (!guard_run(drain_body, &call))
		session_fault(session, "the segment was cut short while it was read");
	else if (session->live.fault)
		session_fault(session, "the segment's tables make no sense");
}

static uint64_t capacity_of_rings(const struct session *session)
{
	uint64_t capacity = 0;

	for (uint32_t i = 0; i < session->live.writer_count; i++)
		capacity += session->consumer->writers[i]->capacity;
	return capacity;
}

bool drain_last(struct drain *drain, struct session *session)
{
	uint64_t before = drain->samples, read;

	if (session->live.fault)
		return true;
	session->live.next_look_ns = 0;
	drain_session(drain, session);
	read = drain->samples - before;
	session->live.last_read += read;
	/* The rings of the dead do not grow: what is more than they hold, the living wrote. */
	if (read == 0 || session->live.fault ||
	    session->live.last_read > 2 * capacity_of_rings(session))
		return true;
	drain->cut = true;
	return false;
}

static void give_back_body(void *data)
{
	struct session *session = data;

	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		struct writer_live *live = &session->writers[i]->live;

		if (live->released == live->position || i >= session->consumer->writer_count)
			continue;
		shmbus_ring_release(session->consumer->writers[i]->head, live->position);
		live->released = live->position;
		kill_point(KILL_GIVE_BACK);
	}
}

void drain_give_back(struct session *session)
{
	session->live.hungry = false;
	if (!session->live.fault && !guard_run(give_back_body, session))
		session_fault(session, "the segment was cut short while it was read");
}
