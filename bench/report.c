/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <shmbus/producer.h>

#include "html.h"
#include "machine.h"

struct bench {
	struct bench_options options;
	struct machine machine;
	const struct bench_part *part;
	json_t *figures;
	json_t *curves;
	json_t *notes;
	bool progress; /* is shown */
};

int bench_create(const struct bench_options *options, struct bench **out)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int error;

	if (!bench)
		return -ENOMEM;
	bench->options = *options;
	bench->figures = json_array();
	bench->curves = json_array();
	bench->notes = json_array();
	error = machine_read(&bench->machine);
	if (!error && (!bench->figures || !bench->curves || !bench->notes))
		error = -ENOMEM;
	if (error) {
		bench_destroy(bench);
		return error;
	}
	bench->progress = isatty(STDERR_FILENO) == 1;
	*out = bench;
	return 0;
}

void bench_destroy(struct bench *bench)
{
	json_decref(bench->figures);
	json_decref(bench->curves);
	json_decref(bench->notes);
	free(bench);
}

const struct bench_options *bench_options(const struct bench *bench)
{
	return &bench->options;
}

size_t bench_rounds(const struct bench *bench, size_t usual, size_t full)
{
	return bench->options.full ? full : usual;
}

void bench_header_print(const struct bench *bench)
{
	machine_print(&bench->machine);
	fflush(stdout);
}

static void progress_clear(const struct bench *bench)
{
	if (bench->progress)
		fputs("\r\033[K", stderr);
}

void bench_progress(struct bench *bench, const char *format, ...)
{
	va_list arguments;

	if (!bench->progress)
		return;
	progress_clear(bench);
	fprintf(stderr, "  %s: ", bench->part->name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fflush(stderr);
}

void bench_heading(struct bench *bench, const struct bench_part *part)
{
	bench->part = part;
	progress_clear(bench);
	printf("\n%s: %s\n", part->name, part->what);
	printf("  %-48s %9s  %9s  %9s  %-4s  %s\n", "", "lower q.", "median", "upper q.", "unit",
	       "goal");
	fflush(stdout);
}

/* ---- figures ---- */

static void goal_format(const struct bench_goal *goal, double median, char *out, size_t size)
{
	const char *verdict = "missed";

	out[0] = '\0';
	if (!goal)
		return;
	if (bench_goal_met(goal, goal->gate, median))
		verdict = bench_goal_met(goal, goal->stretch, median) ? "met, and its stretch"
								      : "met";
	snprintf(out, size, "%s %g (%g): %s", goal->at_least ? ">=" : "<=", goal->gate,
		 goal->stretch, verdict);
}

static json_t *figure_json(const char *id, const char *what, const char *unit, json_t *value)
{
	const struct bench_goal *goal = bench_goal_find(id);
	json_t *figure = json_pack("{s:s, s:s, s:s, s:o}", "id", id, "what", what, "unit", unit,
				   "value", value);

	if (!figure)
		abort();
	if (!goal)
		return figure;
	json_object_set_new(figure, "gate", json_real(goal->gate));
	json_object_set_new(figure, "stretch", json_real(goal->stretch));
	json_object_set_new(figure, "at_least", json_boolean(goal->at_least));
	json_object_set_new(figure, "met",
			    json_is_real(value) ? json_boolean(bench_goal_met(
							  goal, goal->gate, json_real_value(value)))
						: json_null());
	return figure;
}

void bench_figure(struct bench *bench, const char *id, const char *what, const char *unit,
		  const double *samples, size_t count)
{
	double *sorted = malloc(count * sizeof(*sorted)), low, median, high;
	json_t *array = json_array(), *figure;
	char goal[64];

	if (!sorted || !array)
		abort();
	memcpy(sorted, samples, count * sizeof(*sorted));
	low = bench_quantile(sorted, count, 0.25);
	median = bench_quantile(sorted, count, 0.5);
	high = bench_quantile(sorted, count, 0.75);
	free(sorted);

	progress_clear(bench);
	goal_format(bench_goal_find(id), median, goal, sizeof(goal));
	printf("  %-48s %9.4g  %9.4g  %9.4g  %-4s  %s\n", what, low, median, high, unit, goal);
	fflush(stdout);

	figure = figure_json(id, what, unit, json_real(median));
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_real(samples[i]));
	json_object_set_new(figure, "lower", json_real(low));
	json_object_set_new(figure, "upper", json_real(high));
	json_object_set_new(figure, "samples", array);
	json_array_append_new(bench->figures, figure);
}

