/* SPDX-License-Identifier: MIT */
/*
 * shmbus/ring.h - the single-producer single-consumer ring that samples travel through.
 *
 * A slot is 16 bytes: the sample's value and its tag. The tag carries the metric, the time and
 * a phase bit, the parity of the lap in which the slot was written (the way an NVMe completion
 * queue marks its entries). The phase bit alone says whether a slot is published, so there is
 * no shared tail: the producer touches one cache line for four samples, and a producer killed
 * at any instruction leaves a ring whose last published sample is plain to see.
 *
 * The consumer gives slots back by storing its position, the head, once a batch. The producer
 * reads the head only when it has used up what it last saw, and at the end of a lap.
 *
 *                              who                    progress
 *   shmbus_ring_push[_two]     the producer           wait-free
 *   shmbus_ring_push_known,    the producer           wait-free
 *     push_two_known
 *   shmbus_ring_refresh, turn  the producer           wait-free
 *   shmbus_ring_peek           the consumer           wait-free
 *   shmbus_ring_release        the consumer           wait-free
 *
 * Memory order, every edge:
 *   R1  release store of the tag in push     publishes the value       pairs with A1
 *   A1  acquire load of the tag in peek      sees the value
 *   R2  release store of the head            the consumer has read     pairs with A2
 *   A2  acquire load of the head in refresh  the slots may be written again
 *
 * Two samples that belong together are written the second one first: the consumer goes slot by
 * slot, so what lies behind an unpublished slot is not there for it, and the one R1 of the first
 * sample publishes both. A producer that dies between the two leaves neither.
 *
 * tag, from the low bit:
 *   0       phase: 1 in the first lap, 0 in the second, and so on
 *   1       the value is in ticks (else in the metric's unit)
 *   2..13   the metric's number, or SHMBUS_CONTROL for a record that is no sample
 *   14..63  bits 6 to 55 of the clock's ticks
 */
#ifndef SHMBUS_RING_H
#define SHMBUS_RING_H

#include <shmbus/layout.h>
#include <shmbus/types.h>

#define SHMBUS_TAG_PHASE 1u
#define SHMBUS_TAG_TICKS 2u
#define SHMBUS_TAG_METRIC_SHIFT 2
#define SHMBUS_TAG_METRIC_MASK 0xfffu
#define SHMBUS_TAG_TIME_SHIFT 14
#define SHMBUS_TAG_TICK_SHIFT 6
#define SHMBUS_TAG_TIME_BITS 50

/* Records that change how the samples after them are read. The number stands in the place of
 * the metric; which one it is, in the value's place of the tag's low bits. */
#define SHMBUS_CONTROL 0xfffu
#define SHMBUS_CONTROL_CORRELATION 0u           /* value: the correlation id from here on */
#define SHMBUS_CONTROL_QUANTUM SHMBUS_TAG_TICKS /* value: metric << 32 | quantum */

struct shmbus_slot {
	SHMBUS_ATOMIC(uint64_t) value;
	SHMBUS_ATOMIC(uint64_t) tag;
};

SHMBUS_STATIC_ASSERT(sizeof(struct shmbus_slot) == 16, "a sample is 16 bytes");

/* The producer's private end. What each push touches stands first: within a lap the slots follow
 * each other, so a push needs neither a mask nor a count. */
struct shmbus_ring_producer {
	struct shmbus_slot *next;  /* the slot to write */
	struct shmbus_slot *limit; /* slots before it, in this lap, are known to be free */
	uint64_t phase;            /* of this lap: SHMBUS_TAG_PHASE or 0 */
	struct shmbus_slot *slots;
	uint64_t lap;     /* the position of slots[0] in this lap */
	uint64_t granted; /* slots before this position are known to be free, in any lap */
	uint32_t capacity;
	const SHMBUS_ATOMIC(uint64_t) * head;
};

