/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "text.h"
#include "top_layout.h"

const int top_slot_widths[TOP_SLOTS] = {7, 6, 7, 7, 7, 7, 6};

/* The slots from the most important on: where a narrow window begins to leave out. */
static const int slot_order[TOP_SLOTS] = {SLOT_STATE, SLOT_DROPS, SLOT_ERRORS, SLOT_BUSY_RATIO, 4,
					  2,          1};

#define TREND_MIN 12
#define TREND_MAX 60

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

static int indent_of(enum top_kind kind)
{
	return kind == TOP_SESSION ? 2 : 4;
}

void top_layout_make(struct top_layout *layout, int columns, const struct top_rows *rows,
		     bool trend)
{
	int least = columns < 60 ? 14 : 20, natural = least, left, at;
	bool has[TOP_SLOTS] = {false};

	for (size_t i = 0; i < rows->count; i++) {
		const struct top_row *row = &rows->rows[i];
		int wide = indent_of(row->kind) + text_columns(row->name);

		natural = wide > natural ? wide : natural;
	}
	*layout = (struct top_layout){.columns = columns, .note_at = -1, .trend_at = -1};
	left = columns - least;
	for (int i = 0; i < TOP_SLOTS; i++) {
		int wide = top_slot_widths[slot_order[i]] + 1;

		has[slot_order[i]] = left >= wide;
		left -= left >= wide ? wide : 0;
	}
	layout->name = smaller(columns, left > 0 ? smaller(natural, least + left) : least);
	at = layout->name;
	for (int i = 0; i < TOP_SLOTS; i++) {
		layout->at[i] = has[i] ? at + 1 : -1;
		at += has[i] ? 1 + top_slot_widths[i] : 0;
	}
	if (columns - at > TOP_NOTE_WIDTH + 1) {
		layout->note_at = at + 2;
		at += 2 + TOP_NOTE_WIDTH;
	}
	if (trend && columns - at > TREND_MIN) {
		layout->trend_at = at + 1;
		layout->trend = smaller(TREND_MAX, columns - at - 1);
	}
}

/* Puts text at a column, behind what is there. */
static void put(char out[TOP_LINE_SIZE], int at, const char *text, int wide, bool right)
{
	char cell[512];
	size_t length = strlen(out);
	int gap = at - text_columns(out);

	text_cell(cell, sizeof cell, text, wide, right);
	snprintf(out + length, TOP_LINE_SIZE - length, "%*s%s", gap > 0 ? gap : 0, "", cell);
}

static void trim(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && text[length - 1] == ' ')
		text[--length] = '\0';
}

void top_row_line(char out[TOP_LINE_SIZE], const struct top_layout *layout,
		  const struct top_row *row, const char *mark)
{
	char name[128], text[FORMAT_SIZE];

	out[0] = '\0';
	snprintf(name, sizeof name, "%s%*s%s", row->kind == TOP_SESSION ? mark : "",
		 indent_of(row->kind) - (row->kind == TOP_SESSION ? text_columns(mark) : 0), "",
		 row->name);
	put(out, 0, name, layout->name, false);
	for (int i = 0; i < TOP_SLOTS; i++) {
		int wide = top_slot_widths[i];

		if (layout->at[i] < 0)
			continue;
		top_slot_text(row, i, text);
		/* A word is no number: it may take what follows it, where nothing stands. */
		if (row->kind == TOP_VALUE && i == 2 && row->text[0] != '\0') {
			put(out, layout->at[i], row->text, layout->columns - layout->at[i], false);
			trim(out);
			return;
		}
		put(out, layout->at[i], text, wide,
		    i != SLOT_STATE || row->kind == TOP_WRITER || row->kind == TOP_CYCLE ||
			    row->kind == TOP_TIMER);
	}
	if (layout->note_at >= 0)
		put(out, layout->note_at, row->note, TOP_NOTE_WIDTH, false);
	trim(out);
}

