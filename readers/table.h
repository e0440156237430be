/* SPDX-License-Identifier: MIT */
/* table.h - a table as wide as what stands in it, and no wider than the window. */
#ifndef SHMBUS_READERS_TABLE_H
#define SHMBUS_READERS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS_MAX 12

struct table_row {
	char *cells[TABLE_COLUMNS_MAX];
	bool note;
};

struct table {
	const char *const *titles;
	int columns, next;
	struct table_row *rows;
	size_t count, capacity;
};

/* A title that begins with '>' sets its column to the right; with '~': what stands in the column
 * is cut, with a mark, where the window is too narrow; columns that then find no room are left
 * out. Ends the program where memory does. */
void table_begin(struct table *table, const char *const *titles, int columns);

/* The next cell, from left to right and from row to row. */
__attribute__((format(printf, 2, 3))) void table_cell(struct table *table, const char *format, ...);

/* A line between rows that is no part of the columns. */
__attribute__((format(printf, 2, 3))) void table_note(struct table *table, const char *format, ...);

/* Prints titles and rows on standard output and frees the table. */
void table_end(struct table *table);

#endif /* SHMBUS_READERS_TABLE_H */
