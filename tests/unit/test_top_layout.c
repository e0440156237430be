/* SPDX-License-Identifier: MIT */
#include <math.h>

#include <criterion/criterion.h>

#include "json_document.h"
#include "text.h"
#include "top_layout.h"

static struct json_document document;
static struct top_rows rows;
static struct top_wanted wanted = {.filter = "", .open = TOP_ALL};

static void setup(void)
{
	text_setup();
	json_document_make(
		&document,
		"{'time_unix_ns':9000000000,'totals':{'sessions_lost':1,'sessions_ended':2},"
		"'agent':{'cpu_ratio':0.01,'rss_bytes':1048576,'start_time_unix_ns':4000000000},"
		"'sessions':[{'id':'s\u00e9ance-\u65e5\u672c\u8a9e','service':'player','state':"
		"'stale','dropped_total':123456,'segment':'a','memory':{},'age_ns':7,'metrics':["
		"{'name':'a.long.name.of.a.cycle','kind':'timer','unit':'ns','window':{'mean':5},"
		"'period':{'period_ns':9,'quantum':128,'rate_hz':48000,'busy_ratio':0.25,"
		"'misses':1}},"
		"{'name':'mode','kind':'stateset','value':'a state with a very long name'}],"
		"'writers':[{'id':0,'capacity':16384}]}]}");
	document.document.snapshot =
		(struct shmbus_snapshot){.agent_running = true, .interval_ns = 1000000000};
	cr_assert_eq(top_rows_make(&rows, &document.document, &wanted), 0);
}

static void teardown(void)
{
	top_rows_free(&rows);
	json_document_free(&document);
}

TestSuite(top_layout, .init = setup, .fini = teardown);

static int slots_of(const struct top_layout *layout)
{
	int count = 0;

	for (int i = 0; i < TOP_SLOTS; i++)
		count += layout->at[i] >= 0;
	return count;
}

Test(top_layout, nothing_is_wider_than_the_window)
{
	struct top_header header;
	struct top_shown shown = {.bus = "bus",
				  .document = &document.document,
				  .rows = &rows,
				  .rate = 5,
				  .paused_s = 3,
				  .since_s = 4,
				  .wanted = &wanted,
				  .live = true};
	char line[TOP_LINE_SIZE];
	struct top_layout layout;

	for (int columns = 1; columns <= 500; columns++) {
		top_layout_make(&layout, columns, &rows, true);
		cr_assert_leq(layout.name, columns);
		if (layout.trend_at >= 0)
			cr_assert_leq(layout.trend_at + layout.trend, columns);
		for (size_t i = 0; i < rows.count; i++) {
			top_row_line(line, &layout, &rows.rows[i], "- ");
			cr_assert_leq(text_columns(line), columns, "%d: %s", columns, line);
		}
		for (int kind = 0; kind < TOP_KINDS; kind++) {
			top_heading_line(line, &layout, (enum top_kind)kind, TOP_BY_NAME);
			cr_assert_leq(text_columns(line), columns, "%d: %s", columns, line);
		}
		top_header_make(&header, &shown, columns);
		for (int i = 0; i < header.count; i++)
			cr_assert_leq(text_columns(header.lines[i].text), columns, "%d: %s",
				      columns, header.lines[i].text);
	}
}

/* The more room there is, the more columns; and numbers are whole or not there. */
Test(top_layout, columns_come_with_room)
{
	char line[TOP_LINE_SIZE];
	struct top_layout layout;
	int before = 0;

	for (int columns = 1; columns <= 200; columns++) {
		top_layout_make(&layout, columns, &rows, true);
		if (columns != 60) /* from where names have more room */
			cr_assert_geq(slots_of(&layout), before, "%d", columns);
		before = slots_of(&layout);
		top_row_line(line, &layout, &rows.rows[1], "");
		if (layout.at[1] >= 0)
			cr_assert_not_null(strstr(line, " 48000 "), "%d: %s", columns, line);
		if (layout.at[SLOT_BUSY_RATIO] >= 0)
			cr_assert_not_null(strstr(line, " 25.0%"), "%d: %s", columns, line);
	}
	top_layout_make(&layout, 30, &rows, true);
	cr_assert(layout.at[SLOT_STATE] >= 0 && layout.at[SLOT_DROPS] >= 0);
	cr_assert_eq(slots_of(&layout), 2);
	top_layout_make(&layout, 40, &rows, true);
	cr_assert_geq(layout.at[SLOT_ERRORS], 0);
	top_layout_make(&layout, 80, &rows, true);
	cr_assert_eq(slots_of(&layout), TOP_SLOTS);
	cr_assert_eq(layout.name, 26);
	cr_assert_lt(layout.trend_at, 0);
	top_layout_make(&layout, 500, &rows, true);
	cr_assert_eq(layout.trend, 60);
	top_layout_make(&layout, 500, &rows, false);
	cr_assert_lt(layout.trend_at, 0);
}

Test(top_layout, lines)
{
	char line[TOP_LINE_SIZE];
	struct top_layout layout;

	top_layout_make(&layout, 100, &rows, false);
	top_row_line(line, &layout, &rows.rows[0], "- ");
	cr_assert_str_eq(line,
			 "- s\u00e9ance-\u65e5\u672c\u8a9e            stale        -       -"
			 "    123k     7ns   25.0%      1  player",
			 "%s", line);
	top_heading_line(line, &layout, TOP_SESSION, SLOT_DROPS);
	cr_assert_str_eq(line,
			 "  SESSION                  STATE      CPU     MEM  DROPS*     AGE"
			 "     B/Q    ERR  SERVICE",
			 "%s", line);
	top_row_line(line, &layout, &rows.rows[2], "");
	cr_assert_str_eq(line,
			 "    mode                   states       - a state with a very long name",
			 "%s", line);
	top_row_line(line, &layout, &rows.rows[3], "");
	cr_assert_str_eq(line, "    #0                       16384      -       -       0       -",
			 "%s", line);
}

