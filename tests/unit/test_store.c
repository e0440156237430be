/* SPDX-License-Identifier: MIT */
/* test_store.c - what counts in the store, where it is, and what becomes of files that are not
 * as they should be. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kept.h"

#define MIB (UINT64_C(1) << 20)
#define FIRST 4096 /* where the first cell is */

/* ---- what counts ---- */

Test(store, begins_empty)
{
	struct kept kept;
	struct cell cell;
	struct stat status;

	kept_begin(&kept, "e");
	cr_assert(store_is_open(&kept.store));
	cr_assert_null(store_next(&kept.store, NULL, &cell));
	cr_assert_eq(stat(kept.path, &status), 0);
	cr_assert_eq(status.st_mode & 07777, 0600);
	cr_assert_eq((uint64_t)status.st_size, kept.store.size);
	kept_reopen(&kept);
	cr_assert_null(store_next(&kept.store, NULL, &cell));
	kept_end(&kept);
}

Test(store, a_write_counts_after_the_commit)
{
	struct kept kept;
	struct cell cell;

	kept_begin(&kept, "w");
	cell = kept_take(&kept, 7);
	kept_write(&kept, &cell, 1);
	cr_assert_eq(kept_state(&cell), 1, "the writer reads what it wrote");
	cr_assert_eq(cell_kind(&cell), CELL_METRIC);
	cr_assert_eq(kept_find(&kept, 7, &cell), 0);
	kept_reopen(&kept);
	cr_assert_eq(kept_find(&kept, 7, &cell), 0);

	cell = kept_take(&kept, 7);
	kept_write(&kept, &cell, 2);
	store_commit(&kept.store);
	kept_write(&kept, &cell, 3);
	kept_reopen(&kept);
	cell = kept_expect(&kept, 1, 7, 2);
	cr_assert_eq(cell_kind(&cell), CELL_METRIC);
	kept_write(&kept, &cell, 4);
	kept_expect(&kept, 1, 7, 2);
	store_commit(&kept.store);
	kept_expect(&kept, 1, 7, 4);
	kept_reopen(&kept);
	kept_expect(&kept, 1, 7, 4);
	kept_end(&kept);
}

Test(store, the_last_of_two_writes_counts)
{
	struct kept kept;
	struct cell cell;

	kept_begin(&kept, "l");
	cell = kept_take(&kept, 1);
	kept_write(&kept, &cell, 10);
	store_commit(&kept.store);
	for (uint64_t state = 11; state < 20; state++) {
		kept_write(&kept, &cell, 1000 + state);
		kept_write(&kept, &cell, state);
		kept_expect(&kept, 1, 1, state - 1); /* what counts was not written over */
		store_commit(&kept.store);
		kept_expect(&kept, 1, 1, state);
	}
	kept_reopen(&kept);
	kept_expect(&kept, 1, 1, 19);
	kept_end(&kept);
}

/* The next agent commits at once, as it does for its own number. */
Test(store, what_was_not_committed_never_counts)
{
	struct kept kept;
	struct cell cell, other;

	kept_begin(&kept, "n");
	cell = kept_take(&kept, 1);
	kept_write(&kept, &cell, 10);
	store_commit(&kept.store);
	kept_write(&kept, &cell, 11);
	other = kept_take(&kept, 2);
	kept_write(&kept, &other, 20);
	kept_reopen(&kept);
	for (int i = 0; i < 3; i++) {
		store_commit(&kept.store);
		kept_expect(&kept, 1, 1, 10);
	}
	kept_reopen(&kept);
	kept_expect(&kept, 1, 1, 10);
	kept_end(&kept);
}

Test(store, an_uncommitted_drop_is_none)
{
	struct kept kept;
	struct cell cell;

	kept_begin(&kept, "d");
	cell = kept_take(&kept, 1);
	kept_write(&kept, &cell, 10);
	store_commit(&kept.store);
	cell_drop(&kept.store, &cell);
	cr_assert_not(cell_taken(&cell));
	kept_reopen(&kept);
	store_commit(&kept.store);
	cell = kept_expect(&kept, 1, 1, 10);
	cell_drop(&kept.store, &cell);
	store_commit(&kept.store);
	cr_assert_eq(kept_find(&kept, 1, &cell), 0);
	kept_reopen(&kept);
	cr_assert_eq(kept_find(&kept, 1, &cell), 0);
	cell_drop(&kept.store, &cell); /* none: nothing */
	kept_end(&kept);
}

/* ---- which cells are taken ---- */

