/* SPDX-License-Identifier: MIT */
#include <curses.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "text.h"
#include "top_view.h"

/* Pairs of colours. Meaning never depends on them alone: there are words, bold and reverse too. */
enum { PAIR_PLAIN, PAIR_GOOD, PAIR_CONCERN, PAIR_TROUBLE, PAIR_TITLE, PAIR_HEAT };

#define HEAT_LEVELS 8

void top_view_begin(struct top_view *view)
{
	static const short few[HEAT_LEVELS] = {COLOR_BLUE,  COLOR_BLUE,   COLOR_CYAN,   COLOR_CYAN,
					       COLOR_GREEN, COLOR_YELLOW, COLOR_YELLOW, COLOR_RED};
	static const short many[HEAT_LEVELS] = {54, 91, 127, 162, 197, 203, 209, 220};

	view->colours = view->colours && has_colors();
	if (!view->colours)
		return;
	start_color();
	use_default_colors();
	init_pair(PAIR_GOOD, COLOR_GREEN, -1);
	init_pair(PAIR_CONCERN, COLOR_YELLOW, -1);
	init_pair(PAIR_TROUBLE, COLOR_RED, -1);
	init_pair(PAIR_TITLE, COLOR_CYAN, -1);
	for (int i = 0; i < HEAT_LEVELS; i++)
		init_pair((short)(PAIR_HEAT + i), COLORS >= 256 ? many[i] : few[i], -1);
}

/* ---- pieces ---- */

/* Text at a place; what curses would show in a width of its own is not let through. */
static void put(int y, int x, const char *text)
{
	wchar_t wide[TOP_LINE_SIZE];
	size_t length = mbstowcs(wide, text, TOP_LINE_SIZE - 1);

	if (length == (size_t)-1 || y < 0 || y >= LINES || x >= COLS)
		return;
	wide[length] = L'\0';
	for (size_t i = 0; i < length; i++)
		if (wcwidth(wide[i]) < 0)
			wide[i] = L'?';
	mvaddwstr(y, x, wide);
}

static void paint(const struct top_view *view, int y, int x, int columns, attr_t attributes,
		  int pair)
{
	if (columns > 0 && x < COLS && y < LINES)
		mvchgat(y, x, x + columns > COLS ? COLS - x : columns, attributes,
			(short)(view->colours ? pair : 0), NULL);
}

static void put_cut(int y, const char *text)
{
	char cut[TOP_LINE_SIZE];

	text_cut(cut, sizeof cut, text, COLS);
	put(y, 0, cut);
}

/* ---- parts of the screen ---- */

/* Where there is no room for all lines those that warn come first; their order stays. */
static int draw_header(const struct top_view *view, const struct top_header *header, int room)
{
	int wanted[2] = {0, 0}, taken[2], seen[2] = {0, 0}, y = 0;

	for (int i = 0; i < header->count; i++)
		wanted[header->lines[i].alarm]++;
	taken[1] = wanted[1] < room ? wanted[1] : room;
	taken[0] = wanted[0] < room - taken[1] ? wanted[0] : room - taken[1];
	for (int i = 0; i < header->count; i++) {
		bool alarm = header->lines[i].alarm;

		if (seen[alarm]++ >= taken[alarm])
			continue;
		put(y, 0, header->lines[i].text);
		if (alarm)
			paint(view, y, 0, COLS, A_REVERSE | A_BOLD, PAIR_TROUBLE);
		else if (i == 0)
			paint(view, y, 0, COLS, A_BOLD, PAIR_PLAIN);
		for (int k = 0; i == 0 && k < header->loud_count; k++)
			paint(view, y, header->loud[k].at, header->loud[k].columns,
			      A_REVERSE | A_BOLD, PAIR_TROUBLE);
		y++;
	}
	return y;
}

static int draw_bus_trend(const struct top_view *view, const struct top_memory *memory, int y)
{
	const struct top_trend *trend = top_memory_bus(memory);
	char text[TOP_SECONDS * 4], line[TOP_LINE_SIZE], number[FORMAT_SIZE];
	double max;

	if (trend == NULL)
		return y;
	top_trend_text(trend, COLS > 34 ? COLS - 34 : 0, view->blocks, text, sizeof text, &max);
	snprintf(line, sizeof line, "samples/s, last minute %s  max %s", text,
		 format_count(number, max));
	put_cut(y, line);
	return y + 1;
}

/* The kind of the selected row or, if that is a session, of the next row that is none. */
static enum top_kind kind_inside(const struct top_rows *rows, size_t at)
{
	for (size_t i = 0; i < rows->count; i++) {
		enum top_kind kind = rows->rows[(at + i) % rows->count].kind;

		if (kind != TOP_SESSION)
			return kind;
	}
	return TOP_SESSION;
}

/* Which kinds have a heading: all that there are, in a low window two of them, in one of a few
 * lines the selected row's alone. Returns how many. */
