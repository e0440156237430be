/* SPDX-License-Identifier: MIT */
/* subject.h - the real interface on a real session, and the other end of its ring. */
#ifndef SHMBUS_BENCH_SUBJECT_H
#define SHMBUS_BENCH_SUBJECT_H

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#define SUBJECT_CAPACITY SHMBUS_RING_DEFAULT

struct subject {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timer;
	shmbus_metric counter;
	shmbus_metric gauge;
	struct shmbus_cycle cycle;
	struct shmbus_consumer consumer;
	uint64_t filled; /* slots, since the last check */

	/* The bare store's ring: the least that publishing a sample takes. */
	struct shmbus_slot *bare_slots;
	SHMBUS_ATOMIC(uint64_t) * bare_tail;
};

/* With a ring of so many samples. Returns 0, or a negative errno after a message. */
int subject_create(uint32_t capacity, struct subject **out);
void subject_destroy(struct subject *subject); /* NULL is allowed */

/* Reads what is in the ring and gives it back. Returns how many. */
uint64_t subject_drain(struct subject *subject);

/* The next slot of the bare ring: a 16-byte store and the release of the tail. */
static inline void subject_bare_store(struct subject *subject, uint64_t value, uint64_t tag)
{
	/* relaxed: there is one writer. */
	uint64_t tail = atomic_load_explicit(subject->bare_tail, memory_order_relaxed);
	struct shmbus_slot *slot = &subject->bare_slots[tail % SUBJECT_CAPACITY];

	/* relaxed: the tail's release publishes both. */
	atomic_store_explicit(&slot->value, value, memory_order_relaxed);
	atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
	atomic_store_explicit(subject->bare_tail, tail + 1, memory_order_release);
}

#endif /* SHMBUS_BENCH_SUBJECT_H */
