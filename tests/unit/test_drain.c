/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
	cr_assert_not(drain_last(&drain, pair.session));
	cr_assert(drain_last(&drain, pair.session));
	cr_assert_eq(folded(&pair), CAPACITY);
	cr_assert_eq(drain.samples, CAPACITY);
	pair_close(&pair);
}

/* Two cores' counters that disagree, or a thread that was moved between the two reads. */
Test(drain, durations_below_zero_count_as_zero)
{
	struct drain drain = {.window_default = 10};
	struct pair pair;

	pair_open(&pair);
	cr_assert(shmbus_record(pair.writers[0], pair.timer, shmbus_now() + (UINT64_C(1) << 40)));
	cr_assert(shmbus_record(pair.writers[0], pair.timer, shmbus_now()));
	drain_session(&drain, pair.session);
	cr_assert_eq(folded(&pair), 2);
	cr_assert_eq(drain.clock_backward_total, 1);
	cr_assert_lt(pair.session->metrics[0]->live.lifetime.max, UINT64_C(1) << 40);
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
Test(drain, last_ends_though_the_producer_does_not, .timeout = 50)
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
		pair.session->live.last_read = 0;
		while (!drain_last(&drain, pair.session))
			drain_give_back(pair.session);
		cr_assert_leq(pair.session->live.last_read, 3 * WRITERS * CAPACITY);
	}
	atomic_store(&flood.stop, true);
	pthread_join(thread, NULL);
	pair_close(&pair);
}

/* One pass reads a session's share and no more, and every writer's turn comes. */
Test(drain, a_pass_reads_a_share)
{
	struct shmbus_writer_options large = {.capacity = 2 * DRAIN_SHARE};
	struct drain drain = {.window_default = 10};
	struct shmbus_writer *greedy;
	struct pair pair;

	pair_open(&pair);
	cr_assert_eq(shmbus_writer_open(pair.producer, &large, &greedy), 0);
	for (uint64_t i = 0; i < 2 * DRAIN_SHARE; i++)
		cr_assert(shmbus_record_value(greedy, pair.timer, i));
	cr_assert(shmbus_record_value(pair.writers[0], pair.timer, 1));
	pair.session->live.first_writer = 2; /* the greedy one */
	drain_session(&drain, pair.session);
	cr_assert_eq(folded(&pair), DRAIN_SHARE);
	cr_assert(drain.cut);
	drain_session(&drain, pair.session);
	cr_assert_eq(folded(&pair), 2 * DRAIN_SHARE);
	cr_assert_eq(pair.session->writers[0]->live.account.aggregated, 1);
	drain.cut = false;
	drain_session(&drain, pair.session);
	cr_assert_eq(folded(&pair), 2 * DRAIN_SHARE + 1);
	cr_assert_not(drain.cut);
	pair_close(&pair);
}

/* A sample of a metric that was defined after the tables were read is that metric's. */
Test(drain, metrics_defined_during_a_pass)
{
	struct shmbus_metric_options later = {.name = "later", .kind = SHMBUS_TIMER};
	struct drain drain = {.window_default = 10};
	struct pair pair;
	shmbus_metric metric;
	uint32_t changes;

	pair_open(&pair);
	drain_session(&drain, pair.session);
	changes = pair.session->live.changes;
	cr_assert_eq(shmbus_metric_define(pair.producer, &later, &metric), 0);
	cr_assert(shmbus_record_value(pair.writers[0], metric, 7));
	/* As if the pass had looked just before. */
	pair.session->live.changes = atomic_load(&pair.session->consumer->live->changes);
	drain_session(&drain, pair.session);
	cr_assert_eq(pair.session->live.overflow, 1, "without a change nobody looks again");

	pair.session->live.changes = changes;
	cr_assert(shmbus_record_value(pair.writers[0], metric, 7));
	drain_session(&drain, pair.session);
	cr_assert_eq(pair.session->live.metric_count, 2);
	cr_assert_eq(pair.session->metrics[1]->live.lifetime.count, 1);
	pair_close(&pair);
}

struct changer {
	_Atomic uint32_t *changes;
	_Atomic bool stop;
};

/* Says all the time that its tables have changed. */
static void *changer_thread(void *data)
{
	struct changer *changer = data;

	while (!atomic_load(&changer->stop))
		atomic_fetch_add(changer->changes, 1);
	return NULL;
}

static void strangers_write(struct pair *pair)
{
	while (shmbus_ring_push(&pair->writers[0]->ring, 0, shmbus_tag_make(3, 0, 0)))
		;
}

/* The tables are read a few times in a pass, whatever their producer says; the samples of the
 * metrics that it may have meant wait, and none is lost. */
Test(drain, tables_are_not_read_for_every_sample, .timeout = 50)
{
	struct drain drain = {.window_default = 10};
	struct changer changer = {0};
	struct session_live *live;
	struct pair pair;
	pthread_t thread;
	void *page;

	pair_open(&pair);
	live = &pair.session->live;
	/* The agent's mapping of it is one for reading. */
	changer.changes = (_Atomic uint32_t *)&pair.session->consumer->live->changes;
	page = (void *)((uintptr_t)changer.changes & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1));
	cr_assert_eq(mprotect(page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE), 0);
	cr_assert_eq(pthread_create(&thread, NULL, changer_thread, &changer), 0);
	/* Until the changer was quick enough for once. */
	while (live->updates < 16) {
		uint64_t before = live->overflow;

		strangers_write(&pair);
		drain_session(&drain, pair.session);
		cr_assert_gt(live->overflow, before, "every pass comes further");
		cr_assert_leq(live->updates, 16);
		drain_give_back(pair.session);
		shmbus_ring_refresh(&pair.writers[0]->ring);
	}
	atomic_store(&changer.stop, true);
	pthread_join(thread, NULL);
	do {
		drain.cut = false;
		drain_session(&drain, pair.session);
	} while (drain.cut);
	cr_assert_eq(live->overflow, shmbus_ring_written(&pair.writers[0]->ring));
	cr_assert_eq(pair.session->writers[0]->live.account.aggregated, live->overflow);
	pair_close(&pair);
}
