/* SPDX-License-Identifier: MIT */
/*
 * rings.c - the candidates for the bus's ring, side by side: how many samples a second pass
 * through each from one process to another, and what a push costs a producer whose consumer
 * comes by now and then, which is what a producer on the bus lives with.
 *
 *   lamport   head and tail shared, both read at each push; drained in batches
 *   cached    as lamport, each side reads the other's index only when its copy is used up
 *   ck_ring   Concurrency Kit's single-producer single-consumer ring, drained until it is empty
 *   ck_block  the same, drained in blocks as the next one is
 *   phase     shmbus/ring.h: no shared tail, the slot itself says whether it is published
 *
 * All carry the same 16 bytes. Each transfer is summed and checked.
 */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <ck_ring.h>
#include <shmbus/clock.h>
#include <shmbus/ring.h>

#define CAPACITY 4096u
#define BLOCK 256u /* samples that are drained at a time */
#define WAITS 64u
#define BURST 512u
#define PAUSE_NS 20000u /* from burst to burst */
#define LINE _Alignas(64)

struct sample {
	uint64_t value;
	uint64_t tag;
};

CK_RING_PROTOTYPE(sample, sample)

/* Everything that any of them shares, each index on a line of its own. */
struct shared {
	LINE _Atomic(uint64_t) head;
	LINE _Atomic(uint64_t) tail;
	LINE ck_ring_t ck;
	LINE struct shmbus_slot slots[CAPACITY];
};

struct producer {
	struct shared *shared;
	uint64_t position;
	uint64_t head; /* as last read */
	struct shmbus_ring_producer phase;
};

struct consumer {
	struct shared *shared;
	uint64_t position;
	struct shmbus_ring_consumer phase;
	uint32_t waits; /* drains in a row that found no block */
};

static inline void slot_store(struct shared *shared, uint64_t position, uint64_t value,
			      uint64_t tag)
{
	struct shmbus_slot *slot = &shared->slots[position % CAPACITY];

	/* relaxed: the tail's release publishes both. */
	atomic_store_explicit(&slot->value, value, memory_order_relaxed);
	atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
}

/* Reads all up to the tail, then gives it back with one store. */
static inline uint64_t tail_drain(struct consumer *consumer, uint64_t *sum)
{
	struct shared *shared = consumer->shared;
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);
	uint64_t count = tail - consumer->position;

	for (; consumer->position != tail; consumer->position++) {
		const struct shmbus_slot *slot = &shared->slots[consumer->position % CAPACITY];

		*sum += atomic_load_explicit(&slot->value, memory_order_relaxed);
	}
	if (count)
		atomic_store_explicit(&shared->head, tail, memory_order_release);
	return count;
}

static inline bool lamport_push(struct producer *producer, uint64_t value, uint64_t tag)
{
	struct shared *shared = producer->shared;
	uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&shared->head, memory_order_acquire);

	if (tail - head == CAPACITY)
		return false;
	slot_store(shared, tail, value, tag);
	atomic_store_explicit(&shared->tail, tail + 1, memory_order_release);
	return true;
}

#define lamport_drain tail_drain

static inline bool cached_push(struct producer *producer, uint64_t value, uint64_t tag)
{
	struct shared *shared = producer->shared;

	if (producer->position - producer->head == CAPACITY) {
		producer->head = atomic_load_explicit(&shared->head, memory_order_acquire);
		if (producer->position - producer->head == CAPACITY)
			return false;
	}
	slot_store(shared, producer->position, value, tag);
	producer->position++;
	atomic_store_explicit(&shared->tail, producer->position, memory_order_release);
	return true;
}

#define cached_drain tail_drain

static inline bool ck_push(struct producer *producer, uint64_t value, uint64_t tag)
{
	struct sample sample = {value, tag};

	return ck_ring_enqueue_spsc_sample(
		&producer->shared->ck, (struct sample *)(void *)producer->shared->slots, &sample);
}

static inline uint64_t ck_drain(struct consumer *consumer, uint64_t *sum)
{
	struct sample sample;
	uint64_t count = 0;

	while (count < CAPACITY &&
	       ck_ring_dequeue_spsc_sample(&consumer->shared->ck,
					   (struct sample *)(void *)consumer->shared->slots,
					   &sample)) {
		*sum += sample.value;
		count++;
	}
	return count;
}

