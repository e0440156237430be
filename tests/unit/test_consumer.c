/* SPDX-License-Identifier: MIT */
/* test_consumer.c - segments that lie are refused with a reason; what is true is read as written.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "seen.h"

static struct shmbus_session *session;
static shmbus_metric metric;
static struct shmbus_consumer consumer;
static char path[128];
static size_t page, size;
static uint32_t heads;

/* A true segment with a metric, a derived value and a writer, to be spoilt through its path. */
static void setup(void)
{
	struct shmbus_derived_options derived = {.name = "d",
						 .rule = SHMBUS_DERIVE_RATIO,
						 .numerator = &metric,
						 .numerator_count = 1,
						 .denominator = &metric,
						 .denominator_count = 1};
	struct stat status;

	session = session_opened(2);
	metric = metric_defined(session, "m", SHMBUS_TIMER);
	cr_assert_eq(shmbus_derived_define(session, &derived), 0);
	writer_opened(session, 64);
	snprintf(path, sizeof path, "/dev/shm%s", shmbus_session_segment(session));
	cr_assert_eq(stat(path, &status), 0);
	size = (size_t)status.st_size;
	page = (size_t)sysconf(_SC_PAGESIZE);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	heads = consumer.header.heads_offset;
	shmbus_consumer_detach(&consumer);
}

static void teardown(void)
{
	shmbus_session_close(session);
}

TestSuite(consumer, .init = setup, .fini = teardown);

static void patch(uint64_t offset, const void *bytes, size_t count)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, count, (off_t)offset), (ssize_t)count);
	close(fd);
}

static void saved(uint64_t offset, void *bytes, size_t count)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert_eq(pread(fd, bytes, count, (off_t)offset), (ssize_t)count);
	close(fd);
}