void top_heading_line(char out[TOP_LINE_SIZE], const struct top_layout *layout, enum top_kind kind,
		      int sort)
{
	char title[16], text[32];
	bool words = kind == TOP_SESSION || kind == TOP_VALUE;
	bool sorts = kind == TOP_SESSION;

	out[0] = '\0';
	snprintf(title, sizeof title, "%*s%s%s", indent_of(kind), "", top_kind_titles[kind],
		 sorts && sort == TOP_BY_NAME ? "*" : "");
	put(out, 0, title, layout->name, false);
	for (int i = 0; i < TOP_SLOTS; i++) {
		const char *name = top_columns[kind][i].title;

		if (layout->at[i] < 0 || name == NULL)
			continue;
		snprintf(text, sizeof text, "%s%s", name, sorts && sort == i ? "*" : "");
		put(out, layout->at[i], text, top_slot_widths[i], i != SLOT_STATE || !words);
	}
	if (layout->note_at >= 0)
		put(out, layout->note_at,
		    kind == TOP_SESSION  ? "SERVICE"
		    : kind == TOP_WRITER ? ""
					 : "STAGE",
		    TOP_NOTE_WIDTH, false);
	if (layout->trend_at >= 0)
		put(out, layout->trend_at,
		    kind == TOP_SESSION                      ? "SAMPLES/S, LAST MINUTE"
		    : kind == TOP_CYCLE || kind == TOP_TIMER ? "MEAN, LAST MINUTE"
							     : "",
		    layout->trend, false);
	trim(out);
}

/* ---- above the table ---- */

__attribute__((format(printf, 4, 5))) static void line(struct top_header *header, int columns,
						       bool alarm, const char *format, ...)
{
	int last = (int)(sizeof header->lines / sizeof header->lines[0]);
	char text[512];
	va_list arguments;

	if (header->count == last)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	text_cut(header->lines[header->count].text, sizeof header->lines[0].text, text, columns);
	header->lines[header->count++].alarm = alarm;
}

/* Adds to the last line what fits whole. */
__attribute__((format(printf, 3, 4))) static void more(struct top_header *header, int columns,
						       const char *format, ...)
{
	char *text = header->lines[header->count - 1].text, part[128];
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(part, sizeof part, format, arguments);
	va_end(arguments);
	if (text_columns(text) + text_columns(part) <= columns &&
	    length + strlen(part) < sizeof header->lines[0].text)
		strcpy(text + length, part);
}

/* How much, whether it goes on, and who: in this order, for the window may be narrow. */
static void drops_line(struct top_header *header, const struct top_shown *shown, int columns)
{
	const struct shmbus_snapshot *snapshot = &shown->document->snapshot;
	const struct top_drops *drops = &shown->rows->drops;
	char now[40] = "", others[40] = "";

	if (drops->now > 0 && snapshot->agent_running && !snapshot_stale(snapshot))
		snprintf(now, sizeof now, ", %.0f JUST NOW", drops->now);
	if (drops->sessions > 1)
		snprintf(others, sizeof others, " and %u more", drops->sessions - 1);
	line(header, columns, true,
	     "** %.0f SAMPLES WERE DROPPED%s%s: no room in a ring of %s%s **", drops->all,
	     isnan(shown->since_s) ? "" : " SINCE THE BASELINE", now, drops->name, others);
}

static void alarms(struct top_header *header, const struct top_shown *shown, int columns)
{
	const struct shmbus_snapshot *snapshot = &shown->document->snapshot;
	const uint32_t *states = shown->rows->states;
	char age[FORMAT_SIZE];

	format_duration(age, (double)snapshot->age_ns);
	if (!snapshot->agent_running)
		line(header, columns, true,
		     "** NO AGENT for %s: all below is old; 'shmbus-agent --bus %s' **", age,
		     shown->bus);
	else if (isnan(shown->paused_s) && snapshot_stale(snapshot))
		line(header, columns, true, "** STALE for %s: the agent is stopped or starved **",
		     age);
	if (!isnan(shown->paused_s))
		line(header, columns, true, "** PAUSED for %s: p goes on **",
		     format_duration(age, shown->paused_s * 1e9));
	if (shown->rows->drops.all > 0)
		drops_line(header, shown, columns);
	if (states[TOP_STALE] > 0)
		line(header, columns, true, "** %u SESSION%s STALE: no sign of life **",
		     states[TOP_STALE], states[TOP_STALE] == 1 ? "" : "S");
}

