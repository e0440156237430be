/* SPDX-License-Identifier: MIT */
/* test_writers.c - opening and closing writers: sizes, names, how many, taken up again. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "seen.h"

static void refused(struct shmbus_session *session, const struct shmbus_writer_options *options,
		    int error, const char *word)
{
	struct shmbus_writer_stats stats;
	struct shmbus_writer *writer = NULL;

	cr_assert_eq(shmbus_writer_open(session, options, &writer), error, "%s", word);
	cr_assert_not_null(strstr(shmbus_strerror(error), word), "\"%s\" lacks \"%s\"",
			   shmbus_strerror(error), word);
	cr_assert_not_null(writer);
	cr_assert_not(shmbus_record_value_at(writer, 0, 1, 1));
	shmbus_add(writer, SHMBUS_METRICS_MAX, 1);
	shmbus_correlate(writer, 1);
	shmbus_writer_stats_get(writer, &stats);
	cr_assert_eq(stats.attempted, 0);
	shmbus_writer_close(writer);
}

Test(writers, capacities)
{
	static const struct {
		uint32_t asked, got;
	} cases[] = {{0, 16384}, {1, 64},    {63, 64},     {64, 64},
		     {65, 128},  {128, 128}, {1000, 1024}, {(1u << 20) - 1, 1u << 20}};
	struct shmbus_session *session = session_opened(1);
	struct shmbus_writer_options options = {0};
	struct shmbus_writer_stats stats;
	struct shmbus_consumer *consumer;
	struct shmbus_writer *writer;
	size_t count = sizeof cases / sizeof *cases;

	for (size_t i = 0; i < count; i++) {
		options.capacity = cases[i].asked;
		cr_assert_eq(shmbus_writer_open(session, &options, &writer), 0);
		shmbus_writer_stats_get(writer, &stats);
		cr_assert_eq(stats.capacity, cases[i].got);
	}
	consumer = seen(session);
	cr_assert_eq(consumer->writer_count, count);
	for (size_t i = 0; i < count; i++)
		cr_assert_eq(consumer->writers[i]->capacity, cases[i].got);
	options.capacity = SHMBUS_RING_MAX + 1;
	refused(session, &options, -EINVAL, "at most 16777216 samples");
	options.capacity = UINT32_MAX;
	refused(session, &options, -EINVAL, "ring capacity");
	options.capacity = 1u << 31;
	refused(session, &options, -EINVAL, "ring capacity");
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

Test(writers, the_largest_ring_where_there_is_room)
{
	struct shmbus_session *session = session_opened(1);
	struct shmbus_writer_options options = {.capacity = SHMBUS_RING_MAX};
	struct shmbus_writer_stats stats;
	struct shmbus_writer *writer;
	int error = shmbus_writer_open(session, &options, &writer);

	if (error == 0) {
		shmbus_writer_stats_get(writer, &stats);
		cr_assert_eq(stats.capacity, SHMBUS_RING_MAX);
		cr_assert(shmbus_record_value_at(writer, 0, 1, 1));
	} else {
		cr_assert_eq(error, -ENOSPC, "%s", shmbus_strerror(error));
		cr_assert_not(shmbus_record_value_at(writer, 0, 1, 1));
	}
	shmbus_session_close(session);
}

Test(writers, names)
{
	static const char *const bad[] = {"",        "1",    "a b",      "a\n",
					  "\x1b[0m", "\xff", "\xc3\xa4", "-"};
	struct shmbus_session *session = session_opened(1);
	char name[SHMBUS_WRITER_NAME_SIZE + 1];
	struct shmbus_writer_options options = {.name = name, .capacity = 64};
	struct shmbus_consumer *consumer;
	struct shmbus_writer *writer;

	memset(name, 'w', sizeof name);
	name[SHMBUS_WRITER_NAME_SIZE] = '\0';
	refused(session, &options, -E2BIG, "at most 31 bytes");
	name[SHMBUS_WRITER_NAME_SIZE - 1] = '\0';
	cr_assert_eq(shmbus_writer_open(session, &options, &writer), 0);
	writer_opened(session, 64);
	consumer = seen(session);
	cr_assert_str_eq(consumer->writers[0]->name, name);
	cr_assert_str_eq(consumer->writers[1]->name, "writer-1");
	shmbus_consumer_detach(consumer);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		options.name = bad[i];
		refused(session, &options, -EINVAL, "writer");
	}
	shmbus_session_close(session);
}

Test(writers, as_many_as_there_may_be_and_one_more)
{
	struct shmbus_session *session = session_opened(1);
	shmbus_metric metric = metric_defined(session, "t", SHMBUS_TIMER);
	struct shmbus_writer *writers[SHMBUS_WRITERS_MAX], *again;
	struct shmbus_writer_options small = {.capacity = 64};
	struct shmbus_consumer *consumer;

	for (uint64_t i = 0; i < SHMBUS_WRITERS_MAX; i++) {
		writers[i] = writer_opened(session, 64);
		for (uint64_t n = 0; n <= i; n++)
			cr_assert(shmbus_record_value_at(writers[i], metric, i, n));
	}
	refused(session, &small, -ENOSPC, "at most 64 writers");
	consumer = seen(session);
	cr_assert_eq(consumer->writer_count, SHMBUS_WRITERS_MAX);
	for (uint64_t i = 0; i < SHMBUS_WRITERS_MAX; i++)
		cr_assert_eq(seen_drain(consumer->writers[i]), i + 1, "each has its own ring");
	shmbus_writer_close(writers[17]);
	small.name = "other";
	refused(session, &small, -ENOSPC, "writers");
	small.name = NULL;
	cr_assert_eq(shmbus_writer_open(session, &small, &again), 0, "one was closed");
	cr_assert(shmbus_record_value_at(again, metric, 1, 1));
	cr_assert_eq(seen_drain(consumer->writers[17]), 1);
	refused(session, &small, -ENOSPC, "writers");
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

Test(writers, closing)
{
	struct shmbus_session *session = session_opened(1);
	struct shmbus_writer *writer = writer_opened(session, 64);
	struct shmbus_consumer *consumer = seen(session);
	const struct shmbus_writer_block *block = consumer->writers[0]->block;
	uint32_t changes = atomic_load(&consumer->live->changes);

	cr_assert_eq(atomic_load(&block->state), SHMBUS_WRITER_OPEN);
	cr_assert_eq(block->tid, (uint32_t)gettid());
	shmbus_record_value_at(writer, 0, 5, 1);
	shmbus_writer_close(writer);
	cr_assert_eq(atomic_load(&block->state), SHMBUS_WRITER_CLOSED);
	cr_assert_neq(atomic_load(&consumer->live->changes), changes);
	shmbus_writer_close(writer);
	shmbus_writer_close(NULL);
	cr_assert_eq(atomic_load(&block->state), SHMBUS_WRITER_CLOSED);
	cr_assert_eq(seen_drain(consumer->writers[0]), 1, "what it recorded stays");

	cr_assert_eq(writer_opened(session, 64), writer);
	cr_assert_eq(atomic_load(&block->state), SHMBUS_WRITER_OPEN);
	shmbus_session_close(session);
	cr_assert_eq(atomic_load(&block->state), SHMBUS_WRITER_CLOSED, "with its session");
	shmbus_consumer_detach(consumer);
}

/* Threads that come and go use a writer of the same shape again, and nothing but its shape. */
Test(writers, taken_up_again)
{
	struct shmbus_session *session = session_opened(1);
	shmbus_metric metric = metric_defined(session, "t", SHMBUS_TIMER);
	struct shmbus_writer_options named = {.name = "w", .capacity = 64};
	struct shmbus_writer *first, *second;
	struct shmbus_consumer *consumer;

	cr_assert_eq(shmbus_writer_open(session, &named, &first), 0);
	cr_assert_eq(shmbus_writer_open(session, &named, &second), 0);
	cr_assert_neq(first, second, "the first one is in use");
	shmbus_writer_close(first);
	named.capacity = 128;
	cr_assert_eq(shmbus_writer_open(session, &named, &second), 0);
	cr_assert_neq(first, second, "another size");
	named.capacity = 50;
	cr_assert_eq(shmbus_writer_open(session, &named, &second), 0);
	cr_assert_eq(first, second);

	for (int i = 0; i < 1000; i++) {
		struct shmbus_writer_stats stats;

		cr_assert(shmbus_record_value_at(second, metric, 1, 1) == (i < 64));
		shmbus_writer_close(second);
		cr_assert_eq(shmbus_writer_open(session, &named, &second), 0);
		shmbus_writer_stats_get(second, &stats);
		cr_assert_eq(stats.attempted, (uint64_t)i + 1, "the account goes on");
	}
	consumer = seen(session);
	cr_assert_eq(consumer->writer_count, 3);
	cr_assert_eq(seen_drain(consumer->writers[0]), 64);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

/* The thread that had a writer before is gone, and so is the request that it worked for. */
Test(writers, taken_up_again_without_the_last_correlation_id)
{
	struct shmbus_session *session = session_opened(1);
	shmbus_metric metric = metric_defined(session, "t", SHMBUS_TIMER);
	struct shmbus_writer *writer = writer_opened(session, 64);
	struct shmbus_consumer_writer *reader = seen(session)->writers[0];
	struct seen_record record;
	uint64_t correlation = 0;

	shmbus_correlate(writer, 4711);
	shmbus_record_value_at(writer, metric, 1, 1);
	shmbus_writer_close(writer);
	writer = writer_opened(session, 64);
	shmbus_record_value_at(writer, metric, 2, 2);
	while (seen_next(reader, &record)) {
		if (record.metric == SHMBUS_CONTROL)
			correlation = record.value;
		else
			cr_assert_eq(correlation, record.value == 1 ? 4711 : 0);
	}
	cr_assert_eq(record.value, 2);
	shmbus_session_close(session);
}
