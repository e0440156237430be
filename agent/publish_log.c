/* SPDX-License-Identifier: MIT */
/*
 * publish_log.c - how a document comes into the snapshot's log.
 *
 * Each session is appended as soon as it is encoded, while its bytes are in the caches: a thousand
 * of them are more than these hold. A document that fails on its way, for want of memory or of
 * room, is taken back from the log, so that readers keep the one before for as long as it takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "publish.h"

bool extents_reserve(struct publisher *publisher, uint32_t count)
{
	uint32_t capacity = count + count / 4 + 64;
	void *extents, *ages;

	if (publisher->capacity >= count)
		return true;
	extents = realloc(publisher->extents,
			  (1 + 2 * (size_t)capacity) * sizeof *publisher->extents);
	if (extents != NULL)
		publisher->extents = extents;
	ages = realloc(publisher->ages, (size_t)capacity * ENCODE_AGE_SIZE);
	if (ages != NULL)
		publisher->ages = ages;
	if (extents == NULL || ages == NULL)
		return false;
	publisher->capacity = capacity;
	return true;
}

/* ---- room ---- */

/* What stands at the end of a document: its ages, its list and what they are aligned with. */
static uint64_t end_size(const struct publisher *publisher)
{
	return publisher->prefix.bytes.size + sizeof(struct shmbus_snapshot_index) +
	       2 * sizeof(struct shmbus_snapshot_extent) + SHMBUS_LINE_SIZE +
	       publisher->list.count *
		       (uint64_t)(ENCODE_AGE_SIZE + 2 * sizeof(struct shmbus_snapshot_extent));
}

/* Of the whole document. A session that is not encoded yet is taken to be as large as the others
 * are, and not smaller than `least`. */
static uint64_t document_size(const struct publisher *publisher, uint64_t least)
{
	uint64_t bytes = 0, known = 0, typical = least;

	for (uint32_t i = 0; i < publisher->list.count; i++) {
		uint64_t size = publisher->list.sessions[i]->published.size;

		known += size != 0;
		bytes += size != 0 ? size + 8 : 0;
	}
	if (known != 0 && bytes / known > least)
		typical = bytes / known;
	return bytes + (publisher->list.count - known) * typical + end_size(publisher);
}

/* Moves to a log of four documents, or more, with all that is in this one. */
static void log_grow(struct publisher *publisher, uint64_t document)
{
	struct snapshot_log *log = &publisher->log;

	publisher->error = snapshot_log_grow(log, 4 * document);
	if (publisher->error != 0)
		return;
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		struct session_published *published = &publisher->list.sessions[i]->published;

		if (published->waiting || published->size == 0)
			continue;
		published->position = snapshot_log_carry(log, published->position, published->size);
		published->pending = false;
	}
	snapshot_log_leave(log);
	publisher->written += log->written;
	snapshot_log_begin(log);
}

/* Makes sure that the document has room for so many bytes more: that it writes at most a quarter
 * of the log, so that nothing of the newest document, and little of the one before, is
 * overwritten. */
static bool room_make(struct publisher *publisher, uint64_t bytes)
{
	uint64_t document;

	if (publisher->error == 0 && !snapshot_log_roomy(&publisher->log, bytes)) {
		document = document_size(publisher, bytes);
		if (4 * document <= publisher->log.size)
			document = publisher->log.size / 2;
		log_grow(publisher, document);
	}
	return publisher->error == 0;
}

/* ---- the document ---- */

/* Restored ones come into the log, and what has grown old in it goes to its end again. */
static void session_keep(struct publisher *publisher, struct session_published *published)
{
	struct snapshot_log *log = &publisher->log;

	if (published->waiting && room_make(publisher, published->size)) {
		published->position =
			snapshot_log_append(log, published->document, published->size);
		free(published->document);
		published->document = NULL;
		published->waiting = false;
	} else if (!published->waiting && snapshot_log_old(log, published->position) &&
		   room_make(publisher, published->size)) {
		published->position =
			snapshot_log_forward(log, published->position, published->size);
	}
}

void document_begin(struct publisher *publisher)
{
	publisher->written = 0;
	snapshot_log_begin(&publisher->log);
	if (publisher->error == 0 && 4 * publisher->document > publisher->log.size)
		log_grow(publisher, publisher->document);
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		struct session_published *published = &publisher->list.sessions[i]->published;

		if (published->size != 0)
			session_keep(publisher, published);
	}
	snapshot_log_hold(&publisher->log);
}

