/* SPDX-License-Identifier: MIT */
/* test_queue.c - the player's queue in one thread: full, empty, in order, across the wrap. */
#include <criterion/criterion.h>

#include "queue.h"

static struct queue queue;

static void put(uint64_t number)
{
	struct block *block = queue_space(&queue);

	cr_assert_not_null(block);
	block->born = number;
	queue_put(&queue);
}

static void take(uint64_t number)
{
	const struct block *block = queue_peek(&queue);

	cr_assert_not_null(block);
	cr_assert_eq(block->born, number);
	queue_drop(&queue);
}

Test(queue, empty)
{
	cr_assert_null(queue_peek(&queue));
	cr_assert_eq(queue_depth(&queue), 0);
}

Test(queue, full)
{
	for (uint64_t i = 0; i < QUEUE_BLOCKS; i++) {
		cr_assert_eq(queue_depth(&queue), i);
		put(i);
	}
	cr_assert_null(queue_space(&queue));
	cr_assert_eq(queue_depth(&queue), QUEUE_BLOCKS);
	take(0);
	cr_assert_not_null(queue_space(&queue));
	put(QUEUE_BLOCKS);
	cr_assert_null(queue_space(&queue));
	for (uint64_t i = 1; i <= QUEUE_BLOCKS; i++)
		take(i);
	cr_assert_null(queue_peek(&queue));
}

Test(queue, space_and_peek_take_nothing)
{
	struct block *space = queue_space(&queue);

	cr_assert_eq(queue_space(&queue), space);
	cr_assert_null(queue_peek(&queue));
	put(1);
	cr_assert_neq(queue_space(&queue), space);
	cr_assert_eq(queue_peek(&queue), space);
	cr_assert_eq(queue_peek(&queue), space);
	cr_assert_eq(queue_depth(&queue), 1);
}

/* The positions count on beyond 32 bits. */
Test(queue, positions_wrap)
{
	atomic_store(&queue.head, UINT32_MAX - 2);
	atomic_store(&queue.tail, UINT32_MAX - 2);
	for (uint64_t i = 0; i < QUEUE_BLOCKS; i++)
		put(i);
	cr_assert_null(queue_space(&queue));
	cr_assert_eq(queue_depth(&queue), QUEUE_BLOCKS);
	for (uint64_t i = 0; i < QUEUE_BLOCKS; i++)
		take(i);
	cr_assert_null(queue_peek(&queue));
	cr_assert_eq(queue_depth(&queue), 0);
}
