/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"
#include "text.h"

/* The widest line where there is no window. */
#define PLAIN_COLUMNS 200

static bool taken;
static bool terminal_known;
static struct termios terminal_before;
static sigset_t mask_before;
static volatile sig_atomic_t got_leave, got_stop;

/* ---- the terminal ---- */

void screen_begin(void)
{
	struct termios raw;

	if (taken)
		return;
	terminal_known = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
	if (terminal_known) {
		raw = terminal_before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	/* The other screen, no cursor, no wrapping of lines that a terminal finds too wide. */
	fputs("\033[?1049h\033[?25l\033[?7l\033[H\033[2J", stdout);
	taken = true;
}

void screen_end(void)
{
	if (!taken)
		return;
	fputs("\033[?7h\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (terminal_known) /* what was typed meanwhile is not for the shell */
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
	taken = false;
}

static void on_signal(int number)
{
	if (number == SIGTSTP)
		got_stop = 1;
	else if (number != SIGWINCH) /* that one only ends the sleep */
		got_leave = 1;
}

void screen_signals(bool live)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
	struct sigaction action = {.sa_handler = on_signal};
	size_t count = sizeof numbers / sizeof numbers[0] - (live ? 0 : 2);
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < count; i++)
		sigaddset(&held, numbers[i]);
	sigprocmask(SIG_BLOCK, &held, &mask_before);
	for (size_t i = 0; i < count; i++) {
		sigaction(numbers[i], &action, NULL);
		sigdelset(&mask_before, numbers[i]);
	}
}

/* Ctrl-Z: the shell gets its terminal as it was, and we the screen again when we go on. */
static void stop_here(void)
{
	got_stop = 0;
	screen_end();
	raise(SIGSTOP);
	screen_begin();
}

enum screen_event screen_wait(double delay_s, bool live)
{
	struct pollfd input = {.fd = live ? STDIN_FILENO : -1, .events = POLLIN};
	struct timespec delay = {.tv_sec = (time_t)delay_s};
	char keys[64];
	ssize_t got;
	int ready;

	delay.tv_nsec = (long)((delay_s - (double)delay.tv_sec) * 1e9);
	ready = ppoll(&input, 1, &delay, &mask_before);
	if (got_leave)
		return SCREEN_LEAVE;
	if (got_stop)
		stop_here();
	if (ready <= 0)
		return ready == 0 ? SCREEN_NEXT : SCREEN_REDRAW;
	got = read(STDIN_FILENO, keys, sizeof keys);
	if (got <= 0 || memchr(keys, 'q', (size_t)got) != NULL ||
	    memchr(keys, 'Q', (size_t)got) != NULL)
		return SCREEN_LEAVE;
	return SCREEN_REDRAW;
}

/* ---- pages ---- */

void page_begin(struct page *page)
{
	struct winsize size;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;

	*page = (struct page){.columns = PLAIN_COLUMNS, .rows = INT_MAX, .first = true};
	if (known)
		page->columns = size.ws_col;
	if (!taken)
		return;
	if (!known)
		page->columns = 80;
	page->rows = (known && size.ws_row > 0 ? size.ws_row : 24) - 1; /* one for page_end() */
	fputs("\033[H", stdout);
}

/* A full line leaves the cursor on its last column, where clearing the rest would eat it. */
static void put(struct page *page, const char *text, bool alarm)
{
	if (!taken) {
		puts(text);
		return;
	}
	if (!page->first)
		putchar('\n');
	page->first = false;
	printf("%s%s%s", alarm ? "\033[7m" : "", text, alarm ? "\033[m" : "");
	if (text_columns(text) < page->columns)
		fputs("\033[K", stdout);
}

static void put_or_hide(struct page *page, const char *text, bool alarm)
{
	if (page->rows <= 0) {
		page->hidden++;
		return;
	}
	page->rows--;
	put(page, text, alarm);
}

void page_end(struct page *page)
{
	char text[128], cut[128];

	if (!taken)
		return;
	if (page->hidden > 0) {
		snprintf(text, sizeof text,
			 "+ %d more line%s: a taller window shows more, 'shmbus ls' lists all",
			 page->hidden, page->hidden == 1 ? "" : "s");
		text_cut(cut, sizeof cut, text, page->columns);
		put(page, cut, false);
	} else {
		fputs(page->first ? "\033[J" : "\n\033[J", stdout);
	}
}

void page_line(struct page *page, const struct line *line)
{
	put_or_hide(page, line->text, false);
}

void page_text(struct page *page, bool alarm, const char *format, ...)
{
	char text[512], cut[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	text_cut(cut, sizeof cut, text, page->columns);
	put_or_hide(page, cut, alarm);
}

/* ---- lines ---- */

void line_begin(struct line *line, const struct page *page, int indent)
{
	*line = (struct line){.columns = page->columns};
	line->used = indent;
	snprintf(line->text, sizeof line->text, "%*s", indent, "");
}

static void line_cell(struct line *line, int columns, const char *text, bool right)
{
	size_t length = strlen(line->text);
	bool gap = strspn(line->text, " ") < length;
	char cell[512];

	if (columns == 0)
		columns = text_columns(text);
	if (line->full || line->used + gap + columns > line->columns) {
		line->full = true;
		return;
	}
	text_cell(cell, sizeof cell, text, columns, right);
	snprintf(line->text + length, sizeof line->text - length, "%s%s", gap ? " " : "", cell);
	line->used += gap + columns;
}

void line_left(struct line *line, int columns, const char *text)
{
	line_cell(line, columns, text, false);
}

void line_right(struct line *line, int columns, const char *text)
{
	line_cell(line, columns, text, true);
}

void line_format(struct line *line, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	line_cell(line, 0, text, false);
}
