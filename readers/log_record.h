/* SPDX-License-Identifier: MIT */
/* log_record.h - the records of a log: each one JSON object in one line, `event` first. */
#ifndef SHMBUS_READERS_LOG_RECORD_H
#define SHMBUS_READERS_LOG_RECORD_H

#include <stdio.h>

#include "document.h"

/* How each line of a finished session begins: by this the next log knows its own. */
#define RECORD_SESSION "{\"event\":\"session\","

#define RECORD_KEY_SIZE 256

struct record_context {
	const char *bus;
	uint64_t time_unix_ns;      /* now */
	const msgpack_object *root; /* the document; NULL where there is none */
};

/* What an interval gave, beside what the document says. */
struct record_interval {
	const char *agent_state;
	uint64_t start_unix_ns;
	uint64_t duration_ns;
	uint64_t sessions_finished;
	uint64_t snapshots_read;
	uint64_t snapshots_missed;
	uint64_t records; /* written since the log began */
	uint64_t write_failures;
	bool deltas;         /* whether the two that follow are known */
	uint64_t aggregated; /* samples in the interval */
	uint64_t dropped;
};

/* Something is missing or late; what is 0 is left out. */
struct record_gap {
	const char *what;   /* "write", "snapshots" */
	const char *reason; /* NULL: there is none */
	uint64_t since_unix_ns;
	uint64_t failures;
	uint64_t records_dropped;
	uint64_t sessions_unseen;
};

/* What tells a session from any other that the bus ever had. Returns out. */
const char *record_key(const msgpack_object *session, char out[RECORD_KEY_SIZE]);

/* Whether it ended or was lost: its numbers are final. */
bool record_finished(const msgpack_object *session);

void record_session(FILE *out, const struct record_context *context, const msgpack_object *session);
void record_throttle(FILE *out, const struct record_context *context, const msgpack_object *session,
		     const msgpack_object *metric, uint64_t every);
void record_interval(FILE *out, const struct record_context *context,
		     const struct record_interval *interval);
void record_gap(FILE *out, const struct record_context *context, const struct record_gap *gap);

/* The log begins ("start"), ends ("end"), or the agent's state is another one ("agent"). */
void record_event(FILE *out, const struct record_context *context, const char *event,
		  const char *agent_state);

#endif /* SHMBUS_READERS_LOG_RECORD_H */
