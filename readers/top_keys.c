/* SPDX-License-Identifier: MIT */
#include <curses.h>
#include <string.h>

#include "top_keys.h"

#define ESCAPE 27

static void select_row(struct top_state *state, const struct top_rows *rows, size_t at)
{
	if (rows->count == 0)
		return;
	state->at = at < rows->count ? at : rows->count - 1;
	state->selected = rows->rows[state->at].key;
}

void top_state_follow(struct top_state *state, const struct top_rows *rows, size_t page)
{
	if (rows->count == 0) {
		state->at = state->first = 0;
		return;
	}
	if (state->at >= rows->count || rows->rows[state->at].key != state->selected) {
		size_t at = 0;

		while (at < rows->count && rows->rows[at].key != state->selected)
			at++;
		/* Until a key was pressed the first row is selected, whichever that is. */
		if (state->selected == 0)
			state->at = 0;
		else
			select_row(state, rows, at < rows->count ? at : state->at);
	}
	if (page == 0)
		page = 1;
	if (state->at < state->first)
		state->first = state->at;
	if (state->at >= state->first + page)
		state->first = state->at - page + 1;
	if (state->first + page > rows->count)
		state->first = rows->count > page ? rows->count - page : 0;
}

/* The session that a row belongs to. */
static size_t session_of(const struct top_rows *rows, size_t at)
{
	while (at > 0 && rows->rows[at].kind != TOP_SESSION)
		at--;
	return at;
}

/* Opens the selected session by a step, or closes it. */
static enum top_action fold(struct top_state *state, const struct top_rows *rows,
			    struct top_memory *memory, int step)
{
	const struct top_row *session;
	int open;

	if (rows->count == 0)
		return TOP_REDRAW;
	session = &rows->rows[session_of(rows, state->at)];
	open = session->open + step;
	if (step == 0) /* the next one, and from the last to the first */
		open = session->open == TOP_ALL ? TOP_CLOSED : session->open + 1;
	if (open < TOP_CLOSED || open > TOP_ALL)
		return TOP_REDRAW;
	if (open < session->open) /* what is selected may be gone then */
		select_row(state, rows, (size_t)(session - rows->rows));
	else
		select_row(state, rows, state->at);
	top_memory_open_set(memory, session->key, open);
	return TOP_REMAKE;
}

static enum top_action open_all(struct top_state *state, const struct top_rows *rows,
				struct top_memory *memory, int open)
{
	if (rows->count > 0)
		select_row(state, rows, session_of(rows, state->at));
	top_memory_open_all(memory, open);
	return TOP_REMAKE;
}

static enum top_action ask(struct top_state *state, int key)
{
	size_t length = strlen(state->filter);

	switch (key) {
	case '\n':
	case '\r':
	case KEY_ENTER:
		state->asks = false;
		return TOP_REDRAW;
	case ESCAPE:
		state->asks = false;
		state->filter[0] = '\0';
		return TOP_REMAKE;
	case KEY_BACKSPACE:
	case 127:
	case '\b':
		/* A character of UTF-8 goes as a whole. */
		while (length > 0 && (state->filter[length - 1] & 0xc0) == 0x80)
			length--;
		if (length > 0)
			state->filter[length - 1] = '\0';
		return TOP_REMAKE;
	case 'U' - '@': /* as a terminal's line editing has it */
		state->filter[0] = '\0';
		return TOP_REMAKE;
	default:
		if (key < ' ' || key > 255 || length + 1 >= sizeof state->filter)
			return TOP_REDRAW;
		state->filter[length] = (char)key;
		state->filter[length + 1] = '\0';
		return TOP_REMAKE;
	}
}

static bool moved(struct top_state *state, int key, const struct top_rows *rows, size_t page)
{
	size_t at = state->at;

	if (page == 0)
		page = 1;
	switch (key) {
	case KEY_UP:
	case 'k':
		at = at > 0 ? at - 1 : 0;
		break;
	case KEY_DOWN:
	case 'j':
		at++;
		break;
	case KEY_PPAGE:
		at = at > page ? at - page : 0;
		break;
	case KEY_NPAGE:
		at += page;
		break;
	case KEY_HOME:
	case 'g':
		at = 0;
		break;
	case KEY_END:
	case 'G':
		at = rows->count;
		break;
	default:
		return false;
	}
	select_row(state, rows, at);
	top_state_follow(state, rows, page);
	return true;
}

static enum top_action sort_by(struct top_state *state, int sort)
{
	state->sort = (sort + TOP_SLOTS + 1) % (TOP_SLOTS + 1);
	state->first = 0;
	return TOP_REMAKE;
}

enum top_action top_key(struct top_state *state, int key, const struct top_rows *rows,
			struct top_memory *memory, size_t page)
{
	if (state->asks)
		return ask(state, key);
	if (state->helps) {
		state->helps = false;
		return TOP_REDRAW;
	}
	if (moved(state, key, rows, page))
		return TOP_REDRAW;
	switch (key) {
	case 'q':
	case 'Q':
		return TOP_QUIT;
	case '?':
	case 'h':
	case KEY_F(1):
		state->helps = true;
		return TOP_REDRAW;
	case KEY_RIGHT:
	case '+':
		return fold(state, rows, memory, 1);
	case KEY_LEFT:
	case '-':
		return fold(state, rows, memory, -1);
	case '\n':
	case '\r':
	case KEY_ENTER:
		return fold(state, rows, memory, 0);
	case 'c':
		return open_all(state, rows, memory, TOP_CLOSED);
	case 'o':
		return open_all(state, rows, memory, TOP_TIMERS);
	case 'a':
		return open_all(state, rows, memory, TOP_ALL);
	case '<':
		return sort_by(state, state->sort - 1);
	case '>':
	case 's':
		return sort_by(state, state->sort + 1);
	case 'r':
		state->reverse = !state->reverse;
		return TOP_REMAKE;
	case '/':
		state->asks = true;
		return TOP_REDRAW;
	case ESCAPE:
		state->filter[0] = '\0';
		return TOP_REMAKE;
	case 'p':
	case ' ':
		return TOP_PAUSE;
	case 'z':
		return TOP_BASELINE;
	case 'Z':
		return TOP_RESTORE;
	case 'l':
		state->strip = !state->strip;
		return TOP_REDRAW;
	default:
		return TOP_REDRAW;
	}
}
