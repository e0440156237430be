/* SPDX-License-Identifier: MIT */
/* The rules of shmbus check: what they mean, and where they are wrong. */
#include <string.h>

#include <criterion/criterion.h>

#include "perfdata.h"
#include "rule.h"

static struct rule parsed(const char *text)
{
	struct rule rule = {.level = LEVEL_WARNING};
	struct rule_error error;

	cr_assert(rule_parse(text, &rule, &error), "\"%s\": %zu: %s", text, error.column,
		  error.text);
	cr_assert_eq(rule.level, LEVEL_WARNING);
	return rule;
}

static void refused(const char *text, size_t column, const char *words)
{
	struct rule rule = {0};
	struct rule_error error;

	cr_assert_not(rule_parse(text, &rule, &error), "\"%s\"", text);
	cr_assert_eq(error.column, column, "\"%s\": %zu, not %zu: %s", text, error.column, column,
		     error.text);
	cr_assert_not_null(strstr(error.text, words), "\"%s\": %s", text, error.text);
}

Test(rule, whole)
{
	struct rule rule = parsed("  audio/*:cycle.p99 > 2ms for 10s ");

	cr_assert_eq(rule.scope, SCOPE_SESSIONS);
	cr_assert_str_eq(rule.service, "audio");
	cr_assert_str_eq(rule.session, "*");
	cr_assert_str_eq(rule.metric, "cycle");
	cr_assert_str_eq(rule.stat->key, "p99");
	cr_assert_str_eq(rule.stat->map, "quantiles");
	cr_assert_null(rule.slice);
	cr_assert_eq(rule.op, OP_GT);
	cr_assert_eq(rule.limit, 2e6);
	cr_assert_eq(rule.limit_dimension, DIMENSION_TIME);
	cr_assert_eq(rule.for_ns, 10000000000u);
	cr_assert_str_eq(rule.text, "audio/*:cycle.p99 > 2ms for 10s");
}

Test(rule, names_with_dots)
{
	struct rule rule = parsed("stage.time.p99.9<1");

	cr_assert_str_eq(rule.metric, "stage.time");
	cr_assert_str_eq(rule.stat->key, "p99_9");
	cr_assert_str_eq(rule.service, "*");
	rule = parsed("a.mean.mean < 1");
	cr_assert_str_eq(rule.metric, "a.mean");
	rule = parsed("a.b.10s.rate >= 5");
	cr_assert_str_eq(rule.metric, "a.b");
	cr_assert_str_eq(rule.slice, "10s");
	cr_assert_str_eq(rule.stat->name, "rate");
	rule = parsed("10s.mean >= 5");
	cr_assert_str_eq(rule.metric, "10s");
	cr_assert_null(rule.slice);
	rule = parsed("s/i:x:y.window.last == 5");
	cr_assert_str_eq(rule.metric, "x:y");
	cr_assert_str_eq(rule.session, "i");
	cr_assert_str_eq(rule.slice, "window");
}

Test(rule, scopes)
{
	cr_assert_eq(parsed("totals:x.count > 1").scope, SCOPE_TOTALS);
	cr_assert_eq(parsed("agent:@lag > 1s").scope, SCOPE_AGENT);
	cr_assert_str_eq(parsed("a/b/c:@drops > 0").session, "b/c");
	cr_assert_str_eq(parsed("@drops > 0").quantity->key, "dropped_total");
	cr_assert_str_eq(parsed("@latency.1m.mean > 1ms").metric, "@latency");
}

Test(rule, operators)
{
	static const struct {
		const char *text;
		bool below, same, above; /* 4, 5, 6 */
	} rows[] = {{"x.mean > 5", false, false, true},  {"x.mean >= 5", false, true, true},
		    {"x.mean < 5", true, false, false},  {"x.mean <= 5", true, true, false},
		    {"x.mean == 5", false, true, false}, {"x.mean != 5", true, false, true},
		    {"x.mean>=5", false, true, true}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct rule rule = parsed(rows[i].text);

		cr_assert_eq(rule_breached(&rule, 4, rule.limit), rows[i].below, "%s",
			     rows[i].text);
		cr_assert_eq(rule_breached(&rule, 5, rule.limit), rows[i].same, "%s", rows[i].text);
		cr_assert_eq(rule_breached(&rule, 6, rule.limit), rows[i].above, "%s",
			     rows[i].text);
	}
}

