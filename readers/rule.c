/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rule.h"

static const struct stat_name stats[] = {
	/* name, map, key, dimension, grows, window, slices */
	{"value", NULL, "value", DIMENSION_UNIT, false, false, false},
	{"count", NULL, "count", DIMENSION_COUNT, true, true, true},
	{"sum", NULL, "sum", DIMENSION_UNIT, true, false, false},
	{"mean", NULL, "mean", DIMENSION_UNIT, false, true, true},
	{"std", NULL, "std", DIMENSION_UNIT, false, true, false},
	{"min", NULL, "min", DIMENSION_UNIT, false, true, false},
	{"max", NULL, "max", DIMENSION_UNIT, false, true, true},
	{"p50", "quantiles", "p50", DIMENSION_UNIT, false, true, true},
	{"p90", "quantiles", "p90", DIMENSION_UNIT, false, false, false},
	{"p95", "quantiles", "p95", DIMENSION_UNIT, false, true, true},
	{"p99", "quantiles", "p99", DIMENSION_UNIT, false, true, true},
	{"p99_9", "quantiles", "p99_9", DIMENSION_UNIT, false, false, false},
	{"p99.9", "quantiles", "p99_9", DIMENSION_UNIT, false, false, false},
	{"violations", "target", "violations", DIMENSION_COUNT, true, false, false},
	{"violation_ratio", "target", "violation_ratio", DIMENSION_RATIO, false, false, false},
	{"misses", "period", "misses", DIMENSION_COUNT, true, false, false},
	{"miss_ratio", "period", "miss_ratio", DIMENSION_RATIO, false, false, false},
	{"miss_run_max", "period", "miss_run_max", DIMENSION_COUNT, false, false, false},
	{"xruns", "period", "xruns", DIMENSION_COUNT, true, false, false},
	{"wait_ratio", "period", "wait_ratio", DIMENSION_RATIO, false, false, false},
	{"busy_ratio", "period", "busy_ratio", DIMENSION_RATIO, false, false, false},
	/* Only of a part of the samples. */
	{"last", NULL, NULL, DIMENSION_UNIT, false, true, false},
	{"rate", NULL, NULL, DIMENSION_COUNT, false, false, true},
};

static const struct quantity_name quantities[] = {
	{"drops", SCOPE_SESSIONS, DIMENSION_COUNT, true, NULL, "dropped_total"},
	{"overflow", SCOPE_SESSIONS, DIMENSION_COUNT, true, NULL, "overflow_total"},
	{"age", SCOPE_SESSIONS, DIMENSION_TIME, false, NULL, "age_ns"},
	{"memory", SCOPE_SESSIONS, DIMENSION_BYTES, false, NULL, NULL},
	{"rss", SCOPE_SESSIONS, DIMENSION_BYTES, false, "memory", "process_rss_bytes"},
	{"cpu", SCOPE_SESSIONS, DIMENSION_RATIO, false, NULL, "cpu_ratio"},
	{"targets", SCOPE_SESSIONS, DIMENSION_COUNT, false, NULL, NULL},
	{"sessions", SCOPE_SESSIONS, DIMENSION_COUNT, false, NULL, NULL},
	{"running", SCOPE_SESSIONS, DIMENSION_COUNT, false, NULL, NULL},
	{"stale", SCOPE_SESSIONS, DIMENSION_COUNT, false, NULL, NULL},
	{"ended", SCOPE_SESSIONS, DIMENSION_COUNT, false, NULL, NULL},
	{"lost", SCOPE_SESSIONS, DIMENSION_COUNT, false, NULL, NULL},
	{"drops", SCOPE_AGENT, DIMENSION_COUNT, true, NULL, "dropped_total"},
	{"cpu", SCOPE_AGENT, DIMENSION_RATIO, false, NULL, "cpu_ratio"},
	{"rss", SCOPE_AGENT, DIMENSION_BYTES, false, NULL, "rss_bytes"},
	{"lag", SCOPE_AGENT, DIMENSION_TIME, false, NULL, "drain_lag_ns"},
	{"age", SCOPE_AGENT, DIMENSION_TIME, false, NULL, NULL},
};

