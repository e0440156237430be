/* SPDX-License-Identifier: MIT */
/*
 * recent.h - the last finished sessions, in a few numbers each: what a service's sessions have
 * been like lately, however long they have been forgotten. The publisher alone.
 */
#ifndef SHMBUS_AGENT_RECENT_H
#define SHMBUS_AGENT_RECENT_H

#include <msgpack.h>

#include "totals.h"

#define RECENT_SESSIONS 100u
#define RECENT_TIMERS 64u /* of one session: the first ones that have samples */

struct recent_timer {
	uint32_t total; /* the number of what it is merged into, with its name and unit */
	uint64_t count;
	uint64_t max;
	double mean;
	double p50;
	double p95;
	double p99;
	uint8_t judged; /* 1: it had a target; no bool, because any byte can come out of a file */
	uint8_t met;
};

struct recent_session {
	bool lost;
	uint64_t duration_ns;
	uint32_t timer_count;
	struct recent_timer *timers;
};

struct recent {
	struct recent_session sessions[RECENT_SESSIONS];
	uint64_t finished; /* sessions ever added; the last ones are kept */
};

/* Takes in a session whose committed state is its last. Without memory it counts without its
 * timers. */
void recent_add(struct recent *recent, const struct session *session);
void recent_free(struct recent *recent);

/* As bytes that outlive the agent, and back: 0, -EBADMSG where they make no sense, or -ENOMEM. */
size_t recent_saved_size(const struct recent *recent);
void recent_save(const struct recent *recent, void *bytes);
int recent_load(struct recent *recent, const void *bytes, size_t size, const struct totals *totals);

/* Encodes the averages over the sessions kept: each session counts once, however long it was.
 * Into a struct put_buffer, which is cut without memory. */
void recent_encode(msgpack_packer *packer, const struct recent *recent,
		   const struct totals *totals);

#endif /* SHMBUS_AGENT_RECENT_H */
