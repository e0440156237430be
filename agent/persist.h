/* SPDX-License-Identifier: MIT */
/*
 * persist.h - the checkpoint that outlives the agent: what of it is kept in the store, in which
 * cells. restore.h reads it back.
 *
 *   cell      one for each                    constant                copies           body
 *   AGENT     bus                             -                       counters
 *   SESSION   session that is not finished    identity, header        state, writers,
 *                                                                     labels, derived
 *   METRIC    of its metrics                  descriptor              series           window
 *   SLICES    of its timers, of each total    whose it is             time windows
 *   TOTAL     metric of the bus               descriptor              what finished    window
 *                                                                     sessions gave it
 *   FINISHED  finished session within its TTL identity, header        -                document
 *   RECENT    bus                             -                       the last 100
 *
 * Aggregates of a session and the positions up to which its rings were read are committed
 * together, by store_commit(); only then the producer gets its slots back. A session that
 * finishes gives its series to the totals, its document to a FINISHED cell and its cells back, all
 * in one commit. So what the totals are is never stored twice: they are what finished sessions
 * gave, and what the others have.
 *
 * Windows are kept in place, in their cells' bodies. A sample folded after the last commit may
 * be in one when the agent is killed; the next agent finds it in the ring and puts it into the
 * same place again.
 *
 * The drain thread alone, and main() before and after it.
 */
#ifndef SHMBUS_AGENT_PERSIST_H
#define SHMBUS_AGENT_PERSIST_H

#include "recent.h"
#include "session.h"
#include "store.h"
#include "totals.h"

/* Of the whole bus; the counters are what finished sessions gave. */
struct stored_agent {
	uint64_t incarnation;
	uint64_t sessions_ended;
	uint64_t sessions_lost;
	uint64_t samples;
	uint64_t dropped;
	uint64_t overflow;
	uint64_t clock_backward_total;
	uint64_t reserved;
};

/* A session's identity; constant. */
struct stored_session {
	uint64_t key;
	uint64_t device;
	uint64_t inode;
	uint32_t uid;
	uint32_t reserved;
	char segment[80];
	struct shmbus_header header;
};

struct stored_writer {
	struct writer_account account;
	uint64_t position; /* samples of the ring up to here are in the series */
	uint64_t correlation_id;
	uint64_t wait_ns;
	struct writer_name name;
};

/* A session's state; writers, derived values and labels follow, in this order. */
struct stored_state {
	uint32_t state;
	uint32_t closed;
	uint32_t metric_count;
	uint32_t writer_count;
	uint32_t derived_count;
	uint32_t label_count;
	uint32_t flags;
	uint32_t changes; /* of the segment's tables that this is from; 0: read them again */
	uint64_t overflow;
	uint64_t sign_ns;
	uint64_t end_time_unix_ns;
	uint64_t shm_bytes;
	char reason[96];
};

/* Whose a metric's or a total's cell is; constant. Totals have key 0, which no session has. */
struct stored_descriptor {
	uint64_t key;
	uint32_t number;
	uint32_t window_size; /* 0: no timer */
	struct shmbus_metric_entry entry;
};

struct stored_slices {
	uint64_t key;
	uint64_t number;
};

/* A series without its window's samples; the histogram's buckets follow. */
struct stored_series {
	struct lifetime lifetime;
	uint64_t violations;
	struct worst worst;
	struct deadline deadline;
	uint64_t folded; /* of the window */
	uint64_t zero_count;
	uint32_t next;
	uint32_t first;
	uint32_t length;
	uint32_t reserved;
};

struct stored_metric {
	uint64_t bits;
	uint64_t period_ns;
	uint64_t counted; /* samples of the window that the total's window has had */
	uint32_t quantum;
	uint32_t present;
	struct stored_series series;
};

struct stored_total {
	uint64_t sessions;
	uint64_t counter;
	struct stored_series series;
};

struct stored_finished {
	struct stored_session session;
	uint64_t sign_ns;
	uint64_t gone_ns;
	uint64_t size; /* of the document, which is the body */
	uint32_t keys;
	uint32_t state;
};

struct persist {
	struct store store;
	struct cell agent_cell;
	struct cell recent_cell;
	struct stored_agent agent; /* as to be stored */
	uint64_t recent_stored;    /* recent->finished when it was last stored */
	uint64_t failures;         /* times that there was no room */
	uint64_t second;           /* in which time windows were last saved */
};

/* Opens the store of a bus. Says what went wrong. Returns 0, also where the agent can run without;
 * -errno where it may not, as there is a checkpoint that it has no memory or descriptors to take
 * up. */
int persist_open(struct persist *persist, const char *bus);
void persist_close(struct persist *persist);

/* Who a session is, as it is stored. */
void persist_identity(const struct session *session, struct stored_session *out);

/* Writes what of a session has changed. False: there was no room for all of it, and the session
 * goes on unprotected. */
bool persist_session(struct persist *persist, struct session *session);

/* Writes the time windows of a session or a total, where they have changed. */
void persist_slices(struct persist *persist, struct session *session);
void persist_total_slices(struct persist *persist, struct total *total);

/* Frees a metric's cells. */
void persist_metric_drop(struct persist *persist, struct metric *metric);

/* A session whose final document is published: its series go to what the totals keep, its
 * document to a cell of its own, its cells are freed. */
void persist_finish(struct persist *persist, struct session *session);

/* A finished session is forgotten for good. */
void persist_forget(struct persist *persist, struct session *session);

/* The totals that have changed, the last finished sessions, the agent's own numbers. */
void persist_totals(struct persist *persist, struct totals *totals);
void persist_recent(struct persist *persist, const struct recent *recent);
void persist_agent(struct persist *persist);

#endif /* SHMBUS_AGENT_PERSIST_H */