static const struct unit {
	const char *name;
	enum dimension dimension;
	double factor;
} units[] = {
	{"ns", DIMENSION_TIME, 1},        {"us", DIMENSION_TIME, 1e3},
	{"\u00b5s", DIMENSION_TIME, 1e3}, {"ms", DIMENSION_TIME, 1e6},
	{"s", DIMENSION_TIME, 1e9},       {"m", DIMENSION_TIME, 60e9},
	{"min", DIMENSION_TIME, 60e9},    {"h", DIMENSION_TIME, 3600e9},
	{"B", DIMENSION_BYTES, 1},        {"KB", DIMENSION_BYTES, 1e3},
	{"MB", DIMENSION_BYTES, 1e6},     {"GB", DIMENSION_BYTES, 1e9},
	{"KiB", DIMENSION_BYTES, 0x1p10}, {"MiB", DIMENSION_BYTES, 0x1p20},
	{"GiB", DIMENSION_BYTES, 0x1p30}, {"%", DIMENSION_RATIO, 0.01},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define UNITS_TEXT "ns us ms s m h, B KB MB GB KiB MiB GiB, %"

struct parser {
	const char *text, *at;
	struct rule_error *error;
};

__attribute__((format(printf, 3, 4))) static bool fail(struct parser *parser, const char *at,
						       const char *format, ...)
{
	va_list arguments;

	parser->error->column = (size_t)(at - parser->text) + 1;
	va_start(arguments, format);
	vsnprintf(parser->error->text, sizeof parser->error->text, format, arguments);
	va_end(arguments);
	return false;
}

static void skip_spaces(struct parser *parser)
{
	parser->at += strspn(parser->at, " \t");
}

/* Copies a part of the text. */
static bool copy(struct parser *parser, const char *from, const char *to, char *out, size_t size,
		 const char *what)
{
	size_t length = (size_t)(to - from);

	if (length == 0)
		return fail(parser, from, "%s is missing; * is any", what);
	if (length >= size)
		return fail(parser, from, "%s is longer than %zu bytes", what, size - 1);
	memcpy(out, from, length);
	out[length] = '\0';
	return true;
}

/* SERVICE/SESSION, "totals" or "agent", up to `end`, where a colon stands. */
static bool parse_scope(struct parser *parser, struct rule *rule, const char *end)
{
	const char *begin = parser->at;
	size_t length = (size_t)(end - begin);
	const char *slash = memchr(begin, '/', length);

	parser->at = end + 1;
	if (length == 6 && memcmp(begin, "totals", 6) == 0) {
		rule->scope = SCOPE_TOTALS;
		return true;
	}
	if (length == 5 && memcmp(begin, "agent", 5) == 0) {
		rule->scope = SCOPE_AGENT;
		return true;
	}
	if (slash == NULL)
		return fail(parser, begin, "SERVICE/SESSION, totals or agent is allowed here");
	return copy(parser, begin, slash, rule->service, sizeof rule->service, "SERVICE") &&
	       copy(parser, slash + 1, end, rule->session, sizeof rule->session, "SESSION");
}

static bool parse_quantity(struct parser *parser, struct rule *rule, const char *name,
			   size_t length)
{
	char allowed[160] = "";
	size_t used = 0;

	for (size_t i = 0; i < COUNT_OF(quantities); i++) {
		const struct quantity_name *quantity = &quantities[i];

		if (quantity->scope != rule->scope)
			continue;
		if (strlen(quantity->name) == length && memcmp(quantity->name, name, length) == 0) {
			rule->quantity = quantity;
			return true;
		}
		used += (size_t)snprintf(allowed + used, sizeof allowed - used, " @%s",
					 quantity->name);
	}
	return fail(parser, name - 1, "@%.*s is not known here: %s", (int)length, name,
		    used > 0 ? allowed + 1 : "a metric is allowed");
}

/* Whether a text ends with ".NAME"; where that begins. */
static const char *ends_with(const char *begin, const char *end, const char *name)
{
	size_t length = strlen(name);

	if ((size_t)(end - begin) <= length + 1 || end[-(ptrdiff_t)length - 1] != '.' ||
	    memcmp(end - length, name, length) != 0)
		return NULL;
	return end - length - 1;
}

static bool stat_allowed(const struct stat_name *stat, const char *slice)
{
	if (slice == NULL)
		return stat->key != NULL;
	return strcmp(slice, "window") == 0 ? stat->window : stat->slices;
}

static bool refuse_stat(struct parser *parser, const char *at, const char *slice)
{
	char allowed[160] = "";
	size_t used = 0;

	for (size_t i = 0; i < COUNT_OF(stats); i++)
		if (stat_allowed(&stats[i], slice) && strcmp(stats[i].name, "p99.9") != 0)
			used += (size_t)snprintf(allowed + used, sizeof allowed - used, " %s",
						 stats[i].name);
	return fail(parser, at, "%s is allowed after a %s:%s", "STAT", slice ? slice : "METRIC",
		    allowed);
}

/* METRIC[.SLICE].STAT, from the end: a metric's name may have dots. */
static bool parse_metric(struct parser *parser, struct rule *rule, const char *begin,
			 const char *end)
{
	static const char *const slices[] = {"window", "10s", "1m", "5m", "15m"};
	const char *dot = NULL, *last;

	for (size_t i = 0; i < COUNT_OF(stats) && dot == NULL; i++) {
		dot = ends_with(begin, end, stats[i].name);
		rule->stat = &stats[i];
	}
	last = dot != NULL ? dot + 1 : memrchr(begin, '.', (size_t)(end - begin));
	if (dot == NULL)
		return refuse_stat(parser, last != NULL ? last + 1 : end, NULL);
	for (size_t i = 0; i < COUNT_OF(slices); i++) {
		const char *found = ends_with(begin, dot, slices[i]);

		if (found != NULL) {
			rule->slice = slices[i];
			dot = found;
			break;
		}
	}
	if (!stat_allowed(rule->stat, rule->slice))
		return refuse_stat(parser, last, rule->slice);
	if (begin[0] == '@' && strncmp(begin, "@latency.", 9) != 0 &&
	    strncmp(begin, "@timing.", 8) != 0 && strncmp(begin, "@e2e.", 5) != 0)
		return fail(parser, begin, "@latency, @timing or @e2e is allowed before a STAT");
	return copy(parser, begin, dot, rule->metric, sizeof rule->metric, "METRIC");
}

static bool parse_subject(struct parser *parser, struct rule *rule)
{
	const char *begin = parser->at, *end = begin + strcspn(begin, " \t<>=!");
	const char *colon = memchr(begin, ':', (size_t)(end - begin));

	if (begin == end)
		return fail(parser, begin, "METRIC.STAT or @QUANTITY is missing");
	if (colon != NULL && !parse_scope(parser, rule, colon))
		return false;
	begin = parser->at;
	parser->at = end;
	if (begin == end)
		return fail(parser, begin, "METRIC.STAT or @QUANTITY is missing");
	if (begin[0] == '@' && memchr(begin, '.', (size_t)(end - begin)) == NULL)
		return parse_quantity(parser, rule, begin + 1, (size_t)(end - begin) - 1);
	if (rule->scope == SCOPE_AGENT)
		return fail(parser, begin, "the agent has no metrics: @cpu @rss @lag @age @drops");
	return parse_metric(parser, rule, begin, end);
}

static bool parse_op(struct parser *parser, struct rule *rule)
{
	static const struct {
		const char *text;
		enum rule_op op;
	} ops[] = {{">=", OP_GE}, {"<=", OP_LE}, {"==", OP_EQ},
		   {"!=", OP_NE}, {">", OP_GT},  {"<", OP_LT}};

	skip_spaces(parser);
	for (size_t i = 0; i < COUNT_OF(ops); i++)
		if (strncmp(parser->at, ops[i].text, strlen(ops[i].text)) == 0) {
			rule->op = ops[i].op;
			parser->at += strlen(ops[i].text);
			return true;
		}
	return fail(parser, parser->at, "> >= < <= == or != is allowed here");
}

/* A number, and the unit that follows at once. NULL in *unit: none. */
static bool parse_number(struct parser *parser, double *number, const struct unit **unit)
{
	const char *begin, *end;
	char *after;
	size_t length;

	skip_spaces(parser);
	begin = parser->at;
	*unit = NULL;
	*number = strtod(begin, &after);
	/* strtod() also takes words and hexadecimal digits. */
	length = strspn(begin, "+-0123456789.eE");
	if (after == begin || (size_t)(after - begin) > length || !isfinite(*number))
		return fail(parser, begin, "a number is allowed here");
	end = after + strcspn(after, " \t");
	parser->at = end;
	if (end == after)
		return true;
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (strlen(units[i].name) == (size_t)(end - after) &&
		    memcmp(units[i].name, after, (size_t)(end - after)) == 0)
			*unit = &units[i];
	if (*unit == NULL)
		return fail(parser, after, "\"%.*s\" is no unit: %s",
			    (int)(end - after < 20 ? end - after : 20), after, UNITS_TEXT);
	return true;
}

static const char *dimension_word(enum dimension dimension)
{
	return dimension == DIMENSION_TIME    ? "a time: ns us ms s m h"
	       : dimension == DIMENSION_BYTES ? "bytes: B KB MB GB KiB MiB GiB"
	       : dimension == DIMENSION_RATIO ? "a ratio: % or no unit"
					      : "a count, without a unit";
}

static bool parse_limit(struct parser *parser, struct rule *rule)
{
	enum dimension wanted =
		rule->quantity != NULL ? rule->quantity->dimension : rule->stat->dimension;
	const struct unit *unit;
	const char *begin;

	skip_spaces(parser);
	begin = parser->at;
	if (!parse_number(parser, &rule->limit, &unit))
		return false;
	rule->limit_dimension = unit != NULL ? unit->dimension : DIMENSION_COUNT;
	if (unit != NULL)
		rule->limit *= unit->factor;
	if (wanted == DIMENSION_UNIT || wanted == rule->limit_dimension)
		return true;
	if (wanted == DIMENSION_RATIO && unit == NULL) {
		rule->limit_dimension = DIMENSION_RATIO;
		return true;
	}
	/* 0 is 0 in every unit. */
	if (unit == NULL && rule->limit == 0) {
		rule->limit_dimension = wanted;
		return true;
	}
	return fail(parser, begin, "this is %s", dimension_word(wanted));
}

static bool parse_for(struct parser *parser, struct rule *rule)
{
	const struct unit *unit;
	const char *begin;
	double number;

	skip_spaces(parser);
	if (*parser->at == '\0')
		return true;
	if (strncmp(parser->at, "for", 3) != 0 || strcspn(parser->at, " \t") != 3)
		return fail(parser, parser->at, "\"for TIME\" or nothing is allowed here");
	parser->at += 3;
	skip_spaces(parser);
	begin = parser->at;
	if (!parse_number(parser, &number, &unit))
		return false;
	if (unit == NULL || unit->dimension != DIMENSION_TIME || number < 0 ||
	    number * unit->factor > (double)RULE_FOR_NS_MAX)
		return fail(parser, begin, "a time is allowed here: 10s, 1m, 24h at most");
	rule->for_ns = (uint64_t)(number * unit->factor);
	skip_spaces(parser);
	if (*parser->at != '\0')
		return fail(parser, parser->at, "nothing is allowed after that");
	return true;
}

static bool parse_all(struct parser *parser, struct rule *rule)
{
	enum level level = rule->level;
	size_t length;

	skip_spaces(parser);
	length = strlen(parser->at);
	while (length > 0 && strchr(" \t\r\n", parser->at[length - 1]) != NULL)
		length--;
	if (length >= sizeof rule->text)
		return fail(parser, parser->at, "longer than %d bytes", RULE_TEXT_SIZE - 1);
	*rule = (struct rule){.level = level, .service = "*", .session = "*"};
	memcpy(rule->text, parser->at, length);
	return parse_subject(parser, rule) && parse_op(parser, rule) && parse_limit(parser, rule) &&
	       parse_for(parser, rule);
}

bool rule_parse(const char *text, struct rule *rule, struct rule_error *error)
{
	struct parser parser = {text, text, error};

	return parse_all(&parser, rule);
}

bool rule_parse_line(const char *line, struct rule *rule, bool *empty, struct rule_error *error)
{
	struct parser parser = {line, line, error};
	size_t length;

	skip_spaces(&parser);
	*empty = *parser.at == '\0' || *parser.at == '#';
	if (*empty)
		return true;
	length = strcspn(parser.at, " \t");
	if (length == 7 && memcmp(parser.at, "warning", 7) == 0)
		rule->level = LEVEL_WARNING;
	else if (length == 8 && memcmp(parser.at, "critical", 8) == 0)
		rule->level = LEVEL_CRITICAL;
	else
		return fail(&parser, parser.at, "a line begins with \"warning\" or \"critical\"");
	parser.at += length;
	return parse_all(&parser, rule);
}

/* ---- words ---- */

static const char *const level_words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

bool level_parse(const char *text, enum level *level)
{
	for (int i = 0; i < 4; i++)
		if (strcasecmp(level_words[i], text) == 0) {
			*level = (enum level)i;
			return true;
		}
	return false;
}

const char *level_word(enum level level)
{
	return level_words[level];
}

const char *rule_op_text(enum rule_op op)
{
	static const char *const texts[] = {">", ">=", "<", "<=", "==", "!="};

	return texts[op];
}

bool rule_breached(const struct rule *rule, double value, double limit)
{
	switch (rule->op) {
	case OP_GT:
		return value > limit;
	case OP_GE:
		return value >= limit;
	case OP_LT:
		return value < limit;
	case OP_LE:
		return value <= limit;
	case OP_EQ:
		return value == limit;
	default:
		return value != limit;
	}
}