static int headings_of(const struct top_rows *rows, size_t at, bool shown[TOP_KINDS])
{
	int count = 0;

	memset(shown, 0, TOP_KINDS * sizeof *shown);
	if (LINES < 4)
		return 0;
	if (LINES < 8) {
		shown[at < rows->count ? rows->rows[at].kind : TOP_SESSION] = true;
		return 1;
	}
	shown[TOP_SESSION] = true;
	if (LINES < 18)
		shown[kind_inside(rows, at)] = true;
	else
		for (size_t i = 0; i < rows->count; i++)
			shown[rows->rows[i].kind] = true;
	for (int kind = 0; kind < TOP_KINDS; kind++)
		count += shown[kind];
	return count;
}

static void draw_headings(const struct top_view *view, const struct top_layout *layout,
			  const struct top_rows *rows, const struct top_state *state, int y,
			  const bool shown[TOP_KINDS])
{
	enum top_kind selected = rows->count > 0 ? rows->rows[state->at].kind : TOP_SESSION;
	char line[TOP_LINE_SIZE];

	for (int kind = 0; kind < TOP_KINDS; kind++) {
		if (!shown[kind])
			continue;
		top_heading_line(line, layout, (enum top_kind)kind, state->sort);
		put(y, 0, line);
		paint(view, y++, 0, COLS,
		      kind == (int)selected ? A_BOLD | A_UNDERLINE : A_UNDERLINE, PAIR_TITLE);
	}
}

static void draw_row(const struct top_view *view, const struct top_layout *layout,
		     const struct top_row *row, const struct top_trend *trend, int y, bool selected)
{
	static const char *const marks[] = {"+ ", "- ", "= "};
	char line[TOP_LINE_SIZE], text[TOP_SECONDS * 4];
	bool over = row->kind == TOP_SESSION && row->slots[SLOT_STATE] == TOP_ENDED;
	attr_t base = selected ? A_REVERSE : over ? A_DIM : A_NORMAL;
	double max;

	top_row_line(line, layout, row, marks[row->open]);
	put(y, 0, line);
	if (layout->trend_at >= 0 && trend != NULL) {
		top_trend_text(trend, layout->trend, view->blocks, text, sizeof text, &max);
		put(y, layout->trend_at, text);
	}
	if (row->kind == TOP_SESSION && !over)
		base |= A_BOLD;
	paint(view, y, 0, COLS, base, PAIR_PLAIN);
	for (int i = 0; i < TOP_SLOTS; i++) {
		if (layout->at[i] < 0)
			continue;
		if (row->trouble & 1 << i)
			paint(view, y, layout->at[i], top_slot_widths[i], A_BOLD | A_REVERSE,
			      PAIR_TROUBLE);
		else if (row->concern & 1 << i)
			paint(view, y, layout->at[i], top_slot_widths[i], base | A_BOLD,
			      PAIR_CONCERN);
		else if (row->kind == TOP_SESSION && i == SLOT_STATE && !over)
			paint(view, y, layout->at[i], top_slot_widths[i], base, PAIR_GOOD);
	}
}

/* ---- latencies ---- */

static void draw_strip(const struct top_view *view, const double bins[TOP_BINS], int first,
		       int last, int y, int x, int columns)
{
	static const char *const full[] = {" ",      "\u00b7", "\u2591", "\u2591", "\u2592",
					   "\u2592", "\u2593", "\u2593", "\u2588"};
	static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "%", "#"};
	uint8_t levels[1024];

	top_heat_levels(bins, first, last, HEAT_LEVELS, columns, levels);
	for (int i = 0; i < columns; i++) {
		put(y, x + i, (view->blocks ? full : plain)[levels[i]]);
		if (levels[i] > 0)
			paint(view, y, x + i, 1, A_NORMAL, PAIR_HEAT + levels[i] - 1);
	}
}

/* Latencies from left to right, by logarithm; time from above, the newest last. */
static void draw_heat(const struct top_view *view, const struct top_heat *heat,
		      const struct top_row *row, int y, int rows)
{
	const int x = 7;
	char line[TOP_LINE_SIZE], number[FORMAT_SIZE], id[80];
	int first, last, columns = COLS - x > 1024 ? 1024 : COLS - x;
	uint64_t newest = 0;

	snprintf(line, sizeof line, "latencies of %s: %s%s",
		 member_text(row->session, "id", id, sizeof id), heat->name,
		 heat->known ? "" : " has no histogram");
	put_cut(y, line);
	paint(view, y++, 0, COLS, A_UNDERLINE, PAIR_TITLE);
	if (columns < 8 || !top_heat_range(heat, &first, &last))
		return;
	for (int i = 0; i < TOP_HEAT_ROWS; i++)
		newest = heat->slice[i] > newest ? heat->slice[i] : newest;
	for (int back = rows - 2; back >= 0; back--, y++) {
		uint64_t slice = newest - (uint64_t)back;

		snprintf(line, sizeof line, "%4d s ", (back + 1) * 10);
		put(y, 0, line);
		if (heat->slice[slice % TOP_HEAT_ROWS] == slice)
			draw_strip(view, heat->rows[slice % TOP_HEAT_ROWS], first, last, y, x,
				   columns);
	}
	put(y, 0, "  ever ");
	draw_strip(view, heat->ever, first, last, y++, x, columns);
	for (int i = 0; i < 4; i++) {
		int at = i * columns / 4;

		format_value(number, top_bin_limit(first + at * (last - first + 1) / columns - 1),
			     heat->unit);
		snprintf(line, sizeof line, "%c%s", view->blocks ? '^' : '|', number);
		if (text_columns(line) < columns / 4)
			put(y, x + at, line);
	}
}

