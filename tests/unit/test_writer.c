/* SPDX-License-Identifier: MIT */
/* test_writer.c - writers: every kind of record, and the account to the unit. */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "seen.h"

static struct shmbus_session *session;
static struct shmbus_writer *writer;
static struct shmbus_consumer_writer *reader; /* the same writer, seen by a consumer */
static shmbus_metric timer, counter, gauge;

static void open_all(uint32_t capacity)
{
	session = session_opened(0);
	timer = metric_defined(session, "timer", SHMBUS_TIMER);
	counter = metric_defined(session, "counter", SHMBUS_COUNTER);
	gauge = metric_defined(session, "gauge", SHMBUS_GAUGE);
	writer = writer_opened(session, capacity);
	reader = seen(session)->writers[0];
}

static void close_all(void)
{
	shmbus_session_close(session);
}

static uint64_t slot(shmbus_metric metric)
{
	return atomic_load(&reader->slots[metric]);
}

static void account_check(uint64_t recorded, uint64_t dropped)
{
	struct shmbus_writer_stats stats;

	shmbus_writer_stats_get(writer, &stats);
	cr_assert_eq(stats.recorded, recorded, "recorded %llu", (unsigned long long)stats.recorded);
	cr_assert_eq(stats.dropped, dropped, "dropped %llu", (unsigned long long)stats.dropped);
	cr_assert_eq(stats.attempted, recorded + dropped);
	cr_assert_eq(atomic_load(&reader->block->dropped_full) +
			     atomic_load(&reader->block->dropped_head),
		     dropped);
}

static void next_is(uint32_t metric, uint32_t type, uint64_t value)
{
	struct seen_record record;

	cr_assert(seen_next(reader, &record), "no record");
	cr_assert_eq(record.metric, metric, "metric %u", record.metric);
	cr_assert_eq(record.type, type);
	cr_assert_eq(record.value, value, "value %llx", (unsigned long long)record.value);
}

static void next_is_none(void)
{
	struct seen_record record;

	cr_assert_not(seen_next(reader, &record));
}

/* ---- records ---- */

Test(writer, timers)
{
	static const uint64_t values[] = {0, 1, 42, INT64_MAX, 1ull << 63, UINT64_MAX};
	uint64_t start;
	struct seen_record record;

	open_all(64);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		cr_assert(shmbus_record_value_at(writer, timer, values[i], 640));
		next_is(timer, 0, values[i]);
		cr_assert(shmbus_record_value(writer, timer, values[i]));
		next_is(timer, 0, values[i]);
		cr_assert(shmbus_record_at(writer, timer, 1000, 1000 + values[i]));
		next_is(timer, SHMBUS_TAG_TICKS, values[i]);
	}
	next_is_none();

	start = shmbus_now();
	cr_assert(shmbus_record(writer, timer, start));
	cr_assert(seen_next(reader, &record));
	cr_assert_eq(record.type, SHMBUS_TAG_TICKS);
	cr_assert_leq(record.value, shmbus_now() - start);
	cr_assert_geq(shmbus_tag_ticks(record.tag, start), start - 64);
	cr_assert_leq(shmbus_tag_ticks(record.tag, start), shmbus_now());
	account_check(19, 0);
	close_all();
}

Test(writer, slots)
{
	struct shmbus_metric_options options = {.name = "r", .kind = SHMBUS_GAUGE, .real = true};
	shmbus_metric updown, real, states;
	double read;
	uint64_t bits;

	open_all(64);
	updown = metric_defined(session, "updown", SHMBUS_UPDOWN);
	states = metric_defined(session, "states", SHMBUS_STATESET);
	cr_assert_eq(shmbus_metric_define(session, &options, &real), 0);
	cr_assert_eq(slot(counter), 0);
	cr_assert_eq(slot(updown), 0);
	cr_assert_eq(slot(gauge), SHMBUS_SLOT_ABSENT);
	cr_assert_eq(slot(states), SHMBUS_SLOT_ABSENT);
	cr_assert_eq(slot(real), SHMBUS_SLOT_ABSENT_REAL);

	for (int64_t i = 0; i < 1000; i++) {
		shmbus_add(writer, counter, i);
		shmbus_add(writer, updown, i % 2 == 0 ? -3 : 1);
	}
	cr_assert_eq(slot(counter), 999 * 1000 / 2);
	cr_assert_eq((int64_t)slot(updown), -1000);
	shmbus_add(writer, counter, INT64_MAX);
	shmbus_add(writer, counter, INT64_MAX);
	cr_assert_eq(slot(counter), 499500 + UINT64_MAX - 1, "it goes round, it does not trap");
	shmbus_set(writer, gauge, INT64_MAX);
	cr_assert_eq((int64_t)slot(gauge), INT64_MAX);
	shmbus_set(writer, gauge, -1);
	cr_assert_eq((int64_t)slot(gauge), -1);
	shmbus_set(writer, states, 2);
	cr_assert_eq(slot(states), 2);
	shmbus_set_real(writer, real, -0.1);
	bits = slot(real);
	memcpy(&read, &bits, sizeof read);
	cr_assert(read == -0.1);
	shmbus_set_real(writer, real, (double)NAN);
	bits = slot(real);
	memcpy(&read, &bits, sizeof read);
	cr_assert(isnan(read));
	account_check(0, 0);
	close_all();
}

