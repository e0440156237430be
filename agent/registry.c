/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "registry.h"

#define BUCKETS_MIN 64ul
#define SESSIONS_PER_BUCKET 4u
#define TABLE_MEMORY 65536u /* at most, beside its buckets */

static void *nothing(void *data)
{
	return data;
}

/* Whether liburcu will find what it asks for; the stack of the thread is kept for its own. */
static int liburcu_possible(unsigned long buckets)
{
	void *volatile memory = malloc(buckets * sizeof(struct cds_lfht_node) + TABLE_MEMORY);
	pthread_t thread;
	int error;

	if (memory == NULL)
		return -ENOMEM;
	free(memory);
	error = pthread_create(&thread, NULL, nothing, NULL);
	if (error == 0)
		error = pthread_join(thread, NULL);
	return -error;
}

/* The table has its size for good: one that grows needs a thread and memory later. */
int registry_init(struct registry *registry, uint32_t sessions_max)
{
	unsigned long buckets = BUCKETS_MIN;
	int error;

	*registry = (struct registry){0};
	while (buckets < sessions_max / SESSIONS_PER_BUCKET)
		buckets *= 2;
	error = liburcu_possible(buckets);
	if (error != 0)
		return error;
	registry->table = cds_lfht_new(buckets, buckets, buckets, 0, NULL);
	if (registry->table == NULL)
		return -ENOMEM;
	get_default_call_rcu_data(); /* begins the thread that frees */
	return 0;
}

/* Keys are random, but a hostile producer chooses its own: spread them (a finaliser of the
 * murmur kind; any bijection with good diffusion does). */
static unsigned long key_hash(uint64_t key)
{
	key ^= key >> 33;
	key *= 0xff51afd7ed558ccdull;
	key ^= key >> 33;
	return (unsigned long)key;
}

static int key_match(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct session, node)->key == *(const uint64_t *)key;
}

bool registry_add(struct registry *registry, struct session *session)
{
	struct cds_lfht_node *node;

	cds_lfht_node_init(&session->node);
	rcu_read_lock();
	node = cds_lfht_add_unique(registry->table, key_hash(session->key), key_match,
				   &session->key, &session->node);
	rcu_read_unlock();
	if (node != &session->node)
		return false;
	atomic_fetch_add_explicit(&registry->count, 1, memory_order_relaxed);
	/* release: who sees the new generation finds the session. */
	atomic_fetch_add_explicit(&registry->generation, 1, memory_order_release);
	return true;
}

struct session *registry_find(struct registry *registry, uint64_t key)
{
	struct cds_lfht_iter iterator;

	cds_lfht_lookup(registry->table, key_hash(key), key_match, &key, &iterator);
	return registry_at(&iterator);
}

static void free_later(struct rcu_head *head)
{
	session_free(caa_container_of(head, struct session, rcu));
}

bool registry_known(struct registry *registry, uint64_t key)
{
	bool found;

	rcu_read_lock();
	found = registry_find(registry, key) != NULL;
	rcu_read_unlock();
	return found;
}

void registry_remove(struct registry *registry, struct session *session)
{
	rcu_read_lock();
	cds_lfht_del(registry->table, &session->node);
	rcu_read_unlock();
	atomic_fetch_sub_explicit(&registry->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&registry->generation, 1, memory_order_release);
	call_rcu(&session->rcu, free_later);
}

bool session_list_add(struct session_list *list, struct session *session)
{
	if (list->count == list->capacity) {
		uint32_t capacity = list->capacity + list->capacity / 2 + 64;
		struct session **larger =
			realloc(list->sessions, capacity * sizeof *list->sessions);

		if (larger == NULL)
			return false;
		list->sessions = larger;
		list->capacity = capacity;
	}
	list->sessions[list->count++] = session;
	return true;
}

bool session_list_update(struct session_list *list, struct registry *registry)
{
	/* acquire: finds what the generation counts; pairs with registry_add(). */
	uint64_t generation = atomic_load_explicit(&registry->generation, memory_order_acquire);
	struct cds_lfht_iter iterator;
	struct session *session;

	if (generation == list->generation)
		return false;
	list->generation = generation;
	list->count = 0;
	registry_for_each(registry, iterator, session)
	{
		if (!session_list_add(list, session)) {
			list->generation = UINT64_MAX; /* try again */
			break;
		}
	}
	return true;
}

void session_list_free(struct session_list *list)
{
	free(list->sessions);
	*list = SESSION_LIST_EMPTY;
}

void registry_free(struct registry *registry)
{
	struct cds_lfht_iter iterator;
	struct session *session;

	rcu_read_lock();
	registry_for_each(registry, iterator, session)
	{
		cds_lfht_del(registry->table, &session->node);
		if (session->consumer != NULL && session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		call_rcu(&session->rcu, free_later);
	}
	rcu_read_unlock();
	rcu_barrier();
	cds_lfht_destroy(registry->table, NULL);
}

void session_list_known(struct session_list *list)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->sessions[i]->committed.known)
			list->sessions[kept++] = list->sessions[i];
	if (kept != list->count)
		list->generation = UINT64_MAX; /* look again at the next tick */
	list->count = kept;
}

static int by_start(const void *left, const void *right)
{
	const struct session *a = *(struct session *const *)left;
	const struct session *b = *(struct session *const *)right;
	uint64_t at = a->consumer->header.start_time_unix_ns;
	uint64_t bt = b->consumer->header.start_time_unix_ns;

	if (at != bt)
		return at < bt ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

void session_list_sort(struct session_list *list)
{
	if (list->count != 0)
		qsort(list->sessions, list->count, sizeof *list->sessions, by_start);
}
