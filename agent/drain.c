/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "drain.h"
#include "guard.h"
#include "kill_point.h"

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

/* A number that is not known may be a metric that was defined a moment ago. */
static bool metric_known(const struct batch *batch, uint32_t number)
{
	struct session *session = batch->session;

	if (number < session->live.metric_count)
		return true;
	if (number >= session->consumer->header.metrics_capacity)
		return false;
	return session_update(session, batch->drain->window_default) == 0 &&
	       number < session->live.metric_count;
}

static void sample(struct batch *batch, uint64_t value, uint64_t tag)
{
	uint32_t number = shmbus_tag_metric(tag);
	struct metric *metric;

	if (SHMBUS_UNLIKELY(number == SHMBUS_CONTROL)) {
		control(batch, value, tag);
		return;
	}
	batch->writer->account.aggregated++;
	if (SHMBUS_UNLIKELY(number >= batch->session->live.metric_count &&
			    !metric_known(batch, number))) {
		batch->session->live.overflow++;
		return;
	}
	metric = batch->session->metrics[number];
	if (SHMBUS_UNLIKELY(!metric->timer)) {
		batch->session->live.overflow++;
		return;
	}
	value = sample_value(batch, value, tag);
	lifetime_fold(&metric->live.lifetime, value);
	histogram_fold(&metric->live.histogram, value);
	window_fold(metric->live.window, value);
	metric->dirty = DIRTY_ALL;
	if (SHMBUS_UNLIKELY(metric->judged))
		judge(batch, metric, value, tag);
	batch->writer->wait_ns = metric->wait_of_cycle ? value : 0;
}

/* At most one ring's worth: a producer that never stops must not keep the others waiting. */
static void drain_writer(struct drain *drain, struct session *session, uint32_t number)
{
	struct shmbus_consumer_writer *writer = &session->consumer->writers[number];
	struct writer_live *live = &session->live.writers[number];
	bool counter = session->consumer->header.clock_source == SHMBUS_CLOCK_TSC ||
		       session->consumer->header.clock_source == SHMBUS_CLOCK_CNTVCT;
	struct batch batch = {
		.drain = drain,
		.session = session,
		.writer = live,
		.scale = counter ? drain->counter_scale : session->scale,
	};
	uint64_t value, tag, read = 0;

	while (read < writer->capacity &&
	       shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag)) {
		writer->ring.position++;
		read++;
		sample(&batch, value, tag);
		kill_point(KILL_FOLD);
	}
	if (read == 0)
		return;
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

static void drain_body(void *data)
{
	const struct drain_call *call = data;
	struct session *session = call->session;
	/* A-change acquire: the tables are at least as new; pairs with R-change. */
	uint32_t changes =
		atomic_load_explicit(&session->consumer->live->changes, memory_order_acquire);

	if (changes != session->live.changes || !session->live.seen) {
		session->live.changes = changes;
		session->live.sign_ns = call->drain->now_ns;
		if (session_update(session, call->drain->window_default) != 0) {
			session->live.fault = true;
			return;
		}
	}
	heartbeat_look(call->drain, session);
	for (uint32_t i = 0; i < session->live.writer_count; i++)
		drain_writer(call->drain, session, i);
}

/* The rings of a producer that is gone: they do not grow, so one time around takes all that there
 * is, and a second one what a writer held that the first has only found. No more than that: who
 * gave the lock away and writes on must not keep the others waiting. */
static void final_body(void *data)
{
	const struct drain_call *call = data;

	drain_body(data);
	if (!call->session->live.fault)
		drain_body(data);
}

static void fault_set(struct session *session, const char *reason)
{
	session->live.fault = true;
	session->live.dirty = DIRTY_ALL;
	if (session->live.reason[0] == '\0')
		snprintf(session->live.reason, sizeof session->live.reason, "%s", reason);
}

void drain_session(struct drain *drain, struct session *session, bool final)
{
	struct drain_call call = {drain, session};

	if (!guard_run(final ? final_body : drain_body, &call))
		fault_set(session, "the segment was cut short while it was read");
	else if (session->live.fault)
		fault_set(session, "the segment's tables make no sense");
}

static void give_back_body(void *data)
{
	struct session *session = data;

	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		struct writer_live *live = &session->live.writers[i];

		if (live->released == live->position || i >= session->consumer->writer_count)
			continue;
		shmbus_ring_release(session->consumer->writers[i].head, live->position);
		live->released = live->position;
		kill_point(KILL_GIVE_BACK);
	}
}

void drain_give_back(struct session *session)
{
	session->live.hungry = false;
	if (!session->live.fault && !guard_run(give_back_body, session))
		fault_set(session, "the segment was cut short while it was read");
}

/* ---- slots ---- */

