/* SPDX-License-Identifier: MIT */
/*
 * live_session.h - the session of a producer in this process whose segment has a name that is
 * known before, so that a saved checkpoint can be about it.
 */
#ifndef SHMBUS_TESTS_LIVE_SESSION_H
#define SHMBUS_TESTS_LIVE_SESSION_H

#include <shmbus/producer.h>

struct live_session {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timer;
	shmbus_metric counter;
	char segment[80];
};

/* Opens it; ends the process where that fails. */
void live_session_open(struct live_session *live, const char *bus, uint64_t key);

/* Records some samples, and counts them. */
void live_session_record(struct live_session *live, uint64_t samples);

/* Closes it; the segment stays. */
void live_session_close(struct live_session *live);

#endif /* SHMBUS_TESTS_LIVE_SESSION_H */
