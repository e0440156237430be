/* SPDX-License-Identifier: MIT */
/*
 * stress_session.c - everything at once on one session: threads record, open and close writers;
 * one changes labels, defines metrics and opens writers of its own; a consumer attaches, reads
 * and detaches. No label is ever torn, and every account is exact at the end.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

#include "tap.h"

#define RECORDERS 3u
#define SAMPLES 150000u
#define SHARED_METRICS 100u
#define METRICS 400u
#define CHANGES_MIN 400u
#define LABELS 50u /* changes of labels beside each other change */

static struct shmbus_session *session;
static _Atomic uint32_t running; /* threads of the producer's side */
static _Atomic uint64_t wrong;   /* anything that must never be */

/* Of each writer by its number, which one thread at a time has: opening it synchronises. */
static struct {
	uint64_t attempted, recorded, added;
} accounts[SHMBUS_WRITERS_MAX];

static uint64_t drained[SHMBUS_WRITERS_MAX]; /* the consumer's */
static uint64_t labels_read, attachments;

static void expect(bool condition, const char *what)
{
	if (!condition && atomic_fetch_add(&wrong, 1) < 10)
		fprintf(stderr, "# wrong: %s\n", what);
}

static shmbus_metric define(const char *prefix, uint32_t i, enum shmbus_kind kind)
{
	char name[32];
	struct shmbus_metric_options options = {.name = name, .kind = kind};
	shmbus_metric metric;

	snprintf(name, sizeof name, "%s%u", prefix, i);
	expect(shmbus_metric_define(session, &options, &metric) == 0, "a metric is defined");
	return metric;
}

static struct shmbus_writer *writer_open(const char *name, uint32_t capacity)
{
	struct shmbus_writer_options options = {.name = name, .capacity = capacity};
	struct shmbus_writer *writer;

	expect(shmbus_writer_open(session, &options, &writer) == 0, "a writer is opened");
	return writer;
}

/* The value of a sample is its number among those of its writer. */
static void record(struct shmbus_writer *writer, shmbus_metric timer, shmbus_metric counter)
{
	uint64_t *recorded = &accounts[writer->number].recorded;

	if (shmbus_record_value(writer, timer, *recorded))
		*recorded += 1;
	else if (accounts[writer->number].attempted % 8 == 0)
		sched_yield(); /* or the consumer would see little */
	accounts[writer->number].attempted++;
	accounts[writer->number].added += 2;
	shmbus_add(writer, counter, 2);
}

static void account_expect(const struct shmbus_writer *writer)
{
	struct shmbus_writer_stats stats;

	shmbus_writer_stats_get(writer, &stats);
	expect(stats.attempted == accounts[writer->number].attempted, "attempted");
	expect(stats.recorded == accounts[writer->number].recorded, "recorded");
}