static int descriptors_open(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void refused(int error, const char *word)
{
	int before = descriptors_open();
	int got = shmbus_consumer_attach(&consumer, shmbus_session_segment(session));

	cr_assert_eq(got, error, "%s: %d, %s", word, got, consumer.reason);
	cr_assert_not_null(strstr(consumer.reason, word), "\"%s\" lacks \"%s\"", consumer.reason,
			   word);
	cr_assert_eq(descriptors_open(), before, "%s: a descriptor leaks", word);
}

static void accepted(void)
{
	int error = shmbus_consumer_attach(&consumer, shmbus_session_segment(session));

	cr_assert_eq(error, 0, "%s", consumer.reason);
	shmbus_consumer_detach(&consumer);
}

/* Spoils a field, looks, and mends it. */
static void refused_with(uint64_t offset, size_t count, uint64_t value, int error, const char *word)
{
	uint8_t before[8];

	saved(offset, before, count);
	patch(offset, &value, count);
	refused(error, word);
	patch(offset, before, count);
}

static void accepted_with(uint64_t offset, size_t count, uint64_t value)
{
	uint8_t before[8];

	saved(offset, before, count);
	patch(offset, &value, count);
	accepted();
	patch(offset, before, count);
}

#define AT(field) offsetof(struct shmbus_header, field), sizeof(((struct shmbus_header *)0)->field)

Test(consumer, identity)
{
	accepted();
	refused_with(AT(magic), SHMBUS_MAGIC + 1, -EBADMSG, "magic");
	refused_with(AT(magic), 0, -EBADMSG, "magic");
	refused_with(AT(version), 0, -EAGAIN, "still being made");
	refused_with(AT(version), 2u << 16, -EPROTO, "layout version 2.0");
	refused_with(AT(version), 1, -EPROTO, "layout version 0.1");
	refused_with(AT(version), UINT32_MAX, -EPROTO, "65535.65535");
	accepted_with(AT(version), SHMBUS_LAYOUT_VERSION + 9);
	refused_with(AT(clock_source), 0, -EBADMSG, "clock source");
	refused_with(AT(clock_source), 5, -EBADMSG, "clock source");
	refused_with(AT(clock_source), SHMBUS_CLOCK_INJECTED, -EBADMSG, "tick rate");
	refused_with(offsetof(struct shmbus_header, service), 1, '9', -EBADMSG, "service name");
	refused_with(offsetof(struct shmbus_header, service), 8, 0x206120612061, -EBADMSG,
		     "service name");
	refused_with(offsetof(struct shmbus_header, id), 1, 0, -EBADMSG, "session id");
	accepted();
}

Test(consumer, strings_without_an_end)
{
	char endless[64];

	memset(endless, 'x', sizeof endless);
	patch(offsetof(struct shmbus_header, id), endless, sizeof endless);
	accepted();
	cr_assert_eq(strlen(consumer.header.id), 63);
	memcpy(endless, "\x1b[2J\xff\n", 6);
	patch(offsetof(struct shmbus_header, id), endless, sizeof endless);
	accepted();
	cr_assert_eq(strncmp(consumer.header.id, "?[2J??xxx", 9), 0, "%s", consumer.header.id);
	memset(endless, 'x', sizeof endless);
	patch(offsetof(struct shmbus_header, service), endless, sizeof endless);
	refused(-EBADMSG, "service name");
}

Test(consumer, geometry)
{
	refused_with(AT(header_size), 0, -EBADMSG, "header size");
	refused_with(AT(header_size), 504, -EBADMSG, "header size");
	refused_with(AT(header_size), 513, -EBADMSG, "header size");
	refused_with(AT(header_size), UINT32_MAX - 7, -EBADMSG, "header size");
	refused_with(AT(header_size), 520, -EBADMSG, "labels"); /* it overlaps them */
	refused_with(AT(page_size), page * 2, -EBADMSG, "page size");
	refused_with(AT(page_size), 0, -EBADMSG, "page size");

	refused_with(AT(heads_offset), 0, -EBADMSG, "heads");
	refused_with(AT(heads_offset), heads + 8, -EBADMSG, "heads");
	refused_with(AT(heads_offset), (size + page - 1) / page * page, -EBADMSG, "heads");
	refused_with(AT(heads_offset), UINT32_MAX - page + 1, -EBADMSG, "heads");
	refused_with(AT(heads_offset), page, -EBADMSG, "place of"); /* over the tables */
	refused_with(AT(heads_stride), 0, -EBADMSG, "heads");
	refused_with(AT(heads_stride), 128, -EBADMSG, "heads");
	refused_with(AT(heads_stride), UINT32_MAX, -EBADMSG, "heads");
}

/* The fields of a table: offset, stride and capacity follow each other. */
static void table_check(size_t at, uint32_t capacity_max, const char *word)
{
	uint32_t offset, capacity;

	saved(at, &offset, 4);
	saved(at + 8, &capacity, 4);
	refused_with(at, 4, 0, -EBADMSG, word);
	refused_with(at, 4, 504, -EBADMSG, word);
	refused_with(at, 4, offset + 4, -EBADMSG, word);
	refused_with(at, 4, heads, -EBADMSG, word);
	refused_with(at, 4, UINT32_MAX - 7, -EBADMSG, word);
	refused_with(at + 4, 4, 0, -EBADMSG, word);
	refused_with(at + 4, 4, 8, -EBADMSG, word);
	refused_with(at + 4, 4, 65544, -EBADMSG, word);
	refused_with(at + 4, 4, UINT32_MAX - 7, -EBADMSG, word);
	refused_with(at + 8, 4, capacity_max + 1, -EBADMSG, word);
	refused_with(at + 8, 4, UINT32_MAX, -EBADMSG, word);
}

Test(consumer, tables)
{
	table_check(offsetof(struct shmbus_header, labels_offset), SHMBUS_LABELS_MAX, "labels");
	table_check(offsetof(struct shmbus_header, derived_offset), SHMBUS_DERIVED_MAX, "derived");
	table_check(offsetof(struct shmbus_header, writers_offset), SHMBUS_WRITERS_MAX, "");
	table_check(offsetof(struct shmbus_header, metrics_offset), SHMBUS_METRICS_MAX, "metrics");
	refused_with(AT(writers_capacity), 0, -EBADMSG, "writers");
	refused_with(AT(writer_count), SHMBUS_WRITERS_MAX + 1, -EBADMSG,
		     "65 writers of at most 64");
	refused_with(AT(writer_count), UINT32_MAX, -EBADMSG, "writers of at most");
	accepted();
}

#define ENTRY(field)                                                                               \
	at + offsetof(struct shmbus_writer_entry, field),                                          \
		sizeof(((struct shmbus_writer_entry *)0)->field)

Test(consumer, writers)
{
	uint32_t at;
	uint64_t block;

	saved(offsetof(struct shmbus_header, writers_offset), &at, 4);
	saved(at, &block, 8);
	refused_with(ENTRY(capacity), 0, -EBADMSG, "ring capacity");
	refused_with(ENTRY(capacity), 32, -EBADMSG, "ring capacity");
	refused_with(ENTRY(capacity), 65, -EBADMSG, "ring capacity");
	refused_with(ENTRY(capacity), 96, -EBADMSG, "ring capacity");
	refused_with(ENTRY(capacity), SHMBUS_RING_MAX * 2, -EBADMSG, "ring capacity");
	refused_with(ENTRY(capacity), SHMBUS_RING_MAX, -EBADMSG, "place of the ring");
	refused_with(ENTRY(offset), 0, -EBADMSG, "block");
	refused_with(ENTRY(offset), block + 8, -EBADMSG, "block");
	refused_with(ENTRY(offset), heads, -EBADMSG, "block"); /* the heads would be its ring */
	refused_with(ENTRY(offset), block + page, -EBADMSG, "block");
	refused_with(ENTRY(offset), UINT64_MAX - page + 1, -EBADMSG, "block");
	refused_with(ENTRY(size), size - block + page, -EBADMSG, "block");
	refused_with(ENTRY(size), UINT64_MAX - page + 1, -EBADMSG, "block");
	refused_with(ENTRY(size), 8, -EBADMSG, "block");
	refused_with(ENTRY(size), 0, -EBADMSG, "slots");
	refused_with(ENTRY(slot_count), 2, -EBADMSG, "slots");
	refused_with(ENTRY(slot_count), UINT32_MAX, -EBADMSG, "slots");
	refused_with(ENTRY(slots_offset), 56, -EBADMSG, "slots");
	refused_with(ENTRY(slots_offset), 65, -EBADMSG, "slots");
	refused_with(ENTRY(slots_offset), UINT32_MAX - 7, -EBADMSG, "slots");
	refused_with(ENTRY(ring_offset), 64, -EBADMSG, "ring"); /* over the slots */
	refused_with(ENTRY(ring_offset), 136, -EBADMSG, "ring");
	refused_with(ENTRY(ring_offset), UINT32_MAX - 63, -EBADMSG, "ring");
	refused_with(at + offsetof(struct shmbus_writer_entry, name), 1, 0, -EBADMSG, "name");
	refused_with(at + offsetof(struct shmbus_writer_entry, name), 1, 0x1b, -EBADMSG, "name");
	accepted();
}

/* What is there when the agent comes is one mapping; a writer that comes later has its own. */
Test(consumer, mappings_of_writers)
{
	struct shmbus_writer *writer;
	uint64_t value, tag;

	accepted();
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	writer = writer_opened(session, 128);
	cr_assert_eq(shmbus_consumer_writers_update(&consumer), 0);
	cr_assert_eq(consumer.writer_count, 2);
	cr_assert(!consumer.writers[0]->apart);
	cr_assert(consumer.writers[1]->apart);
	cr_assert(shmbus_record_value(writer, metric, 42));
	cr_assert(shmbus_ring_peek(&consumer.writers[1]->ring, 0, &value, &tag));
	cr_assert_eq(value, 42);
	shmbus_consumer_detach(&consumer);
	/* All of them are there now. */
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	cr_assert(!consumer.writers[1]->apart);
	cr_assert(shmbus_ring_peek(&consumer.writers[1]->ring, 0, &value, &tag));
	shmbus_consumer_detach(&consumer);
	/* Of one that says it is huge no more than its parts. */
	cr_assert_eq(truncate(path, INT64_C(1) << 36), 0);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	cr_assert_eq(consumer.live_size, page);
	cr_assert(consumer.writers[0]->apart);
	cr_assert(shmbus_ring_peek(&consumer.writers[1]->ring, 0, &value, &tag));
	shmbus_consumer_detach(&consumer);
}

#define METRIC(field)                                                                              \
	at + offsetof(struct shmbus_metric_entry, field),                                          \
		sizeof(((struct shmbus_metric_entry *)0)->field)

static void metric_refused(uint64_t offset, size_t count, uint64_t value, const char *word)
{
	struct shmbus_metric_entry entry;
	uint8_t before[8];

	saved(offset, before, count);
	patch(offset, &value, count);
	cr_assert_eq(shmbus_consumer_metric(&consumer, metric, &entry), -EBADMSG, "%s", word);
	cr_assert_not_null(strstr(consumer.reason, word), "%s", consumer.reason);
	patch(offset, before, count);
}

Test(consumer, descriptors_of_metrics)
{
	struct shmbus_metric_entry entry;
	uint32_t at, metrics, derived, many = 3;

	saved(offsetof(struct shmbus_header, metrics_offset), &at, 4);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	metric_refused(METRIC(kind), 0, "kind");
	metric_refused(METRIC(kind), 7, "kind");
	metric_refused(METRIC(merge), 4, "merge");
	metric_refused(METRIC(window), SHMBUS_WINDOW_MAX + 1, "window");
	metric_refused(METRIC(target_quantile_ppm), 1000000, "quantile");
	metric_refused(at, 1, 0, "name");
	metric_refused(at, 1, '9', "name");
	patch(at + offsetof(struct shmbus_metric_entry, help), "a\nb\xff", 5);
	patch(at + offsetof(struct shmbus_metric_entry, real), "\x07", 1);
	cr_assert_eq(shmbus_consumer_metric(&consumer, metric, &entry), 0);
	cr_assert_str_eq(entry.help, "a?b?");
	cr_assert_eq(entry.real, 0, "only a gauge is real");
	patch(offsetof(struct shmbus_header, metric_count), &many, 4);
	cr_assert_eq(shmbus_consumer_counts(&consumer, &metrics, &derived), -EBADMSG);
	many = 2;
	patch(offsetof(struct shmbus_header, metric_count), &many, 4);
	cr_assert_eq(shmbus_consumer_counts(&consumer, &metrics, &derived), 0);
	many = SHMBUS_DERIVED_MAX + 1;
	patch(offsetof(struct shmbus_header, derived_count), &many, 4);
	cr_assert_eq(shmbus_consumer_counts(&consumer, &metrics, &derived), -EBADMSG);
	shmbus_consumer_detach(&consumer);
}

Test(consumer, descriptors_of_derived_values)
{
	struct shmbus_derived_entry entry, good;
	static const double scales[] = {1e300 * 1e300, -1e300 * 1e300, 1e301};
	static const uint16_t nonsense[][3] = {{0, 1, 1}, {3, 1, 1},  {1, 0, 1},
					       {1, 1, 0}, {1, 20, 1}, {1, 65535, 65535}};
	uint32_t at;

	saved(offsetof(struct shmbus_header, derived_offset), &at, 4);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	cr_assert_eq(shmbus_consumer_derived(&consumer, 0, &good), 0);
	for (size_t i = 0; i < 3; i++) {
		patch(at + offsetof(struct shmbus_derived_entry, scale), &scales[i], 8);
		cr_assert_eq(shmbus_consumer_derived(&consumer, 0, &entry), -EBADMSG);
		patch(at, &good, sizeof good);
	}
	for (size_t i = 0; i < 6; i++) {
		patch(at + offsetof(struct shmbus_derived_entry, rule), nonsense[i], 6);
		cr_assert_eq(shmbus_consumer_derived(&consumer, 0, &entry), -EBADMSG, "%zu", i);
		patch(at, &good, sizeof good);
	}
	patch(at, "\xff", 1);
	cr_assert_eq(shmbus_consumer_derived(&consumer, 0, &entry), -EBADMSG);
	shmbus_consumer_detach(&consumer);
}

Test(consumer, hostile_labels)
{
	struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
	char raw[128];

	cr_assert_eq(shmbus_label_set(session, "a", "1"), 0);
	cr_assert_eq(shmbus_label_set(session, "b", "2"), 0);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	memset(raw, 'x', sizeof raw); /* neither key nor value ends */
	patch(512, raw, sizeof raw);
	cr_assert_eq(shmbus_consumer_labels(&consumer, labels), 2);
	cr_assert_eq(strlen(labels[0].key), 31);
	cr_assert_eq(strlen(labels[0].value), 95);
	memcpy(raw, "k\n", 3);
	patch(512, raw, sizeof raw);
	cr_assert_eq(shmbus_consumer_labels(&consumer, labels), 1, "a bad key is left out");
	cr_assert_str_eq(labels[0].key, "b");
	memcpy(raw, "k", 2);
	memcpy(raw + 32, "\x1b]\xc3", 4);
	patch(512, raw, sizeof raw);
	cr_assert_eq(shmbus_consumer_labels(&consumer, labels), 2);
	cr_assert_str_eq(labels[0].value, "?]?");
	shmbus_consumer_detach(&consumer);
}

/* Cut at any place, a segment gives an error and no signal. */
Test(consumer, truncated)
{
	static const size_t keeps[] = {0, 1, 8, 12, 100, 511, 512, 4096, 8192};
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *whole = malloc(size);

	saved(0, whole, size);
	for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
		cr_assert_eq(ftruncate(fd, (off_t)keeps[i]), 0);
		refused(keeps[i] == 0 ? -EAGAIN : -EBADMSG, "");
		patch(0, whole, size);
	}
	accepted();
	cr_assert_eq(ftruncate(fd, (off_t)(size - page)), 0);
	refused(-EBADMSG, "block");
	patch(0, whole, size);

	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	cr_assert_eq(ftruncate(fd, 256), 0);
	{
		struct shmbus_consumer_label labels[SHMBUS_LABELS_MAX];
		struct shmbus_metric_entry entry;
		uint32_t metrics, derived;

		cr_assert_eq(shmbus_consumer_counts(&consumer, &metrics, &derived), -EBADMSG);
		cr_assert_eq(shmbus_consumer_metric(&consumer, 0, &entry), -EBADMSG);
		cr_assert_eq(shmbus_consumer_labels(&consumer, labels), -EBADMSG);
		cr_assert_eq(shmbus_consumer_writers_update(&consumer), -EBADMSG);
		cr_assert_not_null(strstr(consumer.reason, "cut short"));
	}
	patch(0, whole, size);
	shmbus_consumer_detach(&consumer);
	free(whole);
	close(fd);
}
