/* SPDX-License-Identifier: MIT */
/* slots.c - what writers keep in slots: counters, gauges, states, and their counts of drops. */
#include <math.h>
#include <string.h>

#include "drain.h"
#include "guard.h"

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
		uint64_t bits = atomic_load_explicit(&session->consumer->writers[i]->slots[number],
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

/* What is published and not yet read. No more is counted than a pass may read: a count that takes
 * longer than the reading helps nobody. */
static uint64_t pending(const struct shmbus_consumer_writer *writer)
{
	uint64_t value, tag, used = 0;

	for (uint64_t i = 0; i < writer->capacity && i < DRAIN_SHARE; i++) {
		if (!shmbus_ring_peek(&writer->ring, writer->ring.position + i, &value, &tag))
			break;
		used += shmbus_tag_metric(tag) != SHMBUS_CONTROL;
	}
	return used;
}

static void account_sample(struct session *session, uint32_t number)
{
	struct writer_account *account = &session->writers[number]->live.account;
	const struct shmbus_consumer_writer *writer = session->consumer->writers[number];
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
		session_fault(session, "the segment was cut short while it was read");
}
