/* SPDX-License-Identifier: MIT */
#include <curses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"

static SCREEN *screen;
static FILE *terminal; /* left open with the descriptor */
static bool taken;
static sigset_t mask_before;
static volatile sig_atomic_t got_leave, got_stop, got_size;

/* A terminal that is too dumb to move its cursor, or that nobody has described. */
static bool terminal_can_move(void)
{
	const char *move;
	int error;

	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return false;
	move = tigetstr("cup");
	del_curterm(cur_term);
	return move != NULL && move != (const char *)-1;
}

static void resize(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		resizeterm(size.ws_row, size.ws_col);
}

bool screen_begin(void)
{
	if (!terminal_can_move())
		return false;
	use_tioctl(TRUE); /* the window, whatever $LINES and $COLUMNS say */
	/* Its own stream: it asks for the descriptor, which stdout has none of (output.h). */
	terminal = fdopen(STDOUT_FILENO, "w");
	screen = terminal != NULL ? newterm(NULL, terminal, stdin) : NULL;
	if (screen == NULL)
		return false;
	taken = true;
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	leaveok(stdscr, TRUE);
	resize();
	return true;
}

void screen_end(void)
{
	if (!taken)
		return;
	taken = false;
	flushinp(); /* what was typed meanwhile is not for the shell */
	curs_set(1);
	endwin();
	delscreen(screen);
}

static void on_signal(int number)
{
	if (number == SIGTSTP)
		got_stop = 1;
	else if (number == SIGWINCH)
		got_size = 1;
	else
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
	flushinp();
	endwin();
	raise(SIGSTOP);
	resize();
	refresh();
}

enum screen_event screen_wait(double seconds, bool live)
{
	struct pollfd input = {.fd = live ? STDIN_FILENO : -1, .events = POLLIN};
	struct timespec delay = {.tv_sec = (time_t)seconds};
	int ready;

	delay.tv_nsec = (long)((seconds - (double)delay.tv_sec) * 1e9);
	ready = ppoll(&input, 1, &delay, &mask_before);
	if (got_leave || (ready > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0))
		return SCREEN_LEAVE; /* the terminal may be gone without a word */
	if (got_stop) {
		stop_here();
		return SCREEN_REDRAW;
	}
	if (got_size) {
		got_size = 0;
		resize();
		return SCREEN_REDRAW;
	}
	return ready > 0 ? SCREEN_KEYS : ready == 0 ? SCREEN_NEXT : SCREEN_REDRAW;
}

int screen_key(void)
{
	int key = getch();

	return key == ERR ? -1 : key;
}
