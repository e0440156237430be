/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <criterion/criterion.h>

#include "log_seen.h"

static struct seen_entry *entry_of(struct seen *seen, int number)
{
	char key[32];

	snprintf(key, sizeof key, "segment %d", number);
	return seen_add(seen, key);
}

Test(log_seen, finds_what_was_added)
{
	struct seen seen = {0};
	struct seen_entry *first;

	cr_assert_null(seen_find(&seen, "segment 0"));
	first = entry_of(&seen, 0);
	cr_assert_not_null(first);
	for (int i = 1; i < 1000; i++)
		cr_assert_not_null(entry_of(&seen, i));
	cr_assert_eq(seen.count, 1000);
	cr_assert_eq(entry_of(&seen, 0), first, "entries stay where they are");
	cr_assert_eq(seen.count, 1000);
	cr_assert_str_eq(seen_find(&seen, "segment 999")->key, "segment 999");
	cr_assert_null(seen_find(&seen, "segment 1000"));
	cr_assert_null(seen_find(&seen, ""));
	seen_free(&seen);
	cr_assert_eq(seen.count, 0);
}

Test(log_seen, forgets_what_is_absent_for_long)
{
	struct seen seen = {0};

	for (int i = 0; i < 300; i++)
		entry_of(&seen, i)->written = true;
	for (int tick = 0; tick < SEEN_ABSENT_MAX; tick++) {
		for (int i = 0; i < 100; i++)
			entry_of(&seen, i)->present = true;
		if (tick == SEEN_ABSENT_MAX / 2)
			entry_of(&seen, 200)->present = true;
		seen_tick(&seen);
	}
	cr_assert_eq(seen.count, 300, "not yet");
	seen_tick(&seen);
	cr_assert_eq(seen.count, 101);
	cr_assert_null(seen_find(&seen, "segment 100"));
	cr_assert(seen_find(&seen, "segment 200")->written, "it was there in between");
	cr_assert(seen_find(&seen, "segment 99")->written);
	seen_free(&seen);
}

Test(log_seen, counts_grow_from_0)
{
	struct seen seen = {0};
	struct seen_entry *entry = entry_of(&seen, 0);

	cr_assert(seen_counts(entry, 2));
	cr_assert_eq(entry->counts[1], 0);
	entry->counts[1] = 7;
	cr_assert(seen_counts(entry, 64));
	cr_assert_eq(entry->counts[1], 7);
	cr_assert_eq(entry->counts[63], 0);
	cr_assert(seen_counts(entry, 1), "less is enough");
	cr_assert_eq(entry->count_size, 64);
	seen_free(&seen);
}
