/* SPDX-License-Identifier: MIT */
/* log_seen.h - the sessions that a log knows, and which of them it has written. */
#ifndef SHMBUS_READERS_LOG_SEEN_H
#define SHMBUS_READERS_LOG_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A session that is in none of so many documents in a row is forgotten: a new agent's first ones
 * need not have all that the last one's had. */
#define SEEN_ABSENT_MAX 1000

struct seen_entry {
	char *key;
	uint64_t hash;
	uint64_t *counts; /* of its metrics, where the last throttled record was */
	uint32_t count_size;
	uint32_t absent; /* documents in a row without it */
	bool present;    /* in the document that is being looked at */
	bool finished;   /* it was seen to be over */
	bool queued;     /* its record is made */
	bool written;    /* and written */
};

struct seen {
	struct seen_entry **slots; /* open addressing; a power of two, at most half full */
	size_t size;
	size_t count;
};

void seen_free(struct seen *seen);

/* The entry of a key, NULL where there is none. */
struct seen_entry *seen_find(const struct seen *seen, const char *key);

/* The same, made where there is none; NULL without memory. Entries stay where they are. */
struct seen_entry *seen_add(struct seen *seen, const char *key);

/* Room for so many counts, new ones 0. False without memory. */
bool seen_counts(struct seen_entry *entry, uint32_t size);

/* The end of a document: forgets what has been absent for long. */
void seen_tick(struct seen *seen);

#endif /* SHMBUS_READERS_LOG_SEEN_H */
