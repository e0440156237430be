/* SPDX-License-Identifier: MIT */
/* stress_queue.c - the player's queue between two threads: every block once, in order, whole. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "queue.h"
#include "tap.h"

enum { BLOCKS = 300000, WORDS = 64 };

static struct queue queue;

static struct {
	uint32_t wrong;
	uint32_t deepest;
} seen;

static void *produce(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < BLOCKS;) {
		struct block *block = queue_space(&queue);

		if (block == NULL) {
			sched_yield();
			continue;
		}
		block->born = i;
		for (uint32_t w = 0; w < WORDS; w++)
			block->samples[w] = (float)((i + w) % 65536);
		queue_put(&queue);
		i++;
	}
	return NULL;
}

static void *consume(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < BLOCKS;) {
		uint32_t depth = queue_depth(&queue);
		const struct block *block = queue_peek(&queue);

		seen.deepest = depth > seen.deepest ? depth : seen.deepest;
		if (block == NULL) {
			sched_yield();
			continue;
		}
		seen.wrong += block->born != i;
		for (uint32_t w = 0; w < WORDS; w++)
			seen.wrong += block->samples[w] != (float)((i + w) % 65536);
		queue_drop(&queue);
		i++;
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[2];

	if (pthread_create(&threads[0], NULL, produce, NULL) != 0 ||
	    pthread_create(&threads[1], NULL, consume, NULL) != 0)
		return 1;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	tap_ok(seen.wrong == 0, "every block once, in order, whole");
	tap_ok(seen.deepest <= QUEUE_BLOCKS, "never more than it holds");
	tap_ok(queue_peek(&queue) == NULL && queue_depth(&queue) == 0, "nothing is left");
	return tap_done();
}
