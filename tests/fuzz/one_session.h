/* SPDX-License-Identifier: MIT */
/*
 * one_session.h - the agent's way of a session's numbers, from the segment to the document, with
 * one session and without threads; the clock is the caller's.
 */
#ifndef SHMBUS_TESTS_ONE_SESSION_H
#define SHMBUS_TESTS_ONE_SESSION_H

#include <msgpack.h>

#include "agent.h"
#include "drain.h"

struct one_session {
	struct agent agent;
	struct session *session; /* NULL: none is attached */
	struct drain drain;
	struct checkpoint_numbers numbers;
};

void one_session_begin(struct one_session *one);

/* Attaches to a segment. Returns 0 or what the consumer says; -EBUSY where there is one. */
int one_session_attach(struct one_session *one, const char *segment);

/* One pass of the drain thread; with `final` the producer is gone. */
void one_session_drain(struct one_session *one, bool final);

/* Slots, commit, time windows: as at each tick. */
void one_session_checkpoint(struct one_session *one);

/* The document, appended to the buffer. */
void one_session_document(struct one_session *one, msgpack_sbuffer *out);

/* Lets go of all that there is. */
void one_session_end(struct one_session *one);

#endif /* SHMBUS_TESTS_ONE_SESSION_H */
