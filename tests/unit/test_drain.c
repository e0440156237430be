/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <criterion/criterion.h>

#include <shmbus/producer.h>

#include "drain.h"
#include "guard.h"

#define WRITERS 2
#define CAPACITY 4096u

/* A producer and the agent's half of its session, in one process. */
struct pair {
	struct shmbus_session *producer;
	struct shmbus_writer *writers[WRITERS];
	shmbus_metric timer;
	struct session *session;
	char segment[80];
};

static void pair_open(struct pair *pair)
{
	struct shmbus_session_options options = {.service = "drain", .metrics_max = 4};
	struct shmbus_writer_options ring = {.capacity = CAPACITY};
	struct shmbus_metric_options timer = {.name = "work", .kind = SHMBUS_TIMER};
	struct shmbus_consumer *consumer = malloc(sizeof *consumer);

	cr_assert_eq(guard_init(), 0);
	cr_assert_eq(shmbus_session_open(&options, &pair->producer), 0);
	cr_assert_eq(shmbus_metric_define(pair->producer, &timer, &pair->timer), 0);
	for (int i = 0; i < WRITERS; i++)
		cr_assert_eq(shmbus_writer_open(pair->producer, &ring, &pair->writers[i]), 0);
	snprintf(pair->segment, sizeof pair->segment, "%s", shmbus_session_segment(pair->producer));
	cr_assert_eq(shmbus_consumer_attach(consumer, pair->segment), 0);
	pair->session = session_new(consumer, 1);
	cr_assert_not_null(pair->session);
}

static void pair_close(struct pair *pair)
{
	shmbus_consumer_detach(pair->session->consumer);
	session_free(pair->session);
	shmbus_session_close(pair->producer);
	shm_unlink(pair->segment);
}

static uint64_t folded(const struct pair *pair)
{
	return pair->session->metrics[0]->live.lifetime.count;
}

Test(drain, final_takes_all_that_was_published)
{
	struct drain drain = {.window_default = 10};
	struct pair pair;

	pair_open(&pair);
	for (uint64_t i = 0; i < CAPACITY + 5; i++)
		cr_assert_eq(shmbus_record_value(pair.writers[1], pair.timer, i), i < CAPACITY);
	drain_session(&drain, pair.session, true);
	cr_assert_eq(folded(&pair), CAPACITY);
	cr_assert_eq(drain.samples, CAPACITY);
	pair_close(&pair);
}

struct flood {
	struct pair *pair;
	_Atomic uint64_t laps;
	_Atomic bool stop;
};

/* Fills a ring again as soon as the agent gives it back. */
static void ring_fill(struct shmbus_ring_producer *ring)
{
	uint64_t head = atomic_load_explicit(ring->head, memory_order_acquire);

	for (uint64_t i = head; i < head + CAPACITY; i++)
		atomic_store_explicit(&ring->slots[i % CAPACITY].tag,
				      shmbus_ring_phase(i, __builtin_ctz(CAPACITY)),
				      memory_order_release);
}

/* A producer that is said to be gone, and is not. */
static void *flood_thread(void *data)
{
	struct flood *flood = data;

	while (!atomic_load(&flood->stop)) {
		for (int i = 0; i < WRITERS; i++)
			ring_fill(&flood->pair->writers[i]->ring);
		atomic_fetch_add(&flood->laps, 1);
	}
	return NULL;
}

/* While the agent reads one ring, the other fills again: there is always more. */
Test(drain, final_ends_though_the_producer_does_not, .timeout = 50)
{
	struct drain drain = {.window_default = 10};
	struct flood flood = {0};
	struct pair pair;
	pthread_t thread;

	pair_open(&pair);
	flood.pair = &pair;
	cr_assert_eq(pthread_create(&thread, NULL, flood_thread, &flood), 0);
	while (atomic_load(&flood.laps) == 0)
		;
	for (int i = 0; i < 500; i++) {
		drain.samples = 0;
		drain_session(&drain, pair.session, true);
		cr_assert_leq(drain.samples, 2 * WRITERS * CAPACITY);
	}
	atomic_store(&flood.stop, true);
	pthread_join(thread, NULL);
	pair_close(&pair);
}
