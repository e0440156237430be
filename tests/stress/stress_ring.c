/* SPDX-License-Identifier: MIT */
/*
 * stress_ring.c - a producer and a consumer on one ring: every sample arrives once, in order and
 * whole, and what did not fit is counted, to the unit. Clean under ThreadSanitizer.
 *
 * Beside each slot goes a plain word that only the ring's memory order protects: with one of its
 * four edges missing, ThreadSanitizer sees a race on that word.
 *
 * Samples go singly or in pairs; who finds the first one of a pair finds the second one.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/ring.h>

#include "tap.h"

#if defined(__SANITIZE_THREAD__)
#define SAMPLES 1000000u
#else
#define SAMPLES 2000000u
#endif
#define CAPACITY_MAX 4096u

static struct shmbus_slot slots[CAPACITY_MAX];
static _Atomic uint64_t head;
static _Atomic bool done;

struct account {
	uint64_t attempted;
	uint64_t recorded;
	uint64_t dropped;
	uint64_t read;
	uint64_t wrong;
	uint64_t halves; /* pairs of which only the first one was there */
};

static struct account account;
static uint32_t capacity;
static bool patient;                 /* the producer waits for room */
static uint32_t group;               /* samples that go together: 1 or 2 */
static uint64_t plain[CAPACITY_MAX]; /* one word beside each slot */

static uint32_t order_of(uint32_t n)
{
	return (uint32_t)__builtin_ctz(n);
}

static uint64_t tag_of(uint64_t value)
{
	return shmbus_tag_make((uint32_t)(value % 4000), SHMBUS_TAG_TICKS, value);
}

/* Writes the plain words of slots that are known to be free, then the slots. */
static bool put(struct shmbus_ring_producer *ring, uint32_t count, uint64_t value)
{
	uint64_t at = shmbus_ring_written(ring);

	if (ring->limit - ring->next < (int64_t)count && shmbus_ring_refresh(ring) < (int64_t)count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		plain[(at + i) & (capacity - 1)] = ~(value + i);
	if (count == 1)
		return shmbus_ring_push(ring, value, tag_of(value));
	if (!shmbus_ring_push_two(ring, value, tag_of(value), value + 1, tag_of(value + 1)))
		shmbus_ring_push_two_known(ring, value, tag_of(value), value + 1,
					   tag_of(value + 1));
	return true;
}

/* Values count up over what was recorded; the metric is a function of the value. */
static void *produce(void *unused)
{
	struct shmbus_ring_producer ring;

	(void)unused;
	shmbus_ring_producer_init(&ring, slots, capacity, &head);
	/* A single one first: laps shall end between the two of a pair. */
	if (group == 2)
		account.attempted = account.recorded = put(&ring, 1, 0);
	for (uint64_t i = account.recorded; i < SAMPLES; i += group) {
		bool recorded = put(&ring, group, account.recorded);

		account.attempted += group;
		while (!recorded && patient) {
			sched_yield();
			recorded = put(&ring, group, account.recorded);
		}
		account.recorded += recorded ? group : 0;
		account.dropped += recorded ? 0 : group;
	}
	atomic_store_explicit(&done, true, memory_order_release);
	return NULL;
}

static void consume_batch(struct shmbus_ring_consumer *ring, unsigned *seed)
{
	uint32_t batch = 1 + (uint32_t)rand_r(seed) % capacity;
	uint64_t value, tag, value2, tag2;

	while (batch-- > 0 && shmbus_ring_peek(ring, ring->position, &value, &tag)) {
		if (value != account.read || shmbus_tag_metric(tag) != value % 4000 ||
		    plain[ring->position & ring->mask] != ~value)
			account.wrong++;
		if (group == 2 && account.read % 2 == 1 &&
		    !shmbus_ring_peek(ring, ring->position + 1, &value2, &tag2))
			account.halves++;
		account.read++;
		ring->position++;
	}
	shmbus_ring_release(&head, ring->position);
}

static void *consume(void *unused)
{
	struct shmbus_ring_consumer ring = {
		.slots = slots, .mask = capacity - 1, .order = order_of(capacity)};
	unsigned seed = 1;
	uint64_t before;
	bool last;

	(void)unused;
	do {
		last = atomic_load_explicit(&done, memory_order_acquire);
		before = account.read;
		consume_batch(&ring, &seed);
	} while (!last || account.read != before);
	return NULL;
}

static void run(uint32_t ring_capacity, uint32_t ring_group, bool patience)
{
	pthread_t threads[2];

	capacity = ring_capacity;
	group = ring_group;
	patient = patience;
	memset(&account, 0, sizeof account);
	memset(slots, 0, sizeof slots);
	atomic_store(&head, 0);
	atomic_store(&done, false);
	pthread_create(&threads[0], NULL, produce, NULL);
	pthread_create(&threads[1], NULL, consume, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	tap_ok(account.wrong == 0, "ring of %u, by %u: all in order and whole", capacity, group);
	tap_ok(account.halves == 0, "ring of %u, by %u: no half a pair", capacity, group);
	tap_ok(account.recorded + account.dropped == account.attempted,
	       "ring of %u, by %u: attempted = recorded + dropped", capacity, group);
	tap_ok(!patient || account.recorded == account.attempted,
	       "ring of %u, by %u: waiting loses nothing", capacity, group);
	tap_ok(account.read == account.recorded,
	       "ring of %u, by %u: all that was recorded was read", capacity, group);
}

int main(void)
{
	for (uint32_t by = 1; by <= 2; by++) {
		run(64, by, true);
		run(4096, by, true);
		run(64, by, false);
		run(4096, by, false);
	}
	return tap_done();
}