/* The consumer's private end. */
struct shmbus_ring_consumer {
	uint64_t position; /* slots read ever */
	const struct shmbus_slot *slots;
	uint32_t mask;
	uint32_t order;
};

/* The tag of a sample, without its phase. Ticks are kept with a resolution of 64. */
static inline uint64_t shmbus_tag_make(uint32_t metric, uint32_t flags, uint64_t ticks)
{
	uint64_t time = (ticks >> SHMBUS_TAG_TICK_SHIFT) << SHMBUS_TAG_TIME_SHIFT;

	return time | (uint64_t)metric << SHMBUS_TAG_METRIC_SHIFT | flags;
}

static inline uint32_t shmbus_tag_metric(uint64_t tag)
{
	return (uint32_t)(tag >> SHMBUS_TAG_METRIC_SHIFT) & SHMBUS_TAG_METRIC_MASK;
}

/* The full ticks of a tag, taken as the time nearest to `now`, which may lie on either side. */
static inline uint64_t shmbus_tag_ticks(uint64_t tag, uint64_t now)
{
	const int unused = 64 - SHMBUS_TAG_TIME_BITS;
	uint64_t time = tag >> SHMBUS_TAG_TIME_SHIFT;
	int64_t ahead = (int64_t)((time - (now >> SHMBUS_TAG_TICK_SHIFT)) << unused) >> unused;

	return now + ((uint64_t)ahead << SHMBUS_TAG_TICK_SHIFT);
}

/* The phase bit of a position: 1 in the first lap, so that a zeroed slot is not published. */
static inline uint64_t shmbus_ring_phase(uint64_t position, uint32_t order)
{
	return (position >> order & 1) ^ 1;
}

/* Sets up the producer's end of an empty ring: zeroed slots, their number a power of two. */
static inline void shmbus_ring_producer_init(struct shmbus_ring_producer *ring,
					     struct shmbus_slot *slots, uint32_t capacity,
					     const SHMBUS_ATOMIC(uint64_t) * head)
{
	ring->next = slots;
	ring->limit = slots + capacity;
	ring->phase = SHMBUS_TAG_PHASE;
	ring->slots = slots;
	ring->lap = 0;
	ring->granted = capacity;
	ring->capacity = capacity;
	ring->head = head;
}

/* Samples written ever. */
static inline uint64_t shmbus_ring_written(const struct shmbus_ring_producer *ring)
{
	return ring->lap + (uint64_t)(ring->next - ring->slots);
}

/* `tag` with its phase. */
static inline void shmbus__ring_store(struct shmbus_slot *slot, uint64_t value, uint64_t tag)
{
	/* relaxed: the tag's release publishes it. */
	atomic_store_explicit(&slot->value, value, SHMBUS_RELAXED);
	/* R1 release: publishes the value; pairs with A1 in shmbus_ring_peek(). */
	atomic_store_explicit(&slot->tag, tag, SHMBUS_RELEASE);
}

/* Appends a sample. Returns false, and does nothing, when the slots last known to be free are
 * used up, or the lap is: shmbus_ring_refresh() may find more. */
static inline bool shmbus_ring_push(struct shmbus_ring_producer *ring, uint64_t value, uint64_t tag)
{
	struct shmbus_slot *slot = ring->next;

	if (SHMBUS_UNLIKELY(slot == ring->limit))
		return false;
	shmbus__ring_store(slot, value, tag | ring->phase);
	ring->next = slot + 1;
	return true;
}

/* Appends two samples or none: also for a consumer that looks on, and where the producer dies.
 * Returns false also where the lap ends between the two. */
static inline bool shmbus_ring_push_two(struct shmbus_ring_producer *ring, uint64_t value,
					uint64_t tag, uint64_t value2, uint64_t tag2)
{
	struct shmbus_slot *slot = ring->next;

	if (SHMBUS_UNLIKELY(ring->limit - slot < 2))
		return false;
	shmbus__ring_store(slot + 1, value2, tag2 | ring->phase);
	/* R1 in here publishes both. */
	shmbus__ring_store(slot, value, tag | ring->phase);
	ring->next = slot + 2;
	return true;
}

