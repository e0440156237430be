/* SPDX-License-Identifier: MIT */
/* watch_line.h - a session in one line of JSON: where it stands, and what came since. */
#ifndef SHMBUS_READERS_WATCH_LINE_H
#define SHMBUS_READERS_WATCH_LINE_H

#include <stdio.h>

#include "document.h"

#define TRAIL_LINES 10u

/* What was seen of a metric before: only the watcher knows. */
struct trail {
	bool seen;
	double high; /* a gauge's largest value */
	uint32_t lines;
	uint32_t next; /* of the entries below, the oldest one */
	uint64_t count[TRAIL_LINES];
	double sum[TRAIL_LINES];
};

/* The trails of one session's metrics, by their place, which never changes. */
struct trails {
	struct trail *each;
	size_t count;
};

void trails_free(struct trails *trails);

struct watch_line {
	const char *bus;
	const struct document *document;
	uint64_t gap;
	bool final; /* nothing comes after it */
};

/* Writes one line, with its newline, and goes on with the trails. Without memory for these, what
 * stands on them is left out. */
void watch_line_print(FILE *out, const struct watch_line *line, const msgpack_object *session,
		      struct trails *trails);

/* The last line of a session that has left the snapshot, with what is still known of it. */
void watch_line_gone(FILE *out, const struct watch_line *line, const char *id, const char *segment);

/* Whether a session ended or was lost. */
bool session_over(const msgpack_object *session);

#endif /* SHMBUS_READERS_WATCH_LINE_H */
