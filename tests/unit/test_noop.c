/* SPDX-License-Identifier: MIT */
/* test_noop.c - a file compiled with SHMBUS_NOOP: the same calls, and nothing of the hot path. */
#define SHMBUS_NOOP
#include <criterion/criterion.h>

#include "seen.h"

Test(noop, the_control_plane_works_and_nothing_is_recorded)
{
	struct shmbus_session *session = session_opened(8);
	struct shmbus_cycle_options options = {.name = "c", .rate_hz = 48000, .quantum = 64};
	shmbus_metric timer = metric_defined(session, "t", SHMBUS_TIMER);
	shmbus_metric gauge = metric_defined(session, "g", SHMBUS_GAUGE);
	struct shmbus_writer *writer = writer_opened(session, 64);
	struct shmbus_writer_stats stats;
	struct shmbus_consumer *consumer;
	struct shmbus_cycle cycle;

	cr_assert_eq(shmbus_cycle_define(session, &options, &cycle), 0);
	for (int i = 0; i < 1000; i++) {
		cr_assert(shmbus_record(writer, timer, shmbus_now()));
		cr_assert(shmbus_record_at(writer, timer, 1, 2));
		cr_assert(shmbus_record_value(writer, timer, 1));
		cr_assert(shmbus_record_value_at(writer, timer, 1, 2));
		cr_assert(shmbus_cycle(writer, &cycle, 1, 2, 3, 65));
		shmbus_add(writer, gauge, 1);
		shmbus_set(writer, gauge, 1);
		shmbus_set_real(writer, gauge, 1);
		shmbus_xrun(writer, &cycle);
		shmbus_correlate(writer, 1);
	}
	shmbus_writer_stats_get(writer, &stats);
	cr_assert_eq(stats.attempted, 0);
	consumer = seen(session);
	cr_assert_eq(seen_drain(consumer->writers[0]), 0);
	cr_assert_eq(atomic_load(&consumer->writers[0]->slots[gauge]), SHMBUS_SLOT_ABSENT);
	cr_assert_eq(atomic_load(&consumer->writers[0]->slots[cycle.xruns]), 0);
	cr_assert_eq(cycle.quantum, 64);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

/* Nothing is looked at, not even a handle. */
Test(noop, no_handle_is_touched)
{
	cr_assert(shmbus_record(NULL, 0, 0));
	cr_assert(shmbus_record_at(NULL, 0, 0, 0));
	cr_assert(shmbus_record_value(NULL, 0, 0));
	cr_assert(shmbus_record_value_at(NULL, 0, 0, 0));
	cr_assert(shmbus_cycle(NULL, NULL, 0, 0, 0, 0));
	shmbus_add(NULL, 0, 0);
	shmbus_set(NULL, 0, 0);
	shmbus_set_real(NULL, 0, 0);
	shmbus_xrun(NULL, NULL);
	shmbus_correlate(NULL, 0);
}