static void agent_line(struct top_header *header, const struct top_shown *shown, int columns)
{
	const msgpack_object *root = &shown->document->root, *agent = member(root, "agent");
	uint64_t now = member_u64(root, "time_unix_ns", 0);
	uint64_t start = member_u64(agent, "start_time_unix_ns", now);
	char f[FORMAT_SIZE];

	line(header, columns, false, "agent cpu %s",
	     format_percent(f, member_real(agent, "cpu_ratio", NAN)));
	more(header, columns, "  rss %s", format_bytes(f, member_real(agent, "rss_bytes", NAN)));
	more(header, columns, "  lag %s",
	     format_duration(f, member_real(agent, "drain_lag_ns", NAN)));
	more(header, columns, "  publish %s",
	     format_duration(f, member_real(agent, "publish_ns", NAN)));
	more(header, columns, "  samples %s",
	     format_count(f, member_real(agent, "samples_total", NAN)));
	if (!isnan(shown->rate))
		more(header, columns, "  %s/s", format_count(f, shown->rate));
	more(header, columns, "  up %s",
	     format_duration(f, now > start ? (double)(now - start) : 0));
}

/* A count in the first line. A narrow window has no room for what is nothing. */
static void tally(struct top_header *header, int columns, double count, const char *what, bool loud)
{
	int at = text_columns(header->lines[0].text), wide;

	if (count == 0 && columns < 60)
		return;
	more(header, columns, "  %.0f %s", count, what);
	wide = text_columns(header->lines[0].text) - at;
	if (!loud || count == 0 || wide == 0)
		return;
	header->loud[header->loud_count].at = at + 2;
	header->loud[header->loud_count++].columns = wide - 2;
}

/* What the table is not: all, from the beginning, in its usual order. */
static void choice_line(struct top_header *header, const struct top_shown *shown, int columns)
{
	const struct top_wanted *wanted = shown->wanted;
	bool sorted = wanted->sort != TOP_BY_STATE || wanted->reverse;
	char f[FORMAT_SIZE];

	if (!sorted && wanted->filter[0] == '\0' && isnan(shown->since_s))
		return;
	line(header, columns, false, "%s", "");
	if (wanted->filter[0] != '\0')
		more(header, columns, "filter \"%.60s\": %u sessions hidden  ", wanted->filter,
		     shown->rows->filtered);
	if (!isnan(shown->since_s))
		more(header, columns, "counts of the last %s  ",
		     format_duration(f, shown->since_s * 1e9));
	if (sorted)
		more(header, columns, "by %s%s",
		     wanted->sort == TOP_BY_NAME ? "name"
						 : top_columns[TOP_SESSION][wanted->sort].title,
		     wanted->reverse ? ", reversed" : "");
}

void top_header_make(struct top_header *header, const struct top_shown *shown, int columns)
{
	const uint32_t *states = shown->rows->states;
	const msgpack_object *totals;
	char text[256];

	header->count = header->loud_count = 0;
	line(header, columns, false, "shmbus %s", shown->bus);
	if (shown->document == NULL) {
		more(header, columns, "  waiting for a snapshot");
		if (shown->live)
			more(header, columns, "  q: quit");
		line(header, columns, true, "** %s **",
		     read_failure(shown->error, shown->bus, text, sizeof text));
		return;
	}
	totals = member(&shown->document->root, "totals");
	more(header, columns, "  %u running", states[TOP_RUNNING]);
	tally(header, columns, states[TOP_STALE], "stale", false); /* has a line of its own */
	tally(header, columns, member_real(totals, "sessions_lost", 0), "lost", true);
	tally(header, columns, member_real(totals, "sessions_ended", 0), "ended", false);
	if (shown->rows->missed > 0)
		tally(header, columns, shown->rows->missed, "MISSED", true);
	if (shown->live)
		more(header, columns, "  ?: help  q: quit");
	agent_line(header, shown, columns);
	choice_line(header, shown, columns);
	alarms(header, shown, columns);
}