static void missing_add(struct bench *bench, const char *id, const char *what, const char *reason)
{
	const struct bench_goal *goal = bench_goal_find(id);
	json_t *figure = figure_json(id, what, goal ? goal->unit : "x", json_null());

	json_object_set_new(figure, "reason", json_string(reason));
	json_object_set_new(figure, "samples", json_array());
	json_array_append_new(bench->figures, figure);
}

void bench_missing(struct bench *bench, const char *id, const char *what, const char *format, ...)
{
	char reason[192];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	progress_clear(bench);
	printf("  %-48s not measured: %s\n", what, reason);
	fflush(stdout);
	missing_add(bench, id, what, reason);
}

void bench_note(struct bench *bench, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	progress_clear(bench);
	printf("  %s\n", text);
	fflush(stdout);
	json_array_append_new(bench->notes,
			      json_pack("{s:s, s:s}", "part", bench->part->name, "text", text));
}

void bench_curve(struct bench *bench, const char *plot, const char *name, const char *x_unit,
		 const char *y_unit, const struct bench_point *points, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_pack("[f, f]", points[i].x, points[i].y));
	json_array_append_new(bench->curves,
			      json_pack("{s:s, s:s, s:s, s:s, s:o}", "plot", plot, "name", name,
					"x_unit", x_unit, "y_unit", y_unit, "points", array));
}

/* ---- the whole ---- */

static bool figure_known(const struct bench *bench, const char *id)
{
	json_t *figure;
	size_t i;

	json_array_foreach(bench->figures, i, figure)
	{
		if (strcmp(json_string_value(json_object_get(figure, "id")), id) == 0)
			return true;
	}
	return false;
}

/* Each goal has its entry, measured or not. */
static void goals_complete(struct bench *bench)
{
	for (size_t i = 0; i < bench_goal_count; i++) {
		const struct bench_goal *goal = &bench_goals[i];
		char reason[64];

		if (figure_known(bench, goal->id))
			continue;
		snprintf(reason, sizeof(reason), "the part \"%s\" was not run, or failed",
			 goal->part);
		missing_add(bench, goal->id, goal->what, reason);
	}
}

static json_t *report_json(const struct bench *bench)
{
	char now[32];
	time_t seconds = time(NULL);
	struct tm utc;

	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
	return json_pack("{s:s, s:s, s:b, s:o, s:O, s:O, s:O}", "version", shmbus_version(), "time",
			 now, "full", bench->options.full, "machine", machine_json(&bench->machine),
			 "figures", bench->figures, "curves", bench->curves, "notes", bench->notes);
}

int bench_report_write(struct bench *bench)
{
	const char *json = bench->options.json_path, *html = bench->options.html_path;
	json_t *report;
	int error = 0;

	progress_clear(bench);
	if (!json && !html)
		return 0;
	goals_complete(bench);
	report = report_json(bench);
	if (!report)
		return -ENOMEM;
	if (json && json_dump_file(report, json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0) {
		fprintf(stderr, "shmbus-bench: cannot write %s\n", json);
		error = -EIO;
	}
	if (html && html_write(report, html) != 0) {
		fprintf(stderr, "shmbus-bench: cannot write %s: %s\n", html, strerror(errno));
		error = -EIO;
	}
	json_decref(report);
	return error;
}
