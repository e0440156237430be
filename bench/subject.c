/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static int metrics_define(struct subject *subject)
{
	struct shmbus_metric_options timer = {.name = "timer", .kind = SHMBUS_TIMER};
	struct shmbus_metric_options counter = {.name = "counter", .kind = SHMBUS_COUNTER};
	struct shmbus_metric_options gauge = {.name = "gauge", .kind = SHMBUS_GAUGE};
	struct shmbus_cycle_options cycle = {.name = "cycle", .rate_hz = 48000, .quantum = 128};
	int error = shmbus_metric_define(subject->session, &timer, &subject->timer);

	if (!error)
		error = shmbus_metric_define(subject->session, &counter, &subject->counter);
	if (!error)
		error = shmbus_metric_define(subject->session, &gauge, &subject->gauge);
	if (!error)
		error = shmbus_cycle_define(subject->session, &cycle, &subject->cycle);
	return error;
}

static int subject_open(struct subject *subject, uint32_t capacity)
{
	struct shmbus_session_options options = {.service = "bench"};
	struct shmbus_writer_options ring = {.capacity = capacity};
	char bus[SHMBUS_BUS_SIZE];
	int error;

	bench_bus_name(bus, sizeof(bus));
	options.bus = bus;
	error = shmbus_session_open(&options, &subject->session);
	if (!error)
		error = shmbus_writer_open(subject->session, &ring, &subject->writer);
	if (!error)
		error = metrics_define(subject);
	if (error) {
		fprintf(stderr, "shmbus-bench: %s\n", shmbus_strerror(error));
		return error;
	}
	error = shmbus_consumer_attach(&subject->consumer,
				       shmbus_session_segment(subject->session));
	if (!error)
		error = shmbus_consumer_writers_update(&subject->consumer);
	if (error)
		fprintf(stderr, "shmbus-bench: %s\n", subject->consumer.reason);
	return error;
}

int subject_create(uint32_t capacity, struct subject **out)
{
	struct subject *subject = calloc(1, sizeof(*subject));
	int error;

	if (!subject)
		return -ENOMEM;
	subject->consumer.fd = -1;
	error = subject_open(subject, capacity);
	if (error)
		goto free_subject;
	error = -ENOMEM;
	subject->bare_slots = bench_shared_alloc(SUBJECT_CAPACITY * sizeof(struct shmbus_slot));
	subject->bare_tail = bench_shared_alloc(sizeof(*subject->bare_tail));
	if (!subject->bare_slots || !subject->bare_tail)
		goto free_subject;
	*out = subject;
	return 0;

free_subject:
	subject_destroy(subject);
	return error;
}

void subject_destroy(struct subject *subject)
{
	if (!subject)
		return;
	bench_shared_free(subject->bare_slots, SUBJECT_CAPACITY * sizeof(struct shmbus_slot));
	bench_shared_free((void *)subject->bare_tail, sizeof(*subject->bare_tail));
	if (subject->consumer.fd >= 0)
		shmbus_consumer_detach(&subject->consumer);
	shmbus_session_close(subject->session);
	free(subject);
}

uint64_t subject_drain(struct subject *subject)
{
	struct shmbus_consumer_writer *writer = subject->consumer.writers[0];
	struct shmbus_ring_consumer *ring = &writer->ring;
	uint64_t value, tag, start = ring->position;

	while (ring->position - start < writer->capacity &&
	       shmbus_ring_peek(ring, ring->position, &value, &tag))
		ring->position++;
	shmbus_ring_release(writer->head, ring->position);
	return ring->position - start;
}
