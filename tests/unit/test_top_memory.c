/* SPDX-License-Identifier: MIT */
#include <math.h>

#include <criterion/criterion.h>

#include "json_document.h"
#include "text.h"
#include "top_memory.h"

static const struct top_wanted all = {.filter = "", .open = TOP_TIMERS};

/* A bus after `ms`, with a session whose timer has so many samples, of 10 each. */
static void take(struct top_memory *memory, int ms, int samples, uint64_t keys[2])
{
	struct json_document document;
	struct top_rows rows = {0};

	json_document_make(
		&document,
		"{'time_unix_ns':%d000000,'agent':{'samples_total':%d},'sessions':[{"
		"'id':'a','segment':'a','state':'running','aggregated_total':%d,'metrics':[{"
		"'name':'t','kind':'timer','count':%d,'sum':%d}]}]}",
		ms, samples * 2, samples, samples, samples * 10);
	cr_assert_eq(top_rows_make(&rows, &document.document, &all), 0);
	if (memory != NULL)
		top_memory_take(memory, &document.document, &rows);
	keys[0] = rows.rows[0].key;
	keys[1] = rows.rows[1].key;
	top_rows_free(&rows);
	json_document_free(&document);
}

Test(top_memory, trends)
{
	struct top_memory *memory = top_memory_new();
	const struct top_trend *trend;
	uint64_t keys[2];

	cr_assert_null(top_memory_bus(memory));
	take(memory, 100000, 50, keys);
	cr_assert(isnan(top_trend_last(top_memory_trend(memory, keys[0]))));
	take(memory, 102000, 70, keys);
	trend = top_memory_trend(memory, keys[0]);
	cr_assert_eq(top_trend_last(trend), 10);
	cr_assert_eq(trend->at[101 % TOP_SECONDS], 10); /* of the second between, too */
	cr_assert(isnan(trend->at[100 % TOP_SECONDS]));
	cr_assert_eq(top_trend_last(top_memory_trend(memory, keys[1])), 10);
	cr_assert_eq(top_trend_last(top_memory_bus(memory)), 20);
	take(memory, 103000, 70, keys);
	cr_assert_eq(top_trend_last(top_memory_trend(memory, keys[0])), 0);
	cr_assert(isnan(top_trend_last(top_memory_trend(memory, keys[1])))); /* no mean of none */
	/* Of several in a second the largest stays. */
	take(memory, 103500, 170, keys);
	take(memory, 103900, 171, keys);
	cr_assert_eq(top_trend_last(top_memory_trend(memory, keys[0])), 200);
	/* Counts that went back, as after a lost checkpoint, are no rate. */
	take(memory, 104000, 3, keys);
	cr_assert(isnan(top_trend_last(top_memory_trend(memory, keys[0]))));
	top_memory_free(memory);
}

Test(top_memory, what_is_gone_is_forgotten)
{
	struct top_memory *memory = top_memory_new();
	const struct top_rows none = {0};
	struct json_document empty;
	uint64_t keys[2];

	take(memory, 1000, 5, keys);
	top_memory_open_set(memory, keys[0], TOP_ALL);
	cr_assert_eq(top_memory_open(memory, keys[0]), TOP_ALL);
	json_document_make(&empty, "{'time_unix_ns':2000000000}");
	top_memory_take(memory, &empty.document, &none);
	cr_assert_null(top_memory_trend(memory, keys[0]));
	cr_assert_eq(top_memory_open(memory, keys[0]), TOP_TIMERS);
	json_document_free(&empty);
	top_memory_free(memory);
}

Test(top_memory, folds)
{
	struct top_memory *memory = top_memory_new();
	uint64_t keys[2];

	take(memory, 1000, 5, keys);
	top_memory_open_set(memory, keys[0], TOP_CLOSED);
	take(memory, 2000, 6, keys);
	cr_assert_eq(top_memory_open(memory, keys[0]), TOP_CLOSED); /* the next document too */
	top_memory_open_all(memory, TOP_ALL);
	cr_assert_eq(top_memory_open(memory, keys[0]), TOP_ALL);
	cr_assert_eq(top_memory_open(memory, 4711), TOP_ALL); /* and those that come */
	top_memory_free(memory);
}

