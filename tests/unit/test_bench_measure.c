/* SPDX-License-Identifier: MIT */
/*
 * test_bench_measure.c - what the benchmark can tell apart: a record that takes two nanoseconds
 * more, one that takes a microsecond more two times in a hundred, and two that take the same.
 *
 * What is compared is measured in one run, in turn, and the slowness is made of instructions
 * whose cost that run measures too; so nothing here depends on how fast the machine is. Rounds
 * vote. A vote may be lost to what else the machine does, so it is repeated; a benchmark that is
 * blind, or sees what is not there, loses all of them.
 */
#include <stdlib.h>

#include <criterion/criterion.h>

#include "bench.h"
#include "pace.h"
#include "subject.h"

#define ROUNDS 15
#define VOTES 12 /* of them, for an outcome to count */
#define ATTEMPTS 10
#define CALLS 4000u

/* ---- two nanoseconds ---- */

#define CHAIN 8 /* multiplications before each record, more than the record itself takes */
#define EXTRA 2 /* more of them: six cycles on today's processors, some two nanoseconds */
#define LONG 64

static struct subject *subject;

/* Each multiplication waits for the one before it, in whatever call that was. */
static inline __attribute__((always_inline)) uint64_t chain(uint64_t x, int steps)
{
	for (int i = 0; i < steps; i++) {
		x *= 0x9e3779b97f4a7c15u;
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

static inline __attribute__((always_inline)) void records(int steps)
{
	uint64_t x = 1;

	for (uint32_t i = 0; i < CALLS; i++) {
		x = chain(x, steps);
		shmbus_record_at(subject->writer, subject->timer, 0, x);
	}
}

static void usual_run(void *context)
{
	(void)context;
	records(CHAIN);
}

static void same_run(void *context)
{
	(void)context;
	records(CHAIN);
}

static void slow_run(void *context)
{
	(void)context;
	records(CHAIN + EXTRA);
}

static void chain_run(void *context)
{
	uint64_t x = 1;

	(void)context;
	for (uint32_t i = 0; i < CALLS / 8; i++)
		x = chain(x, LONG);
}

static int drain_after(void *context)
{
	(void)context;
	subject_drain(subject);
	return 0;
}

enum { USUAL, SAME, SLOW, STEPS, LOOPS };

static const struct bench_loop loops[LOOPS] = {
	[USUAL] = {"usual", "a record", usual_run, drain_after, CALLS},
	[SAME] = {"same", "the same", same_run, drain_after, CALLS},
	[SLOW] = {"slow", "a slower one", slow_run, drain_after, CALLS},
	[STEPS] = {"steps", "the steps", chain_run, NULL, CALLS / 8 * LONG},
};

static void setup(void)
{
	struct bench_cpus cpus;

	cr_assert_eq(bench_cpus_find(&cpus), 0);
	cr_assert_eq(subject_create(SUBJECT_CAPACITY, &subject), 0);
	bench_cpu_pin(cpus.producer);
}

static void teardown(void)
{
	subject_destroy(subject);
}

/* Rounds that saw the two nanoseconds for what they are, and those that saw nothing between two
 * that are the same. */
static void nanoseconds_vote(int *seen, int *unseen)
{
	*seen = *unseen = 0;
	for (int round = 0; round < ROUNDS; round++) {
		double ns[LOOPS], extra, slower, other;

		cr_assert_eq(bench_loops_run(loops, LOOPS, NULL, 101, ns), 0);
		extra = EXTRA * ns[STEPS];
		slower = ns[SLOW] - ns[USUAL];
		other = ns[SAME] - ns[USUAL];
		*seen += slower > 0.6 * extra && slower < 1.6 * extra;
		*unseen += other > -0.4 * extra && other < 0.4 * extra;
	}
}

Test(bench_measure, two_nanoseconds_are_seen, .init = setup, .fini = teardown, .timeout = 200)
{
	int seen = 0, unseen = 0;

	for (int i = 0; i < ATTEMPTS && (seen < VOTES || unseen < VOTES); i++)
		nanoseconds_vote(&seen, &unseen);
	cr_expect_geq(seen, VOTES, "%d of %d rounds saw a slower record", seen, ROUNDS);
	cr_expect_geq(unseen, VOTES, "%d of %d rounds saw no difference where there is none",
		      unseen, ROUNDS);
}

/* ---- a microsecond, two times in a hundred ---- */

#define RATE 200000u
#define PACED 10000u

static void usual_call(void *context, uint64_t due, uint64_t now)
{
	(void)context;
	shmbus_record_at(subject->writer, subject->timer, due, now);
}

static void slow_call(void *context, uint64_t due, uint64_t now)
{
	uint32_t *count = context;

	usual_call(NULL, due, now);
	if (++*count % 50 == 0)
		while ((double)(shmbus_now() - now) * bench_ns_per_tick() < 1000)
			;
}

static void microsecond_vote(struct bench_distribution *usual, struct bench_distribution *slow,
			     int *seen, int *unseen)
{
	*seen = *unseen = 0;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t count = 0;
		double p99, p50;

		bench_distribution_clear(usual);
		bench_distribution_clear(slow);
		for (int k = 0; k < 2; k++) {
			bench_pace(RATE, PACED / 2, usual_call, NULL, usual);
			subject_drain(subject);
			bench_pace(RATE, PACED / 2, slow_call, &count, slow);
			subject_drain(subject);
		}
		p99 = bench_distribution_quantile(slow, 0.99);
		p99 = (p99 - bench_distribution_quantile(usual, 0.99)) * bench_ns_per_tick();
		p50 = bench_distribution_quantile(slow, 0.5);
		p50 = (p50 - bench_distribution_quantile(usual, 0.5)) * bench_ns_per_tick();
		*seen += p99 > 700 && p99 < 2000;
		*unseen += p50 < 100;
	}
}

Test(bench_measure, a_microsecond_at_p99_is_seen, .init = setup, .fini = teardown, .timeout = 200)
{
	struct bench_distribution *usual = malloc(sizeof(*usual)), *slow = malloc(sizeof(*slow));
	int seen = 0, unseen = 0;

	cr_assert(usual && slow);
	for (int i = 0; i < ATTEMPTS && (seen < VOTES || unseen < VOTES); i++)
		microsecond_vote(usual, slow, &seen, &unseen);
	cr_expect_geq(seen, VOTES, "%d of %d rounds saw it at p99", seen, ROUNDS);
	cr_expect_geq(unseen, VOTES, "%d of %d rounds saw the median as it is", unseen, ROUNDS);
	free(usual);
	free(slow);
}