Test(rule, units)
{
	cr_assert_eq(parsed("x.mean > 3ns").limit, 3);
	cr_assert_eq(parsed("x.mean > 3us").limit, 3e3);
	cr_assert_eq(parsed("x.mean > 3\u00b5s").limit, 3e3);
	cr_assert_eq(parsed("x.mean > 1.5s").limit, 1.5e9);
	cr_assert_eq(parsed("x.mean > 2m").limit, 120e9);
	cr_assert_eq(parsed("x.mean > 1h").limit, 3600e9);
	cr_assert_eq(parsed("@memory > 50MB").limit, 50e6);
	cr_assert_eq(parsed("@memory > 50MiB").limit, 50 * 1048576.0);
	cr_assert_eq(parsed("@memory > 0").limit, 0);
	cr_assert_eq(parsed("@cpu > 50%").limit, 0.5);
	cr_assert_eq(parsed("@cpu > 0.5").limit, 0.5);
	cr_assert_eq(parsed("x.value > -1e3").limit, -1000);
	cr_assert_eq(parsed("x.mean > 1 for 1m").for_ns, 60000000000u);
	cr_assert_eq(parsed("x.mean > 1 for 0.5s").for_ns, 500000000u);
}

Test(rule, refusals)
{
	refused("", 1, "missing");
	refused("  ", 3, "missing");
	refused("> 5", 1, "missing");
	refused("a/b: > 5", 5, "missing");
	refused("a/b:c.p98 > 5", 7, "p99");
	refused("abc > 5", 4, "STAT");
	refused("a:b.p99 > 5", 1, "SERVICE/SESSION");
	refused("/b:c.p99 > 5", 1, "SERVICE is missing");
	refused("a/:c.p99 > 5", 3, "SESSION is missing");
	refused(".p99 > 5", 2, "STAT");
	refused("@nope > 5", 1, "@drops");
	refused("agent:@drop > 5", 7, "@lag");
	refused("totals:@drops > 5", 8, "a metric");
	refused("agent:x.p99 > 5", 7, "no metrics");
	refused("@nope.p99 > 5", 1, "@latency");
	refused("x.1m.std > 5", 6, "after a 1m");
	refused("x.last > 5", 3, "STAT");
	refused("x.p99 5", 7, ">=");
	refused("x.p99 => 5", 7, ">=");
	refused("x.p99 >", 8, "a number");
	refused("x.p99 > five", 9, "a number");
	refused("x.p99 > nan", 9, "a number");
	refused("x.p99 > 0x10", 9, "a number");
	refused("x.p99 > 1e999", 9, "a number");
	refused("x.p99 > 2mz", 10, "\"mz\" is no unit");
	refused("x.p99 > 2 ms", 11, "for TIME");
	refused("x.count > 2ms", 11, "a count");
	refused("@memory > 5ms", 11, "bytes");
	refused("@age > 5", 8, "a time");
	refused("@cpu > 5MB", 8, "a ratio");
	refused("x.p99 > 2 for", 14, "a number");
	refused("x.p99 > 2 for 5", 15, "a time");
	refused("x.p99 > 2 for 25h", 15, "24h");
	refused("x.p99 > 2 for 5s now", 18, "nothing");
	refused("x.p99 > 2 during 5s", 11, "for TIME");
}

Test(rule, long_names)
{
	char text[400];
	struct rule rule;
	struct rule_error error;

	for (int length = 1; length < 350; length++) {
		snprintf(text, sizeof text, "%0*d/b:c.p99 > 1", length, 0);
		cr_assert_eq(rule_parse(text, &rule, &error), length < 64, "%d", length);
		snprintf(text, sizeof text, "a/b:%0*d.p99 > 1", length, 0);
		cr_assert_eq(rule_parse(text, &rule, &error), length < 80, "%d", length);
	}
}

Test(rule, lines)
{
	struct rule rule;
	struct rule_error error;
	bool empty;

	cr_assert(rule_parse_line("\tcritical  x.p99 > 5", &rule, &empty, &error));
	cr_assert(!empty && rule.level == LEVEL_CRITICAL);
	cr_assert(rule_parse_line("warning x.p99 > 5", &rule, &empty, &error));
	cr_assert(!empty && rule.level == LEVEL_WARNING);
	cr_assert(rule_parse_line("", &rule, &empty, &error) && empty);
	cr_assert(rule_parse_line("  # x", &rule, &empty, &error) && empty);
	cr_assert_not(rule_parse_line(" x.p99 > 5", &rule, &empty, &error));
	cr_assert_eq(error.column, 2);
	cr_assert_not(rule_parse_line("warning x.p99 > y", &rule, &empty, &error));
	cr_assert_eq(error.column, 17);
}

