/* SPDX-License-Identifier: MIT */
/* Thresholds for a time: looks at documents, with a clock that the test sets. */
#include <string.h>

#include <criterion/criterion.h>

#include "report.h"
#include "verdict.h"

#define SECOND UINT64_C(1000000000)

struct seen {
	const char *id;
	const char *state;
	uint64_t drops;
};

struct bench {
	struct ruleset set;
	struct verdicts verdicts;
};

static void pack_text(msgpack_packer *packer, const char *key, const char *text)
{
	msgpack_pack_str_with_body(packer, key, strlen(key));
	msgpack_pack_str_with_body(packer, text, strlen(text));
}

/* One look at so many sessions. */
static enum level look(struct bench *bench, uint64_t second, const struct seen *seen, size_t count)
{
	struct document document = {0};
	msgpack_sbuffer buffer;
	msgpack_packer packer;

	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 1);
	msgpack_pack_str_with_body(&packer, "sessions", 8);
	msgpack_pack_array(&packer, count);
	for (size_t i = 0; i < count; i++) {
		msgpack_pack_map(&packer, 4);
		pack_text(&packer, "id", seen[i].id);
		pack_text(&packer, "service", "s");
		pack_text(&packer, "state", seen[i].state);
		msgpack_pack_str_with_body(&packer, "dropped_total", 13);
		msgpack_pack_uint64(&packer, seen[i].drops);
	}
	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	verdicts_look(&bench->verdicts, &bench->set, &document, second * SECOND);
	document_free(&document);
	msgpack_sbuffer_destroy(&buffer);
	return report_level(&bench->verdicts, &bench->set, LEVEL_UNKNOWN);
}

static struct bench *with(const char *rule)
{
	static struct bench bench;

	memset(&bench, 0, sizeof bench);
	cr_assert(ruleset_add(&bench.set, LEVEL_CRITICAL, "--critical", rule));
	return &bench;
}

static enum level one(struct bench *bench, uint64_t second, uint64_t drops)
{
	struct seen seen = {"a", "running", drops};

	return look(bench, second, &seen, 1);
}

static void take_one(const struct measured *measured, void *data)
{
	*(struct measured *)data = *measured;
}

/* What a rule finds of a gauge with this unit whose value is 5. */
static struct measured gauge(const char *unit, const char *text, bool *mismatch)
{
	struct measured measured = {.value = -1};
	struct document document = {0};
	struct rule_error error;
	struct rule rule = {0};
	msgpack_sbuffer buffer;
	msgpack_packer packer;

	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 1);
	msgpack_pack_str_with_body(&packer, "totals", 6);
	msgpack_pack_map(&packer, 1);
	msgpack_pack_str_with_body(&packer, "metrics", 7);
	msgpack_pack_array(&packer, 1);
	msgpack_pack_map(&packer, 3);
	pack_text(&packer, "name", "x");
	pack_text(&packer, "unit", unit);
	msgpack_pack_str_with_body(&packer, "value", 5);
	msgpack_pack_uint64(&packer, 5);
	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	cr_assert(rule_parse(text, &rule, &error));
	cr_assert_eq(measure(&rule, &document, take_one, &measured, mismatch), !*mismatch);
	document_free(&document);
	msgpack_sbuffer_destroy(&buffer);
	return measured;
}

/* Value and limit are brought into one unit. */
Test(measure, units)
{
	static const struct {
		const char *unit, *rule;
		double value, limit;
		enum dimension dimension;
	} rows[] = {
		{"ms", "totals:x.value > 4ms", 5e6, 4e6, DIMENSION_TIME},
		{"ms", "totals:x.value > 4", 5e6, 4e6, DIMENSION_TIME},
		{"s", "totals:x.value > 0", 5e9, 0, DIMENSION_TIME},
		{"min", "totals:x.value > 1h", 300e9, 3600e9, DIMENSION_TIME},
		{"By", "totals:x.value > 2KiB", 5, 2048, DIMENSION_BYTES},
		{"1", "totals:x.value > 50%", 5, 0.5, DIMENSION_RATIO},
		{"1", "totals:x.value > 4", 5, 4, DIMENSION_COUNT},
		{"{frame}", "totals:x.value > 4", 5, 4, DIMENSION_COUNT},
	};
	static const char *const wrong[][2] = {{"ms", "totals:x.value > 4B"},
					       {"By", "totals:x.value > 4s"},
					       {"By", "totals:x.value > 4%"},
					       {"1", "totals:x.value > 4ms"},
					       {"{frame}", "totals:x.value > 4%"}};
	bool mismatch;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct measured found = gauge(rows[i].unit, rows[i].rule, &mismatch);

		cr_assert_not(mismatch, "%s", rows[i].rule);
		cr_assert_eq(found.value, rows[i].value, "%s", rows[i].rule);
		cr_assert_eq(found.limit, rows[i].limit, "%s", rows[i].rule);
		cr_assert_eq(found.dimension, rows[i].dimension, "%s", rows[i].rule);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		gauge(wrong[i][0], wrong[i][1], &mismatch);
		cr_assert(mismatch, "%s in %s", wrong[i][1], wrong[i][0]);
	}
}

