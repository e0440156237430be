/* SPDX-License-Identifier: MIT */
/*
 * handover.c - how long nobody drains while an agent hands the bus over to the next one. Rings so
 * small that they are half full after each drain period have their slots given back at the end of
 * each, so that the heads in shared memory show when samples were read and counted for good. The
 * longest time in which none of them moved is measured over the hand-over, and over as long a
 * time without one.
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include <shmbus/consumer.h>

#include "load.h"

#define ROUNDS_MAX 50
#define SESSIONS 100u
#define TIMERS 8u
#define FAST 8u       /* sessions whose heads are looked at */
#define CAPACITY 128u /* 16 ms of them */
#define STEP_NS 250000u
#define FAST_PER_STEP 2u /* 8 kHz */
#define SLOW_STEPS 40u   /* 100 Hz */
#define SPAN_NS UINT64_C(500000000)
#define PATIENCE_NS UINT64_C(20000000000)

struct watcher {
	struct load *load;
	struct shmbus_consumer *consumers[FAST];
	uint64_t step;
	uint64_t heads; /* their sum */
	uint64_t moved_ns;
	uint64_t gap_ns; /* the longest so far */
};

static void heads_look(struct watcher *watcher)
{
	uint64_t heads = 0, now_ns;

	for (uint32_t i = 0; i < FAST; i++)
		heads += atomic_load(watcher->consumers[i]->writers[0]->head);
	now_ns = bench_now_ns();
	if (now_ns - watcher->moved_ns > watcher->gap_ns)
		watcher->gap_ns = now_ns - watcher->moved_ns;
	if (heads != watcher->heads)
		watcher->moved_ns = now_ns;
	watcher->heads = heads;
}

/* A quarter of a millisecond's samples, at its time, and a look at the heads. */
static void step(struct watcher *watcher, uint64_t *next_ns)
{
	load_sleep_until(*next_ns);
	*next_ns += STEP_NS;
	for (uint32_t s = 0; s < FAST; s++)
		for (uint32_t i = 0; i < FAST_PER_STEP; i++)
			load_record(watcher->load, s, i % TIMERS);
	if (watcher->step++ % SLOW_STEPS == 0)
		load_record_all(watcher->load, SESSIONS);
	heads_look(watcher);
}

static void span_run(struct watcher *watcher, uint64_t span_ns)
{
	uint64_t next_ns = bench_now_ns(), end_ns = next_ns + span_ns;

	while (next_ns < end_ns)
		step(watcher, &next_ns);
}

/* The longest gap of a span without a hand-over. */
static double usual_measure(struct watcher *watcher)
{
	span_run(watcher, SPAN_NS);
	watcher->gap_ns = 0;
	span_run(watcher, SPAN_NS);
	return (double)watcher->gap_ns / 1e6;
}

/* The longest gap from the start of the next agent until some time after the end of this one. */
static int handover_measure(struct watcher *watcher, double *ms)
{
	uint64_t start_ns = bench_now_ns(), next_ns = start_ns;
	pid_t before;
	int error;

	watcher->gap_ns = 0;
	error = load_hand_over(watcher->load, &before);
	while (!error && waitpid(before, NULL, WNOHANG) == 0) {
		if (bench_now_ns() - start_ns > PATIENCE_NS)
			error = -ETIMEDOUT;
		step(watcher, &next_ns);
	}
	if (error) {
		kill(before, SIGKILL);
		waitpid(before, NULL, 0);
		return error;
	}
	span_run(watcher, SPAN_NS);
	*ms = (double)watcher->gap_ns / 1e6;
	return 0;
}

/* Nothing is lost, however long it was. */
static int account_check(struct bench *bench, struct load *load)
{
	struct load_numbers numbers;
	uint64_t recorded, dropped;
	int error;

	load_run(load, 0, false, 3);
	load_account(load, &recorded, &dropped);
	error = load_numbers_read(load, &numbers);
	if (error)
		return error;
	bench_note(bench, "%llu samples, %llu dropped as a ring of 16 ms was full",
		   (unsigned long long)recorded + (unsigned long long)dropped,
		   (unsigned long long)dropped);
	return numbers.samples_total == recorded ? 0 : -EBADMSG;
}

static int measure(struct bench *bench, struct watcher *watcher, size_t rounds)
{
	double usual[ROUNDS_MAX], gap[ROUNDS_MAX], gap_max;
	int error = 0;

	for (size_t round = 0; !error && round < rounds; round++) {
		bench_progress(bench, "hand-over %zu of %zu", round + 1, rounds);
		usual[round] = usual_measure(watcher);
		error = handover_measure(watcher, &gap[round]);
	}
	if (!error)
		error = account_check(bench, watcher->load);
	if (error)
		return error;
	gap_max = bench_quantile(gap, rounds, 1);
	bench_figure(bench, "handover.gap_ms", "longest time without draining, in a hand-over",
		     "ms", gap, rounds);
	bench_figure(bench, "handover.gap_max_ms", "  the same, at most", "ms", &gap_max, 1);
	bench_figure(bench, "handover.usual_ms", "  without one (a drain period: 10 ms)", "ms",
		     usual, rounds);
	return 0;
}

static int watcher_begin(struct watcher *watcher)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < FAST; i++) {
		struct shmbus_consumer *consumer = calloc(1, sizeof(*consumer));

		if (!consumer)
			return -ENOMEM;
		error = shmbus_consumer_attach(
			consumer, shmbus_session_segment(watcher->load->sessions[i].session));
		if (error)
			free(consumer);
		else
			watcher->consumers[i] = consumer;
	}
	watcher->moved_ns = bench_now_ns();
	return error;
}

static void watcher_end(struct watcher *watcher)
{
	for (uint32_t i = 0; i < FAST && watcher->consumers[i]; i++) {
		shmbus_consumer_detach(watcher->consumers[i]);
		free(watcher->consumers[i]);
	}
}

static int handover_run(struct bench *bench)
{
	struct load_options options = {
		.sessions = SESSIONS,
		.timers = TIMERS,
		.capacity = CAPACITY,
	};
	struct watcher watcher = {0};
	int error = load_start(&options, &watcher.load);

	if (error)
		return error;
	error = watcher_begin(&watcher);
	if (!error)
		error = measure(bench, &watcher, bench_rounds(bench, 10, ROUNDS_MAX));
	watcher_end(&watcher);
	load_stop(watcher.load);
	return error;
}

const struct bench_part bench_part_handover = {
	"handover", "how long nobody drains while agents change", handover_run, false};
