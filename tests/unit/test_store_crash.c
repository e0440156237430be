/* SPDX-License-Identifier: MIT */
/* test_store_crash.c - the store as it is at any moment, opened by another agent, is what a model
 * says of the last commit: every cell that counts, and no other. */
#include <fcntl.h>

#include "kept.h"

#define CELLS 60
#define OPERATIONS 3000
#define STATE_MAX 1500

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* What is in a cell, or should be. */
struct known {
	uint64_t number; /* 0: there is none */
	uint64_t seed;   /* of the state's bytes; 0: never written */
	uint32_t size;
	uint32_t body_size;
};

struct model {
	struct known now[CELLS];
	struct known committed[CELLS];
	struct cell cells[CELLS];
	uint32_t copy_sizes[CELLS];
	uint64_t numbers; /* given so far */
	uint64_t random;
};

static void bytes_fill(uint8_t *bytes, uint32_t size, uint64_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((seed + i) * 167 >> 3);
}

static bool bytes_right(const uint8_t *bytes, uint32_t size, uint64_t seed)
{
	for (uint32_t i = 0; i < size; i++)
		if (bytes[i] != (uint8_t)((seed + i) * 167 >> 3))
			return false;
	return true;
}

/* ---- the agent ---- */

static void take(struct kept *kept, struct model *model, uint32_t i)
{
	struct known *known = &model->now[i];
	uint32_t body_size = (uint32_t)(random_next(&model->random) % 3000);
	uint32_t copy_size = (uint32_t)(random_next(&model->random) % STATE_MAX);

	*known = (struct known){.number = ++model->numbers, .body_size = body_size};
	model->copy_sizes[i] = copy_size;
	cr_assert(cell_take(&kept->store, &model->cells[i], &known->number, sizeof known->number,
			    copy_size, body_size));
	bytes_fill(cell_body(&model->cells[i]), body_size, known->number);
}

/* Half of the time it is killed, as it were, before the state is all there. */
static void write_some(struct kept *kept, struct model *model, uint32_t i)
{
	struct known *known = &model->now[i];
	uint8_t *bytes;

	known->seed = random_next(&model->random) | 1;
	known->size = (uint32_t)(random_next(&model->random) % (model->copy_sizes[i] + 1));
	bytes = cell_write(&kept->store, &model->cells[i], CELL_SLICES, known->size);
	memset(bytes, 0xee, known->size);
}

static void write_rest(struct model *model, uint32_t i)
{
	uint32_t size;
	const uint8_t *bytes = cell_read(&model->cells[i], &size);

	cr_assert_eq(size, model->now[i].size);
	bytes_fill((uint8_t *)(uintptr_t)bytes, size, model->now[i].seed);
}

static void drop(struct kept *kept, struct model *model, uint32_t i)
{
	cell_drop(&kept->store, &model->cells[i]);
	model->now[i] = (struct known){0};
}

/* A cell that was never written is not there. */
static void commit(struct kept *kept, struct model *model)
{
	store_commit(&kept->store);
	for (uint32_t i = 0; i < CELLS; i++)
		model->committed[i] = model->now[i].seed != 0 ? model->now[i] : (struct known){0};
}

/* ---- the next one ---- */

static void cell_compare(const struct cell *cell, const struct model *model, bool *seen)
{
	uint64_t number = kept_number(cell);
	uint32_t size, i = 0;
	const uint8_t *bytes = cell_read(cell, &size);

	while (i < CELLS && model->committed[i].number != number)
		i++;
	cr_assert_lt(i, CELLS, "cell %lu should not count", (unsigned long)number);
	cr_assert_not(seen[i], "cell %lu is there twice", (unsigned long)number);
	seen[i] = true;
	cr_assert_eq(cell_kind(cell), CELL_SLICES);
	cr_assert_eq(size, model->committed[i].size);
	cr_assert(bytes_right(bytes, size, model->committed[i].seed), "state of another commit");
	cr_assert_eq(cell->header->body_size, model->committed[i].body_size);
	cr_assert(bytes_right(cell_body(cell), model->committed[i].body_size, number), "body");
}

static void compare(struct kept *kept, const struct model *model)
{
	struct cell_header *at = NULL;
	bool seen[CELLS] = {false};
	struct cell cell;

	while ((at = store_next(&kept->store, at, &cell)) != NULL)
		cell_compare(&cell, model, seen);
	for (uint32_t i = 0; i < CELLS; i++)
		cr_assert_eq(seen[i], model->committed[i].number != 0, "cell %lu is gone",
			     (unsigned long)model->committed[i].number);
}

/* Kills the agent here, but for its going on; the next one writes into cells that are free, and
 * commits. */
static void kill_here(const struct kept *kept, const struct model *model)
{
	struct kept next;
	struct cell cell;
	int fd;

	kept_name(&next, "x");
	fd = open(next.path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, kept->store.base, kept->store.size), (ssize_t)kept->store.size);
	close(fd);
	kept_open(&next);
	compare(&next, model);
	for (uint32_t i = 0; i < 20; i++) {
		cr_assert(cell_take(&next.store, &cell, "xxxxxxxx", 8, 100 * i, 0));
		memset(cell_write(&next.store, &cell, CELL_AGENT, 100 * i), 0xdd, 100 * i);
	}
	compare(&next, model);
	kept_reopen(&next);
	store_commit(&next.store);
	kept_reopen(&next);
	compare(&next, model);
	kept_end(&next);
}

/* The agent itself is killed, and goes on with what counts. */
static void restart(struct kept *kept, struct model *model)
{
	struct cell_header *at = NULL;
	struct cell cell;

	kept_reopen(kept);
	compare(kept, model);
	memcpy(model->now, model->committed, sizeof model->now);
	while ((at = store_next(&kept->store, at, &cell)) != NULL)
		for (uint32_t i = 0; i < CELLS; i++)
			if (model->now[i].number == kept_number(&cell)) {
				model->cells[i] = cell;
				model->copy_sizes[i] = at->copy_size;
			}
}

static void operate(struct kept *kept, struct model *model)
{
	uint64_t kind = random_next(&model->random) % 100;
	uint32_t i = (uint32_t)(random_next(&model->random) % CELLS);

	if (kind < 12) {
		commit(kept, model);
	} else if (kind == 12) {
		restart(kept, model);
	} else if (model->now[i].number == 0) {
		take(kept, model, i);
	} else if (kind < 30) {
		drop(kept, model, i);
	} else {
		write_some(kept, model, i);
		if (kind % 16 == 0)
			kill_here(kept, model);
		write_rest(model, i);
	}
}

static void life(uint64_t seed)
{
	struct model *model = calloc(1, sizeof *model);
	struct kept kept;

	cr_assert_not_null(model);
	model->random = seed;
	kept_begin(&kept, "k");
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		operate(&kept, model);
		if (random_next(&model->random) % 8 == 0)
			kill_here(&kept, model);
	}
	/* Cells are used again: there is no more than what was in use at once. */
	cr_assert_gt(model->numbers, 10 * CELLS);
	cr_assert_lt(kept.store.size, 8u << 20);
	kept_end(&kept);
	free(model);
}

Test(store_crash, killed_anywhere)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		life(seed);
}