void document_add(struct publisher *publisher, struct session *session)
{
	struct session_published *published = &session->published;
	const msgpack_sbuffer *bytes = &publisher->buffer.bytes;

	if (publisher->buffer.cut)
		publisher->error = -ENOMEM;
	if (!room_make(publisher, bytes->size))
		return;
	published->position = snapshot_log_append(&publisher->log, bytes->data, bytes->size);
	published->size = bytes->size;
	published->pending = true;
	session->committed.dirty = false;
}

/* A finished session's numbers are in the log for good: with the next checkpoint they are saved,
 * and the rest of its memory goes. */
static void session_finish(struct publisher *publisher, struct session *session)
{
	if (session->published.final || session->committed.state < SESSION_ENDED ||
	    atomic_load_explicit(&session->stage, memory_order_acquire) != SESSION_GONE)
		return;
	session->published.final = true;
	recent_add(&publisher->agent->recent, session);
	session->published.document = malloc((size_t)session->published.size);
	if (session->published.document != NULL)
		memcpy(session->published.document,
		       snapshot_log_bytes(&publisher->log, session->published.position),
		       (size_t)session->published.size);
}

/* All sessions: their extents, each after the few bytes with its age. */
static void sessions_place(struct publisher *publisher, uint64_t now_ns)
{
	struct shmbus_snapshot_extent *extents = publisher->extents + 1;
	uint64_t count = publisher->list.count, ages_at;

	publisher->document = end_size(publisher);
	for (uint64_t i = 0; i < count; i++) {
		struct session *session = publisher->list.sessions[i];
		struct session_published *published = &session->published;
		uint64_t sign_ns = session->committed.sign_ns;

		encode_session_age(publisher->ages + i * ENCODE_AGE_SIZE, published->keys,
				   now_ns > sign_ns ? now_ns - sign_ns : 0);
		extents[2 * i].size = ENCODE_AGE_SIZE;
		extents[2 * i + 1].size = published->size;
		extents[2 * i + 1].position = published->position;
		published->pending = false;
		publisher->document += published->size + 8;
		session_finish(publisher, session);
	}
	ages_at = snapshot_log_append(&publisher->log, publisher->ages, count * ENCODE_AGE_SIZE);
	for (uint64_t i = 0; i < count; i++)
		extents[2 * i].position = ages_at + i * ENCODE_AGE_SIZE;
}

static const char *room_advice(int error)
{
	return error == -ENOSPC  ? "free space in /dev/shm"
	       : error == -EROFS ? "mount /dev/shm writable"
				 : "trying again at each tick";
}

/* What was encoded for it is encoded again. */
static void document_undo(struct publisher *publisher)
{
	publisher->numbers.publish_failures++;
	if (publisher->failures++ == 0)
		log_line("cannot publish: %s; %s", strerror(-publisher->error),
			 room_advice(publisher->error));
	snapshot_log_undo(&publisher->log);
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		struct session *session = publisher->list.sessions[i];

		if (session->published.pending)
			session->published.size = 0;
		session->published.pending = false;
	}
}

int document_end(struct publisher *publisher, uint64_t now_ns)
{
	const struct encode_agent *numbers = &publisher->numbers;
	int error;

	/* A document that lacks something is none. */
	if (publisher->prefix.cut)
		publisher->error = -ENOMEM;
	if (!room_make(publisher, end_size(publisher))) {
		document_undo(publisher);
		return publisher->error;
	}
	if (publisher->failures != 0)
		log_line("publishing again, after %u snapshots were not", publisher->failures);
	publisher->failures = 0;
	publisher->extents[0].size = publisher->prefix.bytes.size;
	publisher->extents[0].position = snapshot_log_append(
		&publisher->log, publisher->prefix.bytes.data, publisher->prefix.bytes.size);
	sessions_place(publisher, now_ns);
	error = snapshot_log_publish(&publisher->log, publisher->extents,
				     1 + 2 * (uint64_t)publisher->list.count, numbers->time_unix_ns,
				     now_ns, numbers->interval_ns);
	if (error == 0)
		return 0;
	log_line("cannot make the snapshot in /dev/shm: %s", strerror(-error));
	agent_fail(publisher->agent);
	return 0;
}
