/* SPDX-License-Identifier: MIT */
/*
 * restoring.h - the parts of restore(): cells to sessions (restore_session.c), cells to series,
 * totals and time windows (restore_metric.c), and how they come together (restore.c).
 */
#ifndef SHMBUS_AGENT_RESTORING_H
#define SHMBUS_AGENT_RESTORING_H

#include <errno.h>
#include <string.h>

#include "agent.h"

struct restoring {
	struct agent *agent;
	uint32_t cells[CELL_KINDS]; /* that there are of each kind */
	struct session_list list;   /* by key, once they are sorted */
	int error; /* -errno of what the machine lacks, without which this cannot be done */
	uint32_t sessions_left_out;
	uint32_t cells_left_out;
	uint32_t totals_over; /* for which there is no room now */
	bool renumbered;      /* totals have other numbers now */
};

static inline struct store *restoring_store(const struct restoring *restoring)
{
	return &restoring->agent->persist.store;
}

/* Always false. */
static inline bool restoring_memory_lacks(struct restoring *restoring)
{
	restoring->error = -ENOMEM;
	return false;
}

/* The constant part of a cell, where it is as large as it should be. */
static inline bool restoring_constant(const struct cell *cell, void *out, uint32_t size)
{
	if (cell->header->constant_size != size)
		return false;
	memcpy(out, cell_constant(cell), size);
	return true;
}

/* A cell that makes no sense is freed; one that only found no memory stays. */
static inline void restoring_drop(const struct restoring *restoring, struct cell *cell)
{
	if (restoring->error == 0)
		cell_drop(restoring_store(restoring), cell);
}

/* Each takes one cell, or drops it where it makes no sense. */
void restoring_session(struct restoring *restoring, struct cell cell);
void restoring_finished(struct restoring *restoring, struct cell cell);
void restoring_metric(struct restoring *restoring, struct cell cell);
void restoring_slices(struct restoring *restoring, struct cell cell);

/* All totals, in the order of their numbers. */
void restoring_totals(struct restoring *restoring);

/* For qsort() and bsearch() over restoring->list.sessions. */
int restoring_by_key(const void *left, const void *right);

#endif /* SHMBUS_AGENT_RESTORING_H */
