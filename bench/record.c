/* SPDX-License-Identifier: MIT */
/*
 * record.c - what recording costs a thread whose ring is in its cache, beside the least that
 * it could cost: a 16-byte store and the release of a tail, and, with its timestamp, the clock
 * read. The ring is emptied between the batches, outside the measured time.
 */
#include "record.h"

#include <errno.h>
#include <stdio.h>

#include "subject.h"

#define CALLS SUBJECT_CAPACITY
#define BATCHES 200u
#define ROUNDS_MAX 101

/* What a loop put into the ring must come out of it. */
static int filled_check(void *context)
{
	struct subject *subject = context;
	uint64_t filled = subject->filled;

	subject->filled = 0;
	if (subject_drain(subject) == filled)
		return 0;
	fprintf(stderr, "shmbus-bench: samples are missing\n");
	return -EBADMSG;
}

/* With the tail in a register, as nobody could have it who does anything else. */
static void bare_loop(void *context)
{
	struct subject *subject = context;
	struct shmbus_slot *slots = subject->bare_slots;
	uint64_t tail = atomic_load_explicit(subject->bare_tail, memory_order_relaxed);

	for (uint32_t i = 0; i < CALLS; i++, tail++) {
		struct shmbus_slot *slot = &slots[tail % SUBJECT_CAPACITY];

		atomic_store_explicit(&slot->value, i, memory_order_relaxed);
		atomic_store_explicit(&slot->tag, tail, memory_order_relaxed);
		atomic_store_explicit(subject->bare_tail, tail + 1, memory_order_release);
	}
}

static void record_at_loop(void *context)
{
	struct subject *subject = context;

	for (uint32_t i = 0; i < CALLS; i++)
		shmbus_record_at(subject->writer, subject->timer, i, 2u * i);
	subject->filled = CALLS;
}

/* The reads are used, as the caller of a clock uses them, at the price of one addition. */
static void clock_loop(void *context)
{
	uint64_t sum = 0;

	(void)context;
	for (uint32_t i = 0; i < CALLS; i++)
		sum += shmbus_now();
	__asm__ volatile("" : : "r"(sum));
}

static void record_loop(void *context)
{
	struct subject *subject = context;

	for (uint32_t i = 0; i < CALLS; i++)
		shmbus_record(subject->writer, subject->timer, i);
	subject->filled = CALLS;
}

static void cycle_loop(void *context)
{
	struct subject *subject = context;

	for (uint32_t i = 0; i < CALLS / 2; i++)
		shmbus_cycle(subject->writer, &subject->cycle, i, i + 1, i + 2, 128);
	subject->filled = CALLS;
}

static void add_loop(void *context)
{
	struct subject *subject = context;

	for (uint32_t i = 0; i < CALLS; i++)
		shmbus_add(subject->writer, subject->counter, 1);
}

static void set_loop(void *context)
{
	struct subject *subject = context;

	for (uint32_t i = 0; i < CALLS; i++)
		shmbus_set(subject->writer, subject->gauge, (int64_t)i);
}

const struct bench_loop record_loops[RECORD_LOOPS] = {
	[RECORD_BARE] = {"record.bare_ns", "bare 16-byte store, release of a tail", bare_loop, NULL,
			 CALLS},
	[RECORD_AT] = {"record.record_at_ns", "shmbus_record_at", record_at_loop, filled_check,
		       CALLS},
	[RECORD_CLOCK] = {"record.clock_ns", "shmbus_now alone", clock_loop, NULL, CALLS},
	[RECORD_NOW] = {"record.record_ns", "shmbus_record, its clock read included", record_loop,
			filled_check, CALLS},
	[RECORD_CYCLE] = {"record.cycle_ns", "shmbus_cycle, two samples", cycle_loop, filled_check,
			  CALLS / 2},
	[RECORD_ADD] = {"record.add_ns", "shmbus_add", add_loop, NULL, CALLS},
	[RECORD_SET] = {"record.set_ns", "shmbus_set", set_loop, NULL, CALLS},
};

static void rounds_report(struct bench *bench, double ns[][RECORD_LOOPS], size_t count)
{
	double samples[ROUNDS_MAX];

	for (size_t i = 0; i < RECORD_LOOPS; i++) {
		for (size_t round = 0; round < count; round++)
			samples[round] = ns[round][i];
		bench_figure(bench, record_loops[i].id, record_loops[i].what, "ns", samples, count);
	}
	for (size_t round = 0; round < count; round++)
		samples[round] = ns[round][RECORD_AT] / ns[round][RECORD_BARE];
	bench_figure(bench, "record_bare_ratio", "shmbus_record_at / bare store", "x", samples,
		     count);
	for (size_t round = 0; round < count; round++)
		samples[round] = ns[round][RECORD_NOW] / ns[round][RECORD_CLOCK];
	bench_figure(bench, "record_clock_ratio", "shmbus_record / shmbus_now", "x", samples,
		     count);
}

static int record_run(struct bench *bench)
{
	size_t count = bench_rounds(bench, 15, ROUNDS_MAX);
	static double ns[ROUNDS_MAX][RECORD_LOOPS];
	struct subject *subject = NULL;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (!error)
		error = subject_create(SUBJECT_CAPACITY, &subject);
	if (error)
		return error;
	bench_cpu_pin(cpus.producer);
	error = bench_loops_run(record_loops, RECORD_LOOPS, subject, BATCHES, ns[0]); /* warm-up */
	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "round %zu of %zu", round + 1, count);
		error = bench_loops_run(record_loops, RECORD_LOOPS, subject, BATCHES, ns[round]);
	}
	bench_cpu_unpin();
	if (!error)
		rounds_report(bench, ns, count);
	subject_destroy(subject);
	return error;
}

const struct bench_part bench_part_record = {
	"record", "what a record costs, beside a bare store and a clock read", record_run, true};
