/* SPDX-License-Identifier: MIT */
/*
 * cold.c - what a record costs a thread that did much else since the last one: 4 or 16 MiB of
 * memory are read and written between two, so that nothing of the ring, of the writer or of the
 * code is left in the small caches. Each record is timed alone, until its stores are seen by
 * all; a measurement of nothing is taken away. Each round has a session and memory of its own:
 * which of their pages get into each other's way in a cache is chance.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "subject.h"

#define ROUNDS_MAX 31
#define TIMES 40u /* of each in a round */
#define LINE 64u

enum { EMPTY, BARE, RECORD, SUBJECTS };

static const size_t sizes_mib[] = {4, 16};

struct cold {
	struct subject *subject;
	uint8_t *memory;
	size_t size;
};

static void memory_touch(const struct cold *cold)
{
	for (size_t i = 0; i < cold->size; i += LINE)
		(*(volatile uint8_t *)&cold->memory[i])++;
}

static uint64_t once(struct subject *subject, int what, uint64_t i)
{
	uint64_t start = bench_now_ordered();

	if (what == BARE)
		subject_bare_store(subject, i, i << 14);
	else if (what == RECORD)
		shmbus_record_at(subject->writer, subject->timer, i, 2 * i);
	return bench_now_ordered() - start;
}

/* The median of each, in turn; nanoseconds. */
static void times_take(const struct cold *cold, double ns[SUBJECTS])
{
	double times[SUBJECTS][TIMES];

	for (uint32_t i = 0; i < TIMES; i++) {
		for (int k = 0; k < SUBJECTS; k++) {
			int what = (int)((uint32_t)k + i) % SUBJECTS;

			memory_touch(cold);
			times[what][i] = (double)once(cold->subject, what, i) * bench_ns_per_tick();
		}
	}
	for (int what = 0; what < SUBJECTS; what++)
		ns[what] = bench_quantile(times[what], TIMES, 0.5);
}

static int round_run(size_t size, double ns[SUBJECTS])
{
	struct cold cold = {.size = size, .memory = bench_shared_alloc(size)};
	int error;

	if (!cold.memory)
		return -ENOMEM;
	error = subject_create(SUBJECT_CAPACITY, &cold.subject);
	if (!error) {
		times_take(&cold, ns);
		subject_destroy(cold.subject);
	}
	bench_shared_free(cold.memory, size);
	return error;
}

static void rounds_report(struct bench *bench, size_t mib, double ns[][SUBJECTS], size_t count)
{
	static const char *const names[SUBJECTS] = {"empty", "bare", "record"};
	static const char *const texts[SUBJECTS] = {"an empty measurement", "bare store, net",
						    "shmbus_record_at, net"};
	double samples[ROUNDS_MAX];
	char id[64], what[96];

	for (int k = 0; k < SUBJECTS; k++) {
		for (size_t round = 0; round < count; round++)
			samples[round] = ns[round][k] - (k == EMPTY ? 0 : ns[round][EMPTY]);
		snprintf(id, sizeof(id), "cold.%zum_%s_ns", mib, names[k]);
		snprintf(what, sizeof(what), "%s, %zu MiB between", texts[k], mib);
		bench_figure(bench, id, what, "ns", samples, count);
	}
	for (size_t round = 0; round < count; round++) {
		double bare = ns[round][BARE] - ns[round][EMPTY];

		/* Not below what the clock can tell apart. */
		if (bare < (double)bench_tick_step() * bench_ns_per_tick())
			bare = (double)bench_tick_step() * bench_ns_per_tick();
		samples[round] = (ns[round][RECORD] - ns[round][EMPTY]) / bare;
	}
	snprintf(id, sizeof(id), mib == 4 ? "cold_ratio" : "cold.%zum_ratio", mib);
	snprintf(what, sizeof(what), "cold record / cold bare store, %zu MiB", mib);
	bench_figure(bench, id, what, "x", samples, count);
}

static int size_run(struct bench *bench, size_t mib)
{
	static double ns[ROUNDS_MAX][SUBJECTS];
	size_t count = bench_rounds(bench, 11, ROUNDS_MAX);
	int error = round_run(mib << 20, ns[0]); /* warm-up */

	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "%zu MiB, round %zu of %zu", mib, round + 1, count);
		error = round_run(mib << 20, ns[round]);
	}
	if (!error)
		rounds_report(bench, mib, ns, count);
	return error;
}

static int cold_run(struct bench *bench)
{
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	bench_cpu_pin(cpus.producer);
	for (size_t i = 0; !error && i < sizeof(sizes_mib) / sizeof(sizes_mib[0]); i++)
		error = size_run(bench, sizes_mib[i]);
	bench_cpu_unpin();
	return error;
}

const struct bench_part bench_part_cold = {"cold", "a record after other work has used the caches",
					   cold_run, true};
