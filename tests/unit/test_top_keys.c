/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <curses.h>

#include "json_document.h"
#include "top_keys.h"

static struct json_document document;
static struct top_rows rows;
static struct top_memory *memory;
static struct top_state state;

static void remake(void)
{
	struct top_wanted wanted = {.sort = state.sort,
				    .reverse = state.reverse,
				    .filter = state.filter,
				    .open_of = top_memory_open,
				    .data = memory};

	cr_assert_eq(top_rows_make(&rows, &document.document, &wanted), 0);
	top_state_follow(&state, &rows, 3);
}

/* Three sessions, each with two timers. */
static void setup(void)
{
	static const char session[] = "{'id':'%c','segment':'%c','state':'running','metrics':["
				      "{'name':'t','kind':'timer'},{'name':'u','kind':'timer'}]}";
	char texts[3][256];

	memory = top_memory_new();
	for (int i = 0; i < 3; i++)
		snprintf(texts[i], sizeof texts[i], session, 'a' + i, 'a' + i);
	json_document_make(&document, "{'sessions':[%s,%s,%s]}", texts[0], texts[1], texts[2]);
	remake();
	top_memory_take(memory, &document.document, &rows);
}

static void teardown(void)
{
	top_rows_free(&rows);
	top_memory_free(memory);
	json_document_free(&document);
}

TestSuite(top_keys, .init = setup, .fini = teardown);

static enum top_action key(int code)
{
	enum top_action action = top_key(&state, code, &rows, memory, 3);

	if (action == TOP_REMAKE)
		remake();
	return action;
}

static void type(const char *text)
{
	for (; *text != '\0'; text++)
		key((unsigned char)*text);
}

Test(top_keys, selection_stays_on_the_screen)
{
	cr_assert_eq(rows.count, 9);
	cr_assert_eq(state.at, 0);
	key(KEY_UP);
	cr_assert_eq(state.at, 0);
	for (int i = 0; i < 4; i++)
		key(KEY_DOWN);
	cr_assert_eq(state.at, 4);
	cr_assert_eq(state.first, 2);
	key(KEY_NPAGE);
	cr_assert_eq(state.at, 7);
	key(KEY_END);
	cr_assert_eq(state.at, 8);
	cr_assert_eq(state.first, 6);
	key(KEY_DOWN);
	cr_assert_eq(state.at, 8);
	key(KEY_PPAGE);
	cr_assert_eq(state.at, 5);
	key(KEY_HOME);
	cr_assert(state.at == 0 && state.first == 0);
}

Test(top_keys, selection_follows_its_row)
{
	for (int i = 0; i < 3; i++)
		key('j');
	cr_assert_str_eq(rows.rows[state.at].name, "b");
	state.sort = TOP_BY_NAME;
	state.reverse = true;
	key('x');
	remake();
	cr_assert_str_eq(rows.rows[state.at].name, "b");
	type("j");
	key('r'); /* a, b, c again */
	cr_assert_eq(state.at, 4);
	/* Where its row is gone, what stands there now is selected. */
	type("/c");
	cr_assert_lt(state.at, rows.count);
	key(27);
	cr_assert_eq(rows.count, 9);
}

Test(top_keys, folds)
{
	key(KEY_DOWN);
	cr_assert_eq(key(KEY_LEFT), TOP_REMAKE); /* from a timer: its session */
	cr_assert_eq(rows.count, 7);
	cr_assert_eq(state.at, 0);
	cr_assert_eq(key(KEY_LEFT), TOP_REDRAW); /* no further */
	key('+');
	cr_assert_eq(rows.count, 9);
	key('+');
	cr_assert_eq(rows.rows[0].open, TOP_ALL);
	cr_assert_eq(key('+'), TOP_REDRAW);
	key('\r'); /* from all to closed */
	cr_assert_eq(rows.rows[0].open, TOP_CLOSED);
	key('\r');
	cr_assert_eq(rows.rows[0].open, TOP_TIMERS);
	key(KEY_END);
	key('c');
	cr_assert_eq(rows.count, 3);
	cr_assert_str_eq(rows.rows[state.at].name, "c"); /* its session */
	key('a');
	cr_assert_eq(rows.rows[0].open, TOP_ALL);
	key('o');
	cr_assert_eq(rows.count, 9);
}

Test(top_keys, filter)
{
	cr_assert_eq(key('/'), TOP_REDRAW);
	type("qZ<");
	cr_assert_str_eq(state.filter, "qZ<"); /* letters, no commands */
	cr_assert_eq(rows.count, 0);
	key('U' - '@');
	type("\u00e9b");
	key(KEY_BACKSPACE);
	cr_assert_str_eq(state.filter, "\u00e9");
	key(127);
	cr_assert_str_eq(state.filter, ""); /* a character, not a byte */
	key(KEY_BACKSPACE);
	type("b");
	key('\r');
	cr_assert_not(state.asks);
	cr_assert_eq(rows.count, 3);
	cr_assert_eq(key(27), TOP_REMAKE);
	cr_assert_eq(rows.count, 9);
	key('/');
	for (int i = 0; i < 200; i++)
		key('x');
	cr_assert_eq(strlen(state.filter), sizeof state.filter - 1);
	cr_assert_eq(key(KEY_DOWN), TOP_REDRAW); /* nothing that can be typed */
}

Test(top_keys, sort_goes_round)
{
	cr_assert_eq(state.sort, TOP_BY_STATE);
	key('<');
	cr_assert_eq(state.sort, TOP_BY_NAME);
	key('>');
	cr_assert_eq(state.sort, TOP_BY_STATE);
	for (int i = 0; i <= TOP_SLOTS; i++)
		key('s');
	cr_assert_eq(state.sort, TOP_BY_STATE);
}

Test(top_keys, others)
{
	cr_assert_eq(key('q'), TOP_QUIT);
	cr_assert_eq(key('p'), TOP_PAUSE);
	cr_assert_eq(key(' '), TOP_PAUSE);
	cr_assert_eq(key('z'), TOP_BASELINE);
	cr_assert_eq(key('Z'), TOP_RESTORE);
	key('?');
	cr_assert(state.helps);
	cr_assert_eq(key('p'), TOP_REDRAW); /* only goes back */
	cr_assert_not(state.helps);
	key(KEY_F(1));
	cr_assert_eq(key('q'), TOP_REDRAW); /* of help alone, as in other viewers */
	cr_assert_not(state.helps);
}

Test(top_keys, nothing_to_select)
{
	static const int keys[] = {KEY_UP,   KEY_DOWN,  KEY_NPAGE, KEY_PPAGE, KEY_HOME, KEY_END,
				   KEY_LEFT, KEY_RIGHT, '\r',      'c',       'a',      'o'};

	json_document_free(&document);
	json_document_make(&document, "{}");
	remake();
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		key(keys[i]);
	cr_assert(state.at == 0 && state.first == 0);
}
