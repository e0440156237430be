/* SPDX-License-Identifier: MIT */
/* top_layout.h - shmbus top's lines as text: which columns a window has room for, rows, headings
 * and the lines above them. Pure. */
#ifndef SHMBUS_READERS_TOP_LAYOUT_H
#define SHMBUS_READERS_TOP_LAYOUT_H

#include "top_rows.h"

#define TOP_LINE_SIZE 2048

struct top_layout {
	int columns;           /* of the window */
	int name;              /* columns of the name, its indent included */
	int at[TOP_SLOTS];     /* where a slot begins, -1 where there is no room for it */
	int note_at, trend_at; /* likewise */
	int trend;             /* columns of the trend */
};

extern const int top_slot_widths[TOP_SLOTS];
#define TOP_NOTE_WIDTH 12

/* Chooses the columns for a window so wide. A number is never cut: a column that does not fit is
 * left out, the least important first. `trend`: whether there may be one. */
void top_layout_make(struct top_layout *layout, int columns, const struct top_rows *rows,
		     bool trend);

/* A row or a kind's heading; without trailing spaces. `mark` stands before a session. */
void top_row_line(char out[TOP_LINE_SIZE], const struct top_layout *layout,
		  const struct top_row *row, const char *mark);
void top_heading_line(char out[TOP_LINE_SIZE], const struct top_layout *layout, enum top_kind kind,
		      int sort);

/* The lines above the table, those that warn among them. */
struct top_header {
	struct {
		char text[512];
		bool alarm;
	} lines[10];
	int count;
	/* Parts of the first line that are to be seen. */
	struct {
		int at, columns;
	} loud[2];
	int loud_count;
};

struct top_shown {
	const char *bus;
	const struct document *document; /* NULL: there is none */
	const struct top_rows *rows;
	int error;       /* why there is none */
	double rate;     /* samples a second on the bus, NaN: not known */
	double paused_s; /* NaN: not paused */
	double since_s;  /* since the baseline, NaN: none */
	const struct top_wanted *wanted;
	bool live; /* keys work */
};

void top_header_make(struct top_header *header, const struct top_shown *shown, int columns);

#endif /* SHMBUS_READERS_TOP_LAYOUT_H */