/* A number that is too long for its column would be cut: none is, whatever it is. */
Test(top_layout, numbers_fit)
{
	static const double values[] = {0,     1,       0.123,  -1,      999.4,    999.6,
					99999, 99999.6, 1e5,    1.234e7, 9.999e8,  1.5e12,
					1e15,  1.8e19,  -12345, -1.5e-3, 0.9996e6, 7.2e12};
	struct top_row row = {.unit = "By"};
	char text[FORMAT_SIZE];

	for (int kind = 0; kind < TOP_KINDS; kind++) {
		row.kind = (enum top_kind)kind;
		for (int slot = 0; slot < TOP_SLOTS; slot++) {
			for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
				row.slots[slot] = fabs(values[i]);
				top_slot_text(&row, slot, text);
				cr_assert_leq(text_columns(text), top_slot_widths[slot],
					      "%s %g: %s", top_columns[kind][slot].title, values[i],
					      text);
			}
		}
	}
}

static bool has(const struct top_header *header, const char *text, bool alarm)
{
	for (int i = 0; i < header->count; i++)
		if (strstr(header->lines[i].text, text) != NULL)
			return header->lines[i].alarm == alarm;
	return false;
}

Test(top_layout, header)
{
	struct top_header header;
	struct top_shown shown = {.bus = "bus",
				  .document = &document.document,
				  .rows = &rows,
				  .rate = NAN,
				  .paused_s = NAN,
				  .since_s = NAN,
				  .wanted = &wanted};

	top_header_make(&header, &shown, 120);
	cr_assert_str_eq(header.lines[0].text, "shmbus bus  0 running  1 stale  1 lost  2 ended");
	cr_assert_str_eq(header.lines[1].text,
			 "agent cpu 1.0%  rss 1.00MiB  lag -  publish -  samples -  up 5.00s");
	cr_assert_eq(header.loud_count, 1);
	cr_assert_eq(strncmp(header.lines[0].text + header.loud[0].at, "1 lost  ", 8), 0);
	cr_assert_eq(header.loud[0].columns, 6);
	cr_assert(has(&header, "** 123456 SAMPLES WERE DROPPED: no room in a ring of s\u00e9ance",
		      true));
	cr_assert(has(&header, "** 1 SESSION STALE: no sign of life **", true));
	cr_assert_eq(header.count, 4);
	document.document.snapshot.age_ns = 4000000000;
	top_header_make(&header, &shown, 120);
	cr_assert(has(&header, "** STALE for 4.00s", true));
	document.document.snapshot.agent_running = false;
	top_header_make(&header, &shown, 120);
	cr_assert(has(&header, "** NO AGENT for 4.00s", true));
	shown.paused_s = 2;
	shown.since_s = 60;
	top_header_make(&header, &shown, 120);
	cr_assert(has(&header, "** PAUSED for 2.00s", true));
	cr_assert(has(&header, "DROPPED SINCE THE BASELINE", true));
	cr_assert(has(&header, "counts of the last 60.0s", false));
	shown.document = NULL;
	shown.error = -2;
	top_header_make(&header, &shown, 120);
	cr_assert(has(&header, "waiting for a snapshot", false));
	cr_assert(has(&header, "** no agent has published on bus", true));
}

Test(top_layout, drops)
{
	struct top_header header;
	struct top_shown shown = {.bus = "bus",
				  .document = &document.document,
				  .rows = &rows,
				  .rate = NAN,
				  .paused_s = NAN,
				  .since_s = NAN,
				  .wanted = &wanted};

	rows.drops = (struct top_drops){0};
	top_header_make(&header, &shown, 120);
	cr_assert_not(has(&header, "DROPPED", true));
	top_drops_add(&rows.drops, "few", 2);
	top_drops_add(&rows.drops, "none", 0);
	top_drops_add(&rows.drops, "most", 40);
	top_drops_add(&rows.drops, "some", 3);
	rows.drops.now = 7;
	top_header_make(&header, &shown, 120);
	cr_assert(has(&header,
		      "** 45 SAMPLES WERE DROPPED, 7 JUST NOW: no room in a ring of most and 2 "
		      "more **",
		      true));
	document.document.snapshot.age_ns = 4000000000; /* "just" was then */
	top_header_make(&header, &shown, 120);
	cr_assert(has(&header, "** 45 SAMPLES WERE DROPPED: no room", true));
}

/* What is nothing makes room for what is not. */
Test(top_layout, narrow_header)
{
	struct top_header header;
	struct top_shown shown = {.bus = "bus",
				  .document = &document.document,
				  .rows = &rows,
				  .rate = NAN,
				  .paused_s = NAN,
				  .since_s = NAN,
				  .wanted = &wanted};

	rows.states[TOP_STALE] = 0;
	rows.missed = 12;
	top_header_make(&header, &shown, 50);
	cr_assert_str_eq(header.lines[0].text, "shmbus bus  0 running  1 lost  2 ended  12 MISSED");
	cr_assert_eq(header.loud_count, 2);
	top_header_make(&header, &shown, 40);
	cr_assert_str_eq(header.lines[0].text, "shmbus bus  0 running  1 lost  2 ended");
	cr_assert_eq(header.loud_count, 1);
}
