/* SPDX-License-Identifier: MIT */
/*
 * totals.h - the metrics of the whole bus, merged by name, kind and unit.
 *
 * A timer's or counter's total is what the checkpoints have added to it: the difference of a
 * session's metric to its last checkpoint. So totals outlive sessions and never go back. An
 * updown or a gauge is the merge of the sessions that are alive.
 *
 * Belongs to the checkpoint: the drain thread while the publisher waits, else the publisher.
 */
#ifndef SHMBUS_AGENT_TOTALS_H
#define SHMBUS_AGENT_TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include <ck_hs.h>

#include "session.h"

struct total {
	struct shmbus_metric_entry entry; /* of the first session that had it */
	uint32_t number;                  /* in totals.all */
	uint64_t sessions;                /* that ever had it */
	bool dirty;                       /* not saved yet */
	struct series series;             /* timers */
	struct slices slices;             /* timers; the publisher's */
	uint64_t counter;                 /* counters */
	/* The part of these that finished sessions gave: what is saved. */
	uint64_t kept_sessions;
	uint64_t kept_counter;
	struct series kept; /* without a window */
	struct cell cell;   /* whose body has the series' window, once it is taken */
	struct cell slices_cell;
	uint64_t slices_saved; /* slices.count when they were last saved */
	/* Gauges and updowns: merged anew for each snapshot, by the publisher. */
	uint64_t present;
	double merged;
	uint64_t states[SHMBUS_STATES_MAX]; /* sessions in each state of a state set */
};

struct totals {
	ck_hs_t index;
	struct total **all; /* in order of appearance */
	uint32_t count;
	uint32_t capacity;
	uint32_t window;
	uint64_t overflow; /* samples of names beyond the capacity, and of no known metric */
};

/* Returns 0 or -ENOMEM. */
int totals_init(struct totals *totals, uint32_t capacity, uint32_t window);
void totals_free(struct totals *totals);

/* The total of a metric, made where it is new. NULL: no room or no memory for one more. */
struct total *totals_of(struct totals *totals, const struct shmbus_metric_entry *entry);

/* Before a snapshot: forgets the merged gauges; then each live session is merged in. */
void totals_gauges_reset(struct totals *totals);
void totals_gauges_merge(struct totals *totals, const struct session *session);

/* Whether a session has anything to merge, ever. */
bool totals_gauges_any(const struct session *session);

#endif /* SHMBUS_AGENT_TOTALS_H */
