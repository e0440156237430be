/* SPDX-License-Identifier: MIT */
/*
 * scale.c - whether a session costs the agent more where there are more of them: its processor
 * time for one session and second, from 10 sessions to 4000, each with 8 timers and 10 samples
 * a second of each.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>

#include "load.h"

#define TIMERS 8u
#define RATE_HZ 10u
#define ROUNDS_MAX 20
#define SESSION_KIB 600 /* that must be free for each */

static const uint32_t session_counts[] = {10, 100, 1000, 4000};

#define COUNTS (sizeof(session_counts) / sizeof(session_counts[0]))

static double memory_free_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib = 0;

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	fclose(file);
	return (double)kib;
}

/* Microseconds of the agent's processor time for one session and second, round by round. */
static int count_measure(struct bench *bench, uint32_t sessions, double us[ROUNDS_MAX],
			 size_t rounds)
{
	struct load_options options = {.sessions = sessions, .timers = TIMERS, .capacity = 1024};
	double before = 0, after = 0;
	struct load *load;
	int error;

	bench_progress(bench, "%u sessions, opening", sessions);
	error = load_start(&options, &load);
	if (error)
		return error;
	bench_progress(bench, "%u sessions, warm-up", sessions);
	load_run(load, RATE_HZ, true, 3);
	for (size_t round = 0; !error && round < rounds; round++) {
		uint64_t start = bench_now_ns();

		bench_progress(bench, "%u sessions, round %zu of %zu", sessions, round + 1, rounds);
		error = load_cpu_seconds(load, &before);
		load_run(load, RATE_HZ, true, 1);
		if (!error)
			error = load_cpu_seconds(load, &after);
		us[round] = (after - before) * 1e15 / (double)(bench_now_ns() - start) / sessions;
	}
	load_stop(load);
	return error;
}

static int scale_run(struct bench *bench)
{
	size_t rounds = bench_rounds(bench, 5, ROUNDS_MAX), measured = 0;
	double us[ROUNDS_MAX], medians[COUNTS], ratio;
	struct bench_point points[COUNTS];
	struct bench_cpus cpus;
	char id[64], what[96];
	int error = bench_cpus_find(&cpus);

	bench_cpu_pin(cpus.producer);
	for (; !error && measured < COUNTS; measured++) {
		uint32_t sessions = session_counts[measured];

		snprintf(id, sizeof(id), "scale.%u_us", sessions);
		snprintf(what, sizeof(what), "%u sessions, each a second", sessions);
		if (memory_free_kib() < (double)sessions * SESSION_KIB) {
			bench_missing(bench, id, what, "%u MiB of memory are not free",
				      sessions * SESSION_KIB / 1024);
			break;
		}
		error = count_measure(bench, sessions, us, rounds);
		if (error)
			break;
		bench_figure(bench, id, what, "us", us, rounds);
		medians[measured] = bench_quantile(us, rounds, 0.5);
		points[measured] = (struct bench_point){sessions, medians[measured]};
	}
	bench_cpu_unpin();
	if (error)
		return error;
	bench_curve(bench, "scale", "the agent's processor time", "sessions", "us", points,
		    measured);
	/* Few sessions carry what an agent costs anyhow; from 100 on it is the sessions. */
	if (measured > 2) {
		ratio = medians[measured - 1] / medians[1];
		snprintf(what, sizeof(what), "a session among %u / among 100",
			 session_counts[measured - 1]);
		bench_figure(bench, "scale.session_ratio", what, "x", &ratio, 1);
	}
	return 0;
}

const struct bench_part bench_part_scale = {
	"scale", "the agent's time for a session, from 10 sessions to 4000", scale_run, true};
