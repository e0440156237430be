/* SPDX-License-Identifier: MIT */
/*
 * stress_ring.c - a producer and a consumer on one ring: every sample arrives once, in order and
 * whole, and what did not fit is counted, to the unit. Clean under ThreadSanitizer.
 *
 * Beside each slot goes a plain word that only the ring's memory order protects: with one of its
 * four edges missing, ThreadSanitizer sees a race on that word.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/ring.h>

#include "tap.h"

#define SAMPLES 2000000u
#define CAPACITY_MAX 4096u

static struct shmbus_slot slots[CAPACITY_MAX];
static _Atomic uint64_t head;
static _Atomic bool done;

struct account {
	uint64_t recorded;
	uint64_t dropped;
	uint64_t read;
	uint64_t wrong;
};

static struct account account;
static uint32_t capacity;
static bool patient;                 /* the producer waits for room */
static uint64_t plain[CAPACITY_MAX]; /* one word beside each slot */

static uint32_t order_of(uint32_t n)
{
	return (uint32_t)__builtin_ctz(n);
}

/* Writes the plain word of a slot that is known to be free, then the slot. */
static bool put(struct shmbus_ring_producer *ring, uint64_t value)
{
	uint64_t tag = shmbus_tag_make((uint32_t)(value % 4000), SHMBUS_TAG_TICKS, value);

	if (ring->next == ring->limit && shmbus_ring_refresh(ring) <= 0)
		return false;
	plain[ring->next - slots] = ~value;
	return shmbus_ring_push(ring, value, tag);
}

/* Values count up over what was recorded; the metric is a function of the value. */
static void *produce(void *unused)
{
	struct shmbus_ring_producer ring;

	(void)unused;
	shmbus_ring_producer_init(&ring, slots, capacity, &head);
	for (uint32_t i = 0; i < SAMPLES; i++) {
		bool recorded = put(&ring, account.recorded);

		while (!recorded && patient) {
			sched_yield();
			recorded = put(&ring, account.recorded);
		}
		account.recorded += recorded;
		account.dropped += !recorded;
	}
	atomic_store_explicit(&done, true, memory_order_release);
	return NULL;
}

static void consume_batch(struct shmbus_ring_consumer *ring, unsigned *seed)
{
	uint32_t batch = 1 + (uint32_t)rand_r(seed) % capacity;
	uint64_t value, tag;

	while (batch-- > 0 && shmbus_ring_peek(ring, ring->position, &value, &tag)) {
		if (value != account.read || shmbus_tag_metric(tag) != value % 4000 ||
		    plain[ring->position & ring->mask] != ~value)
			account.wrong++;
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

static void run(uint32_t ring_capacity, bool patience)
{
	pthread_t threads[2];

	capacity = ring_capacity;
	patient = patience;
	memset(&account, 0, sizeof account);
	memset(slots, 0, sizeof slots);
	atomic_store(&head, 0);
	atomic_store(&done, false);
	pthread_create(&threads[0], NULL, produce, NULL);
	pthread_create(&threads[1], NULL, consume, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	tap_ok(account.wrong == 0, "ring of %u: all in order and whole", capacity);
	tap_ok(account.recorded + account.dropped == SAMPLES,
	       "ring of %u: attempted = recorded + dropped", capacity);
	tap_ok(!patient || account.recorded == SAMPLES, "ring of %u: waiting loses nothing",
	       capacity);
	tap_ok(account.read == account.recorded, "ring of %u: all that was recorded was read",
	       capacity);
}

int main(void)
{
	run(64, true);
	run(4096, true);
	run(64, false);
	run(4096, false);
	return tap_done();
}
