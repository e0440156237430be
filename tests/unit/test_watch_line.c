/* SPDX-License-Identifier: MIT */
/* test_watch_line.c - a session's line, of documents made by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "packed.h"
#include "watch_line.h"

static struct trails trails;

static void end(void)
{
	packed_end();
	trails_free(&trails);
}

TestSuite(watch_line, .init = packed_begin, .fini = end);

/* {id, state, metrics: [a gauge of that value, a timer of that count and sum]} */
static void session_pack(const char *state, int64_t gauge, uint64_t count, uint64_t sum)
{
	msgpack_sbuffer_clear(&buffer);
	msgpack_pack_map(&packer, 3);
	pair("id", "a\"b");
	pair("state", state);
	text("metrics");
	msgpack_pack_array(&packer, 2);
	msgpack_pack_map(&packer, 3);
	pair("name", "level");
	pair("kind", "gauge");
	text("value");
	msgpack_pack_int64(&packer, gauge);
	msgpack_pack_map(&packer, count != 0 ? 4 : 3);
	pair("name", "work");
	pair("kind", "timer");
	number("count", count);
	if (count != 0)
		number("sum", sum);
}

/* The line of what is packed; to be freed. */
static char *line_of(uint64_t gap, bool final)
{
	struct document document;
	struct watch_line line = {"b", &document, gap, final};
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	document.snapshot = (struct shmbus_snapshot){.seq = 7, .time_unix_ns = 1111};
	watch_line_print(file, &line, &document.root, &trails);
	fclose(file);
	document_free(&document);
	return out;
}

static void line_is(const char *expected)
{
	char *line = line_of(3, false);

	cr_assert_str_eq(line, expected);
	free(line);
}

static void line_has(const char *part, bool wanted)
{
	char *line = line_of(0, false);

	cr_assert_eq(strstr(line, part) != NULL, wanted, "%s: %s", part, line);
	free(line);
}

Test(watch_line, whole)
{
	session_pack("running", -2, 0, 0);
	line_is("{\"seq\":7,\"gap\":3,\"time_unix_ns\":1111,\"bus\":\"b\","
		"\"session_id\":\"a\\\"b\",\"state\":\"running\",\"states\":{},"
		"\"gauges\":{\"level\":{\"value\":-2,\"high_water\":-2}},\"backlog\":0,"
		"\"dropped\":{\"total\":0,\"full\":0,\"head\":0},\"derived\":{},"
		"\"timers\":{\"work\":{\"count\":0}}}\n");
}

Test(watch_line, final)
{
	char *line;

	session_pack("ended", 1, 0, 0);
	line = line_of(0, true);
	cr_assert_not_null(strstr(line, ",\"final\":true}\n"), "%s", line);
	free(line);
}

Test(watch_line, high_water)
{
	static const int64_t values[] = {-5, 3, 9, 2};
	static const char *const marks[] = {
		"{\"value\":-5,\"high_water\":-5}", "{\"value\":3,\"high_water\":3}",
		"{\"value\":9,\"high_water\":9}", "{\"value\":2,\"high_water\":9}"};

	for (size_t i = 0; i < 4; i++) {
		session_pack("running", values[i], 0, 0);
		line_has(marks[i], true);
	}
}

/* Ten samples of the value i come before line i: in line 12 those of 3 to 12 are the last. */
Test(watch_line, average_10)
{
	uint64_t sum = 0;
	char part[64];

	for (uint64_t i = 1; i <= 30; i++) {
		uint64_t first = i <= 10 ? 2 : i - 9;

		sum += 10 * i;
		session_pack("running", 0, 10 * i, sum);
		snprintf(part, sizeof part, "\"average_10\":%.10g}", (double)(first + i) / 2);
		line_has(part, i != 1);
	}
	for (int i = 0; i < 9; i++) { /* nothing comes any more */
		session_pack("running", 0, 300, sum);
		line_has("average_10", true);
	}
	session_pack("running", 0, 300, sum);
	line_has("average_10", false);
}

/* An agent without the checkpoint of the one before it begins again with 0. */
Test(watch_line, counts_that_go_back)
{
	session_pack("running", 0, 100, 1000);
	line_has("average_10", false);
	session_pack("running", 0, 50, 100);
	line_has("average_10", false);
}

Test(watch_line, real_time_factor)
{
	static const char *const names[] = {"realtime.factor", "real_time_factor", "RTF", "rtf.x"};

	for (size_t i = 0; i < 4; i++) {
		msgpack_sbuffer_clear(&buffer);
		msgpack_pack_map(&packer, 1);
		text("derived");
		msgpack_pack_array(&packer, 1);
		msgpack_pack_map(&packer, 2);
		pair("name", names[i]);
		text("value");
		msgpack_pack_double(&packer, 0.25);
		line_has("},\"real_time_factor\":0.25", i < 3);
	}
}

static void writer_pack(uint64_t used, uint64_t high_water, uint64_t full)
{
	msgpack_pack_map(&packer, 4);
	number("capacity", 64);
	number("used", used);
	number("high_water", high_water);
	text("dropped");
	msgpack_pack_map(&packer, 2);
	number("full", full);
	number("head", 1);
}

Test(watch_line, rings)
{
	msgpack_pack_map(&packer, 2);
	number("dropped_total", 14);
	text("writers");
	msgpack_pack_array(&packer, 3);
	writer_pack(5, 10, 0);
	writer_pack(1, 60, 11);
	writer_pack(7, 20, 0);
	line_has("\"queue\":{\"depth\":1,\"high_water\":60,\"capacity\":64},\"backlog\":13,"
		 "\"dropped\":{\"total\":14,\"full\":11,\"head\":3}",
		 true);
}

/* Whatever is in the document, the line is one. */
Test(watch_line, strange)
{
	msgpack_pack_map(&packer, 3);
	number("id", 5);
	pair("labels", "none");
	text("metrics");
	msgpack_pack_array(&packer, 2);
	msgpack_pack_nil(&packer);
	msgpack_pack_map(&packer, 1);
	pair("kind", "timer");
	line_has("\"session_id\":5,\"labels\":\"none\"", true);
	line_has("\"timers\":{\"?\":{\"count\":0}}", true);
}

Test(watch_line, gone)
{
	struct document document = {.snapshot = {.seq = 9, .time_unix_ns = 5}};
	struct watch_line line = {"b", &document, 1, true};
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	watch_line_gone(file, &line, "x", "/shmbus.b.s.1");
	fclose(file);
	cr_assert_str_eq(out, "{\"seq\":9,\"gap\":1,\"time_unix_ns\":5,\"bus\":\"b\","
			      "\"session_id\":\"x\",\"segment\":\"/shmbus.b.s.1\","
			      "\"state\":\"gone\",\"final\":true}\n");
	free(out);
}