Test(measure, classes)
{
	static const struct {
		const char *stage, *name;
		bool periodic;
		enum metric_class class;
	} rows[] = {
		{"", "cycle", false, CLASS_NONE},
		{"", "audio.latency", false, CLASS_LATENCY},
		{"latency", "decode", false, CLASS_LATENCY},
		{"", "Latency_ms", false, CLASS_LATENCY},
		{"", "latencyish", false, CLASS_NONE},
		{"", "e2e.latency", false, CLASS_E2E},
		{"end-to-end", "x", false, CLASS_E2E},
		{"", "a.end_to_end.b", false, CLASS_E2E},
		{"", "timing-error", false, CLASS_TIMING},
		{"", "clock drift", false, CLASS_TIMING},
		{"", "cycle.wait", true, CLASS_TIMING},
		{"", "queue.wait", false, CLASS_NONE},
		{"latency", "jitter", false, CLASS_TIMING},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		cr_assert_eq(metric_classify(rows[i].stage, rows[i].name, rows[i].periodic),
			     rows[i].class, "%s %s", rows[i].stage, rows[i].name);
}

Test(perfdata, numbers)
{
	char out[PERF_NUMBER_SIZE];

	cr_assert_str_eq(perf_number(out, 0, DIMENSION_COUNT), "0");
	cr_assert_str_eq(perf_number(out, -0.0, DIMENSION_COUNT), "0");
	cr_assert_str_eq(perf_number(out, 100, DIMENSION_COUNT), "100");
	cr_assert_str_eq(perf_number(out, -2.5, DIMENSION_COUNT), "-2.5");
	cr_assert_str_eq(perf_number(out, 1, DIMENSION_TIME), "0.000000001");
	cr_assert_str_eq(perf_number(out, 2100000, DIMENSION_TIME), "0.0021");
	cr_assert_str_eq(perf_number(out, 0.5, DIMENSION_RATIO), "50");
	cr_assert_str_eq(perf_number(out, 5e7, DIMENSION_BYTES), "50000000");
	cr_assert_str_eq(perf_number(out, 1e300, DIMENSION_COUNT), "U");
	cr_assert_str_eq(perf_number(out, 0.0 / 0.0, DIMENSION_COUNT), "U");
}

/* The guidelines' table of ranges: an alert where... */
Test(perfdata, ranges)
{
	char out[PERF_RANGE_SIZE];

	cr_assert_str_eq(perf_range(out, OP_GT, 10, DIMENSION_COUNT, false), "10");
	cr_assert_str_eq(perf_range(out, OP_GT, 10, DIMENSION_COUNT, true), "~:10");
	cr_assert_str_eq(perf_range(out, OP_GT, -1, DIMENSION_COUNT, false), "~:-1");
	cr_assert_str_eq(perf_range(out, OP_LT, 10, DIMENSION_COUNT, false), "10:");
	cr_assert_str_eq(perf_range(out, OP_GE, 10, DIMENSION_COUNT, false), "@10:");
	cr_assert_str_eq(perf_range(out, OP_LE, 10, DIMENSION_COUNT, false), "@~:10");
	cr_assert_str_eq(perf_range(out, OP_EQ, 10, DIMENSION_COUNT, false), "@10:10");
	cr_assert_str_eq(perf_range(out, OP_NE, 10, DIMENSION_COUNT, false), "10:10");
	cr_assert_str_eq(perf_range(out, OP_GT, 2e6, DIMENSION_TIME, false), "0.002");
}

Test(perfdata, items)
{
	struct measured measured = {
		.label = "a/it's=x|y:c.p99", .value = 1e6, .dimension = DIMENSION_TIME};
	char out[PERF_ITEM_SIZE], text[] = "a | b\nc";

	cr_assert_str_eq(perf_item(out, &measured, "0.002", ""),
			 "'a/it''s_x_y:c.p99'=0.001s;0.002;;0;");
	measured = (struct measured){.label = "x", .value = 5, .grows = true};
	cr_assert_str_eq(perf_item(out, &measured, "", "7"), "'x'=5c;;7;0;");
	measured = (struct measured){.label = "x", .value = -5, .negative = true};
	cr_assert_str_eq(perf_item(out, &measured, "", ""), "'x'=-5;;;;");
	measured = (struct measured){.label = "x", .value = 0.25, .dimension = DIMENSION_RATIO};
	cr_assert_str_eq(perf_item(out, &measured, "", ""), "'x'=25%;;;0;");
	perf_text(text);
	cr_assert_str_eq(text, "a / b/c");
}
