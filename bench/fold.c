/* SPDX-License-Identifier: MIT */
/*
 * fold.c - how many samples a second the agent's own code aggregates on one processor: into the
 * lifetime, the histogram and the window of metrics that are too many for the small caches, and,
 * beside that, all of a drain, the reading of the rings included. No agent runs: its sessions are
 * made here, from segments of this process.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <shmbus/producer.h>

#include "drain.h"
#include "guard.h"

#define TIMERS 8u
#define BATCH 128u /* samples of one session at a time: 16 for each of its timers */
#define VALUES 4096u
#define ROUNDS_MAX 31

static const uint32_t session_counts[] = {1, 100, 1000};

struct folder {
	struct shmbus_session *producer;
	struct shmbus_writer *writer;
	shmbus_metric timers[TIMERS];
	struct session *session; /* the agent's half */
	uint64_t folded;         /* that its lifetimes must show */
};

static int folder_open(struct folder *folder, const char *bus, uint64_t key)
{
	struct shmbus_session_options options = {.bus = bus, .service = "bench"};
	struct shmbus_writer_options ring = {.capacity = BATCH * 2};
	struct shmbus_metric_options timer = {.kind = SHMBUS_TIMER};
	struct shmbus_consumer *consumer;
	char name[16];
	int error = shmbus_session_open(&options, &folder->producer);

	if (!error)
		error = shmbus_writer_open(folder->producer, &ring, &folder->writer);
	for (uint32_t i = 0; !error && i < TIMERS; i++) {
		snprintf(name, sizeof(name), "timer%u", i);
		timer.name = name;
		error = shmbus_metric_define(folder->producer, &timer, &folder->timers[i]);
	}
	if (error)
		return error;
	consumer = malloc(sizeof(*consumer));
	if (!consumer)
		return -ENOMEM;
	error = shmbus_consumer_attach(consumer, shmbus_session_segment(folder->producer));
	if (error) {
		free(consumer);
		return error;
	}
	folder->session = session_new(consumer, key);
	if (folder->session)
		return 0;
	shmbus_consumer_detach(consumer);
	free(consumer);
	return -ENOMEM;
}

static void folder_close(struct folder *folder)
{
	if (folder->session) {
		shmbus_consumer_detach(folder->session->consumer);
		session_free(folder->session);
	}
	if (folder->producer && shmbus_session_segment(folder->producer)[0] != '\0')
		shm_unlink(shmbus_session_segment(folder->producer));
	shmbus_session_close(folder->producer);
}

/* Durations as they come: most close together, some far out. */
static void values_make(uint64_t values[VALUES])
{
	uint64_t random = 88172645463325252u;

	for (uint32_t i = 0; i < VALUES; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		values[i] = 100000 + random % 40000;
		if (i % 64 == 0)
			values[i] *= 1 + random % 16;
	}
}

/* What drain.c does with each sample of a timer, without the ring before it. */
static double fold_pass(struct folder *folders, uint32_t count, const uint64_t values[VALUES])
{
	uint64_t start = shmbus_now();

	for (uint32_t s = 0; s < count; s++) {
		struct metric **metrics = folders[s].session->metrics;

		for (uint32_t i = 0; i < BATCH; i++) {
			struct series *live = &metrics[i % TIMERS]->live;
			uint64_t value = values[(s * BATCH + i) % VALUES];

			lifetime_fold(&live->lifetime, value);
			histogram_fold(&live->histogram, value);
			window_fold(live->window, value);
		}
		folders[s].folded += BATCH;
	}
	return (double)(shmbus_now() - start) * bench_ns_per_tick();
}

static void rings_fill(struct folder *folders, uint32_t count, const uint64_t values[VALUES])
{
	for (uint32_t s = 0; s < count; s++)
		for (uint32_t i = 0; i < BATCH; i++)
			shmbus_record_value_at(folders[s].writer, folders[s].timers[i % TIMERS],
					       values[(s * BATCH + i) % VALUES], i);
}

static double drain_pass(struct drain *drain, struct folder *folders, uint32_t count)
{
	uint64_t start = shmbus_now();

	for (uint32_t s = 0; s < count; s++) {
		drain_session(drain, folders[s].session);
		drain_give_back(folders[s].session);
		folders[s].folded += BATCH;
	}
	return (double)(shmbus_now() - start) * bench_ns_per_tick();
}

