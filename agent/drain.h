/* SPDX-License-Identifier: MIT */
/* drain.h - one session's rings and slots into its live series. The drain thread alone. */
#ifndef SHMBUS_AGENT_DRAIN_H
#define SHMBUS_AGENT_DRAIN_H

#include "session.h"

/* Records that one pass may read of one session: less than a millisecond's work, so that a
 * producer that never stops does not keep the others waiting. */
#define DRAIN_SHARE 65536u

/* What one pass over the sessions is made with. */
struct drain {
	struct tick_scale counter_scale; /* of the processor's counter */
	uint64_t now_ticks;              /* all four at the start of the pass */
	uint64_t now_ns;
	uint64_t now_unix_ns;
	uint32_t window_default;
	uint64_t samples; /* read in this pass */
	uint32_t fullest; /* ring, in percent */
	bool cut;         /* a session had more than its share: the next pass should come soon */
	bool hungry;      /* a producer should get slots back before the next tick */
	uint64_t clock_backward_total;
};

/* Gives the slots of all samples that were folded back to the producer: after a commit. */
void drain_give_back(struct session *session);

/* Before the session at this place of a list is drained: fetches what the next ones will need. */
void drain_fetch(struct session *const sessions[], uint32_t count, uint32_t at);

/* Reads what the session's producer has published, its share of it at most, and folds it; the
 * slots stay taken. Guarded: a segment that was cut short becomes a fault of that session. */
void drain_session(struct drain *drain, struct session *session);

/*
 * The same, of a producer that is known to be gone. Returns true when the last published sample
 * was read; false when there may be more, for the next pass. Who gave the lock away and writes on
 * is read for twice what the rings hold.
 */
bool drain_last(struct drain *drain, struct session *session);

/* Reads the slots and the counts of drops: before a checkpoint, and after the last drain. */
void drain_sample_slots(struct session *session);

#endif /* SHMBUS_AGENT_DRAIN_H */
