/* SPDX-License-Identifier: MIT */
/* text.h - UTF-8 in the columns of a terminal: widths, and cuts that show. */
#ifndef SHMBUS_READERS_TEXT_H
#define SHMBUS_READERS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* What stands in the last column of a text that was cut. */
#define TEXT_CUT '+'

/* Chooses a locale that knows the widths of UTF-8, whatever $LANG says. Once, at the start. */
void text_setup(void);

/* Whether $LANG says so itself: then a terminal can draw with characters beyond ASCII. */
bool text_unicode(void);

/* The columns that a text takes. */
int text_columns(const char *text);

/* Copies what fits in `columns` and in `size` bytes; returns the columns that it takes. */
int text_cut(char *out, size_t size, const char *text, int columns);

/* The same, filled up with spaces on the right, or on the left, to `columns`. Returns out. */
const char *text_cell(char *out, size_t size, const char *text, int columns, bool right);

/* The columns of the window that standard output goes to, 0 where it is none. */
int window_columns(void);

#endif /* SHMBUS_READERS_TEXT_H */
