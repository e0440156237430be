/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <criterion/criterion.h>

#include "text.h"

#define KANJI "\xe6\x97\xa5" /* three bytes, two columns */
#define ACUTE "\xcc\x81"     /* combines: two bytes, no column */
#define EURO "\xe2\x82\xac"  /* three bytes, one column */

TestSuite(text, .init = text_setup);

static void cut_is(const char *text, int columns, const char *wanted, int taken)
{
	char out[64];

	cr_assert_eq(text_cut(out, sizeof out, text, columns), taken, "\"%s\" in %d", text,
		     columns);
	cr_assert_str_eq(out, wanted);
}

Test(text, columns)
{
	cr_assert_eq(text_columns(""), 0);
	cr_assert_eq(text_columns("abc"), 3);
	cr_assert_eq(text_columns(KANJI KANJI), 4);
	cr_assert_eq(text_columns("e" ACUTE), 1);
	cr_assert_eq(text_columns(EURO "5"), 2);
	/* What is no UTF-8 takes a column a byte. */
	cr_assert_eq(text_columns("\xff\xfe"), 2);
	cr_assert_eq(text_columns("a\xe6\x97"), 3);
}

Test(text, cut)
{
	cut_is("abc", 3, "abc", 3);
	cut_is("abcd", 3, "ab+", 3);
	cut_is("abc", 1, "+", 1);
	cut_is("abc", 0, "", 0);
	cut_is("", 0, "", 0);
	cut_is(KANJI KANJI, 4, KANJI KANJI, 4);
	cut_is(KANJI KANJI, 3, KANJI "+", 3);
	/* Half of a wide character has no place: the column stays free. */
	cut_is(KANJI KANJI KANJI, 4, KANJI "+", 3);
	cut_is(KANJI, 1, "+", 1);
	cut_is("e" ACUTE "x", 2, "e" ACUTE "x", 2);
}

Test(text, small_buffers)
{
	static const int wanted[] = {0, 0, 1, 1, 1, 3, 3, 3, 5};
	char out[8];

	for (size_t size = 1; size <= sizeof out; size++) {
		memset(out, '#', sizeof out);
		text_cut(out, size, KANJI KANJI KANJI KANJI, 80);
		cr_assert_lt(strlen(out), size);
		/* Characters stay whole, and the mark has room. */
		cr_assert_eq(text_columns(out), wanted[size], "%zu", size);
		memset(out, '#', sizeof out);
		text_cell(out, size, "ab", 80, true);
		cr_assert_lt(strlen(out), size);
	}
}

Test(text, cells)
{
	char out[64];

	cr_assert_str_eq(text_cell(out, sizeof out, "ab", 4, false), "ab  ");
	cr_assert_str_eq(text_cell(out, sizeof out, "ab", 4, true), "  ab");
	cr_assert_str_eq(text_cell(out, sizeof out, KANJI, 4, false), KANJI "  ");
	cr_assert_str_eq(text_cell(out, sizeof out, KANJI KANJI KANJI, 4, true), " " KANJI "+");
	cr_assert_str_eq(text_cell(out, sizeof out, "", 2, true), "  ");
}