/* Slots of metrics that came after the writer, and of a writer that came after them. */
Test(writer, slots_begin_the_same_whichever_came_first)
{
	struct shmbus_consumer *consumer;

	open_all(64);
	metric_defined(session, "late", SHMBUS_GAUGE);
	writer_opened(session, 128);
	consumer = seen(session);
	cr_assert_eq(consumer->writer_count, 2);
	for (uint32_t i = 0; i < 65; i++)
		cr_assert_eq(atomic_load(&consumer->writers[0]->slots[i]),
			     atomic_load(&consumer->writers[1]->slots[i]), "slot %u", i);
	close_all();
}

/* ---- cycles and control records ---- */

static struct shmbus_cycle cycle_defined(void)
{
	struct shmbus_cycle_options options = {.name = "audio", .rate_hz = 48000, .quantum = 128};
	struct shmbus_cycle cycle;

	cr_assert_eq(shmbus_cycle_define(session, &options, &cycle), 0);
	cr_assert_eq(cycle.quantum, 128);
	return cycle;
}

static uint64_t quantum_value(const struct shmbus_cycle *cycle, uint32_t quantum)
{
	return (uint64_t)cycle->busy << 32 | quantum;
}

Test(writer, cycles)
{
	struct shmbus_cycle cycle;

	open_all(64);
	cycle = cycle_defined();
	cr_assert(shmbus_cycle(writer, &cycle, 1000, 1010, 1300, 128));
	next_is(cycle.wait, SHMBUS_TAG_TICKS, 10);
	next_is(cycle.busy, SHMBUS_TAG_TICKS, 290);
	cr_assert(shmbus_cycle(writer, &cycle, 0, 1, 3, 256));
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_QUANTUM, quantum_value(&cycle, 256));
	next_is(cycle.wait, SHMBUS_TAG_TICKS, 1);
	next_is(cycle.busy, SHMBUS_TAG_TICKS, 2);
	cr_assert_eq(cycle.quantum, 256);
	cr_assert(shmbus_cycle(writer, &cycle, 0, 1, 3, 256));
	next_is(cycle.wait, SHMBUS_TAG_TICKS, 1);
	next_is(cycle.busy, SHMBUS_TAG_TICKS, 2);
	next_is_none();
	shmbus_xrun(writer, &cycle);
	shmbus_xrun(writer, &cycle);
	cr_assert_eq(slot(cycle.xruns), 2);
	account_check(6, 0);
	close_all();
}

Test(writer, a_cycle_goes_in_whole_or_not_at_all)
{
	struct shmbus_cycle cycle;

	open_all(64);
	cycle = cycle_defined();
	for (uint64_t i = 0; i < 63; i++)
		cr_assert(shmbus_record_value_at(writer, timer, i, 0));
	cr_assert_not(shmbus_cycle(writer, &cycle, 1, 2, 3, 128));
	account_check(63, 2);
	cr_assert(shmbus_record_value_at(writer, timer, 63, 0), "one sample still has room");
	cr_assert_not(shmbus_cycle(writer, &cycle, 1, 2, 3, 128));
	account_check(64, 4);
	cr_assert_eq(seen_drain(reader), 64);
	cr_assert(shmbus_cycle(writer, &cycle, 1, 2, 3, 128));
	account_check(66, 4);
	close_all();
}

/* A change of the quantum that finds no room is told with a later cycle. */
Test(writer, a_quantum_is_told_before_the_cycles_that_have_it)
{
	struct shmbus_cycle cycle;

	open_all(64);
	cycle = cycle_defined();
	for (uint64_t i = 0; i < 64; i++)
		shmbus_record_value_at(writer, timer, i, 0);
	cr_assert_not(shmbus_cycle(writer, &cycle, 1, 2, 3, 512));
	cr_assert_eq(cycle.quantum, 128, "not told yet");
	seen_drain(reader);
	cr_assert(shmbus_cycle(writer, &cycle, 1, 2, 3, 512));
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_QUANTUM, quantum_value(&cycle, 512));
	next_is(cycle.wait, SHMBUS_TAG_TICKS, 1);
	account_check(66, 2);
	close_all();
}

