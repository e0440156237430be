/* SPDX-License-Identifier: MIT */
/*
 * reap.c - a producer's death is seen here: its lock is free. The order matters: first death is
 * seen, then the drain thread reads the rings to the end, then the segment is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "kill_point.h"
#include "log.h"
#include "process.h"

#define SWEEP_NS 200000000u
#define SWEEP_PARTS 5 /* the living are asked for their locks in turn, all of them in a second */
#define PROCESS_NS 1000000000u
#define PROCESS_PER_SWEEP 16 /* about 10 us each: 0.1 % of a core */

struct sweep {
	struct session_list list; /* the table has room for many times as many */
	uint64_t now_ns;
	uint64_t number;
	struct process_looks looks;
};

/* The producer's goodbye, read with pread: the mapping is the drain thread's. */
static bool said_goodbye(const struct session *session)
{
	uint32_t state = 0;

	return pread(session->consumer->fd, &state, sizeof state,
		     offsetof(struct shmbus_header, state)) == (ssize_t)sizeof state &&
	       state == SHMBUS_SEGMENT_CLOSED;
}

static void death_look(struct agent *agent, struct session *session)
{
	if (shmbus_consumer_alive(session->consumer) != 0)
		return;
	atomic_store_explicit(&session->closed, said_goodbye(session), memory_order_relaxed);
	/* release: death was seen before; pairs with drain_thread.c. */
	atomic_store_explicit(&session->stage, SESSION_DYING, memory_order_release);
	event_signal(&agent->drain_event);
}

/* Removes the name only while it is still this file's. */
static void segment_unlink(struct session *session)
{
	char path[128];
	struct stat ours, named;

	snprintf(path, sizeof path, "/dev/shm%s", session->consumer->segment);
	if (fstat(session->consumer->fd, &ours) != 0 || lstat(path, &named) != 0 ||
	    ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
		return;
	if (unlink(path) == 0 || errno == ENOENT)
		return;
	session->unremoved = true;
	log_line("cannot remove %s: %s; its session stays while it is there",
		 session->consumer->segment, strerror(errno));
}

/* A segment that is still there would be found again, and its counters counted again. What forbade
 * to remove it may be over. */
static bool segment_there(const struct session *session)
{
	char path[128];
	struct stat named;

	snprintf(path, sizeof path, "/dev/shm%s", session->consumer->segment);
	if (!session->unremoved || lstat(path, &named) != 0)
		return false;
	return named.st_ino != session->inode || named.st_dev != session->device ||
	       unlink(path) != 0;
}

static void bury(struct session *session, uint64_t now_ns)
{
	bool closed = atomic_load_explicit(&session->closed, memory_order_relaxed);

	if (session->consumer->fd >= 0) {
		segment_unlink(session);
		kill_point(KILL_UNLINK);
		shmbus_consumer_detach(session->consumer);
	}
	log_detail("session %s of %s: %s", session->consumer->header.id,
		   session->consumer->header.service, closed ? "ended" : "lost");
	atomic_store_explicit(&session->gone_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&session->stage, SESSION_GONE, memory_order_release);
}

/* Finished sessions leave after the TTL, and earlier where new ones need the room; never before
 * a snapshot has shown how they ended. */
static bool expired(const struct agent *agent, const struct session *session, uint64_t now_ns)
{
	uint64_t gone_ns = atomic_load_explicit(&session->gone_ns, memory_order_relaxed);
	uint32_t count = atomic_load_explicit(&agent->registry.count, memory_order_relaxed);

	if (!atomic_load_explicit(&session->forgotten, memory_order_acquire))
		return false;
	if (now_ns - gone_ns < agent->options.ttl_ns &&
	    count <= agent->options.sessions_max - agent->options.sessions_max / 16)
		return false;
	return !segment_there(session);
}

/* A death is most often heard of when it comes: somebody closed the segment. This finds those that
 * were not. */
static void look_at_living(struct agent *agent, struct session *session, struct sweep *sweep)
{
	if ((session->key + sweep->number) % SWEEP_PARTS != 0)
		return;
	death_look(agent, session);
	if (sweep->now_ns - session->process.sampled_ns >= PROCESS_NS - SWEEP_NS / 2 &&
	    !session->process.lost)
		process_sample(session, sweep->now_ns, &sweep->looks);
}

static void look(struct agent *agent, struct session *session, struct sweep *sweep)
{
	switch (atomic_load_explicit(&session->stage, memory_order_acquire)) {
	case SESSION_LIVE:
		look_at_living(agent, session, sweep);
		break;
	case SESSION_DYING:
		break;
	case SESSION_DRAINED:
		bury(session, sweep->now_ns);
		break;
	case SESSION_GONE:
		if (expired(agent, session, sweep->now_ns))
			atomic_store_explicit(&session->stage, SESSION_EXPIRED,
					      memory_order_release);
		break;
	case SESSION_EXPIRED:
		break;
	case SESSION_REMOVED:
		registry_remove(&agent->registry, session);
		break;
	}
}

static void sweep_run(struct agent *agent, struct sweep *sweep)
{
	sweep->now_ns = clock_monotonic_ns();
	sweep->looks = (struct process_looks){.budget = PROCESS_PER_SWEEP};
	rcu_read_lock();
	/* Without memory it lacks some until the next sweep; deaths are still heard of. */
	session_list_update(&sweep->list, &agent->registry);
	for (uint32_t i = 0; i < sweep->list.count; i++)
		look(agent, sweep->list.sessions[i], sweep);
	rcu_read_unlock();
}

static void hints_follow(struct agent *agent)
{
	uint64_t key;

	while (hints_take(&agent->hints, &key)) {
		struct session *session;

		rcu_read_lock();
		session = registry_find(&agent->registry, key);
		if (session != NULL &&
		    atomic_load_explicit(&session->stage, memory_order_acquire) == SESSION_LIVE)
			death_look(agent, session);
		rcu_read_unlock();
	}
}

void *reap_thread(void *data)
{
	struct agent *agent = data;
	struct sweep sweep = {.list = SESSION_LIST_EMPTY};
	uint64_t next_sweep = 0;

	rcu_register_thread();
	while (!agent_stopping(agent)) {
		uint32_t seen = event_value(&agent->reap_event);
		uint64_t now_ns;

		hints_follow(agent);
		now_ns = clock_monotonic_ns();
		if (atomic_exchange_explicit(&agent->finished, false, memory_order_acquire) ||
		    now_ns >= next_sweep) {
			/* One that comes early, for what has finished, does not move the turn on.
			 */
			if (now_ns >= next_sweep) {
				next_sweep = now_ns + SWEEP_NS;
				sweep.number++;
			}
			sweep_run(agent, &sweep);
		}
		event_wait(&agent->reap_event, seen, next_sweep);
	}
	session_list_free(&sweep.list);
	rcu_unregister_thread();
	return NULL;
}
