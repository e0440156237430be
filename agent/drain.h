/* SPDX-License-Identifier: MIT */
/* drain.h - one session's rings and slots into its live series. The drain thread alone. */
#ifndef SHMBUS_AGENT_DRAIN_H
#define SHMBUS_AGENT_DRAIN_H

#include "session.h"

/* What one pass over the sessions is made with. */
struct drain {
	struct tick_scale counter_scale; /* of the processor's counter */
	uint64_t now_ticks;              /* all four at the start of the pass */
	uint64_t now_ns;
	uint64_t now_unix_ns;
	uint32_t window_default;
	uint64_t samples; /* read in this pass */
	uint32_t fullest; /* ring, in percent */
	bool hungry;      /* a producer should get slots back before the next tick */
	uint64_t clock_backward_total;
};

/* Gives the slots of all samples that were folded back to the producer: after a commit. */
void drain_give_back(struct session *session);

/*
 * Reads what the session's producer has published and folds it; the slots stay taken. With `final`
 * the producer is known to be gone and the rings are read to the last published sample. Guarded: a
 * segment that was cut short becomes a fault of that session.
 */
void drain_session(struct drain *drain, struct session *session, bool final);

/* Reads the slots and the counts of drops: before a checkpoint, and after the last drain. */
void drain_sample_slots(struct session *session);

#endif /* SHMBUS_AGENT_DRAIN_H */
