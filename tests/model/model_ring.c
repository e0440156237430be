/* SPDX-License-Identifier: MIT */
/*
 * model_ring.c - ring.h under C11's memory model: a producer and a consumer with rings so small
 * that a few samples go round several times. See model.h; build/ci/tests/model_ring runs it.
 */
#include <shmbus/ring.h>

#include "model.h"

#define CAPACITY_MAX 4u

struct shared {
	struct shmbus_slot slots[CAPACITY_MAX];
	struct shmbus_head head;
};

static struct shared *const shared = (struct shared *)(void *)model_memory;
static struct shmbus_ring_producer producer;
static struct shmbus_ring_consumer consumer;
static uint64_t attempted, recorded, dropped, aggregated;

/* The value and the tag of sample n belong to each other; the low bit of a tag is the phase. */
static uint64_t value_of(uint64_t n)
{
	return n * 0x9e3779b97f4a7c15u;
}

static uint64_t tag_of(uint64_t n)
{
	return shmbus_tag_make((uint32_t)n, 0, n << SHMBUS_TAG_TICK_SHIFT);
}

static void begin(uint32_t capacity)
{
	for (uint32_t i = 0; i < capacity; i++) {
		/* Relaxed in ring.h because R1 and R2 order every access. */
		model_ordered(&shared->slots[i].value);
		model_atomic(&shared->slots[i].tag);
	}
	model_atomic(&shared->head.position);
	shmbus_ring_producer_init(&producer, shared->slots, capacity, &shared->head.position);
	consumer = (struct shmbus_ring_consumer){
		.slots = shared->slots,
		.mask = capacity - 1,
		.order = (uint32_t)__builtin_ctz(capacity),
	};
	attempted = recorded = dropped = aggregated = 0;
}

static void begin_two(void)
{
	begin(2);
}

static void begin_four(void)
{
	begin(4);
}

/* As shmbus_record() does it: a push, and where it fails a look at the head. */
static void push(void)
{
	bool pushed = shmbus_ring_push(&producer, value_of(recorded), tag_of(recorded));

	attempted++;
	if (!pushed) {
		int64_t room = shmbus_ring_refresh(&producer);

		model_check(room >= 0, "the head makes sense");
		if (room > 0) {
			pushed = shmbus_ring_push(&producer, value_of(recorded), tag_of(recorded));
			model_check(pushed, "a push succeeds where there is room");
		}
	}
	if (pushed)
		recorded++;
	else
		dropped++;
}

/* As shmbus_cycle() does it: both samples or none, and one by one across the end of a lap. */
static void push_two(void)
{
	uint64_t n = recorded;

	attempted += 2;
	if (!shmbus_ring_push_two(&producer, value_of(n), tag_of(n), value_of(n + 1),
				  tag_of(n + 1))) {
		if (shmbus_ring_refresh(&producer) < 2) {
			dropped += 2;
			return;
		}
		if (!shmbus_ring_push_two(&producer, value_of(n), tag_of(n), value_of(n + 1),
					  tag_of(n + 1))) {
			model_check(shmbus_ring_push(&producer, value_of(n), tag_of(n)),
				    "the last slot of a lap");
			shmbus_ring_turn(&producer);
			model_check(shmbus_ring_push(&producer, value_of(n + 1), tag_of(n + 1)),
				    "the first slot of the next");
		}
	}
	recorded += 2;
}

/* Reads at most `most` samples. */
static void drain(unsigned int most)
{
	uint64_t value, tag;

	while (most-- > 0 && shmbus_ring_peek(&consumer, consumer.position, &value, &tag)) {
		model_check(value == value_of(aggregated), "the value of this sample, in order");
		model_check((tag & ~(uint64_t)SHMBUS_TAG_PHASE) == tag_of(aggregated),
			    "the tag of this sample, in order");
		consumer.position++;
		aggregated++;
	}
}

static void give_back(void)
{
	shmbus_ring_release(&shared->head.position, consumer.position);
}

static void produce_singles(void)
{
	for (int i = 0; i < 5; i++)
		push();
}

static void produce_twos(void)
{
	push();
	for (int i = 0; i < 3; i++)
		push_two();
}

/* Gives back after each batch, as the agent does after a commit. */
static void consume_each(void)
{
	for (int i = 0; i < 5; i++) {
		drain(1);
		give_back();
	}
}

static void consume_batches(void)
{
	for (int i = 0; i < 3; i++) {
		drain(3);
		give_back();
	}
}

/* Gives nothing back: the ring fills up and refuses. */
static void consume_nothing_back(void)
{
	for (int i = 0; i < 3; i++)
		drain(2);
}

/* The account holds, and what is left in the ring can be read. */
static void account(void)
{
	model_check(attempted == recorded + dropped, "attempted = recorded + dropped");
	model_check(shmbus_ring_written(&producer) == recorded, "written = recorded");
	drain(CAPACITY_MAX + 1);
	model_check(aggregated == recorded, "recorded = aggregated + in the ring");
}

static void account_full(void)
{
	model_check(recorded == 2 && dropped == 3, "a ring of two takes two");
	account();
}

const struct model_case model_cases[] = {
	{"laps of two", begin_two, {produce_singles, consume_each}, account},
	{"laps of four, in batches", begin_four, {produce_twos, consume_batches}, account},
	{"two at once, laps of two", begin_two, {produce_twos, consume_batches}, account},
	{"full ring", begin_two, {produce_singles, consume_nothing_back}, account_full},
};
const size_t model_case_count = sizeof model_cases / sizeof model_cases[0];

const struct model_edge model_edges[] = {
	{"R1", "shmbus__ring_store", MODEL_RELEASE},
	{"A1", "shmbus_ring_peek", MODEL_ACQUIRE},
	{"R2", "shmbus_ring_release", MODEL_RELEASE},
	{"A2", "shmbus_ring_refresh", MODEL_ACQUIRE},
};
const size_t model_edge_count = sizeof model_edges / sizeof model_edges[0];

const uint64_t model_executions = 10000000;