Test(top_memory, trend_text)
{
	struct top_trend trend = {.second = 1000};
	char text[TOP_SECONDS * 4];
	double max;

	text_setup();
	for (int i = 0; i < TOP_SECONDS; i++)
		trend.at[i] = NAN;
	top_trend_text(&trend, 5, false, text, sizeof text, &max);
	cr_assert_str_eq(text, "     ");
	cr_assert_eq(max, 0);
	trend.at[1000 % TOP_SECONDS] = 4;
	trend.at[999 % TOP_SECONDS] = 8;
	trend.at[998 % TOP_SECONDS] = 0;
	top_trend_text(&trend, 5, false, text, sizeof text, &max);
	cr_assert_str_eq(text, "  _#+");
	cr_assert_eq(max, 8);
	top_trend_text(&trend, 2, true, text, sizeof text, &max);
	cr_assert_str_eq(text, "\u2588\u2585");
	top_trend_text(&trend, 1000, true, text, sizeof text, &max);
	cr_assert_eq(text_columns(text), TOP_SECONDS);
	top_trend_text(&trend, 60, true, text, 8, &max); /* too little room cuts nothing in two */
	cr_assert_lt(strlen(text), 8);
}

/* A timer whose histogram has `count` samples up to 1024 and one of 2048. */
static void heat_document(struct json_document *out, int seconds, int count)
{
	json_document_make(out,
			   "{'time_unix_ns':%d000000000,'name':'t','unit':'ns','histogram':{"
			   "'schema':3,'zero_count':0,'offset':80,'buckets':[%d,0,0,0,0,0,0,0,1]}}",
			   seconds, count);
}

Test(top_memory, heat)
{
	static struct top_heat heat;
	struct json_document then, now, later;
	uint8_t levels[9];
	int first, last;

	cr_assert_not(top_heat_range(&heat, &first, &last));
	heat_document(&then, 100, 7);
	heat_document(&now, 101, 1007);
	heat_document(&later, 110, 1017);
	top_heat_take(&heat, 5, &now.document, &now.document.root, &then.document.root);
	cr_assert_str_eq(heat.name, "t");
	cr_assert_eq(heat.ever[81], 1007);
	cr_assert_eq(heat.rows[10 % TOP_HEAT_ROWS][81], 1000); /* only what is new */
	cr_assert_eq(heat.rows[10 % TOP_HEAT_ROWS][89], 0);
	cr_assert(top_heat_range(&heat, &first, &last));
	cr_assert(first == 81 && last == 89);
	top_heat_take(&heat, 5, &later.document, &later.document.root, &now.document.root);
	cr_assert_eq(heat.rows[11 % TOP_HEAT_ROWS][81], 10); /* the next ten seconds */
	cr_assert_eq(heat.rows[10 % TOP_HEAT_ROWS][81], 1000);
	/* By logarithm, so that one in a thousand is seen. */
	top_heat_levels(heat.ever, first, last, 8, 9, levels);
	cr_assert_eq(levels[0], 8);
	cr_assert_eq(levels[4], 0);
	cr_assert_geq(levels[8], 1);
	top_heat_levels(heat.ever, first, last, 8, 1, levels);
	cr_assert_eq(levels[0], 8);
	/* Another metric begins anew. */
	top_heat_take(&heat, 6, &now.document, &now.document.root, NULL);
	cr_assert_eq(heat.rows[10 % TOP_HEAT_ROWS][81], 0);
	cr_assert_eq(heat.rows[11 % TOP_HEAT_ROWS][81], 0);
	json_document_free(&then);
	json_document_free(&now);
	json_document_free(&later);
}
