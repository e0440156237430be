/* SPDX-License-Identifier: MIT */
/* screen.h - the terminal of shmbus top: taken by curses, its signals, and all as it was after. */
#ifndef SHMBUS_READERS_SCREEN_H
#define SHMBUS_READERS_SCREEN_H

#include <stdbool.h>

/* Takes the terminal; false where it cannot show pages, and nothing was done to it. */
bool screen_begin(void);

/* Gives the terminal back. May be called twice, and where it was not taken. */
void screen_end(void);

/* Holds back the signals that end, stop or resize; they come through screen_wait() alone, so that
 * none is lost between a look and a sleep. */
void screen_signals(bool live);

enum screen_event { SCREEN_NEXT, SCREEN_KEYS, SCREEN_REDRAW, SCREEN_LEAVE };

/* Sleeps so long, or until something happens. Ctrl-Z and a new size are done here. */
enum screen_event screen_wait(double seconds, bool live);

/* The next key that was typed, as curses has it; -1: no more. */
int screen_key(void);

#endif /* SHMBUS_READERS_SCREEN_H */
