/* SPDX-License-Identifier: MIT */
/* top_keys.h - what keys do in shmbus top: selection, order, filter, folds. No terminal. */
#ifndef SHMBUS_READERS_TOP_KEYS_H
#define SHMBUS_READERS_TOP_KEYS_H

#include "top_memory.h"

struct top_state {
	uint64_t selected; /* a row's key */
	size_t at;         /* its index */
	size_t first;      /* the first row on the screen */
	int sort;
	bool reverse;
	char filter[64];
	bool asks; /* the filter is being typed */
	bool paused;
	bool helps;
	bool strip; /* the latencies of the selected metric */
};

enum top_action {
	TOP_REDRAW, /* only that */
	TOP_REMAKE, /* the rows have changed */
	TOP_QUIT,
	TOP_BASELINE, /* counts begin now */
	TOP_RESTORE,  /* counts begin with the sessions again */
	TOP_PAUSE,    /* or go on */
};

/* Takes a key, as curses has it. `page`: rows that the screen shows. */
enum top_action top_key(struct top_state *state, int key, const struct top_rows *rows,
			struct top_memory *memory, size_t page);

/* After the rows were made anew: the selection is where its row is now, and on the screen. */
void top_state_follow(struct top_state *state, const struct top_rows *rows, size_t page);

#endif /* SHMBUS_READERS_TOP_KEYS_H */
