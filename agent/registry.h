/* SPDX-License-Identifier: MIT */
/*
 * registry.h - all sessions of the bus, in a hash table under RCU: discovery adds, the reaper
 * removes, drain and publisher walk it, and none of them waits for another.
 *
 * Readers are between rcu_read_lock() and rcu_read_unlock(); every thread that calls anything
 * here is registered with liburcu (memb flavour).
 */
#ifndef SHMBUS_AGENT_REGISTRY_H
#define SHMBUS_AGENT_REGISTRY_H

#include "session.h"

struct registry {
	struct cds_lfht *table;
	_Atomic uint64_t generation; /* +1 at each addition and removal */
	_Atomic uint32_t count;
};

/* Returns 0 or -errno where there is no memory or no thread. No more of either is needed later, for
 * any number of sessions: liburcu ends the process where it finds none. */
int registry_init(struct registry *registry, uint32_t sessions_max);

/* Frees the table and every session; the other threads have ended. */
void registry_free(struct registry *registry);

/* Adds a session. False where its key is there already. */
bool registry_add(struct registry *registry, struct session *session);

/* Finds by key. Under rcu_read_lock(). */
struct session *registry_find(struct registry *registry, uint64_t key);

/* Whether a session of this key is there. */
bool registry_known(struct registry *registry, uint64_t key);

/* Takes a session out; it is freed after a grace period. Only the reaper removes. */
void registry_remove(struct registry *registry, struct session *session);

/* A thread's own list of all sessions: quicker to walk than the table. */
struct session_list {
	struct session **sessions;
	uint32_t count;
	uint32_t capacity;
	uint64_t generation; /* of the registry; UINT64_MAX before the first update */
};

#define SESSION_LIST_EMPTY ((struct session_list){.generation = UINT64_MAX})

/* Makes the list that of now, if sessions have come or gone. Under rcu_read_lock(), which is held
 * for as long as the list is used. True where it has changed. Without memory it lacks some. */
bool session_list_update(struct session_list *list, struct registry *registry);
void session_list_free(struct session_list *list);

/* Whether its last update found memory for all; else the next one tries again. */
static inline bool session_list_whole(const struct session_list *list)
{
	return list->generation != UINT64_MAX;
}

/* Appends one; false without memory. For lists that are not the registry's. */
bool session_list_add(struct session_list *list, struct session *session);

/* Leaves out those that no checkpoint has yet: were the agent killed now, the next agent would not
 * know them yet, and the number of sessions would go back. The next update looks again. */
void session_list_known(struct session_list *list);

/* By start time. */
void session_list_sort(struct session_list *list);

/* The session that an iterator is at; NULL after the last one. */
static inline struct session *registry_at(struct cds_lfht_iter *iterator)
{
	struct cds_lfht_node *node = cds_lfht_iter_get_node(iterator);

	return node != NULL ? caa_container_of(node, struct session, node) : NULL;
}

/* for each session; under rcu_read_lock(). liburcu's own loop ends with arithmetic on NULL. */
#define registry_for_each(registry, iterator, session)                                             \
	for (cds_lfht_first((registry)->table, &(iterator)), (session) = registry_at(&(iterator)); \
	     (session) != NULL;                                                                    \
	     cds_lfht_next((registry)->table, &(iterator)), (session) = registry_at(&(iterator)))

#endif /* SHMBUS_AGENT_REGISTRY_H */
