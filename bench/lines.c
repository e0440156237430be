/* SPDX-License-Identifier: MIT */
/*
 * lines.c - what no ring between two processors can beat, so that what they are to each other
 * shows: how long a cache line takes from one to the other, whether they share one core, and how
 * many samples a second pass where nothing is done but to write them and to read them.
 */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include <ck_pr.h>

#define LINE _Alignas(64)
#define TURNS 200000u
#define WORK 20000000u
#define HALF 2048u /* samples: two halves are as large as the rings that it stands beside */
#define SAMPLES (8u << 20)
#define ROUNDS_MAX 31

struct sample {
	uint64_t value;
	uint64_t tag;
};

struct lines {
	LINE _Atomic(uint64_t) word;
	LINE _Atomic(uint64_t) filled; /* halves that were written, */
	LINE _Atomic(uint64_t) taken;  /* and read */
	LINE _Atomic(uint64_t) sum;
	LINE _Atomic(bool) done;
	bool accompanied; /* both sides work */
	uint64_t elapsed_ns;
	LINE struct sample samples[2][HALF];
};

/* ---- one line, there and back ---- */

static void word_wait(const _Atomic(uint64_t) *word, uint64_t value)
{
	while (atomic_load_explicit(word, memory_order_acquire) != value)
		ck_pr_stall();
}

static void turn_ask(void *context)
{
	struct lines *lines = context;
	uint64_t start = bench_now_ns();

	for (uint64_t i = 1; i < 2 * TURNS; i += 2) {
		atomic_store_explicit(&lines->word, i, memory_order_release);
		word_wait(&lines->word, i + 1);
	}
	lines->elapsed_ns = bench_now_ns() - start;
}

static void turn_answer(void *context)
{
	struct lines *lines = context;

	for (uint64_t i = 1; i < 2 * TURNS; i += 2) {
		word_wait(&lines->word, i);
		atomic_store_explicit(&lines->word, i + 1, memory_order_release);
	}
}

/* ---- work that has nothing to do with the other side ---- */

/* Four sums at a time, as many as a core can take: two threads of one core get half each. */
static uint64_t work(uint64_t steps)
{
	uint64_t a = 1, b = 2, c = 3, d = 4;

	for (uint64_t i = 0; i < steps; i++) {
		a += b ^ i;
		b += c ^ i;
		c += d ^ i;
		d += a ^ i;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	}
	return a ^ b ^ c ^ d;
}

static void work_measured(void *context)
{
	struct lines *lines = context;
	uint64_t start = bench_now_ns();

	atomic_store(&lines->sum, work(WORK));
	lines->elapsed_ns = bench_now_ns() - start;
	atomic_store(&lines->done, true);
}

static void work_beside(void *context)
{
	struct lines *lines = context;
	uint64_t sum = 0;

	while (lines->accompanied && !atomic_load_explicit(&lines->done, memory_order_relaxed))
		sum += work(1000);
	atomic_store(&lines->word, sum);
}

/* ---- samples without a ring: two halves, one is written while the other one is read ---- */

static void halves_write(void *context)
{
	struct lines *lines = context;
	uint64_t start = bench_now_ns(), value = 0;

	for (uint64_t half = 0; half < SAMPLES / HALF; half++) {
		struct sample *samples = lines->samples[half % 2];

		while (half - atomic_load_explicit(&lines->taken, memory_order_acquire) >= 2)
			ck_pr_stall();
		for (uint32_t i = 0; i < HALF; i++) {
			value++;
			samples[i] = (struct sample){value, value};
		}
		atomic_store_explicit(&lines->filled, half + 1, memory_order_release);
	}
	word_wait(&lines->taken, SAMPLES / HALF);
	lines->elapsed_ns = bench_now_ns() - start;
}

static void halves_read(void *context)
{
	struct lines *lines = context;
	uint64_t sum = 0;

	for (uint64_t half = 0; half < SAMPLES / HALF; half++) {
		const struct sample *samples = lines->samples[half % 2];

		while (atomic_load_explicit(&lines->filled, memory_order_acquire) == half)
			ck_pr_stall();
		for (uint32_t i = 0; i < HALF; i++)
			sum += samples[i].value;
		atomic_store_explicit(&lines->taken, half + 1, memory_order_release);
	}
	atomic_store(&lines->sum, sum);
}

/* ---- rounds ---- */

static int run(const struct bench_cpus *cpus, struct lines *lines, void (*produce)(void *),
	       void (*consume)(void *), double *ns)
{
	int error;

	atomic_store(&lines->word, 0);
	atomic_store(&lines->filled, 0);
	atomic_store(&lines->taken, 0);
	atomic_store(&lines->done, false);
	error = bench_pair_run(cpus, produce, consume, lines);
	*ns = (double)lines->elapsed_ns;
	return error;
}

static int round_run(const struct bench_cpus *cpus, struct lines *lines, double *line_ns,
		     double *beside, double *bare)
{
	const uint64_t sum = (uint64_t)SAMPLES * (SAMPLES + 1) / 2;
	double alone_ns, beside_ns;
	int error = run(cpus, lines, turn_ask, turn_answer, line_ns);

	*line_ns /= 2.0 * TURNS;
	lines->accompanied = false;
	if (!error)
		error = run(cpus, lines, work_measured, work_beside, &alone_ns);
	lines->accompanied = true;
	if (!error)
		error = run(cpus, lines, work_measured, work_beside, &beside_ns);
	if (!error)
		error = run(cpus, lines, halves_write, halves_read, bare);
	if (error)
		return error;
	*beside = beside_ns / alone_ns;
	*bare = SAMPLES * 1e3 / *bare;
	return atomic_load(&lines->sum) == sum ? 0 : -EBADMSG;
}

int bench_lines_run(struct bench *bench, const struct bench_cpus *cpus)
{
	size_t count = bench_rounds(bench, 9, ROUNDS_MAX);
	double line_ns[ROUNDS_MAX], beside[ROUNDS_MAX], bare[ROUNDS_MAX];
	struct lines *lines = bench_shared_alloc(sizeof(*lines));
	int error = 0;

	if (!lines)
		return -ENOMEM;
	for (size_t round = 0; !error && round < count; round++) {
		bench_progress(bench, "the processors, round %zu of %zu", round + 1, count);
		error = round_run(cpus, lines, &line_ns[round], &beside[round], &bare[round]);
	}
	bench_shared_free(lines, sizeof(*lines));
	if (error)
		return error;
	bench_figure(bench, "saturated.line_ns", "a cache line from one to the other", "ns",
		     line_ns, count);
	bench_figure(bench, "saturated.beside_ratio", "work while the other one works / alone", "x",
		     beside, count);
	bench_figure(bench, "saturated.bare_msps", "no ring: 2 x 2048 samples, written and read",
		     "M/s", bare, count);
	return 0;
}
