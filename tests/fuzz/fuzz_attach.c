/* SPDX-License-Identifier: MIT */
/*
 * fuzz_attach.c - a consumer attached to a hostile segment: whatever the file says, and however
 * it changes between two looks, what is handed out is checked, bounded and printable.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/consumer.h>

#include "guard.h"
#include "script.h"

enum step {
	STEP_ATTACH,
	STEP_TABLES,
	STEP_LABELS,
	STEP_WRITERS,
	STEP_DRAIN, /* count:u16 */
	STEP_SLOTS,
	STEP_LIFE, /* lock:u8 */
	STEP_DETACH,
	STEPS,
};

static struct shmbus_consumer consumer;
static bool attached;
static char segment[80];

/* Ends within its field, and holds no control. */
static void text_check(const char *text, size_t size)
{
	promise(memchr(text, '\0', size) != NULL);
	for (const char *c = text; *c != '\0'; c++)
		promise((unsigned char)*c >= 0x20 && *c != 0x7f);
}

/* All of the writer's parts lie within its mapping, one behind the other. */
static void writer_check(const struct shmbus_consumer_writer *writer)
{
	const char *begin = (const char *)writer->block, *end = begin + writer->size;
	const char *slots = (const char *)writer->slots, *ring = (const char *)writer->ring.slots;

	text_check(writer->name, sizeof writer->name);
	promise(slots >= begin + sizeof *writer->block &&
		slots + writer->slot_count * sizeof(uint64_t) <= ring);
	promise(ring + writer->capacity * sizeof(struct shmbus_slot) <= end);
	promise(writer->capacity == writer->ring.mask + 1 &&
		writer->capacity == 1u << writer->ring.order);
	promise((uintptr_t)ring % SHMBUS_LINE_SIZE == 0 && (uintptr_t)slots % 8 == 0);
	promise((const char *)writer->head >= (const char *)consumer.heads &&
		(const char *)(writer->head + 1) <=
			(const char *)consumer.heads + consumer.heads_size);
}

static void writers_check(void)
{
	promise(consumer.writer_count <= SHMBUS_WRITERS_MAX);
	for (uint32_t i = 0; i < consumer.writer_count; i++)
		writer_check(consumer.writers[i]);
}

static void attach(void)
{
	if (attached)
		shmbus_consumer_detach(&consumer);
	attached = shmbus_consumer_attach(&consumer, segment) == 0;
	if (!attached) {
		promise(memchr(consumer.reason, '\0', sizeof consumer.reason) != NULL);
		return;
	}
	text_check(consumer.header.id, sizeof consumer.header.id);
	text_check(consumer.header.service, sizeof consumer.header.service);
	writers_check();
}

static void tables(void)
{
	uint32_t metrics, derived;

	if (shmbus_consumer_counts(&consumer, &metrics, &derived) != 0)
		return;
	promise(metrics <= SHMBUS_METRICS_MAX && derived <= SHMBUS_DERIVED_MAX);
	for (uint32_t i = 0; i < metrics; i++) {
		struct shmbus_metric_entry entry;

		if (shmbus_consumer_metric(&consumer, i, &entry) != 0)
			break;
		text_check(entry.name, sizeof entry.name);
		text_check(entry.unit, sizeof entry.unit);
		text_check(entry.stage, sizeof entry.stage);
		text_check(entry.help, sizeof entry.help);
		text_check(entry.text, sizeof entry.text);
		promise(entry.kind >= SHMBUS_TIMER && entry.kind <= SHMBUS_INFO);
		promise(entry.window <= SHMBUS_WINDOW_MAX && entry.real <= 1);
		promise(!entry.real || entry.kind == SHMBUS_GAUGE);
	}
	for (uint32_t i = 0; i < derived; i++) {
		struct shmbus_derived_entry entry;

		if (shmbus_consumer_derived(&consumer, i, &entry) != 0)
			break;
		text_check(entry.name, sizeof entry.name);
		promise(entry.numerator_count + entry.denominator_count <=
			(int)SHMBUS_DERIVED_OPERANDS_MAX);
	}
}

static void labels(void)
{
	struct shmbus_consumer_label found[SHMBUS_LABELS_MAX];
	int count = shmbus_consumer_labels(&consumer, found);

	promise(count <= (int)SHMBUS_LABELS_MAX);
	for (int i = 0; i < count; i++) {
		text_check(found[i].key, sizeof found[i].key);
		text_check(found[i].value, sizeof found[i].value);
		promise(found[i].key[0] != '\0');
	}
}

static void drain(void *data)
{
	uint64_t most = *(const uint64_t *)data;

	for (uint32_t i = 0; i < consumer.writer_count; i++) {
		struct shmbus_consumer_writer *writer = consumer.writers[i];
		uint64_t value, tag, read = 0;

		while (read < most && read < writer->capacity &&
		       shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag)) {
			writer->ring.position++;
			read++;
		}
		shmbus_ring_release(writer->head, writer->ring.position);
	}
}

static void slots(void *data)
{
	uint64_t *sum = data;

	*sum += atomic_load_explicit(&consumer.live->changes, memory_order_acquire);
	for (uint32_t i = 0; i < consumer.writer_count; i++) {
		const struct shmbus_consumer_writer *writer = consumer.writers[i];

		*sum += atomic_load_explicit(&writer->block->dropped_full, memory_order_relaxed);
		for (uint32_t k = 0; k < writer->slot_count; k++)
			*sum += atomic_load_explicit(&writer->slots[k], memory_order_relaxed);
	}
}

static void life(bool lock)
{
	struct flock wanted = {.l_type = lock ? F_WRLCK : F_UNLCK, .l_len = 1};

	promise(fcntl(script_descriptor(), F_OFD_SETLK, &wanted) == 0);
	promise(shmbus_consumer_alive(&consumer) == (lock ? 1 : 0));
	promise(shmbus_consumer_named(&consumer));
}

static void step_run(enum step step)
{
	uint64_t argument = 0;

	if (step == STEP_DRAIN)
		argument = script_number(2);
	else if (step == STEP_LIFE)
		argument = script_number(1);
	if (step == STEP_ATTACH)
		attach();
	if (!attached)
		return;
	if (step == STEP_TABLES)
		tables();
	else if (step == STEP_LABELS)
		labels();
	else if (step == STEP_WRITERS) /* those before a bad one stay */
		shmbus_consumer_writers_update(&consumer), writers_check();
	else if (step == STEP_DRAIN)
		guard_run(drain, &argument);
	else if (step == STEP_SLOTS)
		guard_run(slots, &argument);
	else if (step == STEP_LIFE)
		life(argument & 1);
	else if (step == STEP_DETACH)
		shmbus_consumer_detach(&consumer), attached = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int step;

	script_guard_init();
	script_file("s.0123456789abcdef", segment);
	script_begin(data, size);
	while ((step = script_step(STEPS)) >= 0)
		step_run((enum step)step);
	if (attached)
		shmbus_consumer_detach(&consumer);
	attached = false;
	return 0;
}
