/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "refused.h"

static struct refused refused;

static uint64_t mark(uint64_t key, uint64_t inode, long nanoseconds)
{
	struct stat status = {.st_ino = inode, .st_ctim = {.tv_sec = 5, .tv_nsec = nanoseconds}};

	return refused_mark(&refused, key, &status, REFUSED_FOR_GOOD);
}

static void fill(uint64_t from)
{
	for (uint64_t i = 0; i < REFUSED_MAX; i++)
		refused_put(&refused, mark(from + i, 1, 0));
}

Test(refused, a_file_is_its_name_its_inode_and_its_last_change)
{
	struct stat status = {.st_ino = 2, .st_ctim = {.tv_sec = 5, .tv_nsec = 3}};

	cr_assert_eq(refused_init(&refused), 0);
	refused_put(&refused, mark(1, 2, 3));
	cr_assert(refused_has(&refused, mark(1, 2, 3)));
	cr_assert_not(refused_has(&refused, mark(2, 2, 3)));
	cr_assert_not(refused_has(&refused, mark(1, 3, 3)));
	cr_assert_not(refused_has(&refused, mark(1, 2, 4)));
	cr_assert_not(refused_has(&refused, refused_mark(&refused, 1, &status, REFUSED_NO_ROOM)),
		      "for want of room is another reason");
	refused_put(&refused, refused_mark(&refused, 1, &status, REFUSED_NO_ROOM));
	status.st_ctim.tv_nsec++;
	cr_assert(refused_has(&refused, refused_mark(&refused, 1, &status, REFUSED_NO_ROOM)),
		  "a change of the file makes no room");
	refused_free(&refused);
}

Test(refused, the_set_does_not_grow_without_end)
{
	cr_assert_eq(refused_init(&refused), 0);
	fill(1);
	cr_assert(refused_full(&refused));
	cr_assert(refused_has(&refused, mark(1, 1, 0)));
	cr_assert(refused_has(&refused, mark(REFUSED_MAX, 1, 0)));
	refused_put(&refused, mark(REFUSED_MAX + 1, 1, 0));
	cr_assert_not(refused_has(&refused, mark(REFUSED_MAX + 1, 1, 0)));
	cr_assert(refused_lately(&refused, mark(REFUSED_MAX + 1, 1, 0)));
	cr_assert_not(refused_lately(&refused, mark(REFUSED_MAX, 1, 0)), "that one had room");
	cr_assert_eq(ck_hs_count(&refused.marks), REFUSED_MAX);
	refused_free(&refused);
}

Test(refused, the_last_that_found_no_room_are_known)
{
	cr_assert_eq(refused_init(&refused), 0);
	fill(1);
	for (uint64_t i = 0; i < 5 * (uint64_t)REFUSED_LATELY; i++) {
		refused_put(&refused, mark(1000000 + i, 1, 0));
		if (i >= REFUSED_LATELY)
			cr_assert(refused_lately(&refused,
						 mark(1000000 + i - REFUSED_LATELY + 1, 1, 0)));
	}
	cr_assert_not(refused_lately(&refused, mark(1000000, 1, 0)), "the first is long ago");
	cr_assert_leq(ck_hs_count(&refused.lately[0]) + ck_hs_count(&refused.lately[1]),
		      2 * REFUSED_LATELY);
	refused_free(&refused);
}

Test(refused, a_full_set_begins_anew_when_its_files_are_mostly_gone)
{
	cr_assert_eq(refused_init(&refused), 0);
	fill(1);
	refused_age(&refused);
	cr_assert(refused_full(&refused), "this scan could not find what it brought");
	for (uint64_t i = 1; i <= REFUSED_MAX / 2; i++)
		cr_assert(refused_has(&refused, mark(i, 1, 0)));
	refused_age(&refused);
	cr_assert(refused_full(&refused), "half of them are there");
	for (uint64_t i = 1; i < REFUSED_MAX / 2; i++)
		cr_assert(refused_has(&refused, mark(i, 1, 0)));
	refused_age(&refused);
	cr_assert_not(refused_full(&refused));
	cr_assert_not(refused_has(&refused, mark(1, 1, 0)));
	fill(1000000);
	cr_assert(refused_full(&refused));
	refused_free(&refused);
}
