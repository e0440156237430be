/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "text.h"

#define LINE_SIZE 4096
#define CELL_SIZE 1024

/* Columns that may be cut keep so much. */
#define CUT_MIN 8

static _Noreturn void out_of_memory(void)
{
	fputs("shmbus: out of memory\n", stderr);
	exit(EXIT_FAILURE);
}

void table_begin(struct table *table, const char *const *titles, int columns)
{
	*table = (struct table){.titles = titles, .columns = columns, .next = columns};
}

static struct table_row *row_add(struct table *table)
{
	if (table->count == table->capacity) {
		size_t capacity = table->capacity == 0 ? 16 : table->capacity * 2;
		struct table_row *rows = realloc(table->rows, capacity * sizeof *rows);

		if (rows == NULL)
			out_of_memory();
		table->rows = rows;
		table->capacity = capacity;
	}
	memset(&table->rows[table->count], 0, sizeof *table->rows);
	return &table->rows[table->count++];
}

static char *text_make(const char *format, va_list arguments)
{
	char text[CELL_SIZE], *copy;

	vsnprintf(text, sizeof text, format, arguments);
	copy = strdup(text);
	if (copy == NULL)
		out_of_memory();
	return copy;
}

void table_cell(struct table *table, const char *format, ...)
{
	va_list arguments;

	if (table->next == table->columns) {
		row_add(table);
		table->next = 0;
	}
	va_start(arguments, format);
	table->rows[table->count - 1].cells[table->next++] = text_make(format, arguments);
	va_end(arguments);
}

void table_note(struct table *table, const char *format, ...)
{
	struct table_row *row = row_add(table);
	va_list arguments;

	va_start(arguments, format);
	row->note = true;
	row->cells[0] = text_make(format, arguments);
	va_end(arguments);
}

/* ---- printing ---- */

static const char *title(const struct table *table, int column)
{
	const char *text = table->titles[column];

	return text[0] == '>' || text[0] == '~' ? text + 1 : text;
}

/* Returns the columns of all of it, gaps left out. */
static int widths_natural(const struct table *table, int widths[])
{
	int sum = 0;

	for (int c = 0; c < table->columns; c++) {
		widths[c] = text_columns(title(table, c));
		for (size_t r = 0; r < table->count; r++) {
			const struct table_row *row = &table->rows[r];
			int columns = row->note || row->cells[c] == NULL
					      ? 0
					      : text_columns(row->cells[c]);

			if (columns > widths[c])
				widths[c] = columns;
		}
		sum += widths[c];
	}
	return sum;
}

/* Takes what is too much from the widest column that may be cut, a column at a time. Returns how
 * many columns have room: a number is never cut. */
static int widths_fit(const struct table *table, int widths[], int sum, int window, int gap)
{
	int used = 0;

	for (sum += gap * (table->columns - 1); sum > window; sum--) {
		int widest = -1;

		for (int c = 0; c < table->columns; c++)
			if (table->titles[c][0] == '~' && widths[c] > CUT_MIN &&
			    (widest < 0 || widths[c] > widths[widest]))
				widest = c;
		if (widest < 0)
			break;
		widths[widest]--;
	}
	for (int c = 0; c < table->columns; c++) {
		used += widths[c] + (c == 0 ? 0 : gap);
		if (used > window)
			return c;
	}
	return table->columns;
}

static void row_print(const struct table *table, char *const row[], const int widths[], int columns,
		      int gap)
{
	char line[LINE_SIZE] = "", cell[CELL_SIZE];
	size_t used = 0;

	for (int c = 0; c < columns; c++) {
		const char *text = row == NULL ? title(table, c) : row[c] != NULL ? row[c] : "";
		int written;

		text_cell(cell, sizeof cell, text, widths[c], table->titles[c][0] == '>');
		written = snprintf(line + used, sizeof line - used, "%*s%s", c == 0 ? 0 : gap, "",
				   cell);
		if (written < 0 || (size_t)written >= sizeof line - used)
			break;
		used += (size_t)written;
	}
	while (used > 0 && line[used - 1] == ' ')
		line[--used] = '\0';
	puts(line);
}

void table_end(struct table *table)
{
	int widths[TABLE_COLUMNS_MAX], window = window_columns(), columns = table->columns;
	int sum = widths_natural(table, widths);
	int gap = window == 0 || sum + 2 * (columns - 1) <= window ? 2 : 1;

	if (window != 0)
		columns = widths_fit(table, widths, sum, window, gap);
	row_print(table, NULL, widths, columns, gap);
	for (size_t r = 0; r < table->count; r++) {
		struct table_row *row = &table->rows[r];

		if (row->note)
			puts(row->cells[0]);
		else
			row_print(table, row->cells, widths, columns, gap);
		for (int c = 0; c < table->columns; c++)
			free(row->cells[c]);
	}
	free(table->rows);
}
