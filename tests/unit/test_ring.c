/* SPDX-License-Identifier: MIT */
/* test_ring.c - the ring by itself: laps and phases, full and free, heads that lie, tags. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/ring.h>

#define CAPACITY_MAX 64u

static struct shmbus_slot slots[CAPACITY_MAX];
static _Atomic(uint64_t) head;
static struct shmbus_ring_producer producer;
static struct shmbus_ring_consumer consumer;

/* An empty ring whose ends stand at a position. All slots carry the phase of the lap before. */
static void ring_set(uint32_t capacity, uint64_t position)
{
	uint32_t order = (uint32_t)__builtin_ctz(capacity);

	memset(slots, 0, sizeof slots);
	for (uint64_t i = 0; i < capacity; i++) {
		uint64_t at = position + i;

		atomic_store(&slots[at & (capacity - 1)].tag,
			     shmbus_ring_phase(at, order) ^ SHMBUS_TAG_PHASE);
	}
	atomic_store(&head, position);
	shmbus_ring_producer_init(&producer, slots, capacity, &head);
	producer.next = slots + (position & (capacity - 1));
	producer.lap = position & ~(uint64_t)(capacity - 1);
	producer.phase = shmbus_ring_phase(position, order);
	producer.granted = position + capacity;
	shmbus_ring_turn(&producer);
	consumer = (struct shmbus_ring_consumer){
		.position = position, .slots = slots, .mask = capacity - 1, .order = order};
}

static uint64_t tag_of(uint64_t value)
{
	return shmbus_tag_make((uint32_t)(value % 4000), SHMBUS_TAG_TICKS, value << 6);
}

/* Pushes the way the library does: what is known to be free, else what the head says. */
static bool push(uint64_t value)
{
	if (shmbus_ring_push(&producer, value, tag_of(value)))
		return true;
	return shmbus_ring_refresh(&producer) > 0 &&
	       shmbus_ring_push(&producer, value, tag_of(value));
}

/* Both or neither, also where the lap ends between them. */
static bool push_two(uint64_t value)
{
	uint64_t tag = tag_of(value), tag2 = tag_of(value + 1);

	if (shmbus_ring_push_two(&producer, value, tag, value + 1, tag2))
		return true;
	if (shmbus_ring_refresh(&producer) < 2)
		return false;
	shmbus_ring_push_two_known(&producer, value, tag, value + 1, tag2);
	return true;
}

static bool peek_is(uint64_t expected)
{
	uint64_t value, tag;

	return shmbus_ring_peek(&consumer, consumer.position, &value, &tag) && value == expected &&
	       (tag & ~1ull) == tag_of(expected);
}

static bool peek_none(void)
{
	uint64_t value = 77, tag = 78;

	return !shmbus_ring_peek(&consumer, consumer.position, &value, &tag) && value == 77 &&
	       tag == 78;
}

/* Everything goes through, in batches of every size, for several laps. */
static void laps_check(uint32_t capacity, uint64_t start)
{
	uint64_t written = 0, read = 0;

	ring_set(capacity, start);
	cr_assert(peek_none());
	for (uint32_t round = 0; round < 8 * capacity; round++) {
		uint32_t batch = 1 + round % capacity;

		for (uint32_t i = 0; i < batch && push(written); i++)
			written++;
		while (read < written) {
			cr_assert(peek_is(read), "capacity %u, start %llu, sample %llu", capacity,
				  (unsigned long long)start, (unsigned long long)read);
			read++;
			consumer.position++;
		}
		cr_assert(peek_none());
		shmbus_ring_release(&head, consumer.position);
	}
	cr_assert_eq(shmbus_ring_written(&producer), start + written);
	cr_assert_geq(written, (uint64_t)8 * capacity);
}

Test(ring, a_fresh_zeroed_ring_holds_nothing)
{
	memset(slots, 0, sizeof slots);
	for (uint32_t order = 0; order <= 6; order++) {
		consumer = (struct shmbus_ring_consumer){
			.slots = slots, .mask = (1u << order) - 1, .order = order};
		for (; consumer.position < 1u << order; consumer.position++)
			cr_assert(peek_none());
	}
}

Test(ring, phase_is_the_parity_of_the_lap)
{
	cr_assert_eq(shmbus_ring_phase(0, 6), 1);
	cr_assert_eq(shmbus_ring_phase(63, 6), 1);
	cr_assert_eq(shmbus_ring_phase(64, 6), 0);
	cr_assert_eq(shmbus_ring_phase(127, 6), 0);
	cr_assert_eq(shmbus_ring_phase(128, 6), 1);
	cr_assert_eq(shmbus_ring_phase(0, 0), 1);
	cr_assert_eq(shmbus_ring_phase(1, 0), 0);
	cr_assert_eq(shmbus_ring_phase(UINT64_MAX, 24), 0);
	for (uint32_t order = 0; order <= 24; order++)
		cr_assert_neq(shmbus_ring_phase(UINT64_MAX, order), shmbus_ring_phase(0, order));
}

