/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "perfdata.h"
#include "report.h"

/* What monitoring systems take of a line. */
#define TEXT_SIZE 2048
#define LINE_SIZE 8192
#define PROBLEMS_MAX 8

/* CRITICAL before WARNING before UNKNOWN before OK, as the plugins have it. */
static enum level worse(enum level a, enum level b)
{
	static const int order[] = {0, 2, 3, 1};

	return order[b] > order[a] ? b : a;
}

/* Why a rule has no value, NULL where it has or may be without. */
static const char *no_value(const struct verdicts *verdicts, const struct ruleset *set, size_t rule)
{
	if (set->rules[rule].optional || verdicts->found[rule] > 0)
		return NULL;
	return verdicts->mismatch[rule] ? "a unit that does not fit in" : "no value for";
}

enum level report_level(const struct verdicts *verdicts, const struct ruleset *set,
			enum level missing)
{
	enum level level = verdicts->failed ? LEVEL_UNKNOWN : LEVEL_OK;

	for (size_t i = 0; i < verdicts->count; i++)
		if (verdicts->list[i].fires)
			level = worse(level, verdicts->list[i].rule->level);
	for (size_t i = 0; i < set->count; i++)
		if (no_value(verdicts, set, i) != NULL)
			level = worse(level, verdicts->mismatch[i] ? LEVEL_UNKNOWN : missing);
	return level;
}

/* ---- text ---- */

static const char *format_dimension(char out[FORMAT_SIZE], double value, enum dimension dimension)
{
	switch (dimension) {
	case DIMENSION_TIME:
		return format_duration(out, value);
	case DIMENSION_BYTES:
		return format_bytes(out, value);
	case DIMENSION_RATIO:
		return format_percent(out, value);
	default:
		return format_count(out, value);
	}
}

static const char *describe(char *out, size_t size, const struct verdict *verdict)
{
	const struct measured *measured = &verdict->measured;
	char value[FORMAT_SIZE], limit[FORMAT_SIZE], time[FORMAT_SIZE];

	format_dimension(value, measured->value, measured->dimension);
	format_dimension(limit, measured->limit, measured->dimension);
	snprintf(out, size, "%s %s %s %s", measured->label, value, rule_op_text(verdict->rule->op),
		 limit);
	if (verdict->rule->for_ns > 0) {
		size_t used = strlen(out);

		snprintf(out + used, size - used, " for %s",
			 format_duration(time, (double)verdict->rule->for_ns));
	}
	return out;
}

struct text {
	char text[TEXT_SIZE];
	size_t used, problems;
};

__attribute__((format(printf, 2, 3))) static void add_problem(struct text *text, const char *format,
							      ...)
{
	char problem[RULE_TEXT_SIZE + MEASURE_LABEL_SIZE + 64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem, sizeof problem, format, arguments);
	va_end(arguments);
	if (text->problems++ < PROBLEMS_MAX && text->used + strlen(problem) + 48 < TEXT_SIZE)
		text->used += (size_t)snprintf(text->text + text->used, TEXT_SIZE - text->used,
					       "%s%s", text->used > 0 ? ", " : "", problem);
	else if (text->problems <= PROBLEMS_MAX)
		text->problems = PROBLEMS_MAX + 1;
}

static void add_problems(struct text *text, const struct verdicts *verdicts, enum level level)
{
	char problem[MEASURE_LABEL_SIZE + 96];

	for (size_t i = 0; i < verdicts->count; i++)
		if (verdicts->list[i].fires && verdicts->list[i].rule->level == level)
			add_problem(text, "%s",
				    describe(problem, sizeof problem, &verdicts->list[i]));
}

static void add_missing(struct text *text, const struct verdicts *verdicts,
			const struct ruleset *set, enum level missing)
{
	for (size_t i = 0; i < set->count; i++) {
		const char *why = no_value(verdicts, set, i);

		if (why != NULL && (missing != LEVEL_OK || verdicts->mismatch[i]))
			add_problem(text, "%s \"%s\"", why, set->rules[i].text);
	}
	if (verdicts->failed)
		add_problem(text, "not enough memory");
}

/* ---- the line ---- */

/* One item for a label, with the ranges of the first rule of each level. */
static void print_item(struct verdicts *verdicts, size_t first, char out[PERF_ITEM_SIZE])
{
	const struct measured *measured = &verdicts->list[first].measured;
	char ranges[LEVEL_UNKNOWN + 1][PERF_RANGE_SIZE] = {""};

	for (size_t i = first; i < verdicts->count; i++) {
		struct verdict *verdict = &verdicts->list[i];
		char *range = ranges[verdict->rule->level];

		if (strcmp(verdict->measured.label, measured->label) != 0)
			continue;
		verdict->printed = true;
		if (range[0] == '\0')
			perf_range(range, verdict->rule->op, verdict->measured.limit,
				   verdict->measured.dimension, verdict->measured.negative);
	}
	perf_item(out, measured, ranges[LEVEL_WARNING], ranges[LEVEL_CRITICAL]);
}

static void print_perfdata(struct verdicts *verdicts, size_t room)
{
	char item[PERF_ITEM_SIZE];
	bool any = false;

	for (size_t i = 0; i < verdicts->count; i++)
		verdicts->list[i].printed = false;
	for (size_t i = 0; i < verdicts->count; i++) {
		size_t length;

		if (verdicts->list[i].printed)
			continue;
		print_item(verdicts, i, item);
		length = strlen(item) + 1;
		if (length > room)
			return;
		room -= length;
		printf("%s %s", any ? "" : " |", item);
		any = true;
	}
}

void report_print(struct verdicts *verdicts, const struct ruleset *set, enum level missing,
		  bool verbose)
{
	enum level level = report_level(verdicts, set, missing);
	struct text text = {.text = ""};
	char line[MEASURE_LABEL_SIZE + 96];

	add_problems(&text, verdicts, LEVEL_CRITICAL);
	add_problems(&text, verdicts, LEVEL_WARNING);
	add_missing(&text, verdicts, set, missing);
	if (text.problems > PROBLEMS_MAX)
		snprintf(text.text + text.used, TEXT_SIZE - text.used, ", and more");
	else if (text.problems == 0)
		snprintf(text.text, TEXT_SIZE, "%zu value%s, %zu rule%s", verdicts->count,
			 verdicts->count == 1 ? "" : "s", set->count, set->count == 1 ? "" : "s");
	perf_text(text.text);
	printf("%s - %s", level_word(level), text.text);
	print_perfdata(verdicts, LINE_SIZE - strlen(text.text) - 16);
	putchar('\n');
	for (size_t i = 0; i < verdicts->count && verbose; i++) {
		const struct verdict *verdict = &verdicts->list[i];

		describe(line, sizeof line, verdict);
		perf_text(line);
		printf("%-8s %s%s\n", level_word(verdict->fires ? verdict->rule->level : LEVEL_OK),
		       line, verdict->since_ns != 0 && !verdict->fires ? " (not so long yet)" : "");
	}
}
