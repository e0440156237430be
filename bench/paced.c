/* SPDX-License-Identifier: MIT */
/*
 * paced.c - what single records cost a thread that records at a steady pace, while an agent
 * empties its ring every 1 or 10 ms. Half of the time the same loop measures nothing: what the
 * clock, the interrupts and the pace itself cost is seen there, and taken away.
 */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "pace.h"
#include "subject.h"

#define ROUNDS_MAX 41

static const struct pace {
	const char *id;
	const char *what;
	uint32_t rate; /* a second */
	uint32_t drain_ms;
	uint32_t capacity; /* holds what comes between two drains, twice */
} paces[] = {
	{"1m_1ms", "1 M/s, drained every 1 ms", 1000000, 1, SHMBUS_RING_DEFAULT},
	{"1m_10ms", "1 M/s, drained every 10 ms", 1000000, 10, SHMBUS_RING_DEFAULT * 2},
	{"10m_1ms", "10 M/s, drained every 1 ms", 10000000, 1, SHMBUS_RING_DEFAULT * 2},
	{"10m_10ms", "10 M/s, drained every 10 ms", 10000000, 10, SHMBUS_RING_DEFAULT * 16},
};

#define GATED 2 /* an agent comes that often when rings fill that fast */

enum { EMPTY, RECORD, SUBJECTS };

struct run {
	struct subject *subject;
	const struct pace *pace;
	uint32_t calls; /* of each in a slice of a round */
	_Atomic(bool) done;
	struct bench_distribution round[SUBJECTS];
	struct bench_distribution all[SUBJECTS];
};

static void empty_call(void *context, uint64_t due, uint64_t now)
{
	(void)context;
	(void)due;
	(void)now;
}

static void record_call(void *context, uint64_t due, uint64_t now)
{
	struct subject *subject = context;

	shmbus_record_at(subject->writer, subject->timer, due, now);
}

static void pace_calls(struct run *run, int what)
{
	uint32_t rate = run->pace->rate;

	if (what == RECORD)
		bench_pace(rate, run->calls, record_call, run->subject, &run->round[RECORD]);
	else
		bench_pace(rate, run->calls, empty_call, NULL, &run->round[EMPTY]);
}

static void produce(void *context)
{
	struct run *run = context;

	/* In slices that take turns, so that both see the same disturbances. */
	for (int i = 0; i < 4; i++) {
		pace_calls(run, i % 2 ? RECORD : EMPTY);
		pace_calls(run, i % 2 ? EMPTY : RECORD);
	}
	/* release: pairs with the load in consume(). */
	atomic_store_explicit(&run->done, true, memory_order_release);
}

static void consume(void *context)
{
	struct run *run = context;
	struct timespec pause = {.tv_nsec = (long)run->pace->drain_ms * 1000000};

	while (!atomic_load_explicit(&run->done, memory_order_acquire)) {
		subject_drain(run->subject);
		nanosleep(&pause, NULL);
	}
}

static int round_run(struct run *run, const struct bench_cpus *cpus)
{
	struct subject *subject = run->subject;
	int error;

	for (int k = 0; k < SUBJECTS; k++)
		bench_distribution_clear(&run->round[k]);
	atomic_store(&run->done, false);
	error = bench_pair_run(cpus, produce, consume, run);
	/* The child's position is lost with the child: go on where it gave back. */
	subject->consumer.writers[0]->ring.position =
		atomic_load_explicit(subject->consumer.writers[0]->head, memory_order_relaxed);
	subject_drain(subject);
	return error;
}