static uint64_t used(const struct kept *kept)
{
	return atomic_load(&kept->store.header->used);
}

Test(store, cells_never_committed_are_free_after_reopening)
{
	struct kept kept;
	struct cell cells[8], cell;
	uint64_t before;

	kept_begin(&kept, "f");
	for (uint64_t i = 0; i < 8; i++) {
		cells[i] = kept_take(&kept, i);
		if (i % 2 == 0)
			kept_write(&kept, &cells[i], i);
	}
	before = used(&kept);
	kept_reopen(&kept);
	cr_assert_eq(used(&kept), before);
	for (uint64_t i = 0; i < 8; i++)
		cells[i] = kept_take(&kept, i);
	cr_assert_eq(used(&kept), before, "all eight were taken again");
	for (uint32_t i = 0; i < 8; i++)
		for (uint32_t k = 0; k < i; k++)
			cr_assert_neq(cells[i].header, cells[k].header);
	store_commit(&kept.store);
	cr_assert_eq(kept_find(&kept, 0, &cell), 0, "taken, and not written");
	kept_end(&kept);
}

Test(store, dropped_cells_are_taken_again_after_the_commit)
{
	struct kept kept;
	struct cell first, second, third;
	struct cell_header *header;

	kept_begin(&kept, "r");
	first = kept_take(&kept, 1);
	header = first.header;
	kept_write(&kept, &first, 10);
	store_commit(&kept.store);
	cell_drop(&kept.store, &first);
	second = kept_take(&kept, 2);
	cr_assert_neq(second.header, header);
	kept_expect(&kept, 1, 1, 10);
	store_commit(&kept.store);
	third = kept_take(&kept, 3);
	cr_assert_eq(third.header, header);
	kept_write(&kept, &third, 30);
	kept_reopen(&kept);
	cr_assert_eq(kept_find(&kept, 3, &third), 0);
	kept_end(&kept);
}

/* Taken and dropped within one commit: it goes to nobody else before. */
Test(store, taken_and_dropped_at_once)
{
	struct kept kept;
	struct cell first, second;
	struct cell_header *header;

	kept_begin(&kept, "o");
	first = kept_take(&kept, 1);
	header = first.header;
	kept_write(&kept, &first, 10);
	cell_drop(&kept.store, &first);
	second = kept_take(&kept, 2);
	cr_assert_neq(second.header, header);
	kept_write(&kept, &second, 20);
	store_commit(&kept.store);
	kept_expect(&kept, 1, 2, 20);
	kept_reopen(&kept);
	kept_expect(&kept, 1, 2, 20);
	kept_end(&kept);
}

/* ---- sizes ---- */

static void pattern_set(void *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)bytes)[i] = (uint8_t)(seed * 31 + i);
}

static bool pattern_right(const void *bytes, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)bytes)[i] != (uint8_t)(seed * 31 + i))
			return false;
	return true;
}

/* Cells whose parts fill them to the last byte, one less and one more, side by side. */
Test(store, sizes_at_the_borders_of_classes)
{
	static const uint64_t borders[] = {320,  384,  448,   512,   640,   1024,
					   4096, 5120, 16384, 20480, 131072};
	enum { SIZES = sizeof borders / sizeof *borders, CELLS = 3 * SIZES };
	uint64_t fixed = sizeof(struct cell_header) + 64 + 2 * UINT64_C(64);
	struct cell cells[CELLS];
	struct kept kept;
	uint8_t state[33];
	uint32_t size;

	kept_begin(&kept, "s");
	for (uint32_t i = 0; i < CELLS; i++) {
		uint64_t needed = borders[i / 3] + i % 3 - 1;

		pattern_set(state, sizeof state, i);
		cr_assert(cell_take(&kept.store, &cells[i], state, sizeof state, sizeof state,
				    needed - fixed));
		cr_assert_geq(cells[i].header->size, needed);
		cr_assert_leq(cells[i].header->size, needed + needed / 4, "%lu bytes for %lu",
			      (unsigned long)cells[i].header->size, (unsigned long)needed);
		pattern_set(cell_body(&cells[i]), needed - fixed, i);
		for (uint32_t k = 0; k < 2; k++) {
			pattern_set(cell_write(&kept.store, &cells[i], CELL_TOTAL, 33), 33, i + k);
			store_commit(&kept.store);
		}
	}
	kept_reopen(&kept);
	for (uint32_t i = 0; i < CELLS; i++) {
		cr_assert_not_null(
			store_next(&kept.store, i == 0 ? NULL : cells[i - 1].header, &cells[i]));
		cr_assert(pattern_right(cell_constant(&cells[i]), 33, i));
		cr_assert(pattern_right(cell_read(&cells[i], &size), 33, i + 1));
		cr_assert_eq(size, 33);
		cr_assert(pattern_right(cell_body(&cells[i]), cells[i].header->body_size, i));
	}
	cr_assert_null(store_next(&kept.store, cells[CELLS - 1].header, &cells[0]));
	kept_end(&kept);
}

