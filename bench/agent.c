/* SPDX-License-Identifier: MIT */
/*
 * agent.c - what a real agent costs under a steady load: its share of one processor, by the
 * kernel's account, and its memory, while one process records into many sessions.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>

#include "load.h"

#define ROUNDS_MAX 20

struct scenario {
	const char *id; /* of the processor's part */
	const char *memory_id;
	const char *name;
	uint32_t sessions;
	uint32_t timers;
	uint32_t hz;
	bool all_timers; /* at that rate; else the session is, its timers in turn */
	uint32_t seconds;
};

static const struct scenario scenarios[] = {
	{"agent_cpu_100x1k_percent", "agent.100x1k_rss_mib", "100x1k", 100, 8, 1000, false, 10},
	{"agent.1000x1k_cpu_percent", "agent.1000x1k_rss_mib", "1000x1k", 1000, 8, 1000, false, 10},
	{"agent.1000_idle_cpu_percent", "agent.1000_idle_rss_mib", "1000 idle", 1000, 8, 0, false,
	 10},
};

/* The rounds follow each other under one load: there is nothing to compare it with. */
static int scenario_measure(struct bench *bench, const struct scenario *scenario, struct load *load)
{
	size_t count = scenario->seconds < ROUNDS_MAX ? scenario->seconds : ROUNDS_MAX;
	double percent[ROUNDS_MAX], before = 0, after = 0, resident, own;
	uint64_t recorded, dropped;
	char what[96];
	int error = 0;

	for (size_t round = 0; !error && round < count; round++) {
		uint64_t start = bench_now_ns();

		bench_progress(bench, "%s, round %zu of %zu", scenario->name, round + 1, count);
		error = load_cpu_seconds(load, &before);
		load_run(load, scenario->hz, scenario->all_timers,
			 (double)scenario->seconds / (double)count);
		if (!error)
			error = load_cpu_seconds(load, &after);
		percent[round] = (after - before) * 1e11 / (double)(bench_now_ns() - start);
	}
	if (!error)
		error = load_memory_kib(load, &resident, &own);
	if (error)
		return error;
	load_account(load, &recorded, &dropped);
	snprintf(what, sizeof(what), "%s, part of one processor", scenario->name);
	bench_figure(bench, scenario->id, what, "%", percent, count);
	resident /= 1024;
	snprintf(what, sizeof(what), "%s, resident memory", scenario->name);
	bench_figure(bench, scenario->memory_id, what, "MiB", &resident, 1);
	bench_note(bench, "  %u sessions x %u timers, %u Hz %s, %u s: %llu samples, %llu dropped",
		   scenario->sessions, scenario->timers, scenario->hz,
		   scenario->all_timers ? "each timer" : "each session", scenario->seconds,
		   (unsigned long long)recorded, (unsigned long long)dropped);
	return 0;
}

static int scenario_run(struct bench *bench, const struct scenario *scenario)
{
	struct load_options options = {.sessions = scenario->sessions, .timers = scenario->timers};
	struct load *load;
	int error;

	bench_progress(bench, "%s, opening", scenario->name);
	error = load_start(&options, &load);
	if (error)
		return error;
	bench_progress(bench, "%s, warm-up", scenario->name);
	load_run(load, scenario->hz, scenario->all_timers, 3);
	error = scenario_measure(bench, scenario, load);
	load_stop(load);
	return error;
}

static int agent_run(struct bench *bench)
{
	const struct bench_options *asked = bench_options(bench);
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	bench_cpu_pin(cpus.producer);
	if (asked->sessions || asked->metrics || asked->rate_hz || asked->seconds) {
		struct scenario own = {.id = "agent.cpu_percent",
				       .memory_id = "agent.rss_mib",
				       .name = "as asked",
				       .sessions = asked->sessions ? asked->sessions : 1000,
				       .timers = asked->metrics ? asked->metrics : 8,
				       .hz = asked->rate_hz ? asked->rate_hz : 10,
				       .all_timers = true,
				       .seconds = asked->seconds ? asked->seconds : 60};

		error = scenario_run(bench, &own);
	} else {
		for (size_t i = 0; !error && i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
			struct scenario scenario = scenarios[i];

			scenario.seconds = (uint32_t)bench_rounds(bench, scenario.seconds, 60);
			error = scenario_run(bench, &scenario);
		}
	}
	bench_cpu_unpin();
	return error;
}

const struct bench_part bench_part_agent = {
	"agent", "what the agent costs under a steady load: 10 ms drains, 1 Hz snapshots",
	agent_run, true};
