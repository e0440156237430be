/* SPDX-License-Identifier: MIT */
/*
 * model_turns.c - the hand-over of the checkpoint under C11's memory model: the drain thread
 * changes the committed state, the publisher reads it, and turns.h keeps them apart. See model.h;
 * build/ci/tests/model_turns runs it.
 *
 * The state is a plain object: that it is read while it is changed, or before that is ordered, is
 * a data race.
 */
#include "model.h"
#include "turns.h"

#define TURNS 3u
#define LOOKS 6u

struct shared {
	struct turns turns;
	uint64_t state; /* the number of the turn that it is of */
};

static struct shared *const shared = (struct shared *)(void *)model_memory;

static void begin(void)
{
	model_atomic(&shared->turns.given);
	model_atomic(&shared->turns.done);
	model_ordered(&shared->state);
}

/* As drain_thread(): who may not is not waited for. */
static void give(void)
{
	uint64_t given = 0;

	for (unsigned i = 0; i < LOOKS && given < TURNS; i++) {
		if (!turns_possible(&shared->turns))
			continue;
		model_written(&shared->state);
		shared->state = ++given;
		turns_give(&shared->turns);
	}
}

/* As publish_thread(). */
static void take(void)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < LOOKS; i++) {
		uint64_t taken = turns_taken(&shared->turns), state;

		if (taken == done)
			continue;
		model_copy(&state, &shared->state, sizeof state);
		model_check(state == taken, "the state of the turn");
		model_check(taken == done + 1, "no turn is left out");
		done = taken;
		turns_done(&shared->turns, taken);
	}
}

static void after(void)
{
	uint64_t taken = turns_taken(&shared->turns), state;

	model_copy(&state, &shared->state, sizeof state);
	model_check(state == taken, "the state of the last turn");
}

const struct model_case model_cases[] = {
	{"turns", begin, {give, take}, after},
};
const size_t model_case_count = sizeof model_cases / sizeof model_cases[0];

const struct model_edge model_edges[] = {
	{"R-given", "turns_give", MODEL_RELEASE},
	{"A-given", "turns_taken", MODEL_ACQUIRE},
	{"R-done", "turns_done", MODEL_RELEASE},
	{"A-done", "turns_possible", MODEL_ACQUIRE},
};
const size_t model_edge_count = sizeof model_edges / sizeof model_edges[0];

const uint64_t model_executions = 1000000;