Test(verdict, at_once)
{
	struct bench *bench = with("@drops > 5");

	cr_assert_eq(one(bench, 1, 5), LEVEL_OK);
	cr_assert_eq(one(bench, 2, 6), LEVEL_CRITICAL);
	cr_assert_eq(one(bench, 3, 5), LEVEL_OK);
	verdicts_free(&bench->verdicts);
}

Test(verdict, for_a_time)
{
	struct bench *bench = with("@drops > 5 for 10s");

	cr_assert_eq(one(bench, 1, 6), LEVEL_OK);
	cr_assert(verdicts_pending(&bench->verdicts, SECOND));
	cr_assert_eq(one(bench, 10, 6), LEVEL_OK);
	cr_assert_eq(one(bench, 11, 6), LEVEL_CRITICAL);
	cr_assert_not(verdicts_pending(&bench->verdicts, SECOND));
	/* One good look, and the time begins anew. */
	cr_assert_eq(one(bench, 12, 5), LEVEL_OK);
	cr_assert_eq(one(bench, 13, 6), LEVEL_OK);
	/* It began too late for who waits since the first look. */
	cr_assert_not(verdicts_pending(&bench->verdicts, SECOND));
	cr_assert_eq(one(bench, 22, 6), LEVEL_OK);
	cr_assert_eq(one(bench, 23, 6), LEVEL_CRITICAL);
	verdicts_free(&bench->verdicts);
}

Test(verdict, absence_begins_anew)
{
	struct bench *bench = with("@drops > 5 for 10s");
	struct seen lost = {"a", "lost", 6};

	cr_assert_eq(one(bench, 1, 6), LEVEL_OK);
	cr_assert_eq(look(bench, 5, NULL, 0), LEVEL_UNKNOWN);
	cr_assert_eq(one(bench, 12, 6), LEVEL_OK);
	cr_assert_eq(look(bench, 15, &lost, 1), LEVEL_UNKNOWN);
	cr_assert_eq(one(bench, 22, 6), LEVEL_OK);
	cr_assert_eq(one(bench, 32, 6), LEVEL_CRITICAL);
	verdicts_free(&bench->verdicts);
}

/* Sessions come and go before and behind, two have one id: each keeps its own time. */
Test(verdict, each_its_own)
{
	struct bench *bench = with("@drops > 5 for 10s");
	struct seen first[] = {{"a", "running", 0}, {"b", "running", 6}};
	struct seen second[] = {{"b", "stale", 6}, {"c", "running", 6}, {"a", "running", 0}};
	struct seen twins[] = {{"b", "running", 0}, {"b", "running", 6}};

	cr_assert_eq(look(bench, 1, first, 2), LEVEL_OK);
	cr_assert_eq(look(bench, 8, second, 3), LEVEL_OK);
	cr_assert_eq(look(bench, 11, second, 3), LEVEL_CRITICAL);
	verdicts_free(&bench->verdicts);

	bench = with("@drops > 5 for 10s");
	for (uint64_t at = 1; at < 11; at++)
		cr_assert_eq(look(bench, at, twins, 2), LEVEL_OK);
	cr_assert_eq(look(bench, 11, twins, 2), LEVEL_CRITICAL);
	verdicts_free(&bench->verdicts);
}

Test(verdict, counted)
{
	struct bench *bench = with("s/*:@sessions < 2");
	struct seen seen[] = {{"a", "running", 0}, {"b", "stale", 0}, {"c", "lost", 0}};

	cr_assert_eq(look(bench, 1, seen, 3), LEVEL_OK);
	cr_assert_eq(look(bench, 2, seen + 1, 2), LEVEL_CRITICAL);
	cr_assert_eq(look(bench, 3, NULL, 0), LEVEL_CRITICAL);
	verdicts_free(&bench->verdicts);
}

Test(ruleset, shipped)
{
	static struct ruleset set;
	struct verdicts verdicts = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	ruleset_add_default(&set);
	ruleset_print(&set, out);
	fclose(out);
	cr_assert_str_eq(text, "warning  */*:@latency.1m.mean > 10ms\n"
			       "critical */*:@latency.1m.max > 20ms\n"
			       "warning  */*:@timing.1m.mean > 1ms\n"
			       "critical */*:@timing.1m.max > 5ms\n"
			       "critical */*:@e2e.1m.max > 1500ms\n"
			       "warning  */*:@drops > 0\n"
			       "warning  */*:@memory > 50MB\n");
	/* That nothing fits them is no fault. */
	cr_assert_eq(report_level(&verdicts, &set, LEVEL_UNKNOWN), LEVEL_OK);
	free(text);
}
