/* SPDX-License-Identifier: MIT */
/*
 * restart.c - how long there is nothing new to see after the agent was killed and started again:
 * from its start to its first snapshot, with all sessions taken up from the checkpoint.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>

#include "load.h"

#define ROUNDS_MAX 20
#define CAPACITY 1024u

static const struct kind {
	const char *id;
	const char *what;
	const char *cpu_id;
	uint32_t sessions;
	uint32_t timers;
} kinds[] = {
	{"restart.5000_ms", "5000 sessions of one timer", "restart.5000_cpu_ms", 5000, 1},
	{"restart.1000x8_ms", "1000 sessions of 8 timers", "restart.1000x8_cpu_ms", 1000, 8},
};

/* Whether the new agent has the samples of the last one. */
static int whole(const struct load *load, uint64_t samples)
{
	struct load_numbers numbers;
	int error = load_numbers_read(load, &numbers);

	if (error)
		return error;
	return numbers.samples_total == samples ? 0 : -EBADMSG;
}

static int measure(struct bench *bench, const struct kind *kind, size_t rounds)
{
	struct load_options options = {
		.sessions = kind->sessions,
		.timers = kind->timers,
		.capacity = CAPACITY,
	};
	double ms[ROUNDS_MAX], cpu_ms[ROUNDS_MAX];
	struct load *load;
	int error;

	bench_progress(bench, "%s", kind->what);
	error = load_start(&options, &load);
	if (error)
		return error;
	for (uint32_t i = 0; i < 100; i++)
		load_record_all(load, kind->sessions);
	for (size_t round = 0; !error && round < rounds; round++) {
		load_run(load, 0, false, 4); /* all is drained and checkpointed */
		error = load_restart(load, &ms[round]);
		/* Beside the time, which is longer where the machine has other things to do. */
		if (!error)
			error = load_cpu_seconds(load, &cpu_ms[round]);
		cpu_ms[round] *= 1000;
		if (!error)
			error = whole(load, 100u * kind->sessions * kind->timers);
	}
	if (!error) {
		bench_figure(bench, kind->id, kind->what, "ms", ms, rounds);
		bench_figure(bench, kind->cpu_id, "  of it the agent's processor time", "ms",
			     cpu_ms, rounds);
	}
	load_stop(load);
	return error;
}

static int restart_run(struct bench *bench)
{
	size_t rounds = bench_rounds(bench, 5, ROUNDS_MAX);
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		error = measure(bench, &kinds[i], rounds);
	return error;
}

const struct bench_part bench_part_restart = {
	"restart", "from a killed agent to the next one's first snapshot", restart_run, false};
