/* SPDX-License-Identifier: MIT */
/* publish.h - what publish.c and publish_log.c, the publisher, have in common. */
#ifndef SHMBUS_AGENT_PUBLISH_H
#define SHMBUS_AGENT_PUBLISH_H

#include "agent.h"
#include "encode.h"
#include "put.h"
#include "snapshot_log.h"

struct publisher {
	struct agent *agent;
	struct snapshot_log log;
	struct window_scratch *scratch;
	struct put_buffer buffer; /* the session that is being encoded */
	struct put_buffer prefix;
	struct session_list list;               /* by start time */
	uint32_t capacity;                      /* of the two that follow */
	struct shmbus_snapshot_extent *extents; /* 1 + 2 for each session */
	uint8_t *ages;
	uint64_t document; /* bytes that the last one could have taken */
	uint64_t written;  /* for this document, before it moved to a larger log */
	int error; /* why the document that is being made is none: -errno; 0 as long as it is one */
	uint64_t next_ns;
	uint64_t cpu_ns; /* of the agent, at the last snapshot */
	uint64_t cpu_at_ns;
	uint64_t busy_since_ns; /* the CPU ratio has been above its limit; 0: it has not */
	bool busy_said;
	uint32_t failures; /* snapshots in a row that could not be published */
	struct encode_agent numbers;
};

/* Room for what a document lists of so many sessions. False: no memory. */
bool extents_reserve(struct publisher *publisher, uint32_t count);

/* Begins a document: what stays as it is of the last one is where it will not be overwritten. */
void document_begin(struct publisher *publisher);

/* What was encoded of a session comes into the log; where it cannot, the document fails. */
void document_add(struct publisher *publisher, struct session *session);

/* The prefix, the ages and the list of all comes into the log, and the document is the newest.
 * Returns 0 or the document's error; then it is as if nothing of it had been encoded. */
int document_end(struct publisher *publisher, uint64_t now_ns);

#endif /* SHMBUS_AGENT_PUBLISH_H */
