/* SPDX-License-Identifier: MIT */
/*
 * kept.h - for the unit tests of the checkpoint's store: a bus for each of them, and cells with a
 * number as their constant part, by which they are found again.
 */
#ifndef SHMBUS_TESTS_KEPT_H
#define SHMBUS_TESTS_KEPT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

struct kept {
	struct store store;
	char bus[32];
	char path[96];
	char aside[104];
};

/* Names the bus; `name` is a letter or two. Nothing of it is there. */
static inline void kept_name(struct kept *kept, const char *name)
{
	const char *bus = getenv("SHMBUS_BUS");

	memset(kept, 0, sizeof *kept);
	snprintf(kept->bus, sizeof kept->bus, "%.24s-%s", bus != NULL ? bus : "unit", name);
	snprintf(kept->path, sizeof kept->path, "/dev/shm/shmbus.%s.checkpoint", kept->bus);
	snprintf(kept->aside, sizeof kept->aside, "%s.aside", kept->path);
	unlink(kept->path);
	unlink(kept->aside);
}

static inline void kept_open(struct kept *kept)
{
	int error = store_open(&kept->store, kept->bus);

	cr_assert_eq(error, 0, "%s: %s", kept->path, strerror(-error));
	cr_assert_str_eq(kept->store.reason, "");
}

static inline void kept_begin(struct kept *kept, const char *name)
{
	kept_name(kept, name);
	kept_open(kept);
}

/* As the next agent finds it. Handles of cells are void from here on. */
static inline void kept_reopen(struct kept *kept)
{
	store_close(&kept->store);
	kept_open(kept);
}

static inline void kept_end(struct kept *kept)
{
	store_close(&kept->store);
	unlink(kept->path);
	unlink(kept->aside);
}

/* ---- cells with a number, whose state is a number too ---- */

static inline struct cell kept_take(struct kept *kept, uint64_t number)
{
	struct cell cell;

	cr_assert(cell_take(&kept->store, &cell, &number, sizeof number, 8, 0));
	return cell;
}

static inline void kept_write(struct kept *kept, struct cell *cell, uint64_t state)
{
	memcpy(cell_write(&kept->store, cell, CELL_METRIC, sizeof state), &state, sizeof state);
}

static inline uint64_t kept_state(const struct cell *cell)
{
	uint64_t state;
	uint32_t size;
	const void *bytes = cell_read(cell, &size);

	cr_assert_eq(size, sizeof state);
	memcpy(&state, bytes, sizeof state);
	return state;
}

static inline uint64_t kept_number(const struct cell *cell)
{
	uint64_t number;

	memcpy(&number, cell_constant(cell), sizeof number);
	return number;
}

/* The cells that count, and the last one of this number. */
static inline uint32_t kept_find(struct kept *kept, uint64_t number, struct cell *found)
{
	struct cell_header *at = NULL;
	struct cell cell;
	uint32_t count = 0;

	*found = (struct cell){0};
	for (; (at = store_next(&kept->store, at, &cell)) != NULL; count++)
		if (kept_number(&cell) == number)
			*found = cell;
	return count;
}

/* A cell that counts, with this state; and that there are `count` in all. */
static inline struct cell kept_expect(struct kept *kept, uint32_t count, uint64_t number,
				      uint64_t state)
{
	struct cell cell;
	uint32_t all = kept_find(kept, number, &cell);

	cr_assert_eq(all, count, "%u cells, not %u", all, count);
	cr_assert(cell_taken(&cell), "cell %lu is gone", (unsigned long)number);
	cr_assert_eq(kept_state(&cell), state, "cell %lu has %lu, not %lu", (unsigned long)number,
		     (unsigned long)kept_state(&cell), (unsigned long)state);
	return cell;
}

#endif /* SHMBUS_TESTS_KEPT_H */