/* Passes of both in turn until enough samples were seen; million samples a second. */
static void round_run(struct drain *drain, struct folder *folders, uint32_t count, double *fold,
		      double *whole)
{
	static uint64_t values[VALUES];
	uint32_t passes = 1 + 4000000 / (count * BATCH);
	double fold_ns = 0, whole_ns = 0;

	if (values[0] == 0)
		values_make(values);
	for (uint32_t pass = 0; pass < passes; pass++) {
		fold_ns += fold_pass(folders, count, values);
		rings_fill(folders, count, values);
		whole_ns += drain_pass(drain, folders, count);
	}
	*fold = (double)passes * count * BATCH * 1e3 / fold_ns;
	*whole = (double)passes * count * BATCH * 1e3 / whole_ns;
}

/* All that was folded stands in the lifetimes, and in the histograms. */
static int folders_check(const struct folder *folders, uint32_t count)
{
	for (uint32_t s = 0; s < count; s++) {
		uint64_t folded = 0, counted = 0;

		for (uint32_t i = 0; i < TIMERS; i++) {
			const struct series *live = &folders[s].session->metrics[i]->live;

			folded += live->lifetime.count;
			counted += histogram_count(&live->histogram);
		}
		if (folded != folders[s].folded || counted != folded) {
			fprintf(stderr, "shmbus-bench: samples were lost or folded twice\n");
			return -EBADMSG;
		}
	}
	return 0;
}

static int rounds_run(struct bench *bench, struct folder *folders, uint32_t count)
{
	size_t rounds = bench_rounds(bench, 9, ROUNDS_MAX);
	struct drain drain = {.window_default = SHMBUS_WINDOW_DEFAULT};
	double fold[ROUNDS_MAX], whole[ROUNDS_MAX];
	char id[64], what[96];
	int error;

	/* The first drain makes the metrics. */
	for (uint32_t s = 0; s < count; s++)
		drain_session(&drain, folders[s].session);
	round_run(&drain, folders, count, &fold[0], &whole[0]); /* warm-up */
	for (size_t round = 0; round < rounds; round++) {
		bench_progress(bench, "%u sessions, round %zu of %zu", count, round + 1, rounds);
		round_run(&drain, folders, count, &fold[round], &whole[round]);
	}
	error = folders_check(folders, count);
	if (error)
		return error;
	snprintf(id, sizeof(id), count == 1 ? "fold.1_msps" : "fold_%u_msps", count);
	snprintf(what, sizeof(what), "lifetime, histogram, window; %u sessions", count);
	bench_figure(bench, id, what, "M/s", fold, rounds);
	snprintf(id, sizeof(id), "fold.drain_%u_msps", count);
	snprintf(what, sizeof(what), "a whole drain; %u sessions", count);
	bench_figure(bench, id, what, "M/s", whole, rounds);
	return 0;
}

static int count_run(struct bench *bench, uint32_t count)
{
	struct folder *folders = calloc(count, sizeof(*folders));
	char bus[SHMBUS_BUS_SIZE];
	int error = 0;

	if (!folders)
		return -ENOMEM;
	bench_bus_name(bus, sizeof(bus));
	bench_progress(bench, "%u sessions, opening", count);
	for (uint32_t s = 0; !error && s < count; s++)
		error = folder_open(&folders[s], bus, s + 1);
	if (!error)
		error = rounds_run(bench, folders, count);
	for (uint32_t s = 0; s < count; s++)
		folder_close(&folders[s]);
	free(folders);
	return error;
}

static int fold_run(struct bench *bench)
{
	struct bench_cpus cpus;
	struct rlimit files;
	int error = bench_cpus_find(&cpus);

	if (!error)
		error = guard_init();
	if (error)
		return error;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	bench_cpu_pin(cpus.consumer);
	for (size_t i = 0; !error && i < sizeof(session_counts) / sizeof(session_counts[0]); i++)
		error = count_run(bench, session_counts[i]);
	bench_cpu_unpin();
	return error;
}

const struct bench_part bench_part_fold = {
	"fold", "samples that the agent's code aggregates, 8 timers a session", fold_run, true};
