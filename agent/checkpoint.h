/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.h - the one moment at which what was folded becomes what is known.
 *
 * At each tick the drain thread, once the publisher waits, goes through the sessions: what a
 * session's live series have beyond the committed ones is added to the totals of the bus, then
 * the committed ones are brought up to the live ones, positions and counts with them. Only what
 * changed is copied. Then the publisher runs on the committed state, and the drain thread goes
 * on with the live one: they take turns with it (turns.h).
 */
#ifndef SHMBUS_AGENT_CHECKPOINT_H
#define SHMBUS_AGENT_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "registry.h"
#include "totals.h"
#include "turns.h"

/* The agent's own numbers, as of the checkpoint. */
struct checkpoint_numbers {
	uint64_t samples_total;
	uint64_t dropped_total;
	uint64_t sessions_ended;
	uint64_t sessions_lost;
	uint64_t drain_lag_ns; /* the longest time between two looks at a ring since the last one */
	uint64_t drain_period_ns;
	uint64_t clock_backward_total;
	uint64_t overruns;            /* ticks at which the publisher was not done yet */
	uint64_t checkpoint_bytes;    /* of the store's file */
	uint64_t checkpoint_failures; /* times that there was no room in it */
};

struct checkpoint {
	struct turns turns; /* of the drain thread and the publisher */
	struct checkpoint_numbers numbers;
};

/* Whether the publisher has done with the last one. The drain thread. */
bool checkpoint_possible(const struct checkpoint *checkpoint);

/* Brings a session's committed state up to its live one. Slots and accounts have been sampled
 * into `live` before. The drain thread, in a checkpoint. */
void checkpoint_session(struct session *session, struct totals *totals,
			struct checkpoint_numbers *numbers);

/* Hands the committed state to the publisher. The drain thread. */
void checkpoint_hand_over(struct checkpoint *checkpoint, const struct checkpoint_numbers *numbers);

#endif /* SHMBUS_AGENT_CHECKPOINT_H */