Test(ring, laps_in_every_capacity)
{
	for (uint32_t capacity = 1; capacity <= CAPACITY_MAX; capacity *= 2)
		laps_check(capacity, 0);
}

Test(ring, laps_over_the_end_of_positions)
{
	for (uint32_t capacity = 1; capacity <= CAPACITY_MAX; capacity *= 2) {
		laps_check(capacity, UINT64_MAX);
		laps_check(capacity, UINT64_MAX - 3 * capacity + 1);
		laps_check(capacity, UINT64_MAX - 3 * capacity - 5);
		laps_check(capacity, (1ull << 63) - capacity - 1);
	}
}

Test(ring, full_refuses_and_changes_nothing)
{
	static uint8_t before[sizeof slots];

	for (uint32_t capacity = 1; capacity <= CAPACITY_MAX; capacity *= 2) {
		ring_set(capacity, 5);
		for (uint64_t i = 0; i < capacity; i++)
			cr_assert(push(i));
		memcpy(before, slots, sizeof slots);
		cr_assert_not(shmbus_ring_push(&producer, 99, tag_of(99)));
		cr_assert_eq(shmbus_ring_refresh(&producer), 0);
		cr_assert_not(shmbus_ring_push(&producer, 99, tag_of(99)));
		cr_assert_eq(memcmp(before, (const uint8_t *)slots, sizeof slots), 0);
		cr_assert_eq(shmbus_ring_written(&producer), 5 + capacity);

		/* One read: exactly one slot comes free, once it is released. */
		cr_assert(peek_is(0));
		cr_assert_eq(shmbus_ring_refresh(&producer), 0);
		shmbus_ring_release(&head, 6);
		cr_assert_not(shmbus_ring_push(&producer, 99, tag_of(99)), "not before a refresh");
		cr_assert_eq(shmbus_ring_refresh(&producer), 1);
		cr_assert(shmbus_ring_push(&producer, capacity, tag_of(capacity)));
		cr_assert_not(shmbus_ring_push(&producer, 99, tag_of(99)));
		for (uint64_t i = 1; i <= capacity; i++) {
			consumer.position = 5 + i;
			cr_assert(peek_is(i));
		}
		consumer.position++;
		cr_assert(peek_none());
	}
}

Test(ring, push_two_is_all_or_nothing)
{
	for (uint32_t capacity = 1; capacity <= CAPACITY_MAX; capacity *= 2) {
		uint64_t start = UINT64_MAX - capacity;
		uint64_t n = 0;

		ring_set(capacity, start);
		if (capacity > 1)
			cr_assert(push(n++));
		while (push_two(n))
			n += 2;
		cr_assert_eq(shmbus_ring_written(&producer), start + n);
		cr_assert_eq(n, capacity > 1 ? capacity - 1 : 0, "one slot is left");
		consumer.position = start + n;
		cr_assert(peek_none());
		cr_assert(push(n), "the slot that was left");
		cr_assert_not(push_two(n + 1));
		cr_assert_eq(producer.next, producer.limit);
		for (uint64_t i = 0; i <= n; i++) {
			consumer.position = start + i;
			cr_assert(peek_is(i));
		}
	}
}

/* A head of which the producer must believe nothing: the ring counts as full. */
static void nonsense_check(uint64_t position, uint64_t lie)
{
	ring_set(64, position);
	producer.limit = producer.next; /* used up */
	atomic_store(&head, lie);
	cr_assert_eq(shmbus_ring_refresh(&producer), -1, "position %llx, head %llx",
		     (unsigned long long)position, (unsigned long long)lie);
	cr_assert_not(shmbus_ring_push(&producer, 1, 2));
	cr_assert_not(shmbus_ring_push_two(&producer, 1, 2, 3, 4));
	cr_assert_eq(shmbus_ring_written(&producer), position);

	/* And it recovers as soon as the head makes sense again. */
	atomic_store(&head, position);
	cr_assert_eq(shmbus_ring_refresh(&producer), 64);
	cr_assert(push(1));
}

Test(ring, heads_that_make_no_sense)
{
	const uint64_t positions[] = {0, 1, 63, 64, 1000, 1ull << 63, UINT64_MAX - 10, UINT64_MAX};

	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		uint64_t position = positions[i];

		nonsense_check(position, position + 1);
		nonsense_check(position, position + 64);
		nonsense_check(position, position - 65);
		nonsense_check(position, position - 128);
		nonsense_check(position, position + (1ull << 63));
		nonsense_check(position, position + (1ull << 63) - 1);
		nonsense_check(position, position + (1ull << 32));
		nonsense_check(position, position - (1ull << 32));
	}
}