static bool slot_absent(const struct metric *metric, uint64_t bits)
{
	double real;

	if (metric->entry.kind != SHMBUS_GAUGE && metric->entry.kind != SHMBUS_STATESET)
		return false;
	if (!metric->entry.real)
		return bits == SHMBUS_SLOT_ABSENT;
	memcpy(&real, &bits, sizeof real);
	return !isfinite(real);
}

static uint64_t merge_integers(const struct metric *metric, uint64_t left, uint64_t right)
{
	int64_t a = (int64_t)left, b = (int64_t)right;

	if (metric->entry.kind == SHMBUS_STATESET)
		return right;
	if (metric->entry.kind == SHMBUS_GAUGE && metric->entry.merge == SHMBUS_MERGE_MIN)
		return a < b ? left : right;
	if (metric->entry.kind == SHMBUS_GAUGE && metric->entry.merge == SHMBUS_MERGE_MAX)
		return a > b ? left : right;
	return left + right;
}

static uint64_t merge_reals(const struct metric *metric, uint64_t left, uint64_t right)
{
	double a, b, merged;
	uint64_t bits;

	memcpy(&a, &left, sizeof a);
	memcpy(&b, &right, sizeof b);
	if (metric->entry.merge == SHMBUS_MERGE_MIN)
		merged = a < b ? a : b;
	else if (metric->entry.merge == SHMBUS_MERGE_MAX)
		merged = a > b ? a : b;
	else
		merged = a + b;
	memcpy(&bits, &merged, sizeof bits);
	return bits;
}

static uint64_t mean_of(const struct metric *metric, uint64_t bits, uint32_t writers)
{
	double real;

	if (metric->entry.merge != SHMBUS_MERGE_MEAN || metric->entry.kind != SHMBUS_GAUGE)
		return bits;
	if (!metric->entry.real)
		return (uint64_t)((int64_t)bits / (int64_t)writers);
	memcpy(&real, &bits, sizeof real);
	real /= writers;
	memcpy(&bits, &real, sizeof bits);
	return bits;
}

/* Merges one metric's slots of all writers; notes whether that changed. */
static void slot_sample(struct session *session, uint32_t number)
{
	struct metric *metric = session->metrics[number];
	uint64_t merged = 0;
	uint32_t writers = 0;

	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		uint64_t bits = atomic_load_explicit(&session->consumer->writers[i].slots[number],
						     memory_order_relaxed);

		if (slot_absent(metric, bits))
			continue;
		if (writers++ == 0)
			merged = bits;
		else if (metric->entry.real)
			merged = merge_reals(metric, merged, bits);
		else
			merged = merge_integers(metric, merged, bits);
	}
	if (writers > 0)
		merged = mean_of(metric, merged, writers);
	/* A sum of gauges that no double can hold is none. */
	if (metric->entry.real && slot_absent(metric, merged))
		writers = 0;
	if (merged == metric->live_bits && metric->live_present == (writers > 0))
		return;
	metric->live_bits = merged;
	metric->live_present = writers > 0;
	metric->dirty = DIRTY_ALL;
	session->live.dirty = DIRTY_ALL;
	session->live.sign_ns = clock_monotonic_ns();
}

/* What is published and not yet read: nothing, unless the last batch ended at its limit. */
static uint64_t pending(const struct shmbus_consumer_writer *writer)
{
	uint64_t value, tag, used = 0;

	for (uint64_t i = 0; i < writer->capacity; i++) {
		if (!shmbus_ring_peek(&writer->ring, writer->ring.position + i, &value, &tag))
			break;
		used += shmbus_tag_metric(tag) != SHMBUS_CONTROL;
	}
	return used;
}

static void account_sample(struct session *session, uint32_t number)
{
	struct writer_account *account = &session->live.writers[number].account;
	const struct shmbus_consumer_writer *writer = &session->consumer->writers[number];
	uint64_t full = atomic_load_explicit(&writer->block->dropped_full, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&writer->block->dropped_head, memory_order_relaxed);
	uint64_t used = pending(writer);

	if (full != account->dropped_full || head != account->dropped_head || used != account->used)
		session->live.dirty = DIRTY_ALL;
	account->dropped_full = full;
	account->dropped_head = head;
	account->used = used;
}

static void slots_body(void *data)
{
	struct session *session = data;

	for (uint32_t i = 0; i < session->live.metric_count; i++)
		if (!session->metrics[i]->timer && session->metrics[i]->entry.kind != SHMBUS_INFO)
			slot_sample(session, i);
	for (uint32_t i = 0; i < session->live.writer_count; i++)
		account_sample(session, i);
}

void drain_sample_slots(struct session *session)
{
	if (!session->live.fault && !guard_run(slots_body, session))
		fault_set(session, "the segment was cut short while it was read");
}
