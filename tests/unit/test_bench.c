/* SPDX-License-Identifier: MIT */
/* test_bench.c - the benchmark's statistics, and what it leaves behind. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <shmbus/layout.h>

#include "bench.h"
#include "keeper.h"

Test(bench, quantiles_are_interpolated)
{
	double values[] = {4, 1, 3, 2};

	cr_assert_float_eq(bench_quantile(values, 4, 0), 1, 0);
	cr_assert_float_eq(bench_quantile(values, 4, 0.5), 2.5, 1e-12);
	cr_assert_float_eq(bench_quantile(values, 4, 0.25), 1.75, 1e-12);
	cr_assert_float_eq(bench_quantile(values, 4, 1), 4, 0);
	cr_assert_float_eq(bench_quantile(values, 1, 0.99), 1, 0);
}

Test(bench, every_time_has_its_bucket)
{
	uint64_t ticks = 0;

	for (int i = 0; i < 3000; i++) {
		uint32_t index = bench_distribution_index(ticks);
		uint64_t value = bench_distribution_value(index);

		cr_assert_geq(value, ticks);
		cr_assert_leq((double)(value - ticks), (double)ticks / 128);
		cr_assert_eq(bench_distribution_index(value), index);
		if (value < UINT64_MAX)
			cr_assert_eq(bench_distribution_index(value + 1), index + 1);
		if (ticks > UINT64_MAX - ticks / 70 - 1)
			break;
		ticks += ticks / 70 + 1;
	}
	cr_assert_lt(bench_distribution_index(UINT64_MAX),
		     sizeof(((struct bench_distribution *)NULL)->counts) / sizeof(uint64_t));
}

static struct bench_distribution *distribution_new(void)
{
	struct bench_distribution *distribution = malloc(sizeof(*distribution));

	cr_assert_not_null(distribution);
	bench_distribution_clear(distribution);
	distribution->step = 1;
	return distribution;
}

/* Two halves, merged, against the sorted values. */
Test(bench, distributions_have_the_quantiles_of_their_values)
{
	enum { COUNT = 100000 };
	struct bench_distribution *odd = distribution_new(), *all = distribution_new();
	double *values = malloc(COUNT * sizeof(*values));
	uint64_t random = 88172645463325252u, max = 0;

	for (int i = 0; i < COUNT; i++) {
		uint64_t ticks;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		ticks = (random >> 40) >> (random % 20);
		bench_distribution_add(i % 2 ? odd : all, ticks);
		values[i] = (double)ticks;
		max = ticks > max ? ticks : max;
	}
	bench_distribution_merge(all, odd);
	cr_assert_eq(all->count, COUNT);
	cr_assert_eq(all->max, max);
	for (int percent = 1; percent < 100; percent++) {
		double q = percent / 100.0;
		double exact = bench_quantile(values, COUNT, q);
		double found = bench_distribution_quantile(all, q);

		cr_assert_leq(fabs(found - exact), 1.5 + exact / 64, "%g: %g, not %g", q, found,
			      exact);
	}
	cr_assert_float_eq(bench_distribution_quantile(all, 1), (double)max, 0);
	free(values);
	free(odd);
	free(all);
}

/* 90 of one step, 10 of the next: a quantile stands where it is in its step. */
Test(bench, times_are_spread_over_the_clocks_step)
{
	struct bench_distribution *distribution = distribution_new();

	distribution->step = 26;
	for (int i = 0; i < 100; i++)
		bench_distribution_add(distribution, i < 90 ? 52 : 78);
	cr_assert_float_eq(bench_distribution_quantile(distribution, 0.45), 39, 1e-9);
	cr_assert_float_eq(bench_distribution_quantile(distribution, 0.95), 65, 1e-9);
	cr_assert_float_eq(bench_distribution_quantile(distribution, 1), 78, 1e-9);
	free(distribution);
}

Test(bench, none_has_no_quantile)
{
	struct bench_distribution *distribution = distribution_new();

	cr_assert_float_eq(bench_distribution_quantile(distribution, 0.99), 0, 0);
	free(distribution);
}

