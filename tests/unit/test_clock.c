/* SPDX-License-Identifier: MIT */
/* test_clock.c - where ticks come from, and clocks put in their place. */
#include <criterion/criterion.h>
#include <time.h>

#include "seen.h"

static uint64_t ticks;

static uint64_t ticks_read(void)
{
	return ticks;
}

static uint64_t other_read(void)
{
	return 99;
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Reads of a counter do not wait for each other: neighbours may come out the other way round. */
#define SLACK_TICKS 1000u

Test(clock, never_goes_back_and_does_go_on)
{
	uint64_t start = shmbus_now(), last = start;

	for (int i = 0; i < 100000; i++) {
		uint64_t now = shmbus_now();

		cr_assert_geq(now + SLACK_TICKS, last);
		last = now;
	}
	cr_assert_gt(last, start);
}

Test(clock, source_is_what_now_reads)
{
	enum shmbus_clock_source source = shmbus_clock_source();
	uint64_t before, now, after;

	cr_assert_eq(source != SHMBUS_CLOCK_MONOTONIC, shmbus__clock_is_counter);
	before = monotonic_ns();
	now = shmbus__clock_call();
	after = monotonic_ns();
	cr_assert(before <= now && now <= after, "what is not the counter is CLOCK_MONOTONIC");
	if (source == SHMBUS_CLOCK_MONOTONIC) {
		now = shmbus_now();
		cr_assert(after <= now && now <= monotonic_ns());
	}
#if defined(__x86_64__)
	cr_assert(source == SHMBUS_CLOCK_TSC || source == SHMBUS_CLOCK_MONOTONIC);
	before = __rdtsc();
	now = shmbus_now();
	after = __rdtsc();
	cr_assert(source != SHMBUS_CLOCK_TSC ||
		  (before <= now + SLACK_TICKS && now <= after + SLACK_TICKS));
#endif
}

Test(clock, environment_asks_for_monotonic)
{
	setenv("SHMBUS_CLOCK", "monotonic", 1);
	cr_assert_eq(shmbus_clock_inject(NULL, 0), 0, "looks again");
	cr_assert_eq(shmbus_clock_source(), SHMBUS_CLOCK_MONOTONIC);
	cr_assert_not(shmbus__clock_is_counter);
	uint64_t before = monotonic_ns(), now = shmbus_now();

	cr_assert(before <= now && now <= monotonic_ns());
	setenv("SHMBUS_CLOCK", "something else", 1);
	cr_assert_eq(shmbus_clock_inject(NULL, 0), 0);
	cr_assert_eq(shmbus_clock_source() != SHMBUS_CLOCK_MONOTONIC, shmbus__clock_is_counter);
}

Test(clock, injected)
{
	enum shmbus_clock_source machine = shmbus_clock_source();
	bool counter = shmbus__clock_is_counter;

	ticks = 12345;
	cr_assert_eq(shmbus_clock_inject(ticks_read, 1000), 0);
	cr_assert_eq(shmbus_clock_source(), SHMBUS_CLOCK_INJECTED);
	cr_assert_eq(shmbus_now(), 12345);
	ticks = UINT64_MAX;
	cr_assert_eq(shmbus_now(), UINT64_MAX);
	cr_assert_eq(shmbus_clock_inject(other_read, 1), 0);
	cr_assert_eq(shmbus_now(), 99);
	cr_assert_eq(shmbus_clock_inject(NULL, 0), 0);
	cr_assert_eq(shmbus_clock_source(), machine);
	cr_assert_eq(shmbus__clock_is_counter, counter);
	cr_assert_neq(shmbus_now(), 99);
}

Test(clock, rates_that_are_refused)
{
	ticks = 5;
	cr_assert_eq(shmbus_clock_inject(ticks_read, 1000000000000), 0);
	cr_assert_eq(shmbus_clock_inject(other_read, 0), -EINVAL);
	cr_assert_not_null(strstr(shmbus_strerror(-EINVAL), "1 to 1000000000000"));
	cr_assert_eq(shmbus_clock_inject(other_read, 1000000000001), -EINVAL);
	cr_assert_eq(shmbus_clock_inject(other_read, UINT64_MAX), -EINVAL);
	cr_assert_eq(shmbus_now(), 5, "the clock of before stays");
}

Test(clock, sessions_and_samples_use_it)
{
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	struct shmbus_consumer *consumer;
	struct seen_record record;
	shmbus_metric metric;

	ticks = 64000;
	cr_assert_eq(shmbus_clock_inject(ticks_read, 48000), 0);
	session = session_opened(1);
	metric = metric_defined(session, "t", SHMBUS_TIMER);
	writer = writer_opened(session, 64);
	consumer = seen(session);
	cr_assert_eq(consumer->header.clock_source, SHMBUS_CLOCK_INJECTED);
	cr_assert_eq(consumer->header.tick_hz, 48000);
	cr_assert_eq(consumer->header.start_ticks, 64000);
	ticks = 128000;
	cr_assert(shmbus_record(writer, metric, 64000));
	cr_assert(seen_next(consumer->writers[0], &record));
	cr_assert_eq(record.value, 64000);
	cr_assert_eq(shmbus_tag_ticks(record.tag, ticks), 128000);
	shmbus_heartbeat(session);
	cr_assert_eq(atomic_load(&consumer->live->heartbeat_ticks), 128000);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

/* The header says how fast ticks are where only the producer can know it. */
Test(clock, machine_clocks_in_the_header)
{
	struct shmbus_session *session = session_opened(1);
	struct shmbus_consumer *consumer = seen(session);
	bool monotonic = shmbus_clock_source() == SHMBUS_CLOCK_MONOTONIC;

	cr_assert_eq(consumer->header.clock_source, (uint32_t)shmbus_clock_source());
	cr_assert_eq(consumer->header.tick_hz, monotonic ? 1000000000u : 0);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}
