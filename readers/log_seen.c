/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "log_seen.h"

#define SIZE_FIRST 64

/* FNV-1a, 64 bits. Keys are compared whole: a collision costs time, no record. */
static uint64_t hash_of(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
	return hash;
}

static void entry_free(struct seen_entry *entry)
{
	free(entry->key);
	free(entry->counts);
	free(entry);
}

/* Where a key is, or would be put. */
static struct seen_entry **slot_of(struct seen_entry **slots, size_t size, const char *key,
				   uint64_t hash)
{
	size_t at = hash & (size - 1);

	while (slots[at] != NULL && (slots[at]->hash != hash || strcmp(slots[at]->key, key) != 0))
		at = (at + 1) & (size - 1);
	return &slots[at];
}

/* All entries into a new table: of another size, or without those that have left. */
static bool rebuild(struct seen *seen, size_t size)
{
	struct seen_entry **slots = calloc(size, sizeof *slots);

	if (slots == NULL)
		return false;
	for (size_t i = 0; i < seen->size; i++) {
		struct seen_entry *entry = seen->slots[i];

		if (entry == NULL)
			continue;
		if (entry->absent > SEEN_ABSENT_MAX) {
			seen->count--;
			entry_free(entry);
			continue;
		}
		*slot_of(slots, size, entry->key, entry->hash) = entry;
	}
	free(seen->slots);
	seen->slots = slots;
	seen->size = size;
	return true;
}

void seen_free(struct seen *seen)
{
	for (size_t i = 0; i < seen->size; i++)
		if (seen->slots[i] != NULL)
			entry_free(seen->slots[i]);
	free(seen->slots);
	*seen = (struct seen){0};
}

struct seen_entry *seen_find(const struct seen *seen, const char *key)
{
	return seen->size == 0 ? NULL : *slot_of(seen->slots, seen->size, key, hash_of(key));
}

struct seen_entry *seen_add(struct seen *seen, const char *key)
{
	struct seen_entry *entry = seen_find(seen, key);

	if (entry != NULL)
		return entry;
	if (2 * (seen->count + 1) > seen->size &&
	    !rebuild(seen, seen->size == 0 ? SIZE_FIRST : 2 * seen->size))
		return NULL;
	entry = calloc(1, sizeof *entry);
	if (entry == NULL)
		return NULL;
	entry->key = strdup(key);
	entry->hash = hash_of(key);
	if (entry->key == NULL) {
		free(entry);
		return NULL;
	}
	*slot_of(seen->slots, seen->size, key, entry->hash) = entry;
	seen->count++;
	return entry;
}

bool seen_counts(struct seen_entry *entry, uint32_t size)
{
	uint64_t *counts;

	if (entry->count_size >= size)
		return true;
	counts = realloc(entry->counts, size * sizeof *counts);
	if (counts == NULL)
		return false;
	memset(counts + entry->count_size, 0, (size - entry->count_size) * sizeof *counts);
	entry->counts = counts;
	entry->count_size = size;
	return true;
}

void seen_tick(struct seen *seen)
{
	bool leaving = false;

	for (size_t i = 0; i < seen->size; i++) {
		struct seen_entry *entry = seen->slots[i];

		if (entry == NULL)
			continue;
		entry->absent = entry->present ? 0 : entry->absent + 1;
		entry->present = false;
		leaving = leaving || entry->absent > SEEN_ABSENT_MAX;
	}
	if (leaving)
		rebuild(seen, seen->size); /* without memory they leave later */
}