Test(ring, refresh_takes_back_room_that_a_lying_head_had_promised)
{
	ring_set(64, 100);
	cr_assert(push(0));
	atomic_store(&head, 300);
	cr_assert_eq(shmbus_ring_refresh(&producer), -1);
	cr_assert_not(shmbus_ring_push(&producer, 1, 2), "the 63 slots of before do not count");
}

Test(ring, heads_at_the_edge_of_sense)
{
	ring_set(64, 1000);
	atomic_store(&head, 1000 - 64);
	cr_assert_eq(shmbus_ring_refresh(&producer), 0, "a whole lap behind: full");
	cr_assert_not(shmbus_ring_push(&producer, 1, 2));
	atomic_store(&head, 1000 - 63);
	cr_assert_eq(shmbus_ring_refresh(&producer), 1);
	atomic_store(&head, 1000);
	cr_assert_eq(shmbus_ring_refresh(&producer), 64, "level with the producer: empty");
	cr_assert_eq(producer.granted, 1064);
	cr_assert_eq(producer.limit, slots + 64, "but no further than the lap's end");

	ring_set(64, 10);
	atomic_store(&head, UINT64_MAX - 53); /* 10 - 64 */
	cr_assert_eq(shmbus_ring_refresh(&producer), 0, "over the end of positions");
}

/* ---- tags ---- */

Test(tag, fields)
{
	uint64_t tag = shmbus_tag_make(0xabc, SHMBUS_TAG_TICKS, 0x123456789abcdefull);

	cr_assert_eq(shmbus_tag_metric(tag), 0xabc);
	cr_assert_eq(tag & SHMBUS_TAG_TICKS, SHMBUS_TAG_TICKS);
	cr_assert_eq(tag & SHMBUS_TAG_PHASE, 0);
	cr_assert_eq(tag >> SHMBUS_TAG_TIME_SHIFT, 0x123456789abcdefull >> 6 & ((1ull << 50) - 1));

	tag = shmbus_tag_make(0, 0, 0);
	cr_assert_eq(tag, 0);
	tag = shmbus_tag_make(SHMBUS_METRICS_MAX, 0, UINT64_MAX);
	cr_assert_eq(shmbus_tag_metric(tag), SHMBUS_METRICS_MAX);
	cr_assert_eq(tag & (SHMBUS_TAG_PHASE | SHMBUS_TAG_TICKS), 0);
	tag = shmbus_tag_make(0, SHMBUS_TAG_TICKS, UINT64_MAX);
	cr_assert_eq(shmbus_tag_metric(tag), 0, "the time stays out of the metric");
	cr_assert_lt(SHMBUS_METRICS_MAX, SHMBUS_CONTROL, "no metric is taken for a control record");
}

static void near_check(uint64_t ticks, uint64_t now)
{
	uint64_t tag = shmbus_tag_make(7, SHMBUS_TAG_TICKS, ticks) | SHMBUS_TAG_PHASE;
	uint64_t found = shmbus_tag_ticks(tag, now);
	int64_t away = (int64_t)(found - ticks);

	cr_assert(away > -64 && away < 64, "ticks %llx, now %llx: %llx", (unsigned long long)ticks,
		  (unsigned long long)now, (unsigned long long)found);
}

Test(tag, ticks_near_now_on_both_sides)
{
	const uint64_t nows[] = {0,
				 63,
				 64,
				 1ull << 40,
				 (1ull << 55) - 1,
				 1ull << 55,
				 (1ull << 56) - 1, /* the 50 bits wrap here */
				 1ull << 56,
				 (1ull << 56) + 1,
				 3ull << 56,
				 1ull << 63,
				 UINT64_MAX - 63,
				 UINT64_MAX};
	const uint64_t aways[] = {
		0, 1, 63, 64, 65, 1000000007, 1ull << 40, 1ull << 54, (1ull << 55) - 128};

	for (size_t i = 0; i < sizeof nows / sizeof *nows; i++) {
		for (size_t j = 0; j < sizeof aways / sizeof *aways; j++) {
			near_check(nows[i] + aways[j], nows[i]);
			near_check(nows[i] - aways[j], nows[i]);
		}
	}
}

Test(tag, ticks_too_far_from_now_come_out_a_turn_away)
{
	uint64_t now = 5ull << 56;
	uint64_t tag = shmbus_tag_make(0, 0, now + (1ull << 55) + 64);

	cr_assert_eq(shmbus_tag_ticks(tag, now), now - (1ull << 55) + 64);
}

Test(tag, ticks_keep_their_order_at_any_now)
{
	uint64_t now = (1ull << 56) + 12345;
	uint64_t last = 0;

	for (uint64_t ticks = now - 64 * 100; ticks < now + 64 * 100; ticks += 7) {
		uint64_t found = shmbus_tag_ticks(shmbus_tag_make(1, 0, ticks), now);

		cr_assert_geq(found, last);
		last = found;
	}
}
