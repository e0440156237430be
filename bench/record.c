/* SPDX-License-Identifier: MIT */
/*
 * record.c - what recording costs a thread whose ring is in its cache, beside the least that
 * it could cost: a 16-byte store and the release of a tail, and, with its timestamp, the clock
 * read. The real interface on a real session; the ring is emptied between the batches, outside
 * the measured time.
 */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#define CAPACITY SHMBUS_RING_DEFAULT
#define BATCHES 200u
#define ROUNDS_MAX 101

struct subject {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timer;
	shmbus_metric counter;
	shmbus_metric gauge;
	struct shmbus_cycle cycle;
	struct shmbus_consumer consumer;

	/* The bare store's ring. */
	struct shmbus_slot *bare_slots;
	_Atomic(uint64_t) *bare_tail;
};

static int subject_open(struct subject *subject)
{
	struct shmbus_metric_options timer = {.name = "timer", .kind = SHMBUS_TIMER};
	struct shmbus_metric_options counter = {.name = "counter", .kind = SHMBUS_COUNTER};
	struct shmbus_metric_options gauge = {.name = "gauge", .kind = SHMBUS_GAUGE};
	struct shmbus_cycle_options cycle = {.name = "cycle", .rate_hz = 48000, .quantum = 128};
	struct shmbus_session_options options = {.service = "bench"};
	char bus[SHMBUS_BUS_SIZE];
	int error;

	snprintf(bus, sizeof(bus), "bench-%d", (int)getpid());
	options.bus = bus;
	error = shmbus_session_open(&options, &subject->session);
	if (!error)
		error = shmbus_writer_open(subject->session, NULL, &subject->writer);
	if (!error)
		error = shmbus_metric_define(subject->session, &timer, &subject->timer);
	if (!error)
		error = shmbus_metric_define(subject->session, &counter, &subject->counter);
	if (!error)
		error = shmbus_metric_define(subject->session, &gauge, &subject->gauge);
	if (!error)
		error = shmbus_cycle_define(subject->session, &cycle, &subject->cycle);
	if (error) {
		fprintf(stderr, "shmbus-bench: %s\n", shmbus_strerror(error));
		return error;
	}
	error = shmbus_consumer_attach(&subject->consumer,
				       shmbus_session_segment(subject->session));
	if (!error)
		error = shmbus_consumer_writers_update(&subject->consumer);
	if (error)
		fprintf(stderr, "shmbus-bench: %s\n", subject->consumer.reason);
	return error;
}

static int subject_create(struct subject **out)
{
	struct subject *subject = calloc(1, sizeof(*subject));
	int error;

	if (!subject)
		return -ENOMEM;
	subject->consumer.fd = -1;
	error = subject_open(subject);
	if (error)
		return error;
	subject->bare_slots = bench_shared_alloc(CAPACITY * sizeof(struct shmbus_slot));
	subject->bare_tail = bench_shared_alloc(sizeof(*subject->bare_tail));
	if (!subject->bare_slots || !subject->bare_tail)
		return -ENOMEM;
	*out = subject;
	return 0;
}

static void subject_destroy(struct subject *subject)
{
	bench_shared_free(subject->bare_slots, CAPACITY * sizeof(struct shmbus_slot));
	bench_shared_free((void *)subject->bare_tail, sizeof(*subject->bare_tail));
	shmbus_consumer_detach(&subject->consumer);
	shmbus_session_close(subject->session);
	free(subject);
}

/* Reads what is in the ring, so that it is the consumer's work that lies between two batches. */
static uint64_t subject_drain(struct subject *subject)
{
	struct shmbus_consumer_writer *writer = &subject->consumer.writers[0];
	struct shmbus_ring_consumer *ring = &writer->ring;
	uint64_t value, tag, start = ring->position;

	while (shmbus_ring_peek(ring, ring->position, &value, &tag))
		ring->position++;
	shmbus_ring_release(writer->head, ring->position);
	return ring->position - start;
}

/* ---- the loops: each returns how many slots it must have filled ---- */

static uint64_t bare_loop(struct subject *subject)
{
	struct shmbus_slot *slots = subject->bare_slots;
	uint64_t tail = atomic_load_explicit(subject->bare_tail, memory_order_relaxed);

	for (uint32_t i = 0; i < CAPACITY; i++, tail++) {
		struct shmbus_slot *slot = &slots[tail % CAPACITY];

		atomic_store_explicit(&slot->value, i, memory_order_relaxed);
		atomic_store_explicit(&slot->tag, tail, memory_order_relaxed);
		atomic_store_explicit(subject->bare_tail, tail + 1, memory_order_release);
	}
	return 0;
}

static uint64_t record_loop(struct subject *subject)
{
	for (uint32_t i = 0; i < CAPACITY; i++)
		shmbus_record_at(subject->writer, subject->timer, i, 2u * i);
	return CAPACITY;
}