Test(bench, goals_are_named_once)
{
	for (size_t i = 0; i < bench_goal_count; i++) {
		const struct bench_goal *goal = bench_goal_find(bench_goals[i].id);

		cr_assert_eq(goal, &bench_goals[i]);
		cr_assert(bench_goal_met(goal, goal->gate, goal->stretch));
		cr_assert(goal->gate == goal->stretch ||
			  !bench_goal_met(goal, goal->stretch, goal->gate));
	}
	cr_assert_null(bench_goal_find("none"));
}

static int calls[2];

static void first_run(void *context)
{
	(void)context;
	calls[0]++;
}

static void second_run(void *context)
{
	(void)context;
	calls[1]++;
}

static int second_after(void *context)
{
	return calls[1] == *(int *)context ? -EBADMSG : 0;
}

Test(bench, a_loop_that_goes_wrong_ends_the_round)
{
	const struct bench_loop loops[] = {{"a", "first", first_run, NULL, 1},
					   {"b", "second", second_run, second_after, 1}};
	double ns[2];
	int wrong = 100;

	cr_assert_eq(bench_loops_run(loops, 2, &wrong, 10, ns), 0);
	cr_assert_eq(calls[0], 10);
	cr_assert_eq(calls[1], 10);
	wrong = 13;
	cr_assert_eq(bench_loops_run(loops, 2, &wrong, 10, ns), -EBADMSG);
	cr_assert_eq(calls[1], 13);
}

static int status_give(void *data)
{
	return *(int *)data;
}

Test(bench, the_keeper_returns_the_status)
{
	int status = 3;

	cr_assert_eq(keeper_run(status_give, &status), 3);
}

/* What another process needs to know of one that is killed. */
struct killed {
	char bus[SHMBUS_BUS_SIZE];
	pid_t helper;
};

static void segment_name(char *out, size_t size, const char *bus, const char *rest)
{
	snprintf(out, size, "/" SHMBUS_PREFIX "%s%s", bus, rest);
}

static void segment_make(const char *bus, const char *rest)
{
	char name[80];

	segment_name(name, sizeof name, bus, rest);
	close(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
}

static bool segment_there(const char *bus, const char *rest)
{
	char name[80];
	int fd;

	segment_name(name, sizeof name, bus, rest);
	fd = shm_open(name, O_RDONLY, 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Has a segment; its helper makes another one when it ends. Then it asks to be ended. */
static int segments_have(void *data)
{
	struct killed *killed = data;
	int pipes[2];
	sigset_t term;
	pid_t helper;

	bench_bus_name(killed->bus, sizeof killed->bus);
	segment_make(killed->bus, ".s.0000000000000001");
	segment_make(killed->bus, "0.s.0000000000000001"); /* of another bus */
	if (pipe(pipes) != 0)
		return 1;
	helper = fork();
	if (helper == 0) {
		sigemptyset(&term);
		sigaddset(&term, SIGTERM);
		sigprocmask(SIG_BLOCK, &term, NULL);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)!write(pipes[1], "", 1);
		sigwaitinfo(&term, NULL);
		usleep(50000);
		segment_make(killed->bus, ".checkpoint");
		_exit(0);
	}
	killed->helper = helper;
	(void)!read(pipes[0], pipes, 1);
	kill(getppid(), SIGINT);
	pause();
	return 1;
}

Test(bench, what_is_interrupted_leaves_nothing, .timeout = 30)
{
	struct killed *killed = bench_shared_alloc(sizeof *killed);
	char other[80];

	cr_assert_not_null(killed);
	cr_assert_eq(keeper_run(segments_have, killed), 128 + SIGTERM);
	cr_assert_not(segment_there(killed->bus, ".s.0000000000000001"));
	cr_assert_not(segment_there(killed->bus, ".checkpoint"));
	cr_assert_eq(kill(killed->helper, 0), -1, "it has ended");
	cr_assert(segment_there(killed->bus, "0.s.0000000000000001"));
	segment_name(other, sizeof other, killed->bus, "0.s.0000000000000001");
	shm_unlink(other);
	bench_shared_free(killed, sizeof *killed);
}
