/* SPDX-License-Identifier: MIT */
/* screen.h - the terminal of shmbus top: lines that fit its window, and all as it was after. */
#ifndef SHMBUS_READERS_SCREEN_H
#define SHMBUS_READERS_SCREEN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Takes the terminal, and gives it back. Both may be called twice. */
void screen_begin(void);
void screen_end(void);

/* Holds back the signals that end, stop or resize; they come through screen_wait() alone, so that
 * none is lost between a look and a sleep. */
void screen_signals(bool live);

enum screen_event { SCREEN_NEXT, SCREEN_REDRAW, SCREEN_LEAVE };

/* Sleeps until the next table is due or something else happens. Ctrl-Z is done here. */
enum screen_event screen_wait(double delay_s, bool live);

/* One table on the screen, or in plain text where the screen was not taken. */
struct page {
	int columns;
	int rows;   /* left */
	int hidden; /* lines that found no row */
	bool first;
};

void page_begin(struct page *page);
void page_end(struct page *page);

/* A line built of cells from left to right; the first cell that does not fit, and all after it,
 * are left out, so that no number is cut. */
struct line {
	char text[1024];
	int columns, used;
	bool full;
};

void line_begin(struct line *line, const struct page *page, int indent);
/* `columns` wide, 0: as wide as the text. */
void line_left(struct line *line, int columns, const char *text);
void line_right(struct line *line, int columns, const char *text);
__attribute__((format(printf, 2, 3))) void line_format(struct line *line, const char *format, ...);

void page_line(struct page *page, const struct line *line);
/* A line of its own, cut to the window; shown in reverse where it is an alarm. */
__attribute__((format(printf, 3, 4))) void page_text(struct page *page, bool alarm,
						     const char *format, ...);

#endif /* SHMBUS_READERS_SCREEN_H */
