/* SPDX-License-Identifier: MIT */
/*
 * memory.c - what one more session takes: its segment, the agent's own memory for it and its share
 * of the checkpoint; beside that, of the snapshot's file, which grows in steps. All with default
 * options, 8 timers whose windows are full. It is the difference between few sessions and many, so
 * that what an agent takes anyhow is not in it.
 */
#include "bench.h"

#include <stdio.h>

#include "load.h"

#define TIMERS 8u
#define FEW 20u
#define MANY 220u

struct taken {
	double own_kib;
	struct load_space space;
};

static int taken_measure(struct bench *bench, uint32_t sessions, struct taken *out)
{
	struct load_options options = {.sessions = sessions, .timers = TIMERS};
	double resident;
	struct load *load;
	int error;

	bench_progress(bench, "%u sessions", sessions);
	error = load_start(&options, &load);
	if (error)
		return error;
	/* A full window each; no more than a ring holds between two drains. */
	for (uint32_t i = 0; i < SHMBUS_WINDOW_DEFAULT + 200; i++) {
		load_record_all(load, sessions);
		if (i % 200 == 199)
			load_run(load, 0, false, 0.2);
	}
	load_run(load, 0, false, 13); /* all is checkpointed, the time windows in turn too */
	error = load_memory_kib(load, &resident, &out->own_kib);
	if (!error)
		error = load_space_read(load, &out->space);
	load_stop(load);
	return error;
}

static int memory_run(struct bench *bench)
{
	const double more = MANY - FEW;
	struct taken few, many;
	double segment, own, checkpoint, snapshot, whole;
	int error = taken_measure(bench, FEW, &few);

	if (!error)
		error = taken_measure(bench, MANY, &many);
	if (error)
		return error;
	segment = (many.space.sessions_kib - few.space.sessions_kib) / more;
	own = (many.own_kib - few.own_kib) / more;
	checkpoint = (many.space.checkpoint_kib - few.space.checkpoint_kib) / more;
	snapshot = (many.space.snapshot_kib - few.space.snapshot_kib) / more;
	whole = segment + own + checkpoint;
	bench_figure(bench, "memory.segment_kib", "its segment", "KiB", &segment, 1);
	bench_figure(bench, "memory.agent_kib", "the agent's own memory for it", "KiB", &own, 1);
	bench_figure(bench, "memory.checkpoint_kib", "its share of the checkpoint", "KiB",
		     &checkpoint, 1);
	bench_figure(bench, "memory_session_kib", "these three", "KiB", &whole, 1);
	bench_figure(bench, "memory.snapshot_kib", "its share of the snapshot's file", "KiB",
		     &snapshot, 1);
	bench_note(bench, "%u sessions less %u, 8 timers, full windows; the agent itself: %.0f KiB",
		   MANY, FEW, few.own_kib - own * FEW);
	return 0;
}

const struct bench_part bench_part_memory = {
	"memory", "what a session takes, 8 timers, default options", memory_run, true};
