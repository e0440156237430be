/* SPDX-License-Identifier: MIT */
/*
 * seen.h - for the unit tests of the library: a session, and what a consumer sees of it.
 *
 * Sessions are opened on the test's own bus. A failure ends the test.
 */
#ifndef SHMBUS_TESTS_SEEN_H
#define SHMBUS_TESTS_SEEN_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>

static inline struct shmbus_session *session_opened(uint32_t metrics_max)
{
	struct shmbus_session_options options = {.service = "unit", .metrics_max = metrics_max};
	struct shmbus_session *session;
	int error = shmbus_session_open(&options, &session);

	cr_assert_eq(error, 0, "open: %s", shmbus_strerror(error));
	return session;
}

static inline struct shmbus_writer *writer_opened(struct shmbus_session *session, uint32_t capacity)
{
	struct shmbus_writer_options options = {.capacity = capacity};
	struct shmbus_writer *writer;
	int error = shmbus_writer_open(session, &options, &writer);

	cr_assert_eq(error, 0, "writer: %s", shmbus_strerror(error));
	return writer;
}

static inline shmbus_metric metric_defined(struct shmbus_session *session, const char *name,
					   enum shmbus_kind kind)
{
	struct shmbus_metric_options options = {.name = name, .kind = kind, .text = "a|b|c"};
	shmbus_metric metric;
	int error = shmbus_metric_define(session, &options, &metric);

	cr_assert_eq(error, 0, "metric: %s", shmbus_strerror(error));
	return metric;
}

/* Attaches to a session. One at a time: the consumer is this file's. */
static inline struct shmbus_consumer *seen(const struct shmbus_session *session)
{
	static struct shmbus_consumer consumer;
	int error = shmbus_consumer_attach(&consumer, shmbus_session_segment(session));

	cr_assert_eq(error, 0, "attach: %s", consumer.reason);
	return &consumer;
}

struct seen_record {
	uint32_t metric; /* or SHMBUS_CONTROL */
	uint32_t type;   /* 0, SHMBUS_TAG_TICKS, or which control record */
	uint64_t value;
	uint64_t tag;
};

/* Reads the next record of a writer and moves on; false where there is none. */
static inline bool seen_next(struct shmbus_consumer_writer *writer, struct seen_record *out)
{
	if (!shmbus_ring_peek(&writer->ring, writer->ring.position, &out->value, &out->tag))
		return false;
	out->metric = shmbus_tag_metric(out->tag);
	out->type = out->tag & SHMBUS_TAG_TICKS;
	writer->ring.position++;
	return true;
}

/* Reads all there is, gives the room back, and returns how many samples (no control records). */
static inline uint64_t seen_drain(struct shmbus_consumer_writer *writer)
{
	struct seen_record record;
	uint64_t samples = 0;

	while (seen_next(writer, &record))
		samples += record.metric != SHMBUS_CONTROL;
	shmbus_ring_release(writer->head, writer->ring.position);
	return samples;
}

/* Runs a function in a fork()ed child: it returns 0 where all is well. */
static inline void in_child(int (*run)(void *), void *argument)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(run(argument));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "the child died of signal %d", WTERMSIG(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "the child failed at line %d + 256 n",
		     WEXITSTATUS(status));
}

/* In a child: ends it with the line where something was wrong. */
#define CHILD_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ % 256 != 0 ? __LINE__ % 256 : 255;                         \
	} while (0)

#endif /* SHMBUS_TESTS_SEEN_H */
