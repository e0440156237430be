/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the parts of shmbus-bench share: figures, rounds, two pinned processes.
 *
 * A part measures its subject and its reference in the same run, in interleaved rounds, and
 * reports figures: the samples of all rounds, of which the median counts. Nothing is asserted
 * here about speed, but a part whose subject computes something wrong fails.
 */
#ifndef SHMBUS_BENCH_H
#define SHMBUS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_options {
	bool full;             /* more rounds, longer ones */
	const char *json_path; /* NULL: none */
	const char *html_path;
	/* Of the part `agent`; 0: its own loads. */
	uint32_t sessions;
	uint32_t metrics;
	uint32_t rate_hz;
	uint32_t seconds;
};

struct bench;

struct bench_part {
	const char *name;
	const char *what;
	/* Returns 0, or a negative errno after a message. */
	int (*run)(struct bench *bench);
	bool by_default; /* else only where it is asked for by name */
};

extern const struct bench_part bench_part_agent;
extern const struct bench_part bench_part_cold;
extern const struct bench_part bench_part_death;
extern const struct bench_part bench_part_fold;
extern const struct bench_part bench_part_gateway;
extern const struct bench_part bench_part_handover;
extern const struct bench_part bench_part_hot;
extern const struct bench_part bench_part_memory;
extern const struct bench_part bench_part_paced;
extern const struct bench_part bench_part_peers;
extern const struct bench_part bench_part_publish;
extern const struct bench_part bench_part_record;
extern const struct bench_part bench_part_restart;
extern const struct bench_part bench_part_rings;
extern const struct bench_part bench_part_saturated;
extern const struct bench_part bench_part_scale;

/* ---- report.c ---- */

int bench_create(const struct bench_options *options, struct bench **out);
void bench_destroy(struct bench *bench);
const struct bench_options *bench_options(const struct bench *bench);

/* How many rounds a part makes. */
size_t bench_rounds(const struct bench *bench, size_t usual, size_t full);

/* The machine, the processors used, and how it is measured. */
void bench_header_print(const struct bench *bench);

/* Starts a part's table. */
void bench_heading(struct bench *bench, const struct bench_part *part);

/* Shows, on a terminal, how far a part is; the next line of output replaces it. */
__attribute__((format(printf, 2, 3))) void bench_progress(struct bench *bench, const char *format,
							  ...);

/* A figure: its samples, one a round, are copied; the table shows median and quartiles, and the
 * goal of that id where goals.c has one. */
void bench_figure(struct bench *bench, const char *id, const char *what, const char *unit,
		  const double *samples, size_t count);

/* A figure that could not be had, and why. */
__attribute__((format(printf, 4, 5))) void bench_missing(struct bench *bench, const char *id,
							 const char *what, const char *format, ...);

/* Says what belongs to the figures; it stands in the report too. */
__attribute__((format(printf, 2, 3))) void bench_note(struct bench *bench, const char *format, ...);

/* Points of a curve, for the report: `plot` names the picture that it is drawn in. */
struct bench_point {
	double x;
	double y;
};

void bench_curve(struct bench *bench, const char *plot, const char *name, const char *x_unit,
		 const char *y_unit, const struct bench_point *points, size_t count);

/* Writes the files that were asked for. */
int bench_report_write(struct bench *bench);

/* ---- goals.c ---- */

/* Where a figure shall be. */
struct bench_goal {
	const char *id;
	const char *part; /* that measures it */
	const char *what;
	const char *unit;
	double gate;
	double stretch;
	bool at_least; /* larger is better */
};

extern const struct bench_goal bench_goals[];
extern const size_t bench_goal_count;

const struct bench_goal *bench_goal_find(const char *id); /* NULL: only shown */
bool bench_goal_met(const struct bench_goal *goal, double limit, double value);

/* ---- measure.c ---- */

/* The processors of the two sides, the first two that this process may use; the same one twice
 * where there is no other. */
struct bench_cpus {
	int producer;
	int consumer;
};

int bench_cpus_find(struct bench_cpus *out);
int bench_cpu_pin(int cpu);
int bench_cpu_unpin(void);

uint64_t bench_now_ns(void);
double bench_ns_per_tick(void);

/* The clock's smallest step, in ticks: shorter times are not told apart one by one. */
uint64_t bench_tick_step(void);

/* A clock read that waits until everything before it is done and seen by all, and that nothing
 * after it comes before. */
uint64_t bench_now_ordered(void);

/* The q-quantile (0 to 1) of values, by linear interpolation; sorts them. */
double bench_quantile(double *values, size_t count, double q);

/* Memory shared with children of this process, zeroed and faulted in; NULL without room. */
void *bench_shared_alloc(size_t size);
void bench_shared_free(void *memory, size_t size);

/* A name for a bus of this process' own, or of another's. */
void bench_bus_name(char *out, size_t size);
void bench_bus_name_of(pid_t process, char *out, size_t size);

/*
 * Runs two functions at once: consume() in a child on the consumer's processor, produce() here
 * on the producer's. Both start when both are ready. Returns 0, or a negative errno where the
 * child could not be made or ended badly.
 */
int bench_pair_run(const struct bench_cpus *cpus, void (*produce)(void *context),
		   void (*consume)(void *context), void *context);

/* ---- lines.c ---- */

/* Reports what the two processors are to each other, and what no ring between them can beat. */
int bench_lines_run(struct bench *bench, const struct bench_cpus *cpus);

/* ---- loops.c ---- */

/* A loop around what is measured. */
struct bench_loop {
	const char *id;
	const char *what;
	/* Makes `calls` calls. */
	void (*run)(void *context);
	/* Checks and cleans up after a run, outside the measured time; may be NULL. Returns 0 or
	 * a negative errno. */
	int (*after)(void *context);
	uint32_t calls;
};

#define BENCH_LOOPS_MAX 16u

/*
 * One round: each loop runs `batches` times, in turn with all the others so that all see the
 * same machine. ns[] gets the median batch of each, in nanoseconds a call.
 */
int bench_loops_run(const struct bench_loop *loops, size_t count, void *context, uint32_t batches,
		    double *ns);

/* ---- distribution.c ---- */

/* Times in ticks: exact below 2^14, within 0.8 % beyond. */
struct bench_distribution {
	uint64_t count;
	uint64_t max;
	uint64_t step; /* of the clock: times of one step are taken as spread evenly over it */
	uint64_t counts[16384 + 50 * 128];
};

void bench_distribution_clear(struct bench_distribution *distribution);
uint32_t bench_distribution_index(uint64_t ticks);
uint64_t bench_distribution_value(uint32_t index);

static inline void bench_distribution_add(struct bench_distribution *distribution, uint64_t ticks)
{
	uint32_t index = ticks < 16384 ? (uint32_t)ticks : bench_distribution_index(ticks);

	distribution->counts[index]++;
	distribution->count++;
	if (ticks > distribution->max)
		distribution->max = ticks;
}

void bench_distribution_merge(struct bench_distribution *into,
			      const struct bench_distribution *from);

/* The q-quantile (0 to 1) in ticks; 0 of none. */
double bench_distribution_quantile(const struct bench_distribution *distribution, double q);

/* Its quantiles as a curve: x is 1 / (1 - q), y in nanoseconds. */
void bench_distribution_curve(struct bench *bench, const char *plot, const char *name,
			      const struct bench_distribution *distribution);

#endif /* SHMBUS_BENCH_H */