Test(store, sizes_that_no_cell_has)
{
	struct kept kept;
	struct cell cell;

	kept_begin(&kept, "b");
	cr_assert_not(cell_take(&kept.store, &cell, "", 0, UINT32_MAX, 0));
	cr_assert_not(cell_take(&kept.store, &cell, "", 0, 0, UINT64_C(1) << 31));
	cr_assert_not(cell_take(&kept.store, &cell, "", 0, 0, UINT64_MAX / 2));
	cr_assert_not(cell_taken(&cell));
	cr_assert_eq(used(&kept), FIRST);
	cr_assert(cell_take(&kept.store, &cell, "", 0, 0, 0));
	kept_end(&kept);
}

Test(store, grows_where_it_is)
{
	struct kept kept;
	struct cell cell, first;
	struct stat status;
	const void *body;

	kept_begin(&kept, "g");
	cr_assert(cell_take(&kept.store, &first, &(uint64_t){0}, 8, 8, 100));
	kept_write(&kept, &first, 42);
	body = cell_body(&first);
	pattern_set(cell_body(&first), 100, 5);
	for (uint64_t i = 1; kept.store.size < 9 * MIB; i++) {
		cr_assert(cell_take(&kept.store, &cell, &i, 8, 8, i % 7 * 10000));
		kept_write(&kept, &cell, i);
		pattern_set(cell_body(&cell), i % 7 * 10000, (uint32_t)i);
		if (i % 5 == 0)
			store_commit(&kept.store);
	}
	cr_assert_eq(cell_body(&first), body);
	cr_assert(pattern_right(body, 100, 5));
	store_commit(&kept.store);
	cr_assert_eq(stat(kept.path, &status), 0);
	cr_assert_eq((uint64_t)status.st_size, kept.store.size);
	cr_assert_geq(status.st_blocks * 512, status.st_size, "its space is reserved");
	kept_reopen(&kept);
	for (struct cell_header *at = NULL; (at = store_next(&kept.store, at, &cell)) != NULL;) {
		uint64_t i = kept_number(&cell);

		cr_assert_eq(kept_state(&cell), i == 0 ? 42 : i);
		cr_assert(pattern_right(cell_body(&cell), at->body_size, i == 0 ? 5 : (uint32_t)i));
	}
	kept_end(&kept);
}

/* ---- no room ---- */

static void file_limit(uint64_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(store, full)
{
	struct kept kept;
	struct cell cell, large;

	kept_begin(&kept, "u");
	cell = kept_take(&kept, 1);
	kept_write(&kept, &cell, 10);
	store_commit(&kept.store);
	file_limit(MIB);
	for (uint32_t i = 1; i < 4; i++) {
		cr_assert_not(cell_take(&kept.store, &large, "", 0, 0, MIB));
		cr_assert_not(cell_taken(&large));
		cr_assert_eq(kept.store.failures, i);
	}
	kept_write(&kept, &cell, 11);
	store_commit(&kept.store);
	kept_expect(&kept, 1, 1, 11);
	cr_assert(cell_take(&kept.store, &large, "", 0, 0, MIB / 2), "what is there can be used");
	kept_reopen(&kept);
	cell = kept_expect(&kept, 1, 1, 11);
	file_limit(RLIM_INFINITY);
	cr_assert(cell_take(&kept.store, &large, "", 0, 0, MIB), "room again");
	kept_end(&kept);
}

Test(store, no_room_for_the_file)
{
	struct kept kept;
	struct cell cell;

	kept_name(&kept, "q");
	file_limit(4096);
	cr_assert_eq(store_open(&kept.store, kept.bus), -EFBIG);
	cr_assert_not(store_is_open(&kept.store));
	cr_assert_not(cell_take(&kept.store, &cell, "", 0, 8, 0));
	cr_assert_not(cell_taken(&cell));
	cr_assert_null(store_next(&kept.store, NULL, &cell));
	store_commit(&kept.store);
	store_close(&kept.store);
	file_limit(RLIM_INFINITY);
	kept_open(&kept); /* what was left of the file is begun again */
	cell = kept_take(&kept, 1);
	kept_end(&kept);
}
