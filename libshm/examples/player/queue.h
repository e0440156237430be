/* SPDX-License-Identifier: MIT */
/* queue.h - blocks between two threads: a single-producer single-consumer ring, never waiting. */
#ifndef PLAYER_QUEUE_H
#define PLAYER_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "options.h"

#define QUEUE_BLOCKS 64u

struct block {
	uint64_t born; /* shmbus_now() when it began to be read */
	float samples[QUANTUM_MAX];
};

struct queue {
	_Alignas(64) _Atomic uint32_t head; /* blocks taken */
	_Alignas(64) _Atomic uint32_t tail; /* blocks put */
	struct block blocks[QUEUE_BLOCKS];
};

/* The place for the next block, NULL where the queue is full. The producer. */
static inline struct block *queue_space(struct queue *queue)
{
	uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	/* acquire: the consumer has read the block; pairs with queue_drop(). */
	if (tail - atomic_load_explicit(&queue->head, memory_order_acquire) == QUEUE_BLOCKS)
		return NULL;
	return &queue->blocks[tail % QUEUE_BLOCKS];
}

static inline void queue_put(struct queue *queue)
{
	/* release: publishes the block; pairs with queue_peek(). */
	atomic_store_explicit(&queue->tail,
			      atomic_load_explicit(&queue->tail, memory_order_relaxed) + 1,
			      memory_order_release);
}

/* The oldest block, NULL where there is none. The consumer. */
static inline const struct block *queue_peek(struct queue *queue)
{
	uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

	/* acquire: sees the block; pairs with queue_put(). */
	if (atomic_load_explicit(&queue->tail, memory_order_acquire) == head)
		return NULL;
	return &queue->blocks[head % QUEUE_BLOCKS];
}

static inline void queue_drop(struct queue *queue)
{
	/* release: the block has been read; pairs with queue_space(). */
	atomic_store_explicit(&queue->head,
			      atomic_load_explicit(&queue->head, memory_order_relaxed) + 1,
			      memory_order_release);
}

static inline uint32_t queue_depth(const struct queue *queue)
{
	return atomic_load_explicit(&queue->tail, memory_order_relaxed) -
	       atomic_load_explicit(&queue->head, memory_order_relaxed);
}

#endif /* PLAYER_QUEUE_H */
