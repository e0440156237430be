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

struct bench_options {
	bool full;             /* more rounds, longer ones */
	const char *json_path; /* NULL: none */
	/* Of the part `agent`. */
	uint32_t sessions;
	uint32_t metrics;
	uint32_t rate_hz;
	uint32_t seconds;
};

/* Where a figure shall be; 0 where it is only shown. */
struct bench_goal {
	double gate;
	double stretch;
	bool at_least; /* larger is better */
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
extern const struct bench_part bench_part_record;
extern const struct bench_part bench_part_rings;

/* ---- report.c ---- */

int bench_create(const struct bench_options *options, struct bench **out);
void bench_destroy(struct bench *bench);
const struct bench_options *bench_options(const struct bench *bench);

/* One line on the machine and the processors used. */
void bench_machine_print(const struct bench *bench);

/* Starts a part's table. */
void bench_heading(struct bench *bench, const struct bench_part *part);

/* A figure: its samples, one a round, are copied; the table shows median and quartiles. */
void bench_figure(struct bench *bench, const char *id, const char *what, const char *unit,
		  const struct bench_goal *goal, const double *samples, size_t count);

/* Says why something was not measured; it stands in the report too. */
__attribute__((format(printf, 2, 3))) void bench_note(struct bench *bench, const char *format, ...);

/* Writes the JSON file, where one was asked for. */
int bench_report_json(const struct bench *bench);

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

/* The q-quantile (0 to 1) of values, by linear interpolation; sorts them. */
double bench_quantile(double *values, size_t count, double q);

/* Memory shared with children of this process, zeroed and faulted in; NULL without room. */
void *bench_shared_alloc(size_t size);
void bench_shared_free(void *memory, size_t size);

/*
 * Runs two functions at once: consume() in a child on the consumer's processor, produce() here
 * on the producer's. Both start when both are ready. Returns 0, or a negative errno where the
 * child could not be made or ended badly.
 */
int bench_pair_run(const struct bench_cpus *cpus, void (*produce)(void *context),
		   void (*consume)(void *context), void *context);

#endif /* SHMBUS_BENCH_H */
