/* SPDX-License-Identifier: MIT */
/* writer.c - writers: opened and closed here; the paths that record() leaves to the library. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* A no-op writer's slots: any metric of any session may be stored to, nobody reads them. */
static _Atomic(uint64_t) noop_slots[SHMBUS_METRICS_MAX + 1];
static _Atomic(uint64_t) noop_head;

/* Its ring has no free slot, so that a record ends in shmbus__record_slow(), which sees that
 * there is no session. Shared by all who need one: nothing ever writes to it. */
struct shmbus_writer shmbus__writer_noop = {
	.ring = {.head = &noop_head},
	.slots = noop_slots,
};

static uint32_t capacity_round(uint32_t capacity)
{
	uint32_t power = SHMBUS_RING_MIN;

	while (power < capacity)
		power *= 2;
	return power;
}

static uint64_t round_to(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static struct shmbus_writer_entry *entry_of(const struct shmbus_session *session, uint32_t number)
{
	char *base = (char *)session->header + session->header->writers_offset;

	return (struct shmbus_writer_entry *)base + number;
}

/* A closed writer of the same shape is taken up again, so that threads that come and go do not
 * use up the session's writers. Its ring and its counts go on. */
static struct shmbus_writer *writer_reuse(const struct shmbus_session *session, const char *name,
					  uint32_t capacity)
{
	for (uint32_t i = 0; i < session->writer_count; i++) {
		struct shmbus_writer *writer = session->writers[i];
		const struct shmbus_writer_entry *entry = entry_of(session, i);
		char automatic[SHMBUS_WRITER_NAME_SIZE];

		snprintf(automatic, sizeof automatic, "writer-%u", i);
		if (writer->open || entry->capacity != capacity)
			continue;
		if (strcmp(entry->name, name != NULL ? name : automatic) == 0)
			return writer;
	}
	return NULL;
}

static void block_plan(const struct shmbus_session *session, uint32_t capacity,
		       struct shmbus_writer_entry *plan)
{
	uint32_t slots = session->header->metrics_capacity + 1;

	plan->slots_offset = sizeof(struct shmbus_writer_block);
	plan->slot_count = slots;
	plan->ring_offset =
		(uint32_t)round_to(plan->slots_offset + slots * sizeof(uint64_t), SHMBUS_LINE_SIZE);
	plan->capacity = capacity;
	plan->size = round_to(plan->ring_offset + (uint64_t)capacity * sizeof(struct shmbus_slot),
			      session->header->page_size);
}

static void ring_attach(struct shmbus_writer *writer, char *block,
			const struct shmbus_writer_entry *entry, struct shmbus_head *head)
{
	shmbus_ring_producer_init(&writer->ring, (struct shmbus_slot *)(block + entry->ring_offset),
				  entry->capacity, &head->position);
	writer->slots = (_Atomic(uint64_t) *)(block + entry->slots_offset);
	writer->block = (struct shmbus_writer_block *)block;
	writer->block_size = entry->size;
}

static int writer_make(struct shmbus_session *session, const char *name, uint32_t capacity,
		       struct shmbus_writer **out)
{
	uint32_t number = session->writer_count;
	struct shmbus_writer_entry plan = {0}, *entry = entry_of(session, number);
	struct shmbus_head *heads =
		(struct shmbus_head *)((char *)session->header + session->header->heads_offset);
	struct shmbus_writer *writer;
	void *block;
	int error;

	if (number == SHMBUS_WRITERS_MAX)
		return shmbus__fail(-ENOSPC, "a session has at most %u writers",
				    SHMBUS_WRITERS_MAX);
	writer = aligned_alloc(SHMBUS_LINE_SIZE, round_to(sizeof *writer, SHMBUS_LINE_SIZE));
	if (writer == NULL)
		return shmbus__fail(-ENOMEM, "no memory for a writer");
	block_plan(session, capacity, &plan);
	error = shmbus__segment_grow(session, plan.size, &block, &plan.offset);
	if (error != 0) {
		free(writer);
		return error;
	}
	memset(writer, 0, sizeof *writer);
	writer->number = number;
	writer->session = session;
	if (name != NULL)
		snprintf(plan.name, sizeof plan.name, "%s", name);
	else
		snprintf(plan.name, sizeof plan.name, "writer-%u", number);
	*entry = plan;
	ring_attach(writer, block, entry, &heads[number]);
	shmbus__slots_init(session, writer->slots);
	session->writers[number] = writer;
	session->writer_count = number + 1;
	/* R-writer release: publishes the entry and the block; pairs with A-writer. */
	atomic_store_explicit(&session->header->writer_count, number + 1, memory_order_release);
	*out = writer;
	return 0;
}

static int writer_options_check(const struct shmbus_writer_options *options)
{
	if (options->capacity > SHMBUS_RING_MAX)
		return shmbus__fail(-EINVAL, "ring capacity %u is too large: at most %u samples",
				    options->capacity, SHMBUS_RING_MAX);
	if (options->name == NULL)
		return 0;
	return shmbus__name_check("writer", options->name, SHMBUS_WRITER_NAME_SIZE);
}

int shmbus_writer_open(struct shmbus_session *session, const struct shmbus_writer_options *options,
		       struct shmbus_writer **out)
{
	struct shmbus_writer_options filled = {0};
	struct shmbus_writer *writer;
	uint32_t capacity;
	int error;

	*out = &shmbus__writer_noop;
	if (options != NULL)
		filled = *options;
	error = writer_options_check(&filled);
	if (error != 0 || session->header == NULL || session->orphan)
		return error;
	capacity = capacity_round(filled.capacity != 0 ? filled.capacity : SHMBUS_RING_DEFAULT);

	pthread_mutex_lock(&session->lock);
	writer = writer_reuse(session, filled.name, capacity);
	if (writer == NULL)
		error = writer_make(session, filled.name, capacity, &writer);
	else if (writer->correlation != 0) /* what the last thread worked for is not ours */
		shmbus__control(writer, 0, shmbus_now(), SHMBUS_CONTROL_CORRELATION);
	if (error == 0) {
		writer->open = true;
		writer->block->tid = (uint32_t)gettid();
		atomic_store_explicit(&writer->block->state, SHMBUS_WRITER_OPEN,
				      memory_order_relaxed);
		shmbus__changed(session);
		*out = writer;
	}
	pthread_mutex_unlock(&session->lock);
	return error;
}

void shmbus_writer_close(struct shmbus_writer *writer)
{
	struct shmbus_session *session;

	if (writer == NULL || writer->session == NULL)
		return;
	session = writer->session;
	pthread_mutex_lock(&session->lock);
	writer->open = false;
	atomic_store_explicit(&writer->block->state, SHMBUS_WRITER_CLOSED, memory_order_relaxed);
	shmbus__changed(session);
	pthread_mutex_unlock(&session->lock);
}

void shmbus__writer_free(struct shmbus_writer *writer, bool orphan)
{
	if (!orphan)
		atomic_store_explicit(&writer->block->state, SHMBUS_WRITER_CLOSED,
				      memory_order_relaxed);
	munmap(writer->block, writer->block_size);
	free(writer);
}

void shmbus__writer_orphan(struct shmbus_writer *writer)
{
	mmap(writer->block, writer->block_size, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void count_up(SHMBUS_ATOMIC(uint64_t) * counter, uint64_t n)
{
	/* relaxed: only the writer's thread writes it, the agent only reads. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* No sample may slip in while an id waits for room: the next record looks for it first. */
static void ring_close(struct shmbus_ring_producer *ring)
{
	ring->limit = ring->next;
}

/* Puts a correlation id that found no room before ahead of the samples that follow it. */
static void correlation_flush(struct shmbus_writer *writer, uint64_t tag)
{
	uint64_t time = tag >> SHMBUS_TAG_TIME_SHIFT << SHMBUS_TAG_TIME_SHIFT;

	shmbus_ring_push_known(&writer->ring, writer->correlation,
			       time | SHMBUS_CONTROL << SHMBUS_TAG_METRIC_SHIFT |
				       SHMBUS_CONTROL_CORRELATION);
	writer->correlation_pending = false;
	writer->controls++;
}

bool shmbus__record_slow(struct shmbus_writer *writer, uint64_t value, uint64_t tag,
			 uint64_t value2, uint64_t tag2)
{
	uint64_t samples = tag2 != 0 ? 2 : 1;
	uint64_t needed = samples + (writer->correlation_pending ? 1 : 0);
	int64_t room;

	if (writer->session == NULL)
		return false;
	room = shmbus_ring_refresh(&writer->ring);
	if (room < (int64_t)needed) {
		if (writer->correlation_pending)
			ring_close(&writer->ring);
		count_up(room < 0 ? &writer->block->dropped_head : &writer->block->dropped_full,
			 samples);
		return false;
	}
	if (writer->correlation_pending)
		correlation_flush(writer, tag);
	if (tag2 != 0)
		shmbus_ring_push_two_known(&writer->ring, value, tag, value2, tag2);
	else
		shmbus_ring_push_known(&writer->ring, value, tag);
	return true;
}

/* Puts a record that is no sample into the ring; false where there is no room. */
static bool control_push(struct shmbus_writer *writer, uint64_t value, uint64_t tag)
{
	if (!shmbus_ring_push(&writer->ring, value, tag)) {
		if (shmbus_ring_refresh(&writer->ring) < 1)
			return false;
		shmbus_ring_push_known(&writer->ring, value, tag);
	}
	writer->controls++;
	return true;
}

void shmbus__control(struct shmbus_writer *writer, uint64_t value, uint64_t when, uint32_t type)
{
	if (writer->session == NULL)
		return;
	writer->correlation = value;
	writer->correlation_pending =
		!control_push(writer, value, shmbus_tag_make(SHMBUS_CONTROL, type, when));
	if (writer->correlation_pending)
		ring_close(&writer->ring);
}

void shmbus__quantum_set(struct shmbus_writer *writer, struct shmbus_cycle *cycle, uint32_t quantum,
			 uint64_t when)
{
	uint64_t value = (uint64_t)cycle->busy << 32 | quantum;

	/* Nothing may overtake an id that waits for room. */
	if (writer->correlation_pending)
		shmbus__control(writer, writer->correlation, when, SHMBUS_CONTROL_CORRELATION);
	if (writer->correlation_pending)
		return;
	/* Where there is no room the next cycle tries again. */
	if (writer->session == NULL ||
	    control_push(writer, value,
			 shmbus_tag_make(SHMBUS_CONTROL, SHMBUS_CONTROL_QUANTUM, when)))
		cycle->quantum = quantum;
}

void shmbus_writer_stats_get(const struct shmbus_writer *writer, struct shmbus_writer_stats *out)
{
	memset(out, 0, sizeof *out);
	if (writer->session == NULL)
		return;
	out->recorded = shmbus_ring_written(&writer->ring) - writer->controls;
	out->dropped = atomic_load_explicit(&writer->block->dropped_full, memory_order_relaxed) +
		       atomic_load_explicit(&writer->block->dropped_head, memory_order_relaxed);
	out->attempted = out->recorded + out->dropped;
	out->capacity = writer->ring.capacity;
}