/* The reads are used, as the caller of a clock uses them, at the price of one addition. */
static uint64_t clock_loop(struct subject *subject)
{
	uint64_t sum = 0;

	(void)subject;
	for (uint32_t i = 0; i < CAPACITY; i++)
		sum += shmbus_now();
	__asm__ volatile("" : : "r"(sum));
	return 0;
}

static uint64_t record_now_loop(struct subject *subject)
{
	for (uint32_t i = 0; i < CAPACITY; i++)
		shmbus_record(subject->writer, subject->timer, i);
	return CAPACITY;
}

static uint64_t cycle_loop(struct subject *subject)
{
	for (uint32_t i = 0; i < CAPACITY / 2; i++)
		shmbus_cycle(subject->writer, &subject->cycle, i, i + 1, i + 2, 128);
	return CAPACITY;
}

static uint64_t counter_loop(struct subject *subject)
{
	for (uint32_t i = 0; i < CAPACITY; i++)
		shmbus_add(subject->writer, subject->counter, 1);
	return 0;
}

static uint64_t gauge_loop(struct subject *subject)
{
	for (uint32_t i = 0; i < CAPACITY; i++)
		shmbus_set(subject->writer, subject->gauge, (int64_t)i);
	return 0;
}

static const struct loop {
	const char *id;
	const char *what;
	uint64_t (*run)(struct subject *subject);
	uint32_t calls; /* of what is measured, in one run */
} loops[] = {
	{"record.bare_ns", "bare 16-byte store, release of a tail", bare_loop, CAPACITY},
	{"record.record_at_ns", "shmbus_record_at", record_loop, CAPACITY},
	{"record.clock_ns", "shmbus_now alone", clock_loop, CAPACITY},
	{"record.record_ns", "shmbus_record, its clock read included", record_now_loop, CAPACITY},
	{"record.cycle_ns", "shmbus_cycle, two samples", cycle_loop, CAPACITY / 2},
	{"record.add_ns", "shmbus_add", counter_loop, CAPACITY},
	{"record.set_ns", "shmbus_set", gauge_loop, CAPACITY},
};

enum { BARE, RECORD_AT, CLOCK, RECORD, CYCLE, ADD, SET, LOOPS };

_Static_assert(sizeof(loops) / sizeof(loops[0]) == LOOPS, "each loop has its number");

/* The batches of one round, interleaved with all others' so that all see the same machine; the
 * median batch of each counts. */
static int round_run(struct subject *subject, double ns[LOOPS])
{
	static double batches[LOOPS][BATCHES];

	for (uint32_t batch = 0; batch < BATCHES; batch++) {
		for (size_t i = 0; i < LOOPS; i++) {
			uint64_t start = shmbus_now(), filled = loops[i].run(subject);

			batches[i][batch] = (double)(shmbus_now() - start) * bench_ns_per_tick() /
					    loops[i].calls;
			if (subject_drain(subject) != filled) {
				fprintf(stderr, "shmbus-bench: %s: samples are missing\n",
					loops[i].what);
				return -EBADMSG;
			}
		}
	}
	for (size_t i = 0; i < LOOPS; i++)
		ns[i] = bench_quantile(batches[i], BATCHES, 0.5);
	return 0;
}

static void rounds_report(struct bench *bench, double ns[][LOOPS], size_t count)
{
	static const struct bench_goal shown = {0};
	static const struct bench_goal bare = {.gate = 1.8, .stretch = 1.2};
	static const struct bench_goal clock = {.gate = 1.15, .stretch = 1.05};
	double samples[ROUNDS_MAX];

	for (size_t i = 0; i < LOOPS; i++) {
		for (size_t round = 0; round < count; round++)
			samples[round] = ns[round][i];
		bench_figure(bench, loops[i].id, loops[i].what, "ns", &shown, samples, count);
	}
	for (size_t round = 0; round < count; round++)
		samples[round] = ns[round][RECORD_AT] / ns[round][BARE];
	bench_figure(bench, "record_bare_ratio", "shmbus_record_at / bare store", "x", &bare,
		     samples, count);
	for (size_t round = 0; round < count; round++)
		samples[round] = ns[round][RECORD] / ns[round][CLOCK];
	bench_figure(bench, "record_clock_ratio", "shmbus_record / shmbus_now", "x", &clock,
		     samples, count);
}

static int record_run(struct bench *bench)
{
	size_t count = bench_options(bench)->full ? ROUNDS_MAX : 15;
	static double ns[ROUNDS_MAX][LOOPS];
	struct subject *subject = NULL;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (!error)
		error = subject_create(&subject);
	if (error)
		return error;
	bench_cpu_pin(cpus.producer);
	error = round_run(subject, ns[0]); /* warm-up */
	for (size_t round = 0; !error && round < count; round++)
		error = round_run(subject, ns[round]);
	bench_cpu_unpin();
	if (!error)
		rounds_report(bench, ns, count);
	subject_destroy(subject);
	return error;
}

const struct bench_part bench_part_record = {
	"record", "what a record costs, beside a bare store and a clock read", record_run, true};
