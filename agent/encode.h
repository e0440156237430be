/* SPDX-License-Identifier: MIT */
/* encode.h - the parts of the snapshot document, in msgpack. The publisher alone. */
#ifndef SHMBUS_AGENT_ENCODE_H
#define SHMBUS_AGENT_ENCODE_H

#include <msgpack.h>

#include "agent.h"

/* What the publisher knows beyond the sessions. */
struct encode_agent {
	uint64_t seq;
	uint64_t time_unix_ns;
	uint64_t interval_ns;
	double cpu_ratio;
	uint64_t rss_bytes;
	uint64_t memory_bytes;
	uint64_t drain_lag_ns;     /* the longest since the last snapshot */
	uint64_t publish_ns;       /* of the last snapshot */
	uint64_t publish_bytes;    /* written for it */
	uint64_t publish_failures; /* documents that found no room */
	uint64_t encoded_sessions; /* of them */
	uint64_t sessions_active;
	uint64_t sessions_ended;
	uint64_t sessions_lost;
	uint64_t sessions; /* in this document */
};

/* A session's map is its header and "age_ns" with a value of fixed width, which changes with
 * every snapshot, and the rest, which is encoded only when it has changed. */
#define ENCODE_AGE_SIZE 19
void encode_session_age(uint8_t out[ENCODE_AGE_SIZE], uint32_t keys, uint64_t age_ns);

/* Encodes the rest of a session; returns the number of keys in its map, age_ns included. */
uint32_t encode_session(msgpack_packer *packer, const struct session *session,
			struct window_scratch *scratch);

/* Everything before the sessions, their array's header included. */
void encode_prefix(msgpack_packer *packer, struct agent *agent, const struct encode_agent *numbers,
		   struct window_scratch *scratch);

#endif /* SHMBUS_AGENT_ENCODE_H */