Test(writer, correlation_ids_go_before_their_samples)
{
	open_all(64);
	shmbus_correlate(writer, 77);
	shmbus_record_value_at(writer, timer, 1, 0);
	shmbus_correlate(writer, UINT64_MAX);
	shmbus_correlate(writer, 0);
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_CORRELATION, 77);
	next_is(timer, 0, 1);
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_CORRELATION, UINT64_MAX);
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_CORRELATION, 0);
	next_is_none();
	account_check(1, 0);
	close_all();
}

/* An id that found no room stands before the next sample that finds some. */
Test(writer, no_sample_overtakes_a_correlation_id_that_waits)
{
	struct shmbus_cycle cycle;

	open_all(64);
	cycle = cycle_defined();
	for (uint64_t i = 0; i < 64; i++)
		shmbus_record_value_at(writer, timer, i, 0);
	shmbus_correlate(writer, 5);
	shmbus_correlate(writer, 6);
	reader->ring.position = 1; /* room for one record: the id and a sample need two */
	shmbus_ring_release(reader->head, 1);
	cr_assert_not(shmbus_record_value_at(writer, timer, 100, 0));
	account_check(64, 1);
	shmbus_ring_release(reader->head, 2);
	cr_assert_not(shmbus_cycle(writer, &cycle, 0, 1, 2, 128), "needs three");
	cr_assert(shmbus_record_value_at(writer, timer, 101, 0));
	account_check(65, 3);
	reader->ring.position = 64;
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_CORRELATION, 6);
	next_is(timer, 0, 101);
	next_is_none();

	/* And a new quantum does not overtake it either. */
	seen_drain(reader);
	for (int i = 0; i < 64; i++)
		cr_assert(shmbus_record_value_at(writer, timer, 1, 0), "the id was told once");
	shmbus_correlate(writer, 9);
	seen_drain(reader);
	cr_assert(shmbus_cycle(writer, &cycle, 0, 1, 2, 256));
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_CORRELATION, 9);
	next_is(SHMBUS_CONTROL, SHMBUS_CONTROL_QUANTUM, quantum_value(&cycle, 256));
	close_all();
}

/* ---- the account ---- */

Test(writer, attempted_is_recorded_and_dropped_to_the_unit)
{
	uint64_t attempted = 0, recorded = 0, read = 0;

	open_all(64);
	for (uint64_t round = 0; round < 500; round++) {
		for (uint64_t i = 0; i < round % 150; i++, attempted++)
			recorded += shmbus_record_value_at(writer, timer, recorded, 0);
		if (round % 7 == 0)
			shmbus_correlate(writer, round);
		if (round % 3 == 0)
			read += seen_drain(reader);
		account_check(recorded, attempted - recorded);
	}
	read += seen_drain(reader);
	cr_assert_eq(read, recorded);
	cr_assert_gt(recorded, 64);
	cr_assert_gt(attempted, recorded);
	cr_assert_eq(atomic_load(&reader->block->dropped_head), 0);
	close_all();
}

Test(writer, what_is_read_is_what_was_recorded)
{
	struct seen_record record;
	uint64_t recorded = 0, read = 0;

	open_all(64);
	for (uint64_t i = 0; i < 10000; i++) {
		recorded += shmbus_record_value_at(writer, timer, recorded * 3, recorded << 10);
		if (i % 50 != 0)
			continue;
		while (seen_next(reader, &record)) {
			cr_assert_eq(record.value, read * 3);
			cr_assert_eq(shmbus_tag_ticks(record.tag, read << 10), read << 10);
			read++;
		}
		shmbus_ring_release(reader->head, reader->ring.position);
	}
	cr_assert_eq(read + seen_drain(reader), recorded);
	close_all();
}

Test(writer, samples_refused_for_a_lying_head_are_counted_apart)
{
	open_all(64);
	for (uint64_t i = 0; i < 64; i++)
		cr_assert(shmbus_record_value_at(writer, timer, i, 0));
	atomic_store(reader->head, 1000000);
	for (uint64_t i = 0; i < 10; i++)
		cr_assert_not(shmbus_record_value_at(writer, timer, i, 0));
	cr_assert_eq(atomic_load(&reader->block->dropped_head), 10);
	cr_assert_eq(atomic_load(&reader->block->dropped_full), 0);
	atomic_store(reader->head, 0);
	cr_assert_not(shmbus_record_value_at(writer, timer, 1, 0));
	cr_assert_eq(atomic_load(&reader->block->dropped_full), 1);
	account_check(64, 11);
	cr_assert_eq(seen_drain(reader), 64);
	cr_assert(shmbus_record_value_at(writer, timer, 1, 0));
	account_check(65, 11);
	close_all();
}
