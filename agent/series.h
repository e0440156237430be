/* SPDX-License-Identifier: MIT */
/*
 * series.h - all that is kept of one timer: exact totals, histogram, the last samples, how it
 * stands to its target and its deadline.
 *
 * A metric has two: the live one, which the drain thread folds samples into, and the committed
 * one, which the checkpoint brings up to date and the publisher reads. What the live one has
 * beyond the committed one is what the checkpoint adds to the totals of the bus.
 */
#ifndef SHMBUS_AGENT_SERIES_H
#define SHMBUS_AGENT_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#include <shmbus/layout.h>

#include "histogram.h"
#include "lifetime.h"
#include "window.h"

/* The largest sample, and what it belonged to. */
struct worst {
	uint64_t value;
	uint64_t time_unix_ns;
	uint64_t correlation_id; /* 0: none */
};

/* Against a period: for a cycle WAIT + BUSY is held against it, else the sample itself. */
struct deadline {
	uint64_t misses;
	uint64_t run; /* misses in a row up to now */
	uint64_t run_max;
	struct worst worst; /* the largest WAIT + BUSY */
};

struct series {
	struct lifetime lifetime;
	struct histogram histogram;
	struct window *window;
	uint64_t violations; /* of the target */
	struct worst worst;
	struct deadline deadline;
	bool window_lent;        /* it lies in memory of somebody else, who frees it */
	struct window_near near; /* of who summarises the window: the publisher */
};

/* Whether no more samples lie above the target than its quantile leaves room for. */
bool series_target_met(const struct series *series, const struct shmbus_metric_entry *entry);

/* Returns 0 or -ENOMEM. */
int series_init(struct series *series, uint32_t window_size);
void series_free(struct series *series);

/* Makes sure that the window takes samples of any size, by putting a wide one in its place. False:
 * no memory, nothing has changed. */
bool series_widen(struct series *series);

/* Puts another window in the place of the one that it has; it lies in memory of somebody else. */
void series_window_lend(struct series *series, struct window *window);

/* Adds all of a series but its window to another, which may have none. False: without memory the
 * histogram did not grow, and counts in the nearest bucket what is beyond it. */
bool series_add(struct series *into, const struct series *from);

/*
 * Brings `committed`, which only this function writes, up to `live`, copying only what is new,
 * and adds the difference to `total` (NULL: to nothing). Returns false where there was no
 * memory: then nothing has changed, and the difference stays for the next time.
 */
bool series_commit(struct series *committed, const struct series *live, struct series *total);

#endif /* SHMBUS_AGENT_SERIES_H */
