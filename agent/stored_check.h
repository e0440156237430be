/* SPDX-License-Identifier: MIT */
/*
 * stored_check.h - whether what a checkpoint holds makes sense, for restore.c: a file can be
 * damaged, and nothing of it may be believed that could not have been stored.
 */
#ifndef SHMBUS_AGENT_STORED_CHECK_H
#define SHMBUS_AGENT_STORED_CHECK_H

#include "persist.h"

/* A session's name in shared memory on this bus, its strings, the sizes of its tables. */
bool stored_session_sound(const struct stored_session *identity, const char *bus);

/* `size` bytes of a session's state, for a session whose tables are as `header` says. */
bool stored_state_sound(const struct stored_state *stored, uint32_t size,
			const struct shmbus_header *header);

/* A metric's or a total's descriptor. */
bool stored_descriptor_sound(const struct stored_descriptor *descriptor);

/* `size` bytes of a series and its buckets, of a window of `window_size`. */
bool stored_series_sound(const struct stored_series *stored, uint32_t size, uint32_t window_size);

/* Whether these bytes are `objects` whole msgpack objects, nested no deeper than a document. */
bool stored_document_sound(const void *bytes, uint64_t size, uint64_t objects);

#endif /* SHMBUS_AGENT_STORED_CHECK_H */
