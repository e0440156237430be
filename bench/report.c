/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>
#include <shmbus/clock.h>
#include <shmbus/producer.h>

struct bench {
	struct bench_options options;
	struct bench_cpus cpus;
	json_t *figures;
	json_t *notes;
};

int bench_create(const struct bench_options *options, struct bench **out)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int error;

	if (!bench)
		return -ENOMEM;
	bench->options = *options;
	bench->figures = json_array();
	bench->notes = json_array();
	error = bench_cpus_find(&bench->cpus);
	if (!error && (!bench->figures || !bench->notes))
		error = -ENOMEM;
	if (error) {
		bench_destroy(bench);
		return error;
	}
	*out = bench;
	return 0;
}

void bench_destroy(struct bench *bench)
{
	json_decref(bench->figures);
	json_decref(bench->notes);
	free(bench);
}

const struct bench_options *bench_options(const struct bench *bench)
{
	return &bench->options;
}

void bench_heading(struct bench *bench, const struct bench_part *part)
{
	(void)bench;
	printf("\n%s: %s\n", part->name, part->what);
	printf("  %-44s %9s  %9s  %9s  %-4s  %s\n", "", "lower q.", "median", "upper q.", "unit",
	       "goal");
}

static bool met(const struct bench_goal *goal, double limit, double value)
{
	return goal->at_least ? value >= limit : value <= limit;
}

static void goal_format(const struct bench_goal *goal, double median, char *out, size_t size)
{
	const char *sign = goal->at_least ? ">=" : "<=";
	const char *verdict = "missed";

	if (goal->gate == 0) {
		out[0] = '\0';
		return;
	}
	if (met(goal, goal->gate, median))
		verdict = met(goal, goal->stretch, median) ? "met, and its stretch" : "met";
	snprintf(out, size, "%s %g (%g): %s", sign, goal->gate, goal->stretch, verdict);
}

void bench_figure(struct bench *bench, const char *id, const char *what, const char *unit,
		  const struct bench_goal *goal, const double *samples, size_t count)
{
	double *sorted = malloc(count * sizeof(*sorted)), low, median, high;
	json_t *figure = json_pack("{s:s, s:s, s:s}", "id", id, "what", what, "unit", unit);
	json_t *array = json_array();
	char goal_text[64];

	if (!sorted || !figure || !array)
		abort();
	memcpy(sorted, samples, count * sizeof(*sorted));
	low = bench_quantile(sorted, count, 0.25);
	median = bench_quantile(sorted, count, 0.5);
	high = bench_quantile(sorted, count, 0.75);
	free(sorted);

	goal_format(goal, median, goal_text, sizeof(goal_text));
	printf("  %-44s %9.4g  %9.4g  %9.4g  %-4s  %s\n", what, low, median, high, unit, goal_text);
	fflush(stdout);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_real(samples[i]));
	json_object_set_new(figure, "value", json_real(median));
	json_object_set_new(figure, "samples", array);
	if (goal->gate != 0) {
		json_object_set_new(figure, "gate", json_real(goal->gate));
		json_object_set_new(figure, "stretch", json_real(goal->stretch));
		json_object_set_new(figure, "met", json_boolean(met(goal, goal->gate, median)));
	}
	json_array_append_new(bench->figures, figure);
}

void bench_note(struct bench *bench, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	printf("  %s\n", text);
	json_array_append_new(bench->notes, json_string(text));
}

/* The processor's name as /proc/cpuinfo has it, "" where it has none. */
static void processor_name(char *out, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256], *colon;

	out[0] = '\0';
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(out, size, "%s", colon + 2);
		out[strcspn(out, "\n")] = '\0';
		break;
	}
	fclose(file);
}

static json_t *machine_json(const struct bench *bench)
{
	static const char *const clocks[] = {"", "monotonic", "tsc", "cntvct", "injected"};
	struct utsname system;
	char processor[128];

	uname(&system);
	processor_name(processor, sizeof(processor));
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:s, s:f}", "processor", processor,
			 "architecture", system.machine, "kernel", system.release, "compiler",
			 __VERSION__, "processors", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
			 "producer_cpu", bench->cpus.producer, "consumer_cpu", bench->cpus.consumer,
			 "clock", clocks[shmbus_clock_source()], "ns_per_tick",
			 bench_ns_per_tick());
}

void bench_machine_print(const struct bench *bench)
{
	char processor[128];

	processor_name(processor, sizeof(processor));
	printf("shmbus %s on %s, %ld processors, producer on %d, consumer on %d\n",
	       shmbus_version(), processor, sysconf(_SC_NPROCESSORS_ONLN), bench->cpus.producer,
	       bench->cpus.consumer);
}

int bench_report_json(const struct bench *bench)
{
	const char *path = bench->options.json_path;
	json_t *report;
	int error = 0;

	if (!path)
		return 0;
	report = json_pack("{s:s, s:o, s:O, s:O}", "version", shmbus_version(), "machine",
			   machine_json(bench), "figures", bench->figures, "notes", bench->notes);
	if (!report || json_dump_file(report, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0) {
		fprintf(stderr, "shmbus-bench: cannot write %s\n", path);
		error = -EIO;
	}
	json_decref(report);
	return error;
}