/* Begins the next lap where this one is used up, with the slots already known to be free. */
static inline void shmbus_ring_turn(struct shmbus_ring_producer *ring)
{
	uint64_t room = ring->granted - shmbus_ring_written(ring);
	uint64_t left;

	if (ring->next == ring->slots + ring->capacity) {
		ring->next = ring->slots;
		ring->lap += ring->capacity;
		ring->phase ^= SHMBUS_TAG_PHASE;
	}
	left = (uint64_t)(ring->slots + ring->capacity - ring->next);
	ring->limit = ring->next + (room < left ? room : left);
}

/* Reads the head. Returns the number of free slots, those of the next lap included, or -1 for a
 * head that makes no sense: one that lies ahead of the producer or more than a lap behind. Such
 * a ring counts as full. After 1 or more shmbus_ring_push() succeeds. */
static inline int64_t shmbus_ring_refresh(struct shmbus_ring_producer *ring)
{
	/* A2 acquire: the consumer has read what the head passed; pairs with R2. */
	uint64_t head = atomic_load_explicit(ring->head, SHMBUS_ACQUIRE);
	uint64_t written = shmbus_ring_written(ring);

	if (SHMBUS_UNLIKELY(written - head > ring->capacity)) {
		ring->granted = written;
		ring->limit = ring->next;
		return -1;
	}
	ring->granted = head + ring->capacity;
	shmbus_ring_turn(ring);
	return (int64_t)(ring->granted - written);
}

/* Appends a sample where shmbus_ring_refresh() has found room for it, perhaps in the next lap. */
static inline void shmbus_ring_push_known(struct shmbus_ring_producer *ring, uint64_t value,
					  uint64_t tag)
{
	if (shmbus_ring_push(ring, value, tag))
		return;
	shmbus_ring_turn(ring);
	shmbus_ring_push(ring, value, tag);
}

/* Appends two samples, as shmbus_ring_push_two() does, where shmbus_ring_refresh() has found room
 * for both, wherever the lap ends. */
static inline void shmbus_ring_push_two_known(struct shmbus_ring_producer *ring, uint64_t value,
					      uint64_t tag, uint64_t value2, uint64_t tag2)
{
	struct shmbus_slot *slot;
	uint64_t phase;

	shmbus_ring_turn(ring);
	if (shmbus_ring_push_two(ring, value, tag, value2, tag2))
		return;
	/* The lap ends between the two. */
	slot = ring->next++;
	phase = ring->phase;
	shmbus_ring_turn(ring);
	shmbus_ring_push(ring, value2, tag2);
	/* R1 in here publishes both. */
	shmbus__ring_store(slot, value, tag | phase);
}

/* Reads the sample at a position. Returns false where it is not published yet. */
static inline bool shmbus_ring_peek(const struct shmbus_ring_consumer *ring, uint64_t position,
				    uint64_t *value, uint64_t *tag)
{
	const struct shmbus_slot *slot = &ring->slots[position & ring->mask];
	/* A1 acquire: sees the value that belongs to the tag; pairs with R1. */
	uint64_t word = atomic_load_explicit(&slot->tag, SHMBUS_ACQUIRE);

	if ((word & SHMBUS_TAG_PHASE) != shmbus_ring_phase(position, ring->order))
		return false;
	/* relaxed: the producer does not touch the slot again before R2. */
	*value = atomic_load_explicit(&slot->value, SHMBUS_RELAXED);
	*tag = word;
	return true;
}

/* Gives the slots before a position back to the producer. */
static inline void shmbus_ring_release(SHMBUS_ATOMIC(uint64_t) * head, uint64_t position)
{
	/* R2 release: the slots have been read; pairs with A2 in shmbus_ring_refresh(). */
	atomic_store_explicit(head, position, SHMBUS_RELEASE);
}

#endif /* SHMBUS_RING_H */