static inline bool phase_push(struct producer *producer, uint64_t value, uint64_t tag)
{
	if (SHMBUS_LIKELY(shmbus_ring_push(&producer->phase, value, tag)))
		return true;
	return shmbus_ring_refresh(&producer->phase) > 0 &&
	       shmbus_ring_push(&producer->phase, value, tag);
}

#define ckblock_push ck_push

static inline uint64_t ckblock_drain(struct consumer *consumer, uint64_t *sum)
{
	bool block = ck_ring_size(&consumer->shared->ck) >= BLOCK;

	consumer->waits = block ? 0 : consumer->waits + 1;
	return block || consumer->waits >= WAITS ? ck_drain(consumer, sum) : 0;
}

/* In blocks, once the last sample of one is there: the lines before it are left to the producer
 * until it has written them. A consumer that follows close behind gets each line several times.
 * What is less than a block is read when no more has come for a while. */
static inline uint64_t phase_drain(struct consumer *consumer, uint64_t *sum)
{
	struct shmbus_ring_consumer *ring = &consumer->phase;
	uint64_t value, tag, start = ring->position, total = *sum;
	bool block = shmbus_ring_peek(ring, start + BLOCK - 1, &value, &tag);

	consumer->waits = block ? 0 : consumer->waits + 1;
	if (!block && consumer->waits < WAITS)
		return 0;
	do {
		uint64_t end = ring->position + BLOCK;

		while (ring->position < end &&
		       shmbus_ring_peek(ring, ring->position, &value, &tag)) {
			total += value;
			ring->position++;
		}
		if (ring->position != start)
			shmbus_ring_release(&consumer->shared->head, ring->position);
	} while (ring->position - start < CAPACITY &&
		 shmbus_ring_peek(ring, ring->position + BLOCK - 1, &value, &tag));
	*sum = total;
	return ring->position - start;
}

/* ---- the two measurements, made for each candidate so that its functions are inlined ---- */

struct transfer {
	struct shared *shared;
	uint64_t count;      /* samples to transfer */
	uint64_t elapsed_ns; /* by the producer: first push to last */
	double *push_ns;     /* paced: one for each burst, else NULL */
	_Atomic(uint64_t) sum;
	_Atomic(bool) done; /* the last sample has been taken */
};

static inline void producer_init(struct producer *producer, struct shared *shared)
{
	*producer = (struct producer){.shared = shared};
	shmbus_ring_producer_init(&producer->phase, shared->slots, CAPACITY, &shared->head);
}

static inline void consumer_init(struct consumer *consumer, struct shared *shared)
{
	*consumer = (struct consumer){.shared = shared};
	consumer->phase.slots = shared->slots;
	consumer->phase.mask = CAPACITY - 1;
	consumer->phase.order = 12;
}

static inline void relax(void)
{
	ck_pr_stall();
}

static void pause_until(uint64_t time_ns)
{
	while (bench_now_ns() < time_ns)
		relax();
}

