/* SPDX-License-Identifier: MIT */
/* test_fork.c - session.c's promise to programs that fork(). */
#include <criterion/criterion.h>

#include "seen.h"

struct family {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timer, counter;
};

static int child_uses_the_parents_handles(void *argument)
{
	struct family *family = argument;
	struct shmbus_writer *writer;

	for (uint64_t i = 0; i < 1000; i++) {
		shmbus_record_value_at(family->writer, family->timer, 666, i);
		shmbus_add(family->writer, family->counter, 1000);
		shmbus_correlate(family->writer, 666);
	}
	shmbus_heartbeat(family->session);
	CHILD_CHECK(shmbus_label_set(family->session, "k", "child") == 0);
	metric_defined(family->session, "of_the_child", SHMBUS_TIMER);
	CHILD_CHECK(shmbus_writer_open(family->session, NULL, &writer) == 0);
	CHILD_CHECK(!shmbus_record(writer, 0, 0));
	shmbus_writer_close(family->writer);
	shmbus_session_close(family->session);
	return 0;
}

static int child_opens_its_own(void *argument)
{
	struct family *family = argument;
	struct shmbus_session *own;
	struct shmbus_writer *writer;
	shmbus_metric metric;
	struct shmbus_consumer *consumer;

	CHILD_CHECK(shmbus_session_open(NULL, &own) == 0);
	CHILD_CHECK(strcmp(shmbus_session_segment(own), shmbus_session_segment(family->session)));
	metric = metric_defined(own, "own", SHMBUS_TIMER);
	writer = writer_opened(own, 64);
	CHILD_CHECK(shmbus_record_value_at(writer, metric, 5, 1));
	consumer = seen(own);
	CHILD_CHECK(consumer->header.pid == getpid());
	CHILD_CHECK(shmbus_consumer_alive(consumer) == 1);
	CHILD_CHECK(seen_drain(consumer->writers[0]) == 1);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(own);
	return 0;
}

Test(fork, leaves_the_parents_session_to_the_parent)
{
	struct family family = {.session = session_opened(0)};
	struct shmbus_consumer *consumer;
	uint32_t metrics, derived, changes;
	uint64_t heartbeat;

	family.timer = metric_defined(family.session, "t", SHMBUS_TIMER);
	family.counter = metric_defined(family.session, "c", SHMBUS_COUNTER);
	family.writer = writer_opened(family.session, 64);
	shmbus_record_value_at(family.writer, family.timer, 1, 1);
	shmbus_add(family.writer, family.counter, 7);
	consumer = seen(family.session);
	changes = atomic_load(&consumer->live->changes);
	heartbeat = atomic_load(&consumer->live->heartbeat_ticks);

	in_child(child_uses_the_parents_handles, &family);
	in_child(child_opens_its_own, &family);

	cr_assert_eq(atomic_load(&consumer->live->changes), changes);
	cr_assert_eq(atomic_load(&consumer->live->heartbeat_ticks), heartbeat);
	cr_assert_eq(atomic_load(&consumer->live->state), SHMBUS_SEGMENT_OPEN);
	cr_assert_eq(atomic_load(&consumer->writers[0]->slots[family.counter]), 7);
	cr_assert_eq(atomic_load(&consumer->writers[0]->block->dropped_full), 0);
	cr_assert_eq(shmbus_consumer_counts(consumer, &metrics, &derived), 0);
	cr_assert_eq(metrics, 2);
	cr_assert_eq(shmbus_consumer_alive(consumer), 1);
	cr_assert(shmbus_consumer_named(consumer));
	cr_assert(shmbus_record_value_at(family.writer, family.timer, 2, 2));
	cr_assert_eq(seen_drain(consumer->writers[0]), 2, "both of the parent, none of the child");
	shmbus_consumer_detach(consumer);
	shmbus_session_close(family.session);
}

/* The child lives until its parent is done, and has said so first: up to the end of its fork()
 * it still has the parent's descriptors. */
Test(fork, a_living_child_does_not_keep_the_parents_session_alive)
{
	struct shmbus_session *session = session_opened(0);
	struct shmbus_consumer *consumer = seen(session);
	int up[2], down[2], status;
	char byte = 0;
	pid_t pid;

	cr_assert_eq(pipe(up), 0);
	cr_assert_eq(pipe(down), 0);
	pid = fork();
	if (pid == 0) {
		close(down[1]);
		if (write(up[1], &byte, 1) == 1 && read(down[0], &byte, 1) == 0)
			_exit(0);
		_exit(1);
	}
	cr_assert_eq(read(up[0], &byte, 1), 1);
	cr_assert_eq(shmbus_consumer_alive(consumer), 1);
	shmbus_session_close(session);
	cr_assert_eq(shmbus_consumer_alive(consumer), 0);
	close(down[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	shmbus_consumer_detach(consumer);
}
