/* SPDX-License-Identifier: MIT */
/* find.h - the session and the metric that a user means. */
#ifndef SHMBUS_READERS_FIND_H
#define SHMBUS_READERS_FIND_H

#include "document.h"

enum found { FOUND_NONE, FOUND_ONE, FOUND_SEVERAL };

/* `wanted` is an id, the beginning of one id only, or the name of a segment with or without its
 * slash. An id goes before a beginning; of sessions of one id it is the newest, which stands
 * last. */
enum found session_find(const struct document *document, const char *wanted,
			const msgpack_object **out);

/* Says on stderr why not one was found: there is none, or which ids begin so. */
void session_not_found(enum found why, const struct document *document, const char *wanted);

/* The two together: NULL, and says why, where not one was found. */
const msgpack_object *session_or_say(const struct document *document, const char *wanted);

/* The metric of that name of a session, or of the totals; NULL where there is none. */
const msgpack_object *metric_find(const msgpack_object *holder, const char *name);

/* Whether its samples are a histogram's: a timer. */
bool metric_is_timer(const msgpack_object *metric);

#endif /* SHMBUS_READERS_FIND_H */