#define CANDIDATE(name)                                                                            \
	static void name##_produce(void *context)                                                  \
	{                                                                                          \
		struct transfer *transfer = context;                                               \
		struct producer producer;                                                          \
		uint64_t start = bench_now_ns();                                                   \
                                                                                                   \
		producer_init(&producer, transfer->shared);                                        \
		for (uint64_t i = 1; i <= transfer->count; i++)                                    \
			while (!name##_push(&producer, i, i << 14))                                \
				relax();                                                           \
		transfer->elapsed_ns = bench_now_ns() - start;                                     \
	}                                                                                          \
                                                                                                   \
	/* Bursts into a ring that was emptied since: the lines are with the consumer. */          \
	static void name##_produce_paced(void *context)                                            \
	{                                                                                          \
		struct transfer *transfer = context;                                               \
		struct producer producer;                                                          \
                                                                                                   \
		producer_init(&producer, transfer->shared);                                        \
		for (uint64_t i = 0; i < transfer->count; i += BURST) {                            \
			uint64_t pause = bench_now_ns() + PAUSE_NS, start = shmbus_now();          \
                                                                                                   \
			for (uint64_t k = i + 1; k <= i + BURST; k++)                              \
				while (!name##_push(&producer, k, k << 14))                        \
					relax();                                                   \
			transfer->push_ns[i / BURST] =                                             \
				(double)(shmbus_now() - start) * bench_ns_per_tick() / BURST;      \
			pause_until(pause);                                                        \
		}                                                                                  \
	}                                                                                          \
                                                                                                   \
	/* Saturated, it drains as fast as it can; paced, between pauses longer than a burst. */   \
	static void name##_consume(void *context)                                                  \
	{                                                                                          \
		struct transfer *transfer = context;                                               \
		struct consumer consumer;                                                          \
		uint64_t sum = 0, count = 0;                                                       \
                                                                                                   \
		consumer_init(&consumer, transfer->shared);                                        \
		while (count < transfer->count) {                                                  \
			uint64_t drained = name##_drain(&consumer, &sum);                          \
                                                                                                   \
			count += drained;                                                          \
			if (transfer->push_ns)                                                     \
				pause_until(bench_now_ns() + PAUSE_NS / 2);                        \
			else if (!drained)                                                         \
				relax();                                                           \
		}                                                                                  \
		atomic_store(&transfer->sum, sum);                                                 \
	}

CANDIDATE(lamport)
CANDIDATE(cached)
CANDIDATE(ck)
CANDIDATE(ckblock)
CANDIDATE(phase)

static const struct candidate {
	const char *name;
	const char *saturated_id;
	const char *push_id;
	void (*produce)(void *context);
	void (*produce_paced)(void *context);
	void (*consume)(void *context);
} candidates[] = {
	{"lamport, batch drain", "rings.lamport_msps", "rings.lamport_push_ns", lamport_produce,
	 lamport_produce_paced, lamport_consume},
	{"cached index", "rings.cached_msps", "rings.cached_push_ns", cached_produce,
	 cached_produce_paced, cached_consume},
	{"ck_ring", "rings.ck_msps", "rings.ck_push_ns", ck_produce, ck_produce_paced, ck_consume},
	{"phase tag (shmbus)", "rings.phase_msps", "rings.phase_push_ns", phase_produce,
	 phase_produce_paced, phase_consume},
	{"ck_ring, in blocks", "rings.ckblock_msps", "rings.ckblock_push_ns", ckblock_produce,
	 ckblock_produce_paced, ckblock_consume},
};

#define CANDIDATES (sizeof(candidates) / sizeof(candidates[0]))
#define CK_RING 2
#define PHASE 3
#define CK_BLOCK 4
#define ROUNDS_MAX 31

static int transfer_run(const struct bench_cpus *cpus, const struct candidate *candidate,
			struct transfer *transfer)
{
	uint64_t count = transfer->count;
	int error;

	memset(transfer->shared, 0, sizeof(*transfer->shared));
	ck_ring_init(&transfer->shared->ck, CAPACITY);
	atomic_store(&transfer->sum, 0);
	error = bench_pair_run(cpus,
			       transfer->push_ns ? candidate->produce_paced : candidate->produce,
			       candidate->consume, transfer);
	if (error)
		return error;
	if (atomic_load(&transfer->sum) != count * (count + 1) / 2) {
		fprintf(stderr, "shmbus-bench: %s lost or repeated samples\n", candidate->name);
		return -EBADMSG;
	}
	return 0;
}

struct rounds {
	double saturated[CANDIDATES][ROUNDS_MAX]; /* million samples a second */
	double push_ns[CANDIDATES][ROUNDS_MAX];
};

/* The last samples of a burst may come while the first are drained: the median burst counts. */
static int round_run(const struct bench_cpus *cpus, struct transfer *transfer, double *bursts,
		     struct rounds *rounds, size_t round)
{
	const uint64_t saturated = 4u << 20, paced = 1000u * BURST;
	int error;

	for (size_t k = 0; k < CANDIDATES; k++) {
		size_t i = (k + round) % CANDIDATES;

		transfer->push_ns = NULL;
		transfer->count = saturated;
		error = transfer_run(cpus, &candidates[i], transfer);
		if (error)
			return error;
		rounds->saturated[i][round] =
			(double)saturated * 1e3 / (double)transfer->elapsed_ns;
		transfer->push_ns = bursts;
		transfer->count = paced;
		error = transfer_run(cpus, &candidates[i], transfer);
		if (error)
			return error;
		rounds->push_ns[i][round] = bench_quantile(bursts, paced / BURST, 0.5);
	}
	return 0;
}

static void rounds_report(struct bench *bench, const struct rounds *rounds, size_t count)
{
	char what[64];

	for (size_t i = 0; i < CANDIDATES; i++) {
		snprintf(what, sizeof(what), "%s, saturated", candidates[i].name);
		bench_figure(bench, candidates[i].saturated_id, what, "M/s", rounds->saturated[i],
			     count);
	}
	for (size_t i = 0; i < CANDIDATES; i++) {
		snprintf(what, sizeof(what), "%s, a push", candidates[i].name);
		bench_figure(bench, candidates[i].push_id, what, "ns", rounds->push_ns[i], count);
	}
}

/* What both parts transfer through; NULL where it cannot be had. */
static struct transfer *transfer_create(void)
{
	struct transfer *transfer = bench_shared_alloc(sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->shared = bench_shared_alloc(sizeof(*transfer->shared));
	if (transfer->shared)
		return transfer;
	bench_shared_free(transfer, sizeof(*transfer));
	return NULL;
}

static void transfer_destroy(struct transfer *transfer)
{
	bench_shared_free(transfer->shared, sizeof(*transfer->shared));
	bench_shared_free(transfer, sizeof(*transfer));
}

static int rings_run(struct bench *bench)
{
	size_t count = bench_rounds(bench, 9, ROUNDS_MAX);
	static struct rounds rounds;
	static double bursts[1000];
	struct transfer *transfer;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	if (cpus.producer == cpus.consumer) {
		bench_note(bench, "not measured: two processors are needed");
		return 0;
	}
	transfer = transfer_create();
	if (!transfer)
		return -ENOMEM;
	error = round_run(&cpus, transfer, bursts, &rounds, 0); /* warm-up */
	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "round %zu of %zu", round + 1, count);
		error = round_run(&cpus, transfer, bursts, &rounds, round);
	}
	if (!error)
		rounds_report(bench, &rounds, count);
	transfer_destroy(transfer);
	return error;
}

const struct bench_part bench_part_rings = {
	"rings", "the candidates for the ring, between two processes", rings_run, false};

/* ---- the bus's ring and ck_ring alone ---- */

static int saturated_once(const struct bench_cpus *cpus, struct transfer *transfer, size_t i,
			  double *msps)
{
	int error;

	transfer->push_ns = NULL;
	transfer->count = 8u << 20;
	error = transfer_run(cpus, &candidates[i], transfer);
	*msps = (double)transfer->count * 1e3 / (double)transfer->elapsed_ns;
	return error;
}

static int saturated_rounds(struct bench *bench, const struct bench_cpus *cpus,
			    struct transfer *transfer, size_t count)
{
	static const size_t which[] = {CK_RING, PHASE, CK_BLOCK};
	const size_t kinds = sizeof(which) / sizeof(which[0]);
	double msps[CANDIDATES][ROUNDS_MAX], ratio[ROUNDS_MAX];
	int error = saturated_once(cpus, transfer, PHASE, &ratio[0]); /* warm-up */

	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "round %zu of %zu", round + 1, count);
		for (size_t k = 0; !error && k < kinds; k++) {
			size_t i = which[(k + round) % kinds];

			error = saturated_once(cpus, transfer, i, &msps[i][round]);
		}
		ratio[round] = msps[PHASE][round] / msps[CK_RING][round];
	}
	if (error)
		return error;
	bench_figure(bench, "saturated.phase_msps", "shmbus, ring of 4096", "M/s", msps[PHASE],
		     count);
	bench_figure(bench, "saturated.ck_msps", "ck_ring of 4096", "M/s", msps[CK_RING], count);
	bench_figure(bench, "saturated.ckblock_msps", "ck_ring, drained in blocks too", "M/s",
		     msps[CK_BLOCK], count);
	bench_figure(bench, "saturated_ck_ratio", "shmbus / ck_ring, saturated", "x", ratio, count);
	bench_note(bench, "a full ring is tried again: no sample is dropped, each one is summed");
	return 0;
}

static int saturated_run(struct bench *bench)
{
	struct transfer *transfer;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	if (cpus.producer == cpus.consumer) {
		bench_missing(bench, "saturated_ck_ratio", "shmbus / ck_ring, saturated",
			      "two processors are needed");
		return 0;
	}
	error = bench_lines_run(bench, &cpus);
	if (error)
		return error;
	transfer = transfer_create();
	if (!transfer)
		return -ENOMEM;
	error = saturated_rounds(bench, &cpus, transfer, bench_rounds(bench, 15, ROUNDS_MAX));
	transfer_destroy(transfer);
	return error;
}

const struct bench_part bench_part_saturated = {
	"saturated", "as many samples as go through a ring, beside ck_ring", saturated_run, true};