/* All recorders define the same metrics, and must come to the same numbers. */
static void *recorder(void *argument)
{
	static _Atomic uint32_t numbers[SHARED_METRICS]; /* number + 1, once one is known */
	uint32_t self = (uint32_t)(uintptr_t)argument;
	shmbus_metric counter = define("counter", self, SHMBUS_COUNTER);
	char name[16];
	struct shmbus_writer *writer;

	snprintf(name, sizeof name, "recorder%u", self);
	writer = writer_open(name, 64u << self);
	for (uint32_t i = 0; i < SAMPLES; i++) {
		uint32_t shared = i / (SAMPLES / SHARED_METRICS); /* a new one now and then */
		uint32_t none = 0, number = atomic_load(&numbers[shared]);

		if (number == 0 || i % 100 == 0) {
			number = define("shared", shared, SHMBUS_TIMER) + 1;
			expect(atomic_compare_exchange_strong(&numbers[shared], &none, number) ||
				       none == number,
			       "one number for one name");
		}
		record(writer, number - 1, counter);
		if (i % 1000 == 999) {
			account_expect(writer);
			shmbus_heartbeat(session);
			shmbus_writer_close(writer);
			writer = writer_open(name, 64u << self);
		}
	}
	shmbus_writer_close(writer);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* A value that tells whether it is whole: a number, and then one letter to the end. */
static void label_set(const char *key, uint32_t number)
{
	char value[SHMBUS_LABEL_VALUE_SIZE];
	size_t length = 10 + number % (sizeof value - 10);

	memset(value, (int)('a' + number % 26), sizeof value);
	snprintf(value, 9, "%08u", number);
	value[8] = (char)('a' + number % 26);
	value[length] = '\0';
	expect(shmbus_label_set(session, key, value) == 0, "a label is set");
}

static void derive(uint32_t i, shmbus_metric metric)
{
	char name[16];
	struct shmbus_derived_options options = {.name = name,
						 .rule = SHMBUS_DERIVE_RATIO,
						 .numerator = &metric,
						 .numerator_count = 1,
						 .denominator = &metric,
						 .denominator_count = 1};

	snprintf(name, sizeof name, "derived%u", i);
	expect(shmbus_derived_define(session, &options) == 0, "a derived value is declared");
}

static void *changer(void *unused)
{
	shmbus_metric metric = 0, counter = define("counter", RECORDERS, SHMBUS_COUNTER);

	(void)unused;
	for (uint32_t i = 1; i <= CHANGES_MIN || atomic_load(&running) > 1; i++) {
		struct shmbus_writer *writer = writer_open(NULL, 64u << i % 3);

		for (uint32_t n = 0; n < LABELS; n++) {
			label_set("first", i * LABELS + n);
			label_set("second", i * LABELS + n);
		}
		expect(shmbus_label_set(session, "third", i % 2 != 0 ? "x" : NULL) == 0, "third");
		if (i < METRICS - SHARED_METRICS - RECORDERS)
			metric = define("more", i, SHMBUS_TIMER);
		if (i % 20 == 0 && i / 20 <= SHMBUS_DERIVED_MAX)
			derive(i / 20, metric);
		for (uint32_t n = 0; n < i % 100; n++)
			record(writer, metric, counter);
		account_expect(writer);
		shmbus_writer_close(writer);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* ---- the consumer ---- */

/* The number in a label's value; anything but a whole value is wrong. */
static uint32_t label_number(const struct shmbus_consumer_label *label)
{
	uint32_t number = (uint32_t)strtoul(label->value, NULL, 10);
	size_t length = strlen(label->value);

	expect(length == 10 + number % (SHMBUS_LABEL_VALUE_SIZE - 10), "a label's length");
	for (size_t i = 8; i < length; i++)
		expect(label->value[i] == (char)('a' + number % 26), "a label's letters");
	return number;
}

static void labels_check(struct shmbus_consumer *consumer)
{
	static uint32_t last;
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	uint32_t first = 0, second = 0;
	int count = shmbus_consumer_labels(consumer, labels);

	if (count == -EAGAIN)
		return;
	expect(count >= 0, "labels are read");
	for (int i = 0; i < count; i++) {
		if (strcmp(labels[i].key, "first") == 0)
			first = label_number(&labels[i]);
		else if (strcmp(labels[i].key, "second") == 0)
			second = label_number(&labels[i]);
		else
			expect(strcmp(labels[i].value, "x") == 0, "third");
	}
	/* The very first one is there before "second" is. */
	expect(first == second || first == second + 1 || (second == 0 && first == LABELS),
	       "all labels of one moment");
	expect(first >= last, "labels do not go back");
	last = first;
	labels_read++;
}

static void tables_check(struct shmbus_consumer *consumer)
{
	struct shmbus_metric_entry entry;
	struct shmbus_derived_entry derived_entry;
	uint32_t metrics, derived;

	expect(shmbus_consumer_counts(consumer, &metrics, &derived) == 0, "counts are read");
	for (uint32_t i = metrics > 4 ? metrics - 4 : 0; i < metrics; i++)
		expect(shmbus_consumer_metric(consumer, i, &entry) == 0, "a metric is read");
	for (uint32_t i = 0; i < derived; i++) {
		expect(shmbus_consumer_derived(consumer, i, &derived_entry) == 0, "derived");
		/* The metric may have come after the metrics were counted. */
		expect(derived_entry.operands[0] < METRICS, "its operand");
	}
}

static uint64_t drain(struct shmbus_consumer_writer *writer, uint64_t *expected)
{
	uint64_t value, tag, samples = 0;

	while (shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag)) {
		expect(value == *expected, "samples in order, none twice");
		expect(shmbus_tag_metric(tag) < METRICS, "of a metric that exists");
		writer->ring.position++;
		(*expected)++;
		samples++;
	}
	shmbus_ring_release(writer->head, writer->ring.position);
	return samples;
}

static uint64_t pass(struct shmbus_consumer *consumer)
{
	uint64_t samples = 0;

	for (int i = 0; i < 10; i++)
		labels_check(consumer);
	expect(shmbus_consumer_writers_update(consumer) == 0, "writers are found");
	for (uint32_t i = 0; i < consumer->writer_count; i++)
		samples += drain(consumer->writers[i], &drained[i]);
	tables_check(consumer);
	expect(shmbus_consumer_alive(consumer) == 1, "the producer lives");
	return samples;
}

static void *consume(void *unused)
{
	static struct shmbus_consumer consumer;
	bool last;

	(void)unused;
	do {
		last = atomic_load(&running) == 0;
		if (shmbus_consumer_attach(&consumer, shmbus_session_segment(session)) != 0) {
			expect(false, consumer.reason);
			break;
		}
		attachments++;
		for (int i = 0; i < 50; i++)
			pass(&consumer);
		shmbus_consumer_detach(&consumer);
	} while (!last);
	return NULL;
}

/* ---- the account at the end ---- */

static void accounts_check(void)
{
	static struct shmbus_consumer consumer;
	uint64_t dropped = 0, read = 0;
	bool exact = true, added = true;

	if (!tap_ok(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)) == 0,
		    "the segment is whole: %s", consumer.reason))
		return;
	for (uint32_t i = 0; i < consumer.writer_count; i++) {
		struct shmbus_consumer_writer *writer = consumer.writers[i];
		uint64_t lost = atomic_load(&writer->block->dropped_full), sum = 0;

		exact = exact && accounts[i].attempted == accounts[i].recorded + lost &&
			accounts[i].recorded == drained[i] &&
			atomic_load(&writer->block->dropped_head) == 0;
		for (uint32_t slot = 0; slot < writer->slot_count; slot++)
			sum += atomic_load(&writer->slots[slot]);
		added = added && sum == accounts[i].added;
		dropped += lost;
		read += drained[i];
	}
	tap_ok(exact, "attempted = recorded + dropped, recorded = read, for each of %u writers",
	       consumer.writer_count);
	tap_ok(added, "counters lose nothing");
	tap_diag("%llu read, %llu dropped, labels read %llu times, attached %llu times",
		 (unsigned long long)read, (unsigned long long)dropped,
		 (unsigned long long)labels_read, (unsigned long long)attachments);
	shmbus_consumer_detach(&consumer);
}

int main(void)
{
	struct shmbus_session_options options = {.service = "stress", .metrics_max = METRICS};
	pthread_t threads[RECORDERS + 2];

	if (shmbus_session_open(&options, &session) != 0)
		tap_bail("no session: %s", shmbus_strerror(-EINVAL));
	atomic_store(&running, RECORDERS + 1);
	for (uint32_t i = 0; i < RECORDERS; i++)
		pthread_create(&threads[i], NULL, recorder, (void *)(uintptr_t)i);
	pthread_create(&threads[RECORDERS], NULL, changer, NULL);
	pthread_create(&threads[RECORDERS + 1], NULL, consume, NULL);
	for (uint32_t i = 0; i < RECORDERS + 2; i++)
		pthread_join(threads[i], NULL);
	tap_ok(atomic_load(&wrong) == 0, "nothing was ever torn, out of order or refused");
	tap_ok(labels_read > 0, "labels were read");
	accounts_check();
	shmbus_session_close(session);
	return tap_done();
}
