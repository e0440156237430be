/* SPDX-License-Identifier: MIT */
/*
 * top_memory.h - what shmbus top remembers from one document to the next: the last minute of each
 * row, which sessions are open, and the latencies of the selected metric. Pure.
 */
#ifndef SHMBUS_READERS_TOP_MEMORY_H
#define SHMBUS_READERS_TOP_MEMORY_H

#include "top_rows.h"
#include "top_since.h"

#define TOP_SECONDS 60

/* A value for each of the last seconds, the newest at at[second % TOP_SECONDS]; NaN: none. */
struct top_trend {
	uint64_t second;
	double at[TOP_SECONDS];
};

struct top_memory;

/* NULL where there is no memory. */
struct top_memory *top_memory_new(void);
void top_memory_free(struct top_memory *memory);

/* Takes in a new document and the rows that were made of it, all of them. What it has no row for
 * is forgotten. */
void top_memory_take(struct top_memory *memory, const struct document *document,
		     const struct top_rows *rows);

/* A row's trend, NULL where there is none. The bus' own: its samples a second. */
const struct top_trend *top_memory_trend(const struct top_memory *memory, uint64_t key);
const struct top_trend *top_memory_bus(const struct top_memory *memory);
/* The newest value of a trend, NaN where there is none. */
double top_trend_last(const struct top_trend *trend);

/* As text, the newest last, `columns` of them; with block characters or without. *max: the
 * largest of what is shown, 0 where there is nothing. */
void top_trend_text(const struct top_trend *trend, int columns, bool blocks, char *out, size_t size,
		    double *max);

/* How much of a session is open: for top_wanted.open_of. */
int top_memory_open(void *memory, uint64_t key);
void top_memory_open_set(struct top_memory *memory, uint64_t key, int open);
void top_memory_open_all(struct top_memory *memory, int open);

/* ---- the latencies of one metric ---- */

#define TOP_HEAT_ROWS 6 /* of 10 s each: the last minute */

struct top_heat {
	uint64_t key;
	uint64_t slice[TOP_HEAT_ROWS]; /* 10 s that a row is of; 0: none yet */
	double ever[TOP_BINS];
	double rows[TOP_HEAT_ROWS][TOP_BINS];
	char name[80], unit[16];
	bool known; /* there is a histogram */
};

/* Adds a metric's newest samples: the difference of two documents. Another metric: begins anew. */
void top_heat_take(struct top_heat *heat, uint64_t key, const struct document *document,
		   const msgpack_object *metric, const msgpack_object *before);

/* The bins to show: from the first to the last that is not 0. False where there is none. */
bool top_heat_range(const struct top_heat *heat, int *first, int *last);

/* A strip as levels from 0 (nothing) to `levels`, for `columns` columns from bin first to last. */
void top_heat_levels(const double bins[TOP_BINS], int first, int last, int levels, int columns,
		     uint8_t *out);

#endif /* SHMBUS_READERS_TOP_MEMORY_H */
