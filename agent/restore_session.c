/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "restoring.h"
#include "stored_check.h"

/* ---- sessions ---- */

static bool same_segment(const struct shmbus_consumer *consumer,
			 const struct stored_session *identity)
{
	return consumer->device == identity->device && consumer->inode == identity->inode &&
	       memcmp(&consumer->header, &identity->header,
		      offsetof(struct shmbus_header, changes)) == 0;
}

/* What may be there the next time, and says nothing about the segment. */
static bool lacking(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* Attaches to the segment if it is still there, and still the same; else all that is left is
 * what was stored, and in `reason` why one that is there could not be attached to. */
static struct shmbus_consumer *consumer_make(struct restoring *restoring,
					     const struct stored_session *identity, bool attach)
{
	struct shmbus_consumer *consumer = calloc(1, sizeof *consumer);
	char reason[sizeof consumer->reason] = "";
	int error = -ENOENT;

	if (consumer == NULL)
		return NULL;
	if (attach)
		error = shmbus_consumer_attach(consumer, identity->segment);
	if (error == 0) {
		if (same_segment(consumer, identity))
			return consumer;
		shmbus_consumer_detach(consumer);
	} else if (error != -ENOENT) {
		memcpy(reason, consumer->reason, sizeof reason);
		if (lacking(error))
			restoring->error = error;
	}
	memset(consumer, 0, sizeof *consumer);
	memcpy(consumer->reason, reason, sizeof reason);
	consumer->fd = -1;
	consumer->uid = identity->uid;
	memcpy(&consumer->header, &identity->header, sizeof consumer->header);
	memcpy(consumer->segment, identity->segment, sizeof consumer->segment);
	return consumer;
}

/* A session with nothing in it but who it is. */
static struct session *session_make(struct restoring *restoring,
				    const struct stored_session *identity, bool attach)
{
	struct shmbus_consumer *consumer = consumer_make(restoring, identity, attach);
	struct session *session = consumer != NULL ? session_new(consumer, identity->key) : NULL;

	if (session == NULL)
		restoring_memory_lacks(restoring);
	if (consumer == NULL)
		return NULL;
	if (session == NULL) {
		if (consumer->fd >= 0)
			shmbus_consumer_detach(consumer);
		free(consumer);
		return NULL;
	}
	session->device = identity->device;
	session->inode = identity->inode;
	return session;
}

/* The reading goes on after the last sample that counts. A head beyond it was given back by an
 * agent that had no room to save what it had read. False: no memory. */
static bool writer_load(struct session *session, uint32_t i, const struct stored_writer *stored)
{
	struct writer *writer = session_writer_add(session, &stored->name);
	struct shmbus_consumer_writer *found = session->consumer->writers[i];
	struct writer_live *live;

	if (writer == NULL)
		return false;
	live = &writer->live;
	live->account = stored->account;
	live->correlation_id = stored->correlation_id;
	live->wait_ns = stored->wait_ns;
	live->position = stored->position;
	if (i >= session->consumer->writer_count)
		return true;
	/* The head, as the last agent left it: killed after a commit it has not given all back. */
	live->released = found->ring.position;
	if ((int64_t)(found->ring.position - live->position) > 0) {
		live->account.before += found->ring.position - live->position;
		live->position = found->ring.position;
	}
	found->ring.position = live->position;
	return true;
}

static bool state_fill(struct restoring *restoring, struct session *session,
		       const struct cell *cell)
{
	uint32_t size;
	const struct stored_state *stored = cell_read(cell, &size);
	struct session_live *live = &session->live;
	const struct stored_writer *writers = (const void *)(stored + 1);
	const struct shmbus_derived_entry *derived;

	if (!stored_state_sound(stored, size, &session->consumer->header))
		return false;
	/* A segment that has fewer writers now is one to stay away from. */
	if (session->consumer->fd >= 0 && session->consumer->writer_count < stored->writer_count)
		shmbus_consumer_detach(session->consumer);
	derived = (const void *)(writers + stored->writer_count);
	for (uint32_t i = 0; i < stored->writer_count; i++)
		if (!writer_load(session, i, &writers[i]))
			restoring_memory_lacks(restoring);
	for (uint32_t i = 0; i < stored->derived_count; i++)
		if (!session_derived_add(session, &derived[i]))
			restoring_memory_lacks(restoring);
	if (restoring->error != 0)
		return false;
	memcpy(live->labels, derived + stored->derived_count,
	       stored->label_count * sizeof *live->labels);
	memcpy(live->reason, stored->reason, sizeof live->reason);
	live->metric_count = stored->metric_count;
	live->label_count = stored->label_count;
	live->flags = stored->flags;
	live->changes = stored->changes;
	live->seen = stored->changes != 0;
	live->overflow = stored->overflow;
	live->sign_ns = stored->sign_ns;
	live->end_time_unix_ns = stored->end_time_unix_ns;
	live->state = (enum session_state)stored->state;
	atomic_store_explicit(&session->closed, stored->closed != 0, memory_order_relaxed);
	if (session->consumer->fd < 0)
		session->consumer->segment_size = stored->shm_bytes;
	return true;
}

void restoring_session(struct restoring *restoring, struct cell cell)
{
	struct stored_session identity;
	struct session *session = NULL;

	if (restoring_constant(&cell, &identity, sizeof identity) &&
	    stored_session_sound(&identity, restoring->agent->options.bus))
		session = session_make(restoring, &identity, true);
	if (session != NULL) {
		session->cell = cell;
		if (state_fill(restoring, session, &cell)) {
			if (session_list_add(&restoring->list, session))
				return;
			restoring_memory_lacks(restoring);
		}
		session->live.metric_count = 0;
		if (session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		session_free(session);
	}
	restoring->sessions_left_out++;
	restoring_drop(restoring, &cell);
}

/* A session that had finished before: its document, until the TTL has passed. */
void restoring_finished(struct restoring *restoring, struct cell cell)
{
	struct stored_finished finished;
	struct session *session;
	uint64_t now_ns = clock_monotonic_ns();

	if (!restoring_constant(&cell, &finished, sizeof finished) ||
	    !stored_session_sound(&finished.session, restoring->agent->options.bus) ||
	    finished.size > cell.header->body_size || finished.size == 0 ||
	    (finished.state != SESSION_ENDED && finished.state != SESSION_LOST) ||
	    finished.keys == 0 || finished.keys > UINT16_MAX ||
	    !stored_document_sound(cell_body(&cell), finished.size,
				   2 * (uint64_t)(finished.keys - 1)))
		goto left_out;
	session = session_make(restoring, &finished.session,
			       false); /* it is not looked for any more */
	if (session == NULL)
		goto left_out;
	session_forget(session);
	session->published.document = malloc((size_t)finished.size);
	if (session->published.document == NULL || !session_list_add(&restoring->list, session)) {
		restoring_memory_lacks(restoring);
		session_free(session);
		goto left_out;
	}
	memcpy(session->published.document, cell_body(&cell), (size_t)finished.size);
	session->published.size = finished.size;
	session->published.keys = finished.keys;
	session->published.waiting = true;
	session->unremoved = true; /* if its segment is there still, it was not to be removed */
	session->published.final = true;
	session->committed.state = (enum session_state)finished.state;
	session->live.state = session->committed.state;
	session->committed.sign_ns = finished.sign_ns;
	session->finished_cell = cell;
	atomic_store(&session->gone_ns, finished.gone_ns < now_ns ? finished.gone_ns : now_ns);
	atomic_store(&session->forgotten, true);
	atomic_store(&session->stage, SESSION_GONE);
	return;

left_out:
	restoring->sessions_left_out++;
	restoring_drop(restoring, &cell);
}
