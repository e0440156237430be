/* SPDX-License-Identifier: MIT */
/*
 * victim.h - a session whose producers are children that die, for the tests of that.
 *
 * To open a session takes longer than all the rest of a short life. So this process opens one
 * session, and its children, made by _Fork(3), which runs no fork handlers, write into the rings
 * of it as if they had opened it. What they change of the writers' private halves dies with them:
 * the next child finds fresh writers, and victim_reset() makes the shared halves fresh too.
 */
#ifndef SHMBUS_TESTS_VICTIM_H
#define SHMBUS_TESTS_VICTIM_H

#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#include "tap.h"

#define VICTIM_WRITERS 3u
#define VICTIM_QUANTUM 128u

struct victim {
	struct shmbus_session *session;
	struct shmbus_writer *writers[VICTIM_WRITERS];
	shmbus_metric plain;   /* a timer: values */
	shmbus_metric timed;   /* a timer: durations in ticks */
	shmbus_metric counter; /* slots */
	shmbus_metric gauge;
	struct shmbus_cycle cycle;
};

/* A child must not outlive the test, however that ends. */
static inline void victim_leash(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
}

static inline void *victim_page(size_t size)
{
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		tap_bail("no memory");
	return page;
}

static inline void victim_open(struct victim *victim, const uint32_t capacity[VICTIM_WRITERS])
{
	struct shmbus_metric_options plain = {.name = "plain", .kind = SHMBUS_TIMER, .unit = "1"};
	struct shmbus_metric_options timed = {.name = "timed", .kind = SHMBUS_TIMER};
	struct shmbus_metric_options counter = {.name = "counter", .kind = SHMBUS_COUNTER};
	struct shmbus_metric_options gauge = {.name = "gauge", .kind = SHMBUS_GAUGE};
	struct shmbus_cycle_options cycle = {
		.name = "cycle", .rate_hz = 48000, .quantum = VICTIM_QUANTUM};
	int error = shmbus_session_open(NULL, &victim->session);

	for (uint32_t i = 0; error == 0 && i < VICTIM_WRITERS; i++) {
		struct shmbus_writer_options options = {.capacity = capacity[i]};

		error = shmbus_writer_open(victim->session, &options, &victim->writers[i]);
	}
	if (error == 0)
		error = shmbus_metric_define(victim->session, &plain, &victim->plain);
	if (error == 0)
		error = shmbus_metric_define(victim->session, &timed, &victim->timed);
	if (error == 0)
		error = shmbus_metric_define(victim->session, &counter, &victim->counter);
	if (error == 0)
		error = shmbus_metric_define(victim->session, &gauge, &victim->gauge);
	if (error == 0)
		error = shmbus_cycle_define(victim->session, &cycle, &victim->cycle);
	if (error != 0)
		tap_bail("cannot open a session: %s", shmbus_strerror(error));
}

static inline void victim_attach(struct shmbus_consumer *consumer, const char *segment)
{
	if (shmbus_consumer_attach(consumer, segment) != 0)
		tap_bail("cannot attach to %s: %s", segment, consumer->reason);
}

/* The head of a writer's ring, writable: children that play the agent as well store to it. */
static inline _Atomic uint64_t *victim_head(const struct shmbus_writer *writer)
{
	return (_Atomic uint64_t *)writer->ring.head;
}

/* Forgets all that the last child wrote. */
static inline void victim_reset(struct victim *victim, uint32_t number,
				struct shmbus_consumer_writer *seen)
{
	struct shmbus_writer *writer = victim->writers[number];

	memset((void *)writer->ring.slots, 0, writer->ring.capacity * sizeof(struct shmbus_slot));
	atomic_store(&writer->block->dropped_full, 0);
	atomic_store(&writer->block->dropped_head, 0);
	atomic_store(&writer->slots[victim->counter], 0);
	atomic_store(&writer->slots[victim->cycle.xruns], 0);
	atomic_store(&writer->slots[victim->gauge], SHMBUS_SLOT_ABSENT);
	atomic_store(seen->head, 0);
	seen->ring.position = 0;
}

#endif /* SHMBUS_TESTS_VICTIM_H */