/* ---- help ---- */

static void draw_help(const struct top_view *view)
{
	static const char *const lines[] = {
		"shmbus top: keys",
		"",
		"  q, Ctrl-C        quit               Ctrl-Z  stop for now",
		"  up, down, k, j   select a row       PgUp, PgDn, Home, End, g, G",
		"  right, left      open the session more, or less",
		"  Enter            closed, timers, all: in turn",
		"  c, o, a          all sessions: closed, open, with values and writers",
		"  < >, s           sort sessions by the column before, the next one",
		"  r                the other way round",
		"  /                filter: part of a name, or a glob with * ? [",
		"  Esc              no filter",
		"  p, Space         pause, or go on",
		"  z                counts begin now, on this screen only; Z: no more",
		"  l                latencies of the selected metric: shown or not",
		"",
		"  CYCLE: QUANT frames a cycle, RATE frames a second, WAIT awake - signal,",
		"    BUSY finish - awake, W/Q and B/Q: parts of the quantum, ERR xruns, misses",
		"  TIMER: COUNT ever, RATE a second over 10 s, MEAN to MAX of all, TARGET",
		"  SESSION: B/Q the largest, ERR the sum of its cycles; a dash: no value",
		"",
		"Any key goes back, q too.",
	};

	for (int i = 0; i < (int)(sizeof lines / sizeof lines[0]); i++)
		put_cut(i, lines[i]);
	paint(view, 0, 0, COLS, A_BOLD, PAIR_TITLE);
}

/* ---- all of it ---- */

/* The lines of the latencies: title, strips, scale. */
static int heat_lines(const struct top_state *state, const struct top_shown *shown)
{
	const struct top_rows *rows = shown->rows;

	if (!state->strip || rows->count == 0 || shown->document == NULL)
		return 0;
	return LINES >= 40 ? 3 + TOP_HEAT_ROWS : LINES >= 20 ? 4 : 0;
}

static void draw_table(const struct top_view *view, const struct top_shown *shown,
		       const struct top_layout *layout, const struct top_state *state,
		       const struct top_memory *memory, int y, size_t page)
{
	const struct top_rows *rows = shown->rows;

	for (size_t i = 0; i < page && state->first + i < rows->count; i++) {
		const struct top_row *row = &rows->rows[state->first + i];

		draw_row(view, layout, row, top_memory_trend(memory, row->key), y + (int)i,
			 state->first + i == state->at);
	}
	if (rows->count == 0 && shown->document != NULL)
		put_cut(y, rows->filtered > 0 ? "nothing passes the filter" : "no session yet");
}

size_t top_view_draw(const struct top_view *view, const struct top_shown *shown,
		     struct top_state *state, const struct top_memory *memory,
		     const struct top_heat *heat)
{
	const struct top_rows *rows = shown->rows;
	bool kinds[TOP_KINDS];
	int headings = headings_of(rows, state->at, kinds);
	int bottom = heat_lines(state, shown), y, room;
	struct top_header header;
	struct top_layout layout;
	char line[TOP_LINE_SIZE];
	size_t page;

	erase();
	if (state->helps) {
		draw_help(view);
		refresh();
		return 1;
	}
	top_header_make(&header, shown, COLS);
	room = LINES >= 18 ? header.count : (LINES - headings) / 3;
	y = draw_header(view, &header, room > 0 ? room : 1);
	if (LINES >= 22 && shown->document != NULL)
		y = draw_bus_trend(view, memory, y);
	room = LINES - y - headings - bottom - state->asks;
	page = room > 0 ? (size_t)room : 0;
	if (rows->count > page && page > 1)
		page--; /* for the line that counts the rest */
	top_state_follow(state, rows, page);
	top_layout_make(&layout, COLS, rows, true);
	if (headings > 0)
		draw_headings(view, &layout, rows, state, y, kinds);
	draw_table(view, shown, &layout, state, memory, y + headings, page);
	if (rows->count > page && room > 1) {
		snprintf(line, sizeof line, "+ %zu more rows: arrows and PgDn, / filters, c closes",
			 rows->count - page);
		put_cut(y + headings + (int)page, line);
	}
	if (bottom > 0)
		draw_heat(view, heat, &rows->rows[state->at], LINES - bottom - state->asks,
			  bottom - 2);
	if (state->asks) {
		snprintf(line, sizeof line, "filter: %s_", state->filter);
		put_cut(LINES - 1, line);
		paint(view, LINES - 1, 0, COLS, A_REVERSE, PAIR_PLAIN);
	}
	refresh();
	return page > 0 ? page : 1;
}
