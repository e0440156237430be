/* SPDX-License-Identifier: MIT */
/*
 * agent.h - what the agent's threads share.
 *
 *   discover  watches /dev/shm, attaches to new segments, adds them to the registry
 *   drain     empties the rings, folds the samples, at each tick makes the checkpoint
 *   publish   encodes what the checkpoint changed and puts the snapshot in place
 *   reap      sees producers die, removes their segments, forgets them after the TTL
 *
 * They meet in the registry (RCU), in each session's stage, and in the hand-over of the
 * checkpoint between drain and publish (checkpoint.h). There is no common lock.
 */
#ifndef SHMBUS_AGENT_AGENT_H
#define SHMBUS_AGENT_AGENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "checkpoint.h"
#include "event.h"
#include "hints.h"
#include "options.h"
#include "persist.h"
#include "recent.h"
#include "registry.h"
#include "rejects.h"
#include "totals.h"

#define AGENT_THREADS 4

struct agent {
	struct options options;
	struct counter counter; /* the drain thread's; begun before, where it is set */
	pthread_t threads[AGENT_THREADS];
	uint32_t started; /* of them */
	struct registry registry;
	struct totals totals;
	struct recent recent;
	struct checkpoint checkpoint;
	struct persist persist;
	struct rejects rejects;
	struct hints hints; /* discovery -> reaper: look at this session now */
	struct event drain_event;
	struct event publish_event;
	struct event reap_event;
	int stop_fd;           /* readable when discovery shall end */
	int left_fd;           /* to be closed when another agent may begin; -1: none */
	_Atomic bool finished; /* a session was drained to its end: the reaper's turn */
	_Atomic bool stop;
	_Atomic bool failed;
	uint64_t start_time_unix_ns;
	_Atomic uint64_t sessions_ended; /* reached GONE by a goodbye */
	_Atomic uint64_t sessions_lost;
	_Atomic uint64_t scans;           /* full scans of /dev/shm */
	_Atomic uint64_t event_overflows; /* of inotify's queue, each followed by a scan */
};

void *discover_thread(void *agent);
void *drain_thread(void *agent);
void *publish_thread(void *agent);
void *reap_thread(void *agent);

/* Makes an agent from zeroed memory; it touches nothing of the bus. Returns 0 or -errno. */
int agent_init(struct agent *agent, const struct options *options);

/* Takes up what the last one's checkpoint holds. The caller holds the bus (buslock.h). Returns 0 or
 * -errno. */
int agent_take_up(struct agent *agent);

/* Starts the threads. Returns 0, or -errno; agent_stop() ends those that run. */
int agent_start(struct agent *agent);
void agent_stop(struct agent *agent);
void agent_free(struct agent *agent);

/* Ends the agent with exit status 1: a thread cannot do its work. */
void agent_fail(struct agent *agent);

static inline bool agent_stopping(struct agent *agent)
{
	return atomic_load_explicit(&agent->stop, memory_order_acquire);
}

#endif /* SHMBUS_AGENT_AGENT_H */
