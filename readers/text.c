/* SPDX-License-Identifier: MIT */
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "text.h"

static bool unicode;

void text_setup(void)
{
	/* LC_CTYPE alone: numbers are read and written as C has them. */
	unicode = setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	if (!unicode)
		setlocale(LC_CTYPE, "C.UTF-8");
}

bool text_unicode(void)
{
	return unicode;
}

/* The bytes of the character at `text`, at least 1, and its columns. */
static size_t character(const char *text, size_t left, int *columns)
{
	mbstate_t state;
	wchar_t wide;
	size_t size;

	memset(&state, 0, sizeof state);
	size = mbrtowc(&wide, text, left, &state);
	if (size == 0 || size > left) { /* not in this locale: a column for each byte */
		*columns = 1;
		return 1;
	}
	*columns = wcwidth(wide);
	if (*columns < 0)
		*columns = 1;
	return size;
}

int text_columns(const char *text)
{
	size_t left = strlen(text);
	int columns = 0, one;

	while (left > 0) {
		size_t size = character(text, left, &one);

		columns += one;
		text += size;
		left -= size;
	}
	return columns;
}

int text_cut(char *out, size_t size, const char *text, int columns)
{
	size_t left = strlen(text), used = 0;
	int all = text_columns(text), taken = 0, one;
	bool cut = all > columns || left >= size;
	int room = cut ? columns - 1 : columns;

	while (left > 0) {
		size_t bytes = character(text, left, &one);

		if (taken + one > room || used + bytes + 1 + cut > size)
			break;
		memcpy(out + used, text, bytes);
		used += bytes;
		taken += one;
		text += bytes;
		left -= bytes;
	}
	if (cut && columns > 0 && used + 1 < size) {
		out[used++] = TEXT_CUT;
		taken++;
	}
	out[used] = '\0';
	return taken;
}

const char *text_cell(char *out, size_t size, const char *text, int columns, bool right)
{
	int taken = text_cut(out, size, text, columns);
	size_t length = strlen(out), pad = taken < columns ? (size_t)(columns - taken) : 0;

	if (pad >= size - length)
		pad = size - length - 1;
	if (right) {
		memmove(out + pad, out, length + 1);
		memset(out, ' ', pad);
	} else {
		memset(out + length, ' ', pad);
		out[length + pad] = '\0';
	}
	return out;
}

int window_columns(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