/* The quantiles of all rounds, of the record and of nothing. */
static void distributions_report(struct bench *bench, const struct run *run)
{
	static const double quantiles[] = {0.5, 0.99, 0.999, 0.9999, 1};
	static const char *const names[] = {"p50", "p99", "p99.9", "p99.99", "max"};
	char text[2][128] = {"", ""}, name[64];

	for (int k = 0; k < SUBJECTS; k++) {
		size_t used = 0;

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			used += (size_t)snprintf(
				text[k] + used, sizeof(text[k]) - used, " %s %.4g", names[i],
				bench_distribution_quantile(&run->all[k], quantiles[i]) *
					bench_ns_per_tick());
		bench_note(bench, "  %s:%s ns", k == RECORD ? "with a record" : "empty", text[k]);
		snprintf(name, sizeof(name), "%s, %s", run->pace->what,
			 k == RECORD ? "record" : "empty");
		bench_distribution_curve(bench, "latency", name, &run->all[k]);
	}
}

static void pace_report(struct bench *bench, const struct run *run, double p50[], double p99[],
			size_t count)
{
	struct shmbus_writer_stats stats;
	char id[64], what[96];

	snprintf(id, sizeof(id), "paced.%s_p50_net_ns", run->pace->id);
	snprintf(what, sizeof(what), "%s, p50 net", run->pace->what);
	bench_figure(bench, id, what, "ns", p50, count);
	snprintf(id, sizeof(id), "paced.%s_p99_net_ns", run->pace->id);
	snprintf(what, sizeof(what), "%s, p99 net", run->pace->what);
	bench_figure(bench, run->pace == &paces[GATED] ? "paced_p99_net_ns" : id, what, "ns", p99,
		     count);
	distributions_report(bench, run);
	shmbus_writer_stats_get(run->subject->writer, &stats);
	bench_note(bench, "  %llu records, ring of %u, %llu dropped",
		   (unsigned long long)stats.attempted, run->pace->capacity,
		   (unsigned long long)stats.dropped);
}

static int pace_run(struct bench *bench, struct run *run, const struct bench_cpus *cpus)
{
	size_t count = bench_rounds(bench, 15, ROUNDS_MAX);
	double p50[ROUNDS_MAX], p99[ROUNDS_MAX];
	int error = subject_create(run->pace->capacity, &run->subject);

	if (error)
		return error;
	run->calls = run->pace->rate / 20; /* 50 ms */
	error = round_run(run, cpus);      /* warm-up */
	for (int k = 0; k < SUBJECTS; k++)
		bench_distribution_clear(&run->all[k]);
	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "%s, round %zu of %zu", run->pace->what, round + 1, count);
		error = round_run(run, cpus);
		p50[round] = bench_distribution_quantile(&run->round[RECORD], 0.5);
		p50[round] -= bench_distribution_quantile(&run->round[EMPTY], 0.5);
		p99[round] = bench_distribution_quantile(&run->round[RECORD], 0.99);
		p99[round] -= bench_distribution_quantile(&run->round[EMPTY], 0.99);
		p50[round] *= bench_ns_per_tick();
		p99[round] *= bench_ns_per_tick();
		for (int k = 0; k < SUBJECTS; k++)
			bench_distribution_merge(&run->all[k], &run->round[k]);
	}
	if (!error)
		pace_report(bench, run, p50, p99, count);
	subject_destroy(run->subject);
	return error;
}

static int paced_run(struct bench *bench)
{
	struct run *run;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	if (cpus.producer == cpus.consumer) {
		bench_missing(bench, "paced_p99_net_ns", "10 M/s, p99 net",
			      "two processors are needed");
		return 0;
	}
	run = bench_shared_alloc(sizeof(*run));
	if (!run)
		return -ENOMEM;
	bench_note(bench, "the clock moves in steps of %.3g ns: a single time is known to one step",
		   (double)bench_tick_step() * bench_ns_per_tick());
	for (size_t i = 0; !error && i < sizeof(paces) / sizeof(paces[0]); i++) {
		run->pace = &paces[i];
		error = pace_run(bench, run, &cpus);
	}
	bench_shared_free(run, sizeof(*run));
	return error;
}

const struct bench_part bench_part_paced = {
	"paced", "single records at a steady pace, and their percentiles", paced_run, true};
